//! The names that expressions use, and what is known of their values.

use std::collections::{BTreeMap, BTreeSet};

use super::jinja::Ty;
use super::scalar;
use crate::fleet::{Node, Value};
use crate::playbook::load::GIVEN;

/// What Ansible itself defines, and what there is in its place.
const MAGIC: [(&[&str], &str); 4] = [
    (
        &["hostvars", "groups", "group_names", "play_hosts"],
        "a playbook sees its own node alone; give what it needs as the workspace's or the tier's `vars`",
    ),
    (&["inventory_hostname", "inventory_hostname_short"], "`workspace` is what a node's workspace is called"),
    (&["inventory_dir", "playbook_dir", "role_path", "role_name"], "bring files with `file` tasks"),
    (&["omit", "environment", "vars"], "make two tasks with a `when` each, or give the value"),
];

/// A task whose result is registered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// It runs a program, so that there are rc, stdout and stderr.
    pub(super) is_command: bool,
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
        let why = || format!("{name:?} has no value, since what gives it was left out");
        let is_dead = self.dead.contains(name);
        self.reserved(name).or(is_dead.then(|| (why(), "mend that first".to_owned())))
    }

    /// Why a name cannot be the playbook's own.
    pub(super) fn reserved(&self, name: &str) -> Option<(String, String)> {
        if name == "item" && self.defines(name) {
            return None;
        }
        if GIVEN.contains(&name) {
            let hint = "call the variable otherwise, and import again".to_owned();
            return Some((format!("the name {name:?} has a meaning of its own in a playbook"), hint));
        }
        let magic = MAGIC.iter().find(|(magic, _)| magic.contains(&name) && !self.defines(name));
        magic.map(|(_, hint)| (format!("{name:?} is Ansible's own"), (*hint).to_owned()))
    }

    /// The values that a path may have, where all of them stand in the playbook.
    pub(super) fn possible(&self, path: &[&str]) -> Option<Vec<&Node>> {
        let (name, rest) = path.split_first()?;
        let values = self.values.get(*name).filter(|values| !values.is_empty())?;
        values.iter().map(|value| rest.iter().try_fold(value, |value, key| value.get(key))).collect()
    }

    pub(super) fn ty(&self, path: &[&str]) -> Ty {
        let Some(values) = self.possible(path) else { return Ty::Unknown };
        let tys: Vec<Ty> = values.into_iter().map(scalar::ty).collect();
        tys.iter().copied().reduce(Ty::or).unwrap_or(Ty::Unknown)
    }

    /// The elements of the list that a path is, where they stand in the playbook.
    pub(super) fn elements(&self, path: &[&str]) -> Option<Vec<Node>> {
        let items = |list: &Node| if let Value::Seq(items) = &list.value { Some(items.clone()) } else { None };
        Some(self.possible(path)?.into_iter().map(items).collect::<Option<Vec<_>>>()?.concat())
    }
}

/// Whether templates can use a name.
pub(super) fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
