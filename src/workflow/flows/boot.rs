//! Step `boot`: the first contact, and the end of the boot.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::platform::BootTime;
use super::{Platform, brought, is_brought, node};
use crate::provider::{MachineState, Provider};
use crate::ssh::session::out_of_turn;
use crate::ssh::{Client, ConnectError, HostKeys};
use crate::store::{Node, NodeRole};
use crate::wire::message::{Reply, Request};
use crate::workflow::{Step, StepCx, StepError};
use crate::{Error, Result};

/// How often it is looked at whether the machine is still alive.
const LOOK: Duration = Duration::from_secs(2);
/// How much of the console goes into an error, in lines.
const CONSOLE_LINES: usize = 15;

/// The step, for the node of this role. There is nothing to take back.
pub(super) struct Boot(pub(super) NodeRole);

#[async_trait]
impl Step<Platform> for Boot {
    fn name(&self) -> &'static str {
        "boot"
    }

    fn timeout(&self) -> Duration {
        BootTime::LONGEST.sum() + Duration::from_secs(30)
    }

    async fn run(&self, cx: &StepCx<'_, Platform>) -> Result<serde_json::Value, StepError> {
        let platform = cx.context();
        let record = node::of(cx, self.0).await?;
        if is_brought(&record) {
            return brought::meet(cx, &record).await;
        }
        let provider = platform.provider(&record.kind)?;
        cx.progress("waiting for sshd");
        let client = first_contact(platform, &record, provider.as_ref()).await?;
        let timeout = BootTime::of(&record).settle.as_secs();
        let mut session = platform.open(&client, &record, cx.fence()).await?;
        cx.progress("waiting for cloud-init and systemd");
        let reply = session.request(Request::WaitBoot { timeout }, &mut |_| {}).await?;
        let Reply::Booted { state, failed, cloud_init } = reply else { return Err(out_of_turn(&reply).into()) };
        if !cloud_init.is_empty() {
            return Err(StepError::Fatal(
                Error::failed("cloud-init did not finish cleanly").because(cloud_init.join("\n")),
            ));
        }
        if !failed.is_empty() {
            let error = Error::failed(format!("the node booted with failed units: {}", failed.join(", ")));
            return Err(StepError::Fatal(with_console(error, provider.as_ref(), &record).await));
        }
        node::met(cx, self.0, session).await?;
        Ok(serde_json::json!({"state": state}))
    }

    async fn undo(&self, cx: &StepCx<'_, Platform>) -> Result<(), StepError> {
        if let Some(node) = node::find(cx, self.0).await? {
            cx.context().close(node.id).await;
        }
        Ok(())
    }
}

/// Waits for the node's sshd, and gives up as soon as the machine is dead.
async fn first_contact(platform: &Platform, record: &Node, provider: &dyn Provider) -> Result<Client> {
    let accepted = HostKeys::parse(record.accepted_host_keys())?;
    let patience = BootTime::of(record).sshd;
    // One attempt for all of the time: a slow machine's key exchange is not to be cut off by a look at whether it lives.
    let connecting = platform.connect(record, &accepted, Instant::now() + patience);
    tokio::pin!(connecting);
    loop {
        tokio::select! {
            connected = &mut connecting => return match connected {
                Ok(client) => Ok(client),
                Err(error) if !error.is_transient() => Err(explain(error)),
                Err(error) => {
                    let late = format!("the node did not come up within {} seconds", patience.as_secs());
                    Err(with_console(Error::from(error).context(late), provider, record).await)
                }
            },
            () = tokio::time::sleep(LOOK) => {}
        }
        let alive = provider.find(&record.mark).await?.is_some_and(|machine| machine.state == MachineState::Running);
        if !alive {
            let error = Error::failed("the node stopped while it was booting");
            return Err(with_console(error, provider, record).await);
        }
    }
}

/// The user's own key is new to every node, so a refusal means that cloud-init did not get to write it.
fn explain(error: ConnectError) -> Error {
    match error {
        ConnectError::UserKeyRefused { .. } => {
            Error::from(error).hint("cloud-init did not set up the management user; `stead node logs` shows why")
        }
        other => other.into(),
    }
}

async fn with_console(error: Error, provider: &dyn Provider, record: &Node) -> Error {
    match provider.console(&record.mark, CONSOLE_LINES).await {
        Ok(Some(lines)) if !lines.is_empty() => {
            let hints = error.hints().to_vec();
            let message = error.one_line();
            hints.into_iter().fold(
                Error::failed(message).because(format!("the last lines of its console:\n{lines}")),
                |error, hint| error.hint(hint),
            )
        }
        _ => error,
    }
}
