//! Local nodes: containers (see `container`), or virtual machines (see `vm`) where a tier asks for them and where this host
//! cannot run containers.
//!
//! A node hangs on a supervisor process of its own and outlives the command that started it.

mod cable;
mod cgroup;
mod container;
mod ending;
pub mod left_over;
mod machine;
pub mod network;
pub mod registry;
mod seed;
mod spawn;
pub mod supervisor;
pub mod tools;
mod vm;

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::FlockOperation;

pub use self::container::{cannot_contain, check_host as check_containers};
use self::machine::{Form, MachineDir, MachineFile};
pub use self::vm::{TOOLS as VM_TOOLS, check_host as check_vms};
use super::{Base, Machine, MachineSpec, MachineState, Provider};
use crate::error::Context;
use crate::id::{FleetId, Mark};
use crate::{Error, Result, ownership};

/// How much of a console's log is looked at, in bytes.
const CONSOLE_TAIL: u64 = 64 << 10;

/// The provider of kind `local`.
#[derive(Debug, Clone)]
pub struct Local {
    fleet: FleetId,
    fleet_dir: Utf8PathBuf,
    nodes: Utf8PathBuf,
    run_dir: Utf8PathBuf,
    program: Utf8PathBuf,
}

impl Local {
    /// The local nodes of the fleet in `fleet_dir`.
    ///
    /// # Errors
    /// Fails where the fleet's folder is gone.
    pub fn new(fleet: FleetId, fleet_dir: &Utf8Path, config: &crate::config::Config) -> Result<Self> {
        let fleet_dir = fleet_dir.canonicalize_utf8()?;
        Ok(Self {
            fleet,
            nodes: fleet_dir.join(".stead/nodes"),
            fleet_dir,
            run_dir: config.run_dir.clone(),
            program: config.program.clone(),
        })
    }

    /// Whether this host enforces the size (memory, CPU) that a node's tier declares.
    pub fn enforces_sizes(&self, mark: &Mark) -> bool {
        match self.dir(mark).read() {
            Ok(Some(MachineFile { form: Form::Vm(_), .. })) => true,
            _ => container::enforces_sizes(mark),
        }
    }

    fn dir(&self, mark: &Mark) -> MachineDir {
        MachineDir::new(&self.nodes, mark)
    }

    /// Held while numbers are given out and folders come and go.
    fn lock(&self) -> Result<fs_err::File> {
        // Beside the folder, which goes with its last node: a lock must not be removed while someone waits for it.
        fs_err::create_dir_all(self.fleet_dir.join(".stead"))?;
        let path = self.nodes.with_extension("lock");
        let lock = fs_err::File::create(&path)?;
        // With `sudo` now and without it the next time, it is still one fleet.
        ownership::inherit(&path)?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(std::io::Error::from)?;
        fs_err::create_dir_all(&self.nodes)?;
        ownership::inherit(&self.nodes)?;
        Ok(lock)
    }

    fn machines(&self) -> Result<Vec<MachineDir>> {
        let entries = match self.nodes.read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut marks = Vec::new();
        for entry in entries {
            if let Some((mark, _)) = Mark::parse(&self.fleet, entry?.file_name()) {
                marks.push(mark);
            }
        }
        marks.sort();
        Ok(marks.iter().map(|mark| self.dir(mark)).collect())
    }

    fn look(&self, dir: &MachineDir) -> Result<Option<Machine>> {
        let Some(file) = dir.read()? else { return Ok(None) };
        let state = if dir.supervisor()?.is_some() { MachineState::Running } else { MachineState::Stopped };
        let (addresses, ssh_port) = (file.addresses(), file.ssh_port());
        Ok(Some(Machine { mark: file.mark, state, addresses, ssh_port }))
    }

    fn create_now(&self, spec: &MachineSpec) -> Result<Machine> {
        match spec.base {
            Base::Layers(_) => container::check_host()?,
            Base::Disk(_) => vm::check_host()?,
        }
        let lock = self.lock()?;
        let dir = self.dir(&spec.mark);
        if dir.read()?.is_none() {
            self.make(spec)?;
        }
        drop(lock);
        self.start_now(&spec.mark)
    }

    /// Makes the node's folder aside and moves it into place whole.
    fn make(&self, spec: &MachineSpec) -> Result<()> {
        let aside = MachineDir::at(self.nodes.join(format!(".{}.new", spec.mark)));
        remove(aside.path())?;
        fs_err::create_dir_all(aside.path())?;
        let form = match &spec.base {
            Base::Layers(layers) => Form::Container(self.make_container(spec, layers, &aside)?),
            Base::Disk(disk) => Form::Vm(self.make_vm(spec, disk, &aside)?),
        };
        let file = MachineFile { mark: spec.mark.clone(), hostname: spec.hostname.clone(), uuid: random_uuid()?, form };
        let json =
            serde_json::to_vec_pretty(&file).map_err(|error| Error::failed("encoding machine.json").because(error))?;
        fs_err::write(aside.join("machine.json"), json)?;
        rustix::fs::syncfs(fs_err::File::open(aside.path())?).map_err(std::io::Error::from)?;
        fs_err::rename(aside.path(), self.dir(&spec.mark).path())?;
        Ok(())
    }

    fn start_now(&self, mark: &Mark) -> Result<Machine> {
        let dir = self.dir(mark);
        let file = dir.read()?.ok_or_else(|| Error::failed(format!("there is no local machine {mark}")))?;
        if dir.supervisor()?.is_none() {
            match &file.form {
                Form::Container(container) => {
                    container::check_host()?;
                    self.network()?;
                    network::forget(&container.bridge, &container.addresses)?;
                }
                Form::Vm(_) => {
                    dir.check_owner()?;
                    vm::check_host()?;
                }
            }
            spawn::start(&self.program, &dir, &file)?;
        }
        self.look(&dir)?.ok_or_else(|| Error::failed(format!("there is no local machine {mark}")))
    }

    fn stop_now(&self, mark: &Mark) -> Result<()> {
        let dir = self.dir(mark);
        let Some(file) = dir.read()? else { return Ok(()) };
        if !rustix::process::geteuid().is_root() {
            dir.check_owner()?;
        }
        if !spawn::shut_down(&dir)? {
            tracing::warn!(%mark, "the node did not shut down in time, and is ended");
            spawn::stop(&dir, mark)?;
        }
        // A supervisor that was killed has left these behind.
        match file.form {
            Form::Container(_) => container::clear(mark),
            Form::Vm(_) => Ok(()),
        }
    }

    fn destroy_now(&self, mark: &Mark) -> Result<()> {
        let _lock = self.lock()?;
        let gone = MachineDir::at(self.nodes.join(format!(".{mark}.gone")));
        let dir = self.dir(mark);
        if dir.path().exists() {
            if !rustix::process::geteuid().is_root() {
                dir.check_owner()?;
            }
            remove(gone.path())?;
            // First of all: a supervisor that is about to start finds nothing, and a folder that has its name is a node.
            fs_err::rename(dir.path(), gone.path())?;
        }
        spawn::stop(&gone, mark)?;
        // Its file may be broken, or a crash have left none: whoever is root takes away what a container could have.
        let root = rustix::process::geteuid().is_root();
        if root {
            container::clear(mark)?;
        }
        remove(gone.path())?;
        remove(&self.nodes.join(format!(".{mark}.new")))?;
        if self.machines()?.is_empty() {
            if root {
                network::release(&self.run_dir, &self.fleet)?;
            }
            remove(&self.nodes)?;
        }
        Ok(())
    }

    fn console_now(&self, mark: &Mark, lines: usize) -> Result<Option<String>> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = match fs_err::File::open(self.dir(mark).join("console.log")) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(CONSOLE_TAIL)))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let plain = anstream::adapter::strip_str(&String::from_utf8_lossy(&text)).to_string().replace('\r', "");
        Ok(Some(crate::tool::tail(&plain, lines)))
    }

    /// Runs work that waits for the disk and for other programs where it does not hold up others.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Local) -> Result<T> + Send + 'static) -> Result<T> {
        let local = self.clone();
        tokio::task::spawn_blocking(move || work(&local))
            .await
            .map_err(|error| Error::failed("a local node's work ended unexpectedly").because(error))?
    }
}

fn random_uuid() -> Result<uuid::Uuid> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::failed("the system gives no randomness").because(error.to_string()))?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

/// Removes a tree, if it is there.
fn remove(path: &Utf8Path) -> Result<()> {
    match fs_err::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).context(format!("removing {path}")),
    }
}

#[async_trait]
impl Provider for Local {
    async fn find(&self, mark: &Mark) -> Result<Option<Machine>> {
        self.look(&self.dir(mark))
    }

    async fn list(&self) -> Result<Vec<Machine>> {
        self.machines()?.iter().filter_map(|dir| self.look(dir).transpose()).collect()
    }

    async fn create(&self, spec: &MachineSpec) -> Result<Machine> {
        let spec = spec.clone();
        self.blocking(move |local| local.create_now(&spec)).await
    }

    async fn start(&self, mark: &Mark) -> Result<Machine> {
        let mark = mark.clone();
        self.blocking(move |local| local.start_now(&mark)).await
    }

    async fn stop(&self, mark: &Mark) -> Result<()> {
        let mark = mark.clone();
        self.blocking(move |local| local.stop_now(&mark)).await
    }

    async fn destroy(&self, mark: &Mark) -> Result<()> {
        let mark = mark.clone();
        self.blocking(move |local| local.destroy_now(&mark)).await
    }

    async fn console(&self, mark: &Mark, lines: usize) -> Result<Option<String>> {
        self.console_now(mark, lines)
    }
}
