//! `directory`.

use std::path::Path;

use super::{check_path, content};
use crate::error::Context;
use crate::node::files::{self, Attributes};
use crate::node::machine::{Change, Converge, Inputs, Machine, Touch};
use crate::node::made::Made;
use crate::wire::action::{Directory, Presence};
use crate::{Error, Result};

impl Converge for Directory {
    fn changes(&self, machine: &Machine, _: &Inputs) -> Result<Vec<Change>> {
        let path = self.path.clone();
        let place = machine.paths.at(check_path(&path)?);
        let found = place.symlink_metadata().ok();
        if self.state == Presence::Absent {
            if !found.as_ref().is_some_and(std::fs::Metadata::is_dir) {
                return Ok(Vec::new());
            }
            return Ok(vec![Change::new(format!("remove {path} with all that is in it"), move |_, _| {
                fs_err::remove_dir_all(&place)?;
                files::sync_parent(&place)
            })]);
        }
        if found.as_ref().is_some_and(|found| !found.is_dir()) {
            return Err(Error::failed(format!("{path} is there and is not a folder"))
                .hint("remove it with a `file` task and `state: absent` first"));
        }
        let had = found.as_ref().map(Attributes::of);
        let (owner, group, mode) = (self.owner.as_deref(), self.group.as_deref(), self.mode.as_deref());
        let wanted = content::attributes(machine, had, owner, group, mode, 0o755)?;
        let mut changes = Vec::new();
        match &found {
            Some(found) => changes.extend(content::attribute_change(&path, &place, found, wanted)),
            None => {
                let place = place.clone();
                let change = Change::new(format!("create {path}"), move |_, _| {
                    let wanted = wanted.ok_or_else(|| Error::failed("its owner is not there"))?;
                    if let Some(parent) = place.parent() {
                        files::make_folder(parent, 0o755)?;
                    }
                    // Closed until it has its owner.
                    files::make_folder(&place, 0o700)?;
                    let made = place.symlink_metadata().with_context(|| format!("looking at {place}"))?;
                    files::set_attributes(&place, &made, wanted)?;
                    files::sync_parent(&place)
                });
                changes.push(change.touching(Touch::Path(path.clone())));
            }
        }
        if let (true, Some(wanted), Some(found)) = (self.recurse, wanted, found) {
            let others = differing(place.as_std_path(), wanted)?;
            if others > 0 {
                let message = format!("{path}: owner of {others} below to {}:{}", wanted.uid, wanted.gid);
                changes.push(Change::new(message, move |_, _| files::give_below(&place, &found, wanted)));
            }
        }
        Ok(changes)
    }

    fn makes(&self) -> Vec<Made> {
        let makes = self.state == Presence::Present;
        makes.then(|| Made::Folder(self.path.clone())).into_iter().collect()
    }
}

/// How much below a folder has another owner; symbolic links are not followed.
fn differing(folder: &Path, wanted: Attributes) -> Result<usize> {
    let mut found = 0;
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let has = Attributes::of(&metadata);
        if (has.uid, has.gid) != (wanted.uid, wanted.gid) {
            found += 1;
        }
        if metadata.is_dir() {
            found += differing(&entry.path(), wanted)?;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::Bench;
    use crate::node::files::Attributes;

    #[test]
    fn a_folder_is_made_with_its_parents_and_removed_whole() {
        let bench = Bench::new();
        let folder = json!({"directory": {"path": "/srv/a/b", "mode": "0750", "owner": "me", "group": "me"}});
        assert_eq!(bench.apply(folder).unwrap(), ["create /srv/a/b"]);
        assert_eq!(Attributes::of(&bench.at("/srv/a/b").metadata().unwrap()).mode, 0o750);
        let open = json!({"directory": {"path": "/srv/a/b", "mode": "0755", "recurse": true}});
        assert_eq!(bench.apply(open).unwrap(), ["/srv/a/b: mode 0750 to 0755"]);
        std::fs::write(bench.at("/srv/a/b/c"), "").unwrap();
        assert_eq!(bench.apply(json!({"directory": {"path": "/srv/a", "state": "absent"}})).unwrap().len(), 1);
        assert!(bench.at("/srv").exists() && !bench.at("/srv/a").exists());
    }

    #[test]
    fn a_file_in_its_place_is_not_destroyed() {
        let bench = Bench::new();
        std::fs::write(bench.at("/etc/a"), "").unwrap();
        assert!(bench.apply(json!({"directory": {"path": "/etc/a"}})).is_err());
    }
}
