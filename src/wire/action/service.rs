//! Units, services, and what they are given.

use serde::{Deserialize, Serialize};

use super::{Presence, one_or_many};

/// What a service should be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// Running.
    Started,
    /// Not running.
    Stopped,
    /// Restarted now; always a change, and so best written as a handler.
    Restarted,
    /// Told to read its configuration again (restarted where it cannot); always a change.
    Reloaded,
}

/// `unit`: a systemd unit file in `/etc/systemd/system`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// With its suffix: `agent@.service`.
    pub name: String,
    /// As for [`super::Template::template`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The name of a drop-in: the content goes to `NAME.d/DROP_IN.conf` and the unit itself stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_in: Option<String>,
    /// Whether it is started at boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Whether the file should be there.
    #[serde(default)]
    pub state: Presence,
}

/// `service`: what a unit is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// A unit; `.service` may be left out.
    pub name: String,
    /// What it should be doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ServiceState>,
    /// Whether it is started at boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Whether it can be started at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked: Option<bool>,
    /// Have systemd read its unit files again first; always a change.
    #[serde(default)]
    pub daemon_reload: bool,
}

/// `secret`: makes sure that a secret was delivered, and brings it to those who need it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// The secret's name.
    pub name: String,
    /// It is taken by units with `LoadCredentialEncrypted=`, under this name, which must be the secret's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Or it is written in the clear to this path below `/run`, which is memory and never a disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The owner of `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The mode of `path`; 0400 where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Units that are restarted, where they run, when the secret's version is newer than the one they were started with.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub restart: Vec<String>,
}
