//! Leases: who works on a workflow, and whether that process still lives.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::watched::{self, LeaseEvent};
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
/// when the process started. Where any of these cannot be seen (a sandbox hides `/proc`), it has a random name, which
/// nobody can judge: its leases run out by themselves.
pub(super) fn this_process() -> String {
    static NAME: OnceLock<String> = OnceLock::new();
    let name = || {
        let pid = std::process::id();
        match (here(), started(pid)) {
            (Some(here), Seen::Alive(since)) => format!("{here}/{pid}/{since}"),
            _ => format!("unseen/{}/{pid}/0", uuid::Uuid::now_v7()),
        }
    };
    NAME.get_or_init(name).clone()
}

/// Whether another may take the lease now.
pub(super) fn is_free(workflow: &WorkflowRecord, now: Timestamp) -> bool {
    match (&workflow.holder, workflow.lease_until) {
        (Some(holder), Some(until)) => until <= now || is_dead(holder),
        _ => true,
    }
}

/// Whether a process is known to have ended. One on another machine, in another container, or that is hidden from us, is
/// not known.
fn is_dead(holder: &str) -> bool {
    let Some(here) = here() else { return false };
    let Some((pid, since)) = holder.strip_prefix(&format!("{here}/")).and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let Ok(pid) = pid.parse() else { return false };
    match started(pid) {
        Seen::Ended => true,
        Seen::Alive(started) => started != since,
        Seen::Hidden => false,
    }
}

/// This boot and process-id namespace; none where they cannot be seen, since then all machines would look alike.
fn here() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let (boot, namespace) = (boot.trim(), namespace.to_str()?);
    (!boot.is_empty() && !namespace.is_empty()).then(|| format!("{boot}/{namespace}"))
}

/// What can be seen of a process.
enum Seen {
    /// There is none, or a zombie, which acts no more.
    Ended,
    /// It runs, and started so many clock ticks after the boot (proc_pid_stat(5), field 22).
    Alive(String),
    /// There may be one.
    Hidden,
}

fn started(pid: u32) -> Seen {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        let process = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        // One that we may not send signals to lives all the same, and `/proc` may be hiding it.
        let gone = process.is_none_or(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH));
        return if gone { Seen::Ended } else { Seen::Hidden };
    };
    // The command's name, in parentheses, may hold anything; what follows the last one is field 3 and on.
    let mut fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
    match (fields.next(), fields.nth(18)) {
        (Some("Z" | "X"), _) => Seen::Ended,
        (Some(_), Some(since)) => Seen::Alive(since.to_owned()),
        _ => Seen::Hidden,
    }
}

/// Gives back the leases of processes of this host that have ended: nobody has to wait for those to run out.
///
/// # Errors
/// Fails where the store does.
pub(super) async fn release_dead(store: &Store) -> Result<()> {
    let Some(here) = here() else { return Ok(()) };
    let held = store.read().await?.held_workflows(&format!("{here}/")).await?;
    for workflow in held.into_iter().filter(|workflow| workflow.holder.as_deref().is_some_and(is_dead)) {
        let (id, fence) = (workflow.id, workflow.fence);
        store.write(move |tx| Box::pin(async move { tx.release_lease(id, fence, None).await })).await?;
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
            let mut held_since = Instant::now();
            loop {
                tokio::time::sleep(RENEW).await;
                let asked = Instant::now();
                match tokio::time::timeout(RENEW, renew(&store, workflow, fence)).await {
                    Ok(Ok(true)) => {
                        watched::lease(LeaseEvent::Renewed);
                        held_since = asked;
                    }
                    Ok(Ok(false)) => {
                        watched::lease(LeaseEvent::Lost);
                        return signal.cancel();
                    }
                    Ok(Err(error)) => tracing::warn!(%workflow, %error, "renewing the lease"),
                    Err(_) => tracing::warn!(%workflow, "renewing the lease takes too long"),
                }
                // Before another may take it: what acts outside the store knows of no fence.
                if held_since.elapsed() + RENEW >= LEASE {
                    tracing::warn!(%workflow, "the lease could not be renewed in time; the work is given up");
                    watched::lease(LeaseEvent::Lost);
                    return signal.cancel();
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
        assert!(
            !is_dead(&format!("/pid:[4026531836]/{}/1", std::process::id())),
            "a boot that cannot be seen is nobody's"
        );
        let here = here().unwrap();
        // A process id that no process has: the kernel gives none above this one (PID_MAX_LIMIT).
        assert!(is_dead(&format!("{here}/{}/1", (1 << 22) + 1)));
    }
}
