//! Telling people something: by mail.

mod mail;
mod mailer;

pub use mail::Mail;
pub use mailer::{Mailer, Sending};
