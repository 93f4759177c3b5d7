//! A new fleet: small, and working as it is.

use camino::{Utf8Path, Utf8PathBuf};

use super::name::check_label;
use super::walk::MAIN;
use crate::error::Context;
use crate::id::FleetId;
use crate::{Error, Result};

/// Writes a small working fleet into a folder, which is made where it is missing, and gives the paths written, relative
/// to that folder. Files that are there already are kept.
///
/// # Errors
/// Fails where the folder has a `stead.yaml`, where the name is not a legal one, and where files cannot be written.
pub fn init(dir: &Utf8Path, name: &str) -> Result<Vec<Utf8PathBuf>> {
    check_label(name)?;
    if dir.join(MAIN).exists() {
        return Err(Error::input(format!("{dir} has a {MAIN} already"))
            .hint("`stead status` shows that fleet; `stead init DIR` writes a new one elsewhere"));
    }
    // The main file comes last: a folder with one is a whole fleet.
    let files = [
        (".gitignore", include_str!("starter/gitignore").to_owned()),
        ("playbooks/welcome.yaml", include_str!("starter/welcome.yaml").to_owned()),
        (MAIN, main_file(name, &FleetId::mint())),
    ];
    let mut written = Vec::new();
    for (path, text) in files {
        let full = dir.join(path);
        if full.exists() {
            continue;
        }
        if let Some(folder) = full.parent() {
            fs_err::create_dir_all(folder).context("writing a new fleet")?;
        }
        write_new(&full, &text).with_context(|| format!("writing {full}"))?;
        written.push(path.into());
    }
    Ok(written)
}

fn main_file(name: &str, id: &FleetId) -> String {
    include_str!("starter/stead.yaml").replace("FLEET_NAME", name).replace("FLEET_ID", id.as_str())
}

/// Aside, then under its name: whoever finds the file finds all of it.
fn write_new(path: &Utf8Path, text: &str) -> Result<()> {
    use std::io::Write;
    let folder = path.parent().ok_or_else(|| Error::failed(format!("{path} has no folder")))?;
    let mut file = tempfile::Builder::new()
        .permissions(<std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644))
        .tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    // Refuses to replace what someone else has put there in the meantime.
    file.persist_noclobber(path).map_err(|error| error.error)?;
    fs_err::File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{FileSet, load};

    #[test]
    fn a_new_fleet_is_whole_and_is_never_written_over() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = Utf8PathBuf::from_path_buf(temporary.path().join("fleets/mine")).unwrap();
        let written = init(&dir, "mine").unwrap();
        assert_eq!(written, [".gitignore", "playbooks/welcome.yaml", "stead.yaml"].map(Utf8PathBuf::from));

        let files = FileSet::read(&dir).unwrap();
        assert!(files.get("playbooks/welcome.yaml").is_some());
        let fleet = load(&files).unwrap();
        assert_eq!(fleet.name, "mine");
        assert_eq!(fleet.workspaces.keys().collect::<Vec<_>>(), ["acme", "globex"]);
        assert!(fleet.workspaces.values().all(|workspace| workspace.secrets == ["OPENAI_API_KEY"]));

        let before = fs_err::read_to_string(dir.join(MAIN)).unwrap();
        let error = init(&dir, "mine").unwrap_err();
        assert!(error.to_string().contains("already"), "{error}");
        assert_eq!(fs_err::read_to_string(dir.join(MAIN)).unwrap(), before);
    }

    #[test]
    fn a_bad_name_writes_nothing() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = Utf8PathBuf::from_path_buf(temporary.path().join("x")).unwrap();
        assert!(init(&dir, "My Fleet").is_err());
        assert!(!dir.exists());
    }
}
