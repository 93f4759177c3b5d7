//! Agents, the channels through which people reach them, and what was seen of both: metadata, and never what is said.

mod agent;
mod channel;
mod report;
mod views;

use utoipa_axum::router::OpenApiRouter;

pub use self::views::{AgentChannelView, AgentView};
use super::workspaces::missing;
use super::{App, Problem};
use crate::id::WorkspaceId;
use crate::store::{Reader, Tx, Workspace, WorkspaceState};
use crate::{Error, Result};

/// The most agents of a workspace, and the most channels: what is seen of all of them fits into one report.
const AGENTS: usize = 100;
const CHANNELS: usize = 200;

pub(super) fn routes() -> OpenApiRouter<App> {
    agent::routes().merge(channel::routes()).merge(report::routes())
}

/// The workspace, which is not gone.
async fn there(reader: &mut Reader, id: WorkspaceId) -> Result<Workspace, Problem> {
    let found = reader.workspace(id).await?.filter(|workspace| workspace.state != WorkspaceState::Gone);
    found.ok_or_else(|| missing(id))
}

/// Holds the workspace, so that of two requests the second counts what the first has made; and refuses where it comes to its end.
async fn hold(tx: &mut Tx, id: WorkspaceId) -> Result<()> {
    let ends = |found: &Workspace| matches!(found.state, WorkspaceState::Deprovisioning | WorkspaceState::Gone);
    match tx.workspace(id).await?.is_none_or(|found| ends(&found)) {
        true => Err(Error::conflict("the workspace comes to its end")),
        false => Ok(()),
    }
}

/// Refuses one more than the most.
fn check_room(there: usize, most: usize, what: &str) -> Result<()> {
    if there < most {
        return Ok(());
    }
    Err(Error::conflict(format!("the workspace has {there} {what}, and {most} are the most"))
        .hint("delete one that is not in use any more"))
}

fn nothing_to_change() -> Error {
    Error::input("the change names nothing that is to change")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use regex_lite::Regex;

    use crate::fleet::name::{check_label, check_word};

    /// What a new agent's field must look like, by the API's own description.
    fn documented(field: &str) -> (Regex, usize) {
        let document: serde_json::Value = serde_json::from_str(&crate::api::openapi().unwrap()).unwrap();
        let field = &document["components"]["schemas"]["NewAgent"]["properties"][field];
        let longest = field["maxLength"].as_u64().map_or(usize::MAX, |longest| usize::try_from(longest).unwrap());
        (Regex::new(field["pattern"].as_str().unwrap()).unwrap(), longest)
    }

    #[test]
    fn names_and_words_are_taken_as_they_are_described() {
        let described = ["name", "kind", "model_provider"].map(documented);
        let text = prop_oneof![
            "[a-z0-9-]{0,66}",
            "[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){0,4}",
            "[ -~é\n]{0,40}",
            any::<String>()
        ];
        let mut seen = [[false; 2]; 3];
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for _ in 0..2000 {
            let text = text.new_tree(&mut runner).unwrap().current();
            let taken = [check_label(&text), check_word(&text), check_word(&text)].map(|checked| checked.is_ok());
            for (n, (pattern, longest)) in described.iter().enumerate() {
                assert_eq!(taken[n], pattern.is_match(&text) && text.len() <= *longest, "{text:?}");
                seen[n][usize::from(taken[n])] = true;
            }
        }
        assert_eq!(seen, [[true; 2]; 3], "some are taken, and some are not");
    }
}
