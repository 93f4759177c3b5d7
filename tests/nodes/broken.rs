//! What is wrong is said, and nothing half-made is left.

use crate::fleet::{TestFleet, text};

/// An image of the fleet's own: as the shipped one, with a playbook more.
fn image_with(fleet: &TestFleet, playbook: &str) {
    let image = "name: broken\nsuite: trixie\npackages: [apparmor, auditd, unattended-upgrades]\nplaybooks: [base, hardening, breaks]\n";
    fs_err::create_dir_all(fleet.dir.join("images/broken")).expect("made");
    fs_err::write(fleet.dir.join("images/broken/image.yaml"), image).expect("written");
    fs_err::create_dir_all(fleet.dir.join("playbooks")).expect("made");
    fs_err::write(fleet.dir.join("playbooks/breaks.yaml"), playbook).expect("written");
}

#[test]
fn node_that_never_boots_shows_its_console() {
    let fleet = TestFleet::new(&["acme"]);
    // PID 1 says something and ends.
    image_with(
        &fleet,
        "name: breaks\ntasks:\n  - file:\n      path: /usr/lib/systemd/systemd\n      mode: \"0755\"\n      content: |\n        \
         #!/bin/sh\n        echo the reactor is on fire\n        exit 3\n",
    );
    fleet.write_main("broken", "[bootstrap, agents]", &["acme"], "");
    let output = fleet.run(&["up"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the reactor is on fire"), "{said}");
    assert_eq!(fleet.traces(), Vec::<String>::new(), "nothing half-made is left");
}

#[test]
fn node_whose_playbook_fails_is_taken_back() {
    let fleet = TestFleet::new(&["acme"]);
    fs_err::write(
        fleet.dir.join("playbooks/fails.yaml"),
        "name: fails\ntasks:\n  - name: the one that fails\n    command: {argv: [/bin/sh, -c, \"echo no such luck >&2; exit 7\"]}\n",
    )
    .expect("written");
    fleet.write_main("agent-node", "[bootstrap, fails]", &["acme"], "");
    let output = fleet.run(&["up"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in ["fails.yaml:3", "the one that fails", "no such luck"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert_eq!(fleet.traces(), Vec::<String>::new());
}

#[test]
fn node_that_answers_with_another_key_is_refused() {
    let fleet = TestFleet::new(&["acme"]);
    fleet.json(&["up"]);
    // Someone else answers at the node's address: another host key, put there behind our back.
    let key = fleet.node_dir().join("upper/etc/ssh/ssh_host_ed25519_key");
    let other = stead::keypair::generate("mallory").expect("made");
    fs_err::write(&key, stead::keypair::to_text(&other).expect("text").as_bytes()).expect("written");
    let pid = fs_err::read_to_string(fleet.node_dir().join("supervisor.lock")).expect("the supervisor's id");
    let pid = rustix::process::Pid::from_raw(pid.trim().parse().expect("a number")).expect("not 0");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    std::thread::sleep(std::time::Duration::from_millis(500));
    let output = fleet.run(&["up"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("host key") && said.contains("SHA256:"), "{said}");
    assert_eq!(fleet.node_dirs().len(), 1, "an existing node is not destroyed for it");
}

#[test]
fn node_image_without_room_is_not_begun() {
    let fleet = TestFleet::new(&["acme"]);
    let small = tempfile::tempdir().expect("a temporary folder");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64M", "stead-test"])
        .arg(small.path())
        .status();
    assert!(mounted.expect("runs").success());
    let output = fleet.command(&["up"]).env("STEAD_CACHE_DIR", small.path()).output().expect("runs");
    let unmounted = std::process::Command::new("umount").arg(small.path()).status();
    assert!(unmounted.expect("runs").success());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("0.1 GiB left; a build needs 1.0 GiB"), "{said}");
    assert!(said.contains("STEAD_CACHE_DIR"), "{said}");
    assert_eq!(fleet.traces(), Vec::<String>::new());
}
