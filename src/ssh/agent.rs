//! Starts the node agent, and brings it where the node lacks this version.

use bytes::Bytes;
use camino::Utf8Path;
use sha2::{Digest, Sha256};
use tracing::Instrument;

use super::client::{Client, Output};
use super::process::Process;
use super::session::{NodeSession, Opened};
use super::watched;
use crate::error::Context;
use crate::telemetry::traces;
use crate::wire::message::Hello;
use crate::{Error, Result};

/// Where the agents' versions lie side by side on a node.
const AGENTS: &str = "/var/lib/stead/agents";
/// The exit status by which the node says that it lacks this version of the agent.
pub(super) const MISSING: u32 = 44;

/// A node agent to run: the one program that fits the node's architecture and this controller.
#[derive(Debug, Clone)]
pub struct AgentBinary {
    bytes: Bytes,
    sha256: String,
    arch: String,
}

impl AgentBinary {
    /// Reads the program for an architecture, in Debian's name for it (`amd64`).
    ///
    /// # Errors
    /// Fails where the file cannot be read or is no program.
    pub fn read(path: &Utf8Path, arch: &str) -> Result<Self> {
        const WAY_OUT: &str =
            "build the node's programs, or set STEAD_AGENTS_DIR to the folder that holds ARCH/stead-node";
        let bytes = std::fs::read(path)
            .with_context(|| format!("reading the node agent {path}"))
            .map_err(|error| error.hint(WAY_OUT))?;
        if !bytes.starts_with(b"\x7fELF") && !bytes.starts_with(b"#!") {
            return Err(Error::input(format!("{path} is not a program")).hint(WAY_OUT));
        }
        Ok(Self { sha256: hex::encode(Sha256::digest(&bytes)), bytes: bytes.into(), arch: arch.to_owned() })
    }

    /// The SHA-256 of the program, in hexadecimal; a node keeps it under this name.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Debian's name of the architecture that it runs on.
    pub fn arch(&self) -> &str {
        &self.arch
    }

    /// Where it lies on a node.
    pub fn path_on_node(&self) -> String {
        format!("{AGENTS}/{}/stead-node", self.sha256)
    }
}

impl Client {
    /// Starts the node agent on one channel and greets it. Where the node lacks this version of it, the agent is brought
    /// over the same connection first; where it is there, looking for it costs no round trip.
    ///
    /// # Errors
    /// Fails where the user may not become root, the agent does not run there, or the agent refuses the session (another
    /// node, a lower fence, another protocol).
    pub async fn agent(&self, agent: &AgentBinary, hello: Hello) -> Result<NodeSession> {
        let span = watched::session(self);
        let ended = self.start(agent, hello).instrument(span.clone()).await;
        traces::ended_as(&span, &ended);
        ended
    }

    async fn start(&self, agent: &AgentBinary, hello: Hello) -> Result<NodeSession> {
        // The node itself says whether the program is there, in the same breath as it starts it.
        let script = format!(r#"test -x "$0" || exit {MISSING}; exec "$0" session"#);
        let command = self.as_root(&script, &[&agent.path_on_node()]);
        if let Opened::Session(session) = NodeSession::open(self, &command, &hello).await? {
            return Ok(*session);
        }
        self.bring(agent).await?;
        match NodeSession::open(self, &command, &hello).await? {
            Opened::Session(session) => Ok(*session),
            Opened::AgentMissing => {
                Err(Error::failed(format!("{self} lost the node agent right after it was brought")))
            }
        }
    }

    /// Puts the agent on the node under its own hash. It is checked there before it gets its name, and one that is there
    /// is never overwritten.
    async fn bring(&self, agent: &AgentBinary) -> Result<()> {
        tracing::debug!(node = %self, sha256 = agent.sha256, "bringing the node agent");
        let script = r#"set -eu
umask 077
dir=$0 sha256=$1 size=$2
mkdir -p "$dir"
new=$(mktemp "$dir/.new.XXXXXXXX")
trap 'rm -f "$new"' EXIT
cat >"$new"
test "$(stat -c %s "$new")" = "$size" || { echo "received $(stat -c %s "$new") of $size bytes" >&2; exit 1; }
echo "$sha256  $new" | sha256sum --check --status || { echo "received other bytes than were sent" >&2; exit 1; }
chmod 0755 "$new"
sync "$new"
ln "$new" "$dir/stead-node" 2>/dev/null || test -x "$dir/stead-node"
sync "$dir""#;
        let (folder, size) = (format!("{AGENTS}/{}", agent.sha256), agent.bytes.len().to_string());
        let command = self.as_root(script, &[&folder, &agent.sha256, &size]);
        let output = self.exec(&command, agent.bytes.clone()).await?;
        if output.status == Some(0) {
            return Ok(());
        }
        let error =
            Error::failed(format!("the node agent could not be brought to {self}")).because(output.stderr.clone());
        Err(self.with_reason(error, &output.stderr, output.status))
    }

    /// Runs a shell script as root, with these words as `$0`, `$1`, …, and `stdin` as its standard input.
    ///
    /// # Errors
    /// As [`Client::exec`], and where the user may not become root. A script that fails is no error here.
    pub async fn exec_as_root(&self, script: &str, words: &[&str], stdin: impl Into<Bytes>) -> Result<Output> {
        let output = self.exec(&self.as_root(script, words), stdin).await?;
        // sudo ends with 1; what else it says (a host name that does not resolve) is no refusal.
        if output.stderr.contains("sudo: ") && output.status == Some(1) {
            let error = Error::failed(format!("{self} may not become root")).because(output.stderr.trim());
            return Err(self.with_reason(error, &output.stderr, output.status));
        }
        Ok(output)
    }

    /// A command that runs a script with these words as `$0`, `$1`, … as root.
    fn as_root(&self, script: &str, words: &[&str]) -> String {
        let sudo = if self.user() == "root" { "" } else { "sudo -n " };
        let mut command = format!("{sudo}sh -c {}", quote(script));
        for word in words {
            command.push(' ');
            command.push_str(&quote(word));
        }
        command
    }

    fn with_reason(&self, error: Error, stderr: &str, status: Option<u32>) -> Error {
        if stderr.contains("sudo: ") {
            error.hint(format!("{} needs sudo without a password on the node, or log in as root", self.user()))
        } else if stderr.contains("No space left") {
            error.hint("free some space below /var/lib/stead on the node, then run the same command again")
        } else if status == Some(126) {
            error.hint("the program does not run there: look at the machine's architecture, and whether /var is mounted noexec")
        } else {
            error
        }
    }

    /// The error for an agent that ended before it greeted.
    pub(super) fn agent_did_not_start(&self, process: &Process) -> Error {
        let stderr = process.stderr();
        let error = Error::failed(format!("the node agent on {self} did not start: {}", process.ending()));
        let error = if stderr.is_empty() { error } else { error.because(stderr.clone()) };
        self.with_reason(error, &stderr, process.status())
    }
}

/// A word for the shell that stays as it is.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_stays_as_it_is() {
        for word in ["", "a b", "it's", "$HOME `id` \"x\"", "a\nb"] {
            let output = std::process::Command::new("sh").args(["-c", &format!("printf %s {}", quote(word))]).output();
            assert_eq!(output.unwrap().stdout, word.as_bytes());
        }
    }
}
