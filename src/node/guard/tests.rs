//! The guard on a machine in a temporary folder; the watch itself needs a real node (tests/nodes/guard.rs).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::node::exec::Output;
use crate::node::tasks::testing::Bench;

fn bench() -> Bench {
    let bench = Bench::answering(|run| Output {
        stdout: match run.argv[..].iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["systemctl", "show", ..] => "LoadState=loaded\nActiveState=active\nUnitFileState=disabled\n".into(),
            ["nft", "--stateless", ..] => "table inet old {}\n".into(),
            _ => String::new(),
        },
        ..Output::default()
    });
    fs::create_dir_all(bench.at("/etc/ssh")).unwrap();
    fs::create_dir_all(bench.at("/proc/sys/net/ipv4")).unwrap();
    bench
}

fn path(path: &str) -> Touch {
    Touch::Path(path.to_owned())
}

#[test]
fn everything_is_put_back_as_it_was() {
    let bench = bench();
    let (config, link) = (bench.at("/etc/ssh/sshd_config"), bench.at("/etc/resolv.conf"));
    fs::write(&config, "Port 22\n").unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("/run/resolv.conf", &link).unwrap();
    fs::write(bench.at("/proc/sys/net/ipv4/ip_forward"), "0\n").unwrap();
    let touches = [
        path("/etc/ssh/sshd_config"),
        path("/etc/resolv.conf"),
        path("/etc/ssh/new.d/a.conf"),
        Touch::Ruleset,
        Touch::Sysctl("net.ipv4.ip_forward".into()),
        Touch::Unit("ssh.service".into()),
    ];
    let mut guard = Guard::new(60);
    guard.protect(&bench.machine, touches.iter()).unwrap();
    assert!(bench.at("/etc/systemd/system/sysinit.target.wants/stead-guard.service").exists());
    assert!(bench.ran().iter().any(|run| run.starts_with("systemd-run") && run.ends_with("guard-watch")));

    // Twice the same file: the first state counts.
    fs::write(&config, "Port 23\n").unwrap();
    guard.protect(&bench.machine, touches[..1].iter()).unwrap();
    fs::write(&config, "Port 24\n").unwrap();
    fs::remove_file(&link).unwrap();
    fs::write(&link, "nameserver 192.0.2.1\n").unwrap();
    fs::create_dir(bench.at("/etc/ssh/new.d")).unwrap();
    fs::write(bench.at("/etc/ssh/new.d/a.conf"), "").unwrap();
    fs::write(bench.at("/proc/sys/net/ipv4/ip_forward"), "1\n").unwrap();
    bench.ran();

    let what = settle(&bench.machine).unwrap().unwrap();
    assert_eq!(
        what,
        "net.ipv4.ip_forward, the packet filter's rules, /etc/ssh/new.d/a.conf, /etc/ssh/new.d, /etc/resolv.conf, \
         /etc/ssh/sshd_config, ssh.service"
    );
    assert_eq!(bench.read("/etc/ssh/sshd_config"), "Port 22\n");
    assert_eq!(config.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_link(&link).unwrap().to_str(), Some("/run/resolv.conf"));
    assert!(!bench.at("/etc/ssh/new.d").exists());
    assert_eq!(bench.read("/proc/sys/net/ipv4/ip_forward"), "0");
    let ran = bench.ran();
    let position =
        |what: &str| ran.iter().position(|run| run.contains(what)).unwrap_or_else(|| panic!("{what}: {ran:?}"));
    assert!(position("nft -f -") < position("daemon-reload") && position("daemon-reload") < position("restart -- ssh"));
    assert!(
        !bench.at("/var/lib/stead/guard").exists() && !bench.at("/etc/systemd/system/stead-guard.service").exists()
    );
    assert_eq!(settle(&bench.machine).unwrap(), None);
    assert_eq!(taken_back(&bench.machine.paths).unwrap().what, what);
}

#[test]
fn what_is_confirmed_stays_and_what_was_taken_back_is_said() {
    let bench = bench();
    let touches = [path("/etc/ssh/a")];
    for late in [false, true] {
        let mut guard = Guard::new(60);
        guard.protect(&bench.machine, touches.iter()).unwrap();
        fs::write(bench.at("/etc/ssh/a"), "new").unwrap();
        let guarded = guard.end(&bench.machine.paths).unwrap().unwrap();
        if late {
            settle(&bench.machine).unwrap();
            let error = confirm(&bench.machine.paths, &guarded.id).unwrap_err();
            assert!(error.to_string().contains("too late"), "{error}");
        } else {
            confirm(&bench.machine.paths, &guarded.id).unwrap();
            confirm(&bench.machine.paths, &guarded.id).unwrap();
            assert_eq!(bench.read("/etc/ssh/a"), "new");
            fs::remove_file(bench.at("/etc/ssh/a")).unwrap();
        }
    }
    assert!(!bench.at("/etc/ssh/a").exists());
}

#[test]
fn a_thing_that_cannot_be_put_back_does_not_keep_the_others_from_it() {
    let bench = bench();
    fs::write(bench.at("/etc/ssh/a"), "old").unwrap();
    let mut guard = Guard::new(60);
    guard.protect(&bench.machine, [path("/etc/ssh/a"), path("/etc/ssh/d/b")].iter()).unwrap();
    fs::write(bench.at("/etc/ssh/a"), "new").unwrap();
    // Somebody else's file keeps the folder there.
    fs::create_dir(bench.at("/etc/ssh/d")).unwrap();
    fs::write(bench.at("/etc/ssh/d/theirs"), "").unwrap();
    let what = settle(&bench.machine).unwrap().unwrap();
    assert!(what.contains("/etc/ssh/d (NOT put back") && what.ends_with("/etc/ssh/a"), "{what}");
    assert_eq!(bench.read("/etc/ssh/a"), "old");
}

#[test]
fn a_run_without_such_changes_sets_no_watch() {
    let bench = bench();
    assert_eq!(Guard::new(0).end(&bench.machine.paths).unwrap(), None);
    assert!(bench.ran().is_empty());
}
