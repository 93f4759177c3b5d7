//! A play's variables: merged by precedence, and rendered where their values are templates.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::redact::{Redactor, Secret};
use crate::wire::expr::{Engine, Scope};
use crate::{Error, Result};

/// Variables by name.
pub(crate) type Vars = BTreeMap<String, Value>;

/// Merges variables (`above` goes before `below`) and renders their values, which may name each other and `facts` in any
/// order.
///
/// # Errors
/// Fails where a value names something that is not defined, or values name each other in a circle.
pub(crate) fn resolve(engine: &Engine, facts: &Value, below: &Vars, above: &Vars) -> Result<Vars> {
    let merged: Vars = below.iter().chain(above).map(|(name, value)| (name.clone(), value.clone())).collect();
    let (mut waiting, mut resolved): (Vars, Vars) = merged.into_iter().partition(|(_, value)| has_template(value));
    let mut scope = Scope::default().with(&resolved);
    scope.set("facts", facts);
    while !waiting.is_empty() {
        let mut failure = None;
        let before = waiting.len();
        waiting.retain(|name, value| match engine.render_within(value, &scope) {
            Ok(rendered) => {
                scope.set(name, &rendered);
                resolved.insert(name.clone(), rendered);
                false
            }
            Err(error) => {
                failure = Some(error.context(format!("the variable {name}")));
                true
            }
        });
        if waiting.len() == before {
            return Err(failure.unwrap_or_else(|| Error::failed("the variables name each other in a circle")));
        }
    }
    Ok(resolved)
}

fn has_template(value: &Value) -> bool {
    match value {
        Value::String(text) => Engine::is_template(text),
        Value::Array(items) => items.iter().any(has_template),
        Value::Object(map) => map.values().any(has_template),
        _ => false,
    }
}

/// Has every text within a value masked from now on.
pub(crate) fn learn(redactor: &mut Redactor, value: &Value) {
    match value {
        Value::String(text) => redactor.learn(&Secret::new(text.clone().into_bytes())),
        Value::Array(items) => items.iter().for_each(|item| learn(redactor, item)),
        Value::Object(map) => map.values().for_each(|item| learn(redactor, item)),
        Value::Number(number) => redactor.learn(&Secret::new(number.to_string().into_bytes())),
        Value::Null | Value::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_name_each_other_in_any_order_but_not_in_a_circle() {
        let vars = |value: Value| serde_json::from_value::<Vars>(value).unwrap();
        let below = vars(json!({"a": "{{ b }}/x", "b": "{{ c }}", "n": [1, "{{ facts.os }}"], "c": "low"}));
        let facts = json!({"os": "debian"});
        let resolved = resolve(&Engine::new(), &facts, &below, &vars(json!({"c": "high"}))).unwrap();
        assert_eq!(json!(resolved), json!({"a": "high/x", "b": "high", "c": "high", "n": [1, "debian"]}));
        let circle = vars(json!({"a": "{{ b }}", "b": "{{ a }}"}));
        assert!(resolve(&Engine::new(), &facts, &circle, &Vars::new()).is_err());
    }
}
