//! The control API: HTTP with JSON over the same store that the commands use.
//!
//! `GET /healthz` is open; everything under `/v1` wants `Authorization: Bearer TOKEN`. Errors are problem details
//! (RFC 9457). Every answer carries `x-request-id`, which the logs and the audit log name too.

mod problem;
mod routes;
mod server;
#[cfg(test)]
mod tests;
mod token;
pub mod views;

pub use problem::Problem;
pub use routes::router;
pub use server::serve;
pub use token::TokenHash;
