//! The control API's client, for the command's remote mode: who one is logged in as, asking, and watching.
//!
//! It knows nothing of what the API's answers mean: whoever asks says as what to read them.

mod login;
mod logins;
mod problem;
mod server;
mod watch;

pub use login::{Code, begin, wait};
pub use logins::{Login, Logins};
pub use server::{Client, Upload};
pub use watch::watch;
