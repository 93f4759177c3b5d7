//! What is declared changes while nodes are there, or while work on them is unfinished.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use crate::fleet::{TestFleet, text};

/// Debian's `nobody`.
const NOBODY: u32 = 65534;
const CREDENTIAL: &str = "test -e /etc/credstore.encrypted/OPENAI_API_KEY";

/// Changes a part of stead.yaml.
fn edit(fleet: &TestFleet, from: &str, to: &str) {
    let path = fleet.dir.join("stead.yaml");
    let before = fs_err::read_to_string(&path).expect("there");
    assert!(before.contains(from), "{from:?} is not in {before}");
    fs_err::write(&path, before.replace(from, to)).expect("written");
}

fn dies_at(fleet: &TestFleet, arguments: &[&str], fault: &str) {
    let output = fleet.command(arguments).env("STEAD_FAULT", fault).output().expect("runs");
    assert_eq!(output.status.signal(), Some(9), "{fault} was not reached: {}", text(&output));
}

#[test]
fn node_forgets_a_secret_that_is_not_declared_any_more() {
    let fleet = TestFleet::new(&["acme"]);
    let node = fleet.json(&["up"])[0]["node"].as_str().expect("an id").to_owned();
    let on_node = || fleet.inside(&node, CREDENTIAL).0;
    assert!(on_node());
    edit(&fleet, "secrets: [OPENAI_API_KEY]", "secrets: []");
    fleet.ok(&["up"]);
    assert!(!on_node());
    assert!(fleet.json(&["audit", "show"]).to_string().contains("secret.forget"));
    // The value waits in the vault; declared again, it is delivered as a version that the node takes.
    edit(&fleet, "secrets: []", "secrets: [OPENAI_API_KEY]");
    fleet.ok(&["up"]);
    assert!(on_node());
    assert_eq!(fleet.json(&["secret", "list"])[0]["version"], 2);
}

#[test]
fn node_takes_values_that_are_set_while_it_comes_up() {
    let fleet = TestFleet::new(&["acme"]);
    let mut up = fleet.command(&["up"]).stderr(std::process::Stdio::piped()).spawn().expect("runs");
    let mut last = 0;
    while up.try_wait().expect("asked").is_none() {
        last += 1;
        fleet.give("acme", &format!("sk-planted-value-number-{last:08}"));
    }
    let output = up.wait_with_output().expect("ends");
    assert!(output.status.success() && last > 2, "{last}: {}", text(&output));
    // What was set after its delivery is delivered now.
    fleet.ok(&["up"]);
    let listed = fleet.json(&["secret", "list", "acme"]);
    assert_eq!((&listed[0]["state"], &listed[0]["masked_tail"]), (&"delivered".into(), &format!("{last:04}").into()));
}

#[test]
fn node_is_brought_to_what_is_declared_now_also_by_an_up_that_finishes_an_older_one() {
    let fleet = TestFleet::new(&["acme"]);
    let playbooks = || fleet.json(&["status"])["workspaces"][0]["node"]["playbooks"].clone();
    dies_at(&fleet, &["up"], "provision/playbooks/before");
    edit(&fleet, "{tier: starter,", "{tier: starter, vars: {greeting: hello},");
    fleet.ok(&["up"]);
    assert_eq!(playbooks(), "converged");

    // An unfinished converge is not gone on with, neither by the next one, which is newer, nor by the next node's.
    dies_at(&fleet, &["up"], "converge/playbooks/before");
    edit(&fleet, "greeting: hello", "greeting: good day");
    fleet.ok(&["up"]);
    assert_eq!(playbooks(), "converged");
    dies_at(&fleet, &["up"], "converge/playbooks/before");
    fleet.ok(&["down", "--yes"]);
    assert_eq!(fleet.json(&["workflow", "list"]), serde_json::json!([]));
}

#[test]
fn node_that_is_not_as_declared_and_stays_so_is_told() {
    let fleet = TestFleet::new(&["acme"]);
    fleet.ok(&["up"]);
    let outdated = || fleet.json(&["status"])["workspaces"][0]["node"]["outdated"].clone();
    assert_eq!(outdated(), serde_json::json!([]));
    let image =
        "name: own\nsuite: trixie\npackages: [apparmor, auditd, unattended-upgrades, tree]\nplaybooks: [base]\n";
    fs_err::create_dir_all(fleet.dir.join("images/own")).expect("made");
    fs_err::write(fleet.dir.join("images/own/image.yaml"), image).expect("written");
    edit(&fleet, "image: agent-node", "image: own");
    edit(&fleet, "memory: 1GiB", "memory: 2GiB");
    assert_eq!(outdated(), serde_json::json!(["image", "size"]), "without a build");
    let up = fleet.ok(&["up"]);
    let said = text(&up);
    assert!(said.contains("acme: the image and size declared for it changed"), "{said}");
    assert!(text(&fleet.ok(&["status"])).contains("The image changed: acme."));
}

#[test]
fn node_logs_name_a_command_that_trusts_the_recorded_key_only() {
    let fleet = TestFleet::new(&["acme"]);
    fleet.ok(&["up"]);
    let output = fleet.ok(&["node", "logs", "acme"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let hint = said.lines().find(|line| line.trim().starts_with("ssh ")).expect("a command").trim().to_owned();
    let run = || Command::new("sh").args(["-c", &hint.replace("journalctl -b", "true")]).output().expect("runs");
    let reached = run();
    assert!(reached.status.success(), "{hint}: {}", text(&reached));
    let known = fleet.dir.join(".stead/known_hosts");
    assert_eq!(fs_err::metadata(&known).expect("there").permissions().mode() & 0o777, 0o600);
    fs_err::write(&known, "").expect("written");
    assert!(!run().status.success(), "a key that is not recorded is not asked about, but refused");
}

#[test]
fn node_that_root_made_is_seen_by_the_fleets_owner() {
    let fleet = TestFleet::new(&["acme"]);
    // As if somebody had made the fleet, and used sudo from then on.
    let temporary = fleet.dir.parent().expect("a folder");
    fs_err::set_permissions(temporary, std::fs::Permissions::from_mode(0o755)).expect("opened");
    let given = Command::new("chown").args(["-R", &NOBODY.to_string()]).arg(&fleet.dir).status();
    assert!(given.expect("runs").success());
    chown(&fleet.dir, Some(NOBODY), Some(NOBODY)).expect("given");
    fs_err::remove_dir_all(fleet.dir.join(".stead/blobs")).expect("removed");
    fleet.ok(&["up"]);
    let status = Command::new("setpriv")
        .args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"])
        .args([env!("CARGO_BIN_EXE_stead"), "--fleet", fleet.dir.as_str(), "status"])
        .env("HOME", temporary)
        .output()
        .expect("runs");
    assert!(status.status.success() && text(&status).contains("ready"), "{}", text(&status));
}
