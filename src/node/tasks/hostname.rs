//! `hostname`.

use super::content;
use super::text::{self, Edit, Lines};
use crate::Result;
use crate::error::Context;
use crate::node::Paths;
use crate::node::machine::{Change, Converge, Inputs, Machine};
use crate::node::made::Made;
use crate::wire::action::{FileCommon, Hostname, Presence, check_hostname};

const FILE: &str = "/etc/hostname";
const HOSTS: &str = "/etc/hosts";
/// The address that Debian gives a machine's name (Debian Reference, 5.1.1).
const ADDRESS: &str = "127.0.1.1";
const KERNEL: &str = "/proc/sys/kernel/hostname";
/// What has cloud-init leave the name alone.
const CLOUD: &str = "/etc/cloud/cloud.cfg.d/91_stead_hostname.cfg";

impl Converge for Hostname {
    fn changes(&self, machine: &Machine, _: &Inputs) -> Result<Vec<Change>> {
        check_hostname(&self.name)?;
        let old = text::read(machine, FILE)?.unwrap_or_default();
        let mut changes = Vec::new();
        // First, while the old name can still be told.
        if machine.paths.at(HOSTS).exists() {
            let edit = Edit { path: HOSTS, state: Presence::Present, ..Edit::default() };
            changes.extend(text::changes(machine, &edit, |lines| {
                rename(lines, old.trim(), &self.name);
                Ok(())
            })?);
        }
        let line = format!("{}\n", self.name);
        changes.extend(content::changes(machine, FILE, Some(line.as_bytes()), &FileCommon::default())?);
        if machine.paths.at("/etc/cloud").is_dir() {
            changes.extend(content::own(machine, CLOUD, Some("preserve_hostname: true\n"))?);
        }
        if !machine.image && fs_err::read_to_string(machine.paths.at(KERNEL))?.trim_end() != self.name {
            let name = self.name.clone();
            changes.push(Change::new(format!("call the machine {name}"), move |machine, _| set(&machine.paths, &name)));
        }
        Ok(changes)
    }

    fn makes(&self) -> Vec<Made> {
        content::made_file(CLOUD, true)
    }
}

/// Gives the kernel the name. Below another root than `/`, in tests, it is not the machine's kernel.
fn set(paths: &Paths, name: &str) -> Result<()> {
    if !paths.is_machine() {
        return Ok(fs_err::write(paths.at(KERNEL), name)?);
    }
    rustix::system::sethostname(name.as_bytes()).map_err(std::io::Error::from).context("giving the kernel its name")
}

/// Has the hosts' line for 127.0.1.1 name the machine.
fn rename(lines: &mut Lines, old: &str, name: &str) {
    let short = name.split('.').next().unwrap_or(name);
    let is_ours = |line: &str| words(line).next() == Some(ADDRESS);
    if lines.bodies().any(|line| is_ours(line) && words(line).any(|word| word == name)) {
        return;
    }
    let Some((at, line)) = lines.bodies().enumerate().find(|(_, line)| is_ours(line)) else {
        let local = lines.bodies().rposition(|line| words(line).next() == Some("127.0.0.1"));
        let at = local.map_or(0, |at| at + 1);
        let names = if name == short { name.to_owned() } else { format!("{name} {short}") };
        lines.splice(at..at, &[&format!("{ADDRESS}\t{names}")]);
        return;
    };
    let old_short = old.split('.').next().unwrap_or(old);
    let mut names = Vec::new();
    for word in words(line).skip(1) {
        let domain =
            word.strip_prefix(old_short).filter(|rest| !old.is_empty() && (rest.is_empty() || rest.starts_with('.')));
        // A new name with a domain brings its own.
        let new = match domain {
            Some(domain) if !domain.is_empty() && name == short => format!("{short}{domain}"),
            Some(domain) if !domain.is_empty() => name.to_owned(),
            Some(_) => short.to_owned(),
            None => word.to_owned(),
        };
        if !names.contains(&new) {
            names.push(new);
        }
    }
    if !names.iter().any(|other| other == name) {
        names.insert(0, name.to_owned());
    }
    let comment = line.split_once('#').map_or(String::new(), |(_, comment)| format!(" #{comment}"));
    let line = format!("{ADDRESS}\t{}{comment}", names.join(" "));
    lines.replace(at, &line);
}

/// The words of a line of hosts(5), without its comment.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split('#').next().unwrap_or_default().split_whitespace()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::Bench;

    fn bench() -> Bench {
        let bench = Bench::new();
        std::fs::create_dir_all(bench.at("/proc/sys/kernel")).unwrap();
        std::fs::write(bench.at("/proc/sys/kernel/hostname"), "old\n").unwrap();
        std::fs::write(bench.at("/etc/hostname"), "old\n").unwrap();
        bench
    }

    fn hostname(name: &str) -> Value {
        json!({"hostname": {"name": name}})
    }

    #[test]
    fn a_machine_gets_its_name_everywhere() {
        let bench = bench();
        std::fs::create_dir_all(bench.at("/etc/cloud")).unwrap();
        std::fs::write(bench.at("/etc/hosts"), "127.0.0.1\tlocalhost\n127.0.1.1 old.example.org old db # us\n::1 ip6")
            .unwrap();
        let told = bench.check(hostname("new")).unwrap();
        assert_eq!(bench.read("/etc/hostname"), "old\n", "a check changes nothing");
        assert_eq!(bench.apply(hostname("new")).unwrap(), told);
        assert_eq!(bench.read("/etc/hostname"), "new\n");
        assert_eq!(bench.read("/proc/sys/kernel/hostname"), "new");
        let hosts = "127.0.0.1\tlocalhost\n127.0.1.1\tnew.example.org new db # us\n::1 ip6";
        assert_eq!(bench.read("/etc/hosts"), hosts);
        assert_eq!(bench.read("/etc/cloud/cloud.cfg.d/91_stead_hostname.cfg"), "preserve_hostname: true\n");
        // As cloud-init adds to it, where it manages the file.
        std::fs::write(bench.at("/etc/hosts"), format!("127.0.1.1 x x\n{hosts}")).unwrap();
        assert!(bench.apply(hostname("new")).unwrap().is_empty());
    }

    #[test]
    fn the_hosts_line_is_kept_in_step() {
        for (hosts, name, expected) in [
            ("127.0.0.1 localhost\n", "web", "127.0.0.1 localhost\n127.0.1.1\tweb\n"),
            ("127.0.0.1 localhost\n", "web.example.org", "127.0.0.1 localhost\n127.0.1.1\tweb.example.org web\n"),
            ("127.0.1.1 old.lan old", "web.example.org", "127.0.1.1\tweb.example.org web\n"),
            ("127.0.1.1 older\n", "web", "127.0.1.1\tweb older\n"),
            ("#127.0.1.1 web\n", "web", "127.0.1.1\tweb\n#127.0.1.1 web\n"),
        ] {
            let bench = bench();
            std::fs::write(bench.at("/etc/hosts"), hosts).unwrap();
            bench.apply(hostname(name)).unwrap();
            assert_eq!(bench.read("/etc/hosts"), expected);
        }
    }

    #[test]
    fn in_an_image_only_files_are_written() {
        let mut bench = bench();
        bench.machine.image = true;
        assert_eq!(bench.apply(hostname("new")).unwrap(), ["change /etc/hostname"]);
        assert_eq!(bench.read("/proc/sys/kernel/hostname"), "old\n");
        assert!(!bench.at("/etc/hosts").exists());
        assert!(bench.check(hostname("no_name")).unwrap_err().hints()[0].contains("letters"));
    }
}
