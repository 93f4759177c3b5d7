//! What is applied inside an image's root, as one plan: the definition's overlay, then its playbooks.

use crate::Result;
use crate::fleet::FileSet;
use crate::wire::plan::Plan;

use super::definition::Definition;

/// Compiles the plan.
///
/// # Errors
/// Fails with every mistake in the playbooks.
pub fn compile(files: &FileSet, definition: &Definition) -> Result<Plan> {
    let vars = serde_json::Map::from_iter([
        ("image".to_owned(), definition.name.clone().into()),
        ("suite".to_owned(), definition.suite.name().into()),
    ]);
    crate::playbook::compile(files, &definition.playbooks, vars)
}
