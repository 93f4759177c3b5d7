//! Who acts, and what they may do.
//!
//! [`policy`] alone decides; whoever serves a request asks it, and nobody else compares roles. Operators' and machines' tokens
//! are in [`find`] and [`issue`]; people [sign in](sign_in) by a mailed link, let [programs](login) act for them, have
//! [sessions](session), and are
//! [members](membership) of workspaces.

mod email;
pub mod login;
pub mod membership;
mod minted;
pub mod people;
pub mod policy;
mod principal;
pub mod session;
pub mod sign_in;
mod token;

pub use email::Email;
pub use minted::Minted;
pub use principal::{Grant, Principal, SignedInAs};
pub use token::{NewToken, TokenHash, find, issue};
