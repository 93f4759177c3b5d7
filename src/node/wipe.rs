//! Destroying what must not outlive the node: its identity, its secrets, its records.

use camino::{Utf8Path, Utf8PathBuf};

use crate::Result;
use crate::node::exec::{Commands, Run};
use crate::node::{Paths, data_volume, files, guard};

/// Stops the workload and destroys identity, secrets and records. What stays is the fence, so that an old controller
/// still cannot act, and `/etc/stead/node.json`, so that the wipe can be asked for again after a crash.
///
/// The secrets' key goes first: without it, what a crash (or a disk that remembers) leaves is noise. On a machine that
/// outlives the node the key is not ours alone: there only the credentials go that were delivered to the node.
///
/// # Errors
/// Fails where something is there and cannot be removed.
pub(crate) fn wipe(paths: &Paths, commands: &dyn Commands, outlived: bool) -> Result<()> {
    if paths.at("/run/systemd/system").is_dir() {
        // Nothing to stop is fine; and a workload that does not stop must not keep the secrets alive.
        commands.run(&Run::new(["systemctl", "stop", "--", "agent@*.service"]))?;
    }
    if outlived {
        guard::lift(paths)?;
        for record in files_in(&paths.secrets_dir())? {
            if let Some(name) = record.file_stem().filter(|_| record.extension() == Some("json")) {
                destroy(&paths.credential(name))?;
            }
        }
    } else {
        destroy(&paths.credential_secret())?;
        data_volume::destroy(paths, commands)?.iter().try_for_each(|file| destroy(file))?;
    }
    for file in [
        paths.identity(),
        paths.new_identity(),
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
    let all = [paths.secrets_dir(), paths.guard_dir()];
    for folder in all.into_iter().chain((!outlived).then(|| paths.credstore())) {
        files_in(&folder)?.iter().try_for_each(|file| destroy(file))?;
    }
    Ok(())
}

/// The files in a folder; none where there is no such folder.
fn files_in(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let Ok(entries) = folder.read_dir_utf8() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            found.push(entry.into_path());
        }
    }
    Ok(found)
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
            wipe(&bench.machine.paths, &*bench.machine.commands, false).unwrap();
        }
        assert!(secrets.iter().all(|path| !bench.at(path).exists()));
        assert!(bench.at("/var/lib/stead/fence").exists());
    }

    #[test]
    fn on_a_machine_that_outlives_the_node_only_what_is_the_nodes_goes() {
        let bench = Bench::new();
        std::fs::create_dir_all(bench.at("/etc/credstore.encrypted")).unwrap();
        std::fs::create_dir_all(bench.at("/var/lib/systemd")).unwrap();
        let ours = ["/var/lib/stead/identity", "/etc/credstore.encrypted/KEY", "/var/lib/stead/secrets/KEY.json"];
        let theirs = ["/etc/credstore.encrypted/db-password", "/var/lib/systemd/credential.secret"];
        for path in ours.iter().chain(&theirs) {
            std::fs::write(bench.at(path), "x").unwrap();
        }
        wipe(&bench.machine.paths, &*bench.machine.commands, true).unwrap();
        assert!(ours.iter().all(|path| !bench.at(path).exists()));
        assert!(theirs.iter().all(|path| bench.read(path) == "x"));
    }
}
