//! A machine that people bring: somebody's Debian with an sshd and a login of theirs.

use std::process::{Child, Command, Stdio};

use camino::Utf8PathBuf;

use crate::fleet::{PLANTED, TestFleet, text};

/// Somebody's machine: a node of another fleet that forgot everything it was.
struct Theirs {
    fleet: TestFleet,
    node: String,
    address: String,
    host_key: String,
}

impl Theirs {
    fn new() -> Self {
        let fleet = TestFleet::new(&["acme"]);
        let up = fleet.json(&["up"]);
        let node = up[0]["node"].as_str().expect("an id").to_owned();
        let address = up[0]["addresses"][0].as_str().expect("an address").to_owned();
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "ops", "-f"]).arg(fleet.dir.join("ops"));
        assert!(keygen.status().expect("runs").success());
        let public = fs_err::read_to_string(fleet.dir.join("ops.pub")).expect("made");
        let script = format!(
            "set -e
             systemctl stop 'agent@*' ssh
             nft flush ruleset
             rm -rf /etc/stead /var/lib/stead /etc/sudoers.d/*
             pkill -u stead || true; userdel -f -r stead || true
             useradd -m -s /bin/bash ops
             install -d -m 0700 -o ops -g ops ~ops/.ssh
             echo '{}' >~ops/.ssh/authorized_keys
             echo 'ops ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/ops
             ssh-keygen -q -t ed25519 -N '' -f /root/key
             printf 'HostKey /root/key\\nUsePAM yes\\nPasswordAuthentication no\\nStrictModes no\\n' >/root/sshd_config
             mkdir -p /run/sshd; /usr/sbin/sshd -f /root/sshd_config
             cut -d' ' -f1,2 /root/key.pub",
            public.trim()
        );
        let (done, said) = fleet.inside(&node, &script);
        assert!(done, "{said}");
        let host_key = said.lines().last().expect("a key").to_owned();
        Self { fleet, node, address, host_key }
    }

    fn inside(&self, script: &str) -> bool {
        self.fleet.inside(&self.node, script).0
    }
}

/// An SSH agent that holds a key.
struct Agent(Child, Utf8PathBuf);

impl Agent {
    fn with(key: Utf8PathBuf) -> Self {
        let socket = key.with_extension("socket");
        let mut agent = Command::new("ssh-agent");
        let agent = agent.args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().expect("started");
        while !socket.exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let add = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket).status();
        assert!(add.expect("runs").success());
        Self(agent, socket)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // That it is gone already is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn declare(fleet: &TestFleet, lines: &str) {
    let yaml = format!(
        "fleet: {{name: test, id: {}}}\nproviders:\n  own: {{kind: ssh}}\ntiers:\n  own: {{provider: own, playbooks: [t]}}\nworkspaces:\n  \
         box:\n    tier: own\n    secrets: [OPENAI_API_KEY]\n{lines}",
        fleet.id
    );
    fs_err::write(fleet.dir.join("stead.yaml"), yaml).expect("written");
}

#[test]
fn node_of_a_machine_that_was_brought_is_taken_in_and_given_back() {
    let theirs = Theirs::new();
    let fleet = TestFleet::new(&["box"]);
    fs_err::create_dir_all(fleet.dir.join("playbooks")).expect("made");
    let playbook = "tasks:\n  - file: {path: /srv/ours, content: \"{{ workspace }}\\n\"}\n";
    fs_err::write(fleet.dir.join("playbooks/t.yaml"), playbook).expect("written");
    fs_err::create_dir_all(fleet.dir.join("keys")).expect("made");
    fs_err::copy(theirs.fleet.dir.join("ops"), fleet.dir.join("keys/ops")).expect("copied");
    let host = format!("    host: {}\n    user: ops\n", theirs.address);
    let pinned = format!("    host_key: \"{}\"\n", theirs.host_key);

    // Theirs, and none of Stead's business.
    assert!(theirs.inside("mkdir -p /etc/credstore.encrypted && echo theirs >/etc/credstore.encrypted/db"));
    // Nobody has said which machine it is: the key that it presents is told, and nothing is sent.
    declare(&fleet, &format!("{host}    identity: keys/ops\n"));
    let said = text(&fleet.run(&["up"]));
    assert!(said.contains("pins no `host_key`") && said.contains(&theirs.host_key), "{said}");
    assert!(theirs.inside("test ! -e /etc/stead && ! id stead"));

    declare(&fleet, &format!("{host}    identity: keys/ops\n{pinned}"));
    fleet.ok(&["up"]);
    assert!(theirs.inside("grep -qx box /srv/ours && id stead && grep -q nd_ /etc/stead/node.json"));
    let check = fleet.run(&["converge", "--check"]);
    assert_eq!(check.status.code(), Some(0), "{}", text(&check));
    let secrets = text(&fleet.ok(&["secret", "list"]));
    assert!(secrets.contains("delivered") && !secrets.contains(PLANTED), "{secrets}");
    fleet.ok(&["up"]);

    // Suspended, it runs on, and what was set up on it does not, whoever starts it.
    let unit = r"printf '[Service]\nExecStart=/bin/sleep infinity\n' >/etc/systemd/system/work.service";
    assert!(theirs.inside(&format!("{unit} && systemctl daemon-reload && systemctl start work")));
    fleet.ok(&["workspace", "suspend", "box"]);
    assert!(theirs.inside("systemctl start work; ! systemctl is-active -q work && pgrep -x sshd"));
    assert!(text(&fleet.ok(&["up"])).contains("box is suspended. It is left as it is"));
    fleet.ok(&["workspace", "resume", "box"]);
    assert!(theirs.inside("systemctl is-active -q work && systemctl stop work && rm /etc/systemd/system/work.service"));

    // Another fleet does not get it.
    let other = TestFleet::new(&["box"]);
    fs_err::create_dir_all(other.dir.join("playbooks")).expect("made");
    fs_err::write(other.dir.join("playbooks/t.yaml"), playbook).expect("written");
    declare(&other, &format!("{host}    identity: {}\n{pinned}", theirs.fleet.dir.join("ops")));
    let said = text(&other.run(&["up"]));
    assert!(said.contains("it is a node already") && said.contains(&fleet.id), "{said}");
    assert!(theirs.inside("id stead && test -e /srv/ours"), "what was refused takes nothing away");

    // Through a machine on the way, with a key that only the agent holds: there, the node is localhost.
    let agent = Agent::with(theirs.fleet.dir.join("ops"));
    let jump = format!("    jump: [{{host: {}, user: ops, host_key: \"{}\"}}]\n", theirs.address, theirs.host_key);
    declare(&fleet, &format!("    host: localhost\n    user: ops\n{pinned}{jump}"));
    let converge = |socket: &str| {
        let mut command = fleet.command(&["converge", "-e", "workspace=far"]);
        command.env("SSH_AUTH_SOCK", socket).output().expect("runs")
    };
    let said = text(&converge(""));
    assert!(said.contains("nothing says how to log in"), "{said}");
    let converged = converge(agent.1.as_str());
    assert!(converged.status.success(), "{}", text(&converged));
    assert!(theirs.inside("grep -qx far /srv/ours"));

    let down = fleet.command(&["down", "--yes"]).env("SSH_AUTH_SOCK", &agent.1).output().expect("runs");
    assert!(down.status.success(), "{}", text(&down));
    let gone = "test ! -e /etc/stead && test ! -e /var/lib/stead && ! id stead && test ! -e /etc/sudoers.d/90-stead";
    assert!(theirs.inside(gone), "something of ours is left");
    assert!(theirs.inside("id ops && test -e /srv/ours"), "what is theirs, and what playbooks made, stays");
    assert!(
        theirs.inside("test \"$(ls /etc/credstore.encrypted)\" = db && test -e /var/lib/systemd/credential.secret")
    );

    // Taken in again; then the files say that it is elsewhere, and it is not: what is on record stays true, and is given back.
    declare(&fleet, &format!("{host}    identity: keys/ops\n{pinned}"));
    fleet.ok(&["up"]);
    declare(&fleet, &format!("    host: 127.0.0.2\n    port: 9\n    user: ops\n    identity: keys/ops\n{pinned}"));
    assert!(!fleet.run(&["converge"]).status.success());
    fleet.ok(&["down", "--yes"]);
    assert!(theirs.inside(gone), "the machine that it is on was not given back");

    // A machine that does not answer keeps a login of ours, unless whoever brought it says that it is gone.
    declare(&fleet, &format!("{host}    identity: keys/ops\n{pinned}"));
    fleet.ok(&["up"]);
    assert!(theirs.inside("pkill -x sshd; sleep 0.5; ! pgrep -x sshd"));
    let said = text(&fleet.run(&["down", "--yes"]));
    assert!(said.contains("--gone"), "{said}");
    fleet.ok(&["down", "--yes", "--gone", "box"]);
    assert!(text(&fleet.ok(&["node", "list"])).lines().all(|line| !line.contains("box")), "it is still on record");
}
