//! From one root folder to another, as from one node to another.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, lgetxattr, lsetxattr, mknodat};

use super::record::{Entry, Kind};
use super::unpack::Unpack;
use super::*;
use crate::node::{host_key, identity, secrets};
use crate::redact::Secret;
use crate::wire::fingerprint::fingerprint;
use crate::wire::handover::Sum;

struct Side {
    paths: Paths,
    id: &'static str,
    _guard: tempfile::TempDir,
}

impl Side {
    fn new(id: &'static str, signer: &keypair::PrivateKey) -> Self {
        let guard = tempfile::tempdir().unwrap();
        let paths = Paths::new(Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap());
        for folder in
            ["/etc/stead", "/etc/ssh", "/var/lib/systemd", "/var/lib/private", "/proc/self", "/etc/systemd/system"]
        {
            std::fs::create_dir_all(paths.at(folder)).unwrap();
        }
        std::fs::write(paths.at("/proc/self/mountinfo"), "1 0 0:1 / / rw - ext4 /dev/x rw\n").unwrap();
        let record = NodeRecord {
            fleet: "fl_test".into(),
            node: id.into(),
            mark: "m".into(),
            signer: keypair::public_text(signer.public_key()).unwrap(),
        };
        std::fs::write(paths.node_json(), serde_json::to_vec(&record).unwrap()).unwrap();
        let public = host_key::prepare(&paths).unwrap();
        host_key::install(&paths, &public).unwrap();
        identity::recipient(&paths).unwrap();
        Self { paths, id, _guard: guard }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.paths.at(path).into_std_path_buf()
    }
}

struct Pair {
    fleet: keypair::PrivateKey,
    old: Side,
    new: Side,
}

impl Pair {
    fn new() -> Self {
        let fleet = keypair::generate("fleet").unwrap();
        let (old, new) = (Side::new("nd_old", &fleet), Side::new("nd_new", &fleet));
        Self { fleet, old, new }
    }

    fn ticket(&self) -> Ticket {
        let ticket = Ticket {
            fleet: "fl_test".into(),
            from: self.old.id.into(),
            from_key: keypair::public_text(host_key::in_use(&self.old.paths).unwrap().public_key()).unwrap(),
            to: self.new.id.into(),
            recipient: identity::recipient(&self.new.paths).unwrap(),
            workflow: "wf_1".into(),
            signature: String::new(),
        };
        ticket.sign(&self.fleet).unwrap()
    }

    fn sent(&self) -> (Sum, Vec<u8>) {
        let mut stream = Vec::new();
        let sum = send(&self.old.paths, &self.ticket(), &mut stream).unwrap();
        (sum, stream)
    }

    /// Nothing of what was sent is in place.
    fn is_untouched(&self) -> bool {
        let names = |path: &str| {
            let entries = std::fs::read_dir(self.new.at(path)).into_iter().flatten();
            entries.filter(|entry| entry.as_ref().unwrap().file_name() != ASIDE).count()
        };
        names("/var/lib/private") + names("/srv/data") == 0
            && !self.new.paths.secrets_dir().exists()
            && !self.new.paths.credstore().exists()
    }
}

fn file(path: &std::path::Path, content: &[u8], mode: u32) {
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Whatever a file system has.
fn odd_tree(side: &Side) {
    let top = side.at("/var/lib/private/agent-acme");
    std::fs::create_dir_all(top.join("empty")).unwrap();
    std::fs::set_permissions(top.join("empty"), std::fs::Permissions::from_mode(0o1777)).unwrap();
    file(&top.join(OsStr::from_bytes(b"not \xff\xfe utf-8\n with a line end")), b"odd", 0o600);
    file(&top.join("-rf *"), b"", 0o640);
    file(&top.join("program"), &vec![7; 300_000], 0o4755);
    std::fs::hard_link(top.join("program"), top.join("another name")).unwrap();
    symlink("../../nowhere", top.join("link")).unwrap();
    symlink("program", top.join(OsStr::from_bytes(b"link \xff"))).unwrap();
    mknodat(CWD, top.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    let sparse = std::fs::File::create(top.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"in the middle", 40 << 20).unwrap();
    sparse.set_len(80 << 20).unwrap();
    lsetxattr(top.join("-rf *"), "user.stead.test", b"va\0lue", XattrFlags::empty()).unwrap();
    let long = "n".repeat(255);
    std::fs::create_dir_all(side.at("/srv/data").join(&long)).unwrap();
    file(&side.at("/srv/data").join(&long).join(&long), b"deep", 0o444);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::lchown(top.join("link"), Some(4711), Some(815)).unwrap();
        std::os::unix::fs::chown(top.join("empty"), Some(64_000), Some(64_001)).unwrap();
    }
    let old = std::fs::FileTimes::new()
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000, 123_456_789));
    std::fs::File::open(&top).unwrap().set_times(old).unwrap();
    std::fs::File::open(top.join("-rf *")).unwrap().set_times(old).unwrap();
    // Nobody listens any more, and whoever does makes it anew.
    std::os::unix::net::UnixListener::bind(side.at("/srv/data/socket")).unwrap();
}

#[test]
fn whatever_a_file_system_has_survives_and_so_do_secrets() {
    let pair = Pair::new();
    odd_tree(&pair.old);
    let value = Secret::new(b"binary \0\xff value".to_vec());
    let record = secrets::SecretRecord {
        format: 1,
        version: 7,
        fingerprint: fingerprint(&[2; 32], &[1; 16], value.expose()),
        salt: hex::encode([1; 16]),
        fingerprint_key: hex::encode([2; 32]),
    };
    secrets::store(&pair.old.paths, &secrets::Held { name: "KEY".into(), record, value }).unwrap();

    let (sum, stream) = pair.sent();
    assert!(stream.len() < 1 << 20, "holes and what repeats cost nothing: {}", stream.len());
    assert!(!stream.windows(12).any(|part| part == b"binary \0\xff val"));
    // Twice, and over what was there: the same.
    file(&pair.new.at("/var/lib/private/agent-acme"), b"in the way", 0o600);
    for _ in 0..2 {
        assert_eq!(receive(&pair.new.paths, &pair.ticket(), &mut &stream[..]).unwrap(), sum);
    }
    let top = pair.new.at("/var/lib/private/agent-acme");
    let meta = |name: &str| std::fs::symlink_metadata(top.join(name)).unwrap();
    assert_eq!(meta("program").ino(), meta("another name").ino());
    assert_eq!((meta("program").mode() & 0o7777, meta("empty").mode() & 0o7777), (0o4755, 0o1777));
    assert_eq!(std::fs::read_link(top.join("link")).unwrap(), PathBuf::from("../../nowhere"));
    assert_eq!((meta("").mtime(), meta("").mtime_nsec()), (1_000_000, 123_456_789));
    assert!(meta("sparse").len() == 80 << 20 && meta("sparse").blocks() < 4096, "{}", meta("sparse").blocks());
    let mut attribute = [0; 16];
    let length = lgetxattr(top.join("-rf *"), "user.stead.test", &mut attribute[..]).unwrap();
    assert_eq!(&attribute[..length], b"va\0lue");
    if rustix::process::geteuid().is_root() {
        assert_eq!((meta("link").uid(), meta("link").gid(), meta("empty").uid()), (4711, 815, 64_000));
    }
    assert!(!pair.new.at("/srv/data/socket").exists() && !pair.new.at("/srv/data/.stead-incoming").exists());
    let held = secrets::held(&pair.new.paths).unwrap();
    assert_eq!((held.len(), held[0].record.version, held[0].value.expose()), (1, 7, &b"binary \0\xff value"[..]));
}

#[test]
fn nothing_is_taken_that_is_not_for_this_node_and_this_rebuild() {
    let pair = Pair::new();
    odd_tree(&pair.old);
    let (_, stream) = pair.sent();
    // The same stream at another node of the fleet, with the ticket that it was made for, and with one of its own.
    let third = Side::new("nd_third", &pair.fleet);
    assert!(receive(&third.paths, &pair.ticket(), &mut &stream[..]).is_err());
    let own = Ticket { to: third.id.into(), recipient: identity::recipient(&third.paths).unwrap(), ..pair.ticket() };
    let error = receive(&third.paths, &own.clone().sign(&pair.fleet).unwrap(), &mut &stream[..]).unwrap_err();
    assert!(error.to_string().contains("cannot be opened here"), "{error}");
    // Another rebuild's, another sender's, and a ticket that nobody signed.
    let others = [
        Ticket { workflow: "wf_2".into(), ..pair.ticket() }.sign(&pair.fleet).unwrap(),
        Ticket { from_key: keypair::public_text(pair.fleet.public_key()).unwrap(), ..pair.ticket() }
            .sign(&pair.fleet)
            .unwrap(),
        Ticket { workflow: "wf_2".into(), ..pair.ticket() },
    ];
    for ticket in others {
        assert!(receive(&pair.new.paths, &ticket, &mut &stream[..]).is_err());
    }
    assert!(send(&pair.old.paths, &own, &mut Vec::new()).is_err(), "the fleet did not sign that");
    assert!(send(&pair.new.paths, &pair.ticket(), &mut Vec::new()).is_err(), "it is the other side");
    assert!(pair.is_untouched());
}

#[test]
fn what_is_cut_or_changed_on_the_way_is_thrown_away() {
    let pair = Pair::new();
    odd_tree(&pair.old);
    let (_, stream) = pair.sent();
    for at in (0..stream.len()).step_by(stream.len() / 40).chain([stream.len() - 1, stream.len() - 6]) {
        assert!(receive(&pair.new.paths, &pair.ticket(), &mut &stream[..at]).is_err(), "cut at {at}");
        let mut changed = stream.clone();
        changed[at] ^= 1;
        assert!(receive(&pair.new.paths, &pair.ticket(), &mut &changed[..]).is_err(), "changed at {at}");
        assert!(pair.is_untouched(), "{at}");
    }
    receive(&pair.new.paths, &pair.ticket(), &mut &stream[..]).unwrap();
}

#[test]
fn what_is_no_file_anywhere_else_is_named() {
    let pair = Pair::new();
    if rustix::process::geteuid().is_root()
        && mknodat(
            CWD,
            pair.old.at("/var/lib/private/null"),
            FileType::CharacterDevice,
            Mode::from_raw_mode(0o600),
            259,
        )
        .is_ok()
    {
        let error = send(&pair.old.paths, &pair.ticket(), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("private/null is a device"), "{error}");
    }
}

fn entry(path: &[u8], kind: Kind) -> Entry {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Entry { root: 0, path: path.to_vec(), kind, mode: 0o600, uid, gid, modified: (0, 0), attributes: Vec::new() }
}

#[test]
fn no_entry_leads_out_of_its_folder() {
    let file = || Kind::File { size: 1, is_linked: false };
    for path in ["/etc/x", "../x", "a/../../x", "./x", "", "a/x", "x/", "a//x", "x\0y"] {
        let guard = tempfile::tempdir().unwrap();
        let mut unpack = Unpack::new(vec![guard.path().to_owned()]);
        assert!(unpack.entry(entry(path.as_bytes(), file())).is_err(), "{path:?}");
        assert!(unpack.entry(Entry { root: 1, ..entry(b"x", file()) }).is_err());
    }
    let guard = tempfile::tempdir().unwrap();
    let mut unpack = Unpack::new(vec![guard.path().to_owned()]);
    unpack.entry(entry(b"link", Kind::Symlink { to: b"/etc".to_vec() })).unwrap();
    assert!(unpack.entry(entry(b"link/x", file())).is_err(), "through a link");
    assert!(unpack.entry(entry(b"y", Kind::Link { to: b"link/passwd".to_vec() })).is_err());
    unpack.entry(entry(b"z", file())).unwrap();
    assert!(unpack.block(1, b"x").is_err() && unpack.block(u64::MAX, b"x").is_err(), "behind its end");
    assert!(unpack.entry(entry(b"z", file())).is_err(), "twice");
}

proptest! {
    #[test]
    fn garbage_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Entry::read(&mut &bytes[..]);
    }
}
