//! YAML that every reader reads the same: those of YAML 1.2, and PyYAML (cloud-init), which reads YAML 1.1, where `on`
//! is true, `1:30` is ninety and `0o17` is text.
//!
//! So all text is double-quoted, keys unless they are plain words, and numbers are decimal.

use serde_json::Value;

/// A document in block style.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (at, (key, value)) in map.iter().enumerate() {
                if at > 0 || indent == 0 {
                    out.push_str(&" ".repeat(indent));
                }
                out.push_str(&self::key(key));
                out.push(':');
                nested(value, indent, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 || indent == 0 {
                    out.push_str(&" ".repeat(indent));
                }
                out.push_str("- ");
                block(item, indent + 2, out);
            }
        }
        scalar => {
            out.push_str(&self::scalar(scalar));
            out.push('\n');
        }
    }
}

/// What stands after a key's colon.
fn nested(value: &Value, indent: usize, out: &mut String) {
    let collection = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if collection {
        out.push('\n');
        out.push_str(&" ".repeat(indent + 2));
        block(value, indent + 2, out);
    } else {
        out.push(' ');
        out.push_str(&scalar(value));
        out.push('\n');
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            // Without an exponent, whose form the versions disagree on, and never without a fraction.
            Some(float) if float.fract() == 0.0 => format!("{float}.0"),
            Some(float) => float.to_string(),
            None => number.to_string(),
        },
        Value::String(text) => quoted(text),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
    }
}

fn key(text: &str) -> String {
    // Words that YAML 1.1 takes for truth values or null.
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-'));
    if word && !WORDS.contains(&text.to_ascii_lowercase().as_str()) { text.to_owned() } else { quoted(text) }
}

/// Text in double quotes (YAML 1.2.2, section 7.3.1), with the escapes that YAML 1.1 has as well.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            _ if c.is_alphanumeric() => out.push(c),
            _ => match u32::from(c) {
                code @ 0..=0xff => out.push_str(&format!("\\x{code:02X}")),
                code @ 0..=0xffff => out.push_str(&format!("\\u{code:04X}")),
                code => out.push_str(&format!("\\U{code:08X}")),
            },
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn block_style() {
        let value =
            json!({"a": 1, "b": {"c": [], "d": {}}, "e": [{"f": "on", "g": [true, null]}, "1:30", [1, 2]], "on": 0.5});
        assert_eq!(
            write(&value),
            "a: 1\nb:\n  c: []\n  d: {}\ne:\n  - f: \"on\"\n    g:\n      - true\n      - null\n  - \"1:30\"\n  - - 1\n    - 2\n\"on\": 0.5\n"
        );
    }
}
