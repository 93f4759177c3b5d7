//! What steers a run, and changes nothing but that (and, for `reboot`, the boot).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::one_or_many;

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
