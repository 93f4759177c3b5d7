//! JSON in the one form that is hashed: RFC 8785 (JSON Canonicalization Scheme), for documents without fractions.

use std::fmt::Write;

use serde_json::Value;

use crate::{Error, Result};

/// The largest integer that every JSON reader holds exactly (RFC 8785, section 3.2.2.3): 2^53 − 1.
const LARGEST: u64 = (1 << 53) - 1;

/// The canonical form.
///
/// # Errors
/// Fails where the document holds a fraction, or an integer beyond ±(2^53 − 1).
pub(super) fn canonical(value: &Value) -> Result<String> {
    let mut out = String::new();
    write(value, &mut out)?;
    Ok(out)
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
            let mut members: Vec<_> = members.iter().collect();
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
        }
    }
    Ok(())
}

fn string(text: &str, out: &mut String) {
    out.push('"');
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
    }
}
