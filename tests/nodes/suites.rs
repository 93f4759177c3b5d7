//! Both Debian releases: the node comes up, and what was rendered for it is what cloud-init and systemd call valid.

use crate::fleet::TestFleet;

/// The bars of the profile for our own units: `systemd-analyze security`'s exposure, times ten.
const EXPOSURE: u32 = 20;

fn proves_itself(suite: &str, version: &str) {
    let fleet = TestFleet::new(&["acme"]);
    let image = format!(
        "name: own\nsuite: {suite}\npackages: [apparmor, auditd, unattended-upgrades]\nplaybooks: [base, hardening]\n"
    );
    fs_err::create_dir_all(fleet.dir.join("images/own")).expect("made");
    fs_err::write(fleet.dir.join("images/own/image.yaml"), image).expect("written");
    fleet.write_main("own", "[bootstrap, agents]", &["acme"], "");
    let up = fleet.json(&["up"]);
    let node = up[0]["node"].as_str().expect("an id");
    let passes = |script: &str| {
        let (succeeded, said) = fleet.inside(node, script);
        assert!(succeeded, "{script}: {said}");
        said
    };
    assert!(passes("cat /etc/debian_version").starts_with(version));
    let schema = passes("cloud-init schema --system");
    assert!(!schema.to_lowercase().contains("deprecat"), "{schema}");
    let unit = passes("systemd-analyze verify agent@acme.service");
    assert!(!unit.contains("agent@"), "{unit}");
    passes(&format!("systemd-analyze security --threshold={EXPOSURE} agent@acme.service"));
    passes("/usr/sbin/sshd -t && nft -c -f /etc/nftables.conf");
    assert_eq!(passes("systemctl is-system-running").trim(), "running");
    // Hardened: root does not log in, and nothing is asked for a password.
    let effective = passes("/usr/sbin/sshd -T -C user=root,host=x,addr=127.0.0.1");
    for line in ["permitrootlogin no", "passwordauthentication no", "loglevel VERBOSE"] {
        assert!(effective.contains(line), "{line} is not in {effective}");
    }
    // The network's other side: what listens is sshd, and the workload on loopback only.
    let listening = passes("ss -Hltn | awk '{print $4}' | grep -v '^127\\.' | grep -v '^\\[::1\\]' | sort -u");
    assert!(listening.lines().all(|line| line.ends_with(":22")), "{listening}");
}

#[test]
fn node_of_debian_13_proves_itself() {
    proves_itself("trixie", "13");
}

#[test]
fn node_of_debian_12_proves_itself() {
    proves_itself("bookworm", "12");
}
