//! A machine's NoCloud seed: a small disk with the label that cloud-init looks for.
//!
//! See cloud-init's documentation of the data source NoCloud ("a drive labelled CIDATA").

use std::io::{Cursor, Write};

use camino::{Utf8Path, Utf8PathBuf};
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use zeroize::Zeroizing;

use crate::error::Context;
use crate::{Result, atomic_file};

/// The disk's size in bytes: more than user-data may be.
const SIZE: usize = 4 << 20;
/// The label, as FAT pads it.
const LABEL: [u8; 11] = *b"CIDATA     ";

/// Writes the seed as `seed.img` into `dir`, readable for its owner only: it holds the bootstrap host key.
///
/// # Errors
/// Fails where the file system does, and where the texts are larger than the disk.
pub fn write(dir: &Utf8Path, user_data: &str, meta_data: &str) -> Result<Utf8PathBuf> {
    let path = dir.join("seed.img");
    let image = image(&[("user-data", user_data), ("meta-data", meta_data)]).context("making the machine's seed")?;
    atomic_file::write(&path, &image, 0o600)?;
    Ok(path)
}

/// A FAT disk with these files.
fn image(files: &[(&str, &str)]) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut disk = Zeroizing::new(vec![0; SIZE]);
    fatfs::format_volume(Cursor::new(&mut disk[..]), FormatVolumeOptions::new().volume_label(LABEL))?;
    {
        let disk = FileSystem::new(Cursor::new(&mut disk[..]), FsOptions::new())?;
        for (name, text) in files {
            let mut file = disk.root_dir().create_file(name)?;
            file.write_all(text.as_bytes())?;
            file.flush()?;
        }
        disk.unmount()?;
    }
    Ok(disk)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_seed_has_its_label_and_its_files_and_is_its_owners_alone() {
        let temp = tempfile::tempdir().unwrap();
        let user_data = "#cloud-config\n".repeat(9000);
        let path = write(Utf8Path::from_path(temp.path()).unwrap(), &user_data, "instance-id: a\n").unwrap();
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut disk = fs_err::read(&path).unwrap();
        let disk = FileSystem::new(Cursor::new(&mut disk[..]), FsOptions::new()).unwrap();
        assert_eq!(disk.volume_label(), "CIDATA");
        assert_eq!(disk.read_volume_label_from_root_dir().unwrap().as_deref(), Some("CIDATA"));
        let names: Vec<_> = disk.root_dir().iter().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["user-data", "meta-data"]);
        let mut text = String::new();
        disk.root_dir().open_file("user-data").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, user_data);
    }

    #[test]
    fn user_data_that_does_not_fit_is_an_error() {
        assert!(image(&[("user-data", &"x".repeat(SIZE))]).is_err());
    }
}
