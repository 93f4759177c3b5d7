//! The data volume: the rest of the machine's own disk, encrypted, apart from the root.
//!
//! Made at the first boot and opened at every other, by `stead-data.service`. Its key is made on the machine and lies in the
//! root, encrypted by systemd-creds to the machine's own key; so a wipe is a matter of two small files and the volume's
//! header. What must outlive the root goes there: `/var/lib/private`, where services with dynamic users have their state.
//!
//! Nothing is ever formatted but a partition of the disk that the root lies on, that was blank when this machine took it
//! (written down first, by its UUID), and that holds no file system yet.

use camino::Utf8PathBuf;
use zeroize::Zeroizing;

use crate::error::Context;
use crate::node::exec::{Commands, Run};
use crate::node::{Paths, files, mounts, secrets};
use crate::redact::Secret;
use crate::{Error, Result};

/// The partition's label, and the name of what is opened.
const LABEL: &str = "data";
/// The opened volume.
const OPENED: &str = "/dev/mapper/data";
/// Where it is mounted.
const PLACE: &str = "/srv/data";
/// What lies on it and is seen as `/var/lib/private`.
const PRIVATE: &str = "/srv/data/private";
/// The units that mount the volume, and that folder of it.
const MOUNTS: [&str; 2] = ["srv-data.mount", "var-lib-private.mount"];
/// What systemd-repart makes of the rest of the disk (repart.d(5)).
const DEFINITION: &str = "[Partition]\nType=linux-generic\nLabel=data\nSizeMinBytes=64M\n";
/// How the key is called among credentials, which binds the ciphertext to that use.
const CREDENTIAL: &str = "stead-data-volume";
/// What blkid ends with where it finds nothing (blkid(8)).
const NOTHING_FOUND: i32 = 2;

/// Makes the volume where there is none yet, opens and mounts it. Whether there is one: a disk without room has none.
///
/// # Errors
/// Fails where a step does; what was made by then is gone on with the next time. Fails as well where the partition holds what
/// this machine did not put there.
pub fn open(paths: &Paths, commands: &dyn Commands) -> Result<bool> {
    if !mounts::mounted(paths, PLACE)?.is_empty() {
        return Ok(true);
    }
    let device = match partition(paths, commands)? {
        Some(device) => device,
        None => match make_partition(paths, commands)? {
            Some(device) => device,
            None => return Ok(false),
        },
    };
    take(paths, commands, &device)?;
    // What a run that was killed half way left open stays so.
    if !paths.at(OPENED).exists() {
        let key = key(paths, commands)?;
        if paths.data_volume_made().exists() {
            unlock(commands, &device, &key)?;
        } else if probe(commands, &device, "TYPE")? != "crypto_LUKS" || unlock(commands, &device, &key).is_err() {
            // Blank, or its header was not finished: nothing can be in it.
            format(commands, &device, &key)?;
            unlock(commands, &device, &key)?;
        }
    }
    if !paths.data_volume_made().exists() {
        if probe(commands, OPENED, "TYPE")?.is_empty() {
            commands.must(&Run::new(["mkfs.ext4", "-q", "-F", "-m", "0", "-L", LABEL, OPENED]))?;
        }
        files::replace(&paths.data_volume_made(), b"", 0o600)?;
    }
    // systemd mounts: this program is kept in a sandbox, whose mounts nobody else would see.
    let [volume, private] = MOUNTS;
    commands.must(&Run::new(["systemctl", "start", volume]))?;
    files::make_folder(&paths.at(PRIVATE), 0o700)?;
    commands.must(&Run::new(["systemctl", "start", private]))?;
    Ok(true)
}

/// Makes the volume's content unreadable for good: its header goes. Gives the files that are to go as well, the key among them.
///
/// # Errors
/// Fails where the header is there and cannot be destroyed.
pub(crate) fn destroy(paths: &Paths, commands: &dyn Commands) -> Result<Vec<Utf8PathBuf>> {
    if !paths.data_volume_taken().exists() {
        return Ok(Vec::new());
    }
    if let Some(device) = partition(paths, commands)?
        && is_ours(paths, commands, &device)?
        && probe(commands, &device, "TYPE")? == "crypto_LUKS"
    {
        // Also while it is mounted: the key slots go, and what the kernel still holds goes with the machine.
        commands.must(&Run::new(["cryptsetup", "erase", "--batch-mode", &device]))?;
    }
    Ok(vec![paths.data_volume_key(), paths.data_volume_made(), paths.data_volume_taken()])
}

/// The partition of that label on the disk that the root lies on; others' disks may have one as well.
fn partition(paths: &Paths, commands: &dyn Commands) -> Result<Option<String>> {
    let root = mounts::mounted(paths, "/")?.pop().ok_or_else(|| Error::failed("nothing is mounted at /"))?;
    let (major, minor) = root.device;
    let Ok(own) = paths.at(format!("/sys/dev/block/{major}:{minor}")).canonicalize_utf8() else {
        return Err(Error::failed("the root does not lie on a disk"));
    };
    let disk = own.parent().filter(|_| own.join("partition").exists());
    let disk = disk.ok_or_else(|| Error::failed("the root does not lie on a partition of a disk"))?;
    for entry in disk.read_dir_utf8()? {
        let place = entry?.into_path();
        let Some(name) = place.file_name().filter(|_| place.join("partition").exists()) else { continue };
        let device = format!("/dev/{name}");
        // Not the kernel's own word: it knows no label of a partition that was made since it looked at the disk.
        if probe(commands, &device, "PART_ENTRY_NAME")? == LABEL {
            return Ok(Some(device));
        }
    }
    Ok(None)
}

/// Makes the partition of the rest of the disk; none where there is no room for one.
fn make_partition(paths: &Paths, commands: &dyn Commands) -> Result<Option<String>> {
    let folder = paths.run_dir().join("repart.d");
    files::make_folder(&folder, 0o755)?;
    files::replace(&folder.join("data.conf"), DEFINITION.as_bytes(), 0o644)?;
    let definitions = format!("--definitions={folder}");
    let made = commands.run(&Run::new(["systemd-repart", "--dry-run=no", "--no-pager", &definitions]))?;
    if made.status != 0 {
        if made.stderr.contains("t fit requested partitions") || made.stderr.contains("No space left") {
            return Ok(None);
        }
        return Err(Error::failed("the data volume's partition could not be made").because(made.tail()));
    }
    commands.must(&Run::new(["udevadm", "settle", "--timeout=60"]))?;
    let found = partition(paths, commands)?;
    found
        .map(Some)
        .ok_or_else(|| Error::failed("the data volume's partition was made, but the kernel does not show it"))
}

/// Writes down that the partition is this machine's, before anything is written to it. Only a blank one is taken.
fn take(paths: &Paths, commands: &dyn Commands, device: &str) -> Result<()> {
    if is_ours(paths, commands, device)? {
        return Ok(());
    }
    let found = probe(commands, device, "TYPE")?;
    if !found.is_empty() || paths.data_volume_taken().exists() {
        let found = if found.is_empty() { "another partition than before" } else { &found };
        return Err(Error::failed(format!("{device} is not this machine's data volume: it holds {found}"))
            .hint("nothing was changed; if its content may go, wipe it (`wipefs --all`), else give it another label"));
    }
    let uuid = probe(commands, device, "PART_ENTRY_UUID")?;
    if uuid.is_empty() {
        return Err(Error::failed(format!("{device} has no UUID to know it by again")));
    }
    files::make_folder(&paths.state_dir(), 0o700)?;
    files::replace(&paths.data_volume_taken(), uuid.as_bytes(), 0o600)
}

/// Whether the partition is the one that this machine took.
fn is_ours(paths: &Paths, commands: &dyn Commands, device: &str) -> Result<bool> {
    let Ok(taken) = fs_err::read_to_string(paths.data_volume_taken()) else { return Ok(false) };
    Ok(!taken.is_empty() && probe(commands, device, "PART_ENTRY_UUID")? == taken)
}

/// What blkid finds on a device by looking at it, not by what it remembers.
fn probe(commands: &dyn Commands, device: &str, tag: &str) -> Result<String> {
    let output = commands.run(&Run::new(["blkid", "--probe", "--output", "value", "--match-tag", tag, device]))?;
    match output.status {
        0 => Ok(output.stdout.trim().to_owned()),
        NOTHING_FOUND => Ok(String::new()),
        _ => Err(Error::failed(format!("it cannot be told what is on {device}")).because(output.tail())),
    }
}

/// The volume's key: the one that the machine has, else a new one.
fn key(paths: &Paths, commands: &dyn Commands) -> Result<Zeroizing<Vec<u8>>> {
    let file = paths.data_volume_key();
    if !file.exists() {
        if paths.data_volume_made().exists() {
            return Err(Error::failed(format!("the data volume's key is gone: there is no {file}")).hint(
                "without it nobody can read the volume; take the node's data from a backup, or make the node anew",
            ));
        }
        let mut random = Zeroizing::new([0; 64]);
        getrandom::fill(&mut *random).map_err(|error| Error::failed(format!("no randomness: {error}")))?;
        let text = Secret::new(hex::encode(*random).into_bytes());
        // On disk before anything is encrypted with it.
        files::replace(&file, &secrets::encrypt(paths, CREDENTIAL, &text)?, 0o600)?;
    }
    let name = format!("--name={CREDENTIAL}");
    let output = commands.must(&Run::new(["systemd-creds", "decrypt", &name, file.as_str(), "-"]));
    let output = output.context("opening the data volume's key")?;
    Ok(Zeroizing::new(output.stdout.into_bytes()))
}

fn unlock(commands: &dyn Commands, device: &str, key: &[u8]) -> Result<()> {
    let mut run = Run::new(["cryptsetup", "open", "--type=luks2", "--key-file=-", device, LABEL]);
    run.stdin = Some(key.to_vec());
    commands.must(&run).context("opening the data volume").map(drop)
}

/// Makes the encryption's header. The key is as long as the cipher's own: there is nothing for a slow hash to do.
fn format(commands: &dyn Commands, device: &str, key: &[u8]) -> Result<()> {
    let mut run = Run::new(["cryptsetup", "luksFormat", "--type=luks2", "--batch-mode", "--cipher=aes-xts-plain64"]);
    let more = ["--key-size=512", "--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", "--label=stead-data"];
    run.argv.extend(more.into_iter().chain(["--key-file=-", device]).map(str::to_owned));
    run.stdin = Some(key.to_vec());
    commands.must(&run).context("encrypting the data volume").map(drop)
}

#[cfg(test)]
mod tests;
