//! The controller's side of a run: one plan on one node, through the boots that it asks for, up to the confirmation of
//! what the node would take back.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use crate::ssh::NodeSession;
use crate::ssh::session::{Contents, out_of_turn};
use crate::wire::message::{Reply, Request};
use crate::wire::plan::{ApplyOptions, Guarded, Plan, Summary, TaskEvent};
use crate::{Error, Kind, Result};

/// How often a run may boot the machine.
const MOST_BOOTS: u32 = 16;
/// How long cloud-init and systemd may go on after a boot, in seconds.
const SETTLE: u64 = 120;
/// Between two looks at a machine that is about to boot.
const POLL: Duration = Duration::from_millis(500);
/// How long a node may take, beyond its time, to take changes back and to answer again.
const TAKING_BACK: Duration = Duration::from_secs(30);

/// Makes new connections to the node that a run is about.
#[async_trait]
pub trait Dial: Send + Sync {
    /// Connects anew and starts the node agent, waiting for the node for as long as it may take to answer.
    async fn dial(&self, patience: Duration) -> Result<NodeSession>;
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ran {
    /// The counts.
    pub summary: Summary,
    /// What the node's playbooks made and do not name any more.
    pub left_over: Vec<String>,
    /// What the node had taken back before this run, because nobody confirmed it.
    pub taken_back: Option<String>,
    /// Within how many seconds the node takes back what a run that failed has changed of its sshd, network or packet
    /// filter.
    pub takes_back: Option<u32>,
}

/// Applies a plan, or tells what it would change, and hands every event on. Returns the session to go on with.
///
/// Changes that the node would take back by itself are confirmed over a new connection, since only that proves that the
/// controller was not locked out; those of a run that failed are not.
///
/// # Errors
/// Fails where the connection is lost, where the node cannot be reached any more after guarded changes, and where it does
/// not come back from a boot in time. A task that failed is in the summary.
pub async fn run(
    mut session: NodeSession,
    plan: Plan,
    mut options: ApplyOptions,
    contents: Contents<'_>,
    dial: &dyn Dial,
    on_event: &mut (dyn FnMut(TaskEvent) + Send),
) -> Result<(NodeSession, Ran)> {
    let taken_back = session.welcome().taken_back.as_ref().map(|taken| taken.what.clone());
    let mut ran = Ran { taken_back, ..Ran::default() };
    for _ in 0..MOST_BOOTS {
        let request = Request::Apply { plan: Box::new(plan.clone()), options: options.clone() };
        let reply = session.request_with(request, contents, on_event).await?;
        let Reply::Applied { applied } = reply else { return Err(out_of_turn(&reply)) };
        ran.summary = applied.summary;
        ran.left_over = applied.left_over;
        if let Some(guarded) = applied.guard {
            if !ran.summary.succeeded() {
                ran.takes_back = Some(guarded.seconds);
                return Ok((session, ran));
            }
            session = confirm(&guarded, dial).await?;
        }
        let Some(seconds) = applied.reboot else { return Ok((session, ran)) };
        session = reboot(session, Duration::from_secs(seconds.into()), dial).await?;
        options.resume = true;
    }
    Err(Error::failed(format!("the playbooks have booted the machine {MOST_BOOTS} times and ask for another boot"))
        .hint("look for a `reboot` task in a loop, or for what asks for it again and again (`if_required`)"))
}

/// Keeps guarded changes, over a new connection.
async fn confirm(guarded: &Guarded, dial: &dyn Dial) -> Result<NodeSession> {
    let time = Duration::from_secs(guarded.seconds.into());
    let begun = Instant::now();
    let error = match dial.dial(time).await {
        Ok(mut session) => {
            return match session.request(Request::Confirm { id: guarded.id.clone() }, &mut |_| {}).await? {
                Reply::Done => Ok(session),
                reply => Err(out_of_turn(&reply)),
            };
        }
        Err(error) => error,
    };
    let why = error.one_line();
    let hint = "look at what the playbooks change of sshd, the network, the packet filter or who may log in";
    // It may be refused at once; the node waits to the end of its time, and refuses until it has taken all of it back.
    sleep((begun + time).saturating_duration_since(Instant::now())).await;
    let deadline = begun + time + TAKING_BACK;
    let answer = loop {
        match dial.dial(deadline.saturating_duration_since(Instant::now())).await {
            Err(_) if Instant::now() < deadline => sleep(POLL).await,
            answer => break answer,
        }
    };
    match answer {
        Ok(session) => {
            let what = session.welcome().taken_back.as_ref().map_or("them", |taken| taken.what.as_str());
            Err(Error::failed(format!(
                "these changes locked the controller out, and the node has taken back what it changed: {what}"
            ))
            .because(why)
            .hint(hint))
        }
        Err(_) => Err(Error::new(
            Kind::Unreachable,
            "the node does not answer any more since changes that it should have taken back by itself",
        )
        .because(why)
        .hint(hint)
        .hint("it takes them back at its next boot as well: boot it at its provider")),
    }
}

/// Boots the machine and waits until it is back.
async fn reboot(mut session: NodeSession, patience: Duration, dial: &dyn Dial) -> Result<NodeSession> {
    let before = session.welcome().boot_id.clone();
    match session.request(Request::Reboot, &mut |_| {}).await {
        Ok(Reply::Done) => {}
        Ok(reply) => return Err(out_of_turn(&reply)),
        // It may be gone before it has answered.
        Err(error) if error.kind() == Kind::Unreachable => {}
        Err(error) => return Err(error),
    }
    drop(session);
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match dial.dial(left).await {
            Ok(mut session) if session.welcome().boot_id != before => {
                return match session.request(Request::WaitBoot { timeout: SETTLE }, &mut |_| {}).await? {
                    Reply::Booted { .. } => Ok(session),
                    reply => Err(out_of_turn(&reply)),
                };
            }
            Err(error) if error.kind() != Kind::Unreachable => return Err(error),
            _ if left.is_zero() => {
                return Err(Error::new(
                    Kind::Unreachable,
                    format!("the machine did not come back from its boot within {} s", patience.as_secs()),
                )
                .hint("give the `reboot` task a longer `timeout`, in seconds, or look at the machine's console"));
            }
            _ => sleep(POLL).await,
        }
    }
}
