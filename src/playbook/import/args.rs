//! A module's arguments: a mapping, or Ansible's short form.

use super::job::Job;
use super::{place, words};
use crate::fleet::{Node, Span, Value};

/// What `command` and `shell` take beside the command itself.
const OF_COMMANDS: [&str; 5] = ["creates", "removes", "chdir", "executable", "stdin"];

/// A module's arguments; each is taken once, and what is left over was not understood.
pub(super) struct Args {
    pub(super) key: Span,
    left: Vec<(Node, Node)>,
    pub(super) line: Option<Node>,
}

impl Args {
    /// Reads the arguments of the module that stands under this key, with those of the task's `args`.
    pub(super) fn of(job: &mut Job, key: &Node, value: &Node, more: Option<&Node>, is_command: bool) -> Self {
        let mut args = Self { key: key.span.clone(), left: Vec::new(), line: None };
        match &value.value {
            Value::Map(entries) => args.left.extend(entries.iter().cloned()),
            Value::Null => {}
            Value::Str(text) => args.short(job, value, text, is_command),
            Value::Seq(_) if is_command => args.line = Some(value.clone()),
            _ => job.problem(&value.span, "the arguments are no mapping", "write `argument: value` below the module"),
        }
        match more.map(|node| &node.value) {
            Some(Value::Map(entries)) => args.left.extend(entries.iter().cloned()),
            Some(_) => job.problem(&args.key, "`args` is no mapping", "write the arguments below the module"),
            None => {}
        }
        args
    }

    fn short(&mut self, job: &mut Job, node: &Node, text: &str, is_command: bool) {
        let words = match words::split(text) {
            Ok(words) => words,
            // A shell has quotes of its own.
            Err(_) if is_command && !OF_COMMANDS.iter().any(|name| text.contains(&format!("{name}="))) => {
                self.line = Some(node.clone());
                return;
            }
            Err(why) => return job.problem(&node.span, why, "write the arguments as a mapping"),
        };
        let mut line = text.to_owned();
        for word in words.iter().rev() {
            let raw = &text[word.start..word.end];
            let at =
                |text: &str| Node { value: Value::Str(text.to_owned()), span: place(&node.span, raw), plain: None };
            match words::pair(word) {
                Some((key, value)) if !is_command || OF_COMMANDS.contains(&key) => {
                    if !is_command && raw.contains('\\') {
                        job.problem(&place(&node.span, raw), "a backslash in a short form", "write a mapping");
                    }
                    self.left.insert(0, (at(key), at(value)));
                    line.replace_range(word.start..word.end, "");
                }
                _ if is_command => {}
                _ => job.problem(&place(&node.span, raw), "this is no `argument=value`", "write a mapping"),
            }
        }
        if is_command {
            let line = Value::Str(line.trim().to_owned());
            self.line = Some(Node { value: line, span: node.span.clone(), plain: None });
        }
    }

    pub(super) fn get(&self, names: &[&str]) -> Option<&Node> {
        let mut found = self.left.iter();
        found.find(|(key, _)| key.scalar_text().is_some_and(|key| names.contains(&key))).map(|(_, value)| value)
    }

    pub(super) fn take(&mut self, names: &[&str]) -> Option<Node> {
        let at = self.left.iter().position(|(key, _)| key.scalar_text().is_some_and(|key| names.contains(&key)))?;
        Some(self.left.remove(at).1)
    }

    /// Puts a file's own name behind an argument that is a folder.
    pub(super) fn complete(&mut self, name: &str, file: &str) {
        for (key, value) in &mut self.left {
            if let (Some(key), Value::Str(text)) = (key.scalar_text(), &mut value.value)
                && key == name
                && text.ends_with('/')
            {
                text.push_str(file.rsplit('/').next().unwrap_or_default());
                value.plain = None;
            }
        }
    }

    /// Takes a truth value; `false` where it is not given.
    pub(super) fn flag(&mut self, job: &mut Job, names: &[&str]) -> bool {
        self.take(names).and_then(|node| job.bool(&node)).unwrap_or_default()
    }

    pub(super) fn finish(self, job: &mut Job, module: &str) {
        for (key, _) in self.left {
            let name = key.scalar_text().unwrap_or_default().to_owned();
            let hint = "leave it out, or write what is meant as a task of its own";
            job.problem(&key.span, format!("the argument `{name}` of {module}"), hint);
        }
    }
}
