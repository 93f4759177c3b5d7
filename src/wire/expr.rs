//! Templates and expressions: checked by the controller, evaluated on the node.
//!
//! Templates and expressions are [tera](https://docs.rs/tera) 2. tera renders strings only; the *value* of an expression
//! comes through the filter `json`, so `when: x` becomes `{{ (x) | json }}`, and what it prints is read back.
//!
//! * **Truth**: `false`, null, 0, the empty string, the empty list and the empty map are false; all else is true (also
//!   the string `"false"`).
//! * **Missing**: naming a variable, or an entry of a map, that does not exist is an error, except in `x is defined`,
//!   `x or y` and `x | default(value=y)`. Only the last name of a path may be missing there. tera takes such a name for false in
//!   `not x`, and for null in `[x]`.
//! * **Numbers**: whole numbers stay whole (64 bits), others are double precision; a string of digits stays a string.

use std::collections::BTreeMap;

use serde_json::Value;
use tera::{Context, Kwargs, State, Tera};

use crate::{Error, Result};

/// Renders templates and evaluates expressions.
pub struct Engine(Tera);

/// What templates and expressions can name.
#[derive(Default)]
pub struct Scope(Context);

impl Scope {
    /// Gives a name a value, in place of what it had.
    pub fn set(&mut self, name: &str, value: &Value) {
        self.0.insert_value(name.to_owned(), tera::Value::from_serializable(value));
    }

    /// Takes a name away.
    pub fn unset(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// This scope with more names.
    #[must_use]
    pub fn with(&self, vars: &BTreeMap<String, Value>) -> Self {
        let mut scope = Self(self.0.clone());
        for (name, value) in vars {
            scope.set(name, value);
        }
        scope
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine {
    /// An engine with tera's own filters and `json`.
    pub fn new() -> Self {
        let mut tera = Tera::new();
        tera.register_filter("json", |value: tera::Value, _: Kwargs, _: &State<'_>| -> tera::TeraResult<String> {
            if value.is_undefined() {
                return Err(tera::Error::message("it names something that is not defined"));
            }
            serde_json::to_string(&value).map_err(|error| tera::Error::message(error.to_string()))
        });
        Self(tera)
    }

    /// Checks that a template parses, and that there is every filter and test that it names.
    ///
    /// # Errors
    /// Fails where it does not, with the line where that is not the first.
    pub fn check(&self, text: &str) -> Result<()> {
        let mut tera = self.0.clone();
        tera.add_raw_template("template", text).map_err(|error| explain("this is not a template", &error))
    }

    /// Checks that an expression parses.
    ///
    /// # Errors
    /// As [`Engine::check`].
    pub fn check_expression(&self, expression: &str) -> Result<()> {
        self.check(&format!("{{{{ ({expression}) | json }}}}"))
    }

    /// Whether text has anything to render.
    pub fn is_template(text: &str) -> bool {
        ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
    }

    /// Renders a template.
    ///
    /// # Errors
    /// Fails where it does not parse or names something that is not defined.
    pub fn render(&self, text: &str, scope: &Scope) -> Result<String> {
        if !Self::is_template(text) {
            return Ok(text.to_owned());
        }
        self.0.render_str(text, &scope.0, false).map_err(|error| explain("rendering a template", &error))
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// Fails where it does not parse or names something that is not defined.
    pub fn value(&self, expression: &str, scope: &Scope) -> Result<Value> {
        let text = self
            .0
            .render_str(&format!("{{{{ ({expression}) | json }}}}"), &scope.0, false)
            .map_err(|error| explain(&format!("evaluating `{expression}`"), &error))?;
        serde_json::from_str(&text)
            .map_err(|error| Error::failed(format!("`{expression}` has no value of its own")).because(error))
    }

    /// Whether an expression is true.
    ///
    /// # Errors
    /// As [`Engine::value`].
    pub fn is_true(&self, expression: &str, scope: &Scope) -> Result<bool> {
        self.value(expression, scope).map(|value| truth(&value))
    }

    /// Renders every string within a value. A list element that is one expression whose value is a list stands for that
    /// list's elements.
    ///
    /// # Errors
    /// As [`Engine::render`].
    pub fn render_within(&self, value: &Value, scope: &Scope) -> Result<Value> {
        self.within(value, scope, false)
    }

    /// As [`Engine::render_within`], but a string that is one expression becomes that expression's value, whatever its
    /// type.
    ///
    /// # Errors
    /// As [`Engine::value`].
    pub fn value_within(&self, value: &Value, scope: &Scope) -> Result<Value> {
        self.within(value, scope, true)
    }

    fn within(&self, value: &Value, scope: &Scope, typed: bool) -> Result<Value> {
        Ok(match value {
            Value::String(text) => match only_expression(text).filter(|_| typed) {
                Some(expression) => self.value(expression, scope)?,
                None => Value::String(self.render(text, scope)?),
            },
            Value::Array(items) => {
                let mut rendered = Vec::with_capacity(items.len());
                for item in items {
                    match item.as_str().and_then(only_expression) {
                        Some(expression) => match self.value(expression, scope)? {
                            Value::Array(elements) => rendered.extend(elements),
                            value if typed => rendered.push(value),
                            _ => rendered.push(self.within(item, scope, typed)?),
                        },
                        None => rendered.push(self.within(item, scope, typed)?),
                    }
                }
                Value::Array(rendered)
            }
            Value::Object(map) => Value::Object(
                map.iter()
                    .map(|(key, value)| Ok((key.clone(), self.within(value, scope, typed)?)))
                    .collect::<Result<_>>()?,
            ),
            other => other.clone(),
        })
    }
}

/// Whether a value counts as true.
pub fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// The expression of a text that is nothing but one expression.
pub fn only_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inner.contains("{{") && !inner.contains("}}")).then(|| inner.trim())
}

fn explain(doing: &str, error: &tera::Error) -> Error {
    let message = match error.kind() {
        tera::ErrorKind::RenderingError(report) | tera::ErrorKind::SyntaxError(report) => {
            match report.span().start_line {
                0 | 1 => report.message().to_owned(),
                line => format!("line {line}: {}", report.message()),
            }
        }
        // A report of several lines, of which the first says it all.
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            first.strip_prefix("error: ").unwrap_or(first).to_owned()
        }
    };
    let failed = Error::failed(format!("{doing}: {message}"));
    if message.contains("not defined") || message.contains("undefined") {
        failed.hint("define it under `vars`, or say `NAME is defined` or `NAME | default(value=…)`")
    } else {
        failed
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope() -> Scope {
        let vars = json!({"n": 3, "zero": 0, "s": "debian", "empty": "", "no": "false", "list": ["a", "b"],
            "facts": {"os": {"id": "debian", "version": "13"}}, "half": 0.5, "quote": "a\"b<c"});
        Scope::default().with(&serde_json::from_value(vars).unwrap())
    }

    #[test]
    fn values_keep_their_type() {
        let cases = [
            ("n", json!(3)),
            ("n + 1", json!(4)),
            ("half", json!(0.5)),
            ("facts.os.id == \"debian\"", json!(true)),
            ("facts.os.version", json!("13")),
            ("list", json!(["a", "b"])),
            ("\"a\" in list", json!(true)),
            ("not s", json!(false)),
            ("n > 2 and s != \"x\"", json!(true)),
            ("missing is defined", json!(false)),
            ("missing or \"d\"", json!("d")),
            ("missing | default(value=7)", json!(7)),
            ("facts.os.none | default(value=[])", json!([])),
            ("quote", json!("a\"b<c")),
        ];
        for (expression, expected) in cases {
            assert_eq!(Engine::new().value(expression, &scope()).unwrap(), expected, "{expression}");
        }
    }

    #[test]
    fn truth_is_as_documented() {
        for (expression, expected) in
            [("zero", false), ("n", true), ("empty", false), ("no", true), ("list", true), ("half", true)]
        {
            assert_eq!(Engine::new().is_true(expression, &scope()).unwrap(), expected, "{expression}");
        }
    }

    #[test]
    fn what_is_missing_is_an_error_with_a_way_out() {
        for expression in ["missing", "facts.os.none", "missing.deep or 1", "facts.no.id == \"x\""] {
            let error = Engine::new().value(expression, &scope()).unwrap_err();
            assert!(error.to_string().contains(expression), "{error}");
        }
        let error = Engine::new().render("x {{ missing }}", &scope()).unwrap_err();
        assert!(error.hints()[0].contains("vars"), "{error:?}");
        assert!(Engine::new().value("n +", &scope()).is_err());
    }

    #[test]
    fn a_list_in_a_list_is_spliced() {
        let value = json!({"names": ["{{ list }}", "{{ s }}-x"], "n": 1});
        let rendered = Engine::new().render_within(&value, &scope()).unwrap();
        assert_eq!(rendered, json!({"names": ["a", "b", "debian-x"], "n": 1}));
    }

    #[test]
    fn maps_are_walked_in_order() {
        let vars = json!({"map": {"c": 1, "a": 2, "b": 3, "e": 4, "d": 5}});
        let scope = Scope::default().with(&serde_json::from_value(vars).unwrap());
        let text = "{% for key, value in map %}{{ key }}{{ value }} {% endfor %}";
        assert_eq!(Engine::new().render(text, &scope).unwrap(), "a2 b3 c1 d5 e4 ");
    }

    #[test]
    fn nothing_is_escaped() {
        assert_eq!(Engine::new().render("{{ quote }}", &scope()).unwrap(), "a\"b<c");
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_a_value_or_is_an_error(text in "(\\{\\{|\\}\\}|\\{%|if |n|list| \\| json|\\(|\\)|\"|[a-z .é+]){0,30}") {
            let _ = Engine::new().value(&text, &scope());
            let _ = Engine::new().render(&text, &scope());
        }
    }
}
