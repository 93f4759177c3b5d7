//! `GET /metrics`: what a Prometheus asks for. What this program has done is counted as it happens; what the store holds is
//! counted when it is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Extension;
use axum::extract::{MatchedPath, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use metrics::{counter, gauge, histogram};

use super::caller::Caller;
use super::sweeps::{FindingView, findings};
use super::{App, Problem};
use crate::accounts::policy::Permission;
use crate::store::{NodeState, StateCount, WorkspaceState};
use crate::workflow::flows::sweep::Fault;
use crate::{Result, telemetry};

/// Counts a request. Paths are counted as routes, so that ids do not make a series each.
pub(super) fn count(method: &Method, route: Option<&MatchedPath>, status: StatusCode, elapsed: Duration) {
    let route = route.map_or("none", MatchedPath::as_str).to_owned();
    let status = status.as_u16().to_string();
    counter!("stead_http_requests_total", "method" => known(method).to_owned(), "route" => route.clone(), "status" => status)
        .increment(1);
    histogram!("stead_http_request_seconds", "route" => route).record(elapsed);
}

/// A method's name. Those that nobody serves are one, so that callers cannot make names.
pub(super) fn known(method: &Method) -> &str {
    let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD].contains(method);
    if known { method.as_str() } else { "other" }
}

/// Gives the figures as text (Prometheus exposition format 0.0.4).
pub(super) async fn metrics(State(app): State<App>, Extension(caller): Extension<Caller>) -> Result<Response, Problem> {
    caller.may(&app, Permission::MetricsRead, None).await?;
    look(&app).await?;
    Ok(text()?)
}

/// The figures of this program.
pub(super) fn text() -> Result<Response> {
    let text = telemetry::metrics()?.render();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Counts what the store holds.
async fn look(app: &App) -> Result<()> {
    let mut reader = app.store().read().await?;
    let now = reader.shared_now().await?;
    let mut flows: BTreeMap<(String, String), (i64, i64)> = BTreeMap::new();
    for kind in app.engine().kinds() {
        for state in ["queued", "running", "unwinding", "parked"] {
            // Those of which there are none any more must not stay at their last figure.
            flows.insert((kind.to_owned(), state.to_owned()), (0, 0));
        }
    }
    for found in reader.count_workflows().await? {
        let age = (now - found.oldest).num_seconds().max(0);
        flows.insert((found.kind, found.state), (found.count, age));
    }
    for ((kind, state), (count, age)) in flows {
        gauge!("stead_workflows", "kind" => kind.clone(), "state" => state.clone()).set(as_f64(count));
        gauge!("stead_workflows_oldest_seconds", "kind" => kind, "state" => state).set(as_f64(age));
    }
    let (nodes, workspaces) = (reader.count_nodes().await?, reader.count_workspaces().await?);
    by_state("stead_nodes", NodeState::ALL.map(NodeState::as_str), &nodes);
    by_state("stead_workspaces", WorkspaceState::ALL.map(WorkspaceState::as_str), &workspaces);
    let leases = reader.count_leases(now).await?;
    gauge!("stead_leases", "state" => "held").set(as_f64(leases.held));
    gauge!("stead_leases", "state" => "expired").set(as_f64(leases.expired));
    let sweeps = reader.sweeps().await?;
    let found: Vec<FindingView> = sweeps.iter().flat_map(findings).collect();
    for fault in Fault::ALL {
        let left = found.iter().filter(|finding| finding.fault == fault.as_str() && !finding.mended).count();
        gauge!("stead_orphans", "kind" => fault.as_str()).set(as_f64(i64::try_from(left).unwrap_or(i64::MAX)));
    }
    let oldest = sweeps.iter().map(|sweep| (now - sweep.swept_at).num_seconds().max(0)).max();
    gauge!("stead_sweeps_oldest_seconds").set(as_f64(oldest.unwrap_or_default()));
    let workers = reader.workers().await?;
    let seen = workers.iter().filter(|worker| worker.was_seen(now));
    let (count, running) = seen.fold((0, 0), |(count, running), worker| (count + 1, running + worker.running));
    gauge!("stead_workers").set(f64::from(count));
    gauge!("stead_workers_running").set(f64::from(running));
    gauge!("stead_audit_unsealed").set(as_f64(reader.audit_unsealed_count().await?));
    Ok(())
}

fn by_state<const N: usize>(name: &'static str, states: [&'static str; N], found: &[StateCount]) {
    for state in states.into_iter().filter(|state| *state != "gone") {
        let count = found.iter().find(|found| found.state == state).map_or(0, |found| found.count);
        gauge!(name, "state" => state).set(as_f64(count));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; counts are far below 2^53")]
fn as_f64(count: i64) -> f64 {
    count as f64
}
