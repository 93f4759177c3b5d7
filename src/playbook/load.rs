//! Playbooks, read to plays; all their mistakes in one run.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;

use super::names::Names;
use crate::fleet::read::nearest_hint;
use crate::fleet::{Diagnostics, Field, FileSet, Span, yaml};
use crate::wire::expr::Engine;
use crate::wire::plan::{Plan, Play, Step, Task};
use crate::{Error, Result};

/// Variables that every run has, or every image's build.
pub(super) const GIVEN: [&str; 9] =
    ["facts", "item", "result", "loop", "workspace", "domain", "secrets", "image", "suite"];

/// Reads playbooks into a plan.
pub(super) struct Loader<'a> {
    pub(super) files: &'a FileSet,
    pub(super) diagnostics: &'a Diagnostics,
    pub(super) engine: Engine,
    pub(super) plan: Plan,
    /// Only tasks with one of these; all tasks where there are none.
    pub(super) tags: Vec<String>,
    pub(super) next_id: u32,
    /// Handlers that the present play's tasks call, and where they do.
    pub(super) notified: Vec<(String, Span)>,
    /// Handlers and variables that included playbooks brought.
    brought: (Vec<Task>, BTreeMap<String, serde_json::Value>),
    /// The playbooks that are being read, each included by the one before.
    open: Vec<String>,
    /// Take the playbook's `tests` in place of its tasks.
    pub(super) tests: bool,
    variables: RefCell<Variables>,
}

/// The variables of the playbooks that were read.
#[derive(Default)]
struct Variables {
    /// Those that something defines, or that some text asks about.
    known: BTreeSet<String>,
    /// Those that must be there, with the text that names them, and the template where that is another file.
    named: Vec<(String, Span, Option<String>)>,
}

/// What groups and includes hand down to their tasks.
#[derive(Debug, Clone, Default)]
pub(super) struct Around {
    pub(super) when: Vec<String>,
    pub(super) tags: Vec<String>,
}

impl Around {
    /// All conditions as one.
    pub(super) fn condition(&self) -> Option<String> {
        match &self.when[..] {
            [] => None,
            [one] => Some(one.clone()),
            many => Some(many.iter().map(|when| format!("({when})")).collect::<Vec<_>>().join(" and ")),
        }
    }

    pub(super) fn is_selected(&self, tags: &[String]) -> bool {
        tags.is_empty() || self.tags.iter().any(|tag| tags.contains(tag))
    }
}

impl<'a> Loader<'a> {
    pub(super) fn new(files: &'a FileSet, diagnostics: &'a Diagnostics, plan: Plan, tags: &[String]) -> Self {
        Self {
            files,
            diagnostics,
            engine: Engine::new(),
            plan,
            tags: tags.to_vec(),
            next_id: 0,
            notified: Vec::new(),
            brought: Default::default(),
            open: Vec::new(),
            tests: false,
            variables: RefCell::default(),
        }
    }

    /// Reads a playbook as a play of its own.
    ///
    /// # Errors
    /// Fails where there is no such playbook; mistakes in it are reported.
    pub(super) fn play(&mut self, name: &str) -> Result<Option<Play>> {
        let path = path(name);
        if self.files.get(&path).is_none() {
            let error = Error::input(format!("there is no playbook {name:?}: {path} is missing"));
            return Err(match nearest_hint(name, self.names()) {
                Some(hint) => error.hint(hint),
                None => error,
            });
        }
        self.notified.clear();
        self.brought = Default::default();
        let Some((steps, handlers, vars)) = self.read(name, &Around::default()) else { return Ok(None) };
        let (mut all_handlers, mut all_vars) = std::mem::take(&mut self.brought);
        all_handlers.extend(handlers);
        all_vars.extend(vars);
        for (called, span) in self.notified.drain(..) {
            if !all_handlers.iter().any(|handler| handler.name == called) {
                let known: Vec<&str> = all_handlers.iter().map(|handler| handler.name.as_str()).collect();
                self.diagnostics.push(crate::fleet::Diagnostic {
                    span,
                    message: format!("no handler is called {called:?}"),
                    hint: nearest_hint(&called, known).or(Some("define it under `handlers`".to_owned())),
                });
            }
        }
        Ok(Some(Play { name: name.to_owned(), vars: all_vars, steps, handlers: all_handlers }))
    }

    /// Notes which variables a text names.
    pub(super) fn name(&self, names: Names, span: &Span, template: Option<&str>) {
        let mut variables = self.variables.borrow_mut();
        variables.known.extend(names.own);
        let named = names.named.into_iter().map(|name| (name, span.clone(), template.map(str::to_owned)));
        variables.named.extend(named);
    }

    /// Notes that something defines a variable.
    pub(super) fn define(&self, name: &str) {
        self.variables.borrow_mut().known.insert(name.to_owned());
    }

    /// The plan. Reports variables that nothing defines: not before all playbooks were read, since a run's facts and
    /// results go from one to the next.
    pub(super) fn finish(self) -> Plan {
        let Variables { mut known, named } = self.variables.into_inner();
        known.extend(GIVEN.map(str::to_owned));
        known.extend(self.plan.vars.keys().cloned());
        for (name, span, template) in named.into_iter().filter(|(name, ..)| !known.contains(name)) {
            let within = template.map(|path| format!(" that {path} names")).unwrap_or_default();
            let hint = nearest_hint(&name, &known);
            let hint = hint.or_else(|| Some(format!("define it under `vars`, or say `{name} is defined`")));
            let message = format!("nothing defines the variable {name:?}{within}");
            self.diagnostics.push(crate::fleet::Diagnostic { span, message, hint });
        }
        self.plan
    }

    /// The names of all playbooks.
    fn names(&self) -> Vec<String> {
        self.files.playbooks().collect()
    }

    #[expect(clippy::type_complexity, reason = "the three parts of a playbook, taken apart at once")]
    fn read(
        &mut self,
        name: &str,
        around: &Around,
    ) -> Option<(Vec<Step>, Vec<Task>, BTreeMap<String, serde_json::Value>)> {
        let source = self.files.source(path(name), self.diagnostics)?;
        let node = yaml::parse(&source, self.diagnostics)?;
        let mut map = Field::root(&node, self.diagnostics).mapping("a playbook")?;
        map.optional("name").and_then(|name| name.name_text());
        let vars = map.optional("vars").and_then(|vars| self.vars(vars)).unwrap_or_default();
        let (tasks, handlers, tests) = (map.optional("tasks"), map.optional("handlers"), map.optional("tests"));
        map.finish();
        self.open.push(name.to_owned());
        let is_included = self.open.len() > 1;
        let mut steps = tasks.map(|tasks| self.steps(tasks, around)).unwrap_or_default();
        if let Some(tests) = tests.filter(|_| !is_included) {
            // Read in any case, so that their mistakes are told; what they name is no part of another plan.
            let blobs = self.plan.blobs.clone();
            let tests = self.steps(tests, around);
            if self.tests { steps = tests } else { self.plan.blobs = blobs }
        } else if self.tests && !is_included {
            steps.clear();
        }
        let handlers = handlers.and_then(|list| list.list(|item| self.handler(item))).unwrap_or_default();
        self.open.pop();
        for (at, handler) in handlers.iter().enumerate() {
            if handlers[..at].iter().any(|other| other.name == handler.name) {
                self.diagnostics.error(&Span::start_of(&source), format!("two handlers are called {:?}", handler.name));
            }
        }
        Some((steps, handlers, vars))
    }

    /// Reads a list of tasks.
    pub(super) fn steps(&mut self, field: Field<'_>, around: &Around) -> Vec<Step> {
        let steps = field.list(|item| Some(self.entry(item, around)));
        steps.unwrap_or_default().into_iter().flatten().collect()
    }

    /// Takes another playbook's tasks in, and its handlers and variables with them.
    pub(super) fn include(&mut self, field: Field<'_>, around: &Around) -> Vec<Step> {
        let Some(name) = field.name_text() else { return Vec::new() };
        if self.files.get(path(name)).is_none() {
            field.unknown("playbook", self.names());
            return Vec::new();
        }
        if let Some(at) = self.open.iter().position(|open| open == name) {
            let circle = self.open[at..].iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(" → ");
            field.error(format!("playbooks include each other in a circle: {circle}"));
            return Vec::new();
        }
        let Some((steps, handlers, vars)) = self.read(name, around) else { return Vec::new() };
        let new = handlers.into_iter().filter(|handler| self.brought.0.iter().all(|other| other.name != handler.name));
        let new: Vec<Task> = new.collect();
        self.brought.0.extend(new);
        // The including playbook's own variables go before these.
        self.brought.1.extend(vars);
        steps
    }
}

fn path(name: &str) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("playbooks/{name}.yaml"))
}
