//! A mail.

use zeroize::Zeroizing;

/// A mail, in plain text. What it says may let its reader in, so it is kept in memory only, and not for long.
pub struct Mail {
    /// To whom.
    pub to: String,
    /// What it is about; never a secret.
    pub subject: String,
    /// What it says.
    pub text: Zeroizing<String>,
    /// Whether somebody waits for it: others leave it room in the queue.
    pub is_urgent: bool,
}
