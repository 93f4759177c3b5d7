//! Storing what is there, before it is changed.

use camino::Utf8Path;

use super::record::{Entry, Record, Was};
use crate::error::Context;
use crate::node::exec::Run;
use crate::node::files::{self, Attributes};
use crate::node::machine::Touch;
use crate::node::{Machine, systemd};
use crate::{Error, Result};

/// Adds what a change would touch, and the folders that would be made for it. What was stored before stays as it was then.
pub(super) fn take(machine: &Machine, record: &mut Record, touch: &Touch) -> Result<()> {
    if let Touch::Path(path) = touch {
        // Folders that are missing are made with the file, and go with it.
        let missing: Vec<&Utf8Path> = Utf8Path::new(path)
            .ancestors()
            .skip(1)
            .take_while(|folder| machine.paths.at(folder).symlink_metadata().is_err())
            .collect();
        for folder in missing.into_iter().rev() {
            add(machine, record, &Touch::Path(folder.to_string()))?;
        }
    }
    add(machine, record, touch)
}

fn add(machine: &Machine, record: &mut Record, touch: &Touch) -> Result<()> {
    if record.entries.iter().any(|entry| entry.touch == *touch) {
        return Ok(());
    }
    let was = match touch {
        Touch::Path(path) => file(machine, path, record.entries.len())?,
        Touch::Unit(unit) => {
            let status = systemd::status(machine, unit)?;
            Was::Unit { running: status.is_running(), enabled: status.enabled }
        }
        Touch::UnitFiles => Was::Read,
        Touch::Ruleset => {
            let ruleset = machine.commands.must(&Run::new(["nft", "--stateless", "list", "ruleset"]))?;
            Was::Text(ruleset.stdout)
        }
        Touch::Sysctl(name) => {
            let place = machine.paths.at(format!("/proc/sys/{}", name.replace('.', "/")));
            Was::Text(fs_err::read_to_string(place)?.trim_end().to_owned())
        }
    };
    record.entries.push(Entry { touch: touch.clone(), was });
    Ok(())
}

fn file(machine: &Machine, path: &str, number: usize) -> Result<Was> {
    let place = machine.paths.at(path);
    let found = match place.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Was::Absent),
        Err(error) => return Err(error).with_context(|| format!("looking at {path}")),
    };
    let attributes = Attributes::of(&found);
    if found.is_symlink() {
        let target = fs_err::read_link(&place)?;
        let target = target.to_str().ok_or_else(|| Error::failed(format!("the link {path} does not point to text")))?;
        return Ok(Was::Link(target.to_owned()));
    }
    if found.is_dir() {
        return Ok(Was::Folder { uid: attributes.uid, gid: attributes.gid, mode: attributes.mode });
    }
    if !found.is_file() {
        return Err(Error::failed(format!("{path} is neither file nor folder nor link, and could not be put back")));
    }
    files::make_folder(&machine.paths.guard_dir(), 0o700)?;
    files::back_up(&place, &found, &machine.paths.guard_content(number), Some(0o600))?;
    Ok(Was::file(number, attributes))
}
