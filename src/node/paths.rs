//! Every path that the node agent itself uses, in one place.

use camino::{Utf8Path, Utf8PathBuf};

/// Paths on the node, below a root that is `/` except in tests.
#[derive(Debug, Clone)]
pub struct Paths {
    root: Utf8PathBuf,
}

macro_rules! paths {
    ($($(#[$doc:meta])* $name:ident = $path:literal;)*) => {$(
        $(#[$doc])*
        pub fn $name(&self) -> Utf8PathBuf {
            self.at($path)
        }
    )*};
}

impl Default for Paths {
    fn default() -> Self {
        Self::new("/".into())
    }
}

impl Paths {
    /// Paths below `root`.
    pub fn new(root: Utf8PathBuf) -> Self {
        Self { root }
    }

    /// The root itself.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// Whether the paths are those of this machine.
    pub fn is_machine(&self) -> bool {
        self.root == "/"
    }

    /// An absolute path of the node's, below the root.
    pub fn at(&self, path: impl AsRef<Utf8Path>) -> Utf8PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    paths! {
        /// What says which node this is: `{"fleet", "node", "mark", "signer"}`.
        node_json = "/etc/stead/node.json";
        /// Everything that the agent remembers.
        state_dir = "/var/lib/stead";
        /// Content that the controller sent apart from its plan, until the run has used it.
        content_dir = "/var/lib/stead/content";
        /// Where a file lies while it is fetched.
        fetch_dir = "/var/cache/stead-fetch";
        /// The highest fence that was seen.
        fence = "/var/lib/stead/fence";
        /// What is to be forgotten at the next boot.
        run_dir = "/run/stead";
        /// There while units were enabled or disabled and systemd has not read them since.
        units_unread = "/run/stead/units-unread";
        /// What the run at hand, or the one that broke, has done so far.
        journal = "/run/stead/run.jsonl";
        /// The same, where the run itself boots the machine.
        journal_over_boot = "/var/lib/stead/run.jsonl";
        /// What was there before changes that wait to be confirmed.
        guard_dir = "/var/lib/stead/guard";
        /// What it is, and in whose run it was changed.
        guard_record = "/var/lib/stead/guard/record.json";
        /// Until when the controller may confirm: milliseconds since the kernel's boot.
        guard_deadline = "/var/lib/stead/guard/deadline";
        /// What was taken back last.
        guard_undone = "/var/lib/stead/guard-undone.json";
        /// What takes changes back after a boot.
        guard_unit = "/etc/systemd/system/stead-guard.service";
        /// What has systemd start it.
        guard_unit_wanted = "/etc/systemd/system/sysinit.target.wants/stead-guard.service";
        /// What playbooks made on this node.
        made = "/var/lib/stead/made.jsonl";
        /// What archives brought: a record for each folder.
        archives_dir = "/var/lib/stead/archives";
        /// Handlers that were notified and have not run.
        handlers = "/var/lib/stead/handlers.json";
        /// There while an `apt_source` task has changed a source and apt was not asked for its packages since.
        apt_outdated = "/var/lib/stead/apt-outdated";
        /// Which of the packet filter's rules were loaded, and in which boot.
        rules = "/var/lib/stead/rules.json";
        /// Which version of which secret each unit was last restarted for.
        secrets_seen = "/var/lib/stead/secrets-seen.json";
        /// Records of the secrets that were delivered: `NAME.json`.
        secrets_dir = "/var/lib/stead/secrets";
        /// The secrets, encrypted by systemd-creds to this machine.
        credstore = "/etc/credstore.encrypted";
        /// What systemd-creds encrypts to this machine with.
        credential_secret = "/var/lib/systemd/credential.secret";
        /// The data volume's key, encrypted by systemd-creds to this machine.
        data_volume_key = "/var/lib/stead/data-volume.cred";
        /// The UUID of the partition that this machine took for its data volume.
        data_volume_taken = "/var/lib/stead/data-volume.partition";
        /// There once the data volume was made whole.
        data_volume_made = "/var/lib/stead/data-volume.made";
        /// What was stopped while the data is handed over.
        stopped = "/var/lib/stead/stopped.json";
        /// Held by the session that changes things; names it.
        lock = "/var/lib/stead/lock";
        /// The node's age identity.
        identity = "/var/lib/stead/identity";
        /// The age identity that was made aside.
        new_identity = "/var/lib/stead/identity.new";
        /// The SSH host key that was made aside.
        new_host_key = "/var/lib/stead/host_key.new";
        /// sshd's folder.
        ssh_dir = "/etc/ssh";
        /// cloud-init's folder of settings.
        cloud_cfg_dir = "/etc/cloud/cloud.cfg.d";
        /// The accounts.
        passwd = "/etc/passwd";
        /// The groups.
        group = "/etc/group";
        /// The accounts' passwords.
        shadow = "/etc/shadow";
        /// The groups' passwords.
        gshadow = "/etc/gshadow";
        /// dpkg's record of packages.
        dpkg_status = "/var/lib/dpkg/status";
        /// Unit files of the administrator's.
        units = "/etc/systemd/system";
    }

    /// The record of a delivered secret.
    pub fn secret_record(&self, name: &str) -> Utf8PathBuf {
        self.secrets_dir().join(format!("{name}.json"))
    }

    /// A file's content, as it was before a change that waits to be confirmed.
    pub fn guard_content(&self, number: usize) -> Utf8PathBuf {
        self.guard_dir().join(number.to_string())
    }

    /// A delivered secret, encrypted.
    pub fn credential(&self, name: &str) -> Utf8PathBuf {
        self.credstore().join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lie_below_the_root() {
        assert_eq!(Paths::default().fence(), "/var/lib/stead/fence");
        assert!(Paths::default().is_machine());
        let paths = Paths::new("/tmp/x".into());
        assert_eq!(paths.secret_record("A"), "/tmp/x/var/lib/stead/secrets/A.json");
    }
}
