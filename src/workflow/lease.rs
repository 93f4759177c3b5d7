//! Leases: who works on a workflow, and whether that process still lives.

use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::clock::Timestamp;
use crate::id::WorkflowId;
use crate::store::{Store, WorkflowRecord};

/// How long a lease holds without renewal.
pub(super) const LEASE: Duration = Duration::from_secs(30);
const RENEW: Duration = Duration::from_secs(10);

/// The end of a lease that begins, or is renewed, now.
pub(super) fn until(now: Timestamp) -> Timestamp {
    now + TimeDelta::from_std(LEASE).unwrap_or(TimeDelta::MAX)
}

/// This process, named so that it is never taken for another: the boot, the process-id namespace, the process id, and
/// when the process started.
pub(super) fn this_process() -> String {
    let pid = std::process::id();
    format!("{}/{}/{pid}/{}", boot(), namespace(), started(pid).unwrap_or_default())
}

/// Whether another may take the lease now.
pub(super) fn is_free(workflow: &WorkflowRecord, now: Timestamp) -> bool {
    match (&workflow.holder, workflow.lease_until) {
        (Some(holder), Some(until)) => until <= now || is_dead(holder),
        _ => true,
    }
}

/// Whether a process is known to have ended. One on another machine, or in another container, is not known.
fn is_dead(holder: &str) -> bool {
    let mut parts = holder.split('/');
    let (Some(on), Some(within), Some(pid), Some(since)) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let Ok(pid) = pid.parse() else { return false };
    on == boot() && within == namespace() && started(pid).is_none_or(|started| started != since)
}

fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

fn namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().into_owned()
}

/// When a process started, in clock ticks since boot (proc_pid_stat(5), field 22); none where it is no more, or is a
/// zombie, which acts no more.
fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name, in parentheses, may hold anything; what follows the last one is field 3 and on.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    (state != "Z" && state != "X").then(|| fields.nth(18).map(str::to_owned))?
}

/// Gives back the leases of processes of this host that have ended: nobody has to wait for those to run out.
///
/// # Errors
/// Fails where the store does.
pub(super) async fn release_dead(store: &Store) -> Result<()> {
    let held = store.read().await?.held_workflows(&format!("{}/{}/", boot(), namespace())).await?;
    for workflow in held.into_iter().filter(|workflow| workflow.holder.as_deref().is_some_and(is_dead)) {
        let (id, fence) = (workflow.id, workflow.fence);
        store.write(move |tx| Box::pin(async move { tx.release_lease(id, fence).await })).await?;
    }
    Ok(())
}

/// Renews a lease in the background for as long as it lives.
pub(super) struct Keeper {
    task: tokio::task::JoinHandle<()>,
    /// Cancelled when the lease was lost to another.
    pub(super) lost: CancellationToken,
}

impl Keeper {
    pub(super) fn start(store: Store, workflow: WorkflowId, fence: u64) -> Self {
        let lost = CancellationToken::new();
        let signal = lost.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(RENEW).await;
                match renew(&store, workflow, fence).await {
                    Ok(true) => {}
                    Ok(false) => return signal.cancel(),
                    // Two more renewals fit into the lease; and every record is written under the fence.
                    Err(error) => tracing::warn!(%workflow, %error, "renewing the lease"),
                }
            }
        });
        Self { task, lost }
    }
}

async fn renew(store: &Store, workflow: WorkflowId, fence: u64) -> Result<bool> {
    let write = store.write(move |tx| {
        Box::pin(async move {
            let until = until(tx.shared_now().await?);
            tx.renew_lease(workflow, fence, until).await
        })
    });
    write.await
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ended_is_known_by_its_start() {
        let ours = this_process();
        assert!(!is_dead(&ours));
        let (head, _) = ours.rsplit_once('/').unwrap();
        assert!(is_dead(&format!("{head}/1")), "the process id was given to another process");
        assert!(!is_dead(&format!("another-boot/{}", ours.split_once('/').unwrap().1)), "unknown is not dead");
        assert!(!is_dead("garbage"));
    }
}
