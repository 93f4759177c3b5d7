//! Ansible's modules, in one table: which argument becomes which field, and how. What stands in no table has no
//! translation.

mod command;
mod content;
mod special;
mod table;

use super::args::Args;
use super::job::Job;
use super::scalar::truth;
use super::write::{Fields, Out, field};
use crate::fleet::Node;

/// How an argument becomes a field.
#[derive(Clone, Copy)]
enum How {
    Text,
    Path,
    Mode,
    Bool,
    Number,
    /// Texts in a list, or with commas between them.
    Texts,
    /// One of these words; `present` need not be said.
    Words(&'static [&'static str]),
    /// Only this truth value, which is what our type does anyway.
    Only(bool),
    /// Whatever is said, our type does the same.
    Ignored,
}

struct Arg {
    from: &'static [&'static str],
    to: &'static str,
    how: How,
    is_required: bool,
}

/// What a table cannot say: the task type, where it is another, and fields.
type Given = (Option<&'static str>, Fields);
type Special = fn(&mut Job, &mut Args) -> Given;

pub(super) struct Module {
    names: &'static [&'static str],
    kind: &'static str,
    args: &'static [Arg],
    special: Special,
}

/// What a task becomes: its type, and the type's fields.
pub(super) type Made = (&'static str, Fields);

/// The order in which people write fields; all others come behind.
const ORDER: [&str; 12] =
    ["name", "names", "user", "url", "path", "argv", "shell", "source", "target", "template", "content", "state"];

pub(super) fn find(name: &str) -> Option<&'static Module> {
    let prefixes = ["ansible.builtin.", "ansible.posix.", "ansible.legacy."];
    let name = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    table::MODULES.iter().find(|module| module.names.contains(&name))
}

impl Module {
    pub(super) fn is_command(&self) -> bool {
        self.kind == "command"
    }

    /// Translates a task's arguments; what is wrong with them is said to the job.
    pub(super) fn translate(&self, job: &mut Job, key: &Node, value: &Node, more: Option<&Node>) -> Made {
        let mut args = Args::of(job, key, value, more, self.is_command());
        let (kind, mut fields) = (self.special)(job, &mut args);
        for arg in self.args {
            match args.take(arg.from) {
                Some(node) if !node.is_null() => fields.extend(arg.field(job, &node)),
                _ if arg.is_required && !fields.iter().any(|(name, _)| name == arg.to) => {
                    job.problem(&args.key, format!("`{}` is missing", arg.from[0]), "give it");
                }
                _ => {}
            }
        }
        args.finish(job, self.names[0]);
        fields.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()));
        (kind.unwrap_or(self.kind), fields)
    }
}

impl Arg {
    fn field(&self, job: &mut Job, node: &Node) -> Option<(String, Out)> {
        let out = match self.how {
            How::Text => job.text(node)?.into(),
            How::Path => job.path(node)?.into(),
            How::Mode => job.mode(node)?.into(),
            How::Bool => Out::Bool(job.bool(node)?),
            How::Number => Out::Int(job.number(node)?),
            How::Texts => job.texts(node)?.into(),
            How::Words(words) => {
                let text = node.scalar_text().unwrap_or_default();
                if !words.contains(&text) {
                    let hint = format!("only these are translated: {}", words.join(", "));
                    job.problem(&node.span, format!("`{}: {text}`", self.from[0]), hint);
                    return None;
                }
                (text != "present").then(|| text.into())?
            }
            How::Only(only) => {
                if truth(node) != Some(only) {
                    let hint = "leave it out, or write what is meant as a task of its own";
                    job.problem(&node.span, format!("`{}`, unless it is {only}", self.from[0]), hint);
                }
                return None;
            }
            How::Ignored => return None,
        };
        Some(field(self.to, out))
    }
}
