//! What could lock the controller out is taken back by the node itself.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::fleet::{TestFleet, text};

const LOCKS_OUT: &str = "name: lock
tasks:
  - line: {path: /etc/ssh/sshd_config, line: AllowUsers nobody, starts_with: AllowUsers}
    notify: reload
handlers:
  - {name: reload, service: {name: ssh, state: reloaded}}
";
const DEAF: &str = "name: deaf
tasks:
  - file:
      path: /etc/nftables.conf
      content: |
        flush ruleset
        table inet deaf {
          chain input {
            type filter hook input priority 0; policy drop;
          }
        }
  - service: {name: nftables, state: restarted}
";

fn fleet() -> (TestFleet, String) {
    let fleet = TestFleet::new(&["acme"]);
    let folder = fleet.dir.join("playbooks");
    fs_err::create_dir_all(&folder).expect("made");
    for (name, text) in [("lock", LOCKS_OUT), ("deaf", DEAF)] {
        fs_err::write(folder.join(format!("{name}.yaml")), text).expect("written");
    }
    let node = fleet.json(&["up"])[0]["node"].as_str().expect("an id").to_owned();
    (fleet, node)
}

#[test]
fn node_takes_back_what_locks_the_controller_out() {
    let (fleet, node) = fleet();
    let config = || fleet.inside(&node, "sha256sum /etc/ssh/sshd_config /etc/nftables.conf; nft list ruleset").1;
    let before = config();
    for playbook in ["lock", "deaf"] {
        let locked = fleet.run(&["converge", "--playbook", playbook, "--confirm-within", "5"]);
        assert_eq!(locked.status.code(), Some(1), "{}", text(&locked));
        assert!(text(&locked).contains("locked the controller out, and the node has taken back"), "{}", text(&locked));
        assert_eq!(config(), before, "{playbook}");
        let next = text(&fleet.ok(&["converge"]));
        assert!(next.contains("had taken back what nobody had confirmed"), "{next}");
    }
    // A change of the same kind that locks nobody out stays.
    let harmless = LOCKS_OUT.replace("AllowUsers nobody", "AllowUsers stead");
    fs_err::write(fleet.dir.join("playbooks/lock.yaml"), harmless).expect("written");
    fleet.ok(&["converge", "--playbook", "lock", "--confirm-within", "5"]);
    std::thread::sleep(Duration::from_secs(8));
    assert!(
        fleet.inside(&node, "grep -q '^AllowUsers stead' /etc/ssh/sshd_config && test ! -e /var/lib/stead/guard").0
    );
    fleet.ok(&["converge"]);
}

#[test]
fn node_takes_it_back_at_a_boot_that_comes_before_its_time() {
    let (fleet, node) = fleet();
    let mut command = fleet.command(&["converge", "--playbook", "lock", "--confirm-within", "600"]);
    let mut controller = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
    let deadline = Instant::now() + Duration::from_secs(60);
    let locked = "grep -q '^AllowUsers nobody' /etc/ssh/sshd_config && ! test -e /run/stead/run.jsonl";
    while !fleet.inside(&node, locked).0 {
        assert!(Instant::now() < deadline, "it was not locked out");
        std::thread::sleep(Duration::from_millis(200));
    }
    // The controller dies, and the machine is booted long before the node would take anything back.
    controller.kill().expect("killed");
    controller.wait().expect("ended");
    fleet.inside(&node, "systemctl reboot");
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let looked = fleet.run(&["converge", "--check"]);
        if looked.status.success() {
            assert!(text(&looked).contains("had taken back what nobody had confirmed"), "{}", text(&looked));
            break;
        }
        assert!(Instant::now() < deadline, "{}", text(&looked));
    }
    assert!(!fleet.inside(&node, "grep -q AllowUsers.nobody /etc/ssh/sshd_config").0);
    fleet.ok(&["up"]);
}
