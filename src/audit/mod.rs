//! The audit log: append-only, and chained so that a change of the past is found.
//!
//! An act appends its [`Entry`] in its own transaction, unsealed; [`seal`] then gives entries their place in the chain,
//! and [`verify`] recomputes it. Personal data is in the chain only as a commitment under a salt that lies apart, so
//! that erasing a person drops data and salt and leaves the chain whole. What the chain alone cannot show is that
//! somebody with write access to the store has made the whole of it anew, or cut its tail: signed checkpoints outside the
//! database do ([`checkpoint`]).

mod canonical;
mod chain;
pub mod checkpoint;
mod entry;
mod verify;

pub use chain::{erase, is_unsealed, list, seal};
pub use checkpoint::{Checkpoint, Checkpoints};
pub use entry::{Entry, VERSION};
pub use verify::{Break, Fault, Report, verify, verify_against};
