//! Archives good and bad.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use base64::Engine as _;
use tar::{Builder, EntryType, Header};

use super::*;

/// A tar archive with `h` in it, as `xz -9e` packs it.
const XZ: &str = "/Td6WFoAAATm1rRGAgAhARwAAAAQz1jM4Cf/AGJdADQAM1AYaImDAdzibkdnUCbZPT258TTPuzpsxBcb8LfoCc597icb4mPGlgkBaeTm10Kn\
                  +xywsrtlE9xSMgtfRrzsYcnVl0mNK5RAZb37czi4/RsFKzbuLfcGGGqB5lWMp3dAAAAARj2lcX9XFU4AAX6AUAAAAFwHloixxGf7AgAAAAAE\
                  WVo=";

/// What is in an archive: type, name, link or content, mode.
type Entry<'a> = (EntryType, &'a str, &'a str, u32);

const FILE: EntryType = EntryType::Regular;
const DIR: EntryType = EntryType::Directory;
const LINK: EntryType = EntryType::Symlink;

fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, text, mode) in entries {
        let mut header = Header::new_ustar();
        let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
        let content = if is_link { "" } else { *text };
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_uid(4242);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        // As bytes: the crate's own functions refuse what leads out.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if is_link {
            header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn at(&self, path: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.dir.path()).unwrap().join(path)
    }

    fn unpack(&self, archive: &[u8], strip: usize, ours: &[&str]) -> Result<Vec<String>> {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let attributes = Attributes { uid, gid, mode: 0o755 };
        let ours = ours.iter().map(|name| (*name).to_owned()).collect();
        Ok(unpack(Box::new(archive), &self.at("x"), strip, attributes, ours)?.into_iter().collect())
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    fn count(&self, path: &str) -> usize {
        fs::read_dir(self.at(path)).unwrap().count()
    }
}

#[test]
fn every_format_is_told_by_its_first_bytes() {
    let plain = tar(&[(FILE, "h", "hello\n", 0o644)]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let xz = base64::engine::general_purpose::STANDARD.decode(XZ).unwrap();
    for packed in [gzip.finish().unwrap(), xz, zstd::encode_all(&plain[..], 1).unwrap(), plain] {
        let bench = Bench::new();
        assert_eq!(bench.unpack(&packed, 0, &[]).unwrap(), [".", "h"]);
        assert_eq!(bench.read("x/h"), "hello\n");
        assert_eq!(bench.count(""), 1, "nothing is left beside it");
        // Without its end it is broken, and nothing is there of it.
        let bench = Bench::new();
        let cut = if packed.len() > 1024 { 515 } else { packed.len() - 5 };
        assert!(bench.unpack(&packed[..cut], 0, &[]).is_err());
        assert_eq!(bench.count(""), 0);
    }
    for (other, says) in [(&b"PK\x03\x04"[..], "a zip archive"), (b"", "no archive"), (b"BZh91AY", "no archive")] {
        let error = Bench::new().unpack(other, 0, &[]).unwrap_err();
        assert!(error.one_line().contains(says) && error.hints()[0].contains("gzip, xz or zstd"), "{error:?}");
    }
}

#[test]
fn what_is_in_it_comes_with_safe_modes_and_one_owner() {
    let bench = Bench::new();
    let archive = tar(&[
        (DIR, "./", "", 0o777),
        (DIR, "app-1/", "", 0o1777),
        (FILE, "app-1/bin/run", "#!", 0o6775),
        (FILE, "app-1/conf", "old", 0o600),
        (FILE, "app-1/conf", "new", 0o666),
        (LINK, "app-1/bin/conf", "../conf", 0o777),
        (EntryType::Link, "app-1/run", "app-1/bin/run", 0o777),
        (FILE, "top", "", 0o644),
    ]);
    let names = [".", "bin", "bin/conf", "bin/run", "conf", "run"];
    assert_eq!(bench.unpack(&archive, 1, &[]).unwrap(), names);
    let metadata = |path: &str| bench.at(path).symlink_metadata().unwrap();
    let mode = |path: &str| metadata(path).permissions().mode() & 0o7777;
    assert_eq!(["x", "x/bin", "x/bin/run", "x/conf"].map(mode), [0o755, 0o755, 0o755, 0o644]);
    assert_eq!(bench.read("x/bin/conf"), "new");
    assert_eq!(metadata("x/run").ino(), metadata("x/bin/run").ino());
    assert_eq!(metadata("x/conf").uid(), rustix::process::geteuid().as_raw());
    assert_eq!(metadata("x/conf").mtime(), 1_000_000_000);
    assert!(bench.unpack(&archive, 4, &[]).unwrap_err().one_line().contains("nothing is left"));
}

#[test]
fn nothing_leads_out_of_the_folder() {
    let cases: [&[Entry<'_>]; 12] = [
        &[(FILE, "../out", "x", 0o644)],
        &[(FILE, "/out", "x", 0o644)],
        &[(FILE, "a/../../out", "x", 0o644)],
        &[(LINK, "a", "..", 0o777), (FILE, "a/out", "x", 0o644)],
        &[(LINK, "a", ".", 0o777), (FILE, "a/out", "x", 0o644)],
        &[(LINK, "a", "/", 0o777)],
        &[(LINK, "a", ".", 0o777), (LINK, "b", "a/..", 0o777)],
        &[(EntryType::Link, "a", "../victim", 0o644)],
        &[(EntryType::Link, "a", "/victim", 0o644)],
        &[(LINK, "a", ".", 0o777), (EntryType::Link, "b", "a/victim", 0o644)],
        &[(EntryType::Char, "null", "", 0o666)],
        &[(EntryType::Fifo, "pipe", "", 0o666)],
    ];
    for case in cases {
        for there in [false, true] {
            let bench = Bench::new();
            fs::write(bench.at("victim"), "v").unwrap();
            if there {
                fs::create_dir(bench.at("x")).unwrap();
            }
            let archive = tar(&[&[(FILE, "good", "", 0o644)], case].concat());
            assert!(bench.unpack(&archive, 0, &[]).is_err(), "{case:?}");
            assert_eq!(bench.count(""), 1 + usize::from(there), "{case:?}");
            assert!(!there || bench.count("x") == 0, "{case:?}");
            assert_eq!(bench.at("victim").metadata().unwrap().nlink(), 1);
        }
    }
}

#[test]
fn what_would_become_something_else_is_refused() {
    let mut builder = Builder::new(Vec::new());
    builder.append_pax_extensions([("GNU.sparse.major", &b"1"[..])]).unwrap();
    let mut header = Header::new_ustar();
    header.set_size(0);
    builder.append_data(&mut header, "GNUSparseFile.1/disk", &b""[..]).unwrap();
    let error = Bench::new().unpack(&builder.into_inner().unwrap(), 0, &[]).unwrap_err();
    assert!(error.hints()[0].contains("--sparse"), "{error:?}");
}

#[test]
fn over_a_folder_that_is_there_files_are_replaced_and_links_are_not_followed() {
    let bench = Bench::new();
    fs::create_dir_all(bench.at("x/lib/theirs")).unwrap();
    fs::create_dir(bench.at("elsewhere")).unwrap();
    fs::set_permissions(bench.at("x/lib"), fs::Permissions::from_mode(0o711)).unwrap();
    for (name, text) in [("x/lib/theirs/t", "theirs"), ("x/lib/a", "old"), ("victim", "v")] {
        fs::write(bench.at(name), text).unwrap();
    }
    symlink("../../victim", bench.at("x/lib/link")).unwrap();
    let archive = tar(&[
        (FILE, "lib/a", "new", 0o644),
        (FILE, "lib/link", "new", 0o644),
        (FILE, "lib/new/b", "new", 0o644),
        (DIR, "lib/", "", 0o755),
    ]);
    assert_eq!(bench.unpack(&archive, 0, &[]).unwrap(), ["lib/new", "lib/new/b"], "only that is ours");
    assert_eq!(
        (bench.read("x/lib/a"), bench.read("x/lib/link"), bench.read("victim")),
        ("new".into(), "new".into(), "v".into())
    );
    assert_eq!(bench.read("x/lib/theirs/t"), "theirs");
    assert_eq!(bench.at("x/lib").metadata().unwrap().permissions().mode() & 0o777, 0o711);
    assert_eq!(bench.count("x"), 1);

    symlink("../elsewhere", bench.at("x/data")).unwrap();
    let through = tar(&[(FILE, "lib/a", "newer", 0o644), (FILE, "data/a", "x", 0o644)]);
    let error = bench.unpack(&through, 0, &[]).unwrap_err();
    assert!(error.one_line().contains("data is no folder there"), "{error:?}");
    assert_eq!((bench.count("elsewhere"), bench.read("x/lib/a")), (0, "new".into()), "nothing was changed");

    let ours = ["lib", "lib/new", "lib/new/b"].map(str::to_owned).into();
    remove(&bench.at("x"), &ours).unwrap();
    assert!(!bench.at("x/lib/new").exists() && bench.at("x/lib/theirs/t").exists());
    remove(&bench.at("none"), &ours).unwrap();
}

#[test]
fn what_was_unpacked_goes_with_its_folder() {
    let bench = Bench::new();
    let brought = bench.unpack(&tar(&[(FILE, "a/b/c", "", 0o644), (LINK, "l", "a", 0o777)]), 0, &[]).unwrap();
    remove(&bench.at("x"), &brought.into_iter().collect()).unwrap();
    assert_eq!(bench.count(""), 0);
}
