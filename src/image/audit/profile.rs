//! The profile's own check: the image's playbooks on the running machine, told and not applied.

use super::{Audit, Finding};
use crate::fleet::FileSet;
use crate::image::vm::boot_test::{Booted, NODE};
use crate::ssh::agent::AgentBinary;
use crate::wire::PROTOCOL;
use crate::wire::message::{Hello, Reply, Request};
use crate::wire::plan::{ApplyOptions, Plan, Status, TaskEvent};
use crate::{Error, Result};

/// What the machine is held against.
#[derive(Debug, Clone, Copy)]
pub struct Profile<'a> {
    /// The image's playbooks.
    pub plan: &'a Plan,
    /// The content that the plan only names.
    pub files: &'a FileSet,
    /// The node agent.
    pub agent: &'a AgentBinary,
}

pub(super) async fn audit(booted: &Booted, profile: &Profile<'_>) -> Result<Audit> {
    let hello = Hello {
        protocol: PROTOCOL,
        version: crate::VERSION.into(),
        fleet: NODE.0.into(),
        node: NODE.1.into(),
        // Only to look.
        fence: None,
    };
    let mut session = booted.client.agent(profile.agent, hello).await?;
    let mut findings = Vec::new();
    let mut on_event = |event: TaskEvent| {
        if matches!(event.status, Status::Changed | Status::Failed) {
            findings.push(Finding { id: format!("{}: {}", event.play, event.name), text: event.message, waived: None });
        }
    };
    let options = ApplyOptions { check: true, ..ApplyOptions::default() };
    let request = Request::Apply { plan: Box::new(profile.plan.clone()), options };
    let contents = |hash: &str| profile.files.open_apart(hash);
    let reply = session.request_with(request, &contents, &mut on_event).await?;
    let Reply::Applied { applied } = reply else {
        return Err(Error::failed("the node agent answered out of turn"));
    };
    let passed = applied.summary.succeeded() && findings.is_empty();
    #[expect(clippy::cast_precision_loss, reason = "a number of tasks")]
    let score = findings.len() as f64;
    Ok(Audit { auditor: "profile", version: None, score, bar: "nothing to change".into(), passed, findings })
}
