//! `/v1/workspaces/{id}/agents`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{AGENTS, AgentView, check_room, hold, nothing_to_change, there};
use crate::Error;
use crate::accounts::policy::Permission;
use crate::api::caller::Caller;
use crate::api::conditional::{Expected, etag};
use crate::api::extract::{Body, Path, Query};
use crate::api::once::{Created, once};
use crate::api::page::{Page, PageParams};
use crate::api::{App, Problem};
use crate::fleet::name::{check_label, check_word};
use crate::id::{AgentId, WorkspaceId};
use crate::store::{Agent, AgentPage};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(show, change, delete))
}

/// Which agents.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Those of this kind.
    kind: Option<String>,
    /// Those that are to work, or are not.
    enabled: Option<bool>,
}

/// Lists a workspace's agents, in the order of their making
#[utoipa::path(
    get,
    path = "/workspaces/{id}/agents",
    tag = "agents",
    params(("id" = String, Path, description = "The workspace's id"), Filter, PageParams),
    responses((status = 200, body = Page<AgentView>), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("agent.read"))),
)]
async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkspaceId>,
    Query(filter): Query<Filter>,
    Query(page): Query<PageParams>,
) -> Result<Json<Page<AgentView>>, Problem> {
    caller.may(&app, Permission::AgentRead, Some(id)).await?;
    let asked = AgentPage { after: page.after()?, kind: filter.kind, enabled: filter.enabled, limit: page.to_read()? };
    let mut reader = app.store().read().await?;
    there(&mut reader, id).await?;
    let read = reader.agents_page(id, &asked).await?;
    Ok(Json(page.page(read, |agent| agent.id.to_string(), AgentView::from)))
}

/// An agent to be recorded.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAgent)]
struct New {
    /// What it is called: a label of lower-case letters, digits and hyphens, one of that name per workspace.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", example = "front-desk")]
    name: String,
    /// What it is, in a word; for good.
    #[schema(max_length = 32, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", example = "assistant")]
    kind: String,
    /// Whose model it asks, in a word.
    #[schema(max_length = 32, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", example = "anthropic")]
    model_provider: String,
    /// Whether it is to work; it is where nothing is said.
    enabled: Option<bool>,
}

/// Records an agent
#[utoipa::path(
    post,
    path = "/workspaces/{id}/agents",
    tag = "agents",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same request with the same key gives the same answer"),
    ),
    request_body = New,
    responses(
        (status = 201, body = AgentView, headers(("Location" = String))),
        (status = 409, description = "The name is taken, or there are too many", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("agent.manage"))),
)]
async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkspaceId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::AgentManage, Some(id)).await?;
    there(&mut app.store().read().await?, id).await?;
    let new: New = body.json()?;
    check_label(&new.name)?;
    check_word(&new.kind)?;
    check_word(&new.model_provider)?;
    let asker = caller.clone();
    let created = once(&app, &caller, &headers, body.hash, move |tx| {
        Box::pin(async move {
            hold(tx, id).await?;
            check_room(tx.agent_ids(id).await?.len(), AGENTS, "agents")?;
            let now = tx.now();
            let agent = Agent {
                id: AgentId::new(),
                workspace_id: id,
                name: new.name,
                kind: new.kind,
                model_provider: new.model_provider,
                enabled: new.enabled.unwrap_or(true),
                last_seen_at: None,
                conversations: 0,
                messages: 0,
                version: 1,
                created_at: now,
                updated_at: now,
            };
            if !tx.insert_agent(&agent).await? {
                return Err(taken(&agent.name));
            }
            let entry = asker.entry("agent.create", id.to_string()).detail("agent", agent.id.to_string());
            entry.detail("name", agent.name.as_str()).append(tx).await?;
            let location = format!("/v1/workspaces/{id}/agents/{}", agent.id);
            Ok(Created::new(StatusCode::CREATED, &AgentView::from(agent))?.at(location))
        })
    });
    created.await
}

/// Shows an agent
#[utoipa::path(
    get,
    path = "/workspaces/{id}/agents/{agent}",
    tag = "agents",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("agent" = String, Path, description = "The agent's id"),
    ),
    responses((status = 200, body = AgentView, headers(("ETag" = String))), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("agent.read"))),
)]
async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, agent)): Path<(WorkspaceId, AgentId)>,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::AgentRead, Some(id)).await?;
    let found = app.store().read().await?.agent(id, agent).await?;
    Ok(tagged(found.ok_or_else(|| missing(agent))?))
}

/// What changes; what is not named stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = AgentChange)]
struct Change {
    /// What it is called.
    #[schema(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    name: Option<String>,
    /// Whose model it asks.
    #[schema(max_length = 32, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$")]
    model_provider: Option<String>,
    /// Whether it is to work.
    enabled: Option<bool>,
}

/// Changes an agent; what it is, it stays
#[utoipa::path(
    patch,
    path = "/workspaces/{id}/agents/{agent}",
    tag = "agents",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("agent" = String, Path, description = "The agent's id"),
        ("If-Match" = String, Header, description = "The `ETag` of what you have read, or `*`"),
    ),
    request_body = Change,
    responses(
        (status = 200, body = AgentView, headers(("ETag" = String))),
        (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("agent.manage"))),
)]
async fn change(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, agent)): Path<(WorkspaceId, AgentId)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::AgentManage, Some(id)).await?;
    let expected = Expected::required(&headers)?;
    let change: Change = body.json()?;
    if matches!(change, Change { name: None, model_provider: None, enabled: None }) {
        return Err(nothing_to_change().into());
    }
    change.name.as_deref().map_or(Ok(()), check_label)?;
    change.model_provider.as_deref().map_or(Ok(()), check_word)?;
    there(&mut app.store().read().await?, id).await?;
    let changed = app.store().write(move |tx| {
        Box::pin(async move {
            // Whoever else takes the name meanwhile waits for the workspace.
            hold(tx, id).await?;
            let Some(mut agent) = tx.agent(id, agent).await? else { return Ok(Err(missing(agent))) };
            if let Err(problem) = expected.check(agent.version) {
                return Ok(Err(problem));
            }
            if let Some(name) = change.name {
                if tx.agent_by_name(id, &name).await?.is_some_and(|other| other.id != agent.id) {
                    return Err(taken(&name));
                }
                agent.name = name;
            }
            agent.model_provider = change.model_provider.unwrap_or(agent.model_provider);
            agent.enabled = change.enabled.unwrap_or(agent.enabled);
            tx.update_agent(&agent).await?;
            let entry = caller.entry("agent.change", id.to_string()).detail("agent", agent.id.to_string());
            entry.detail("name", agent.name.as_str()).detail("enabled", agent.enabled).append(tx).await?;
            Ok(Ok(tx.agent(id, agent.id).await?.unwrap_or(agent)))
        })
    });
    Ok(tagged(changed.await??))
}

/// Forgets an agent, with its channels
#[utoipa::path(
    delete,
    path = "/workspaces/{id}/agents/{agent}",
    tag = "agents",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("agent" = String, Path, description = "The agent's id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what you have read"),
    ),
    responses(
        (status = 204),
        (status = 412, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("agent.manage"))),
)]
async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, agent)): Path<(WorkspaceId, AgentId)>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    caller.may(&app, Permission::AgentManage, Some(id)).await?;
    let expected = Expected::read(&headers)?.unwrap_or(Expected::Any);
    there(&mut app.store().read().await?, id).await?;
    let deleted = app.store().write(move |tx| {
        Box::pin(async move {
            // No channel is made for it meanwhile.
            hold(tx, id).await?;
            let Some(agent) = tx.agent(id, agent).await? else { return Ok(Err(missing(agent))) };
            if let Err(problem) = expected.check(agent.version) {
                return Ok(Err(problem));
            }
            tx.delete_agent(agent.id).await?;
            let entry = caller.entry("agent.delete", id.to_string()).detail("agent", agent.id.to_string());
            entry.detail("name", agent.name).append(tx).await.map(Ok)
        })
    });
    deleted.await??;
    Ok(StatusCode::NO_CONTENT)
}

/// An agent with its tag.
fn tagged(agent: Agent) -> Response {
    ([(header::ETAG, etag(agent.version))], Json(AgentView::from(agent))).into_response()
}

pub(super) fn missing(id: AgentId) -> Problem {
    Problem::not_found(format!("there is no agent {id}"))
}

fn taken(name: &str) -> Error {
    Error::conflict(format!("the workspace has an agent named {name:?}")).hint("choose another name")
}
