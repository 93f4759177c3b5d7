use std::cell::{Cell, RefCell};

use camino::Utf8Path;

use super::*;
use crate::node::exec::Output;

/// A disk with a partition for data, and the programs that work on it. Dies after so many commands.
struct Disk {
    paths: Paths,
    /// What blkid says of the partition and of what is opened.
    types: RefCell<[&'static str; 2]>,
    uuid: &'static str,
    label: &'static str,
    formatted: Cell<u32>,
    left: Cell<u32>,
}

const PARTITION: usize = 0;
const INNER: usize = 1;

impl Disk {
    fn new(dir: &Utf8Path, label: &'static str) -> Self {
        let paths = Paths::new(dir.to_owned());
        let disk = dir.join("sys/devices/vda");
        for (name, number) in [("vda1", "1"), ("vda2", "2")] {
            fs_err::create_dir_all(disk.join(name)).unwrap();
            fs_err::write(disk.join(name).join("partition"), number).unwrap();
        }
        for (path, text) in [
            ("proc/self/mountinfo", "1 0 254:1 / / rw - ext4 /dev/vda1 rw\n"),
            // The key's ciphertext: systemd's own part is not looked at here.
            ("var/lib/stead/data-volume.cred", "x"),
        ] {
            fs_err::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
            fs_err::write(dir.join(path), text).unwrap();
        }
        fs_err::create_dir_all(dir.join("sys/dev/block")).unwrap();
        fs_err::create_dir_all(dir.join("dev/mapper")).unwrap();
        fs_err::create_dir_all(dir.join("run/stead")).unwrap();
        fs_err::create_dir_all(dir.join("srv/data")).unwrap();
        std::os::unix::fs::symlink("../../devices/vda/vda1", dir.join("sys/dev/block/254:1")).unwrap();
        let (types, formatted, left) = (RefCell::new(["", ""]), Cell::new(0), Cell::new(u32::MAX));
        Self { paths, types, uuid: "part-2", label, formatted, left }
    }

    /// As after a boot: nothing is open.
    fn boot(&self) {
        let _ = fs_err::remove_file(self.paths.at(OPENED));
        self.left.set(u32::MAX);
    }
}

impl Commands for Disk {
    fn run(&self, run: &Run) -> Result<Output> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| Error::failed("killed"))?;
        self.left.set(left);
        let argv: Vec<&str> = run.argv.iter().map(String::as_str).collect();
        let mut types = self.types.borrow_mut();
        let said = |text: &str| {
            Ok(Output { status: if text.is_empty() { 2 } else { 0 }, stdout: text.into(), ..Output::default() })
        };
        match argv[..] {
            ["blkid", .., "PART_ENTRY_UUID", device] => {
                assert_eq!(device, "/dev/vda2");
                return said(self.uuid);
            }
            ["blkid", .., "PART_ENTRY_NAME", device] => {
                return said(if device == "/dev/vda2" { self.label } else { "root" });
            }
            ["blkid", .., "TYPE", device] => return said(types[usize::from(device == OPENED)]),
            ["cryptsetup", "luksFormat", ..] => {
                self.formatted.set(self.formatted.get() + 1);
                // A header that is begun and not finished.
                *types = ["crypto_LUKS", ""];
            }
            ["cryptsetup", "open", ..] if types[PARTITION] == "crypto_LUKS" => {
                fs_err::write(self.paths.at(OPENED), "")?
            }
            ["cryptsetup", "open", ..] => return Ok(Output { status: 2, ..Output::default() }),
            ["cryptsetup", "erase", ..] => *types = ["", ""],
            ["mkfs.ext4", ..] => {
                assert_eq!(types[INNER], "", "a file system is never made over another");
                types[INNER] = "ext4";
            }
            _ => {}
        }
        Ok(Output::default())
    }
}

fn temporary() -> (tempfile::TempDir, Utf8PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let dir = Utf8PathBuf::from_path_buf(temp.path().canonicalize().unwrap()).unwrap();
    (temp, dir)
}

#[test]
fn a_volume_in_use_is_never_made_again_wherever_a_run_was_killed() {
    for killed_after in 0..24 {
        let (_temp, dir) = temporary();
        let disk = Disk::new(&dir, "data");
        disk.left.set(killed_after);
        let first = open(&disk.paths, &disk);
        disk.boot();
        assert!(open(&disk.paths, &disk).unwrap(), "killed after {killed_after}: {first:?}");
        assert!(disk.formatted.get() <= 2);
        assert_eq!(*disk.types.borrow(), ["crypto_LUKS", "ext4"]);
        // From now on it is in use.
        let formatted = disk.formatted.get();
        disk.boot();
        open(&disk.paths, &disk).unwrap();
        // Also where the root forgot that it was made whole.
        fs_err::remove_file(disk.paths.data_volume_made()).unwrap();
        disk.boot();
        open(&disk.paths, &disk).unwrap();
        assert_eq!(disk.formatted.get(), formatted);
    }
}

#[test]
fn what_is_not_this_machines_is_left_alone() {
    let (_temp, dir) = temporary();
    let disk = Disk::new(&dir, "data");
    *disk.types.borrow_mut() = ["ext4", ""];
    let error = open(&disk.paths, &disk).unwrap_err().to_string();
    assert!(error.contains("it holds ext4"), "{error}");
    *disk.types.borrow_mut() = ["crypto_LUKS", ""];
    open(&disk.paths, &disk).unwrap_err();
    assert_eq!(destroy(&disk.paths, &disk).unwrap(), Vec::<Utf8PathBuf>::new());
    assert_eq!(*disk.types.borrow(), ["crypto_LUKS", ""]);

    // Another disk's partition of that label is not looked at.
    let (_temp, dir) = temporary();
    let disk = Disk::new(&dir, "other");
    assert_eq!(partition(&disk.paths, &disk).unwrap(), None);
}

#[test]
fn a_wipe_destroys_the_header_of_the_volume_that_was_taken() {
    let (_temp, dir) = temporary();
    let mut disk = Disk::new(&dir, "data");
    open(&disk.paths, &disk).unwrap();
    assert_eq!(destroy(&disk.paths, &disk).unwrap().len(), 3);
    assert_eq!(*disk.types.borrow(), ["", ""]);
    // Another disk in its place.
    *disk.types.borrow_mut() = ["crypto_LUKS", "ext4"];
    disk.uuid = "another";
    destroy(&disk.paths, &disk).unwrap();
    assert_eq!(*disk.types.borrow(), ["crypto_LUKS", "ext4"]);
    disk.boot();
    open(&disk.paths, &disk).unwrap_err();
}
