//! What steers a run, and changes nothing but that (and, for `reboot`, the boot).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Presence, one_or_many};

/// `assert`: fails unless every expression is true.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assert {
    /// Expressions, as in `when`.
    #[serde(deserialize_with = "one_or_many")]
    pub that: Vec<String>,
    /// What is said where one is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// `debug`: says something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debug {
    /// What is said.
    pub message: String,
}

/// `set_fact`: variables for the rest of the run, in all its playbooks. A text that is one expression (`"{{ x }}"`) has
/// that expression's value, of whatever type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SetFact {
    /// By name.
    pub values: BTreeMap<String, Value>,
}

/// `reboot`: boots the machine anew, and goes on with the next task once it is back. In an image's root there is nothing to
/// do: the image is booted anyway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reboot {
    /// Only where a package asks for it (`/run/reboot-required`, Debian Policy 9.3's `reboot-required`).
    #[serde(default)]
    pub if_required: bool,
    /// How long the machine may take to be back, in seconds; ten minutes where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
}

/// `wait_for`: waits until something is there (or, with `state: absent`, no longer there), and changes nothing.
///
/// A check looks once and does not wait: what is not there then is fine where an earlier task would have changed
/// something, which may bring it, and a failure where none would. In an image's root nothing runs that could be waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitFor {
    /// A TCP port that takes connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whose port: an address or a name; 127.0.0.1 where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Or something that has this absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Or an `http://` URL that answers with 2xx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Or a unit that is active; `.service` may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// How long to wait, in seconds; five minutes where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    /// Whether it should be there.
    #[serde(default)]
    pub state: Presence,
}
