//! `file` and `template`; and what every other type that writes a file builds on.

use std::io::Read;

use camino::Utf8Path;
use sha2::{Digest, Sha256};

use super::check_path;
use super::foreseen::{self, Left};
use crate::error::Context;
use crate::node::contents;
use crate::node::exec::Run;
use crate::node::files::{self, Attributes, Draft};
use crate::node::machine::{Apart, Change, Content, Converge, Inputs, Machine, Touch};
use crate::node::made::Made;
use crate::wire::action::{Action, File, FileCommon, Presence, Template};
use crate::{Error, Result};

/// A file of more than this is not shown in a diff, and not held in memory for one; in bytes.
const MOST_SHOWN: u64 = 8 << 20;

/// What a file is to hold.
#[derive(Clone, Copy)]
pub(super) enum New<'a> {
    Held(&'a [u8]),
    Apart(&'a Apart),
}

impl Converge for File {
    fn changes(&self, machine: &Machine, inputs: &Inputs) -> Result<Vec<Change>> {
        let content = match (&self.content, &inputs.content) {
            (Some(_), Some(_)) => return Err(Error::input("give `content` or `source`, not both")),
            (Some(text), None) => Some(New::Held(text.as_bytes())),
            (None, Some(Content::Held(content))) => Some(New::Held(content)),
            (None, Some(Content::Apart(content))) => Some(New::Apart(content)),
            (None, None) => None,
        };
        need_folder(machine, &self.path, self.common.state)?;
        differences(machine, &self.path, content, &self.common)
    }

    fn makes(&self) -> Vec<Made> {
        let has_content = self.content.is_some() || self.source.is_some();
        made_file(&self.path, has_content && self.common.state == Presence::Present)
    }
}

impl Converge for Template {
    fn changes(&self, machine: &Machine, inputs: &Inputs) -> Result<Vec<Change>> {
        need_folder(machine, &self.path, self.common.state)?;
        changes(machine, &self.path, inputs.held(), &self.common)
    }

    fn makes(&self) -> Vec<Made> {
        made_file(&self.path, self.common.state == Presence::Present)
    }
}

/// A file that a task makes.
pub(super) fn made_file(path: &str, makes: bool) -> Vec<Made> {
    let common = FileCommon { state: Presence::Absent, ..FileCommon::default() };
    let removal = Action::File(File { path: path.to_owned(), common, ..File::default() });
    makes.then(|| Made::Task(Box::new(removal))).into_iter().collect()
}

/// Fails where the folder of a file is missing, so that a check tells of it as an application would.
pub(super) fn need_folder(machine: &Machine, path: &str, state: Presence) -> Result<()> {
    let place = machine.paths.at(check_path(path)?);
    let missing = place.parent().is_some_and(|folder| !folder.is_dir());
    if missing && state == Presence::Present && !machine.may_come() {
        return Err(Error::failed(format!("the folder of {path} is not there"))
            .hint("make it with a `directory` task before this one"));
    }
    Ok(())
}

/// What is to be changed for a file to be as wanted; without content only owner and mode are looked after.
pub(super) fn changes(
    machine: &Machine,
    path: &str,
    content: Option<&[u8]>,
    wanted: &FileCommon,
) -> Result<Vec<Change>> {
    differences(machine, path, content.map(New::Held), wanted)
}

fn differences(machine: &Machine, path: &str, content: Option<New<'_>>, wanted: &FileCommon) -> Result<Vec<Change>> {
    let place = machine.paths.at(check_path(path)?);
    if let Some(left) = machine.foreseen.at(path) {
        return foreseen::differences(machine, path, left, content, wanted);
    }
    let found = found(path, &place)?;
    let file = found.as_ref().filter(|metadata| metadata.is_file());
    // For a diff; a file that is too large for one is not read into memory.
    let shown = |file: &std::fs::Metadata| (file.len() <= MOST_SHOWN).then(|| read_seen(&place, file)).transpose();
    if wanted.state == Presence::Absent {
        if found.is_none() {
            return Ok(Vec::new());
        }
        let old = file.and_then(|file| shown(file).ok()?);
        let diff = old.as_deref().and_then(|old| files::diff(path, Some(old), Some(b"")));
        let change = Change::new(format!("remove {path}"), move |_, _| files::remove(&place));
        return Ok(vec![change.diff(diff).touching(Touch::Path(path.to_owned())).leaving(path, None)]);
    }
    let had = file.map(Attributes::of);
    let attributes =
        attributes(machine, had, wanted.owner.as_deref(), wanted.group.as_deref(), wanted.mode.as_deref(), 0o644)?;
    let Some(content) = content else {
        return match file {
            Some(file) => Ok(attribute_change(path, &place, file, attributes).into_iter().collect()),
            None if machine.may_come() => {
                Ok(vec![Change::new(format!("set the owner and mode of {path}"), |_, _| Ok(()))])
            }
            None => Err(Error::failed(format!("{path} is not there")).hint("give the task `content` or `source`")),
        };
    };
    let (is_same, diff) = match (content, file) {
        (New::Held(new), Some(file)) => {
            let old = shown(file)?;
            let is_same = match &old {
                Some(old) => old == new,
                None => file.len() == new.len() as u64 && hash_of(&place, file)? == hex::encode(Sha256::digest(new)),
            };
            (is_same, old.and_then(|old| files::diff(path, Some(&old), Some(new))))
        }
        (New::Held(new), None) => (false, files::diff(path, None, Some(new))),
        (New::Apart(new), Some(file)) => (holds(&place, file, new)?, None),
        (New::Apart(_), None) => (false, None),
    };
    if is_same {
        return Ok(file.and_then(|file| attribute_change(path, &place, file, attributes)).into_iter().collect());
    }
    let message = match (&found, file) {
        (None, _) => format!("create {path}"),
        (Some(_), None) => format!("replace {path}, which is no ordinary file"),
        (Some(_), Some(_)) => format!("change {path}"),
    };
    let (seen, validate, backup) = (file.cloned(), wanted.validate.clone(), wanted.backup);
    let (held, apart) = match content {
        New::Held(content) => (content.to_vec(), None),
        New::Apart(content) => (Vec::new(), Some(content.clone())),
    };
    let needs = apart.clone();
    let left = Left { content: apart.is_none().then(|| held.clone()), attributes };
    let change = Change::new(message, move |machine, _| {
        let attributes = attributes.ok_or_else(|| Error::failed("its owner is not there"))?;
        let draft = match apart {
            Some(apart) => {
                let from = contents::place(&machine.paths, &apart);
                Draft::taking(&place, &from, apart.shared, attributes)?
            }
            None => Draft::new(&place, &held, attributes)?,
        };
        if let Some(command) = validate {
            check_with(machine, &command, draft.draft_path(), &place)?;
        }
        if let (true, Some(seen)) = (backup, seen) {
            files::back_up(&place, &seen, Utf8Path::new(&format!("{place}.stead~")), None)?;
        }
        draft.put_in_place()
    });
    let change = change.diff(diff).touching(Touch::Path(path.to_owned())).needing(needs.as_ref());
    Ok(vec![if machine.check { change.leaving(path, Some(left)) } else { change }])
}

/// Whether the file that was looked at as `seen` holds this content.
fn holds(place: &Utf8Path, seen: &std::fs::Metadata, content: &Apart) -> Result<bool> {
    Ok(seen.len() == content.size && hash_of(place, seen)? == content.hash)
}

/// The SHA-256 of the file that was looked at as `seen`.
fn hash_of(place: &Utf8Path, seen: &std::fs::Metadata) -> Result<String> {
    let mut file = files::open_seen(place, seen)?;
    files::copy(&mut file, &mut std::io::sink()).with_context(|| format!("reading {place}"))
}

/// What is to be changed for a file that is all Stead's: its folder is made where it is missing, and without content the
/// file goes.
pub(super) fn own(machine: &Machine, path: &str, content: Option<&str>) -> Result<Vec<Change>> {
    let state = if content.is_some() { Presence::Present } else { Presence::Absent };
    let changes = changes(machine, path, content.map(str::as_bytes), &FileCommon { state, ..FileCommon::default() })?;
    Ok(with_folder(machine, path, changes))
}

/// A file's changes, after that of its folder where it is missing.
pub(super) fn with_folder(machine: &Machine, path: &str, mut changes: Vec<Change>) -> Vec<Change> {
    if let Some(folder) = Utf8Path::new(path).parent().filter(|_| !changes.is_empty()) {
        let place = machine.paths.at(folder);
        if !place.exists() {
            let change = Change::new(format!("create {folder}"), move |_, _| files::make_folder(&place, 0o755));
            changes.insert(0, change.touching(Touch::Path(folder.to_string())));
        }
    }
    changes
}

/// What lies where a file is to be: anything but a folder.
pub(super) fn found(path: &str, place: &Utf8Path) -> Result<Option<std::fs::Metadata>> {
    match place.symlink_metadata() {
        Ok(found) if found.is_dir() => {
            Err(Error::failed(format!("{path} is a folder")).hint("a `directory` task looks after folders"))
        }
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("looking at {path}")),
    }
}

fn read_seen(place: &Utf8Path, seen: &std::fs::Metadata) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    files::open_seen(place, seen)?.read_to_end(&mut content).with_context(|| format!("reading {place}"))?;
    Ok(content)
}

/// The attributes that a file or folder shall have; `None` where, in a check, its owner is still to be made.
pub(super) fn attributes(
    machine: &Machine,
    had: Option<Attributes>,
    owner: Option<&str>,
    group: Option<&str>,
    mode: Option<&str>,
    new_mode: u32,
) -> Result<Option<Attributes>> {
    let new = Attributes {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        mode: new_mode,
    };
    let base = had.unwrap_or(new);
    let uid = owner.map_or(Ok(Some(base.uid)), |name| machine.uid(name))?;
    let gid = group.map_or(Ok(Some(base.gid)), |name| machine.gid(name))?;
    let mode = mode.map_or(Ok(base.mode), files::parse_mode)?;
    Ok(uid.zip(gid).map(|(uid, gid)| Attributes { uid, gid, mode }))
}

/// The change of owner and mode alone, where there is one.
pub(super) fn attribute_change(
    path: &str,
    place: &Utf8Path,
    found: &std::fs::Metadata,
    wanted: Option<Attributes>,
) -> Option<Change> {
    let Some(wanted) = wanted else {
        return Some(Change::new(format!("give {path} to its owner"), |_, _| Ok(())));
    };
    let words = attribute_words(Attributes::of(found), wanted)?;
    let (place, found) = (place.to_owned(), found.clone());
    let change = Change::new(format!("{path}: {words}"), move |_, _| files::set_attributes(&place, &found, wanted));
    Some(change.touching(Touch::Path(path.to_owned())))
}

/// What differs in owner and mode, in words.
pub(super) fn attribute_words(had: Attributes, wanted: Attributes) -> Option<String> {
    let mut parts = Vec::new();
    if had.mode != wanted.mode {
        parts.push(format!("mode {:04o} to {:04o}", had.mode, wanted.mode));
    }
    if (had.uid, had.gid) != (wanted.uid, wanted.gid) {
        parts.push(format!("owner {}:{} to {}:{}", had.uid, had.gid, wanted.uid, wanted.gid));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Runs the command that must find a new file good before it is put in place.
pub(super) fn check_with(machine: &Machine, command: &str, draft: &Utf8Path, place: &Utf8Path) -> Result<()> {
    if !command.contains("%s") {
        return Err(Error::input(format!("`validate: {command}` has no %s for the new file")));
    }
    let line = command.replace("%s", draft.as_str());
    let output = machine.commands.run(&Run::new(["/bin/sh", "-c", &line]))?;
    if output.status == 0 {
        return Ok(());
    }
    let said = output.tail().replace(draft.as_str(), place.as_str());
    Err(Error::failed(format!("the new {place} was found wrong, and the old one stays: {said}"))
        .hint(format!("it was checked with `{command}`")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::Bench;
    use crate::node::exec::Output;
    use crate::node::files::{self, Attributes};

    #[test]
    fn a_file_is_created_changed_and_removed() {
        let bench = Bench::new();
        let file = json!({"file": {"path": "/etc/a", "content": "x\n", "mode": "0600", "owner": "me"}});
        assert_eq!(bench.check(file.clone()).unwrap(), ["create /etc/a"]);
        assert!(!bench.at("/etc/a").exists(), "a check changes nothing");
        assert_eq!(bench.apply(file).unwrap(), ["create /etc/a"]);
        let metadata = bench.at("/etc/a").metadata().unwrap();
        assert_eq!(Attributes::of(&metadata).mode, 0o600);
        let mode = json!({"file": {"path": "/etc/a", "mode": "0640"}});
        assert_eq!(bench.apply(mode).unwrap(), ["/etc/a: mode 0600 to 0640"]);
        let backup = json!({"file": {"path": "/etc/a", "content": "y\n", "backup": true}});
        assert_eq!(bench.apply(backup).unwrap(), ["change /etc/a"]);
        assert_eq!((bench.read("/etc/a"), bench.read("/etc/a.stead~")), ("y\n".into(), "x\n".into()));
        let gone = json!({"file": {"path": "/etc/a", "state": "absent"}});
        assert_eq!(bench.apply(gone).unwrap(), ["remove /etc/a"]);
    }

    #[test]
    fn a_file_that_is_too_large_for_a_diff_is_compared_all_the_same() {
        let bench = Bench::new();
        let content = "x".repeat(usize::try_from(super::MOST_SHOWN).unwrap() + 1);
        let file = |content: &str| json!({"file": {"path": "/etc/a", "content": content}});
        assert_eq!(bench.apply(file(&content)).unwrap(), ["create /etc/a"]);
        assert_eq!(bench.apply(file(&content.replacen('x', "y", 1))).unwrap(), ["change /etc/a"]);
    }

    #[test]
    fn a_link_put_in_its_place_is_not_followed() {
        let bench = Bench::new();
        for name in ["/etc/a", "/etc/victim"] {
            files::replace(&bench.at(name), b"x", 0o600).unwrap();
        }
        let found = bench.at("/etc/a").symlink_metadata().unwrap();
        let wanted = Attributes { mode: 0o777, ..Attributes::of(&found) };
        let change = super::attribute_change("/etc/a", &bench.at("/etc/a"), &found, Some(wanted)).unwrap();
        std::fs::remove_file(bench.at("/etc/a")).unwrap();
        std::os::unix::fs::symlink("victim", bench.at("/etc/a")).unwrap();
        assert!(change.apply(&bench.machine, &mut Output::default()).is_err());
        assert_eq!(Attributes::of(&bench.at("/etc/victim").metadata().unwrap()).mode, 0o600);
    }

    #[test]
    fn what_is_found_wrong_is_not_put_in_place() {
        let bench = Bench::answering(|run| Output {
            status: i32::from(run.argv[0] == "/bin/sh"),
            stderr: format!("{}: line 1: bad", run.argv.last().unwrap().split(' ').next_back().unwrap()),
            ..Output::default()
        });
        std::fs::write(bench.at("/etc/a"), "good").unwrap();
        let error =
            bench.apply(json!({"file": {"path": "/etc/a", "content": "bad", "validate": "checker %s"}})).unwrap_err();
        assert!(error.to_string().contains("/etc/a: line 1: bad"), "{error}");
        assert_eq!(bench.read("/etc/a"), "good");
        assert_eq!(
            std::fs::read_dir(bench.at("/etc"))
                .unwrap()
                .filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().contains("stead-"))
                .count(),
            0
        );
    }

    #[test]
    fn an_owner_that_is_missing_is_an_error_unless_it_may_come() {
        let mut bench = Bench::new();
        let file = json!({"file": {"path": "/etc/a", "content": "", "owner": "nobody-here"}});
        assert!(bench.check(file.clone()).unwrap_err().hints()[0].contains("user"));
        bench.machine.check = true;
        bench.machine.note_change();
        assert_eq!(bench.check(file).unwrap(), ["create /etc/a"]);
    }

    #[test]
    fn a_check_tells_of_a_missing_folder_as_well() {
        let file = json!({"file": {"path": "/etc/none/a", "content": ""}});
        assert!(Bench::new().check(file).unwrap_err().hints()[0].contains("directory"));
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for path in ["etc/a", "/etc/../a", "/", ""] {
            assert!(Bench::new().check(json!({"file": {"path": path, "content": ""}})).is_err(), "{path}");
        }
    }
}
