//! What every command starts from: settings, options, the printer, and the fleet's folder.

use std::sync::{Arc, Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};

use super::Global;
use super::printer::Printer;
use crate::client::{Client, Logins};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::config::control::{Control, LogFormat};
use crate::fleet::FileSet;
use crate::secrets::keys::FleetKeys;
use crate::secrets::vault::Vault;
use crate::store::{FleetLock, LockHolder, Store};
use crate::telemetry::traces::Traces;
use crate::workflow::flows::{Desired, Platform};
use crate::{Error, Result, telemetry};

/// What every command starts from.
pub(super) struct Env {
    pub(super) global: Global,
    pub(super) config: Config,
    pub(super) printer: Printer,
    /// Locks that the command took. Not in [`Held`], which ends with the command: work that the command left behind on
    /// the runtime's threads goes on for a moment, and nobody else may change the fleet until it is over.
    pub(super) locks: Mutex<Vec<FleetLock>>,
}

/// A fleet's folder with what its files declare, read-only.
pub(super) struct Place {
    /// The folder.
    pub(super) dir: Utf8PathBuf,
    /// What its files declare.
    pub(super) desired: Arc<Desired>,
}

/// A fleet that this command may change: nobody else does meanwhile.
pub(super) struct Held {
    pub(super) place: Place,
    pub(super) store: Store,
}

impl Env {
    /// Who the audit log says did it.
    pub(super) fn actor(&self) -> String {
        format!("operator:{}", self.config.user)
    }

    /// The fleet's folder: as given, or the nearest one upward that holds a stead.yaml.
    pub(super) fn fleet_dir(&self) -> Result<Utf8PathBuf> {
        let none = |error: Error| error.hint("`stead init` writes a new fleet; `--fleet DIR` names one elsewhere");
        if let Some(dir) = &self.global.fleet {
            if !dir.join("stead.yaml").is_file() {
                return Err(none(Error::input(format!("{dir} holds no stead.yaml"))));
            }
            return Ok(dir.canonicalize_utf8()?);
        }
        let here = Utf8PathBuf::from_path_buf(std::env::current_dir()?)
            .map_err(|path| Error::input(format!("this folder's path is not UTF-8: {}", path.display())))?;
        let found = here.ancestors().find(|dir| dir.join("stead.yaml").is_file());
        found
            .map(Utf8Path::to_owned)
            .ok_or_else(|| none(Error::input("there is no stead.yaml here or in any folder above")))
    }

    /// The control plane that the command is for, and who one is there: the one that serves the fleet whose folder this is, or,
    /// where this is no fleet's, the one that was logged in to last. None where the fleet's store here is meant.
    pub(super) fn remote(&self) -> Result<Option<Client>> {
        let Some(dir) = &self.config.config_dir else { return Ok(None) };
        let logins = Logins::read(dir)?;
        if logins.is_empty() {
            return Ok(None);
        }
        let place = match self.fleet_dir() {
            Err(_) if self.global.fleet.is_none() => None,
            Err(error) => return Err(error),
            Ok(_) => Some(self.place()?),
        };
        let found = logins.of(place.as_ref().map(|place| &place.desired.fleet.id));
        found.map(|(address, login)| login.client(address)).transpose()
    }

    /// Refuses where one is logged in to whoever holds the fleet: `command` works on the store here.
    pub(super) fn refuse_remote(&self, command: &str) -> Result<()> {
        match self.remote()? {
            None => Ok(()),
            Some(client) => {
                let held = format!("{command} works on a store here, and {} holds this fleet", client.address());
                Err(Error::input(held).hint("the operators of that server do this where its workers run").hint(
                    format!("`stead logout {}`, where the store here is the one that you mean", client.address()),
                ))
            }
        }
    }

    /// The fleet, as its files declare it now.
    pub(super) fn place(&self) -> Result<Place> {
        let dir = self.fleet_dir()?;
        let desired = Arc::new(Desired::load(FileSet::read(&dir)?)?);
        Ok(Place { dir, desired })
    }

    /// The fleet's store, to read from. Others may change it meanwhile.
    pub(super) async fn store(&self, place: &Place) -> Result<Store> {
        let store = Store::open(&place.dir.join(".stead"), Arc::new(SystemClock)).await?;
        store.bind_fleet(&place.desired.fleet.id).await?;
        Ok(store)
    }

    /// The fleet, for `command` to change; nobody else does until this program ends.
    pub(super) async fn hold(&self, command: &str) -> Result<Held> {
        let place = self.place()?;
        let lock = FleetLock::take(&place.dir.join(".stead"), command)?;
        self.held(place, lock).await
    }

    /// As [`hold`](Self::hold), or who else changes the fleet now.
    pub(super) async fn try_hold(&self, command: &str) -> Result<Result<Held, LockHolder>> {
        let place = self.place()?;
        match FleetLock::try_take(&place.dir.join(".stead"), command)? {
            Ok(lock) => self.held(place, lock).await.map(Ok),
            Err(holder) => Ok(Err(holder)),
        }
    }

    /// As [`hold`](Self::hold), also where the store was taken over by another, which only its taking over again may use.
    pub(super) async fn hold_any(&self, command: &str) -> Result<Held> {
        let place = self.place()?;
        let dir = place.dir.join(".stead");
        self.keep(FleetLock::take(&dir, command)?);
        let store = Store::open(&dir, Arc::new(SystemClock)).await?;
        Ok(Held { place, store })
    }

    /// Sends the program's log to stderr, as a service does that nobody watches, and its traces where they are to go.
    ///
    /// # Errors
    /// Fails where the settings of traces make no sense.
    pub(super) fn telemetry(&self, settings: &Control, service: &'static str) -> Result<Option<Traces>> {
        let traces = Traces::start(&settings.telemetry, service, &settings.worker.host_name())?;
        telemetry::init(self.global.verbose.max(1), settings.log.format == LogFormat::Json, traces.as_ref());
        Ok(traces)
    }

    /// Keeps a lock until this program ends.
    pub(super) fn keep(&self, lock: FleetLock) {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
    }

    async fn held(&self, place: Place, lock: FleetLock) -> Result<Held> {
        self.keep(lock);
        let store = self.store(&place).await?;
        Ok(Held { place, store })
    }

    /// The fleet's keys.
    pub(super) fn keys(&self, place: &Place) -> Result<FleetKeys> {
        FleetKeys::open_or_create(&FleetKeys::folder(&place.dir))
    }

    /// What flows act with, with the operator's own key where it is here.
    pub(super) fn platform(&self, place: &Place) -> Result<Platform> {
        let keys = self.keys(place)?;
        let vault = Some(Vault::open(&place.dir)?);
        Ok(Platform::new(place.desired.fleet.id.clone(), place.dir.clone(), self.config.clone(), keys, vault))
    }
}

impl Place {
    /// The workspaces that a command names, or all that are declared.
    ///
    /// # Errors
    /// Fails with every name that nothing declares.
    pub(super) fn select(&self, names: &[String]) -> Result<Vec<String>> {
        let declared = &self.desired.fleet.workspaces;
        if names.is_empty() {
            return Ok(declared.keys().cloned().collect());
        }
        let unknown: Vec<&String> = names.iter().filter(|name| !declared.contains_key(*name)).collect();
        match unknown.first() {
            None => Ok(names.to_vec()),
            Some(first) => {
                let all = unknown.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
                let error = Error::input(format!("the fleet declares no workspace called {all}"));
                Err(match crate::fleet::read::nearest_hint(first, declared.keys()) {
                    Some(hint) => error.hint(hint),
                    None => error.hint("`stead status` shows those that are declared"),
                })
            }
        }
    }
}
