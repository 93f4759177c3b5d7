//! Tasks, blocks and handlers, with their keywords: when, how often, and with what consequence.

use super::job::Job;
use super::modules::{self, Module};
use super::names::is_identifier;
use super::play::{Play, each, items, outcome};
use super::scalar::truth;
use super::write::{Entry, Fields, Out, field};
use crate::fleet::{Node, Value};
use crate::wire::expr::{Engine, only_expression};

/// What is translated beside the module, and of a block.
const KEYWORDS: &str = "name when loop with_items loop_control register changed_when failed_when notify tags vars until \
                        retries delay ignore_errors no_log become become_user become_method args";
const OF_BLOCKS: &str = "name when tags become become_user become_method block rescue always";
/// That a program ended well, as it is written here.
const WENT_WELL: &str = "result.rc == 0";

impl Play {
    pub(super) fn list(&mut self, node: &Node) -> Vec<Entry> {
        let is_block = |item: &Node| item.get("block").is_some();
        items(node).iter().map(|item| if is_block(item) { self.block(item) } else { self.task(item, false) }).collect()
    }

    /// A handler: a task with a name to be called by.
    pub(super) fn handler(&mut self, node: &Node) -> Entry {
        let name = node.get("name").and_then(Node::as_str).unwrap_or_default().to_owned();
        let entry = self.task(node, true);
        if entry.fields.is_empty() {
            self.dead.handlers.insert(name);
        }
        entry
    }

    fn block(&mut self, node: &Node) -> Entry {
        let mut job = Job::new(&self.names, called(node, "block"));
        for (key, value) in entries(node) {
            let name = key.scalar_text().unwrap_or_default();
            if !OF_BLOCKS.split(' ').any(|known| known == name) {
                job.problem(&key.span, format!("`{name}` of a block"), "write it with each of its tasks");
            } else if matches!(name, "become" | "become_user") {
                is_root(&mut job, name, value);
            }
        }
        let name = node.get("name").and_then(|name| job.text(name)).map(|name| field("name", name));
        let ends: Fields = [conditions(&mut job, node), labels(&mut job, node)].into_iter().flatten().collect();
        if !job.problems.is_empty() {
            return self.leave_out(node, job.problems);
        }
        self.all.absorb(job.all);
        let mut lists = Vec::new();
        for (theirs, ours) in [("block", "tasks"), ("rescue", "rescue"), ("always", "always")] {
            lists.extend(node.get(theirs).map(|list| field(ours, Out::Entries(self.list(list)))));
        }
        let block = field("block", Out::Map(lists));
        Entry { comments: Vec::new(), fields: name.into_iter().chain([block]).chain(ends).collect() }
    }

    fn task(&mut self, node: &Node, is_handler: bool) -> Entry {
        let mut job = Job::new(&self.names, called(node, if is_handler { "handler" } else { "task" }));
        job.is_handler = is_handler;
        if is_handler && node.get("name").and_then(Node::as_str).is_none_or(Engine::is_template) {
            job.problem(&node.span, "a handler without a plain name", "give it one");
        }
        define_own(&mut job, node);
        let items = looped(&mut job, node);
        let vars = own_vars(&mut job, node);
        let name = node.get("name").and_then(|name| job.text(name));
        let mut fields: Fields = name.map(|name| field("name", name)).into_iter().collect();
        if let Some((module, key, value)) = module(&mut job, node) {
            let (kind, mut inner) = module.translate(&mut job, key, value, node.get("args"));
            let is_command = kind == "command";
            for key in ["become", "become_user"] {
                match node.get(key) {
                    Some(user) if key == "become_user" && is_command && user.as_str() != Some("root") => {
                        inner.extend(job.text(user).map(|user| field("user", user)));
                    }
                    Some(value) => is_root(&mut job, key, value),
                    None => {}
                }
            }
            fields.push(field(kind, Out::Map(inner)));
            fields.extend(conditions(&mut job, node));
            fields.extend(items.map(|items| field("loop", items)));
            fields.extend(register(&mut job, node));
            // systemd reads its units again without that being a change.
            if is_command && !module.is_command() && node.get("changed_when").is_none() {
                fields.push(field("changed_when", Out::Bool(false)));
            }
            fields.extend(judgement(&mut job, node, is_command && module.is_command()));
        }
        if let Some(notify) = node.get("notify") {
            let mut names = Vec::new();
            for node in each(notify) {
                let name = node.scalar_text().unwrap_or_default().to_owned();
                if self.handlers.contains(&name) {
                    names.push(name);
                } else {
                    let hint = "write a handler of that name, and notify it here";
                    let gone = if self.dead.handlers.contains(&name) { "was left out" } else { "is not in this file" };
                    job.note(&node.span, format!("it notifies {name:?}, which {gone}"), hint);
                }
            }
            fields.extend((!names.is_empty()).then(|| field("notify", names)));
        }
        fields.extend(labels(&mut job, node));
        fields.extend((!vars.is_empty()).then(|| field("vars", Out::Map(vars))));
        for (theirs, ours) in [("ignore_errors", "ignore_errors"), ("no_log", "sensitive")] {
            let is_said = node.get(theirs).and_then(|node| job.bool(node)).unwrap_or_default();
            fields.extend(is_said.then(|| field(ours, Out::Bool(true))));
        }
        if !job.problems.is_empty() {
            return self.leave_out(node, job.problems);
        }
        self.all.absorb(job.all);
        self.found += 1;
        Entry { comments: Vec::new(), fields }
    }

    /// What stands in the place of a task that is left out.
    fn leave_out(&mut self, node: &Node, problems: Vec<super::Note>) -> Entry {
        self.lose(node);
        let mut reasons: Vec<&str> = problems.iter().map(|note| note.why.as_str()).collect();
        let mut seen = std::collections::BTreeSet::new();
        reasons.retain(|reason| seen.insert(*reason));
        let (path, line) = (node.span.source.path(), node.span.line);
        let comment = format!("not translated: {} ({path}:{line}): {}", problems[0].what, reasons.join("; "));
        self.all.notes.extend(problems);
        Entry { comments: vec![comment], fields: Vec::new() }
    }
}

fn called(node: &Node, kind: &str) -> String {
    let name = node.get("name").and_then(Node::scalar_text);
    name.map_or(format!("{kind} without a name"), |name| format!("{kind} {name:?}"))
}

fn entries(node: &Node) -> &[(Node, Node)] {
    if let Value::Map(entries) = &node.value { entries } else { &[] }
}

/// The task's module, with its key and arguments. Every other key has to be a known one.
fn module<'n>(job: &mut Job, node: &'n Node) -> Option<(&'static Module, &'n Node, &'n Node)> {
    let mut found = None;
    for (key, value) in entries(node) {
        let name = key.scalar_text().unwrap_or_default();
        match modules::find(name) {
            Some(module) if found.is_none() => found = Some((module, key, value)),
            _ if KEYWORDS.split_whitespace().any(|known| known == name) => {}
            _ => job.problem(&key.span, format!("`{name}` has no translation"), "see docs/MIGRATING.md"),
        }
    }
    if found.is_none() && job.problems.is_empty() {
        job.problem(&node.span, "this task has no module", "name one");
    }
    found
}

/// Every task runs as root here.
fn is_root(job: &mut Job, key: &str, value: &Node) {
    let is_root = if key == "become" { truth(value) == Some(true) } else { value.as_str() == Some("root") };
    if !is_root {
        job.problem(&value.span, "all tasks but commands run as root", "let a `command` task name its `user`");
    }
}

/// Takes the task's own variables in, which its loop may name.
fn define_own(job: &mut Job, node: &Node) {
    for (key, value) in node.get("vars").map(entries).unwrap_or_default() {
        let name = key.scalar_text().unwrap_or_default();
        if !is_identifier(name) || job.names.reserved(name).is_some() {
            job.problem(&key.span, format!("a variable of the name {name:?}"), "call it otherwise");
        }
        job.names.define(name, vec![value.clone()]);
    }
}

/// The task's own variables, which may name its loop's item.
fn own_vars(job: &mut Job, node: &Node) -> Fields {
    let vars = node.get("vars").map(entries).unwrap_or_default().iter();
    vars.filter_map(|(key, value)| Some((key.scalar_text()?.to_owned(), job.value(value)?))).collect()
}

/// What the task is repeated over; everything after it may name the item.
fn looped(job: &mut Job, node: &Node) -> Option<Out> {
    // A label is only what is shown of an item.
    let control = node.get("loop_control").map(entries).unwrap_or_default();
    if let Some((key, _)) = control.iter().find(|(key, _)| key.scalar_text() != Some("label")) {
        job.problem(&key.span, "this of a loop", "a loop has `item`, and no more");
    }
    let flattens = node.get("with_items").is_some();
    let list = node.get("loop").or(node.get("with_items"))?;
    if let Value::Seq(items) = &list.value {
        let inner = |item: &Node| match &item.value {
            Value::Seq(inner) if flattens => inner.clone(),
            _ => vec![item.clone()],
        };
        let all: Vec<Node> = items.iter().flat_map(inner).collect();
        let out = all.iter().map(|item| job.value(item)).collect::<Option<_>>().map(Out::List);
        job.names.define("item", all);
        return out;
    }
    let text = list.as_str().unwrap_or_default().to_owned();
    let inner = only_expression(&text).unwrap_or_default();
    let (kept, ty) = job.kept(list, &text)?;
    let path: Vec<&str> = inner.split('.').collect();
    let elements = job.names.elements(&path);
    let is_flat = elements.as_ref().is_some_and(|all| !all.iter().any(|item| matches!(item.value, Value::Seq(_))));
    if inner.is_empty() || !matches!(ty, super::jinja::Ty::List | super::jinja::Ty::Unknown) {
        job.problem(&list.span, "a loop over what is no list", "write [a, b], or one expression that gives a list");
    } else if flattens && !is_flat {
        job.problem(&list.span, "`with_items` takes lists within the list apart", "write `loop`, where it has none");
    }
    job.names.define("item", elements.unwrap_or_default());
    Some(kept.into())
}

fn conditions(job: &mut Job, node: &Node) -> Option<(String, Out)> {
    let all: Vec<Out> = each(node.get("when")?).iter().filter_map(|one| job.expression(one)).map(condition).collect();
    Some(field("when", if let [only] = &all[..] { only.clone() } else { Out::List(all) }))
}

/// An expression as people write it.
fn condition(text: String) -> Out {
    text.parse().map_or(Out::Text(text), Out::Bool)
}

fn register(job: &mut Job, node: &Node) -> Option<(String, Out)> {
    let name = node.get("register")?;
    let text = name.as_str().unwrap_or_default();
    if !is_identifier(text) {
        job.problem(&name.span, "this is no name that templates can use", "take letters, digits and _");
    } else if let Some((why, hint)) = job.names.reserved(text) {
        job.problem(&name.span, why, hint);
    }
    Some(field("register", text))
}

/// What decides how the task ended, and how often it is tried.
fn judgement(job: &mut Job, node: &Node, is_command: bool) -> Fields {
    let outer = job.names.clone();
    job.names = outer.judging(node.get("register").and_then(Node::as_str), outcome(node));
    let mut said = |key: &str| {
        let all: Vec<String> = each(node.get(key)?).iter().filter_map(|one| job.expression(one)).collect();
        let parts: Vec<String> = all.iter().map(|one| format!("({one})")).collect();
        Some(if all.len() == 1 { all.concat() } else { parts.join(" and ") })
    };
    let (changed, failed, until) = (said("changed_when"), said("failed_when"), said("until"));
    job.names = outer;
    let failed = match (failed, until.as_deref()) {
        (failed, None) => failed,
        (None, Some(WENT_WELL)) => None,
        (Some(never), Some(until)) if never == "false" => Some(format!("not ({until})")),
        (None, Some(until)) if until.starts_with(&format!("{WENT_WELL} and ")) && !until.contains(" or ") => {
            Some(format!("not ({until})"))
        }
        (_, Some(_)) => {
            let span = node.get("until").map_or(&node.span, |until| &until.span);
            let hint = "ask that the program ended well first: NAME.rc == 0 and …";
            job.problem(span, "Ansible stops trying here also where the program failed", hint);
            None
        }
    };
    for key in ["failed_when", "until"] {
        let is_plain = is_command || (key == "until" && until.as_deref() == Some(WENT_WELL));
        if let Some(node) = node.get(key).filter(|_| !is_plain) {
            let hint = "`ignore_errors: true` lets the run go on; a `wait_for` task waits";
            job.problem(&node.span, format!("`{key}` of a task that runs no program"), hint);
        }
    }
    let mut fields: Fields = changed.map(|changed| field("changed_when", condition(changed))).into_iter().collect();
    fields.extend(failed.map(|failed| field("failed_when", condition(failed))));
    let tries = node.get("retries").is_some() || until.is_some();
    // Ansible's own numbers, where a task says `until` and no more.
    for (key, default) in [("retries", 3), ("delay", 5)] {
        let number = node.get(key).map_or(Some(default), |given| job.number(given)).filter(|_| tries);
        fields.extend(number.map(|number| field(key, Out::Int(number))));
    }
    fields
}

fn labels(job: &mut Job, node: &Node) -> Option<(String, Out)> {
    let mut all = Vec::new();
    for node in each(node.get("tags")?) {
        for tag in node.scalar_text().unwrap_or_default().split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            if matches!(tag, "always" | "never") || Engine::is_template(tag) {
                job.problem(&node.span, format!("the tag {tag:?}"), "name tags that say what the task is about");
            }
            all.push(tag.to_owned());
        }
    }
    Some(field("tags", all))
}
