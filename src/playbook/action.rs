//! One task's type and fields.

use serde_json::{Map, Value};

use super::load::Loader;
use super::names;
use super::types::{FieldSpec, Shape, TypeSpec};
use crate::fleet::{Content, Field};
use crate::wire::action::{Action, SetFact};
use crate::wire::expr::Engine;

impl Loader<'_> {
    /// Reads a task's fields by the table of its type.
    pub(super) fn action(&mut self, spec: &'static TypeSpec, field: Field<'_>) -> Option<Action> {
        if spec.fields.is_empty() {
            let vars = self.vars(field)?;
            return Some(Action::SetFact(SetFact { values: vars }));
        }
        let mut map = field.mapping(spec.name)?;
        let mut fields = Map::new();
        let mut good = true;
        for known in spec.fields {
            let found = if known.required { map.required(known.name) } else { map.optional(known.name) };
            match found.map(|found| self.value(known, found)) {
                Some(Some(value)) => {
                    fields.insert(known.name.to_owned(), value);
                }
                Some(None) => good = false,
                None => good &= !known.required,
            }
        }
        for names in spec.alternatives {
            let given: Vec<Field<'_>> = names.iter().filter_map(|name| map.key(name)).collect();
            if let [_, second, ..] = given[..] {
                second.error(format!("give one of {}, not both", names.join(" and ")));
                good = false;
            }
            if spec.needs_one && given.is_empty() {
                let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
                let names = match &names[..] {
                    [one, other] => format!("neither {one} nor {other}"),
                    names => format!("none of {}", names.join(", ")),
                };
                field.error_hint(format!("this {} has {names}", spec.name), "give one of them");
                good = false;
            }
        }
        map.finish();
        if !good {
            return None;
        }
        let fields = Map::from_iter([(spec.name.to_owned(), Value::Object(fields))]);
        match serde_json::from_value::<Action>(Value::Object(fields)) {
            Ok(action) => field.take(action.check()).map(|()| action),
            // Unknown fields, which were reported just now.
            Err(_) if !self.diagnostics.is_empty() => None,
            Err(error) => {
                field.error(error.to_string());
                None
            }
        }
    }

    fn value(&mut self, spec: &FieldSpec, field: Field<'_>) -> Option<Value> {
        Some(match spec.shape {
            Shape::Bool => field.bool()?.into(),
            Shape::Number => field.number(0..=u32::MAX.into())?.into(),
            Shape::Port => field.number(1..=u16::MAX.into())?.into(),
            Shape::Words(words) => {
                let words: Vec<(&str, &str)> = words.iter().map(|word| (*word, *word)).collect();
                field.one_of(&words)?.into()
            }
            Shape::Text => self.template_text(field)?.into(),
            Shape::Checked(check) => {
                let text = self.template_text(field)?;
                if !Engine::is_template(text) {
                    field.take(check(text))?;
                }
                text.into()
            }
            Shape::Path => {
                let text = self.template_text(field)?;
                if !Engine::is_template(text) && !text.starts_with('/') {
                    field.error_hint(format!("{text:?} is not an absolute path"), format!("write \"/{text}\""));
                    return None;
                }
                text.into()
            }
            Shape::Mode => {
                let text = self.template_text(field)?;
                let digits = (3..=4).contains(&text.len()) && text.bytes().all(|c| (b'0'..=b'7').contains(&c));
                if !Engine::is_template(text) && !digits {
                    field.error_hint(format!("{text:?} is not a mode"), "write octal digits in quotes: \"0644\"");
                    return None;
                }
                text.into()
            }
            Shape::OneOrMany if field.node().as_str().is_some() => vec![self.template_text(field)?].into(),
            Shape::Texts | Shape::OneOrMany => field.list(|item| self.template_text(item).map(str::to_owned))?.into(),
            Shape::Expressions => match &field.node().value {
                crate::fleet::Value::Seq(_) => field.list(|item| self.expression(item))?.into(),
                _ => vec![self.expression(field)?].into(),
            },
            Shape::TextMap => {
                let entries = field.entries()?.into_iter();
                let entries = entries.filter_map(|(key, value)| {
                    Some((key.node().scalar_text()?.to_owned(), Value::from(self.template_text(value)?)))
                });
                Value::Object(entries.collect())
            }
            Shape::Source => self.source_file(field)?.into(),
            Shape::SourceOrPath => {
                let text = self.template_text(field)?;
                if Engine::is_template(text) || text.starts_with('/') {
                    text.into()
                } else {
                    self.source_file(field)?.into()
                }
            }
            Shape::Template => self.template_file(field)?.into(),
        })
    }

    /// Text that the node renders: it must parse.
    pub(super) fn template_text<'a>(&self, field: Field<'a>) -> Option<&'a str> {
        let text = field.str()?;
        if Engine::is_template(text) {
            field.take(self.engine.check(text))?;
            self.name(names::of_template(text), field.span(), None);
        }
        Some(text)
    }

    /// The hash of a file's content.
    fn source_file(&mut self, field: Field<'_>) -> Option<String> {
        let path = field.inner_path()?;
        match self.files.file(path).map(|file| &file.content) {
            Some(Content::Held(content)) => Some(self.plan.add_blob(content.to_vec())),
            Some(Content::Apart(content)) => {
                self.plan.apart.insert(content.hash.clone(), content.size);
                Some(content.hash.clone())
            }
            None => {
                field.unknown("file", self.files.list("files"));
                None
            }
        }
    }

    /// The hash of a template's text.
    fn template_file(&mut self, field: Field<'_>) -> Option<String> {
        let path = field.inner_path()?;
        let path = path.strip_prefix("templates").unwrap_or(path);
        let Some(content) = self.files.get(camino::Utf8Path::new("templates").join(path)) else {
            let known = self.files.list("templates").map(|path| path.strip_prefix("templates").unwrap_or(path));
            field.unknown("template", known);
            return None;
        };
        let text = match std::str::from_utf8(content) {
            Ok(text) => text,
            Err(_) => {
                field.error(format!("templates/{path} is not text"));
                return None;
            }
        };
        field.take(self.engine.check(text).map_err(|error| error.context(format!("templates/{path}"))))?;
        self.name(names::of_template(text), field.span(), Some(&format!("templates/{path}")));
        Some(self.plan.add_blob(content.to_vec()))
    }
}
