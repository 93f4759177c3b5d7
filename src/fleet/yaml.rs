//! A YAML tree that knows where everything stands.
//!
//! Scalars are resolved by the core schema of YAML 1.2.2 (section 10.3): `on`, `yes` and `1:30` are text, `0750` is the
//! number 750, and whatever is quoted is text. Anchors and aliases work, within a bound; merge keys (`<<`, of YAML 1.1)
//! and tags other than the core schema's are refused. Duplicate keys are reported, and the first one counts.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use super::diagnostic::{Diagnostic, Diagnostics, Source, Span};
use super::node::{Node, Value};

/// How deep a document may nest. Operators' files need five or six levels.
const MAX_DEPTH: usize = 64;
/// How many nodes aliases may add to a document ("billion laughs").
const MAX_EXPANDED: usize = 100_000;

/// Reads one YAML document. An empty file is [`Value::Null`].
///
/// `None` where the text is not YAML; duplicate keys and the like are reported and leave a usable tree.
pub fn parse(source: &Arc<Source>, diagnostics: &Diagnostics) -> Option<Node> {
    let mut builder = Builder {
        parser: Parser::new_from_str(source.text()),
        source,
        diagnostics,
        anchors: HashMap::new(),
        expanded: 0,
    };
    builder.document().ok()
}

/// The text cannot be read on; the reason was reported.
struct Stop;

struct Builder<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    source: &'a Arc<Source>,
    diagnostics: &'a Diagnostics,
    anchors: HashMap<usize, Node>,
    expanded: usize,
}

type Parsed<'a> = (Event<'a>, Span);

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(self.stop(&span, "a second document begins here; a file holds one"));
                }
                Event::DocumentStart(_) => {
                    let event = self.next()?;
                    root = Some(self.node(event, 0)?);
                }
                _ => {}
            }
        }
        Ok(root.unwrap_or_else(|| Node {
            value: Value::Null,
            span: Span::start_of(self.source),
            plain: Some(String::new()),
        }))
    }

    fn next(&mut self) -> Result<Parsed<'a>, Stop> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let span = self.span(&span);
                Ok((event, span))
            }
            Some(Err(error)) => Err(self.unreadable(&error)),
            None => Ok((Event::StreamEnd, Span::start_of(self.source))),
        }
    }

    fn node(&mut self, (event, mut span): Parsed<'a>, depth: usize) -> Result<Node, Stop> {
        if depth > MAX_DEPTH {
            return Err(self.stop(&span, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let (value, anchor, plain) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let (value, plain) = self.scalar(&text, style, tag.as_deref(), &span)?;
                (value, anchor, plain)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &span);
                (Value::Seq(self.sequence(depth)?), anchor, None)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &span);
                let entries = self.mapping(depth)?;
                if let Some((key, _)) = entries.first()
                    && (key.span.line, key.span.column) == (span.line, span.column)
                {
                    // A block mapping has no extent of its own on a line: its first key stands for it.
                    span = key.span.clone();
                }
                (Value::Map(entries), anchor, None)
            }
            Event::Alias(anchor) => return self.alias(anchor, &span),
            other => return Err(self.stop(&span, format!("unexpected {other:?}"))),
        };
        let node = Node { value, span, plain };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Node>, Stop> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                event => items.push(self.node(event, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<(Node, Node)>, Stop> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut lines: HashMap<String, u32> = HashMap::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                event => self.node(event, depth + 1)?,
            };
            let event = self.next()?;
            let value = self.node(event, depth + 1)?;
            let Some(text) = key.scalar_text() else {
                self.complex_key(&key);
                continue;
            };
            if key.plain.as_deref() == Some("<<") {
                self.diagnostics.error_hint(
                    &key.span,
                    "merge keys (<<) belong to YAML 1.1 and are not taken",
                    "write the keys out, or share whole values with an alias (key: *name)",
                );
            }
            if let Some(first) = lines.get(text) {
                self.diagnostics.error_hint(
                    &key.span,
                    format!("duplicate key {text:?}"),
                    format!("it was given on line {first} already; keep one of the two"),
                );
                continue;
            }
            lines.insert(text.to_owned(), key.span.line);
            entries.push((key, value));
        }
    }

    /// The commonest way to such a key is a template that was not quoted.
    fn complex_key(&self, key: &Node) {
        let line = self.source.line(key.span.line);
        let template =
            line.contains("{{").then(|| "a value that begins with {{ needs quotes: \"{{ name }}\"".to_owned());
        self.diagnostics.push(Diagnostic {
            span: key.span.clone(),
            message: format!("a key must be text, found {}", key.value.kind()),
            hint: template,
        });
    }

    fn alias(&mut self, anchor: usize, span: &Span) -> Result<Node, Stop> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(self.stop(span, "this alias stands inside of what it repeats"));
        };
        self.expanded += node.count();
        if self.expanded > MAX_EXPANDED {
            return Err(self.stop(span, format!("aliases expand to more than {MAX_EXPANDED} values")));
        }
        Ok(node)
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: &Span,
    ) -> Result<(Value, Option<String>), Stop> {
        let as_text = match tag {
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => true,
            _ => {
                self.refuse_tag(tag, span);
                style != ScalarStyle::Plain
            }
        };
        if as_text {
            return Ok((Value::Str(text.to_owned()), None));
        }
        let value = resolve(text).unwrap_or_else(|| {
            self.diagnostics.error_hint(
                span,
                "this number does not fit into 64 bits",
                format!("write it as text, in quotes: \"{text}\""),
            );
            Value::Int(0)
        });
        Ok((value, Some(text.to_owned())))
    }

    fn refuse_tag(&self, tag: Option<&Tag>, span: &Span) {
        if let Some(tag) = tag {
            let name = if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
            self.diagnostics.error_hint(
                span,
                format!("the tag {name} is not taken"),
                "write the plain value; text that looks like a number goes into quotes",
            );
        }
    }

    fn span(&self, span: &saphyr_parser::Span) -> Span {
        let (start, end) = (span.start, span.end);
        let length = if end.line() == start.line() { end.index().saturating_sub(start.index()) } else { usize::MAX };
        self.place(start.line(), start.col() + 1, length)
    }

    fn place(&self, line: usize, column: usize, length: usize) -> Span {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let line = number(line.max(1));
        let text = self.source.line(line).trim_end();
        let rest = text.chars().count().saturating_sub(column.saturating_sub(1));
        Span { source: self.source.clone(), line, column: number(column), length: number(length.min(rest).max(1)) }
    }

    fn stop(&self, span: &Span, message: impl Into<String>) -> Stop {
        self.diagnostics.error(span, message);
        Stop
    }

    /// Says what is wrong with text that is not YAML; the commonest mistakes in plain words.
    fn unreadable(&self, error: &ScanError) -> Stop {
        let (line, column) = (error.marker().line(), error.marker().col());
        // Inside of a plain scalar the scanner stops at the end of the line before the tab.
        let tab = [line, line + 1].into_iter().find_map(|line| {
            let text = self.source.line(u32::try_from(line).unwrap_or(u32::MAX));
            let indent = &text[..text.len() - text.trim_start().len()];
            indent.chars().position(|c| c == '\t').map(|at| (line, at))
        });
        if let Some((line, at)) = tab {
            self.diagnostics.error_hint(
                &self.place(line, at + 1, 1),
                "a tab cannot indent YAML",
                "indent with spaces, two for each level",
            );
        } else {
            let hint = match error.info() {
                info if info.contains("mapping values are not allowed") => {
                    Some("text that holds a colon and a blank needs quotes; a key begins where its neighbours do")
                }
                info if info.contains("illegal placement of ':'") || info.contains("while parsing a flow") => {
                    Some("a bracket, a brace or a quote may be left open above")
                }
                info if info.contains("block mapping") || info.contains("block collection") => {
                    Some("begin every key of a mapping, and every - of a list, in the same column")
                }
                info if info.contains("trailing content") => {
                    Some("text that begins with a quote ends at the next one; put other quotes around all of it")
                }
                info if info.contains("unexpected character") => {
                    Some("text that begins with this character needs quotes")
                }
                info if info.contains("quoted scalar") => Some("a quote is left open"),
                info if info.contains("unknown anchor") => {
                    Some("define it above with &name; text that begins with * needs quotes")
                }
                _ => None,
            };
            self.diagnostics.push(Diagnostic {
                span: self.place(line, column + 1, 1),
                message: format!("not YAML: {}", error.info()),
                hint: hint.map(str::to_owned),
            });
        }
        Stop
    }
}

/// Resolves a plain scalar by the core schema; `None` where a whole number does not fit into an `i64`.
fn resolve(text: &str) -> Option<Value> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        _ => {
            let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
            let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
            if digits(unsigned, 10) {
                Value::Int(text.parse().ok()?)
            } else if let Some(octal) = text.strip_prefix("0o").filter(|octal| digits(octal, 8)) {
                Value::Int(i64::from_str_radix(octal, 8).ok()?)
            } else if let Some(hex) = text.strip_prefix("0x").filter(|hex| digits(hex, 16)) {
                Value::Int(i64::from_str_radix(hex, 16).ok()?)
            } else if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
                Value::Float(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY })
            } else if unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
                && unsigned.chars().any(|c| c.is_ascii_digit())
                && unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'))
            {
                text.parse().map_or_else(|_| Value::Str(text.to_owned()), Value::Float)
            } else {
                Value::Str(text.to_owned())
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Node, String> {
        let diagnostics = Diagnostics::new();
        let node = parse(&Source::new("t.yaml", text), &diagnostics);
        diagnostics.into_result(node).map_err(|error| error.to_string())
    }

    fn json(text: &str) -> serde_json::Value {
        read(text).unwrap().to_json()
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        let text =
            "[~, null, '', true, True, yes, on, 1, -7, +3, 0o17, 0x1F, 0750, 1.5, 1e3, -.5, 1:30, 1.2.3, ., '1', 1-2]";
        assert_eq!(
            json(text),
            json!([
                null, null, "", true, true, "yes", "on", 1, -7, 3, 15, 31, 750, 1.5, 1000.0, -0.5, "1:30", "1.2.3",
                ".", "1", "1-2"
            ])
        );
        assert_eq!(json(""), json!(null));
        assert_eq!(json("!!str 12"), json!("12"));
        assert_eq!(json("a: |\n  x\n  y\nb: >\n  x\n  y\n"), json!({"a": "x\ny\n", "b": "x y\n"}));
        assert_eq!(read("0750").unwrap().plain.as_deref(), Some("0750"));
        assert_eq!(read("'0750'").unwrap().plain, None);
    }

    #[test]
    fn spans_are_where_things_stand() {
        let node = read("a: 1\nlist:\n  - {x: 'éé', y: \"t\"}\nlong: one two\n  three\n").unwrap();
        let place = |node: &Node| (node.span.line, node.span.column, node.span.length);
        assert_eq!(place(node.get("a").unwrap()), (1, 4, 1));
        let Value::Seq(items) = &node.get("list").unwrap().value else { panic!() };
        assert_eq!(place(&items[0]), (3, 5, 1));
        assert_eq!(place(items[0].get("x").unwrap()), (3, 9, 4));
        assert_eq!(place(items[0].get("y").unwrap()), (3, 18, 3));
        assert_eq!(place(node.get("long").unwrap()), (4, 7, 7));
        assert_eq!(place(&read("a:\n  bcd: 1\n").unwrap().get("a").unwrap().clone()), (2, 3, 3));
    }

    #[test]
    fn anchors_repeat_and_do_not_explode() {
        assert_eq!(json("a: &x [1]\nb: *x\n"), json!({"a": [1], "b": [1]}));
        let mut bomb = "a0: &a0 [x]\n".to_owned();
        for level in 1..30 {
            bomb.push_str(&format!("a{level}: &a{level} [*a{0}, *a{0}, *a{0}]\n", level - 1));
        }
        assert!(read(&bomb).unwrap_err().contains("expand to more than"));
        assert!(read("&x [*x]").unwrap_err().contains("inside of what it repeats"));
    }

    #[test]
    fn what_is_refused_says_so_with_its_place() {
        for (text, expected) in [
            ("a: 1\na: 2\n", "t.yaml:2:1: duplicate key \"a\""),
            ("a: &x {b: 1}\nc:\n  <<: *x\n", "t.yaml:3:3: merge keys"),
            ("a:\n\tb: 1\n", "t.yaml:2:1: a tab cannot indent YAML"),
            ("a: 1\n---\nb: 2\n", "a second document begins here"),
            ("a: !vault x\n", "t.yaml:1:4: the tag !vault is not taken"),
            ("? [a]\n: b\n", "a key must be text"),
            ("a: {{ b }}\n", "hint: a value that begins with {{ needs quotes"),
            ("a: \"x\" == y\n", "put other quotes around all of it"),
            ("a: b: c\n", "hint: text that holds a colon and a blank needs quotes"),
            ("a: 99999999999999999999\n", "t.yaml:1:4: this number does not fit"),
            ("a: [1, 2\nb: 3\n", "not YAML"),
            ("a: *x\n", "not YAML"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text:?} gave {error}");
        }
        assert!(read(&"[".repeat(5000)).is_err());
        assert!(read(&format!("{}{}", "[".repeat(100), "]".repeat(100))).unwrap_err().contains("deeper"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_tree_or_an_error(text in "\\PC{0,80}|[ \t\na-c:\\-\\[\\]{},&*!|>'\"#?0-9.]{0,60}") {
            let _ = read(&text);
        }
    }
}
