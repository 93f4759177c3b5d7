//! Tasks: what they do, and when, how often, and with what consequence.

use std::collections::BTreeMap;

use super::load::{Around, Loader};
use super::names;
use super::types::TYPES;
use crate::fleet::{Field, MapReader, Value};
use crate::wire::expr::only_expression;
use crate::wire::plan::{Block, Loop, Step, Task};

/// Names that the agent gives itself.
const RESERVED: [&str; 3] = ["facts", "item", "result"];
/// The types whose changes the node can take back.
const GUARDABLE: [&str; 13] = [
    "file",
    "template",
    "directory",
    "symlink",
    "line",
    "block_in_file",
    "authorized_key",
    "sysctl",
    "unit",
    "service",
    "apt_source",
    "download",
    "firewall",
];
/// A day is longer than any task may wait.
const MAX_SECONDS: u64 = 86_400;

impl Loader<'_> {
    /// Reads one entry of a list of tasks; an `include` gives several steps, a task that its tags leave out gives none.
    pub(super) fn entry(&mut self, field: Field<'_>, around: &Around) -> Vec<Step> {
        let Some(mut map) = field.mapping("a task") else { return Vec::new() };
        let around = self.conditions(&mut map, around);
        if let Some(name) = map.optional("include") {
            map.optional("name");
            map.finish();
            return name.name_text().map(|_| self.include(name, &around)).unwrap_or_default();
        }
        if let Some(block) = map.optional("block") {
            map.optional("name");
            map.finish();
            return self.block(block, &around).map(Step::Block).into_iter().collect();
        }
        self.task(field, map, &around)
            .filter(|_| around.is_selected(&self.tags))
            .map(|task| Step::Task(Box::new(task)))
            .into_iter()
            .collect()
    }

    /// A handler is a task that runs when it is told to; it needs a name to be called by.
    pub(super) fn handler(&mut self, field: Field<'_>) -> Option<Task> {
        let mut map = field.mapping("a handler")?;
        let around = self.conditions(&mut map, &Around::default());
        if map.optional("name").is_none() {
            field.error_hint("a handler needs a \"name\"", "tasks call it by that name in `notify`");
        }
        self.task(field, map, &around)
    }

    /// `when` and `tags`, which groups hand down to their tasks.
    fn conditions(&self, map: &mut MapReader<'_>, around: &Around) -> Around {
        let mut inner = around.clone();
        if let Some(when) = map.optional("when") {
            let parts = match &when.node().value {
                Value::Seq(_) => when.list(|item| self.expression(item)).unwrap_or_default(),
                _ => self.expression(when).into_iter().collect(),
            };
            inner.when.extend(parts);
        }
        if let Some(tags) = map.optional("tags").and_then(|tags| tags.strings()) {
            inner.tags.extend(tags);
        }
        inner
    }

    /// An expression; `true` and `false` are some as well.
    pub(super) fn expression(&self, field: Field<'_>) -> Option<String> {
        let text = match field.node().value {
            Value::Bool(truth) => return Some(truth.to_string()),
            _ => field.str()?,
        };
        if text.contains("{{") {
            let inner = only_expression(text).unwrap_or("NAME == \"value\"");
            field.error_hint("an expression is written without {{ and }}", format!("write `{inner}`"));
            return None;
        }
        field.take(self.engine.check_expression(text))?;
        self.name(names::of_expression(text), field.span(), None);
        Some(text.to_owned())
    }

    fn block(&mut self, field: Field<'_>, around: &Around) -> Option<Block> {
        let mut map = field.mapping("a block")?;
        let (tasks, rescue, always) = (map.required("tasks"), map.optional("rescue"), map.optional("always"));
        map.finish();
        let mut steps = |field: Option<Field<'_>>| field.map(|field| self.steps(field, around)).unwrap_or_default();
        Some(Block { tasks: steps(tasks), rescue: steps(rescue), always: steps(always) })
    }

    fn task(&mut self, field: Field<'_>, mut map: MapReader<'_>, around: &Around) -> Option<Task> {
        let found: Vec<_> = TYPES.iter().filter_map(|spec| Some((spec, map.optional(spec.name)?))).collect();
        let name = map.optional("name").and_then(|name| self.template_text(name)).map(str::to_owned);
        let register = map.optional("register").and_then(|name| identifier(name));
        register.iter().for_each(|name| self.define(name));
        let changed_when = map.optional("changed_when").and_then(|when| self.expression(when));
        let failed_when = map.optional("failed_when").and_then(|when| self.expression(when));
        let loop_ = map.optional("loop").and_then(|items| self.items(items));
        let mut number = |name, most| map.optional(name).and_then(|field| field.number(0..=most));
        let (retries, delay) = (number("retries", 1000), number("delay", MAX_SECONDS));
        let timeout = map.optional("timeout").map(|field| (field, field.number(0..=MAX_SECONDS)));
        let mut flag = |name| map.optional(name).and_then(|field| field.bool()).unwrap_or_default();
        let (ignore_errors, sensitive) = (flag("ignore_errors"), flag("sensitive"));
        let guard = map.optional("guard").and_then(|field| Some((field, field.bool()?)));
        let vars = map.optional("vars").and_then(|vars| self.vars(vars)).unwrap_or_default();
        let notify = map.optional("notify").map(|names| self.notify(names)).unwrap_or_default();
        // A key without a value is a type that was given nothing.
        let empty =
            TYPES.iter().find_map(|spec| map.key(spec.name).filter(|_| found.is_empty()).map(|key| (spec, key)));
        let action = match found[..] {
            [(spec, fields)] => self.action(spec, fields).map(|action| (spec, action)),
            [] => {
                match empty {
                    Some((spec, key)) => key.error(format!("{:?} needs its fields", spec.name)),
                    None => untyped(&map),
                }
                // Whatever else is unknown is most likely the mistyped type, which was reported.
                return None;
            }
            [_, (spec, _), ..] => {
                let key = map.key(spec.name).unwrap_or(field);
                key.error_hint("a task has one type", format!("make {:?} a task of its own", spec.name));
                None
            }
        };
        map.finish();
        let (spec, action) = action?;
        if let Some((field, true)) = guard
            && !GUARDABLE.contains(&spec.name)
        {
            let known = GUARDABLE.join(", ");
            field.error_hint(format!("the node could not take a `{}` back", spec.name), format!("it can: {known}"));
        }
        if let Some((field, _)) = timeout
            && spec.fields.iter().any(|field| field.name == "timeout")
        {
            field.error_hint(
                format!("a `{}` has a \"timeout\" of its own", spec.name),
                format!("write it among its fields: `{}: {{…, timeout: SECONDS}}`", spec.name),
            );
        }
        self.next_id += 1;
        Some(Task {
            id: self.next_id,
            name: name.unwrap_or_else(|| subject(spec.name, &action)),
            action,
            when: around.condition(),
            loop_,
            register,
            changed_when,
            failed_when,
            retries: retries.unwrap_or_default() as u32,
            delay: delay.unwrap_or_default() as u32,
            timeout: timeout.and_then(|(_, seconds)| seconds).unwrap_or_default() as u32,
            notify,
            vars,
            guard: guard.map(|(_, guard)| guard),
            ignore_errors,
            sensitive,
            origin: format!("{}:{}", field.span().source.path(), field.span().line),
        })
    }

    fn items(&self, field: Field<'_>) -> Option<Loop> {
        match &field.node().value {
            Value::Seq(_) => {
                field.list(|item| {
                    if item.node().as_str().is_some() {
                        self.template_text(item)?;
                    }
                    Some(())
                });
                Some(Loop::Items(field.json().as_array().cloned().unwrap_or_default()))
            }
            Value::Str(text) => {
                let expression = only_expression(text).unwrap_or(text);
                field.take(self.engine.check_expression(expression))?;
                self.name(names::of_expression(expression), field.span(), None);
                Some(Loop::Expression(expression.to_owned()))
            }
            other => {
                field.error_hint(
                    format!("\"loop\" takes a list, found {}", other.kind()),
                    "write [a, b], or an expression that gives a list",
                );
                None
            }
        }
    }

    /// Whether the handlers exist is told at the playbook's end, where all of them are known.
    fn notify(&mut self, field: Field<'_>) -> Vec<String> {
        let mut names = Vec::new();
        let mut add = |item: Field<'_>| {
            if let Some(name) = item.name_text() {
                names.push(name.to_owned());
                self.notified.push((name.to_owned(), item.span().clone()));
            }
            None::<()>
        };
        if field.node().as_str().is_some() {
            add(field);
        } else {
            field.list(&mut add);
        }
        names
    }

    /// Variables, whose texts may be templates.
    pub(super) fn vars(&self, field: Field<'_>) -> Option<BTreeMap<String, serde_json::Value>> {
        for (key, value) in field.entries()? {
            if let Some(name) = identifier(key) {
                self.define(&name);
            }
            if value.node().as_str().is_some() {
                self.template_text(value);
            }
        }
        Some(field.json_object()?.into_iter().collect())
    }
}

/// A name that templates can use.
fn identifier(field: Field<'_>) -> Option<String> {
    let text = field.name_text()?;
    let legal = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !legal {
        field.error_hint(format!("{text:?} is not a variable's name"), "take letters, digits and _");
        return None;
    }
    if RESERVED.contains(&text) {
        field.error(format!("the name {text:?} is the agent's own"));
        return None;
    }
    Some(text.to_owned())
}

/// Reports a task without a type: most often the type is mistyped.
fn untyped(map: &MapReader<'_>) {
    const COMMON: [&str; 15] = [
        "name",
        "when",
        "loop",
        "register",
        "changed_when",
        "failed_when",
        "retries",
        "delay",
        "timeout",
        "notify",
        "tags",
        "vars",
        "ignore_errors",
        "sensitive",
        "guard",
    ];
    let known = TYPES.iter().map(|spec| spec.name).chain(["block", "include"]);
    match map.keys().find(|key| !COMMON.contains(&key.name())) {
        Some(key) => key.unknown("task type", known),
        None => {
            map.at().error_hint("this task has no type", format!("known are: {}", known.collect::<Vec<_>>().join(", ")))
        }
    }
}

/// What a task without a name is called: its type and what it is about.
fn subject(kind: &str, action: &crate::wire::action::Action) -> String {
    let fields = serde_json::to_value(action).unwrap_or_default();
    let first =
        ["path", "name", "names", "user", "argv", "shell", "url", "unit", "port"].iter().find_map(|key| match &fields
            [kind][key]
        {
            serde_json::Value::String(text) => text.lines().next().map(str::to_owned),
            serde_json::Value::Array(items) => {
                Some(items.iter().filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join(" "))
            }
            serde_json::Value::Number(number) => Some(format!("port {number}")),
            _ => None,
        });
    let first: String = first.unwrap_or_default().chars().take(60).collect();
    format!("{kind} {first}").trim_end().to_owned()
}
