//! Settings of the program itself (not of a fleet): where it keeps and finds things on this machine.
//!
//! Read once from the environment by the binaries and handed down; no other room looks at the environment.

#[cfg(feature = "control")]
pub mod control;
#[cfg(feature = "control")]
pub mod layers;

use camino::{Utf8Path, Utf8PathBuf};

use crate::{Error, Result};

/// Where the program keeps and finds things on this machine.
#[derive(Debug, Clone)]
pub struct Config {
    /// Built images' layers, shared by all fleets of this user on this machine. `STEAD_CACHE_DIR`, else
    /// `/var/cache/stead` for root and `$XDG_CACHE_HOME/stead` for others.
    pub cache_dir: Utf8PathBuf,
    /// What this user keeps between commands: the control planes that they are logged in to. `$XDG_CONFIG_HOME/stead`, else
    /// `~/.config/stead`; none where there is no home.
    pub config_dir: Option<Utf8PathBuf>,
    /// The registry of what was taken from the host (bridges, subnets). `STEAD_RUN_DIR`, else `/run/stead`.
    pub run_dir: Utf8PathBuf,
    /// Where `ARCH/stead-node` and `ARCH/stead-agent` lie. `STEAD_AGENTS_DIR`, else `agents/` beside this program, else
    /// `../lib/stead/` (an installed tree).
    pub agents_dir: Utf8PathBuf,
    /// This program's own path; the supervisor of a local node is this program, started again.
    pub program: Utf8PathBuf,
    /// Whether this process runs as root.
    pub root: bool,
    /// Who runs it, for the audit log: the user behind `sudo`, else the user.
    pub user: String,
    /// Where an SSH agent listens that holds the operator's keys: `SSH_AUTH_SOCK`.
    pub ssh_agent: Option<Utf8PathBuf>,
    /// Where the engine is to die, for tests of what a crash leaves behind: `STEAD_FAULT`. Ignored by release builds.
    pub fault: Option<String>,
}

/// Where images lie that root built on this machine, for all of its users.
const SHARED_CACHE: &str = "/var/cache/stead";

impl Config {
    /// The caches in which built disks are looked for: this user's own, and the machine's.
    pub fn caches(&self) -> [&Utf8Path; 2] {
        [&self.cache_dir, Utf8Path::new(SHARED_CACHE)]
    }

    /// Reads the settings.
    ///
    /// # Errors
    /// Fails where a path is not UTF-8, or where the home folder of an ordinary user is unknown.
    pub fn from_env() -> Result<Self> {
        let program = std::env::current_exe()?;
        let program = Utf8PathBuf::from_path_buf(program)
            .map_err(|path| Error::input(format!("the program's own path is not UTF-8: {}", path.display())))?;
        let root = rustix::process::geteuid().is_root();
        let cache_dir = match (var("STEAD_CACHE_DIR")?, root) {
            (Some(dir), _) => dir,
            (None, true) => SHARED_CACHE.into(),
            (None, false) => match var("XDG_CACHE_HOME")? {
                Some(dir) => dir.join("stead"),
                None => var("HOME")?
                    .ok_or_else(|| {
                        Error::input("HOME is not set").hint("set STEAD_CACHE_DIR to a folder for built images")
                    })?
                    .join(".cache/stead"),
            },
        };
        let config_dir = match var("XDG_CONFIG_HOME")? {
            Some(dir) => Some(dir.join("stead")),
            None => var("HOME")?.map(|home| home.join(".config/stead")),
        };
        let agents_dir = match var("STEAD_AGENTS_DIR")? {
            Some(dir) => dir,
            None => {
                let bin = program.parent().unwrap_or(&program);
                // A test binary lies one folder deeper (target/debug/deps).
                [bin.join("agents"), bin.join("../agents"), bin.join("../lib/stead")]
                    .into_iter()
                    .find(|dir| dir.is_dir())
                    .unwrap_or_else(|| bin.join("agents"))
            }
        };
        let run_dir = var("STEAD_RUN_DIR")?.unwrap_or_else(|| "/run/stead".into());
        let user = ["SUDO_USER", "LOGNAME", "USER"].into_iter().find_map(|name| std::env::var(name).ok());
        let user = user.unwrap_or_else(|| match rustix::process::getuid().as_raw() {
            0 => "root".to_owned(),
            uid => format!("uid-{uid}"),
        });
        let fault = std::env::var("STEAD_FAULT").ok();
        let ssh_agent = var("SSH_AUTH_SOCK")?;
        Ok(Self { cache_dir, config_dir, run_dir, agents_dir, program, root, user, ssh_agent, fault })
    }
}

fn var(name: &str) -> Result<Option<Utf8PathBuf>> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(Some(value.into())),
        Ok(_) | Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(Error::input(format!("{name} is not UTF-8"))),
    }
}
