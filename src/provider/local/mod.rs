//! Local nodes: systemd-nspawn with a real systemd as PID 1, real cloud-init, real sshd, and an address of its own.
//!
//! A node is an overlay over its image's layers, so it costs no copy. It hangs on a supervisor process of its own and
//! outlives the command that started it.

mod cable;
mod cgroup;
pub mod left_over;
mod machine;
pub mod network;
pub mod registry;
mod seed;
mod spawn;
pub mod supervisor;
pub mod tools;

use std::collections::BTreeSet;

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use ipnet::Ipv4Net;
use rustix::fs::FlockOperation;

use self::cable::Cable;
use self::cgroup::{Cgroup, Limits};
use self::machine::{MachineDir, MachineFile};
use super::{Machine, MachineSpec, MachineState, Provider};
use crate::error::Context;
use crate::id::{FleetId, Mark};
use crate::{Error, Result};

/// The numbers that nodes get in their fleet's /24; 1 is the host's.
const NUMBERS: std::ops::RangeInclusive<u8> = 10..=250;
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

    /// What keeps local nodes from running here, if anything does; asked before anything is made.
    ///
    /// # Errors
    /// Fails with the reason and the way out.
    pub fn check_host() -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::failed("local nodes are containers, and only root can run them")
                .hint("run the same command with sudo"));
        }
        let missing: Vec<_> = tools::ALL.iter().filter(|tool| tool.find().is_none()).collect();
        if let Some(first) = missing.first() {
            let packages: BTreeSet<_> = missing.iter().map(|tool| tool.package).collect();
            let packages = packages.into_iter().collect::<Vec<_>>().join(" ");
            return Err(Error::failed(format!(
                "{} is not installed; it is needed to {}",
                first.program, first.purpose
            ))
            .hint(format!("`stead doctor --fix` installs what is missing, or `apt-get install {packages}`")));
        }
        Ok(())
    }

    /// Whether this host enforces the sizes (memory, CPU) that tiers declare.
    pub fn enforces_sizes(&self, mark: &Mark) -> bool {
        Cgroup::of(mark).is_ok_and(|cgroup| cgroup.enforces_sizes())
    }

    fn dir(&self, mark: &Mark) -> MachineDir {
        MachineDir::new(&self.nodes, mark)
    }

    /// Held while numbers are given out and folders come and go.
    fn lock(&self) -> Result<fs_err::File> {
        // Beside the folder, which goes with its last node: a lock must not be removed while someone waits for it.
        fs_err::create_dir_all(self.fleet_dir.join(".stead"))?;
        let lock = fs_err::File::create(self.nodes.with_extension("lock"))?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(std::io::Error::from)?;
        fs_err::create_dir_all(&self.nodes)?;
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
        Ok(Some(Machine { mark: file.mark, state, addresses: file.addresses.iter().map(ipnet::IpNet::addr).collect() }))
    }

    fn network(&self) -> Result<network::Network> {
        // Nodes keep their addresses for life, so once chosen the subnet is kept beside them.
        let path = self.nodes.join("subnet");
        let wanted: Option<Ipv4Net> = fs_err::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
        let network = network::ensure(&self.run_dir, &self.fleet, &self.fleet_dir, wanted)?;
        if wanted != Some(network.v4) {
            fs_err::write(&path, network.v4.to_string())?;
        }
        Ok(network)
    }

    fn create_now(&self, spec: &MachineSpec) -> Result<Machine> {
        Self::check_host()?;
        let lock = self.lock()?;
        let network = self.network()?;
        let dir = self.dir(&spec.mark);
        if dir.read()?.is_none() {
            let file = MachineFile {
                mark: spec.mark.clone(),
                hostname: spec.hostname.clone(),
                uuid: random_uuid()?,
                number: 0,
                addresses: Vec::new(),
                bridge: network.bridge.clone(),
                layers: spec.layers.clone(),
                limits: spec.size.map(|size| Limits { vcpus: size.vcpus, memory: size.memory.0 }),
            };
            self.make(spec, file, &network)?;
        }
        drop(lock);
        self.start_now(&spec.mark)
    }

    /// Makes the node's folder aside and moves it into place whole.
    fn make(&self, spec: &MachineSpec, mut file: MachineFile, network: &network::Network) -> Result<()> {
        let used = self
            .machines()?
            .iter()
            .filter_map(|dir| dir.read().transpose())
            .map(|file| file.map(|file| file.number))
            .collect::<Result<BTreeSet<u8>>>()?;
        file.number = NUMBERS.into_iter().find(|number| !used.contains(number)).ok_or_else(|| {
            Error::failed(format!("this fleet has {} local nodes already, as many as its network holds", used.len()))
                .hint("`stead down WORKSPACE` frees one")
        })?;
        file.addresses = network.addresses(file.number).to_vec();
        let aside = MachineDir::at(self.nodes.join(format!(".{}.new", spec.mark)));
        remove(aside.path())?;
        for name in ["upper", "work", "root"] {
            fs_err::create_dir_all(aside.join(name))?;
        }
        seed::write(&aside.join("upper"), spec, &file, network)?;
        let json =
            serde_json::to_vec_pretty(&file).map_err(|error| Error::failed("encoding machine.json").because(error))?;
        fs_err::write(aside.join("machine.json"), json)?;
        rustix::fs::syncfs(fs_err::File::open(aside.path())?).map_err(std::io::Error::from)?;
        fs_err::rename(aside.path(), self.dir(&spec.mark).path())?;
        Ok(())
    }

    fn start_now(&self, mark: &Mark) -> Result<Machine> {
        let dir = self.dir(mark);
        if dir.supervisor()?.is_none() {
            Self::check_host()?;
            self.network()?;
            spawn::start(&self.program, &dir, mark)?;
        }
        self.look(&dir)?.ok_or_else(|| Error::failed(format!("there is no local machine {mark}")))
    }

    fn destroy_now(&self, mark: &Mark) -> Result<()> {
        let _lock = self.lock()?;
        let gone = MachineDir::at(self.nodes.join(format!(".{mark}.gone")));
        let dir = self.dir(mark);
        if dir.path().exists() {
            remove(gone.path())?;
            // First of all: a supervisor that is about to start finds nothing, and a folder that has its name is a node.
            fs_err::rename(dir.path(), gone.path())?;
        }
        spawn::stop(&gone, mark)?;
        Cgroup::of(mark)?.destroy()?;
        Cable::of(mark).unplug()?;
        remove(gone.path())?;
        remove(&self.nodes.join(format!(".{mark}.new")))?;
        if self.machines()?.is_empty() {
            network::release(&self.run_dir, &self.fleet)?;
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

    async fn destroy(&self, mark: &Mark) -> Result<()> {
        let mark = mark.clone();
        self.blocking(move |local| local.destroy_now(&mark)).await
    }

    async fn console(&self, mark: &Mark, lines: usize) -> Result<Option<String>> {
        self.console_now(mark, lines)
    }
}
