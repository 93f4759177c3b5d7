//! `POST /v1/workspaces/{id}/report`: what was seen of agents and their channels, told by the machine that sees it.
//!
//! Such a machine has a workspace's token that is held to the scope `agent.report`. It tells totals, not what was added since:
//! so a report that comes twice, late or out of turn says nothing new. Reports are not written into the audit log, in which
//! they would be thousands a day that say of nobody what they did, and drown those that do; what a machine says is in the
//! records, and who gave it its token is in the log.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;

use axum::extract::State;
use axum::{Extension, Json};
use chrono::{SubsecRound, TimeDelta};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{AGENTS, CHANNELS, there};
use crate::accounts::policy::Permission;
use crate::api::caller::Caller;
use crate::api::extract::{Body, Path};
use crate::api::{App, Problem};
use crate::clock::Timestamp;
use crate::id::{AgentChannelId, AgentId, WorkspaceId};
use crate::store::Seen;
use crate::{Error, Result};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(report))
}

/// How far a machine's clock may be ahead of ours; what it says is then taken for the present.
const AHEAD: TimeDelta = TimeDelta::minutes(5);
/// The highest count: what every reader of JSON takes for a whole number (RFC 8259, section 6).
const HIGHEST: u64 = (1 << 53) - 1;

/// What was seen: totals since each was made. What is lower than what is known, or earlier, changes nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Report {
    /// Agents; the same one again counts by what is highest.
    #[serde(default)]
    #[schema(max_items = 100)]
    agents: Vec<AgentReport>,
    /// Channels.
    #[serde(default)]
    #[schema(max_items = 200)]
    channels: Vec<ChannelReport>,
}

/// What was seen of an agent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AgentReport {
    /// The agent.
    #[schema(value_type = String, example = "ag_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    id: AgentId,
    /// When it was last seen; at most five minutes ahead, which is taken for now.
    #[schema(value_type = String, format = DateTime)]
    last_seen_at: Timestamp,
    /// How many conversations it has had.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    conversations: u64,
    /// How many messages it has had and given.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    messages: u64,
}

/// What was seen of a channel.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChannelReport {
    /// The channel.
    #[schema(value_type = String, example = "ch_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    id: AgentChannelId,
    /// When something was last seen on it; at most five minutes ahead, which is taken for now.
    #[schema(value_type = String, format = DateTime)]
    last_seen_at: Timestamp,
    /// How many messages came in.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    messages_in: u64,
    /// How many messages went out.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    messages_out: u64,
}

/// What became of a report.
#[derive(Debug, Serialize, ToSchema)]
struct Reported {
    /// Agents and channels that the workspace does not have, or not any more. The rest was taken.
    unknown: Vec<String>,
}

/// Reports what was seen of a workspace's agents and channels
#[utoipa::path(
    post,
    path = "/workspaces/{id}/report",
    tag = "agents",
    params(("id" = String, Path, description = "The workspace's id")),
    request_body = Report,
    responses((status = 200, body = Reported), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("agent.report"))),
)]
async fn report(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<WorkspaceId>,
    body: Body,
) -> Result<Json<Reported>, Problem> {
    caller.may(&app, Permission::AgentReport, Some(id)).await?;
    let Report { agents, channels } = body.json()?;
    if agents.len() > AGENTS || channels.len() > CHANNELS {
        let message = format!("a report has {AGENTS} agents and {CHANNELS} channels at most");
        return Err(Error::input(message).hint("send the rest in another one").into());
    }
    let now = app.store().clock().now();
    let agents = agents.into_iter().map(|told| Seen {
        id: told.id,
        at: told.last_seen_at,
        counts: [told.conversations, told.messages],
    });
    let channels = channels.into_iter().map(|told| Seen {
        id: told.id,
        at: told.last_seen_at,
        counts: [told.messages_in, told.messages_out],
    });
    let (agents, channels) = (highest(agents, now)?, highest(channels, now)?);
    let mut reader = app.store().read().await?;
    there(&mut reader, id).await?;
    let mut unknown = Vec::new();
    let agents = known(agents, reader.agent_ids(id).await?, &mut unknown);
    let channels = known(channels, reader.agent_channel_ids(id).await?, &mut unknown);
    drop(reader);
    if !(agents.is_empty() && channels.is_empty()) {
        let write = app.store().write(move |tx| {
            Box::pin(async move {
                // Two reports at once would hold the same records, each in an order of its own, and wait for each other.
                tx.workspace(id).await?;
                tx.see_agents(id, &agents).await?;
                tx.see_agent_channels(id, &channels).await
            })
        });
        write.await?;
    }
    Ok(Json(Reported { unknown }))
}

/// What is told of each, at its highest; refuses what cannot be.
fn highest<I: Ord + Copy>(told: impl Iterator<Item = Seen<I>>, now: Timestamp) -> Result<Vec<Seen<I>>> {
    let mut highest: BTreeMap<I, Seen<I>> = BTreeMap::new();
    for mut seen in told {
        seen.at = seen_at(seen.at, now)?;
        if seen.counts.iter().any(|count| *count > HIGHEST) {
            return Err(Error::input(format!("a count is {HIGHEST} at most")));
        }
        let entry = highest.entry(seen.id).or_insert(seen);
        entry.at = entry.at.max(seen.at);
        entry.counts = std::array::from_fn(|n| entry.counts[n].max(seen.counts[n]));
    }
    Ok(highest.into_values().collect())
}

/// When something was seen, as it is kept: not in the future, where it would stay the last for ever, and not before there were
/// machines to see it, which not every database could tell.
fn seen_at(told: Timestamp, now: Timestamp) -> Result<Timestamp> {
    if told > now + AHEAD {
        return Err(Error::input(format!("it was last seen in the future: {told}"))
            .hint("check the clock of the machine that reports"));
    }
    if told < Timestamp::UNIX_EPOCH {
        return Err(Error::input("it was last seen before 1970"));
    }
    Ok(told.min(now).trunc_subsecs(3))
}

/// What is told of those that there are.
fn known<I: Eq + Hash + Copy + ToString>(told: Vec<Seen<I>>, there: Vec<I>, unknown: &mut Vec<String>) -> Vec<Seen<I>> {
    let there: HashSet<I> = there.into_iter().collect();
    let (known, others): (Vec<_>, Vec<_>) = told.into_iter().partition(|seen| there.contains(&seen.id));
    unknown.extend(others.into_iter().map(|seen| seen.id.to_string()));
    known
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_seen_is_never_in_the_future() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let at = |text: &str| seen_at(text.parse().unwrap(), now);
        assert_eq!(at("2025-12-31T23:59:59.123456Z").unwrap().to_rfc3339(), "2025-12-31T23:59:59.123+00:00");
        assert_eq!(at("2026-01-01T00:05:00Z").unwrap(), now);
        for wrong in ["2026-01-01T00:05:00.001Z", "1969-12-31T23:59:59Z", "+262142-01-01T00:00:00Z"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn the_order_in_which_something_is_told_does_not_matter(
            told in prop::collection::vec((0..4_u8, 0..1000_i64, 0..100_u64, 0..100_u64), 0..20),
        ) {
            let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
            let seen = told.iter().map(|(id, before, one, two)| Seen {
                id: *id,
                at: now - TimeDelta::seconds(*before),
                counts: [*one, *two],
            });
            let (one, other) = (highest(seen.clone(), now).unwrap(), highest(seen.clone().rev(), now).unwrap());
            prop_assert_eq!(&one, &other);
            for told in seen {
                let kept = one.iter().find(|kept| kept.id == told.id).unwrap();
                prop_assert!(kept.at >= told.at && kept.counts[0] >= told.counts[0] && kept.counts[1] >= told.counts[1]);
            }
        }
    }
}
