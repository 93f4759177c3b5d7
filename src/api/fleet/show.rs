//! `GET /v1/fleet`: which fleet this is, and what workspaces can be.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::policy::Permission;
use crate::api::caller::Caller;
use crate::api::{App, Problem};
use crate::fleet::{ProviderKind, Tier};
use crate::id::FleetId;
use crate::workflow::flows::Desired;

/// The fleet, as its operators published it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetView {
    /// Its id, which never changes.
    #[schema(value_type = String, example = "fl_01jd8x1s3ve5fs9v2t5g7qk0mz")]
    pub id: FleetId,
    /// Its name.
    pub name: String,
    /// Below which domain workspaces have their DNS names.
    pub domain: Option<String>,
    /// The number of the revision that this is.
    pub revision: u32,
    /// The version of the program that answers.
    pub version: String,
    /// What a workspace can be, where it is not declared in the fleet's files.
    pub tiers: Vec<TierView>,
}

/// What a workspace can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TierView {
    /// Its name, for new workspaces.
    #[schema(example = "starter")]
    pub name: String,
    /// How many virtual processors its machines have.
    pub vcpus: Option<u32>,
    /// Their memory.
    #[schema(example = "1GiB")]
    pub memory: Option<String>,
    /// Their disk.
    #[schema(example = "10GiB")]
    pub disk: Option<String>,
    /// What it costs a month, in euros.
    #[schema(example = "9.00")]
    pub eur_month: Option<String>,
}

impl From<&Tier> for TierView {
    fn from(tier: &Tier) -> Self {
        Self {
            name: tier.name.clone(),
            vcpus: tier.size.map(|size| size.vcpus),
            memory: tier.size.map(|size| size.memory.to_string()),
            disk: tier.size.map(|size| size.disk.to_string()),
            eur_month: tier.price.as_ref().map(|price| price.eur_month.to_string()),
        }
    }
}

impl FleetView {
    fn new(desired: &Desired, revision: u32) -> Self {
        let fleet = &desired.fleet;
        // Machines that people bring have to be declared: the API makes none of their workspaces.
        let is_made = |tier: &&Tier| {
            fleet.providers.get(&tier.provider).is_some_and(|provider| provider.kind != ProviderKind::Ssh)
        };
        Self {
            id: fleet.id.clone(),
            name: fleet.name.clone(),
            domain: fleet.domain.clone(),
            revision,
            version: crate::VERSION.to_owned(),
            tiers: fleet.tiers.values().filter(is_made).map(TierView::from).collect(),
        }
    }
}

/// Shows which fleet this is, and what workspaces can be
#[utoipa::path(
    get,
    path = "/fleet",
    tag = "record",
    responses((status = 200, body = FleetView), (status = "default", body = Problem, content_type = "application/problem+json")),
    extensions(("x-permission" = json!("fleet.read"))),
)]
pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<FleetView>, Problem> {
    caller.may_somewhere(&app, Permission::FleetRead).await?;
    let (revision, desired) = app.desired().await?;
    Ok(Json(FleetView::new(&desired, revision.number)))
}
