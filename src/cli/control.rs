//! What `serve`, `worker`, `migrate`, `backup` and their like start from: the control plane's settings, its store, its keys.

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;

use super::env::Env;
use crate::clock::SystemClock;
use crate::config::control::Database;
use crate::config::layers::Layers;
use crate::error::Context;
use crate::fleet::FileSet;
use crate::id::FleetId;
use crate::redact::{self, Secret};
use crate::secrets::keys::FleetKeys;
use crate::store::{PgConnectOptions, Store};
use crate::workflow::flows::{Desired, Platform};
use crate::{Error, Result};

/// Where the control plane's settings come from.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ControlArgs {
    /// A file of settings [default: /etc/stead/control.toml, where it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<Utf8PathBuf>,
    /// A PostgreSQL URL (database.url) [default: the embedded store in the fleet's folder]
    ///
    /// Leave the password out of it: it stands in `database.password_file` or in ~/.pgpass.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// The folder whose .stead holds keys, local nodes and blobs on this machine (state.dir) [default: the fleet's folder]
    #[arg(long, value_name = "DIR")]
    state: Option<Utf8PathBuf>,
}

impl ControlArgs {
    /// The settings, with `flags` of a command's own before all.
    ///
    /// # Errors
    /// Fails with every mistake in them.
    pub(super) fn layers(&self, flags: &[(&str, Option<String>)]) -> Result<Layers> {
        let own =
            [("database.url", self.database.clone()), ("state.dir", self.state.as_ref().map(ToString::to_string))];
        let given: Vec<(&str, String)> = own
            .into_iter()
            .chain(flags.iter().cloned())
            .filter_map(|(name, value)| value.map(|value| (name, value)))
            .collect();
        Layers::read(self.config.as_deref(), &given)
    }
}

/// How to reach the configured database; none for the embedded store.
///
/// # Errors
/// Fails where the URL is none, or the password's file cannot be read.
pub(super) fn postgres(database: &Database) -> Result<Option<PgConnectOptions>> {
    let Some(url) = &database.url else { return Ok(None) };
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let options = is_url
        .then(|| url.parse::<PgConnectOptions>().ok())
        .flatten()
        .ok_or_else(|| Error::input("database.url is not a PostgreSQL URL").hint("write postgres://USER@HOST/NAME"))?;
    let Some(file) = &database.password_file else { return Ok(Some(options)) };
    let password =
        Secret::new(std::fs::read(file).with_context(|| format!("reading the database's password, {file}"))?);
    let text = std::str::from_utf8(password.expose().trim_ascii())
        .map_err(|error| Error::input(format!("the password in {file} is not UTF-8")).because(error))?;
    let options = options.password(text);
    // The database's client has its own copy from here on.
    redact::keep(password);
    Ok(Some(options))
}

/// How to reach the database, for commands that need one.
///
/// # Errors
/// As [`postgres`], and where none is configured.
pub(super) fn database(layers: &Layers) -> Result<PgConnectOptions> {
    postgres(&layers.control.database)?.ok_or_else(|| {
        Error::input("no database is configured")
            .hint("name one with --database postgres://USER@HOST/NAME, or as database.url in the settings")
    })
}

/// How long nothing was written to what a program that was killed has left of a blob: no upload may take longer.
const UNUSED: Duration = Duration::from_secs(2 * 60 * 60);

/// Where the audit log's checkpoints lie unless they are to lie elsewhere, within `.stead`.
pub(super) const CHECKPOINTS: &str = "checkpoints";

/// The control plane's store and what belongs to it on this machine.
pub(super) struct Control {
    pub(super) layers: Layers,
    /// The folder whose `.stead` holds keys and local nodes.
    pub(super) home: Utf8PathBuf,
    pub(super) store: Store,
    pub(super) fleet: FleetId,
}

impl Env {
    /// The control plane's store, as it is configured: PostgreSQL, or the embedded one in the fleet's folder, to read from.
    ///
    /// # Errors
    /// Fails where the store cannot be opened, and where it holds no fleet yet.
    pub(super) async fn control(&self, layers: Layers) -> Result<Control> {
        let home = self.home(&layers)?;
        let clock = Arc::new(SystemClock);
        let Some(options) = postgres(&layers.control.database)? else {
            let store = Store::open(&home.join(".stead"), clock).await?;
            let fleet = Desired::load(FileSet::read(&home)?)?.fleet.id;
            store.bind_fleet(&fleet).await?;
            return Ok(Control { layers, home, store, fleet });
        };
        let store = Store::connect(options, &home.join(".stead"), clock).await?;
        store.blobs().sweep(UNUSED)?;
        let fleet = store.read().await?.fleet().await?.ok_or_else(|| {
            Error::failed(format!("the store {} holds no fleet yet", store.place()))
                .hint("`stead store import`, in a fleet's folder, takes that fleet over into it")
        })?;
        Ok(Control { layers, home, store, fleet })
    }

    /// The folder whose `.stead` lies on this machine.
    ///
    /// # Errors
    /// Fails where neither is there.
    pub(super) fn home(&self, layers: &Layers) -> Result<Utf8PathBuf> {
        match &layers.control.state.dir {
            Some(dir) => {
                fs_err::create_dir_all(dir)?;
                Ok(dir.canonicalize_utf8()?)
            }
            None => self.fleet_dir().map_err(|error| error.hint("or name a folder of this machine's own with --state")),
        }
    }
}

impl Control {
    /// The file of the audit log's checkpoints.
    pub(super) fn checkpoints(&self) -> Utf8PathBuf {
        let usual = || self.home.join(".stead").join(CHECKPOINTS);
        self.layers.control.audit.checkpoints.clone().unwrap_or_else(usual)
    }

    /// What flows act with. An unattended program opens no vault.
    ///
    /// # Errors
    /// Fails where the fleet's keys are not here.
    pub(super) fn platform(&self, env: &Env) -> Result<Platform> {
        let folder = FleetKeys::folder(&self.home);
        let keys = if self.store.is_shared() { FleetKeys::open(&folder) } else { FleetKeys::open_or_create(&folder) }?;
        let platform = Platform::new(self.fleet.clone(), self.home.clone(), env.config.clone(), keys, None);
        Ok(platform.on_host(self.layers.control.worker.host_name()))
    }
}
