//! From nodes to types, collecting mistakes.
//!
//! A loader takes a mapping's fields by name, turns each into its type, and says at the end that it has taken all. What
//! is missing, of the wrong type or unknown is reported with its place; the loader goes on, so that one run tells all.
//!
//! ```
//! use stead::fleet::{Diagnostics, Field, Source, yaml};
//!
//! struct Disk { path: String, copies: u64 }
//!
//! fn disk(field: Field<'_>) -> Option<Disk> {
//!     let mut map = field.mapping("a disk")?;
//!     let path = map.required("path").and_then(|f| f.string());
//!     let copies = map.optional("copies").and_then(|f| f.number(1..=9)).unwrap_or(1);
//!     map.finish();
//!     Some(Disk { path: path?, copies })
//! }
//!
//! let diagnostics = Diagnostics::new();
//! let node = yaml::parse(&Source::new("disk.yaml", "path: /srv\ncopys: 2\n"), &diagnostics);
//! let read = node.as_ref().and_then(|node| disk(Field::root(node, &diagnostics)));
//! let error = diagnostics.into_result(read).err().unwrap().to_string();
//! assert!(error.starts_with("disk.yaml:2:1: unknown key \"copys\" in a disk"));
//! assert!(error.ends_with("hint: did you mean \"copies\"?"));
//! ```

use std::ops::RangeInclusive;
use std::str::FromStr;

use super::diagnostic::{Diagnostics, Span};
use super::node::{Node, Value};
use crate::Error;

/// A value with its name, on its way to a type. Every method reports what is wrong and then gives `None`.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    node: &'a Node,
    /// The key, where the value stands under one.
    key: Option<&'a Node>,
    name: &'a str,
    diagnostics: &'a Diagnostics,
}

impl<'a> Field<'a> {
    /// A whole document.
    pub fn root(node: &'a Node, diagnostics: &'a Diagnostics) -> Self {
        Self { node, key: None, name: "", diagnostics }
    }

    /// The key that the value stands under; of a list's item the list's.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The value itself.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// Where it stands.
    pub fn span(&self) -> &'a Span {
        &self.node.span
    }

    /// Where mistakes are reported.
    pub fn diagnostics(&self) -> &'a Diagnostics {
        self.diagnostics
    }

    /// Reports a mistake in this value.
    pub fn error(&self, message: impl Into<String>) {
        self.diagnostics.error(&self.node.span, message);
    }

    /// Reports a mistake in this value with the way out.
    pub fn error_hint(&self, message: impl Into<String>, hint: impl Into<String>) {
        self.diagnostics.error_hint(&self.node.span, message, hint);
    }

    /// Reports that this value names something that is not there, with the nearest name that is.
    pub fn unknown(&self, what: &str, known: impl IntoIterator<Item = impl AsRef<str>>) {
        let name = self.node.scalar_text().unwrap_or_default();
        self.diagnostics.push(super::Diagnostic {
            span: self.node.span.clone(),
            message: format!("unknown {what} {name:?}"),
            hint: nearest_hint(name, known),
        });
    }

    fn wrong(&self, expected: &str, hint: Option<String>) {
        let subject = if self.name.is_empty() { "this".to_owned() } else { format!("{:?}", self.name) };
        let found = match self.node.scalar_text() {
            Some(text) if !self.node.is_null() && text.len() <= 40 => format!("{} ({text})", self.node.value.kind()),
            _ => self.node.value.kind().to_owned(),
        };
        self.diagnostics.push(super::Diagnostic {
            span: self.node.span.clone(),
            message: format!("{subject} must be {expected}, found {found}"),
            hint,
        });
    }

    /// Text. A number or a truth value that is not quoted is refused, since its spelling may matter (`1.10`).
    pub fn str(&self) -> Option<&'a str> {
        if let Some(text) = self.node.as_str() {
            return Some(text);
        }
        let quoted = self.node.scalar_text().filter(|text| !text.is_empty());
        self.wrong("text", quoted.map(|text| format!("write it in quotes: \"{text}\"")));
        None
    }

    /// As [`Field::str`], as a value of its own.
    pub fn string(&self) -> Option<String> {
        self.str().map(str::to_owned)
    }

    /// Text that is not empty and has no blanks around it.
    pub fn name_text(&self) -> Option<&'a str> {
        let text = self.str()?;
        if text.is_empty() || text.trim() != text {
            self.error(format!("{:?} must not be empty, nor begin or end with a blank", self.name));
            return None;
        }
        Some(text)
    }

    /// `true` or `false`.
    pub fn bool(&self) -> Option<bool> {
        if let Value::Bool(value) = self.node.value {
            return Some(value);
        }
        let meant = match self.node.scalar_text().map(str::to_ascii_lowercase).as_deref() {
            Some("yes" | "on" | "y" | "true") => Some("write true"),
            Some("no" | "off" | "n" | "false") => Some("write false"),
            _ => None,
        };
        self.wrong("true or false", meant.map(str::to_owned));
        None
    }

    /// A whole number within bounds.
    pub fn number(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let (low, high) = (*bounds.start(), *bounds.end());
        match self.node.value {
            Value::Int(value) => {
                if let Some(value) = u64::try_from(value).ok().filter(|value| bounds.contains(value)) {
                    return Some(value);
                }
                let range = if high == u64::MAX { format!("{low} or more") } else { format!("from {low} to {high}") };
                self.error(format!("{:?} must be {range}, found {value}", self.name));
            }
            _ => self.wrong("a whole number", None),
        }
        None
    }

    /// A whole number of 0 or more.
    pub fn u64(&self) -> Option<u64> {
        self.number(0..=u64::MAX)
    }

    /// One of a few words, each with what it means.
    pub fn one_of<T: Clone>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.str()?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let known = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
            let near = nearest(text, words.iter().map(|(word, _)| *word));
            let message = format!("{:?} cannot be {text:?}", self.name);
            let hint = match near {
                Some(near) => format!("did you mean {near:?}? Known are: {known}"),
                None => format!("known are: {known}"),
            };
            self.error_hint(message, hint);
        }
        found.map(|(_, value)| value.clone())
    }

    /// Text of a form that a type knows ([`super::scalar`], ids, addresses).
    pub fn parse<T: FromStr<Err = Error>>(&self) -> Option<T> {
        // What was written counts, so that an unquoted 10 in place of a size hears about sizes, not about quotes.
        let Some(text) = self.node.scalar_text().filter(|_| !self.node.is_null()) else {
            self.wrong("text", None);
            return None;
        };
        self.take(text.parse())
    }

    /// The value of a result; an error is reported at this place, with its first hint.
    pub fn take<T>(&self, result: Result<T, Error>) -> Option<T> {
        result
            .map_err(|error| {
                self.diagnostics.push(super::Diagnostic {
                    span: self.node.span.clone(),
                    message: error.one_line(),
                    hint: error.hints().first().cloned(),
                });
            })
            .ok()
    }

    /// Text that passes a check.
    pub fn checked(&self, check: impl FnOnce(&str) -> Result<(), Error>) -> Option<&'a str> {
        let text = self.str()?;
        self.take(check(text)).map(|()| text)
    }

    /// As [`Field::parse`], for forms that must be written as text, because a number's spelling would be lost on other
    /// readers: modes, prices.
    pub fn parse_text<T: FromStr<Err = Error>>(&self) -> Option<T> {
        self.str()?;
        self.parse()
    }

    /// A path within the fleet's folder: relative, and not leading out of it.
    pub fn inner_path(&self) -> Option<&'a camino::Utf8Path> {
        let text = self.name_text()?;
        let path = camino::Utf8Path::new(text);
        if path.components().all(|part| matches!(part, camino::Utf8Component::Normal(_))) {
            return Some(path);
        }
        self.error_hint(format!("{text:?} leads out of the fleet's folder"), "write a path relative to that folder");
        None
    }

    /// Whatever stands there, as JSON.
    pub fn json(&self) -> serde_json::Value {
        self.node.to_json()
    }

    /// A mapping of free keys, as JSON: variables.
    pub fn json_object(&self) -> Option<serde_json::Map<String, serde_json::Value>> {
        match self.json() {
            serde_json::Value::Object(object) => Some(object),
            _ => {
                self.wrong("a mapping", None);
                None
            }
        }
    }

    /// A list, each item read by `item`. Items that cannot be read are left out, having been reported.
    pub fn list<T>(&self, mut item: impl FnMut(Field<'a>) -> Option<T>) -> Option<Vec<T>> {
        let Value::Seq(items) = &self.node.value else {
            let hint = self.node.scalar_text().filter(|text| !text.is_empty()).map(|text| format!("write [{text}]"));
            self.wrong("a list", hint);
            return None;
        };
        Some(items.iter().filter_map(|node| item(Field { node, key: None, ..*self })).collect())
    }

    /// A list of texts.
    pub fn strings(&self) -> Option<Vec<String>> {
        self.list(|item| item.string())
    }

    /// The entries of a mapping whose keys are names: each key as a field of its own, and its value under that name.
    pub fn entries(&self) -> Option<Vec<(Field<'a>, Field<'a>)>> {
        let Value::Map(entries) = &self.node.value else {
            self.wrong("a mapping", None);
            return None;
        };
        let diagnostics = self.diagnostics;
        Some(
            entries
                .iter()
                .filter_map(|(key, node)| {
                    let name = key.scalar_text()?;
                    let value = Field { node, key: Some(key), name, diagnostics };
                    Some((Field { node: key, key: None, ..value }, value))
                })
                .collect(),
        )
    }

    /// A mapping with known keys; `what` is what it describes, with its article (`a tier`).
    pub fn mapping(&self, what: &'static str) -> Option<MapReader<'a>> {
        if !matches!(self.node.value, Value::Map(_)) {
            self.wrong(&format!("a mapping that describes {what}"), None);
            return None;
        }
        Some(MapReader { at: *self, what, entries: self.entries()?, known: Vec::new(), missing: Vec::new() })
    }
}

/// Takes a mapping's fields by name.
pub struct MapReader<'a> {
    at: Field<'a>,
    what: &'static str,
    entries: Vec<(Field<'a>, Field<'a>)>,
    known: Vec<&'static str>,
    missing: Vec<&'static str>,
}

impl<'a> MapReader<'a> {
    /// The mapping itself.
    pub fn at(&self) -> Field<'a> {
        self.at
    }

    /// A field that may be absent. A field without a value (`vars:` and nothing) counts as absent.
    pub fn optional(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.known.push(key);
        let found = self.entries.iter().find(|(_, value)| value.name == key)?;
        (!found.1.node.is_null()).then_some(found.1)
    }

    /// A field that must be there; [`MapReader::finish`] reports it where it is not.
    pub fn required(&mut self, key: &'static str) -> Option<Field<'a>> {
        let field = self.optional(key);
        if field.is_none() {
            match self.key(key) {
                Some(empty) => empty.error(format!("{key:?} needs a value")),
                None => self.missing.push(key),
            }
        }
        field
    }

    /// The key itself, where it is given: for messages that are about its presence.
    pub fn key(&self, key: &str) -> Option<Field<'a>> {
        self.entries.iter().find(|(_, value)| value.name == key).map(|(key, _)| *key)
    }

    /// Every key that is given, in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = Field<'a>> + '_ {
        self.entries.iter().map(|(key, _)| *key)
    }

    /// Reports every key that was not asked for, with the nearest of those that were, and every field that is missing.
    pub fn finish(self) {
        let Self { at, what, entries, known, mut missing } = self;
        for (key, _) in entries.iter().filter(|(_, value)| !known.contains(&value.name)) {
            if key.name == "<<" {
                // Refused by the parser. What it would have brought in is not missing.
                missing.clear();
                continue;
            }
            // A mistyped key is one mistake: the field that it was meant to be is not missing as well.
            let meant = nearest(key.name, known.iter().copied());
            missing.retain(|field| Some(*field) != meant);
            at.diagnostics.push(super::Diagnostic {
                span: key.node.span.clone(),
                message: format!("unknown key {:?} in {what}", key.name),
                hint: nearest_hint(key.name, &known),
            });
        }
        for field in missing {
            at.diagnostics.error(&at.key.unwrap_or(at.node).span, format!("{what} needs {field:?}"));
        }
    }
}

/// The known name that is nearest to a mistyped one, where one is near enough to have been meant.
pub fn nearest<S: AsRef<str>>(name: &str, known: impl IntoIterator<Item = S>) -> Option<S> {
    let far = name.chars().count().div_ceil(3);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate.as_ref()), candidate))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A hint for an unknown name: the nearest known one, or else all of them.
pub fn nearest_hint(name: &str, known: impl IntoIterator<Item = impl AsRef<str>>) -> Option<String> {
    let mut known: Vec<_> = known.into_iter().collect();
    if let Some(near) = nearest(name, known.iter().map(AsRef::as_ref)) {
        return Some(format!("did you mean {near:?}?"));
    }
    known.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
    let names = known.iter().map(AsRef::as_ref).collect::<Vec<_>>();
    match names.len() {
        0 => None,
        1..=24 => Some(format!("known are: {}", names.join(", "))),
        more => Some(format!("known are: {}, and {} more", names[..24].join(", "), more - 24)),
    }
}
