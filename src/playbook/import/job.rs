//! One task at work: what it may name, what was found wrong with it, and how its values are translated.

use std::collections::{BTreeMap, BTreeSet};

use super::jinja::{self, Problem, Translated, Ty};
use super::names::Names;
use super::scalar::{scalar, truth};
use super::write::Out;
use super::{Note, place};
use crate::fleet::{Node, Span, Value};
use crate::wire::expr::{Engine, only_expression};

/// A task, or a value of a play's, while it is translated.
pub(super) struct Job {
    pub(super) names: Names,
    pub(super) what: String,
    pub(super) problems: Vec<Note>,
    /// What it says, if it is not left out.
    pub(super) all: Gathered,
    pub(super) is_handler: bool,
}

/// What all tasks of a play say.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) notes: Vec<Note>,
    /// What a whole task type does otherwise.
    pub(super) remarks: BTreeSet<&'static str>,
    /// Names that nothing in the playbook defines, where they are used first.
    pub(super) undefined: BTreeMap<String, Span>,
    pub(super) files: BTreeSet<String>,
}

impl Gathered {
    /// Takes in what a task says; of what is used twice, the first place stays.
    pub(super) fn absorb(&mut self, other: Self) {
        self.notes.extend(other.notes);
        self.remarks.extend(other.remarks);
        self.files.extend(other.files);
        for (name, span) in other.undefined {
            self.undefined.entry(name).or_insert(span);
        }
    }
}

impl Job {
    pub(super) fn new(names: &Names, what: impl Into<String>) -> Self {
        let (names, what, all) = (names.clone(), what.into(), Gathered::default());
        Self { names, what, problems: Vec::new(), all, is_handler: false }
    }

    /// Says why the task is left out.
    pub(super) fn problem(&mut self, span: &Span, why: impl Into<String>, hint: impl Into<String>) {
        let what = self.what.clone();
        self.problems.push(Note { span: span.clone(), what, why: why.into(), hint: hint.into() });
    }

    /// Says what has to be seen to, though the task is translated.
    pub(super) fn note(&mut self, span: &Span, why: impl Into<String>, hint: impl Into<String>) {
        let what = self.what.clone();
        self.all.notes.push(Note { span: span.clone(), what, why: why.into(), hint: hint.into() });
    }

    pub(super) fn remark(&mut self, text: &'static str) {
        self.all.remarks.insert(text);
    }

    /// Takes a translation in: what it needs, or why there is none.
    fn taken(&mut self, node: &Node, source: &str, result: Result<Translated, Problem>) -> Option<Translated> {
        let spot = |start: usize, end: usize| place(&node.span, source.get(start..end).unwrap_or_default());
        match result {
            Ok(translated) => {
                for (name, start, end) in &translated.uses {
                    self.all.undefined.entry(name.clone()).or_insert_with(|| spot(*start, *end));
                }
                Some(translated)
            }
            Err(Problem { start, end, why, hint }) => {
                self.problem(&spot(start, end), why, hint);
                None
            }
        }
    }

    pub(super) fn expression(&mut self, node: &Node) -> Option<String> {
        match scalar(node) {
            Ok(Out::Bool(truth)) => Some(truth.to_string()),
            Ok(Out::Text(text)) => {
                let result = jinja::expression(&text, &self.names);
                self.taken(node, &text, result).map(|translated| translated.text)
            }
            _ => {
                self.problem(&node.span, "this is no expression", "write one, or true or false");
                None
            }
        }
    }

    /// A text that may have expressions, with its type where it is nothing but one of them.
    pub(super) fn kept(&mut self, node: &Node, source: &str) -> Option<(String, Ty)> {
        let result = jinja::text(source, &self.names, false);
        self.taken(node, source, result).map(|translated| (translated.text, translated.ty))
    }

    /// A text, as a module takes it that wants text.
    pub(super) fn text(&mut self, node: &Node) -> Option<String> {
        match scalar(node) {
            Ok(Out::Text(text)) => {
                let result = jinja::text(&text, &self.names, true);
                self.taken(node, &text, result).map(|translated| translated.text)
            }
            Ok(Out::Int(number)) => Some(number.to_string()),
            other => self.no_text(node, other.err().unwrap_or("text is expected here")),
        }
    }

    fn no_text<T>(&mut self, node: &Node, why: &str) -> Option<T> {
        self.problem(&node.span, why, "write it in quotes, as it is meant");
        None
    }

    pub(super) fn path(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        if text.starts_with('/') || text.starts_with("{{") {
            return Some(text);
        }
        self.problem(&node.span, format!("{text:?} is not an absolute path"), "write the path from / on");
        None
    }

    pub(super) fn mode(&mut self, node: &Node) -> Option<String> {
        let is_octal = |text: &str| text.bytes().all(|c| (b'0'..=b'7').contains(&c)) && (3..=4).contains(&text.len());
        match (&node.plain, &node.value) {
            (Some(plain), Value::Int(_)) if plain.starts_with('0') && is_octal(plain) => return Some(plain.clone()),
            (None, Value::Str(text)) if is_octal(text) => return Some(text.clone()),
            (_, Value::Str(text)) if Engine::is_template(text) => return self.text(node),
            _ => {}
        }
        self.problem(&node.span, "a mode that is not in octal digits", "write it in quotes: \"0644\"");
        None
    }

    pub(super) fn bool(&mut self, node: &Node) -> Option<bool> {
        self.wanted(node, truth(node), "true or false")
    }

    pub(super) fn number(&mut self, node: &Node) -> Option<i64> {
        let number = match scalar(node) {
            Ok(Out::Int(number)) => Some(number),
            Ok(Out::Text(text)) => text.parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| (0..=i64::from(u32::MAX)).contains(number));
        self.wanted(node, number, "a whole number")
    }

    fn wanted<T>(&mut self, node: &Node, value: Option<T>, what: &str) -> Option<T> {
        if value.is_none() {
            let why = format!("{what} is expected here, and no expression");
            self.problem(&node.span, why, "write it out, or make two tasks with a `when` each");
        }
        value
    }

    /// Texts: a list of them, or one with commas between them.
    pub(super) fn texts(&mut self, node: &Node) -> Option<Vec<String>> {
        if let Value::Seq(items) = &node.value {
            return items.iter().map(|item| self.text(item)).collect();
        }
        let text = node.as_str().unwrap_or_default();
        if only_expression(text).is_some() {
            // A list in a list of texts stands for its elements.
            return self.kept(node, text).and_then(|(kept, ty)| match ty {
                Ty::List => Some(vec![kept]),
                _ => self.text(node).map(|text| vec![text]),
            });
        }
        let text = self.text(node)?;
        Some(text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect())
    }

    /// A value of any kind, as variables and loops have it.
    pub(super) fn value(&mut self, node: &Node) -> Option<Out> {
        match &node.value {
            Value::Seq(items) => items.iter().map(|item| self.value(item)).collect::<Option<_>>().map(Out::List),
            Value::Map(entries) => {
                let pair = |(key, value): &(Node, Node)| Some((key.scalar_text()?.to_owned(), self.value(value)?));
                entries.iter().map(pair).collect::<Option<_>>().map(Out::Map)
            }
            _ => match scalar(node) {
                Ok(Out::Text(text)) => self.kept(node, &text).map(|(text, _)| Out::Text(text)),
                Ok(out) => Some(out),
                Err(why) => self.no_text(node, why),
            },
        }
    }
}
