//! `firewall`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::unit::enabling;
use super::{check_path, content};
use crate::error::Context;
use crate::node::machine::{Change, Converge, Inputs, Machine, Touch};
use crate::node::nft::Rules;
use crate::node::{Paths, files, systemd};
use crate::wire::action::{FileCommon, Firewall};
use crate::{Error, Result};

/// What [`SERVICE`] loads.
const FILE: &str = "/etc/nftables.conf";
/// What loads the rules at boot.
const SERVICE: &str = "nftables.service";
/// The version of the record.
const VERSION: u32 = 1;

impl Converge for Firewall {
    fn changes(&self, machine: &Machine, inputs: &Inputs) -> Result<Vec<Change>> {
        let path = self.path.as_deref().unwrap_or(FILE).to_owned();
        let text = match (&self.content, inputs.held()) {
            (Some(text), None) => text.as_bytes(),
            (None, Some(text)) => text,
            _ => return Err(Error::input("give `template` or `content`, one of them")),
        };
        let common = FileCommon { mode: Some("0640".to_owned()), ..FileCommon::default() };
        content::need_folder(machine, &path, common.state)?;
        let service = systemd::status(machine, SERVICE)?;
        if !service.exists() && !machine.may_come() {
            return Err(Error::failed(format!("there is no unit {SERVICE} on the node"))
                .hint("bring it with a `package` task before this one: nftables"));
        }
        let text = std::str::from_utf8(text).map_err(|error| Error::failed("the rules are no text").because(error))?;
        let (rules, sha256) = (Rules::read(text), hex::encode(Sha256::digest(text)));
        let old = old(machine, &path)?;
        let is_new = old.as_deref() != Some(text);
        let record = Record::load(&machine.paths)?;
        let loaded = record.loaded.get(&path);
        // What the file held before, and what we loaded of it: either may be in the kernel.
        let mut before = old.as_deref().map(Rules::read).unwrap_or_default().tables;
        before.extend(loaded.into_iter().flat_map(|loaded| loaded.tables.iter().cloned()));
        let is_loaded = || -> Result<bool> {
            let boot_id = machine.facts["boot_id"].as_str().unwrap_or_default();
            Ok(match loaded.filter(|loaded| loaded.boot_id == boot_id) {
                Some(loaded) => loaded.sha256 == sha256,
                // Nobody but the boot has loaded the file since it is as it is now.
                None => service.is_running(),
            } && rules.are_there(machine)?)
        };
        let mut changes = Vec::new();
        if is_new || !(machine.image || is_loaded()?) {
            rules.check(machine, &path, &before)?;
            if !machine.image {
                changes.push(loading(path.clone(), rules, before, sha256));
            }
        }
        changes.extend(content::changes(machine, &path, Some(text.as_bytes()), &common)?);
        if !service.is_enabled() || !service.exists() {
            changes.push(enabling(SERVICE.to_owned(), true));
        }
        Ok(changes)
    }
}

/// The file's present content, where it is a file with text.
fn old(machine: &Machine, path: &str) -> Result<Option<String>> {
    let place = machine.paths.at(check_path(path)?);
    if !place.symlink_metadata().is_ok_and(|found| found.is_file()) {
        return Ok(None);
    }
    let content = fs_err::read(place)?;
    Ok(String::from_utf8(content).ok())
}

/// Comes before the file's change: rules that the kernel refuses are not to be what the next boot loads.
fn loading(path: String, rules: Rules, before: BTreeSet<String>, sha256: String) -> Change {
    let change = Change::new(format!("load the rules for {path}"), move |machine, _| {
        rules.load(machine, &path, &before)?;
        let boot_id = machine.facts["boot_id"].as_str().unwrap_or_default().to_owned();
        let mut record = Record::load(&machine.paths)?;
        record.loaded.insert(path, Loaded { boot_id, sha256, tables: rules.tables });
        record.save(&machine.paths)
    });
    change.touching(Touch::Ruleset)
}

/// What was loaded last, by the file it stands in.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    version: u32,
    loaded: BTreeMap<String, Loaded>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Loaded {
    boot_id: String,
    sha256: String,
    tables: BTreeSet<String>,
}

impl Record {
    fn load(paths: &Paths) -> Result<Self> {
        let none = Self { version: VERSION, loaded: BTreeMap::new() };
        match fs_err::read(paths.rules()) {
            // What is not known is loaded once more, which costs nothing.
            Ok(text) => {
                Ok(serde_json::from_slice(&text).ok().filter(|record: &Self| record.version == VERSION).unwrap_or(none))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(none),
            Err(error) => Err(error).context("reading which rules were loaded"),
        }
    }

    fn save(&self, paths: &Paths) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(|error| Error::failed("noting what was loaded").because(error))?;
        files::make_folder(&paths.state_dir(), 0o700)?;
        files::replace(&paths.rules(), &text, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use serde_json::json;

    use super::super::testing::Bench;
    use super::*;
    use crate::node::exec::{Output, Run};
    use crate::node::files::Attributes;

    /// A node whose kernel has these tables, and whose service is in that state.
    struct Node {
        bench: Bench,
        kernel: Rc<RefCell<BTreeSet<String>>>,
        active: Rc<RefCell<&'static str>>,
    }

    fn node() -> Node {
        let (kernel, active) = (Rc::new(RefCell::new(BTreeSet::new())), Rc::new(RefCell::new("active")));
        let (tables, state) = (kernel.clone(), active.clone());
        let bench = Bench::answering(move |run| answer(run, &tables, *state.borrow()));
        Node { bench, kernel, active }
    }

    fn answer(run: &Run, kernel: &RefCell<BTreeSet<String>>, active: &str) -> Output {
        let argv: Vec<&str> = run.argv.iter().map(String::as_str).collect();
        let text = String::from_utf8(run.stdin.clone().unwrap_or_default()).unwrap();
        let mut output = Output { status: i32::from(text.contains("bad")), ..Output::default() };
        output.stderr = format!("/dev/stdin:1:1-3: Error: {text}");
        match argv[..] {
            ["systemctl", "show", ..] => {
                output.stdout = format!("LoadState=loaded\nActiveState={active}\nUnitFileState=enabled\n");
            }
            ["systemctl", "is-enabled", ..] => output.stdout = "disabled\n".into(),
            ["nft", "list", "tables"] => {
                output.stdout = kernel.borrow().iter().map(|name| format!("table {name}\n")).collect();
            }
            ["nft", "-f", "-"] if text.contains("refused") => output.status = 1,
            ["nft", "-f", "-"] => *kernel.borrow_mut() = Rules::read(&text).tables,
            _ => {}
        }
        output
    }

    fn task(content: &str) -> serde_json::Value {
        json!({"firewall": {"content": content}})
    }

    const LOAD: &str = "load the rules for /etc/nftables.conf";

    #[test]
    fn rules_are_checked_loaded_and_written() {
        let Node { bench, kernel, .. } = node();
        std::fs::write(bench.at("/etc/nftables.conf"), "table inet old {}\n").unwrap();
        let told = [LOAD, "change /etc/nftables.conf"];
        assert_eq!(bench.check(task("table inet a {}\n")).unwrap(), told);
        assert!(bench.ran().iter().all(|run| run != "nft -f -") && kernel.borrow().is_empty());
        assert_eq!(bench.apply(task("table inet a {}\n")).unwrap(), told);
        assert_eq!(bench.read("/etc/nftables.conf"), "table inet a {}\n");
        assert_eq!(Attributes::of(&bench.at("/etc/nftables.conf").metadata().unwrap()).mode, 0o640);
        assert!(kernel.borrow().contains("inet a"));
        bench.ran();
        assert!(bench.check(task("table inet a {}\n")).unwrap().is_empty());
        let asked = bench.ran();
        assert_eq!(asked.len(), 2, "systemd and nft are asked once each: {asked:?}");
        // Others' tables are not ours to look at; that ours is gone is.
        kernel.borrow_mut().insert("ip docker".to_owned());
        assert!(bench.check(task("table inet a {}\n")).unwrap().is_empty());
        kernel.borrow_mut().remove("inet a");
        assert_eq!(bench.apply(task("table inet a {}\n")).unwrap(), [LOAD]);
    }

    #[test]
    fn what_the_boot_has_loaded_is_not_loaded_again() {
        let Node { mut bench, kernel, active } = node();
        files::write(&bench.at("/etc/nftables.conf"), b"table inet a {}\n", own()).unwrap();
        kernel.borrow_mut().insert("inet a".to_owned());
        assert!(bench.check(task("table inet a {}\n")).unwrap().is_empty(), "an image brought it");
        bench.apply(task("table inet b {}\n")).unwrap();
        bench.machine.facts["boot_id"] = json!("the next one");
        assert!(bench.check(task("table inet b {}\n")).unwrap().is_empty(), "the service has loaded it");
        *active.borrow_mut() = "inactive";
        assert_eq!(bench.apply(task("table inet b {}\n")).unwrap(), [LOAD], "it is loaded without it");
    }

    fn own() -> Attributes {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Attributes { uid, gid, mode: 0o640 }
    }

    #[test]
    fn wrong_rules_are_not_written() {
        let Node { bench, .. } = node();
        for text in ["bad", "table inet a {} # refused"] {
            let error = bench.apply(task(text)).unwrap_err();
            assert!(error.to_string().contains("/etc/nftables.conf:1:1-3") && !error.hints().is_empty(), "{error}");
            assert!(!bench.at("/etc/nftables.conf").exists());
        }
        assert!(bench.check(task("bad")).is_err(), "a check tells of it as well");
        assert!(bench.check(json!({"firewall": {}})).is_err());
        let elsewhere = json!({"firewall": {"content": "", "path": "/none/rules"}});
        assert!(bench.check(elsewhere).unwrap_err().hints()[0].contains("directory"));
    }

    #[test]
    fn in_an_image_rules_are_for_the_next_boot() {
        let Node { mut bench, kernel, .. } = node();
        bench.machine.image = true;
        let told = bench.apply_once(json!({"firewall": {"template": "table inet a {}\n"}})).unwrap();
        assert_eq!(told, ["create /etc/nftables.conf", "enable nftables.service"]);
        assert_eq!(Attributes::of(&bench.at("/etc/nftables.conf").metadata().unwrap()).mode, 0o640);
        assert!(kernel.borrow().is_empty() && !bench.at("/var/lib/stead/rules.json").exists());
    }

    #[test]
    fn the_guard_can_take_it_back() {
        let Node { bench, .. } = node();
        let action = serde_json::from_value(task("table inet a {}\n")).unwrap();
        let inputs = Inputs { content: None, timeout: None };
        let changes = super::super::changes(&action, &bench.machine, &inputs).unwrap();
        let touches: Vec<&Touch> = changes.iter().flat_map(|change| &change.touches).collect();
        assert_eq!(touches, [&Touch::Ruleset, &Touch::Path("/etc/nftables.conf".into())]);
    }
}
