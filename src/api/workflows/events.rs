//! `GET /v1/workflows/{id}/events`.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, stream};

use super::visible;
use crate::Result;
use crate::api::caller::Caller;
use crate::api::extract::Path;
use crate::api::streams::Seat;
use crate::api::views::WorkflowView;
use crate::api::{App, Problem};
use crate::error::Error;
use crate::id::WorkflowId;
use crate::store::Store;

/// How often the record is looked at.
const LOOK: Duration = Duration::from_millis(300);

/// How long one stream lasts; whoever goes on watching shows their token again.
const LONGEST: Duration = Duration::from_secs(600);

/// Watches a workflow: an event `workflow` with the whole of it at once and after every change, until it is over, or for ten
/// minutes (server-sent events)
#[utoipa::path(
    get,
    path = "/workflows/{id}/events",
    tag = "workflows",
    params(("id" = String, Path, description = "The workflow's id")),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("workflow.read"))),
)]
pub(super) async fn events(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkflowId>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    visible(&app, &caller, id).await?;
    let seat = app.streams().take(caller.actor())?;
    let watch = Watch { store: app.store().clone(), id, told: None, until: Instant::now() + LONGEST, _seat: seat };
    let changes = stream::unfold(watch, |mut watch| async move {
        let view = watch.next().await?;
        Some((Ok(Event::default().event("workflow").data(view)), watch))
    });
    Ok(Sse::new(changes).keep_alive(KeepAlive::default()))
}

struct Watch {
    store: Store,
    id: WorkflowId,
    /// What was told last; the state in which it is over is the last word.
    told: Option<WorkflowView>,
    until: Instant,
    _seat: Seat,
}

impl Watch {
    /// The next change, as JSON; none where there will be no more.
    async fn next(&mut self) -> Option<String> {
        if self.told.as_ref().is_some_and(|told| told.over) {
            return None;
        }
        while Instant::now() < self.until {
            match self.look().await {
                Ok(Some(view)) if self.told.as_ref() != Some(&view) => {
                    let text = serde_json::to_string(&view).ok()?;
                    self.told = Some(view);
                    return Some(text);
                }
                Ok(Some(_)) => {}
                Ok(None) => return None,
                // It may come back; who watches is told by the connection that is still there.
                Err(error) => tracing::warn!(error = error.one_line(), "watching a workflow"),
            }
            tokio::time::sleep(LOOK).await;
        }
        None
    }

    async fn look(&self) -> Result<Option<WorkflowView>, Error> {
        let mut reader = self.store.read().await?;
        let Some(workflow) = reader.workflow(self.id).await? else { return Ok(None) };
        let steps = reader.steps(self.id).await?;
        Ok(Some(WorkflowView::new(workflow, steps)))
    }
}
