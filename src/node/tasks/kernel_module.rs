//! `kernel_module`.

use super::{content, text};
use crate::node::exec::Run;
use crate::node::machine::{Change, Converge, Inputs, Machine};
use crate::node::made::Made;
use crate::wire::action::{Action, KernelModule, ModuleState, check_module, check_params};
use crate::{Error, Result};

/// The modules that systemd loads at boot; one file for all of ours (modules-load.d(5)).
const LOADED: &str = "/etc/modules-load.d/90-stead.conf";
/// What a machine that UEFI boots reads its boot loader with.
const FOR_UEFI: [&str; 2] = ["fat", "vfat"];

impl Converge for KernelModule {
    fn changes(&self, machine: &Machine, _: &Inputs) -> Result<Vec<Change>> {
        check_module(&self.name)?;
        self.params.as_deref().map_or(Ok(()), check_params)?;
        let name = plain(&self.name);
        let is_blocked = self.state == ModuleState::Blocked;
        let may_need_uefi = machine.image || machine.paths.at("/sys/firmware/efi").exists();
        if is_blocked && may_need_uefi && FOR_UEFI.contains(&name.as_str()) {
            return Err(Error::failed(format!(
                "{name} is not blocked: UEFI machines read their boot partition with it"
            ))
            .hint("leave it out, or block it only where facts tell that the machine boots otherwise"));
        }
        let mut listed = listing(machine, &name, self.state == ModuleState::Loaded)?;
        let options = self.params.as_ref().map(|params| format!("options {name} {}\n", params.trim()));
        let mut options = content::own(machine, &format!("/etc/modprobe.d/90-stead-{name}.conf"), options.as_deref())?;
        let block = is_blocked.then(|| format!("blacklist {name}\ninstall {name} /bin/false\n"));
        let block_file = format!("/etc/modprobe.d/90-stead-block-{name}.conf");
        let mut block = content::own(machine, &block_file, block.as_deref())?;
        let mut now = None;
        if machine.has_own_kernel() && self.state != ModuleState::Absent {
            match (self.state, Status::of(machine, &name)) {
                (ModuleState::Loaded, Status::Missing) if !machine.may_come() => return Err(missing(machine, &name)),
                (ModuleState::Loaded, Status::Idle | Status::Missing) => now = Some(probing("load", &["--"], &name)),
                (ModuleState::Loaded, Status::Loaded { .. }) => {
                    say(&mut options, "it is loaded already, and heeds this when it is loaded anew");
                }
                (ModuleState::Loaded, Status::BuiltIn) => {
                    say(&mut options, "it is built into the kernel, and heeds the boot loader's parameters only");
                }
                (_, Status::Loaded { used: false }) => now = Some(probing("unload", &["-r", "--"], &name)),
                (_, Status::Loaded { used: true }) => say(&mut block, "it is in use, and stays until the next boot"),
                (_, Status::BuiltIn) => say(&mut block, "it is built into this kernel, where nothing keeps it out"),
                (_, Status::Idle | Status::Missing) => {}
            }
        }
        listed.extend(options.into_iter().chain(block).chain(now));
        Ok(listed)
    }

    fn makes(&self) -> Vec<Made> {
        let removal = KernelModule { name: plain(&self.name), state: ModuleState::Absent, ..KernelModule::default() };
        let makes = self.state != ModuleState::Absent;
        makes.then(|| Made::Task(Box::new(Action::KernelModule(removal)))).into_iter().collect()
    }
}

/// A name as the kernel spells it.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

/// The list of what is loaded at boot, with this module or without.
fn listing(machine: &Machine, name: &str, wanted: bool) -> Result<Vec<Change>> {
    let old = text::read(machine, LOADED)?.unwrap_or_default();
    let mut names: Vec<&str> = old.lines().filter(|line| plain(line.trim()) != name).collect();
    if wanted {
        names.push(name);
    }
    names.sort_unstable();
    let new: String = names.iter().flat_map(|name| [*name, "\n"]).collect();
    content::own(machine, LOADED, Some(new.as_str()).filter(|new| !new.is_empty()))
}

/// Adds to what a change tells.
fn say(changes: &mut [Change], what: &str) {
    if let Some(change) = changes.last_mut() {
        change.message.push_str(&format!(" ({what})"));
    }
}

/// modprobe knows what else a module needs, and its parameters.
fn probing(verb: &str, options: &[&str], name: &str) -> Change {
    let run = Run::new(["modprobe"].iter().chain(options).chain([&name]).copied());
    let hint = format!("`modprobe -v {name}` and `dmesg` on the node tell more");
    Change::new(format!("{verb} the kernel module {name}"), move |machine, _| {
        machine.commands.must(&run).map(drop).map_err(|error| error.hint(hint))
    })
}

fn missing(machine: &Machine, name: &str) -> Error {
    let release = release(machine);
    Error::failed(format!("the kernel {release} has no module {name}")).hint(format!(
        "look for its own name in /lib/modules/{release}; where that folder is gone, the machine waits to be booted \
         with a newer kernel"
    ))
}

fn release(machine: &Machine) -> &str {
    machine.facts["kernel"].as_str().unwrap_or_default()
}

/// What the running kernel has of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    BuiltIn,
    Loaded { used: bool },
    Idle,
    Missing,
}

impl Status {
    fn of(machine: &Machine, name: &str) -> Self {
        let read = |path: &str| fs_err::read_to_string(machine.paths.at(path)).unwrap_or_default();
        // Name, size, references, modules that refer to it (proc_modules(5)).
        let loaded = read("/proc/modules").lines().find_map(|line| {
            let mut words = line.split(' ');
            (words.next() == Some(name)).then(|| words.nth(1) != Some("0"))
        });
        if let Some(used) = loaded {
            return Status::Loaded { used };
        }
        let folder = format!("/lib/modules/{}", release(machine));
        let has = |list: &str| {
            let file_name = |line: &str| line.split(':').next().and_then(|path| path.rsplit('/').next()).map(plain);
            let own = format!("{name}.ko");
            let is_own =
                |file: String| file.strip_prefix(&own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            read(&format!("{folder}/{list}")).lines().filter_map(file_name).any(is_own)
        };
        if has("modules.builtin") {
            Status::BuiltIn
        } else if has("modules.dep") {
            Status::Idle
        } else {
            Status::Missing
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::Bench;

    /// A machine with a kernel of its own, and what that has loaded.
    fn bench(loaded: &str) -> Bench {
        let mut bench = Bench::new();
        bench.machine.facts["kernel"] = json!("6.12");
        bench.machine.facts["virtualization"] = json!("none");
        for folder in ["/proc", "/lib/modules/6.12", "/etc/modprobe.d", "/etc/modules-load.d"] {
            std::fs::create_dir_all(bench.at(folder)).unwrap();
        }
        std::fs::write(bench.at("/proc/modules"), loaded).unwrap();
        std::fs::write(bench.at("/lib/modules/6.12/modules.builtin"), "kernel/fs/ext4/ext4.ko\n").unwrap();
        let depends =
            "kernel/drivers/usb/usb-storage.ko.xz: kernel/drivers/scsi/scsi_mod.ko.xz\nkernel/br_netfilter.ko:\n";
        std::fs::write(bench.at("/lib/modules/6.12/modules.dep"), depends).unwrap();
        bench
    }

    fn module(name: &str, state: &str) -> Value {
        json!({"kernel_module": {"name": name, "state": state}})
    }

    const LIST: &str = "/etc/modules-load.d/90-stead.conf";

    #[test]
    fn a_module_is_loaded_now_and_at_every_boot() {
        let bench = bench("");
        let task = json!({"kernel_module": {"name": "usb-storage", "params": "quirks=a:b"}});
        let told = bench.check(task.clone()).unwrap();
        assert!(bench.ran().is_empty() && !bench.at(LIST).exists(), "a check changes nothing");
        assert_eq!(bench.apply_once(task.clone()).unwrap(), told);
        assert_eq!(told.last().unwrap(), "load the kernel module usb_storage");
        assert_eq!(bench.ran(), ["modprobe -- usb_storage"]);
        assert_eq!(bench.read("/etc/modprobe.d/90-stead-usb_storage.conf"), "options usb_storage quirks=a:b\n");
        std::fs::write(bench.at("/proc/modules"), "usb_storage 81920 0 - Live 0x0\n").unwrap();
        assert!(bench.apply(task).unwrap().is_empty());
        bench.apply_once(module("br_netfilter", "loaded")).unwrap();
        assert_eq!(bench.read(LIST), "br_netfilter\nusb_storage\n");
        let other = json!({"kernel_module": {"name": "usb_storage", "params": "quirks=c"}});
        assert!(
            bench.apply(other).unwrap()[0].ends_with("(it is loaded already, and heeds this when it is loaded anew)")
        );
        assert_eq!(bench.apply(module("usb-storage", "absent")).unwrap().len(), 2);
        assert_eq!(bench.read(LIST), "br_netfilter\n");
        bench.apply(module("br-netfilter", "absent")).unwrap();
        assert!(!bench.at(LIST).exists());
    }

    #[test]
    fn a_blocked_module_is_unloaded_unless_it_is_in_use() {
        let idle = bench("usb_storage 81920 0 - Live 0x0\n");
        let task = module("usb-storage", "blocked");
        assert_eq!(idle.apply_once(task.clone()).unwrap()[1], "unload the kernel module usb_storage");
        assert_eq!(idle.ran(), ["modprobe -r -- usb_storage"]);
        let file = "/etc/modprobe.d/90-stead-block-usb_storage.conf";
        assert_eq!(idle.read(file), "blacklist usb_storage\ninstall usb_storage /bin/false\n");

        let used = bench("usb_storage 81920 1 uas, Live 0x0\n");
        let told = used.apply(task).unwrap();
        assert_eq!(told, [format!("create {file} (it is in use, and stays until the next boot)")]);
        assert!(used.ran().is_empty());
        used.apply(module("usb_storage", "loaded")).unwrap();
        assert!(!used.at(file).exists());
        assert!(used.apply(module("ext4", "blocked")).unwrap()[0].contains("built into this kernel"));
    }

    #[test]
    fn a_module_that_the_kernel_does_not_have_is_told() {
        let mut bench = bench("");
        assert!(bench.apply(module("ext4", "loaded")).unwrap().len() == 1 && bench.ran().is_empty());
        let error = bench.check(module("usb", "loaded")).unwrap_err();
        assert!(error.to_string().contains("6.12") && !error.hints().is_empty());
        bench.machine.check = true;
        bench.machine.note_change();
        assert_eq!(bench.check(module("usb", "loaded")).unwrap().len(), 2, "a package may bring it");
        assert!(bench.check(module("-r", "blocked")).is_err());
        assert!(bench.check(json!({"kernel_module": {"name": "x", "params": "a\nb"}})).is_err());
        assert!(bench.check(json!({"kernel_module": {"name": "x", "params": "a", "state": "blocked"}})).is_err());
    }

    #[test]
    fn where_the_kernel_is_not_the_machines_only_files_are_written() {
        for (image, virtualization) in [(true, "none"), (false, "systemd-nspawn")] {
            let mut bench = bench("usb_storage 81920 0 - Live 0x0\n");
            std::fs::remove_dir(bench.at("/etc/modules-load.d")).unwrap();
            bench.machine.image = image;
            bench.machine.facts["virtualization"] = json!(virtualization);
            assert_eq!(bench.apply(module("usb-storage", "blocked")).unwrap().len(), 1);
            let told = bench.apply(module("dummy", "loaded")).unwrap();
            assert_eq!(told, ["create /etc/modules-load.d".to_owned(), format!("create {LIST}")]);
            assert!(bench.ran().is_empty());
        }
    }

    #[test]
    fn what_uefi_boots_with_is_not_blocked() {
        let mut bench = bench("");
        bench.apply(module("vfat", "blocked")).unwrap();
        std::fs::create_dir_all(bench.at("/sys/firmware/efi")).unwrap();
        assert!(bench.check(module("vfat", "blocked")).unwrap_err().to_string().contains("UEFI"));
        std::fs::remove_dir(bench.at("/sys/firmware/efi")).unwrap();
        bench.machine.image = true;
        assert!(bench.check(module("vfat", "blocked")).is_err());
    }
}
