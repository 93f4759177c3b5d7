//! What connections leave in figures and traces: names alone, never what is sent.

use std::time::Instant;

use metrics::{counter, histogram};
use tracing::{Span, info_span};

use super::{Client, ConnectError, Target};
use crate::telemetry::traces;

/// A connection that is being made, with all its attempts.
pub(super) struct Connecting {
    /// What is done for it is a part of this.
    pub(super) span: Span,
    begun: Instant,
}

impl Connecting {
    pub(super) fn begin(target: &Target) -> Self {
        let span = info_span!(
            target: traces::TARGET,
            "ssh connect",
            otel.kind = "client",
            server.port = target.port,
            stead.ssh.user = target.user,
            stead.ssh.hops = target.via.len(),
        );
        let address = || target.name.clone().or_else(|| target.addresses.first().map(ToString::to_string));
        if !span.is_disabled()
            && let Some(address) = address()
        {
            traces::note(&span, "server.address", address);
        }
        Self { span, begun: Instant::now() }
    }

    pub(super) fn end(self, ended: &Result<Client, ConnectError>, attempts: u32) {
        let outcome = if ended.is_ok() { "done" } else { "failed" };
        counter!("stead_ssh_connections_total", "outcome" => outcome).increment(1);
        histogram!("stead_ssh_connect_seconds", "outcome" => outcome).record(self.begun.elapsed());
        if self.span.is_disabled() {
            return;
        }
        traces::note(&self.span, "stead.attempts", i64::from(attempts));
        let failure = ended.as_ref().err().map(|error| crate::Error::failed(error.to_string()));
        traces::ended(&self.span, outcome, failure.as_ref());
    }
}

/// The span of the start of a node agent.
pub(super) fn session(client: &Client) -> Span {
    info_span!(target: traces::TARGET, "ssh session", otel.kind = "client", stead.node.at = client.at())
}

/// The span of a command; which one is nobody's business.
pub(super) fn command(client: &Client) -> Span {
    info_span!(target: traces::TARGET, "ssh command", otel.kind = "client", stead.node.at = client.at())
}

/// The span of a request to a node agent, by its name.
pub(super) fn request(client: &Client, name: &'static str) -> Span {
    info_span!(
        target: traces::TARGET,
        "node request",
        otel.name = %format_args!("node {name}"),
        otel.kind = "client",
        stead.node.at = client.at(),
        stead.node.request = name,
    )
}
