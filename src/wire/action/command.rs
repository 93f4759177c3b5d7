//! Programs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `command`: runs a program. With `check` it is not run: it counts as a change unless `creates`, `removes` or `unless`
/// say that there is nothing to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The program and its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argv: Option<Vec<String>>,
    /// Or a line for `/bin/sh -eu -c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Nothing to do where this path exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creates: Option<String>,
    /// Nothing to do where this path does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removes: Option<String>,
    /// Nothing to do where this line for `/bin/sh` succeeds; it is run with `check` as well and must change nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<String>,
    /// The folder to run in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Variables beside `PATH`, `HOME`, `LANG` and `USER`, which are all that it gets otherwise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// The login name to run as; root where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}
