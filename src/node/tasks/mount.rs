//! `mount`.

use super::check_path;
use super::text::{self, Edit};
use super::unit::reading;
use crate::node::exec::Run;
use crate::node::files;
use crate::node::machine::{Change, Converge, Inputs, Machine, Touch};
use crate::node::made::Made;
use crate::node::mounts::{self, Entry, Mounted};
use crate::wire::action::{Action, Mount, MountState, Presence, check_fstab};
use crate::{Error, Result};

const FSTAB: &str = "/etc/fstab";

impl Converge for Mount {
    fn changes(&self, machine: &Machine, inputs: &Inputs) -> Result<Vec<Change>> {
        let path = mounts::plain(check_path(&self.path)?);
        let wanted = self.entry()?;
        let old = match text::read(machine, FSTAB)? {
            Some(text) => mounts::entry(text.lines(), &path)?.map(|(_, entry, _)| entry),
            None => None,
        };
        let fstab = fstab(machine, &path, wanted.as_ref())?;
        if machine.image {
            return Ok(fstab);
        }
        let has = mounts::mounted(&machine.paths, &path)?;
        let mut changes = match (&wanted, self.state) {
            (Some(wanted), MountState::Mounted) => self.mounting(machine, inputs, &path, old.as_ref(), wanted, &has)?,
            (_, MountState::Unmounted | MountState::Absent) => has.iter().map(|_| unmounting(inputs, &path)).collect(),
            _ => Vec::new(),
        };
        if !fstab.is_empty() {
            changes.extend(fstab);
            // It makes its mount units of fstab.
            changes.push(reading());
        }
        Ok(changes)
    }

    fn makes(&self) -> Vec<Made> {
        let removal = Mount { path: self.path.clone(), state: MountState::Absent, ..Mount::default() };
        let makes = self.state != MountState::Absent;
        makes.then(|| Made::Task(Box::new(Action::Mount(removal)))).into_iter().collect()
    }
}

impl Mount {
    /// What fstab should say; none where it should say nothing.
    fn entry(&self) -> Result<Option<Entry>> {
        let (Some(source), Some(fstype), false) = (&self.source, &self.fstype, self.state == MountState::Absent) else {
            return Ok(None);
        };
        let options = self.options.as_deref().unwrap_or("defaults");
        [source, fstype, options].into_iter().try_for_each(check_fstab)?;
        if fstype == "swap" {
            return Err(Error::input("swap is not mounted on a folder").hint("write its line with a `line` task"));
        }
        Ok(Some(Entry { source: source.clone(), fstype: fstype.clone(), options: options.to_owned() }))
    }

    /// What is to be done for it to be mounted now.
    fn mounting(
        &self,
        machine: &Machine,
        inputs: &Inputs,
        path: &str,
        old: Option<&Entry>,
        wanted: &Entry,
        has: &[Mounted],
    ) -> Result<Vec<Change>> {
        let mut changes: Vec<Change> = mount_point(machine, path, wanted)?.into_iter().collect();
        let same_but_for_options = |old: &Entry| (&old.source, &old.fstype) == (&wanted.source, &wanted.fstype);
        match has.last() {
            Some(found) if old.is_none_or(same_but_for_options) && !is_another(machine, found, &wanted.source) => {
                if old != Some(wanted) {
                    changes.push(mounting(inputs, path, wanted, true));
                }
            }
            found => {
                if wanted.source.starts_with('/') && !machine.paths.at(&wanted.source).exists() && !machine.may_come() {
                    return Err(Error::failed(format!("there is no {} to be mounted on {path}", wanted.source))
                        .hint("look at `lsblk` on the node, or name it by its UUID"));
                }
                changes.extend(found.map(|_| unmounting(inputs, path)));
                changes.push(mounting(inputs, path, wanted, false));
            }
        }
        Ok(changes)
    }
}

/// What is to be changed in fstab.
fn fstab(machine: &Machine, path: &str, wanted: Option<&Entry>) -> Result<Vec<Change>> {
    let state = if wanted.is_some() { Presence::Present } else { Presence::Absent };
    let edit = Edit { path: FSTAB, create: true, state, ..Edit::default() };
    text::changes(machine, &edit, |lines| {
        match (mounts::entry(lines.bodies(), path)?, wanted) {
            (Some((_, found, _)), Some(wanted)) if found == *wanted => {}
            (Some((at, _, rest)), Some(wanted)) => lines.replace(at, &wanted.line(path, &rest)),
            (Some((at, ..)), None) => lines.splice(at..at + 1, &[]),
            (None, Some(wanted)) => {
                let end = lines.bodies().len();
                lines.splice(end..end, &[&wanted.line(path, "0 0")]);
            }
            (None, None) => {}
        }
        Ok(())
    })
}

/// The folder to mount on, where it is missing.
fn mount_point(machine: &Machine, path: &str, wanted: &Entry) -> Result<Option<Change>> {
    let place = machine.paths.at(path);
    let Ok(found) = place.metadata() else {
        let change = Change::new(format!("create {path}"), move |_, _| files::make_folder(&place, 0o755));
        return Ok(Some(change.touching(Touch::Path(path.to_owned()))));
    };
    if !found.is_dir() && !has_option(wanted, "bind") {
        return Err(Error::failed(format!("{path} is there and is not a folder")).hint("mount on another path"));
    }
    // The kernel tells where a link leads to, and would never seem to have it.
    let (real, root) = (place.canonicalize_utf8()?, machine.paths.root().canonicalize_utf8()?);
    match real.strip_prefix(&root) {
        Ok(inner) if machine.paths.at(inner) == place => Ok(None),
        _ => Err(Error::failed(format!("{path} leads over a symbolic link"))
            .hint(format!("name the folder itself: /{}", real.strip_prefix(&root).unwrap_or(&real)))),
    }
}

fn has_option(entry: &Entry, option: &str) -> bool {
    entry.options.split(',').any(|other| other == option)
}

/// Whether what is mounted is surely not this source: both are disks, and not the same one.
fn is_another(machine: &Machine, found: &Mounted, source: &str) -> bool {
    found.device.0 != 0 && mounts::device(&machine.paths, source).is_some_and(|device| device != found.device)
}

/// Mounting with the wanted options alone: with source and path given, mount(8) asks neither fstab nor what was before.
fn mounting(inputs: &Inputs, path: &str, wanted: &Entry, again: bool) -> Change {
    let options = if again { format!("remount,{}", wanted.options) } else { wanted.options.clone() };
    let mut run = Run::new(["mount", "-t", &wanted.fstype, "-o", &options, "--", &wanted.source, path]);
    run.timeout = inputs.timeout;
    let verb = if again { "mount anew" } else { "mount" };
    Change::new(format!("{verb} {} on {path} ({})", wanted.source, wanted.options), move |machine, _| {
        let hint = "the line in /etc/fstab is as it was; `dmesg` on the node may tell more";
        machine.commands.must(&run).map(drop).map_err(|error| error.hint(hint))
    })
}

fn unmounting(inputs: &Inputs, path: &str) -> Change {
    let mut run = Run::new(["umount", "--", path]);
    run.timeout = inputs.timeout;
    let path = path.to_owned();
    Change::new(format!("unmount {path}"), move |machine, _| {
        let busy = format!("`fuser -vm {path}` on the node tells what uses it");
        machine.commands.must(&run).map(drop).map_err(|error| error.hint(busy))
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use camino::Utf8PathBuf;
    use serde_json::{Value, json};

    use super::super::testing::Bench;
    use crate::node::exec::Output;

    const BASE: &str = "22 27 0:21 / / rw - ext4 /dev/vda1 rw\n";
    const THEIRS: &str = "# <file system>\nUUID=1  /  ext4\terrors=remount-ro 0 1";

    /// A machine whose `mount` and `umount` change what its kernel tells.
    fn bench() -> Bench {
        let table: Rc<RefCell<Utf8PathBuf>> = Rc::default();
        let seen = table.clone();
        let bench = Bench::answering(move |run| {
            let place = seen.borrow();
            let path = run.argv.last().unwrap().replace(' ', r"\040");
            let old = std::fs::read_to_string(&*place).unwrap();
            let mut lines: Vec<String> = old.lines().map(str::to_owned).collect();
            match run.argv[0].as_str() {
                "mount" if !run.argv[4].starts_with("remount") => {
                    lines.push(format!("30 22 0:40 / {path} rw - {} {} rw", run.argv[2], run.argv[6]));
                }
                "umount" => {
                    let last = lines.iter().rposition(|line| line.contains(&format!(" / {path} "))).unwrap();
                    lines.remove(last);
                }
                _ => {}
            }
            std::fs::write(&*place, lines.join("\n") + "\n").unwrap();
            Output::default()
        });
        std::fs::create_dir_all(bench.at("/proc/self")).unwrap();
        *table.borrow_mut() = bench.at("/proc/self/mountinfo");
        std::fs::write(bench.at("/proc/self/mountinfo"), BASE).unwrap();
        std::fs::write(bench.at("/etc/fstab"), THEIRS).unwrap();
        bench
    }

    fn mount(fields: Value) -> Value {
        let mut task = json!({"path": "/srv/my data/", "source": "tmpfs", "fstype": "tmpfs"});
        task.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"mount": task})
    }

    #[test]
    fn a_file_system_is_mounted_now_and_at_every_boot() {
        let bench = bench();
        let task = mount(json!({"options": "size=1m"}));
        let told = bench.check(task.clone()).unwrap();
        assert!(bench.ran().is_empty() && !bench.at("/srv").exists(), "a check changes nothing");
        assert_eq!(bench.apply(task).unwrap(), told);
        let made = ["create /srv/my data", "mount tmpfs on /srv/my data (size=1m)", "change /etc/fstab"];
        assert_eq!(told[..3], made);
        let run = "mount -t tmpfs -o size=1m -- tmpfs /srv/my data";
        assert_eq!(bench.ran(), [run, "systemctl --no-ask-password daemon-reload"]);
        let ours = r"tmpfs /srv/my\040data tmpfs size=1m 0 0";
        assert_eq!(bench.read("/etc/fstab"), format!("{THEIRS}\n{ours}\n"));

        let told = bench.apply(mount(json!({"options": "size=2m"}))).unwrap();
        assert_eq!(told[0], "mount anew tmpfs on /srv/my data (size=2m)");
        assert_eq!(bench.ran()[0], "mount -t tmpfs -o remount,size=2m -- tmpfs /srv/my data");
        let told = bench.apply(mount(json!({"source": "other"}))).unwrap();
        assert_eq!(told[..2], ["unmount /srv/my data", "mount other on /srv/my data (defaults)"]);

        let gone = json!({"mount": {"path": "/srv/my data", "state": "absent"}});
        assert_eq!(bench.apply(gone).unwrap()[..2], ["unmount /srv/my data", "change /etc/fstab"]);
        assert_eq!(bench.read("/etc/fstab"), format!("{THEIRS}\n"));
        assert_eq!(bench.read("/proc/self/mountinfo"), BASE);
    }

    #[test]
    fn the_line_and_the_mount_are_looked_after_apart() {
        let bench = bench();
        let present = mount(json!({"state": "present"}));
        assert_eq!(bench.apply(present.clone()).unwrap(), ["change /etc/fstab", "have systemd read its units again"]);
        assert_eq!(bench.apply(mount(json!({}))).unwrap().len(), 2, "the folder, and the mount");
        assert!(bench.apply(present).unwrap().is_empty());
        let unmounted = mount(json!({"state": "unmounted"}));
        assert_eq!(bench.apply(unmounted).unwrap(), ["unmount /srv/my data"]);
    }

    #[test]
    fn somebody_elses_line_keeps_what_is_not_ours() {
        let bench = bench();
        let fstab = "tmpfs\t/srv/my\\040data\ttmpfs defaults,\t1 2\r\n/dev/b /b ext4";
        std::fs::write(bench.at("/etc/fstab"), fstab).unwrap();
        bench.apply(mount(json!({"state": "present"}))).unwrap();
        assert_eq!(bench.read("/etc/fstab"), "tmpfs /srv/my\\040data tmpfs defaults 1 2\r\n/dev/b /b ext4");
    }

    #[test]
    fn in_an_image_only_the_line_is_written() {
        let mut bench = bench();
        std::fs::remove_file(bench.at("/proc/self/mountinfo")).unwrap();
        bench.machine.image = true;
        assert_eq!(bench.apply(mount(json!({}))).unwrap(), ["change /etc/fstab"]);
        assert!(bench.ran().is_empty() && !bench.at("/srv").exists());
    }

    #[test]
    fn what_cannot_be_mounted_is_told_before() {
        let bench = bench();
        std::fs::create_dir_all(bench.at("/srv/real")).unwrap();
        std::os::unix::fs::symlink("real", bench.at("/srv/link")).unwrap();
        std::fs::write(bench.at("/srv/file"), "").unwrap();
        for (fields, hint) in [
            (json!({"path": "/srv/link"}), "/srv/real"),
            (json!({"path": "/srv/file"}), "another path"),
            (json!({"source": "/dev/none", "fstype": "ext4"}), "UUID"),
            (json!({"fstype": "swap"}), "line"),
            (json!({"options": "a\nb"}), "fstab(5)"),
            (json!({"source": null}), "absent"),
        ] {
            let error = bench.check(mount(fields.clone())).unwrap_err();
            assert!(error.hints()[0].contains(hint), "{fields}: {error:?}");
        }
        bench.apply(mount(json!({"path": "/srv/file", "source": "/etc/fstab", "options": "bind"}))).unwrap();
        std::fs::write(bench.at("/etc/fstab"), "a /c none\nb /c none\n").unwrap();
        assert!(bench.check(mount(json!({"path": "/c"}))).unwrap_err().one_line().contains("lines 1 and 2"));
        assert!(bench.check(mount(json!({"path": "/"}))).is_err());
    }
}
