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
        /// The highest fence that was seen.
        fence = "/var/lib/stead/fence";
        /// What is to be forgotten at the next boot.
        run_dir = "/run/stead";
        /// What the run at hand, or the one that broke, has done so far.
        journal = "/run/stead/run.jsonl";
        /// The same, where the run itself boots the machine.
        journal_over_boot = "/var/lib/stead/run.jsonl";
        /// Handlers that were notified and have not run.
        handlers = "/var/lib/stead/handlers.json";
        /// Which version of which secret each unit was last restarted for.
        secrets_seen = "/var/lib/stead/secrets-seen.json";
        /// Records of the secrets that were delivered: `NAME.json`.
        secrets_dir = "/var/lib/stead/secrets";
        /// The secrets, encrypted by systemd-creds to this machine.
        credstore = "/etc/credstore.encrypted";
        /// What systemd-creds encrypts to this machine with.
        credential_secret = "/var/lib/systemd/credential.secret";
        /// Held by the session that changes things; names it.
        lock = "/var/lib/stead/lock";
        /// The node's age identity.
        identity = "/var/lib/stead/identity";
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
