//! A play's variables: merged by precedence, and rendered where their values are templates.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::redact::{Redactor, Secret};
use crate::wire::expr::{Engine, Scope};
use crate::{Error, Result};

/// Variables by name.
pub(crate) type Vars = BTreeMap<String, Value>;

/// Renders variables' values, which may name each other and what is in the scope, in any order, and puts them there. A value
/// that is one expression keeps the expression's type.
///
/// # Errors
/// Fails where a value names something that is not defined, or values name each other in a circle; those that could be
/// resolved are in the scope nevertheless.
pub(crate) fn resolve(engine: &Engine, scope: &mut Scope, vars: &Vars) -> Result<Vars> {
    let (mut waiting, mut resolved): (Vars, Vars) =
        vars.iter().map(|(name, value)| (name.clone(), value.clone())).partition(|(_, value)| has_template(value));
    for (name, value) in &resolved {
        scope.set(name, value);
    }
    // None is taken for one of the same name that was there before.
    waiting.keys().for_each(|name| scope.unset(name));
    while !waiting.is_empty() {
        let mut failure = None;
        let before = waiting.len();
        waiting.retain(|name, value| match engine.value_within(value, scope) {
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
        let mut scope = Scope::default();
        scope.set("facts", &json!({"os": "debian", "disks": ["a", "b"]}));
        let engine = Engine::new();
        let resolved = resolve(
            &engine,
            &mut scope,
            &vars(json!({"a": "{{ b }}/x", "b": "{{ c }}", "n": [1, "{{ facts.os }}"], "c": "high",
                "all": {"disks": "{{ facts.disks }}"}})),
        );
        let expected =
            json!({"a": "high/x", "b": "high", "c": "high", "n": [1, "debian"], "all": {"disks": ["a", "b"]}});
        assert_eq!(json!(resolved.unwrap()), expected);
        let circle = vars(json!({"a": "{{ b }}", "b": "{{ a }}", "c": "{{ facts.os }}"}));
        assert!(resolve(&engine, &mut scope, &circle).is_err());
        assert_eq!(engine.render("{{ c }}", &scope).unwrap(), "debian", "what can be resolved is");
    }
}
