//! `/v1/workspaces/{id}/channels`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{AgentChannelView, CHANNELS, check_room, hold, nothing_to_change, there};
use crate::Error;
use crate::accounts::policy::Permission;
use crate::api::caller::Caller;
use crate::api::conditional::{Expected, etag};
use crate::api::extract::{Body, Path, Query};
use crate::api::once::{Created, once};
use crate::api::page::{Page, PageParams};
use crate::api::{App, Problem};
use crate::fleet::name::check_word;
use crate::id::{AgentChannelId, AgentId, WorkspaceId};
use crate::store::{AgentChannel, AgentChannelPage};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(show, change, delete))
}

/// Which channels.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Those of this agent.
    #[param(value_type = Option<String>)]
    agent_id: Option<AgentId>,
    /// Those of this kind.
    kind: Option<String>,
    /// Those that are to be open, or are not.
    enabled: Option<bool>,
}

/// Lists the channels of a workspace's agents, in the order of their making
#[utoipa::path(
    get,
    path = "/workspaces/{id}/channels",
    tag = "agents",
    params(("id" = String, Path, description = "The workspace's id"), Filter, PageParams),
    responses((status = 200, body = Page<AgentChannelView>), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("agent.read"))),
)]
async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkspaceId>,
    Query(filter): Query<Filter>,
    Query(page): Query<PageParams>,
) -> Result<Json<Page<AgentChannelView>>, Problem> {
    caller.may(&app, Permission::AgentRead, Some(id)).await?;
    let Filter { agent_id: agent, kind, enabled } = filter;
    let asked = AgentChannelPage { after: page.after()?, agent, kind, enabled, limit: page.to_read()? };
    let mut reader = app.store().read().await?;
    there(&mut reader, id).await?;
    let read = reader.agent_channels_page(id, &asked).await?;
    Ok(Json(page.page(read, |channel| channel.id.to_string(), AgentChannelView::from)))
}

/// A channel to be recorded.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAgentChannel)]
struct New {
    /// The agent that is reached through it; for good.
    #[schema(value_type = String, example = "ag_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    agent_id: AgentId,
    /// What it is, in a word; for good.
    #[schema(max_length = 32, pattern = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", example = "telegram")]
    kind: String,
    /// Whether it is to be open; it is where nothing is said.
    enabled: Option<bool>,
}

/// Records a channel; an agent may have several of one kind
#[utoipa::path(
    post,
    path = "/workspaces/{id}/channels",
    tag = "agents",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same request with the same key gives the same answer"),
    ),
    request_body = New,
    responses(
        (status = 201, body = AgentChannelView, headers(("Location" = String))),
        (status = 409, description = "There are too many", body = Problem, content_type = "application/problem+json"),
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
    let New { agent_id, kind, enabled } = body.json()?;
    check_word(&kind)?;
    let asker = caller.clone();
    let created = once(&app, &caller, &headers, body.hash, move |tx| {
        Box::pin(async move {
            hold(tx, id).await?;
            check_room(tx.agent_channel_ids(id).await?.len(), CHANNELS, "channels")?;
            if tx.agent(id, agent_id).await?.is_none() {
                return Err(Error::input(format!("the workspace has no agent {agent_id}")));
            }
            let now = tx.now();
            let channel = AgentChannel {
                id: AgentChannelId::new(),
                workspace_id: id,
                agent_id,
                kind,
                enabled: enabled.unwrap_or(true),
                last_seen_at: None,
                messages_in: 0,
                messages_out: 0,
                version: 1,
                created_at: now,
                updated_at: now,
            };
            tx.insert_agent_channel(&channel).await?;
            let entry = asker.entry("channel.create", id.to_string()).detail("channel", channel.id.to_string());
            let entry = entry.detail("agent", agent_id.to_string()).detail("kind", channel.kind.as_str());
            entry.append(tx).await?;
            let location = format!("/v1/workspaces/{id}/channels/{}", channel.id);
            Ok(Created::new(StatusCode::CREATED, &AgentChannelView::from(channel))?.at(location))
        })
    });
    created.await
}

/// Shows a channel
#[utoipa::path(
    get,
    path = "/workspaces/{id}/channels/{channel}",
    tag = "agents",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("channel" = String, Path, description = "The channel's id"),
    ),
    responses((status = 200, body = AgentChannelView, headers(("ETag" = String))), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("agent.read"))),
)]
async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, channel)): Path<(WorkspaceId, AgentChannelId)>,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::AgentRead, Some(id)).await?;
    let found = app.store().read().await?.agent_channel(id, channel).await?;
    Ok(tagged(found.ok_or_else(|| missing(channel))?))
}

/// What changes; what is not named stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = AgentChannelChange)]
struct Change {
    /// Whether it is to be open.
    enabled: Option<bool>,
}

/// Opens or closes a channel
#[utoipa::path(
    patch,
    path = "/workspaces/{id}/channels/{channel}",
    tag = "agents",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("channel" = String, Path, description = "The channel's id"),
        ("If-Match" = String, Header, description = "The `ETag` of what you have read, or `*`"),
    ),
    request_body = Change,
    responses(
        (status = 200, body = AgentChannelView, headers(("ETag" = String))),
        (status = 412, description = "It was changed meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing", body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("agent.manage"))),
)]
async fn change(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, channel)): Path<(WorkspaceId, AgentChannelId)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may(&app, Permission::AgentManage, Some(id)).await?;
    let expected = Expected::required(&headers)?;
    let Change { enabled } = body.json()?;
    let enabled = enabled.ok_or_else(nothing_to_change)?;
    there(&mut app.store().read().await?, id).await?;
    let changed = app.store().write(move |tx| {
        Box::pin(async move {
            hold(tx, id).await?;
            let Some(mut channel) = tx.agent_channel(id, channel).await? else { return Ok(Err(missing(channel))) };
            if let Err(problem) = expected.check(channel.version) {
                return Ok(Err(problem));
            }
            channel.enabled = enabled;
            tx.update_agent_channel(&channel).await?;
            let entry = caller.entry("channel.change", id.to_string()).detail("channel", channel.id.to_string());
            entry.detail("enabled", enabled).append(tx).await?;
            Ok(Ok(tx.agent_channel(id, channel.id).await?.unwrap_or(channel)))
        })
    });
    Ok(tagged(changed.await??))
}

/// Forgets a channel
#[utoipa::path(
    delete,
    path = "/workspaces/{id}/channels/{channel}",
    tag = "agents",
    params(
        ("id" = String, Path, description = "The workspace's id"),
        ("channel" = String, Path, description = "The channel's id"),
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
    Path((id, channel)): Path<(WorkspaceId, AgentChannelId)>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    caller.may(&app, Permission::AgentManage, Some(id)).await?;
    let expected = Expected::read(&headers)?.unwrap_or(Expected::Any);
    there(&mut app.store().read().await?, id).await?;
    let deleted = app.store().write(move |tx| {
        Box::pin(async move {
            hold(tx, id).await?;
            let Some(channel) = tx.agent_channel(id, channel).await? else { return Ok(Err(missing(channel))) };
            if let Err(problem) = expected.check(channel.version) {
                return Ok(Err(problem));
            }
            tx.delete_agent_channel(channel.id).await?;
            let entry = caller.entry("channel.delete", id.to_string()).detail("channel", channel.id.to_string());
            entry.append(tx).await.map(Ok)
        })
    });
    deleted.await??;
    Ok(StatusCode::NO_CONTENT)
}

/// A channel with its tag.
fn tagged(channel: AgentChannel) -> Response {
    ([(header::ETAG, etag(channel.version))], Json(AgentChannelView::from(channel))).into_response()
}

fn missing(id: AgentChannelId) -> Problem {
    Problem::not_found(format!("there is no channel {id}"))
}
