//! Jinja's expressions, translated to tera's by their syntax tree; what could mean something else there is refused.

mod emit;
mod facts;
mod filters;
mod lex;
mod operators;
mod parse;
#[cfg(test)]
mod tests;

use super::names::Names;
use crate::wire::expr::{Engine, only_expression};

/// What kind of value an expression has, as far as that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ty {
    Text,
    Number,
    Bool,
    List,
    Map,
    Null,
    /// Now this, now that; printed, it could be something that Python prints in its own way.
    Odd,
    /// Given from elsewhere.
    Unknown,
}

impl Ty {
    /// The type of a value that is one or the other.
    pub(super) fn or(self, other: Ty) -> Ty {
        match (self, other) {
            _ if self == other => self,
            (Ty::Text | Ty::Number | Ty::Unknown, Ty::Text | Ty::Number | Ty::Unknown) => Ty::Unknown,
            _ => Ty::Odd,
        }
    }
}

/// Why an expression has no translation, and where in its text, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) why: String,
    pub(super) hint: String,
}

impl Problem {
    fn new(start: usize, end: usize, why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { start, end, why: why.into(), hint: hint.into() }
    }
}

/// A name that an expression needs, and where in the text it stands.
pub(super) type Use = (String, usize, usize);

/// A translated text or expression.
#[derive(Debug, Clone)]
pub(super) struct Translated {
    pub(super) text: String,
    pub(super) ty: Ty,
    pub(super) uses: Vec<Use>,
}

/// Translates an expression, as `when` has it.
pub(super) fn expression(source: &str, names: &Names) -> Result<Translated, Problem> {
    if let Some(at) = ["{{", "{%", "{#"].iter().find_map(|mark| source.find(mark)) {
        return Err(Problem::new(at, source.len(), "braces within an expression", "name the variable without braces"));
    }
    let (tokens, end) = lex::lex(source, 0, false)?;
    let mut emitter = emit::Emitter::new(names);
    let piece = emitter.emit(&parse::parse(&tokens, 0, end)?)?;
    // tera nests less deep than Jinja in some places.
    Engine::new()
        .check_expression(&piece.text)
        .map_err(|error| Problem::new(0, source.len(), error.one_line(), "write it more simply"))?;
    Ok(Translated { text: piece.text, ty: piece.ty, uses: emitter.uses })
}

/// Translates a text with expressions in braces. One that is nothing but an expression keeps that one's type; `prints` says
/// that it becomes text all the same.
pub(super) fn text(source: &str, names: &Names, prints: bool) -> Result<Translated, Problem> {
    if !Engine::is_template(source) {
        return Ok(Translated { text: source.to_owned(), ty: Ty::Text, uses: Vec::new() });
    }
    let mut out = String::new();
    let mut emitter = emit::Emitter::new(names);
    let (mut at, mut ty) = (0, Ty::Text);
    let is_one = only_expression(source).is_some();
    while let Some(open) = ["{{", "{%", "{#"].iter().filter_map(|mark| source[at..].find(mark)).min() {
        let open = at + open;
        out.push_str(&source[at..open]);
        if !source[open..].starts_with("{{") {
            let hint = "write the text without it, or make it a template by itself, in tera's words";
            return Err(Problem::new(open, source.len(), "a Jinja tag or comment in a value", hint));
        }
        if source[open..].starts_with("{{-") {
            return Err(Problem::new(open, open + 3, "a sign that cuts white space", "leave it out"));
        }
        let (tokens, after) = lex::lex(source, open + 2, true)?;
        let expr = parse::parse(&tokens, open + 2, after - 2)?;
        let piece = emitter.emit(&expr)?;
        ty = piece.ty;
        let printed = if is_one && !prints { piece.text } else { emitter.printed(&expr, &piece)?.text };
        out.push_str(&format!("{{{{ {printed} }}}}"));
        at = after;
    }
    out.push_str(&source[at..]);
    Engine::new()
        .check(&out)
        .map_err(|error| Problem::new(0, source.len(), error.one_line(), "write it more simply"))?;
    Ok(Translated { text: out, ty: if is_one && !prints { ty } else { Ty::Text }, uses: emitter.uses })
}
