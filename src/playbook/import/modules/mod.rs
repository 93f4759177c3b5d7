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
    /// Their word and ours; a field whose word is empty is left out.
    Words(&'static [(&'static str, &'static str)]),
    /// Only this truth value, which is what our type does anyway.
    Only(bool),
    /// Whatever is said, our type does the same.
    Ignored,
}

/// An argument.
struct Arg {
    /// Its names.
    from: &'static [&'static str],
    /// The field.
    to: &'static str,
    how: How,
    is_required: bool,
}

/// What a table cannot say: takes arguments, and gives fields and, where it is another, the task type.
type Special = fn(&mut Job<'_>, &mut Args) -> (Option<&'static str>, Fields);

/// A module.
pub(super) struct Module {
    names: &'static [&'static str],
    kind: &'static str,
    args: &'static [Arg],
    special: Option<Special>,
}

/// What a task becomes.
pub(super) struct Made {
    pub(super) kind: &'static str,
    pub(super) fields: Fields,
}

/// The order in which people write fields; all others come behind.
const ORDER: [&str; 12] =
    ["name", "names", "user", "url", "path", "argv", "shell", "source", "target", "template", "content", "state"];

/// The module of this name.
pub(super) fn find(name: &str) -> Option<&'static Module> {
    let name = ["ansible.builtin.", "ansible.posix.", "ansible.legacy."]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    table::MODULES.iter().find(|module| module.names.contains(&name))
}

impl Module {
    /// Whether it runs a program of the playbook's.
    pub(super) fn is_command(&self) -> bool {
        self.kind == "command"
    }

    /// Translates a task's arguments; what is wrong with them is said to the job.
    pub(super) fn translate(&self, job: &mut Job<'_>, key: &Node, value: &Node, more: Option<&Node>) -> Made {
        let mut args = Args::of(job, key, value, more, self.is_command());
        let (kind, mut fields) = match self.special {
            Some(special) => special(job, &mut args),
            None => (None, Vec::new()),
        };
        for arg in self.args {
            match args.take(arg.from) {
                Some(node) if !node.is_null() => fields.extend(arg.field(job, &node)),
                _ if arg.is_required && !fields.iter().any(|(name, _)| name == arg.to) => {
                    job.problem(key_span(&args), format!("`{}` is missing", arg.from[0]), "give it");
                }
                _ => {}
            }
        }
        args.finish(job, self.names[0]);
        fields.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()));
        Made { kind: kind.unwrap_or(self.kind), fields }
    }
}

fn key_span(args: &Args) -> &crate::fleet::Span {
    &args.key
}

impl Arg {
    fn field(&self, job: &mut Job<'_>, node: &Node) -> Option<(String, Out)> {
        let out = match self.how {
            How::Text => job.text(node)?.into(),
            How::Path => job.path(node)?.into(),
            How::Mode => job.mode(node)?.into(),
            How::Bool => job.bool(node)?.into(),
            How::Number => Out::Int(job.number(node)?),
            How::Texts => job.texts(node)?.into(),
            How::Words(words) => {
                let text = node.scalar_text().unwrap_or_default();
                let Some((_, ours)) = words.iter().find(|(theirs, _)| *theirs == text) else {
                    let known: Vec<&str> = words.iter().map(|(theirs, _)| *theirs).collect();
                    let why = format!("`{}: {text}`", self.from[0]);
                    job.problem(&node.span, why, format!("only these are translated: {}", known.join(", ")));
                    return None;
                };
                (!ours.is_empty()).then(|| Out::from(*ours))?
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
