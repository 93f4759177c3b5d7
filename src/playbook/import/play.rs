//! A play: its variables, its tasks, its handlers.

use std::collections::BTreeSet;

use super::job::{Gathered, Job};
use super::names::{Names, Outcome, is_identifier};
use super::scalar::truth;
use super::write::{Fields, Out, field};
use super::{Note, modules};
use crate::fleet::{Node, Span, Value};

#[derive(Default)]
pub(super) struct Play {
    pub(super) names: Names,
    pub(super) dead: Dead,
    /// Handlers that are there to be notified.
    pub(super) handlers: BTreeSet<String>,
    pub(super) all: Gathered,
    /// Lines about the play, for people.
    pub(super) about: Vec<String>,
    /// Tasks and handlers that were found, and those of them that are left out.
    pub(super) found: usize,
    pub(super) lost: usize,
}

/// What is not there, since what gives it was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Dead {
    pub(super) names: BTreeSet<String>,
    pub(super) handlers: BTreeSet<String>,
}

impl Play {
    /// A play that knows what is not there.
    pub(super) fn with(dead: Dead) -> Self {
        let mut play = Self { dead, ..Self::default() };
        play.names.dead.clone_from(&play.dead.names);
        play
    }

    fn note(&mut self, span: &Span, why: impl Into<String>, hint: &str) {
        let note = Note { span: span.clone(), what: "the play".to_owned(), why: why.into(), hint: hint.to_owned() };
        self.all.notes.push(note);
    }

    pub(super) fn tasks(&mut self, node: &Node) -> Fields {
        self.look(node);
        vec![field("tasks", Out::Entries(self.list(node)))]
    }

    pub(super) fn read(&mut self, node: &Node) -> Fields {
        let Value::Map(entries) = &node.value else { return Vec::new() };
        for (key, value) in entries {
            self.about(key, value);
        }
        let lists = ["pre_tasks", "tasks", "post_tasks", "handlers"];
        lists.iter().filter_map(|key| node.get(key)).for_each(|list| self.look(list));
        for handler in node.get("handlers").map(items).unwrap_or_default() {
            let name = handler.get("name").and_then(Node::as_str).unwrap_or_default();
            if !self.dead.handlers.contains(name) {
                self.handlers.insert(name.to_owned());
            }
        }
        let mut fields = Vec::new();
        let vars = node.get("vars").map(|vars| self.vars(vars)).unwrap_or_default();
        if !vars.is_empty() {
            fields.push(field("vars", Out::Map(vars)));
        }
        let mut tasks = Vec::new();
        for key in lists.into_iter().take(3) {
            tasks.extend(node.get(key).map(|list| self.list(list)).unwrap_or_default());
        }
        fields.push(field("tasks", Out::Entries(tasks)));
        if let Some(list) = node.get("handlers") {
            let handlers: Vec<_> = items(list).iter().map(|handler| self.handler(handler)).collect();
            fields.push(field("handlers", Out::Entries(handlers)));
        }
        fields
    }

    fn about(&mut self, key: &Node, value: &Node) {
        let text = value.scalar_text().unwrap_or_default();
        match key.scalar_text().unwrap_or_default() {
            "name" => self.about.push(text.to_owned()),
            "hosts" if text == "localhost" => {
                self.note(&value.span, "it acts on the machine that Ansible runs on", "a playbook acts on a node");
            }
            "hosts" => {
                let tiers = "name it under the `playbooks` of the tiers whose nodes need it";
                self.about.push(format!("It was for `hosts: {}`: {tiers}.", if text.is_empty() { "…" } else { text }));
            }
            "vars" | "tasks" | "handlers" | "gather_facts" | "become_method" => {}
            "become" if truth(value) == Some(true) => {}
            "become_user" | "remote_user" if text == "root" => {}
            // Ansible runs handlers between these and the tasks.
            key @ ("pre_tasks" | "post_tasks") => {
                if value.to_json().to_string().contains("\"notify\"") {
                    let why = format!("handlers that `{key}` notify run at the end, not between these and the tasks");
                    self.note(&value.span, why, "see that it does no harm");
                }
            }
            other => {
                let hint = match other {
                    "roles" => "import each role's tasks/main.yml by itself, and `include` what was made of it",
                    "become" | "become_user" | "remote_user" => "all tasks run as root; a command may name a `user`",
                    _ => "docs/MIGRATING.md says what there is in its place",
                };
                self.note(&key.span, format!("its `{other}` is left out"), hint);
            }
        }
    }

    fn vars(&mut self, node: &Node) -> Fields {
        let Value::Map(entries) = &node.value else {
            self.note(&node.span, "its `vars` are no mapping", "write `name: value`");
            return Vec::new();
        };
        let named = |key: &Node| key.scalar_text().unwrap_or_default().to_owned();
        for (key, value) in entries {
            if self.names.reserved(&named(key)).is_none() {
                self.names.define(&named(key), vec![value.clone()]);
            }
        }
        let mut fields = Vec::new();
        for (key, value) in entries {
            let name = named(key);
            let mut job = Job::new(&self.names, format!("the variable {name:?}"));
            if let Some((why, hint)) = job.names.reserved(&name) {
                job.problem(&key.span, why, hint);
            } else if !is_identifier(&name) {
                job.problem(&key.span, "this is no name that templates can use", "take letters, digits and _");
            }
            let value = job.value(value);
            match value.filter(|_| job.problems.is_empty() && !self.dead.names.contains(&name)) {
                Some(value) => {
                    self.all.absorb(job.all);
                    fields.push((name, value));
                }
                None => {
                    self.dead.names.insert(name);
                }
            }
            self.all.notes.extend(job.problems);
        }
        fields
    }

    /// Takes in what tasks register, before any of them is translated.
    fn look(&mut self, node: &Node) {
        for task in items(node) {
            let name = task.get("register").and_then(Node::as_str);
            if let Some(name) = name.filter(|name| self.names.reserved(name).is_none()) {
                self.names.register(name, outcome(task));
            }
            ["block", "rescue", "always"].iter().filter_map(|key| task.get(key)).for_each(|inner| self.look(inner));
        }
    }

    /// Counts tasks that are left out, with those within them; what they register is not there.
    pub(super) fn lose(&mut self, node: &Node) {
        let inner: Vec<&Node> = ["block", "rescue", "always"].iter().filter_map(|key| node.get(key)).collect();
        inner.iter().flat_map(|list| items(list)).for_each(|task| self.lose(task));
        if inner.is_empty() {
            self.found += 1;
            self.lost += 1;
        }
        if let Some(name) = node.get("register").and_then(Node::as_str) {
            self.dead.names.insert(name.to_owned());
        }
    }
}

pub(super) fn outcome(task: &Node) -> Outcome {
    let Value::Map(entries) = &task.value else { return Outcome { is_command: false, is_looped: false } };
    let keys = || entries.iter().filter_map(|(key, _)| key.scalar_text());
    Outcome {
        is_command: keys().filter_map(modules::find).any(modules::Module::is_command),
        is_looped: keys().any(|key| key == "loop" || key.starts_with("with_")),
    }
}

/// A list's items; none where there is no list.
pub(super) fn items(node: &Node) -> &[Node] {
    if let Value::Seq(items) = &node.value { items } else { &[] }
}

/// A list's items, or the one that stands in place of a list.
pub(super) fn each(node: &Node) -> &[Node] {
    if matches!(node.value, Value::Seq(_)) { items(node) } else { std::slice::from_ref(node) }
}
