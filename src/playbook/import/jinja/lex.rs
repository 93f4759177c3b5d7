//! Jinja's tokens, within one expression.

use super::Problem;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name, or a word of the language.
    Name(String),
    Text(String),
    Int(i64),
    Op(&'static str),
}

/// A token with its place, in bytes from the beginning of the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The longer ones first.
const OPS: [&str; 25] = [
    "//", "**", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",",
    ":", ".", "|",
];
/// No expression that people write is longer, in tokens.
const MAX_TOKENS: usize = 300;

/// Reads tokens from `start` on: up to the text's end, or up to `}}` where that closes the expression. Gives the tokens,
/// and where the rest of the text begins.
pub(super) fn lex(text: &str, start: usize, closes: bool) -> Result<(Vec<Placed>, usize), Problem> {
    let mut tokens = Vec::new();
    let (mut at, mut depth) = (start, 0_usize);
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        let rest = &text[at..];
        if closes && depth == 0 && rest.starts_with("}}") {
            return Ok((tokens, at + 2));
        }
        let Some(first) = rest.chars().next() else {
            return if closes {
                Err(Problem::new(start.saturating_sub(2), text.len(), "}} is missing", "close the expression"))
            } else {
                Ok((tokens, at))
            };
        };
        let (token, length) = if first == '_' || first.is_ascii_alphabetic() {
            let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            (Token::Name(rest[..length].to_owned()), length)
        } else if first.is_ascii_digit() {
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
            let length = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
            let why = "a number that is no plain whole one";
            let number = rest[..length].parse().map(Token::Int);
            (number.map_err(|_| Problem::new(at, at + length, why, "give it as a variable"))?, length)
        } else if first == '"' || first == '\'' {
            quoted(rest, first, at)?
        } else if let Some(op) = OPS.iter().find(|op| rest.starts_with(**op)) {
            match *op {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            (Token::Op(op), op.len())
        } else {
            let why = format!("{first:?} has no meaning here");
            return Err(Problem::new(at, at + first.len_utf8(), why, "look at the expression"));
        };
        tokens.push(Placed { token, start: at, end: at + length });
        at += length;
        if tokens.len() > MAX_TOKENS {
            return Err(Problem::new(start, at, "the expression is too long", "split it up"));
        }
    }
}

fn quoted(rest: &str, quote: char, at: usize) -> Result<(Token, usize), Problem> {
    let Some(length) = rest[1..].find(quote).map(|end| end + 2) else {
        return Err(Problem::new(at, at + rest.len(), "a quote is left open", "close it"));
    };
    let inner = &rest[1..length - 1];
    if inner.contains('\\') {
        let hint = "give the text as a variable, or take a character class: [.] for \\.";
        return Err(Problem::new(at, at + length, "a backslash in an expression's text", hint));
    }
    Ok((Token::Text(inner.to_owned()), length))
}
