//! Who acts, and what they may do.
//!
//! [`policy`] alone decides; whoever serves a request asks it, and nobody else compares roles. People, sign-in and sessions
//! come beside the tokens.

pub mod policy;
mod principal;
mod token;

pub use principal::{Grant, Principal};
pub use token::{NewToken, TokenHash, find, issue};
