//! An Ansible playbook, imported and applied: it does on a node what it says, and nothing the second time.

use crate::fleet::{TestFleet, text};

/// What holds on a node that the playbook was applied to.
const EFFECTS: [&str; 10] = [
    "tree --version",
    "id -nG deploy | grep -qw crew && getent group crew | grep -q :4711:",
    "grep -q deploy@example /home/deploy/.ssh/authorized_keys",
    "test \"$(stat -c %U:%a /srv/app/etc)\" = deploy:750",
    "test \"$(tail -n 1 /srv/app/etc/two.conf)\" = 'two = 2'",
    "grep -qx 'UMASK 027' /etc/login.defs && grep -q '192.0.2.11 cache' /etc/hosts",
    "systemctl is-active app && systemctl is-enabled app",
    "grep -q ExecStart=/bin/sleep /srv/said && grep -qx /root /srv/said",
    "test -e /srv/app/made",
    "grep -qx 'of less' /srv/app/etc/less.list",
];

#[test]
fn node_takes_what_was_imported_from_ansible() {
    let fleet = TestFleet::new(&["acme"]);
    let up = fleet.json(&["up"]);
    let node = up[0]["node"].as_str().expect("an id");
    let ansible = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/cli/import-a-playbook/site.yml");
    let playbook = fleet.dir.join("playbooks/site.yaml");
    fs_err::create_dir_all(fleet.dir.join("playbooks")).expect("made");
    fleet.ok(&["playbook", "import", "ansible", ansible, "--output", playbook.as_str()]);
    fleet.ok(&["converge", "--playbook", "site"]);
    let again = fleet.ok(&["--json", "converge", "--playbook", "site"]);
    assert!(!text(&again).contains(r#""status":"changed""#), "{}", text(&again));
    for effect in EFFECTS {
        let (succeeded, said) = fleet.inside(node, effect);
        assert!(succeeded, "{effect}: {said}");
    }
}
