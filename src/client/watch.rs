//! Watching a workflow until it is over (server-sent events).

use std::time::Duration;

use eventsource_stream::Eventsource;
use futures::StreamExt;
use serde::de::DeserializeOwned;

use super::Client;
use crate::{Error, Kind, Result};

/// How often a stream that broke is begun again, without having told anything in between.
const TRIES: u32 = 8;
/// How long to wait before that, in multiples.
const PAUSE: Duration = Duration::from_secs(1);

/// Calls `seen` with every state of a workflow, until `seen` says that it was the last. A stream that ends or breaks is begun
/// again: the first thing that each tells is how things stand.
///
/// # Errors
/// Fails where the server cannot be reached for long, or does not show the workflow.
pub async fn watch<T: DeserializeOwned>(client: &Client, id: &str, mut seen: impl FnMut(T) -> bool) -> Result<()> {
    let path = format!("/v1/workflows/{id}/events");
    let mut broken = 0;
    loop {
        let response = match client.stream(&path).await {
            Ok(response) => response,
            Err(error) if lasts(&error) && broken + 1 < TRIES => {
                broken += 1;
                tokio::time::sleep(PAUSE * broken).await;
                continue;
            }
            Err(error) => return Err(error.hint(goes_on(id))),
        };
        let mut events = response.bytes_stream().eventsource();
        while let Some(event) = events.next().await {
            // A connection that was cut; what has happened since is in the next stream's first word.
            let Ok(event) = event else { break };
            if event.event != "workflow" {
                continue;
            }
            let state = serde_json::from_str(&event.data).map_err(|error| {
                Error::failed("the server tells of the workflow in a form that this program does not know")
                    .because(error)
                    .hint("the server may be of another version")
            })?;
            broken = 0;
            if seen(state) {
                return Ok(());
            }
        }
        broken += 1;
        if broken == TRIES {
            return Err(Error::new(Kind::Unreachable, format!("{} breaks off again and again", client.address()))
                .hint(goes_on(id)));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether the server may answer later.
fn lasts(error: &Error) -> bool {
    matches!(error.kind(), Kind::Unreachable | Kind::Unavailable)
}

fn goes_on(id: &str) -> String {
    format!("the workflow goes on by itself: `stead workflow show {id}`")
}
