//! QEMU, with what an image's disk needs of a machine.

use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::error::Context;
use crate::tool::Tool;
use crate::{Error, Result, atomic_file};

/// The emulator.
pub const QEMU: Tool =
    Tool { program: "qemu-system-x86_64", package: "qemu-system-x86", purpose: "boot an image's disk" };
/// Makes and converts disks.
pub const QEMU_IMG: Tool = Tool { program: "qemu-img", package: "qemu-utils", purpose: "make a machine's disk" };
/// Ties a process to its parent.
pub const SETPRIV: Tool = Tool { program: "setpriv", package: "util-linux", purpose: "end a machine with its command" };
/// UEFI for QEMU (Debian's package `ovmf`): code, and variables with Microsoft's keys, so that Secure Boot is on.
pub const UEFI_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.ms.fd";
const UEFI_VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd";

/// A host without room is told to the machine as an error of its disk; else QEMU would pause it, for nobody to go on with.
const ERRORS: &str = "werror=report,rerror=report";

/// What a machine boots with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// A PC's BIOS.
    Bios,
    /// UEFI with Secure Boot.
    Uefi,
}

impl Firmware {
    /// The word for it, as definitions write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
        }
    }
}

/// A machine to be.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The disk, in qcow2; it is written to.
    pub disk: Utf8PathBuf,
    /// The NoCloud seed.
    pub seed: Utf8PathBuf,
    /// What it boots with.
    pub firmware: Firmware,
    /// Processors.
    pub vcpus: u32,
    /// Memory, in bytes.
    pub memory: u64,
    /// How it reaches others, and is reached.
    pub network: Network,
}

/// A machine's network; none needs root.
#[derive(Debug, Clone)]
pub enum Network {
    /// QEMU's own. This port of the host's loopback leads to the machine's sshd; the machine reaches what the host reaches,
    /// the host's loopback too. For machines that nobody else has a say on.
    Own(u16),
    /// Another program's, at the other end of a socket that QEMU inherits under this number.
    Socket(RawFd),
}

impl Spec {
    /// The command. `dir` is a folder of the machine's own, for its firmware's variables. The serial console is the command's
    /// standard output.
    ///
    /// # Errors
    /// Fails where QEMU or the firmware is not installed.
    pub fn command(&self, dir: &Utf8Path) -> Result<Command> {
        let mut command = Command::new(SETPRIV.path()?);
        // A machine that nobody waits for any more must not run on.
        command.args(["--pdeathsig", "KILL", "--"]).arg(QEMU.path()?);
        command
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-monitor", "none"])
            .args(["-accel", if kvm_works() { "kvm" } else { "tcg,thread=multi" }, "-cpu", "max"])
            .args(["-smp", &self.vcpus.to_string(), "-m", &format!("{}M", self.memory >> 20)])
            .args(["-device", "virtio-rng-pci"])
            .args(["-drive", &format!("file={},format=qcow2,if=virtio,discard=unmap,{ERRORS}", escaped(&self.disk))])
            .args(["-drive", &format!("file={},format=raw,if=virtio,readonly=on", escaped(&self.seed))])
            .args(["-netdev", &self.network.option()])
            .args(["-device", "virtio-net-pci,netdev=net"]);
        match self.firmware {
            Firmware::Bios => command.args(["-machine", "pc"]),
            Firmware::Uefi => {
                let variables = dir.join("uefi-variables.fd");
                if !variables.is_file() {
                    let fresh = atomic_file::read(UEFI_VARIABLES.into())?.ok_or_else(|| {
                        Error::failed("the UEFI for QEMU is not installed")
                            .hint("`stead doctor --fix` installs it, or `apt-get install ovmf`")
                    })?;
                    atomic_file::write(&variables, &fresh, 0o600)?;
                }
                // The keys are kept where only the firmware itself can write, as Secure Boot demands.
                command
                    .args(["-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"])
                    .args(["-drive", &format!("if=pflash,format=raw,unit=0,readonly=on,file={UEFI_CODE}")])
                    .args(["-drive", &format!("if=pflash,format=raw,unit=1,file={}", escaped(&variables))])
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        Ok(command)
    }
}

impl Network {
    fn option(&self) -> String {
        match self {
            Self::Own(port) => format!("user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22"),
            Self::Socket(number) => format!("stream,id=net,server=off,addr.type=fd,addr.str={number}"),
        }
    }
}

/// A machine that runs. Dropped, it is switched off at once.
#[derive(Debug)]
pub struct Machine(Child);

impl Machine {
    /// Starts a machine.
    ///
    /// # Errors
    /// As [`Spec::command`], and where QEMU cannot be started.
    pub fn start(spec: &Spec, dir: &Utf8Path) -> Result<Self> {
        spec.command(dir)?.spawn().map(Self).context("starting QEMU")
    }

    /// The serial console.
    pub fn console(&mut self) -> Option<std::process::ChildStdout> {
        self.0.stdout.take()
    }

    /// What QEMU itself has to say.
    pub fn complaints(&mut self) -> Option<std::process::ChildStderr> {
        self.0.stderr.take()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// Fails as the system does.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether the host runs machines itself. A /dev/kvm that is there may still not do, as where the host is a machine in a
/// machine itself: only a start tells.
fn kvm_works() -> bool {
    let quits = [
        "-accel",
        "kvm",
        "-cpu",
        "max",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-monitor",
        "stdio",
        "-S",
    ];
    QEMU.run_with_stdin(quits, "quit\n").is_ok()
}

/// A comma ends an option's value unless it is doubled (QEMU's documentation of `-drive`).
fn escaped(path: &Utf8Path) -> String {
    path.as_str().replace(',', ",,")
}

/// A free port on the loopback. Another program may take it before QEMU does, which then ends and says so.
///
/// # Errors
/// Fails where there is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
