//! Secrets on the controller's side: the fleet's keys, envelopes for nodes, and the operator vault.
//!
//! A value passes through here in memory only. It leaves either sealed for one node ([`seal`]) or encrypted to every
//! operator ([`vault`]); what the store keeps is a fingerprint.

pub mod keys;
pub mod operators;
pub mod seal;
pub mod vault;
