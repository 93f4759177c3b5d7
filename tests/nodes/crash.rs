//! `kill -9` at every step boundary, and at moments in between, and Ctrl-C: run again, the end is the same.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::fleet::{TestFleet, text};

/// The steps of `provision` and of `deprovision`.
pub(crate) const PROVISION: [&str; 9] =
    ["image", "node", "machine", "boot", "host-key", "identity", "secrets", "playbooks", "health"];
pub(crate) const DEPROVISION: [&str; 4] = ["mark", "wipe", "machine", "record"];

/// Runs a command that dies at this point.
pub(crate) fn dies_at(fleet: &TestFleet, arguments: &[&str], fault: &str) {
    let output = fleet.command(arguments).env("STEAD_FAULT", fault).output().expect("runs");
    assert_eq!(output.status.signal(), Some(9), "{fault} was not reached: {}", text(&output));
}

#[test]
fn node_survives_a_kill_at_every_step_boundary() {
    let fleet = TestFleet::new(&["acme"]);
    for step in PROVISION {
        for point in ["before", "after"] {
            dies_at(&fleet, &["up"], &format!("provision/{step}/{point}"));
        }
    }
    let up = fleet.json(&["up"]);
    assert_eq!(up[0]["state"], "ready");
    assert_eq!(fleet.node_dirs().len(), 1, "one machine, however often its making was begun");
    assert_eq!(fleet.json(&["up"]), up, "and it stays the same one");

    for step in DEPROVISION {
        for point in ["before", "after"] {
            dies_at(&fleet, &["down", "--yes"], &format!("deprovision/{step}/{point}"));
        }
    }
    fleet.ok(&["down", "--yes"]);
    assert_eq!(fleet.traces(), Vec::<String>::new());
    fleet.ok(&["audit", "verify"]);
}

#[test]
fn node_survives_kills_at_any_moment() {
    let fleet = TestFleet::new(&["acme", "globex"]);
    // Moments spread over the whole of `up`, most of which is the boot.
    for milliseconds in [150, 400, 700, 1000, 1500, 2200, 3000, 4000, 5500] {
        let mut child = fleet
            .command(&["up"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("runs");
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().expect("killed");
        child.wait().expect("ends");
    }
    let up = fleet.json(&["up"]);
    assert_eq!(up.as_array().map(Vec::len), Some(2), "{up}");
    assert_eq!(fleet.node_dirs().len(), 2);
    for milliseconds in [100, 300, 600] {
        let mut child = fleet
            .command(&["down", "--yes"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("runs");
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().expect("killed");
        child.wait().expect("ends");
    }
    fleet.ok(&["down", "--yes"]);
    assert_eq!(fleet.traces(), Vec::<String>::new());
}

#[test]
fn node_taken_down_before_it_was_up_leaves_nothing() {
    let fleet = TestFleet::new(&["acme"]);
    dies_at(&fleet, &["up"], "provision/boot/before");
    assert_eq!(fleet.node_dirs().len(), 1);
    fleet.ok(&["down", "--yes"]);
    assert_eq!(fleet.traces(), Vec::<String>::new());
}

/// Command lines of living processes that name this folder.
fn processes_of(dir: &Utf8Path) -> Vec<String> {
    let output = Command::new("ps").args(["-eo", "args"]).output().expect("runs");
    let all = String::from_utf8_lossy(&output.stdout).into_owned();
    all.lines().filter(|line| line.contains(dir.as_str())).map(str::to_owned).collect()
}

#[test]
fn node_interrupted_build_ends_at_once_and_is_gone_on_with() {
    let fleet = TestFleet::new(&["acme"]);
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let cache = Utf8Path::from_path(temporary.path()).expect("UTF-8");
    // As a terminal does it, to the whole process group; and as a service manager does it.
    let signals = [(Signal::INT, true, "up"), (Signal::TERM, false, "up"), (Signal::INT, true, "image")];
    for (signal, to_group, command) in signals {
        let arguments: &[&str] =
            if command == "up" { &["up"] } else { &["image", "build", "--root-only", "agent-node"] };
        let mut command = fleet.command(arguments);
        command.env("STEAD_CACHE_DIR", cache).process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("runs");
        let pid = Pid::from_child(&child);
        let begun = Instant::now();
        while !processes_of(cache).iter().any(|line| line.contains("mmdebstrap")) {
            assert!(begun.elapsed() < Duration::from_secs(120), "no build was begun");
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_millis(1500));
        let told = Instant::now();
        if to_group { kill_process_group(pid, signal) } else { kill_process(pid, signal) }.expect("told");
        let output = child.wait_with_output().expect("ends");
        assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(
            text(&output).contains(if arguments == ["up"] { "interrupted" } else { "was stopped" }),
            "{}",
            text(&output)
        );
        assert_eq!(processes_of(cache), Vec::<String>::new());
        let left = cache.join("stages").read_dir_utf8().expect("there").map(|entry| entry.expect("readable"));
        let left: Vec<_> = left.filter(|entry| !entry.file_name().ends_with(".lock")).collect();
        assert!(left.is_empty(), "{left:?}");
        let workflows = fleet.json(&["workflow", "list"]);
        assert_eq!(
            (&workflows[0]["kind"], &workflows[0]["state"]),
            (&"provision".into(), &"queued".into()),
            "{workflows}"
        );
    }
    // With the stages that are stored already: the step that was interrupted is run again, and all that follow.
    assert_eq!(fleet.json(&["up"])[0]["state"], "ready");
    assert_eq!(fleet.json(&["workflow", "list", "--all"]).as_array().map(Vec::len), Some(1), "the same workflow");
}
