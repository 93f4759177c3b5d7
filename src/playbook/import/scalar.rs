//! What YAML 1.1 makes of a plain scalar, which is what Ansible sees: `yes` is true, `0644` is 420, `1:30` is ninety.

use super::jinja::Ty;
use super::write::Out;
use crate::fleet::{Node, Value};
use crate::wire::expr::only_expression;

/// A scalar that both versions of YAML read alike, or whose meaning in YAML 1.1 is plain.
pub(super) fn scalar(node: &Node) -> Result<Out, &'static str> {
    let Some(plain) = &node.plain else {
        return match &node.value {
            Value::Str(text) => Ok(Out::Text(text.clone())),
            _ => Err("a list or a mapping where a text, a number or a truth value is expected"),
        };
    };
    match plain.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Out::Null),
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Ok(Out::Bool(true)),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Ok(Out::Bool(false)),
        _ => {}
    }
    match &node.value {
        Value::Int(number) if *plain == number.to_string() => Ok(Out::Int(*number)),
        Value::Str(text) if !looks_like_a_number(text) => Ok(Out::Text(text.clone())),
        _ => Err("YAML 1.1 reads this as a number or a date of its own"),
    }
}

/// Numbers with underscores, in base 60, in other bases; dates.
fn looks_like_a_number(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-', '.']);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && (digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '_' | ':' | '.' | '-'))
            || digits.starts_with("0b")
            || digits.starts_with("0x")
            || (digits.len() > 9 && digits.chars().take(8).all(|c| c.is_ascii_digit() || c == '-'))
            || text.parse::<f64>().is_ok())
        // An address or a version: more than one dot is no number's.
        && digits.matches('.').count() < 2
}

/// A truth value; text counts as well, as modules read it.
pub(super) fn truth(node: &Node) -> Option<bool> {
    match scalar(node).ok()? {
        Out::Bool(truth) => Some(truth),
        Out::Int(number @ (0 | 1)) => Some(number == 1),
        Out::Text(text) => match text.to_ascii_lowercase().as_str() {
            "y" | "yes" | "on" | "true" => Some(true),
            "n" | "no" | "off" | "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// What kind of value a node is. A text that is one expression has that one's value; one with text around is text.
pub(super) fn ty(node: &Node) -> Ty {
    match &node.value {
        Value::Seq(_) => Ty::List,
        Value::Map(_) => Ty::Map,
        _ => match scalar(node) {
            Ok(Out::Null) => Ty::Null,
            Ok(Out::Bool(_)) => Ty::Bool,
            Ok(Out::Int(_)) => Ty::Number,
            Ok(Out::Text(text)) if only_expression(&text).is_some() => Ty::Unknown,
            Ok(_) => Ty::Text,
            Err(_) => Ty::Odd,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Diagnostics, Source, yaml};

    #[test]
    fn scalars_are_what_yaml_1_1_makes_of_them_or_are_refused() {
        let read = |text: &str| scalar(&yaml::parse(&Source::new("t.yaml", text), &Diagnostics::new()).unwrap());
        assert_eq!((read("yes"), read("Off")), (Ok(Out::Bool(true)), Ok(Out::Bool(false))));
        assert_eq!((read("~"), read("42"), read("'0644'")), (Ok(Out::Null), Ok(Out::Int(42)), Ok("0644".into())));
        for source in ["y", "1.2.3", "10.0.0.1/8", "22/tcp", "10.0.0.1"] {
            assert_eq!(read(source), Ok(source.into()));
        }
        for source in ["0644", "1:30", "1_000", "1.10", "0o17", "0x1F", "0b1", "2026-01-31", "1e3", "[a]", "+5"] {
            assert!(read(source).is_err(), "{source}");
        }
    }
}
