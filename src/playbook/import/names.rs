//! The names that expressions use, and what is known of their values.

use std::collections::{BTreeMap, BTreeSet};

use super::jinja::Ty;
use super::scalar;
use crate::fleet::{Node, Value};
use crate::playbook::load::GIVEN;

/// What Ansible itself defines, and what there is in its place.
const MAGIC: [(&str, &str); 14] = [
    ("hostvars", INVENTORY),
    ("groups", INVENTORY),
    ("group_names", INVENTORY),
    ("play_hosts", INVENTORY),
    ("inventory_hostname", "`workspace` is what a node's workspace is called"),
    ("inventory_hostname_short", "`workspace` is what a node's workspace is called"),
    ("inventory_dir", FOLDER),
    ("playbook_dir", FOLDER),
    ("role_path", FOLDER),
    ("role_name", FOLDER),
    ("omit", "make two tasks with a `when` each, or give the value"),
    ("environment", "give a `command` task its `env`"),
    ("vars", "name the variable itself"),
    ("lookup", "give the value as a variable"),
];
const INVENTORY: &str =
    "a playbook sees its own node alone; give what it needs as the workspace's or the tier's `vars`";
const FOLDER: &str = "bring files with `file` tasks, from the fleet's folder";

/// A task whose result is registered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// It runs a program, so that there are rc, stdout and stderr.
    pub(super) is_command: bool,
    /// It has a loop.
    pub(super) is_looped: bool,
}

/// The names that expressions can use at some place.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// Names, with the values that they may have where those stand in the playbook; none where they do not.
    values: BTreeMap<String, Vec<Node>>,
    outcomes: BTreeMap<String, Outcome>,
    /// Names that lost their value, since what gives it was left out.
    pub(super) dead: BTreeSet<String>,
    /// The registered name that is `result` here.
    judged: Option<String>,
}

impl Names {
    /// Takes a variable in; `values` are all that it may have, and none where that is not known.
    pub(super) fn define(&mut self, name: &str, values: Vec<Node>) {
        self.values.insert(name.to_owned(), values);
    }

    /// Takes a registered result in; one that several tasks register has what all of them have.
    pub(super) fn register(&mut self, name: &str, new: Outcome) {
        let known = self.outcomes.entry(name.to_owned()).or_insert(new);
        known.is_command &= new.is_command;
        known.is_looped |= new.is_looped;
    }

    /// These names, where a task's own result is judged.
    pub(super) fn judging(&self, register: Option<&str>, outcome: Outcome) -> Self {
        let mut names = self.clone();
        names.judged = register.map(str::to_owned);
        names.outcomes.extend(register.map(|name| (name.to_owned(), outcome)));
        names
    }

    pub(super) fn is_judged(&self, name: &str) -> bool {
        self.judged.as_deref() == Some(name)
    }

    pub(super) fn outcome(&self, name: &str) -> Option<Outcome> {
        self.outcomes.get(name).copied()
    }

    /// Whether the playbook itself gives the name a value.
    pub(super) fn defines(&self, name: &str) -> bool {
        self.values.contains_key(name) || self.outcomes.contains_key(name)
    }

    /// Why a name cannot be used, and the way out.
    pub(super) fn objection(&self, name: &str) -> Option<(String, String)> {
        if self.dead.contains(name) {
            return Some((format!("{name:?} has no value, since what gives it was left out"), "see there".to_owned()));
        }
        if name == "item" && self.defines(name) {
            return None;
        }
        if GIVEN.contains(&name) {
            let hint = "call the variable otherwise, and import again".to_owned();
            return Some((format!("the name {name:?} has a meaning of its own in a playbook"), hint));
        }
        let magic = MAGIC.iter().find(|(magic, _)| *magic == name && !self.defines(name));
        magic.map(|(_, hint)| (format!("{name:?} is Ansible's own"), (*hint).to_owned()))
    }

    /// The values that a path may have, where all of them stand in the playbook.
    pub(super) fn possible(&self, path: &[&str]) -> Option<Vec<&Node>> {
        let (name, rest) = path.split_first()?;
        let values = self.values.get(*name).filter(|values| !values.is_empty())?;
        values.iter().map(|value| rest.iter().try_fold(value, |value, key| value.get(key))).collect()
    }

    /// What kind of value a path has.
    pub(super) fn ty(&self, path: &[&str]) -> Ty {
        let Some(values) = self.possible(path) else { return Ty::Unknown };
        let tys: Vec<Ty> = values.into_iter().map(scalar::ty).collect();
        tys.iter().copied().reduce(Ty::or).unwrap_or(Ty::Unknown)
    }

    /// The elements of the list that a path is, where they stand in the playbook.
    pub(super) fn elements(&self, path: &[&str]) -> Option<Vec<Node>> {
        let lists = self.possible(path)?.into_iter().map(|list| match &list.value {
            Value::Seq(items) => Some(items.clone()),
            _ => None,
        });
        Some(lists.collect::<Option<Vec<_>>>()?.concat())
    }
}
