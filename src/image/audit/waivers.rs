//! What auditors find and the profile leaves so, with the reason: `vars: waivers:` of the profile's playbook.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde::Deserialize;

use crate::fleet::{Diagnostics, FileSet, yaml};
use crate::{Error, Result};

/// Reasons, by the auditors' own names for what they find.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Waivers {
    /// By Lynis's test.
    pub lynis: BTreeMap<String, String>,
    /// By suite: what its OpenSSH cannot do.
    pub ssh_audit: BTreeMap<String, String>,
    /// By unit; a template's are its instances'.
    pub systemd: BTreeMap<String, String>,
    /// By rule; a name that ends in `*` is all that begin so.
    pub openscap: BTreeMap<String, String>,
}

impl Waivers {
    /// Loads the waivers of a profile, which is a playbook.
    ///
    /// # Errors
    /// Fails where there is no such playbook or its waivers are not in that form.
    pub fn load(files: &FileSet, playbook: &str) -> Result<Self> {
        let path = format!("playbooks/{playbook}.yaml");
        let diagnostics = Diagnostics::new();
        let source = files.source(Utf8Path::new(&path), &diagnostics);
        let node = source.and_then(|source| yaml::parse(&source, &diagnostics));
        let node = diagnostics.into_result(node)?;
        let Some(waivers) = node.get("vars").and_then(|vars| vars.get("waivers")) else { return Ok(Self::default()) };
        serde_json::from_value(waivers.to_json()).map_err(|error| {
            Error::input(format!("{path}: the waivers are not in their form: {error}"))
                .hint("vars: {waivers: {lynis: {TEST: \"why\"}, systemd: {UNIT: \"why\"}, ssh_audit: {SUITE: \"why\"}, openscap: {RULE: \"why\"}}}")
        })
    }

    /// Why a rule of OpenSCAP is not kept.
    pub(super) fn rule(&self, rule: &str) -> Option<&String> {
        self.openscap.get(rule).or_else(|| {
            let mut families = self.openscap.iter().filter_map(|(name, why)| Some((name.strip_suffix('*')?, why)));
            families.find(|(family, _)| rule.starts_with(family)).map(|(_, why)| why)
        })
    }

    /// Why a unit is left as it is.
    pub(super) fn unit(&self, unit: &str) -> Option<&String> {
        self.systemd.get(unit).or_else(|| {
            let (template, rest) = unit.split_once('@')?;
            self.systemd.get(&format!("{template}@.{}", rest.rsplit_once('.')?.1))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_profile_has_its_reasons() {
        let waivers = Waivers::load(&FileSet::shipped(), "hardening").unwrap();
        assert!(waivers.unit("getty@tty1.service").is_some());
        assert!(waivers.unit("dbus.service").is_none());
        assert!(waivers.rule("audit_rules_dac_modification_chmod").is_some());
        assert!(waivers.rule("audit_rules_dac").is_none() && waivers.rule("sshd_disable_root_login").is_none());
        assert!(waivers.lynis.values().all(|reason| !reason.is_empty()));
    }
}
