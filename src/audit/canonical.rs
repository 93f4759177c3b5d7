//! JSON in the one form that is hashed: RFC 8785 (JSON Canonicalization Scheme), for documents without fractions.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use crate::{Error, Result};

/// The largest integer that every JSON reader holds exactly (RFC 8785, section 3.2.2.3): 2^53 − 1.
const LARGEST: u64 = (1 << 53) - 1;

/// The canonical form of an object whose members come in their order already: no tree of it is made first, since verifying a log
/// is little else than this.
///
/// # Errors
/// Fails where a value holds a fraction, or an integer beyond ±(2^53 − 1).
pub(super) fn object<'a>(members: impl IntoIterator<Item = (&'static str, Part<'a>)>) -> Result<String> {
    // What most entries take.
    let mut out = String::with_capacity(512);
    for (index, (name, part)) in members.into_iter().enumerate() {
        out.push(if index == 0 { '{' } else { ',' });
        string(name, &mut out);
        out.push(':');
        match part {
            Part::Text(Some(text)) => string(text, &mut out),
            Part::Text(None) => out.push_str("null"),
            Part::Number(number) => write(&number.into(), &mut out)?,
            Part::Value(value) => write(value, &mut out)?,
            Part::Texts(texts) => {
                let members = texts.iter().map(|(name, text)| (name.as_str(), text));
                sorted(members, &mut out, |text, out| {
                    string(text, out);
                    Ok(())
                })?;
            }
        }
    }
    out.push('}');
    Ok(out)
}

/// A member's value, borrowed.
pub(super) enum Part<'a> {
    Text(Option<&'a str>),
    Number(i64),
    Value(&'a Value),
    Texts(&'a BTreeMap<String, String>),
}

fn write(value: &Value, out: &mut String) -> Result<()> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if magnitude.is_none_or(|magnitude| magnitude > LARGEST) {
                return Err(Error::failed(format!("the number {number} cannot be written into the audit log"))
                    .hint("write it as text"));
            }
            let _ = write!(out, "{number}");
        }
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(members) => {
            sorted(members.iter().map(|(name, member)| (name.as_str(), member)), out, write)?;
        }
    }
    Ok(())
}

fn sorted<'a, T>(
    members: impl Iterator<Item = (&'a str, T)>,
    out: &mut String,
    mut write: impl FnMut(T, &mut String) -> Result<()>,
) -> Result<()> {
    let mut members: Vec<_> = members.collect();
    // By UTF-16 code units, as the standard asks, which is not the order of UTF-8.
    members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push('{');
    for (index, (name, member)) in members.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(name, out);
        out.push(':');
        write(member, out)?;
    }
    out.push('}');
    Ok(())
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push_str(text);
        out.push('"');
        return;
    }
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn canonical(value: &Value) -> Result<String> {
        let mut out = String::new();
        write(value, &mut out)?;
        Ok(out)
    }

    #[test]
    fn rfc_8785_section_3_2_3_order_of_members() {
        let value = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh", "1": "One",
            "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O With Diaeresis",
        });
        let text = canonical(&value).unwrap();
        let order =
            ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"].map(|word| text.find(word).unwrap());
        assert!(order.is_sorted(), "{text}");
    }

    #[test]
    fn rfc_8785_section_3_2_2_strings() {
        let value = json!({"string": "\u{20ac}$\u{f}\nA'\u{42}\u{22}\u{5c}\\\"/", "literals": [null, true, false]});
        let expected = r#"{"literals":[null,true,false],"string":"€$\u000f\nA'B\"\\\\\"/"}"#;
        assert_eq!(canonical(&value).unwrap(), expected);
    }

    #[test]
    fn numbers_that_readers_differ_on_are_refused() {
        assert!(canonical(&json!(1.5)).is_err());
        assert!(canonical(&json!(u64::MAX)).is_err());
        assert_eq!(canonical(&json!([-1, LARGEST])).unwrap(), "[-1,9007199254740991]");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in ".*", number in -1_000_000_000_000_i64..1_000_000_000_000) {
            let value = json!({"b": [text.clone(), number], "a": {text: null}});
            prop_assert_eq!(serde_json::from_str::<Value>(&canonical(&value).unwrap()).unwrap(), value);
        }

        #[test]
        fn an_object_by_its_members_is_the_object_as_a_tree(
            text in proptest::option::of(".*"),
            number in -1_000_000_000_000_i64..1_000_000_000_000,
            texts in proptest::collection::btree_map(".*", ".*", 0..4),
        ) {
            let value = json!({"b": [text.clone()], "a": texts.clone()});
            let members = [
                ("number", Part::Number(number)),
                ("text", Part::Text(text.as_deref())),
                ("texts", Part::Texts(&texts)),
                ("value", Part::Value(&value)),
            ];
            let tree = json!({"number": number, "text": text, "texts": texts, "value": value});
            prop_assert_eq!(object(members).unwrap(), canonical(&tree).unwrap());
        }
    }
}
