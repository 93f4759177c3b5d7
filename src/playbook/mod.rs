//! Playbooks: an ordered list of typed tasks, read from YAML and compiled to one plan.
//!
//! The controller checks all that can be known without the node (types, fields, templates' syntax, handlers, files) and
//! sends the plan whole; the node agent evaluates the rest.

mod action;
pub mod import;
mod load;
mod names;
pub mod report;
pub mod run;
pub mod schema;
mod task;
mod types;

pub use report::Report;

use crate::Result;
use crate::fleet::{Diagnostics, FileSet, Vars};
use crate::wire::plan::{PLAN_VERSION, Plan};

/// Compiles playbooks, in their order, to one plan. `vars` are the tier's and the workspace's variables and those of the
/// command line, merged; they go before the playbooks' own.
///
/// # Errors
/// Fails (with kind input) with every mistake in the playbooks, each with its place; and where a name has no playbook.
pub fn compile(files: &FileSet, names: &[String], vars: Vars) -> Result<Plan> {
    compile_tagged(files, names, vars, &[])
}

/// As [`compile`], with only those tasks that have one of the tags (all of them where none are given). Handlers stay.
///
/// # Errors
/// As [`compile`].
pub fn compile_tagged(files: &FileSet, names: &[String], vars: Vars, tags: &[String]) -> Result<Plan> {
    let diagnostics = Diagnostics::new();
    let plan = Plan { version: PLAN_VERSION, vars: vars.into_iter().collect(), ..Plan::default() };
    let mut loader = load::Loader::new(files, &diagnostics, plan, tags);
    for name in names {
        if let Some(play) = loader.play(name)? {
            loader.plan.plays.push(play);
        }
    }
    let plan = loader.finish();
    diagnostics.into_result(Some(plan))
}

/// Compiles a playbook's `tests`: tasks that look whether the node is as the playbook means it to be.
///
/// # Errors
/// As [`compile`].
pub fn compile_tests(files: &FileSet, name: &str, vars: Vars) -> Result<Plan> {
    let diagnostics = Diagnostics::new();
    let plan = Plan { version: PLAN_VERSION, vars: vars.into_iter().collect(), ..Plan::default() };
    let mut loader = load::Loader::new(files, &diagnostics, plan, &[]);
    loader.tests = true;
    if let Some(play) = loader.play(name)? {
        loader.plan.plays.push(play);
    }
    let plan = loader.finish();
    diagnostics.into_result(Some(plan))
}

#[cfg(test)]
mod tests;
