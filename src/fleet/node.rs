//! Values that know where they stand.

use std::fmt;

use super::Span;

/// A value and its place.
#[derive(Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands.
    pub span: Span,
    /// A plain (unquoted) scalar as it was written: `0750`, where the value is the number 750.
    pub plain: Option<String>,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~`, or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction or an exponent, or `.inf`, `.nan`.
    Float(f64),
    /// Text.
    Str(String),
    /// A list.
    Seq(Vec<Node>),
    /// A mapping, in the order of the file, without duplicate keys.
    Map(Vec<(Node, Node)>),
}

impl Value {
    /// What this is called in messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Str(_) => "text",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

impl Node {
    /// The text, where the node is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a scalar: of a plain one as it was written. `None` for lists and mappings.
    pub fn scalar_text(&self) -> Option<&str> {
        self.plain.as_deref().or_else(|| self.as_str())
    }

    /// Whether the value is null.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The value under a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k.scalar_text() == Some(key)).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The value as JSON, for templates and conditions. Keys are taken as they were written; `.inf` and `.nan`, which
    /// JSON lacks, become text.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => Json::from(*value),
            Value::Float(value) => serde_json::Number::from_f64(*value)
                .map_or_else(|| Json::from(self.scalar_text().unwrap_or_default()), Json::Number),
            Value::Str(text) => Json::from(text.as_str()),
            Value::Seq(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => Json::Object(
                entries
                    .iter()
                    .filter_map(|(key, value)| Some((key.scalar_text()?.to_owned(), value.to_json())))
                    .collect(),
            ),
        }
    }

    /// How many nodes there are, this one and all within it.
    pub(super) fn count(&self) -> usize {
        1 + match &self.value {
            Value::Seq(items) => items.iter().map(Node::count).sum(),
            Value::Map(entries) => entries.iter().map(|(key, value)| key.count() + value.count()).sum(),
            _ => 0,
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
