//! Containers: systemd-nspawn with a real systemd as PID 1, real cloud-init, real sshd, and an address of its own.
//!
//! A node is an overlay over its image's layers, so it costs no copy.

use std::collections::BTreeSet;
use std::io::PipeWriter;
use std::process::{Command, ExitStatus, Stdio};

use camino::Utf8PathBuf;
use ipnet::Ipv4Net;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::thread::{CapabilitySet, capabilities};

use super::cable::Cable;
use super::cgroup::{Cgroup, Limits};
use super::ending::Ending;
use super::machine::{Container, Form, MachineDir, MachineFile};
use super::tools::NSPAWN;
use super::{Local, network, seed, tools};
use crate::error::Context;
use crate::id::Mark;
use crate::image::overlay;
use crate::provider::MachineSpec;
use crate::{Error, Result};

/// The numbers that nodes get in their fleet's /24; 1 is the host's.
const NUMBERS: std::ops::RangeInclusive<u8> = 10..=250;
/// How systemd-nspawn ends when the node asked for a reboot and `--keep-unit` is given.
const REBOOT: i32 = 133;

/// Enters the control groups named before `--` and becomes the program named behind it, which dies with its parent: no
/// node outlives its supervisor.
const ENTER: &str =
    r#"set -e; while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; exec setpriv --pdeathsig KILL "$@""#;

/// Why this process can run no containers at all, whatever is installed; `None` where it can.
pub fn cannot_contain() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can run containers");
    }
    let may_mount = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
    (!may_mount).then_some("containers need the capability to mount (CAP_SYS_ADMIN), which this process lacks")
}

/// What keeps containers from running here, if anything does; asked before anything is made.
///
/// # Errors
/// Fails with the reason and the way out.
pub fn check_host() -> Result<()> {
    if let Some(reason) = cannot_contain() {
        return Err(Error::failed(reason).hint("run the same command with sudo"));
    }
    let missing: Vec<_> = tools::ALL.iter().filter(|tool| tool.find().is_none()).collect();
    if let Some(first) = missing.first() {
        let packages: BTreeSet<_> = missing.iter().map(|tool| tool.package).collect();
        let packages = packages.into_iter().collect::<Vec<_>>().join(" ");
        return Err(Error::failed(format!("{} is not installed; it is needed to {}", first.program, first.purpose))
            .hint(format!("`stead doctor --fix` installs what is missing, or `apt-get install {packages}`")));
    }
    Ok(())
}

/// Whether this host holds the container to its size.
pub(super) fn enforces_sizes(mark: &Mark) -> bool {
    Cgroup::of(mark).is_ok_and(|cgroup| cgroup.enforces_sizes())
}

/// Takes away what a container had of this host beside its folder; does nothing where it had nothing.
///
/// # Errors
/// Fails as the system does.
pub(super) fn clear(mark: &Mark) -> Result<()> {
    // A host without control groups has run no container.
    if let Ok(cgroup) = Cgroup::of(mark) {
        cgroup.destroy()?;
    }
    Cable::of(mark).unplug()
}

impl Local {
    /// The fleet's network, which stands after this.
    pub(super) fn network(&self) -> Result<network::Network> {
        // Nodes keep their addresses for life, so once chosen the subnet is kept beside them.
        let path = self.nodes.join("subnet");
        let wanted: Option<Ipv4Net> = fs_err::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
        let network = network::ensure(&self.run_dir, &self.fleet, &self.fleet_dir, wanted)?;
        if wanted != Some(network.v4) {
            fs_err::write(&path, network.v4.to_string())?;
        }
        Ok(network)
    }

    /// Makes what a container needs in `dir`.
    pub(super) fn make_container(
        &self,
        spec: &MachineSpec,
        layers: &[Utf8PathBuf],
        dir: &MachineDir,
    ) -> Result<Container> {
        let network = self.network()?;
        let mut used = BTreeSet::new();
        for other in self.machines()? {
            if let Some(MachineFile { form: Form::Container(container), .. }) = other.read()? {
                used.insert(container.number);
            }
        }
        let number = NUMBERS.into_iter().find(|number| !used.contains(number)).ok_or_else(|| {
            Error::failed(format!("this fleet has {} local nodes already, as many as its network holds", used.len()))
                .hint("`stead down WORKSPACE` frees one")
        })?;
        let container = Container {
            number,
            addresses: network.addresses(number).to_vec(),
            bridge: network.bridge.clone(),
            layers: layers.to_vec(),
            limits: spec.size.map(|size| Limits { vcpus: size.vcpus, memory: size.memory.0 }),
        };
        for name in ["upper", "work", "root"] {
            fs_err::create_dir_all(dir.join(name))?;
        }
        seed::write(&dir.join("upper"), spec, &container, &network)?;
        Ok(container)
    }
}

/// Runs the container until it powers itself off, in a mount namespace of this process's own. `console` gives what its console
/// writes to.
///
/// # Errors
/// Fails where the overlay cannot be mounted, or systemd-nspawn cannot be started.
pub(super) fn run(
    dir: &MachineDir,
    machine: &MachineFile,
    container: &Container,
    ending: &Ending,
    mut console: impl FnMut() -> Result<PipeWriter>,
) -> Result<ExitStatus> {
    let (cgroup, cable) = (Cgroup::of(&machine.mark)?, Cable::of(&machine.mark));
    overlay::enter(&container.layers, &dir.join("upper"), &dir.join("work"), &dir.join("root"))?;
    ending.listen()?;
    loop {
        // What a killed supervisor left behind holds the old overlay; it goes first.
        cgroup.destroy()?;
        cgroup.create(container.limits)?;
        cable.plug(&container.bridge, &dir.join("netns"))?;
        let status = boot(dir, machine, &cgroup, ending, console()?)?;
        if status.code() != Some(REBOOT) || ending.is_told() {
            cgroup.destroy()?;
            cable.unplug()?;
            return Ok(status);
        }
    }
}

fn boot(
    dir: &MachineDir,
    machine: &MachineFile,
    cgroup: &Cgroup,
    ending: &Ending,
    console: PipeWriter,
) -> Result<ExitStatus> {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", ENTER, "sh"])
        .args(cgroup.procs())
        .arg("--")
        .arg(NSPAWN.path()?)
        .args(["--boot", "--quiet", "--register=no", "--keep-unit", "--console=read-only"])
        // What nspawn would take from the host belongs to cloud-init and the image.
        .args(["--resolv-conf=off", "--timezone=off", "--link-journal=no", "--settings=no"])
        // The host's devices are not the node's.
        .arg("--drop-capability=CAP_MKNOD")
        // Over its own network, which nspawn did not make and so does not give it by itself.
        .arg("--capability=CAP_NET_ADMIN")
        .arg(format!("--directory={}", dir.join("root")))
        .arg(format!("--machine={}", machine.mark))
        .arg(format!("--hostname={}", machine.hostname))
        .arg(format!("--uuid={}", machine.uuid.simple()))
        .arg(format!("--network-namespace-path={}", dir.join("netns")))
        .args(["--", "--show-status=yes"])
        .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
        .env("SYSTEMD_LOG_LEVEL", "warning")
        .stdin(Stdio::null())
        .stdout(console.try_clone()?)
        .stderr(console);
    // Spawned by the first thread: it is the parent whose death ends the node.
    let mut child = command.spawn().context("starting systemd-nspawn")?;
    // Holds the console's other end as long as it lives.
    drop(command);
    let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).map_err(std::io::Error::from)?;
    // systemd-nspawn passes it on to the node's systemd as what has it shut down (systemd-nspawn(1), --kill-signal=).
    ending.by(move || {
        // One that has ended cannot be told.
        let _ = pidfd_send_signal(&process, Signal::TERM);
    });
    let status = child.wait()?;
    // What still holds the console goes with the group.
    cgroup.kill()?;
    Ok(status)
}
