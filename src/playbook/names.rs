//! The variables that a template or an expression names, read from its text: enough to tell a mistyped name before anyone
//! is connected to. What is unclear counts as not named.

use std::collections::BTreeSet;

/// Words of tera's that are no variables.
const WORDS: [&str; 32] = [
    "and",
    "or",
    "not",
    "in",
    "is",
    "true",
    "false",
    "none",
    "True",
    "False",
    "None",
    "if",
    "elif",
    "else",
    "endif",
    "for",
    "endfor",
    "set",
    "endset",
    "set_global",
    "block",
    "endblock",
    "raw",
    "endraw",
    "filter",
    "endfilter",
    "extends",
    "include",
    "break",
    "continue",
    "component",
    "endcomponent",
];
/// Words after which the next one names no variable.
const BEFORE_NAMES: [&str; 6] = ["is", "filter", "block", "endblock", "component", "include"];

/// A word, a text (without what it holds) or a sign.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Text,
    Sign(char),
}

/// The variables that a text names.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Those that must be there.
    pub(super) named: BTreeSet<String>,
    /// Those that need not: its own (loop variables, `set`), and those that it asks about (`x is defined`, `x | default(…)`,
    /// `x or y`).
    pub(super) own: BTreeSet<String>,
}

/// The variables that an expression names.
pub(super) fn of_expression(text: &str) -> Names {
    let mut names = Names::default();
    read(&tokens(text), &mut names);
    names.named.retain(|name| !names.own.contains(name));
    names
}

/// The variables that a template names.
pub(super) fn of_template(text: &str) -> Names {
    let mut names = Names::default();
    let mut rest = text;
    while let Some(at) = rest.find("{{").into_iter().chain(rest.find("{%")).chain(rest.find("{#")).min() {
        let (close, is_code) = match rest.as_bytes()[at + 1] {
            b'{' => ("}}", true),
            b'%' => ("%}", true),
            _ => ("#}", false),
        };
        let inner = &rest[at + 2..];
        let end = inner.find(close).unwrap_or(inner.len());
        let code = inner[..end].trim_matches(['-', ' ', '\n']);
        rest = inner.get(end + close.len()..).unwrap_or_default();
        if code == "raw" {
            rest = rest.find("endraw").map_or("", |at| &rest[at..]);
        } else if is_code {
            read(&tokens(code), &mut names);
        }
    }
    names.named.retain(|name| !names.own.contains(name));
    names
}

fn read(tokens: &[Token<'_>], found: &mut Names) {
    let word = |at: usize| match tokens.get(at) {
        Some(Token::Word(word)) => *word,
        _ => "",
    };
    let sign = |at: usize, sign: char| tokens.get(at) == Some(&Token::Sign(sign));
    if matches!(word(0), "for" | "set" | "set_global") {
        let own = tokens.iter().take_while(|token| **token != Token::Word("in") && **token != Token::Sign('='));
        found.own.extend(own.skip(1).filter_map(|token| match token {
            Token::Word(name) => Some((*name).to_owned()),
            _ => None,
        }));
    }
    for at in 0..tokens.len() {
        let name = word(at);
        if name.is_empty() || WORDS.contains(&name) || name.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let before = at.checked_sub(1);
        let follows = |words: &[&str]| before.is_some_and(|before| words.contains(&word(before)));
        let is_part = before.is_some_and(|before| sign(before, '.') || sign(before, '|'));
        let is_test = follows(&BEFORE_NAMES) || (follows(&["not"]) && at > 1 && word(at - 2) == "is");
        let is_argument = sign(at + 1, '=') && !sign(at + 2, '=');
        if is_part || is_test || is_argument || sign(at + 1, '(') {
            continue;
        }
        // Behind the whole path: what is asked of it.
        let mut end = at + 1;
        while sign(end, '.') && !word(end + 1).is_empty() {
            end += 2;
        }
        let asked = (word(end) == "is" && matches!(word(end + 1), "defined" | "undefined" | "not"))
            || (sign(end, '|') && word(end + 1) == "default")
            || word(end) == "or";
        if asked {
            found.own.insert(name.to_owned())
        } else {
            found.named.insert(name.to_owned())
        };
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if first.is_alphanumeric() || first == '_' {
            let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            tokens.push(Token::Word(&rest[..length]));
            length
        } else if matches!(first, '"' | '\'' | '`') {
            tokens.push(Token::Text);
            rest[1..].find(first).map_or(rest.len(), |end| end + 2)
        } else {
            if !first.is_whitespace() {
                tokens.push(Token::Sign(first));
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(found: Names) -> String {
        found.named.into_iter().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn expressions_name_what_must_be_there() {
        for (text, expected) in [
            ("a.b == \"c d\" and not e", "a e"),
            ("x is defined and y", "y"),
            ("x.y | default(value=z)", "z"),
            ("x or y", "y"),
            ("result.rc != 0", "result"),
            ("n is starting_with(pat=p)", "n p"),
            ("n is not containing(pat=\"x\")", ""),
            ("[a, 1, 'b'] | length > 2", "a"),
            ("{\"k\": v}", "v"),
        ] {
            assert_eq!(names(of_expression(text)), expected, "{text}");
        }
    }

    #[test]
    fn templates_have_names_of_their_own() {
        for (text, expected) in [
            ("plain {{ a }} and {{- b.c | upper -}}", "a b"),
            ("{% for k, v in map %}{{ k }}={{ v }} {{ loop.index }}{% endfor %}", "loop map"),
            ("{% set x = y %}{{ x }}", "y"),
            ("{# {{ no }} #}{% if a %}{{ b }}{% endif %}", "a b"),
            ("{% raw %}{{ no }}{% endraw %}{{ a }}", "a"),
            ("{% if a is defined %}{{ a }}{% endif %}", ""),
        ] {
            assert_eq!(names(of_template(text)), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(\\{\\{|\\}\\}|\\{%|%\\}|[a-z \"'.|=(é]){0,40}") {
            of_template(&text);
            of_expression(&text);
        }
    }
}
