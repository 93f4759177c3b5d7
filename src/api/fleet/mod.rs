//! The fleet as its operators declare it: which it is, its files, and what is brought in line with them.

mod blobs;
mod revisions;
mod show;
mod up;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use self::blobs::{LARGEST, PATIENCE, is_upload};
pub use self::show::{FleetView, TierView};
use super::{App, Problem};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show::show))
        .routes(routes!(blobs::show, blobs::put))
        .routes(routes!(revisions::list, revisions::publish))
        .routes(routes!(up::up))
}
