//! The audit log: append-only, and chained so that a change of the past is found.
//!
//! An act appends its [`Entry`] in its own transaction, unsealed; [`seal`] then gives entries their place in the chain,
//! and [`verify`] recomputes it. Personal data is in the chain only as a commitment under a salt that lies apart, so
//! that erasing a person drops data and salt and leaves the chain whole. What the chain alone cannot show is that
//! somebody with write access to the store has made the whole of it anew: signed checkpoints are for that.

mod canonical;
mod chain;
mod entry;
mod verify;

pub use chain::{erase, is_unsealed, list, seal};
pub use entry::{Entry, VERSION};
pub use verify::{Break, Fault, Report, verify};
