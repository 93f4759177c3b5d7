//! Destroying what must not outlive the node: its identity, its secrets, its records.

use camino::Utf8Path;

use crate::Result;
use crate::node::exec::{Commands, Run};
use crate::node::{Paths, files};

/// Stops the workload and destroys identity, secrets and records. What stays is the fence, so that an old controller
/// still cannot act, and `/etc/stead/node.json`, so that the wipe can be asked for again after a crash.
///
/// The secrets' key goes first: without it, what a crash (or a disk that remembers) leaves is noise.
///
/// # Errors
/// Fails where something is there and cannot be removed.
pub(crate) fn wipe(paths: &Paths, commands: &dyn Commands) -> Result<()> {
    if paths.at("/run/systemd/system").is_dir() {
        // Nothing to stop is fine; and a workload that does not stop must not keep the secrets alive.
        commands.run(&Run::new(["systemctl", "stop", "--", "agent@*.service"]))?;
    }
    for file in [
        paths.credential_secret(),
        paths.identity(),
        paths.new_host_key(),
        paths.handlers(),
        paths.secrets_seen(),
        paths.journal(),
        paths.journal_over_boot(),
        paths.guard_undone(),
        paths.made(),
    ] {
        destroy(&file)?;
    }
    for folder in [paths.credstore(), paths.secrets_dir(), paths.guard_dir()] {
        let Ok(entries) = folder.read_dir_utf8() else { continue };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                destroy(entry.path())?;
            }
        }
    }
    Ok(())
}

/// Overwrites a file before it is removed. On most disks today that is no proof; the key's destruction is.
fn destroy(path: &Utf8Path) -> Result<()> {
    use std::io::Write;
    if let Ok(mut file) = fs_err::OpenOptions::new().write(true).open(path) {
        let length = file.metadata()?.len();
        std::io::copy(&mut std::io::Read::take(std::io::repeat(0), length), &mut file)?;
        file.flush()?;
        file.sync_all()?;
    }
    files::remove(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::tasks::testing::Bench;

    #[test]
    fn secrets_go_and_the_fence_stays() {
        let bench = Bench::new();
        std::fs::create_dir_all(bench.at("/etc/credstore.encrypted")).unwrap();
        let secrets = ["/var/lib/stead/identity", "/etc/credstore.encrypted/KEY", "/var/lib/stead/secrets/KEY.json"];
        for path in secrets.iter().chain(&["/var/lib/stead/fence"]) {
            std::fs::write(bench.at(path), "x").unwrap();
        }
        for _ in 0..2 {
            wipe(&bench.machine.paths, &*bench.machine.commands).unwrap();
        }
        assert!(secrets.iter().all(|path| !bench.at(path).exists()));
        assert!(bench.at("/var/lib/stead/fence").exists());
    }
}
