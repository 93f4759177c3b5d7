//! `stead doctor`: what this machine lacks.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Serialize;

use super::printer::{GOOD, Printer};
use crate::config::Config;
use crate::error::Context;
use crate::fleet::scalar::Bytes;
use crate::image::sources::KEYRING;
use crate::image::stages::Stages;
use crate::image::vm::qemu;
use crate::image::{build, rootfs};
use crate::provider::local::left_over::{self, LeftOver};
use crate::provider::local::{VM_TOOLS, tools};
use crate::tool::Tool;
use crate::{Error, Result};

/// Says what this machine lacks, and with --fix installs it
///
/// Looks for the programs that images and local nodes need, for room on the disk, and for what fleets that are gone have
/// left on this host. Installs Debian packages only, none of which acts on the host by itself.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Install what is missing (needs root), after listing it
    #[arg(long)]
    fix: bool,
}

const SETPRIV: Tool = Tool { program: "setpriv", package: "util-linux", purpose: "tie a local node to its supervisor" };
const SETSID: Tool = Tool { program: "setsid", package: "util-linux", purpose: "let local nodes outlive a command" };
const APT_GET: Tool = Tool { program: "apt-get", package: "apt", purpose: "install what is missing" };
/// What is no program, and needed as well: what, the file, what for, the package.
const FILES: [(&str, &str, &str, &str); 2] = [
    ("Debian's keys", KEYRING, "verify packages", "debian-archive-keyring"),
    ("UEFI for QEMU", qemu::UEFI_CODE, "boot an image's disk with UEFI", "ovmf"),
];
/// Room for an image and some nodes, in bytes.
const ROOM: u64 = 3 * build::ROOM;

#[derive(Serialize)]
struct Finding {
    what: String,
    ok: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<&'static str>,
}

/// Runs the command.
///
/// # Errors
/// Fails where something is missing and was not installed.
pub(super) fn run(args: &Args, config: &Config, printer: &Printer) -> Result<()> {
    let mut findings = look(config)?;
    if args.fix && findings.iter().any(|finding| !finding.ok) {
        fix(&findings, config, printer)?;
        findings = look(config)?;
    }
    let missing = findings.iter().filter(|finding| !finding.ok).count();
    printer.data(&findings, text(&findings))?;
    if missing == 0 {
        return Ok(());
    }
    let error = Error::failed(format!("{missing} of {} checks found something missing", findings.len()));
    let packages = packages(&findings);
    Err(if packages.is_empty() {
        error
    } else {
        error.hint(format!("`stead doctor --fix` installs {}", packages.into_iter().collect::<Vec<_>>().join(", ")))
    })
}

fn look(config: &Config) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for tool in tools::ALL.into_iter().chain(VM_TOOLS).chain([rootfs::MMDEBSTRAP, SETPRIV, SETSID]) {
        let found = tool.find();
        findings.push(Finding {
            what: tool.program.into(),
            ok: found.is_some(),
            detail: found.map_or_else(
                || format!("not installed; needed to {}", tool.purpose),
                |path| path.display().to_string(),
            ),
            package: Some(tool.package),
        });
    }
    for (what, file, purpose, package) in FILES {
        let ok = std::path::Path::new(file).exists();
        let detail = if ok { file.into() } else { format!("not installed; needed to {purpose}") };
        findings.push(Finding { what: what.into(), ok, detail, package: Some(package) });
    }
    findings.push(room(config)?);
    findings.extend(left_over(config)?);
    Ok(findings)
}

fn room(config: &Config) -> Result<Finding> {
    let free = Stages::new(&config.cache_dir).free()?;
    let detail = format!("{} free for {}", Bytes(free).rounded(), config.cache_dir);
    Ok(Finding { what: "disk space".into(), ok: free >= ROOM, detail, package: None })
}

/// Fleets that took something from this host and whose folder is gone.
fn left_over(config: &Config) -> Result<Vec<Finding>> {
    let finding = |left: LeftOver| {
        let nodes = match left.nodes.len() {
            0 => String::new(),
            1 => " and a node that runs".to_owned(),
            several => format!(" and {several} nodes that run"),
        };
        let bridge = &left.taken.bridge;
        let detail = match &left.moved_to {
            Some(now) => format!("moved to {now} while its nodes run; `stead --fleet {now} up` sets its record right"),
            None => {
                format!("its folder {} is gone; it left the bridge {bridge}{nodes}; `--fix` ends them", left.taken.dir)
            }
        };
        Finding { what: format!("fleet {}", left.fleet), ok: left.moved_to.is_some(), detail, package: None }
    };
    Ok(left_over::look(&config.run_dir)?.into_iter().map(finding).collect())
}

fn packages(findings: &[Finding]) -> BTreeSet<&'static str> {
    findings.iter().filter(|finding| !finding.ok).filter_map(|finding| finding.package).collect()
}

fn fix(findings: &[Finding], config: &Config, printer: &Printer) -> Result<()> {
    if !config.root {
        return Err(Error::failed("installing packages needs root").hint("run `sudo stead doctor --fix`"));
    }
    let packages: Vec<&str> = packages(findings).into_iter().collect();
    if !packages.is_empty() {
        install(&packages, &findings.iter().filter_map(|finding| finding.package).collect(), printer)?;
    }
    // What was moved and runs is not left over.
    for left in left_over::look(&config.run_dir)?.into_iter().filter(|left| left.moved_to.is_none()) {
        printer.say(format_args!(
            "Ending what fleet {} left: {} nodes, the bridge {}",
            left.fleet,
            left.nodes.len(),
            left.taken.bridge
        ));
        left.end(&config.run_dir)?;
    }
    Ok(())
}

/// Installs packages, and removes none; but those in `ours` that came from elsewhere than the rest of their kind (backports)
/// come anew from where that is.
fn install(packages: &[&str], ours: &BTreeSet<&str>, printer: &Printer) -> Result<()> {
    const INSTALL: &[&str] = &["install", "-qq", "--no-install-recommends"];
    apt(&["update", "-qq"])?;
    let leaving = leaving(&apt(&[INSTALL, &["--simulate"], packages].concat())?);
    let (anew, others): (Vec<&str>, Vec<&str>) =
        leaving.iter().map(String::as_str).partition(|package| ours.contains(package));
    if !others.is_empty() {
        return Err(Error::failed(format!("apt-get would remove {}", others.join(", ")))
            .hint(format!("where it can be missed, install by hand: `apt-get install {}`", packages.join(" "))));
    }
    printer.say(format_args!("Installing with apt-get: {}", packages.join(", ")));
    apt(&[INSTALL, &["--yes"], packages].concat())?;
    if !anew.is_empty() {
        printer.say(format_args!("Installing anew, in a version that goes with them: {}", anew.join(", ")));
        apt(&[INSTALL, &["--yes"], &anew].concat())?;
    }
    Ok(())
}

/// The packages that would be removed, by what `apt-get --simulate` says: `Remv NAME [VERSION] …`.
fn leaving(said: &str) -> Vec<String> {
    let names = said.lines().filter_map(|line| line.strip_prefix("Remv ")?.split_whitespace().next());
    // With the architecture where it is not the host's own.
    names.map(str::to_owned).collect()
}

/// Gives what it said.
fn apt(arguments: &[&str]) -> Result<String> {
    let output = APT_GET.command()?.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(APT_GET.failure(output.status, &String::from_utf8_lossy(&output.stderr))).context("installing what is missing")
}

fn text(findings: &[Finding]) -> String {
    findings.iter().fold(String::new(), |mut text, finding| {
        let word = if finding.ok { format!("{GOOD}ok{GOOD:#}     ") } else { "missing".into() };
        let _ = writeln!(text, "{word}  {:<16} {}", finding.what, finding.detail);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::leaving;

    #[test]
    fn what_would_be_removed_is_read() {
        let said = "Reading package lists...\nRemv qemu-utils [1:10.0.2+ds-2+deb13u1~bpo12+1]\n\
                    Inst qemu-system-x86 (1:7.2+dfsg-7 Debian:12/stable [amd64])\nRemv libfoo:i386 [1] [bar:amd64 ]\n";
        assert_eq!(leaving(said), ["qemu-utils", "libfoo:i386"]);
        assert!(leaving("").is_empty());
    }
}
