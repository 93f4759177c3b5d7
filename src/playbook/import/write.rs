//! Playbooks, written for people: with comments, and with quotes only where they are needed.

use crate::fleet::{Diagnostics, Source, Value, yaml};
use crate::render::yaml::quoted;

/// A line is not made longer than this by putting more on it.
const WIDTH: usize = 100;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Out {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<Out>),
    Map(Fields),
    Entries(Vec<Entry>),
}

/// A mapping's entries, in their order.
pub(super) type Fields = Vec<(String, Out)>;

/// A task in a list, or only what is said in its place.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Entry {
    /// Lines above it, without the sign of a comment.
    pub(super) comments: Vec<String>,
    /// Its keys; none where there is no task.
    pub(super) fields: Fields,
}

pub(super) fn field(key: &str, value: impl Into<Out>) -> (String, Out) {
    (key.to_owned(), value.into())
}

impl From<&str> for Out {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Out {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<String>> for Out {
    fn from(texts: Vec<String>) -> Self {
        Self::List(texts.into_iter().map(Self::Text).collect())
    }
}

impl Out {
    /// On one line, as it can stand within brackets; `None` where it needs lines of its own.
    fn flow(&self) -> Option<String> {
        Some(match self {
            Out::Null => "null".to_owned(),
            Out::Bool(truth) => truth.to_string(),
            Out::Int(number) => number.to_string(),
            Out::Text(text) if text.contains('\n') => return None,
            Out::Text(text) if is_plain(text) => text.clone(),
            Out::Text(text) => in_quotes(text),
            Out::List(items) => {
                let items: Vec<_> = items.iter().map(Out::flow).collect::<Option<_>>()?;
                format!("[{}]", items.join(", "))
            }
            Out::Map(fields) => {
                let pair = |(key, value): &(String, Out)| Some(format!("{}: {}", self::key(key), value.flow()?));
                format!("{{{}}}", fields.iter().map(pair).collect::<Option<Vec<_>>>()?.join(", "))
            }
            Out::Entries(_) => return None,
        })
    }
}

/// Text in quotes, in those that need the fewest escapes.
fn in_quotes(text: &str) -> String {
    let double = quoted(text);
    let is_single = double.len() > text.len() + 2 && !text.contains('\'') && text.chars().all(is_printable);
    if is_single { format!("'{text}'") } else { double }
}

fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~') || c.is_alphanumeric()
}

/// Whether every reader takes a text without quotes for that text, also within brackets.
fn is_plain(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_'));
    let is_simple = begins
        && !text.contains([',', '[', ']', '{', '}', '#', '"'])
        && !text.contains(": ")
        && !text.ends_with([' ', ':', '-'])
        && text.chars().all(is_printable)
        && !matches!(text.to_ascii_lowercase().as_str(), "y" | "n" | "yes" | "no" | "on" | "off");
    // Quotes within a line are well where the reader says so.
    is_simple
        && yaml::parse(&Source::new("", text), &Diagnostics::new())
            .is_some_and(|node| matches!(node.value, Value::Str(read) if read == text))
}

fn key(text: &str) -> String {
    let is_word = text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.'));
    if is_word && is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// Writes a document that is a mapping, with comments above.
pub(super) fn document(comments: &[String], fields: &[(String, Out)]) -> String {
    let mut out = String::new();
    comment(comments, 0, &mut out);
    mapping(fields, 0, &mut out);
    out
}

fn comment(lines: &[String], indent: usize, out: &mut String) {
    for line in lines {
        let line: String = line.chars().map(|c| if c.is_control() || c == '\u{feff}' { ' ' } else { c }).collect();
        out.push_str(&format!("{:indent$}# {}\n", "", line.trim()));
    }
}

/// Writes the keys of a mapping; the first one stands where the writer is.
fn mapping(fields: &[(String, Out)], indent: usize, out: &mut String) {
    for (at, (key, value)) in fields.iter().enumerate() {
        if at > 0 {
            out.push_str(&" ".repeat(indent));
        }
        let key = self::key(key);
        out.push_str(&format!("{key}:"));
        value_after(value, indent, key.len(), out);
    }
}

/// What stands behind a key of this length and its colon, or behind a dash.
fn value_after(value: &Out, indent: usize, before: usize, out: &mut String) {
    let short = value.flow().filter(|flow| indent + before + 2 + flow.len() <= WIDTH);
    match (value, short) {
        (Out::Entries(entries), _) => list_of(entries, indent, out),
        (_, Some(flow)) => out.push_str(&format!(" {flow}\n")),
        (Out::List(items), None) => {
            out.push('\n');
            for item in items {
                out.push_str(&format!("{:1$}-", "", indent + 2));
                value_after(item, indent + 2, 0, out);
            }
        }
        (Out::Map(fields), None) => {
            out.push_str(&format!("\n{:1$}", "", indent + 2));
            mapping(fields, indent + 2, out);
        }
        (Out::Text(text), None) if is_literal(text) => {
            out.push_str(if text.ends_with('\n') { " |\n" } else { " |-\n" });
            for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
                let indent = if line.is_empty() { 0 } else { indent + 2 };
                out.push_str(&format!("{:indent$}{line}\n", ""));
            }
        }
        (Out::Text(text), None) if text.contains('\n') => out.push_str(&format!(" {}\n", in_quotes(text))),
        (scalar, None) => out.push_str(&format!(" {}\n", scalar.flow().unwrap_or_default())),
    }
}

/// Whether a text can be written in lines of its own, as it is.
fn is_literal(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let fits = |line: &str| line.chars().all(|c| is_printable(c) || c == '\t') && !line.ends_with([' ', '\t']);
    text.contains('\n')
        && !body.is_empty()
        && !body.ends_with('\n')
        && !body.starts_with([' ', '\t', '\n'])
        && body.split('\n').all(fits)
}

/// Writes a list of tasks under its key.
fn list_of(entries: &[Entry], indent: usize, out: &mut String) {
    let is_empty = entries.iter().all(|entry| entry.fields.is_empty());
    out.push_str(if is_empty { " []\n" } else { "\n" });
    for entry in entries {
        comment(&entry.comments, indent + 2, out);
        if !entry.fields.is_empty() {
            out.push_str(&format!("{:1$}- ", "", indent + 2));
            mapping(&entry.fields, indent + 4, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(out: &Out) -> serde_json::Value {
        match out {
            Out::Null => serde_json::Value::Null,
            Out::Bool(truth) => (*truth).into(),
            Out::Int(number) => (*number).into(),
            Out::Text(text) => text.as_str().into(),
            Out::List(items) => items.iter().map(json).collect(),
            Out::Map(fields) => fields.iter().map(|(key, value)| (key.clone(), json(value))).collect(),
            Out::Entries(entries) => entries.iter().map(|entry| json(&Out::Map(entry.fields.clone()))).collect(),
        }
    }

    fn values() -> impl Strategy<Value = Out> {
        const ODD: &str =
            "on|y|1:30|0750|~|null|---|\\.\\.\\.|<<|\\*x|a: b|a #|key:|a -|\\{\\{ x \\}\\}|a\n\tb\n|a\u{feff}|\u{85}";
        const TEXTS: &str = "\\PC{0,12}|[a-c \n\t:#'\"{}\\[\\],-]{0,14}|[ab =?!&*|>%@`~<:-]{1,8}|[a-z' ]{90,120}";
        let scalar = prop_oneof![
            Just(Out::Null),
            any::<bool>().prop_map(Out::Bool),
            any::<i64>().prop_map(Out::Int),
            ODD.prop_map(Out::from),
            TEXTS.prop_map(Out::from),
        ];
        scalar.prop_recursive(3, 24, 4, |inner| {
            let map = prop::collection::btree_map("[a-z.]{1,4}|on|1|\\PC{0,4}", inner.clone(), 0..4);
            let map = map.prop_map(|map| Out::Map(map.into_iter().collect()));
            prop_oneof![prop::collection::vec(inner, 0..4).prop_map(Out::List), map]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in values(), said in "\\PC{0,20}") {
            let entry = Entry { comments: vec![said.clone()], fields: vec![field("x", value.clone())] };
            let fields = [field("a", value), field("tasks", Out::Entries(vec![entry.clone(), entry]))];
            let text = document(&[said], &fields);
            let diagnostics = Diagnostics::new();
            let node = yaml::parse(&Source::new("t.yaml", text.as_str()), &diagnostics);
            let node = diagnostics.into_result(node).unwrap_or_else(|error| panic!("{error}\n{text}"));
            prop_assert_eq!(node.to_json(), json(&Out::Map(fields.to_vec())), "{}", text);
        }
    }
}
