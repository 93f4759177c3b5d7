//! The boot test: an image's disk starts, a node's first contact succeeds, and all that should run does.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use serde::Serialize;

use super::console::Console;
use super::phases::{self, Step};
use super::qemu::{Firmware, Machine, Network, Spec, free_port};
use super::seed;
use crate::error::Context;
use crate::image::stop::Stop;
use crate::image::tools::Tools;
use crate::redact::Secret;
use crate::render::cloud_init::{self, BootstrapHostKey, MANAGEMENT_USER, NodeRecord, UserData};
use crate::ssh::{Client, HostKeys, Target, Timeouts};
use crate::{Error, Result, keypair};

/// How long a boot may take. Without KVM every instruction is emulated.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Between two looks at whether the machine still runs.
const POLL: Duration = Duration::from_secs(1);
/// What the machine of the test has.
const MEMORY: u64 = 1 << 30;
const VCPUS: u32 = 2;
/// How many of what took longest are told.
const LONGEST: usize = 12;
/// How much larger than the image its disk is: room for the data volume, in bytes.
const DATA: u64 = 1 << 30;

/// Which node the machine of a test says that it is: fleet and node.
pub const NODE: (&str, &str) = ("fl_test", "nd_test");

/// What a boot showed.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What it booted with.
    pub firmware: Firmware,
    /// Whether the processor was emulated; times are then no measure of a real machine's.
    pub emulated: bool,
    /// The kernel's release.
    pub kernel: String,
    /// Seconds by phase: `firmware`, `loader`, `kernel`, `initrd`, `userspace` as systemd measured them, and `ssh`, from the
    /// start of the machine to the first login.
    pub seconds: BTreeMap<String, f64>,
    /// What sshd waited for, itself first, each for the next.
    pub waited: Vec<Step>,
    /// What took longest, the longest first; things run beside one another, so they do not add up.
    pub longest: Vec<Step>,
    /// What was looked at.
    pub checks: Vec<Check>,
}

/// One thing that must hold.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Whether it does.
    pub passed: bool,
    /// What was seen.
    pub seen: String,
}

impl Report {
    /// Whether everything holds.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }
}

/// A machine that was booted for a test, with a connection to it.
pub struct Booted {
    /// The connection, as the management user.
    pub client: Client,
    /// The port on this host's loopback that leads to the machine's sshd.
    pub ssh_port: u16,
    /// Seconds from the start to the first login.
    pub until_ssh: f64,
    firmware: Firmware,
    console: Console,
    _machine: Machine,
}

/// Lists the units that failed, a line each.
const FAILED_UNITS: &str = "systemctl list-units --failed --no-legend --plain";

/// What is checked, by commands whose output is compared with what is expected.
const CHECKS: [(&str, &str, &str); 4] = [
    ("systemd reports running", "systemctl is-system-running --wait", "running"),
    ("no failed unit", FAILED_UNITS, ""),
    ("the data volume is mounted", "findmnt --noheadings --output FSTYPE /srv/data", "ext4"),
    (
        "the data volume is encrypted",
        "lsblk --noheadings --list --output TYPE,FSTYPE,NAME | grep -c 'part *crypto_LUKS'",
        "1",
    ),
];

/// Boots `disk` (qcow2 or raw) on a copy of its own in `dir`, and logs in. `told` gets the console's lines as they come.
///
/// # Errors
/// Fails where QEMU is missing, where the machine ends or answers with another host key, and where it does not answer in
/// time; with the console's last lines.
pub async fn boot(
    disk: &Utf8Path,
    size: u64,
    firmware: Firmware,
    (dir, tools): (&Utf8Path, &Tools),
    stop: &Stop,
    told: impl Fn(&str) + Send + 'static,
) -> Result<Booted> {
    let overlay = dir.join("disk.qcow2");
    let mut command = tools.command("usr/bin/qemu-img")?;
    let format = if disk.extension() == Some("qcow2") { "qcow2" } else { "raw" };
    command.args(["create", "-q", "-f", "qcow2", "-F", format, "-b", disk.as_str(), overlay.as_str()]);
    command.arg((size + DATA).to_string());
    tools.run(&mut command, stop)?;

    let (host, login) = (keypair::generate("boot test")?, keypair::generate("boot test")?);
    let public = keypair::public_text(host.public_key())?;
    let user_data = UserData {
        hostname: "boot-test".into(),
        fqdn: None,
        authorized_keys: vec![keypair::public_text(login.public_key())?],
        host_key: BootstrapHostKey {
            private: Secret::new(keypair::to_text(&host)?.as_bytes().to_vec()),
            public: public.clone(),
        },
        node: NodeRecord { fleet: NODE.0.into(), node: NODE.1.into(), mark: "boot-test".into(), signer: public },
        archives: None,
    };
    let user_data = user_data.render(&crate::render::context::Context::new())?;
    let seed = seed::write(dir, &user_data, &cloud_init::meta_data("boot-test", "boot-test"))?;

    let ssh_port = free_port()?;
    let spec = Spec { disk: overlay, seed, firmware, vcpus: VCPUS, memory: MEMORY, network: Network::Own(ssh_port) };
    let begun = Instant::now();
    let mut machine = Machine::start(&spec, dir)?;
    let console = Console::default();
    if let Some(output) = machine.console() {
        let console = console.clone();
        std::thread::spawn(move || console.follow(output, &told));
    }
    let complaints = machine.complaints().map(|pipe| std::thread::spawn(move || std::io::read_to_string(pipe)));

    let target = Target::new(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)], ssh_port, MANAGEMENT_USER);
    let (accepted, login) = (HostKeys::one(host.public_key().clone()), login.into());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    // A machine that boots slowly may take a while for the key exchange as well.
    let timeouts = Timeouts { handshake: Duration::from_secs(120), ..Timeouts::default() };
    let connecting = Client::connect_when_up(&target, &login, &accepted, &timeouts, deadline);
    tokio::pin!(connecting);
    let client = loop {
        tokio::select! {
            connected = &mut connecting => break connected.map_err(Error::from),
            () = tokio::time::sleep(POLL) => {}
        }
        stop.check()?;
        if let Some(status) = machine.ended()? {
            let said = complaints.and_then(|thread| thread.join().ok()?.ok()).unwrap_or_default();
            let cause = format!("{}\n{}", console.tail(), crate::tool::tail(&said, 8));
            return Err(Error::failed(format!("the machine ended before anyone could log in ({status})"))
                .because(cause.trim().to_owned()));
        }
    };
    let client = client.map_err(|error| {
        let lines = format!("{}\nthe console's last lines:\n{}", error.one_line(), console.tail());
        Error::failed("nobody could log in to the machine").because(lines)
    })?;
    Ok(Booted { client, ssh_port, until_ssh: begun.elapsed().as_secs_f64(), firmware, console, _machine: machine })
}

impl Booted {
    /// Looks whether all is as it should be.
    ///
    /// # Errors
    /// Fails where the connection is lost; what does not hold is in the report.
    pub async fn check(&self) -> Result<Report> {
        let cloud_init = self.run("cloud-init status --wait --format json").await?;
        let mut checks = vec![cloud_init_check(&cloud_init)];
        for (name, command, expected) in CHECKS {
            let seen = self.run(command).await?;
            let passed = seen.trim() == expected;
            let mut seen = seen.trim().to_owned();
            if !passed && command == FAILED_UNITS {
                seen += &self.complaints(&seen).await?;
            }
            checks.push(Check { name, passed, seen });
        }
        if self.firmware == Firmware::Uefi {
            // The variable's last byte (UEFI 2.10, 3.3).
            let seen = self.run("od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-*").await?;
            let (passed, seen) = (seen.trim() == "1", seen.trim().to_owned());
            checks.push(Check { name: "Secure Boot is on", passed, seen });
        }
        let mut seconds = phases::phases(&self.run("systemd-analyze time").await?);
        seconds.insert("ssh".into(), self.until_ssh);
        let waited = phases::chain(&self.run("systemd-analyze critical-chain ssh.service").await?);
        let mut longest = phases::blame(&self.run("systemd-analyze blame").await?);
        longest.truncate(LONGEST);
        Ok(Report {
            firmware: self.firmware,
            emulated: self.run("systemd-detect-virt").await?.trim() == "qemu",
            kernel: self.run("uname -r").await?.trim().to_owned(),
            seconds,
            waited,
            longest,
            checks,
        })
    }

    /// What the units that failed had to say.
    async fn complaints(&self, failed: &str) -> Result<String> {
        let mut said = String::new();
        for unit in failed.lines().filter_map(|line| line.split_whitespace().next()) {
            // Names of units need no quotes in a shell but for these.
            let unit = unit.replace(['\\', '\''], "?");
            said.push('\n');
            said += &self.run(&format!("sudo -n journalctl -b --no-pager -o cat -n 12 -u '{unit}'")).await?;
        }
        Ok(said.trim_end().to_owned())
    }

    /// What a command says; how it ends does not matter.
    async fn run(&self, command: &str) -> Result<String> {
        let output = self.client.exec(command, "").await.map_err(|error| {
            let tail = self.console.tail();
            error.context(format!("the console's last lines:\n{tail}"))
        })?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Whether cloud-init finished, without an error that it got over either.
fn cloud_init_check(status: &str) -> Check {
    let name = "cloud-init finished without an error";
    let Ok(status) = serde_json::from_str::<serde_json::Value>(status) else {
        return Check { name, passed: false, seen: status.trim().to_owned() };
    };
    let empty = |key: &str| match &status[key] {
        serde_json::Value::Array(items) => items.is_empty(),
        serde_json::Value::Object(items) => items.is_empty(),
        _ => true,
    };
    let passed = status["status"] == "done" && empty("errors") && empty("recoverable_errors");
    let seen = if passed {
        "done".into()
    } else {
        format!("{}; errors: {}; recoverable: {}", status["status"], status["errors"], status["recoverable_errors"])
    };
    Check { name, passed, seen }
}

/// A folder for a machine's files, removed with the value.
///
/// # Errors
/// Fails as the file system does.
pub fn folder(cache_dir: &Utf8Path) -> Result<tempfile::TempDir> {
    fs_err::create_dir_all(cache_dir)?;
    tempfile::Builder::new().prefix("boot.").tempdir_in(cache_dir).context("making a folder for a machine")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cloud_init_got_over_is_told() {
        assert!(cloud_init_check(r#"{"status": "done", "errors": [], "recoverable_errors": {}}"#).passed);
        let check = cloud_init_check(r#"{"status": "done", "errors": [], "recoverable_errors": {"WARNING": ["x"]}}"#);
        assert!(!check.passed && check.seen.contains("WARNING"), "{check:?}");
        assert!(!cloud_init_check("").passed);
    }
}
