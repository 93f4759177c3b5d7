//! What fleets have left on this host whose folder is gone: removed, or moved elsewhere.

use camino::{Utf8Path, Utf8PathBuf};

use super::cable::Cable;
use super::cgroup::Cgroup;
use super::registry::{self, Taken};
use super::{network, spawn};
use crate::Result;
use crate::id::{FleetId, Mark};

/// A fleet whose folder is not where it was.
#[derive(Debug)]
pub struct LeftOver {
    /// The fleet.
    pub fleet: FleetId,
    /// What it holds on this host.
    pub taken: Taken,
    /// Its nodes that still run.
    pub nodes: Vec<Mark>,
    /// Where its folder is now, as its running nodes know it.
    pub moved_to: Option<Utf8PathBuf>,
}

/// Looks for them.
///
/// # Errors
/// Fails where the registry is broken.
pub fn look(run_dir: &Utf8Path) -> Result<Vec<LeftOver>> {
    let registry = registry::read(&run_dir.join("registry.json"))?;
    let groups = Cgroup::names();
    let gone = registry.fleets.into_iter().filter(|(_, taken)| !taken.dir.is_dir());
    Ok(gone
        .map(|(fleet, taken)| {
            let nodes: Vec<Mark> =
                groups.iter().filter_map(|name| Mark::parse(&fleet, name)).map(|(mark, _)| mark).collect();
            let moved_to = nodes.iter().find_map(folder_of);
            LeftOver { fleet, taken, nodes, moved_to }
        })
        .collect())
}

impl LeftOver {
    /// Ends its nodes and takes its network away.
    ///
    /// # Errors
    /// Fails as the system does.
    pub fn end(&self, run_dir: &Utf8Path) -> Result<()> {
        for mark in &self.nodes {
            spawn::stop_unit(mark);
            // Its supervisor ends with it.
            Cgroup::of(mark)?.destroy()?;
            Cable::of(mark).unplug()?;
        }
        network::release(run_dir, &self.fleet)
    }
}

/// The fleet's folder that a node's supervisor works in: it holds its lock open, and the kernel knows the file's name
/// after any move.
fn folder_of(mark: &Mark) -> Option<Utf8PathBuf> {
    let supervisor = Utf8Path::new("/proc").read_dir_utf8().ok()?.filter_map(Result::ok).find(|process| {
        let line = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        line.contains("\0supervise\0") && line.trim_end_matches('\0').ends_with(mark.as_str())
    })?;
    let open = supervisor.path().join("fd").read_dir_utf8().ok()?.filter_map(Result::ok);
    let lock = open.filter_map(|fd| fd.path().read_link_utf8().ok()).find(|file| {
        // What was deleted is called so, and does not end in its name.
        file.file_name() == Some("supervisor.lock") && file.exists()
    })?;
    // FLEET/.stead/nodes/MARK/supervisor.lock
    lock.ancestors().nth(4).map(Utf8Path::to_owned)
}
