//! Virtual machines: an image's real disk in QEMU, with user networking, by anyone.
//!
//! The node's disk is a copy of the image's, so that nothing else on this machine can take its ground away: an image is
//! compressed, and a copy of it small.
//!
//! Its network is `passt`: its sshd is reached by a port of this host's loopback, and it reaches what its user reaches by the host's
//! way to the outside. (QEMU's own user network would let it reach all that listens on the host's loopback.)

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, PipeWriter, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rustix::io::FdFlags;
use sha2::{Digest, Sha256};

use super::ending::Ending;
use super::machine::{Form, MachineDir, MachineFile, Vm};
use super::tools::IP;
use super::{Local, network};
use crate::error::Context;
use crate::fleet::scalar::Bytes;
use crate::id::Mark;
use crate::image::vm::qemu::{self, QEMU, QEMU_IMG, SETPRIV};
use crate::image::vm::seed;
use crate::provider::{BaseDisk, MachineSpec};
use crate::render::cloud_init;
use crate::tool::Tool;
use crate::{Error, Result};

const PASST: Tool = Tool { program: "passt", package: "passt", purpose: "connect virtual machines" };
/// The programs that virtual machines alone need.
pub const TOOLS: [Tool; 3] = [QEMU, QEMU_IMG, PASST];

/// The ports that lead to nodes' sshd: below those that the kernel gives to outgoing connections
/// (net.ipv4.ip_local_port_range), so that none is taken by chance while its node is stopped.
const PORTS: Range<u16> = 20_000..32_000;
/// What a machine has where no size is declared.
const VCPUS: u32 = 1;
const MEMORY: u64 = 1 << 30;
/// How often the supervisor looks whether the node's folder is still there.
const LOOK: Duration = Duration::from_secs(2);
/// How often a machine that is to shut down is told again.
const PRESS: Duration = Duration::from_secs(10);
/// How long QEMU may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What keeps virtual machines from running here, if anything does; asked before anything is made.
///
/// # Errors
/// Fails with the reason and the way out.
pub fn check_host() -> Result<()> {
    TOOLS.iter().chain(&[SETPRIV, IP]).try_for_each(|tool| tool.path().map(drop))
}

impl Local {
    /// Makes what a virtual machine needs in `dir`.
    pub(super) fn make_vm(&self, spec: &MachineSpec, base: &BaseDisk, dir: &MachineDir) -> Result<Vm> {
        let size = spec.size.map(|size| size.disk.0);
        make_disk(base, size, &dir.join("disk.qcow2"))
            .with_context(|| format!("making the disk of {}", spec.hostname))?;
        // Told now, not by a machine that finds no names.
        network::nameservers()?;
        let meta_data = cloud_init::meta_data(spec.mark.as_str(), &spec.hostname);
        seed::write(dir.path(), &spec.user_data, &meta_data)?;
        Ok(Vm {
            firmware: base.firmware,
            vcpus: spec.size.map_or(VCPUS, |size| size.vcpus),
            memory: spec.size.map_or(MEMORY, |size| size.memory.0),
            ssh_port: free_port(&spec.mark, &self.ports()?)?,
        })
    }

    /// The ports that lead to this fleet's nodes.
    fn ports(&self) -> Result<BTreeSet<u16>> {
        let mut ports = BTreeSet::new();
        for other in self.machines()? {
            if let Some(MachineFile { form: Form::Vm(vm), .. }) = other.read()? {
                ports.insert(vm.ssh_port);
            }
        }
        Ok(ports)
    }
}

/// Makes a machine's own disk from its image's, of `size` bytes, or as large as that.
fn make_disk(base: &BaseDisk, size: Option<u64>, disk: &Utf8Path) -> Result<()> {
    let least = virtual_size(&base.file)?;
    let size = size.unwrap_or(least);
    if size < least {
        return Err(Error::input(format!(
            "its tier says {}, and its image's disk is {}",
            Bytes(size).rounded(),
            Bytes(least).rounded()
        ))
        .hint("make the tier's `size: {disk: …}` larger, or the image's `disk: {size: …}` smaller"));
    }
    if base.file.extension() == Some("qcow2") {
        fs_err::copy(&base.file, disk)?;
    } else {
        QEMU_IMG.run(["convert", "-f", "raw", "-O", "qcow2", base.file.as_str(), disk.as_str()])?;
    }
    QEMU_IMG.run(["resize", "-q", "-f", "qcow2", disk.as_str(), &size.to_string()])?;
    // As its image's, it may be anybody's to read; what the node writes there is not.
    fs_err::set_permissions(disk, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}

/// A port that no node of this fleet has and nobody listens on; the mark picks where the search begins, so that two fleets
/// seldom want the same.
fn free_port(mark: &Mark, used: &BTreeSet<u16>) -> Result<u16> {
    let hash = Sha256::digest(mark.as_str().as_bytes());
    let count = PORTS.end - PORTS.start;
    let first = u16::from_be_bytes([hash[0], hash[1]]) % count;
    (0..count)
        .map(|offset| PORTS.start + (first + offset) % count)
        .find(|port| !used.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| Error::failed(format!("no port from {} to {} is free on this machine", PORTS.start, PORTS.end)))
}

/// How large a disk is to the machine that has it, in bytes.
fn virtual_size(disk: &Utf8Path) -> Result<u64> {
    let said = QEMU_IMG.run(["info", "--output=json", disk.as_str()])?;
    let info: serde_json::Value = serde_json::from_str(&said)
        .map_err(|error| Error::failed("qemu-img describes the disk in a way that is not JSON").because(error))?;
    info["virtual-size"].as_u64().ok_or_else(|| Error::failed(format!("qemu-img does not say how large {disk} is")))
}

/// Runs the machine until it powers itself off. It reboots by itself.
///
/// # Errors
/// Fails where QEMU or its network cannot be started, and where the node's folder is removed under it.
pub(super) fn run(
    dir: &MachineDir,
    vm: &Vm,
    lock: &fs_err::File,
    ending: &Ending,
    console: PipeWriter,
) -> Result<ExitStatus> {
    let (socket, other) = UnixStream::pair()?;
    let (control, monitor) = UnixStream::pair()?;
    let spec = qemu::Spec {
        disk: dir.join("disk.qcow2"),
        seed: dir.join("seed.img"),
        firmware: vm.firmware,
        vcpus: vm.vcpus,
        memory: vm.memory,
        network: qemu::Network::Socket(socket.as_raw_fd()),
    };
    let mut command = spec.command(dir.path())?;
    command.stdout(console.try_clone()?).stderr(console.try_clone()?).stdin(Stdio::null());
    // Each end is one process's alone: passt ends when QEMU has let go of the other.
    let mut network = Ended(passt(vm.ssh_port, &inherited(other)?, &console)?);
    let (socket, monitor) = (inherited(socket)?, monitor_of(&mut command, monitor)?);
    // Spawned by the first thread: it is the parent whose death ends the machine.
    let mut machine = Ended(command.spawn().context("starting QEMU")?);
    drop((command, socket, monitor, console));
    ending.listen()?;
    let (mut monitor, mut pressed) = (Monitor::new(control)?, None::<Instant>);
    loop {
        // A machine that has not booted far enough does not hear it.
        if ending.is_told() && pressed.is_none_or(|last| last.elapsed() >= PRESS) {
            pressed = Some(Instant::now());
            if let Err(error) = monitor.press() {
                tracing::warn!(%error, "the machine cannot be told to shut down");
            }
        }
        if let Some(status) = machine.0.try_wait()? {
            return Ok(status);
        }
        if let Some(status) = network.0.try_wait()? {
            // It goes with the machine; without it, nobody would reach the machine any more.
            return match machine.0.try_wait()? {
                Some(ended) => Ok(ended),
                None => Err(Error::failed(format!("the node's network ended ({status})"))),
            };
        }
        // Without root there is no registry of what fleets hold on this host: a machine whose fleet was removed by hand ends
        // by itself.
        if rustix::fs::fstat(lock).map_err(std::io::Error::from)?.st_nlink == 0 {
            return Err(Error::failed("the node's folder was removed while it ran"));
        }
        std::thread::sleep(LOOK);
    }
}

/// Gives QEMU its end of a socket that commands come through (QEMU Machine Protocol).
fn monitor_of(command: &mut Command, end: UnixStream) -> Result<UnixStream> {
    let end = inherited(end)?;
    command
        .args(["-chardev", &format!("socket,id=control,fd={}", end.as_raw_fd())])
        .args(["-mon", "chardev=control,mode=control"]);
    Ok(end)
}

/// What QEMU is told through.
struct Monitor {
    control: BufReader<UnixStream>,
    /// Whether QEMU takes commands: it says what it can once.
    greeted: bool,
}

impl Monitor {
    fn new(control: UnixStream) -> std::io::Result<Self> {
        control.set_read_timeout(Some(ANSWER))?;
        Ok(Self { control: BufReader::new(control), greeted: false })
    }

    /// Presses the machine's power button (ACPI), at which systemd-logind has it shut down; one that is doing so already goes on.
    fn press(&mut self) -> std::io::Result<()> {
        if !self.greeted {
            self.execute("qmp_capabilities")?;
            self.greeted = true;
        }
        self.execute("system_powerdown")
    }

    fn execute(&mut self, command: &str) -> std::io::Result<()> {
        let line = format!("{{\"execute\": \"{command}\"}}\n");
        self.control.get_mut().write_all(line.as_bytes())?;
        for line in self.control.by_ref().lines() {
            let line = line?;
            if line.starts_with("{\"error\"") {
                return Err(std::io::Error::other(line));
            }
            // Between, it tells of events.
            if line.starts_with("{\"return\"") {
                return Ok(());
            }
        }
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}

/// A descriptor that processes which are started from now on inherit.
fn inherited(end: UnixStream) -> Result<UnixStream> {
    rustix::io::fcntl_setfd(&end, FdFlags::empty()).map_err(std::io::Error::from)?;
    Ok(end)
}

/// A process that is ended with this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the machine's network at its end of the socket.
fn passt(ssh_port: u16, socket: &UnixStream, said: &PipeWriter) -> Result<Child> {
    let mut command = SETPRIV.command()?;
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(PASST.path()?)
        .args(["--foreground", "--quiet", "--stderr", "--fd", &socket.as_raw_fd().to_string()])
        .args(["--tcp-ports", &format!("127.0.0.1/{ssh_port}:22"), "--udp-ports", "none"])
        // The gateway's address would be this host's loopback.
        .arg("--no-map-gw");
    // What it sends leaves by the way to the outside and by no other: not to the loopback, not to other networks of the host.
    for (family, option) in [("-4", "--outbound-if4"), ("-6", "--outbound-if6")] {
        if let Some(interface) = way_out(family) {
            command.args([option, &interface]);
        }
    }
    for server in network::nameservers()? {
        command.args(["--dns", &server.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.try_clone()?);
    command.spawn().context("starting passt")
}

/// The interface that this host's default route of a family leads to.
fn way_out(family: &str) -> Option<String> {
    let routes = IP.run([family, "route", "show", "default"]).ok()?;
    routes.split_whitespace().skip_while(|word| *word != "dev").nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{FleetId, NodeId};

    #[test]
    fn rooted_a_machine_has_a_disk_of_its_own_as_large_as_its_tier_says() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temp.path()).unwrap();
        for form in ["qcow2", "raw"] {
            let base = BaseDisk { file: dir.join(format!("image.{form}")), firmware: qemu::Firmware::Bios };
            QEMU_IMG.run(["create", "-q", "-f", form, base.file.as_str(), "2G"]).unwrap();
            let disk = dir.join("disk.qcow2");
            make_disk(&base, Some(3 << 30), &disk).unwrap();
            assert_eq!(virtual_size(&disk).unwrap(), 3 << 30);
            assert_eq!(fs_err::metadata(&disk).unwrap().permissions().mode() & 0o777, 0o600);
            make_disk(&base, None, &disk).unwrap();
            assert_eq!(virtual_size(&disk).unwrap(), 2 << 30);
            let error = make_disk(&base, Some(1 << 30), &disk).unwrap_err().to_string();
            assert!(error.contains("its tier says 1.0 GiB, and its image's disk is 2.0 GiB"), "{error}");
        }
    }

    #[test]
    fn a_machine_is_told_to_shut_down_as_often_as_it_takes() {
        let (control, monitor) = UnixStream::pair().unwrap();
        let mut command = Command::new(QEMU.path().unwrap());
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg", "-m", "64M"]);
        let monitor = monitor_of(&mut command, monitor).unwrap();
        let _machine = Ended(command.stdin(Stdio::null()).spawn().unwrap());
        drop(monitor);
        let mut monitor = Monitor::new(control).unwrap();
        monitor.press().unwrap();
        monitor.press().unwrap();
    }

    #[test]
    fn nodes_have_ports_of_their_own_that_nobody_else_listens_on() {
        let mark = Mark::new(&FleetId::mint(), NodeId::new());
        let first = free_port(&mark, &BTreeSet::new()).unwrap();
        assert!(PORTS.contains(&first));
        let second = free_port(&mark, &BTreeSet::from([first])).unwrap();
        assert_ne!(first, second);
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, first));
        assert_ne!(free_port(&mark, &BTreeSet::new()).unwrap(), first);
    }
}
