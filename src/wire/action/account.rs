//! Accounts, groups, and who may log in.

use serde::{Deserialize, Serialize};

use super::Presence;

/// `user`: a local account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The number; the next free one where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Number from the system's range, no expiry, `/usr/sbin/nologin`, and no home folder made.
    #[serde(default)]
    pub system: bool,
    /// The home folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// The login shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Groups that the user belongs to beside their own; others that they belong to stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// Whether the password is locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<bool>,
    /// Whether the account should be there; `absent` leaves the home folder.
    #[serde(default)]
    pub state: Presence,
}

/// `group`: a local group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The name.
    pub name: String,
    /// The number; the next free one where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Number from the system's range.
    #[serde(default)]
    pub system: bool,
    /// Whether the group should be there.
    #[serde(default)]
    pub state: Presence,
}

/// `authorized_key`: an SSH key in the user's `~/.ssh/authorized_keys`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizedKey {
    /// The login name.
    pub user: String,
    /// The public key: type, base 64 and comment.
    pub key: String,
    /// Options before the key, as sshd(8) names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<String>,
    /// No other key may stay in the file.
    #[serde(default)]
    pub exclusive: bool,
    /// Whether the key should be there.
    #[serde(default)]
    pub state: Presence,
}
