//! What controller and node agent say to each other over one SSH channel.
//!
//! The node agent is started as `stead-node session` and speaks [`frame`]s on stdin and stdout. The controller's first
//! frame is a [`message::Hello`]; the agent answers with its own and refuses a lower fence or another protocol. After
//! that the controller sends [`message::Request`]s, as many as it likes without waiting, and the agent answers each in
//! order with any number of [`message::Reply::Events`] and exactly one closing reply. What is too large for a plan the agent
//! asks for in between ([`message::Reply::Want`]).

pub mod action;
pub mod envelope;
pub mod expr;
pub mod fingerprint;
pub mod frame;
pub mod handover;
pub mod message;
pub mod plan;

/// The protocol's version. Both sides refuse another one: the controller brings the agent it was built with.
pub const PROTOCOL: u32 = 1;
