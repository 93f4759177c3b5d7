//! What the node is: read from files, without starting a program.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value, json};

use crate::Result;
use crate::node::node_record::NodeRecord;
use crate::node::{Paths, dpkg};
use crate::wire::plan::Facts;

/// Gathers the facts: `os` (`id`, `version`, `codename`, `name`), `arch`, `kernel`, `cpus`, `memory` (bytes),
/// `hostname`, `addresses` (all but loopback and link-local), `interfaces` (by name: `mac`, `mtu`, `up`), `disks` (by name:
/// `size` in bytes, `rotational`), `virtualization` (`none` where none is seen), `systemd` (whether it runs), `node`
/// (`fleet`, `id`, `mark`), `machine_id`, `boot_id`, `agent` (this program's version).
///
/// # Errors
/// Fails where what every Linux machine has cannot be read.
pub fn gather(paths: &Paths) -> Result<Facts> {
    let read = |path: &str| fs_err::read_to_string(paths.at(path)).unwrap_or_default();
    let line = |path: &str| read(path).trim().to_owned();
    let os = os_release(&read("/etc/os-release"));
    let uname = rustix::system::uname();
    let hostname =
        if paths.is_machine() { uname.nodename().to_string_lossy().into_owned() } else { line("/etc/hostname") };
    Ok(json!({
        "os": {
            "id": os.get("ID").cloned().unwrap_or_default(),
            "version": os.get("VERSION_ID").cloned().unwrap_or_default(),
            "codename": os.get("VERSION_CODENAME").cloned().unwrap_or_default(),
            "name": os.get("PRETTY_NAME").cloned().unwrap_or_default(),
        },
        "arch": arch(),
        "kernel": uname.release().to_string_lossy(),
        "cpus": std::thread::available_parallelism()?.get(),
        "memory": rustix::system::sysinfo().totalram * rustix::system::sysinfo().mem_unit as u64,
        "hostname": hostname,
        "addresses": addresses(&read("/proc/net/fib_trie"), &read("/proc/net/if_inet6")),
        "interfaces": interfaces(paths),
        "disks": disks(paths),
        "node": NodeRecord::read(paths).map(|node| json!({"fleet": node.fleet, "id": node.node, "mark": node.mark})).ok(),
        "virtualization": virtualization(&line("/run/systemd/container"), &read("/proc/cpuinfo"), &line("/sys/class/dmi/id/sys_vendor")),
        "systemd": paths.at("/run/systemd/system").is_dir(),
        "machine_id": line("/etc/machine-id"),
        "boot_id": boot_id(paths),
        "agent": crate::VERSION,
    }))
}

/// The versions of the packages that are installed, by name. Not among what is gathered: a thousand of them are a burden
/// for a plan that names none.
///
/// # Errors
/// Fails as [`dpkg::read`] does.
pub fn packages(paths: &Paths) -> Result<Value> {
    let installed = dpkg::read(paths)?.into_iter().filter(|(_, package)| package.installed);
    Ok(Value::Object(installed.map(|(name, package)| (name, package.version.into())).collect()))
}

/// Debian's name of this program's architecture.
pub fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "i386",
        other => other,
    }
}

/// Changes with every boot of the kernel; in a container, with every start of its init.
pub fn boot_id(paths: &Paths) -> String {
    let kernel = fs_err::read_to_string(paths.at("/proc/sys/kernel/random/boot_id")).unwrap_or_default();
    // A container shares the kernel's; the start time of its first process tells its boots apart.
    let started = fs_err::read_to_string(paths.at("/proc/1/stat"))
        .ok()
        .and_then(|stat| Some(stat.rsplit_once(") ")?.1.split(' ').nth(19)?.to_owned()))
        .unwrap_or_default();
    format!("{}-{started}", kernel.trim())
}

/// Parses os-release(5).
fn os_release(text: &str) -> Map<String, Value> {
    text.lines()
        .filter_map(|line| {
            let (name, value) = line.trim().split_once('=')?;
            let value = value.trim_matches(['"', '\'']);
            Some((name.to_owned(), Value::String(value.to_owned())))
        })
        .collect()
}

fn addresses(fib_trie: &str, if_inet6: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut last = "";
    for line in fib_trie.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address;
        } else if line.starts_with("/32 host LOCAL")
            && let Ok(address) = last.parse::<Ipv4Addr>()
            && !address.is_loopback()
            && !address.is_link_local()
            && !found.contains(&address.to_string())
        {
            found.push(address.to_string());
        }
    }
    for line in if_inet6.lines() {
        if let Some(bits) = line.split(' ').next().and_then(|hex| u128::from_str_radix(hex, 16).ok()) {
            let address = Ipv6Addr::from(bits);
            if !address.is_loopback() && !address.is_unicast_link_local() {
                found.push(address.to_string());
            }
        }
    }
    found
}

fn interfaces(paths: &Paths) -> Value {
    let of = |name: &str, field: &str| line_of(paths, &format!("/sys/class/net/{name}/{field}"));
    let found = entries(paths, "/sys/class/net").into_iter().filter(|name| name != "lo");
    let facts = found.map(|name| {
        let (mac, mtu) = (of(&name, "address"), of(&name, "mtu").parse::<u64>().ok());
        let up = of(&name, "operstate") == "up";
        (name, json!({"mac": mac, "mtu": mtu, "up": up}))
    });
    Value::Object(facts.collect())
}

/// Whole disks, not their partitions; none of the kernel's own (loop devices, RAM).
fn disks(paths: &Paths) -> Value {
    /// What the kernel counts sizes in, whatever the disk does (block/stat.rst).
    const SECTOR: u64 = 512;
    let of = |name: &str, field: &str| line_of(paths, &format!("/sys/block/{name}/{field}"));
    let is_disk = |name: &String| !["loop", "ram", "zram", "sr", "fd"].iter().any(|kind| name.starts_with(kind));
    let facts = entries(paths, "/sys/block").into_iter().filter(is_disk).map(|name| {
        let size = of(&name, "size").parse::<u64>().unwrap_or_default() * SECTOR;
        let rotational = of(&name, "queue/rotational") == "1";
        (name, json!({"size": size, "rotational": rotational}))
    });
    Value::Object(facts.collect())
}

fn line_of(paths: &Paths, path: &str) -> String {
    fs_err::read_to_string(paths.at(path)).unwrap_or_default().trim().to_owned()
}

fn entries(paths: &Paths, folder: &str) -> Vec<String> {
    let Ok(entries) = fs_err::read_dir(paths.at(folder)) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn virtualization(container: &str, cpuinfo: &str, vendor: &str) -> String {
    if !container.is_empty() {
        return container.to_owned();
    }
    let hypervisor = cpuinfo.lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor"));
    match (hypervisor, vendor) {
        (_, "QEMU") => "qemu".to_owned(),
        (true, _) => "vm".to_owned(),
        _ => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_facts() {
        let facts = gather(&Paths::default()).unwrap();
        assert!(facts["cpus"].as_u64().unwrap() >= 1);
        assert!(facts["memory"].as_u64().unwrap() > 1 << 20);
        assert!(!facts["os"]["id"].as_str().unwrap().is_empty());
        assert!(facts["boot_id"].as_str().unwrap().len() > 36);
    }

    #[test]
    fn addresses_leave_out_what_nobody_can_reach() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.1.0.2\n        /32 host LOCAL\n\
                    Local:\n     |-- 10.1.0.2\n        /32 host LOCAL\n     |-- 10.1.0.255\n        /32 link BROADCAST\n";
        let inet6 = "00000000000000000000000000000001 01 80 10 80 lo\nfd000000000000000000000000000002 02 40 00 80 host0\n\
                     fe800000000000000000000000000002 02 40 20 80 host0\n";
        assert_eq!(addresses(trie, inet6), ["10.1.0.2", "fd00::2"]);
    }

    #[test]
    fn disks_and_interfaces_are_told_by_name() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(camino::Utf8PathBuf::from_path_buf(root.path().to_owned()).unwrap());
        let files = [
            ("/sys/block/vda/size", "2048\n"),
            ("/sys/block/vda/queue/rotational", "1\n"),
            ("/sys/block/loop0/size", "8\n"),
            ("/sys/class/net/host0/address", "02:00:00:00:00:01\n"),
            ("/sys/class/net/host0/mtu", "1500\n"),
            ("/sys/class/net/host0/operstate", "up\n"),
            ("/sys/class/net/lo/mtu", "65536\n"),
        ];
        for (path, text) in files {
            std::fs::create_dir_all(paths.at(path).parent().unwrap()).unwrap();
            std::fs::write(paths.at(path), text).unwrap();
        }
        assert_eq!(disks(&paths), json!({"vda": {"size": 1_048_576, "rotational": true}}));
        assert_eq!(interfaces(&paths), json!({"host0": {"mac": "02:00:00:00:00:01", "mtu": 1500, "up": true}}));
    }

    #[test]
    fn os_release_is_unquoted() {
        let os = os_release("PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nID=debian\nVERSION_ID=\"13\"\n");
        assert_eq!(os["ID"], "debian");
        assert_eq!(os["VERSION_ID"], "13");
    }
}
