//! The node's part in the exchange of its SSH host key: a key made here, put in use when the controller has recorded it.

use camino::Utf8Path;

use super::Paths;
use crate::error::Context;
use crate::keypair::{self, PrivateKey, PublicKey};
use crate::{Error, Result, atomic_file};

/// sshd's Ed25519 key, within its folder.
const KEY_FILE: &str = "ssh_host_ed25519_key";
/// Keeps cloud-init from deleting or making host keys at a later boot. (cloud-init applies the user-data's `ssh_keys` once
/// per instance, so a reboot does not bring the bootstrap key back either.)
const CLOUD_CFG: &str = "# The node made its own host key; see ssh_host_ed25519_key.pub.\n\
    ssh_deletekeys: false\n\
    ssh_genkeytypes: [ed25519]\n";

/// Makes a host key aside, or finds the one made before, also where it is in use already. Returns its public half in
/// OpenSSH's format.
///
/// # Errors
/// Fails where a key cannot be read or written.
pub fn prepare(paths: &Paths) -> Result<String> {
    state_folder(paths)?;
    let aside = paths.new_host_key();
    if keypair::read(&aside)?.is_none()
        && let Some(own) = own_key_in_use(paths)?
    {
        return keypair::public_text(&own);
    }
    let key = keypair::read_or_create(&aside, "stead-node")?;
    keypair::public_text(key.public_key())
}

/// Puts the key in use that was made aside: writes it to sshd's folder, removes every other host key, keeps cloud-init
/// away from them, and has sshd read it. Connections that exist live on. Does nothing where all that is done.
///
/// # Errors
/// Fails where `public` is not the key that was made here, a file cannot be written, or sshd refuses its configuration.
pub fn install(paths: &Paths, public: &str) -> Result<()> {
    let wanted = keypair::parse_public(public)?;
    let aside = paths.new_host_key();
    let Some(key) = keypair::read(&aside)? else {
        return match own_key_in_use(paths)? {
            Some(own) if own.key_data() == wanted.key_data() => Ok(()),
            _ => Err(not_made_here(&wanted)),
        };
    };
    if key.public_key().key_data() != wanted.key_data() {
        return Err(not_made_here(&wanted));
    }
    settle_cloud_init(paths)?;
    put_in_use(paths, &key)?;
    reload_sshd(paths)?;
    // From here on the key in use is known as our own, and the one aside is not needed. In this order: a crash in between
    // leaves both, and the next call does all of the above again.
    let own = keypair::public_text(key.public_key())?;
    atomic_file::write(&own_key_record(paths), format!("{own}\n").as_bytes(), 0o644)?;
    atomic_file::remove(&aside)?;
    Ok(())
}

fn not_made_here(wanted: &PublicKey) -> Error {
    Error::failed(format!("the host key {} was not made on this node", keypair::fingerprint(wanted)))
        .hint("ask the node for its key again: it puts no other in use")
}

/// Says which host key the node made itself, once that is in use.
fn own_key_record(paths: &Paths) -> camino::Utf8PathBuf {
    paths.state_dir().join("host_key.pub")
}

fn own_key_in_use(paths: &Paths) -> Result<Option<PublicKey>> {
    let Some(text) = atomic_file::read(&own_key_record(paths))? else { return Ok(None) };
    let own = keypair::parse_public(&String::from_utf8_lossy(&text))?;
    let in_use = keypair::read(&paths.ssh_dir().join(KEY_FILE))?;
    Ok(in_use.filter(|key| key.public_key().key_data() == own.key_data()).map(|_| own))
}

/// The key by which this node is known.
///
/// # Errors
/// Fails where the node has not made one yet.
pub(super) fn in_use(paths: &Paths) -> Result<PrivateKey> {
    keypair::read_existing(&paths.ssh_dir().join(KEY_FILE))
}

fn put_in_use(paths: &Paths, key: &PrivateKey) -> Result<()> {
    let folder = paths.ssh_dir();
    let public = keypair::public_text(key.public_key())?;
    keypair::write(&folder.join(KEY_FILE), key)?;
    let public_file = format!("{KEY_FILE}.pub");
    atomic_file::write(&folder.join(&public_file), format!("{public}\n").as_bytes(), 0o644)?;
    for entry in folder.read_dir_utf8().with_context(|| format!("reading {folder}"))? {
        let entry = entry.with_context(|| format!("reading {folder}"))?;
        let name = entry.file_name();
        if name.starts_with("ssh_host_") && name.contains("_key") && name != KEY_FILE && name != public_file {
            atomic_file::remove(entry.path())?;
        }
    }
    Ok(())
}

fn settle_cloud_init(paths: &Paths) -> Result<()> {
    let folder = paths.cloud_cfg_dir();
    // A machine that people brought may have no cloud-init.
    if folder.is_dir() {
        atomic_file::write(&folder.join("99-stead-hostkey.cfg"), CLOUD_CFG.as_bytes(), 0o644)?;
    }
    Ok(())
}

fn reload_sshd(paths: &Paths) -> Result<()> {
    if !paths.is_machine() {
        return Ok(());
    }
    // Debian's unit; where sshd is started per connection there is nothing to reload, and the command does nothing.
    let output = std::process::Command::new("systemctl")
        .args(["try-reload-or-restart", "ssh.service"])
        .output()
        .context("running systemctl")?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::failed("sshd could not be reloaded")
        .because(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        .hint("`sshd -t` and `systemctl status ssh` on the node tell why; the connection that exists lives on"))
}

/// Makes the folder of everything that the agent remembers, where it is missing.
///
/// # Errors
/// Fails as the file system does.
pub(super) fn state_folder(paths: &Paths) -> Result<()> {
    let folder = paths.state_dir();
    if Utf8Path::is_dir(&folder) { Ok(()) } else { atomic_file::private_folder(&folder) }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    fn node() -> (tempfile::TempDir, Paths) {
        let guard = tempfile::tempdir().unwrap();
        let paths = Paths::new(Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap());
        for dir in [paths.ssh_dir(), paths.cloud_cfg_dir()] {
            std::fs::create_dir_all(dir).unwrap();
        }
        for name in ["ssh_host_rsa_key", "ssh_host_rsa_key.pub", "ssh_host_ed25519_key-cert.pub", "sshd_config"] {
            std::fs::write(paths.ssh_dir().join(name), "x").unwrap();
        }
        keypair::write(&paths.ssh_dir().join(KEY_FILE), &keypair::generate("bootstrap").unwrap()).unwrap();
        (guard, paths)
    }

    #[test]
    fn one_key_however_often_it_is_asked_for() {
        let (_guard, paths) = node();
        let public = prepare(&paths).unwrap();
        assert_eq!(prepare(&paths).unwrap(), public);
        install(&paths, &public).unwrap();
        assert_eq!(prepare(&paths).unwrap(), public, "the key in use is found again");
        install(&paths, &public).unwrap();

        let mut names: Vec<_> =
            paths.ssh_dir().read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
        names.sort();
        assert_eq!(names, ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub", "sshd_config"]);
        let in_use = keypair::read_existing(&paths.ssh_dir().join(KEY_FILE)).unwrap();
        assert_eq!(keypair::public_text(in_use.public_key()).unwrap(), public);
        assert!(paths.cloud_cfg_dir().join("99-stead-hostkey.cfg").exists());
    }

    #[test]
    fn a_crash_between_the_files_and_the_record_heals() {
        let (_guard, paths) = node();
        let public = prepare(&paths).unwrap();
        // As far as a call came that was cut off before it wrote the record.
        put_in_use(&paths, &keypair::read_existing(&paths.new_host_key()).unwrap()).unwrap();
        assert_eq!(prepare(&paths).unwrap(), public);
        install(&paths, &public).unwrap();
        assert!(!paths.new_host_key().exists());
    }

    #[test]
    fn no_other_key_is_put_in_use() {
        let (_guard, paths) = node();
        let other = keypair::public_text(keypair::generate("other").unwrap().public_key()).unwrap();
        assert!(install(&paths, &other).is_err(), "nothing was prepared");
        prepare(&paths).unwrap();
        assert!(install(&paths, &other).is_err());
    }
}
