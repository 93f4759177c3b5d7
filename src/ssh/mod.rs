//! SSH: connections whose host key is known before the first byte of trust.
//!
//! [`Client::connect`] logs in to a node that proves one of the accepted host keys, and to no other. [`Client::agent`]
//! starts the node agent on one channel, bringing it first where the node lacks this version, and [`NodeSession`] speaks
//! with it. [`host_key::swap`] replaces a node's bootstrap host key by one that the node made itself.

pub mod agent;
pub mod client;
mod error;
mod handover;
pub mod host_key;
mod host_keys;
mod login;
mod process;
pub mod session;
mod target;
#[cfg(test)]
mod tests;
mod watched;
mod way;

pub use agent::AgentBinary;
pub use client::{Client, Output, Timeouts};
pub use error::ConnectError;
pub use host_keys::HostKeys;
pub use login::Login;
pub use session::NodeSession;
pub use target::{Hop, Target};
