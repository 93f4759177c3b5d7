//! The control API: HTTP with JSON over the same store, and the same flows, that the commands use.
//!
//! `/healthz` and `/readyz` are open, and so is signing in; everything else under `/v1` wants `Authorization: Bearer TOKEN` or
//! the cookie of a session, and what its holder may do, [`crate::accounts::policy`] says. Errors are problem details (RFC 9457). Every answer carries `x-request-id`, which the logs
//! and the audit log name too. One file per verb or noun; [`document`] makes the OpenAPI description from the handlers.

pub mod accounts;
pub mod agents;
mod app;
mod caller;
mod conditional;
mod document;
mod extract;
mod figures;
pub mod fleet;
mod guard;
mod health;
mod limits;
mod metrics;
mod nodes;
mod once;
mod page;
mod problem;
mod record;
mod reference;
mod routes;
mod secrets;
mod server;
mod streams;
pub mod sweeps;
mod tokens;
pub mod views;
mod work;
mod workflows;
mod workspaces;

pub use accounts::origin::Origin;
pub use app::{App, Settings};
pub use figures::figures;
pub use page::Page;
pub use problem::Problem;
pub use routes::{guarded, openapi, router};
pub use server::serve;
pub use workspaces::check_name;
