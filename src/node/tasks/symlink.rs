//! `symlink`.

use super::check_path;
use crate::node::files;
use crate::node::machine::{Change, Converge, Inputs, Machine, Touch};
use crate::node::made::Made;
use crate::wire::action::{Action, Presence, Symlink};
use crate::{Error, Result};

impl Converge for Symlink {
    fn changes(&self, machine: &Machine, _: &Inputs) -> Result<Vec<Change>> {
        let (path, target) = (&self.path, &self.target);
        let place = machine.paths.at(check_path(path)?);
        let found = place.symlink_metadata().ok();
        let is_link = found.as_ref().is_some_and(std::fs::Metadata::is_symlink);
        if found.is_some() && !is_link {
            return if self.state == Presence::Absent {
                Err(Error::failed(format!("{path} is not a symbolic link, and stays")))
            } else {
                Err(Error::failed(format!("{path} is there and is not a symbolic link"))
                    .hint("remove it with a `file` or `directory` task and `state: absent` first"))
            };
        }
        if self.state == Presence::Absent {
            if !is_link {
                return Ok(Vec::new());
            }
            let touch = Touch::Path(path.clone());
            return Ok(vec![Change::new(format!("remove {path}"), move |_, _| files::remove(&place)).touching(touch)]);
        }
        if target.is_empty() {
            return Err(Error::input(format!("the link {path} has no target")));
        }
        if is_link && fs_err::read_link(&place)?.as_os_str() == target.as_str() {
            return Ok(Vec::new());
        }
        Ok(vec![linking(machine, path, target)])
    }

    fn makes(&self) -> Vec<Made> {
        let removal = Symlink { path: self.path.clone(), state: Presence::Absent, ..Symlink::default() };
        let makes = self.state == Presence::Present;
        makes.then(|| Made::Task(Box::new(Action::Symlink(removal)))).into_iter().collect()
    }
}

/// Makes a link, or turns it elsewhere.
pub(super) fn linking(machine: &Machine, path: &str, target: &str) -> Change {
    let (place, target) = (machine.paths.at(path), target.to_owned());
    let change = Change::new(format!("link {path} to {target}"), move |_, _| {
        // A link cannot be changed, but another one can be renamed over it.
        let new = place.with_file_name(format!(".{}.stead-new", place.file_name().unwrap_or("link")));
        files::remove(&new)?;
        fs_err::os::unix::fs::symlink(&target, &new)?;
        fs_err::rename(&new, &place)?;
        files::sync_parent(&place)
    });
    change.touching(Touch::Path(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::Bench;

    #[test]
    fn a_link_is_made_turned_and_removed() {
        let bench = Bench::new();
        for target in ["/usr/share/zoneinfo/UTC", "nowhere"] {
            let told = bench.apply(json!({"symlink": {"path": "/etc/localtime", "target": target}})).unwrap();
            assert_eq!(told, [format!("link /etc/localtime to {target}")]);
        }
        bench.apply(json!({"symlink": {"path": "/etc/localtime", "state": "absent"}})).unwrap();
        assert!(bench.apply(json!({"symlink": {"path": "/etc/passwd", "state": "absent"}})).is_err());
        assert!(bench.apply(json!({"symlink": {"path": "/etc/x"}})).is_err());
    }
}
