//! Sweeps: what hosts' machines are compared with the record, and how they differ.

use std::collections::HashSet;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::extract::Body;
use super::once::{Created, begin};
use super::page::Page;
use super::views::WorkflowView;
use super::work::{enqueued, to_value};
use super::{App, Problem};
use crate::accounts::policy::Permission;
use crate::clock::Timestamp;
use crate::id::{Mark, NodeId, WorkspaceId};
use crate::store::{Ability, Placement, SweepRecord, Tx};
use crate::workflow::flows::sweep::{self, Mend};
use crate::{Error, Result};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, sweep))
}

/// What the last sweep of a host found, with one kind of provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SweepView {
    /// The host's name.
    pub host: String,
    /// The provider's kind.
    pub provider: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub swept_at: Timestamp,
    /// Where machines and record have parted.
    pub findings: Vec<FindingView>,
}

/// Where a machine and the record have parted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FindingView {
    /// `left_over`: the machine of a node that is gone. `unknown`: a machine that the record has never heard of. `lost`: a node
    /// whose machine is gone. Newer workers may find more.
    pub fault: String,
    /// The machine's mark.
    #[schema(value_type = String)]
    pub mark: Mark,
    /// The node that the mark names.
    #[schema(value_type = String)]
    pub node: NodeId,
    /// The workspace that it served, where that is known.
    #[schema(value_type = Option<String>)]
    pub workspace: Option<WorkspaceId>,
    /// Whether it was put right.
    pub mended: bool,
}

/// What a sweep found, from its record. What a newer worker has written in another form is left out: it must not hide the rest.
pub(super) fn findings(sweep: &SweepRecord) -> Vec<FindingView> {
    let found = sweep.findings.as_array().into_iter().flatten();
    found.filter_map(|finding| FindingView::deserialize(finding).ok()).collect()
}

/// Lists what the last sweep of each host found
#[utoipa::path(
    get,
    path = "/sweeps",
    tag = "nodes",
    responses((status = 200, body = Page<SweepView>), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("node.read"))),
)]
async fn list(State(app): State<App>, Extension(caller): Extension<Caller>) -> Result<Json<Page<SweepView>>, Problem> {
    caller.may(&app, Permission::NodeRead, None).await?;
    let mut items = Vec::new();
    for sweep in app.store().read().await?.sweeps().await? {
        let findings = findings(&sweep);
        items.push(SweepView { host: sweep.host, provider: sweep.provider, swept_at: sweep.swept_at, findings });
    }
    Ok(Json(Page { items, next: None }))
}

/// What is to be looked at, and put right.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Sweep {
    /// This host alone.
    #[serde(default)]
    host: Option<String>,
    /// Destroy machines whose node is gone, and write down nodes whose machine is gone as degraded.
    #[serde(default)]
    #[schema(default = false)]
    fix: bool,
    /// Destroy also machines that the record has never heard of; what they hold is lost.
    #[serde(default)]
    #[schema(default = false)]
    unknown: bool,
}

/// What was begun: a workflow for each host.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SweepsBegun {
    /// The workflows.
    pub workflows: Vec<WorkflowView>,
    /// Those hosts of which no worker was seen lately: their workflows wait until one is there.
    #[serde(default)]
    pub away: Vec<String>,
}

/// Has the machines of every host that has local nodes, or of one, compared with the record; by a worker there, when there is one
#[utoipa::path(
    post,
    path = "/sweeps",
    tag = "nodes",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "The same request with the same key gives the same answer"),
    ),
    request_body = Sweep,
    responses(
        (status = 202, body = SweepsBegun),
        (status = 409, description = "No host has local nodes, or another sweep is under way", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("node.sweep"))),
)]
async fn sweep(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::NodeSweep, None).await?;
    let Sweep { host, fix, unknown } = body.json()?;
    if unknown && !fix {
        return Err(Error::input("`unknown` goes with `fix`").hint("send both, or neither").into());
    }
    let mend = Mend { known: fix, unknown };
    let (engine, asker) = (app.engine().clone(), caller.clone());
    let work = begin(&app, &caller, &headers, body.hash, move |tx| {
        Box::pin(async move {
            let now = tx.shared_now().await?;
            let workers = tx.workers().await?;
            let here: HashSet<&str> =
                workers.iter().filter(|worker| worker.was_seen(now)).map(|worker| &*worker.host).collect();
            let (mut workflows, mut away) = (Vec::new(), Vec::new());
            for host in hosts(tx, host).await? {
                let params = sweep::Params { host: host.clone(), mend, actor: asker.actor().to_owned() };
                let (params, subject) = (to_value(&params)?, sweep::subject(&host));
                if let Some(live) = tx.live_workflow(sweep::KIND, &subject).await?
                    && ["known", "unknown"].iter().any(|word| live.params[word] != params[word])
                {
                    return Err(Error::conflict(format!("another sweep of {host} is not over yet"))
                        .hint("wait until it is; an operator abandons one whose host does not come back"));
                }
                if !here.contains(&*host) {
                    away.push(host.clone());
                }
                let placement = Placement { needs: Some(Ability::Local), host: Some(host) };
                let workflow = engine.enqueue_in(tx, sweep::KIND, &subject, params, None, placement).await?;
                asker.entry("node.sweep", subject).detail("fix", fix).detail("unknown", unknown).append(tx).await?;
                workflows.push(enqueued(tx, workflow).await?);
            }
            Created::new(StatusCode::ACCEPTED, &SweepsBegun { workflows, away })
        })
    });
    work.await
}

/// The hosts that are to be swept.
async fn hosts(tx: &mut Tx, named: Option<String>) -> Result<Vec<String>> {
    let hosts = tx.local_hosts().await?;
    match named {
        None if hosts.is_empty() => {
            Err(Error::conflict("no host has local nodes")
                .hint("a worker that makes local nodes says so when it starts"))
        }
        None => Ok(hosts),
        Some(host) if hosts.contains(&host) => Ok(vec![host]),
        Some(host) => Err(Error::input(format!("there is no host {host:?} with local nodes"))
            .hint(format!("there are: {}", hosts.join(", ")))),
    }
}
