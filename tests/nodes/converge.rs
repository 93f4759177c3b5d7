//! What `stead converge` promises, on real nodes.

use std::process::{Output, Stdio};

use serde_json::Value;

use crate::fleet::{PLANTED, TestFleet, text};

/// A fleet with a node, and a playbook of the test's own, which is not among the tier's.
fn fleet_with(playbook: &str) -> (TestFleet, String) {
    let fleet = TestFleet::new(&["acme"]);
    write(&fleet, "t", playbook);
    let node = fleet.json(&["up"])[0]["node"].as_str().expect("an id").to_owned();
    (fleet, node)
}

fn write(fleet: &TestFleet, name: &str, tasks: &str) {
    let folder = fleet.dir.join("playbooks");
    fs_err::create_dir_all(&folder).expect("made");
    fs_err::write(folder.join(format!("{name}.yaml")), tasks).expect("written");
}

/// The JSON documents that a converge prints, and how it ended.
fn events(output: &Output) -> Vec<Value> {
    let stdout = String::from_utf8_lossy(&output.stdout);
    stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Name, status and message of each task, in the order in which they ended.
fn tasks(output: &Output) -> Vec<[String; 3]> {
    let field = |task: &Value, name: &str| task[name].as_str().unwrap_or_default().to_owned();
    let events = events(output).into_iter().filter(|event| event["task"]["status"].is_string());
    let ended = events.filter(|event| event["task"]["status"] != "started");
    ended.map(|event| ["name", "status", "message"].map(|name| field(&event["task"], name))).collect()
}

#[test]
fn node_is_changed_as_the_check_said_and_then_is_not() {
    let (fleet, node) = fleet_with(
        "name: t
vars: {greeting: hello}
tasks:
  - {name: folder, directory: {path: /srv/t, mode: \"0750\"}}
  - {name: file, file: {path: /srv/t/a, content: \"{{ greeting }}\\n\"}, notify: [said]}
  - {name: each, file: {path: \"/srv/t/{{ item }}\", content: x}, loop: [b, c], tags: [each]}
  - {name: account, user: {name: tester, system: true}}
  - {name: never, file: {path: /srv/t/d, content: x}, when: facts.os.id == \"plan9\"}
handlers:
  - {name: said, command: {argv: [touch, /srv/t/said]}}
",
    );
    let converge = |more: &[&str]| fleet.run(&[&["--json", "converge", "--playbook", "t"], more].concat());
    let check = converge(&["--check"]);
    assert_eq!(check.status.code(), Some(3), "{}", text(&check));
    assert!(!fleet.inside(&node, "test -e /srv/t").0, "a check changes nothing");
    let applied = converge(&[]);
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied));
    assert_eq!(tasks(&check), tasks(&applied), "what a check says is what is done");
    assert!(fleet.inside(&node, "test -e /srv/t/said && grep -q hello /srv/t/a").0);
    for again in [converge(&["--check"]), converge(&[])] {
        assert_eq!(again.status.code(), Some(0), "{}", text(&again));
        assert!(tasks(&again).iter().all(|task| task[1] != "changed"), "{}", text(&again));
    }
    // Variables of the command line go before all others; tags choose; a diff is told on request.
    let other = converge(&["--check", "--diff", "-e", "greeting=good day", "--tags", "each"]);
    assert_eq!((other.status.code(), tasks(&other).len()), (Some(0), 2), "{}", text(&other));
    let other = converge(&["--check", "--diff", "-e", "greeting=good day"]);
    assert!(text(&other).contains("+good day"), "{}", text(&other));
    // What was not the tier's playbooks leaves what is recorded of them alone.
    assert_eq!(fleet.json(&["status"])["workspaces"][0]["node"]["playbooks"], "converged");
    let log = fleet.dir.join(".stead/logs").read_dir_utf8().expect("logs").count();
    assert!(log >= 4, "each run has its own folder");
}

#[test]
fn node_goes_on_where_a_run_broke_and_its_handlers_survive() {
    let (fleet, node) = fleet_with(
        "name: t
tasks:
  - {name: first, command: {shell: \"echo once >> /root/first\"}}
  - {name: notifier, file: {path: /root/n, content: x}, notify: [handled]}
  - {name: breaks, command: {argv: [test, -e, /root/mended]}}
  - {name: last, command: {argv: [touch, /root/last]}}
handlers:
  - {name: handled, command: {shell: \"echo once >> /root/handled\"}}
",
    );
    let broke = fleet.run(&["converge", "--playbook", "t"]);
    assert_eq!(broke.status.code(), Some(1), "{}", text(&broke));
    let said = text(&broke);
    assert!(said.contains("playbooks/t.yaml:5: task \"breaks\" failed") && said.contains("--resume"), "{said}");
    assert!(fleet.inside(&node, "touch /root/mended; test ! -e /root/handled").0);
    let resumed = fleet.run(&["converge", "--resume", "acme"]);
    assert_eq!(resumed.status.code(), Some(0), "{}", text(&resumed));
    let once = "test \"$(cat /root/first)\" = once && test \"$(cat /root/handled)\" = once && test -e /root/last";
    assert!(fleet.inside(&node, once).0, "{}", fleet.inside(&node, "head /root/first /root/handled").1);
}

#[test]
fn node_loses_what_its_playbooks_made_and_no_longer_name() {
    let (fleet, node) = fleet_with("name: t\ntasks: []\n");
    let both = "[bootstrap, agents, t]";
    fleet.write_main("agent-node", both, &["acme"], "");
    let playbook = "name: t
tasks:
  - directory: {path: /srv/old}
  - file: {path: /srv/old/a, content: x}
  - file: {path: /etc/motd, content: ours}
  - user: {name: leaver, system: true}
  - unit: {name: old.service, content: \"[Service]\\nExecStart=/bin/sleep infinity\\n\", enabled: false}
";
    write(&fleet, "t", playbook);
    fleet.ok(&["converge"]);
    write(&fleet, "t", "name: t\ntasks:\n  - file: {path: /etc/motd, content: ours}\n");
    let told = text(&fleet.ok(&["converge"]));
    for name in ["unit old.service", "user leaver", "file /srv/old/a", "folder /srv/old"] {
        assert!(told.contains(name), "{name}: {told}");
    }
    let there = || fleet.inside(&node, "test -e /srv/old/a && id leaver && test -e /etc/systemd/system/old.service").0;
    assert!(there());
    assert_eq!(fleet.run(&["converge", "--prune", "--check"]).status.code(), Some(3));
    assert!(there(), "a check removes nothing");
    fleet.ok(&["converge", "--prune"]);
    let gone = "test ! -e /srv/old && ! id leaver && test ! -e /etc/systemd/system/old.service && test -e /etc/motd";
    assert!(fleet.inside(&node, gone).0);
    assert_eq!(fleet.run(&["converge", "--prune", "--check"]).status.code(), Some(0));
}

#[test]
fn node_tells_no_secret_and_keeps_the_rest_readable() {
    let show = "systemd-creds decrypt --name=OPENAI_API_KEY /etc/credstore.encrypted/OPENAI_API_KEY -";
    let (fleet, _) = fleet_with(&format!(
        "name: t
tasks:
  - {{name: got, command: {{shell: \"{show}\"}}, register: got}}
  - {{name: \"told {{{{ got.stdout }}}}\", debug: {{message: \"the key is {{{{ got.stdout }}}}, as it was\"}}}}
  - {{name: each, debug: {{message: \"{{{{ item }}}}\"}}, loop: got.stdout | split(pat=\"|\")}}
  - {{name: written, file: {{path: /root/k, content: \"a\\n{{{{ got.stdout }}}}\\nb\\n\", mode: \"0600\"}}}}
  - {{name: fails, command: {{shell: \"echo wrong: {{{{ got.stdout }}}} >&2; exit 1\"}}}}
"
    ));
    for arguments in
        [&["-vv", "converge", "--playbook", "t", "--diff"][..], &["--json", "converge", "--playbook", "t", "--diff"]]
    {
        let output = fleet.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        let said = text(&output);
        assert!(!said.contains(PLANTED), "{said}");
        assert!(said.contains("the key is [secret], as it was") && said.contains("wrong: [secret]"), "{said}");
    }
    assert_eq!(crate::fleet::files_with(&fleet.dir.join(".stead/logs"), PLANTED.as_bytes()).len(), 0);
    assert_eq!(crate::fleet::files_with(&fleet.dir.join(".stead/blobs"), PLANTED.as_bytes()).len(), 0);
}

#[test]
fn node_that_is_being_changed_names_who_does() {
    let (fleet, node) = fleet_with("name: t\ntasks:\n  - command: {argv: [\"true\"]}\n");
    let hold = "cd /var/lib/stead; exec 9<>lock; flock 9; echo 'somebody of the test' >&9; touch /root/held; sleep 25";
    std::thread::scope(|scope| {
        scope.spawn(|| fleet.inside(&node, hold));
        while !fleet.inside(&node, "test -e /root/held").0 {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let refused = fleet.run(&["converge", "--playbook", "t"]);
        assert_eq!(refused.status.code(), Some(1));
        let said = text(&refused);
        assert!(said.contains("another session is changing this node: somebody of the test"), "{said}");
        // Looking needs no lock, and the lock dies with its holder.
        assert_eq!(fleet.run(&["converge", "--playbook", "t", "--check"]).status.code(), Some(3));
        fleet.inside(&node, "fuser -k /var/lib/stead/lock || kill $(pgrep -f 'sleep 25')");
    });
    fleet.ok(&["converge", "--playbook", "t"]);
}

#[test]
fn node_refuses_a_controller_that_slept_through_anothers_work() {
    let (fleet, node) = fleet_with("name: t\ntasks:\n  - file: {path: /root/who, content: sleeper}\n");
    // Another controller of the same fleet: the same keys and records, its own lock.
    let other = fleet.dir.parent().expect("a folder").join("other");
    let copied = std::process::Command::new("cp").args(["-a", "--reflink=auto"]).args([&fleet.dir, &other]).status();
    assert!(copied.expect("runs").success());
    fs_err::remove_dir_all(other.join(".stead/nodes")).expect("removed");
    fs_err::os::unix::fs::symlink(fleet.dir.join(".stead/nodes"), other.join(".stead/nodes")).expect("linked");
    let mut sleeper = fleet.command(&["converge", "--playbook", "t"]);
    let sleeper = sleeper.env("STEAD_FAULT", "sleep:converge/playbooks/before");
    let sleeper = sleeper.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    let state = || fs_err::read_to_string(format!("/proc/{}/stat", sleeper.id())).expect("there");
    while !state().contains(") T ") {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    fs_err::write(other.join("playbooks/t.yaml"), "name: t\ntasks:\n  - file: {path: /root/who, content: newer}\n")
        .expect("written");
    for _ in 0..2 {
        let mut newer = std::process::Command::new(env!("CARGO_BIN_EXE_stead"));
        let done = newer.args(["--fleet", other.as_str(), "converge", "--playbook", "t"]).output().expect("runs");
        assert!(done.status.success(), "{}", text(&done));
    }
    let pid = rustix::process::Pid::from_child(&sleeper);
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("continued");
    let woken = sleeper.wait_with_output().expect("ends");
    assert_eq!(woken.status.code(), Some(1), "{}", text(&woken));
    assert!(text(&woken).contains("fence"), "{}", text(&woken));
    assert_eq!(fleet.inside(&node, "cat /root/who").1, "newer");
}

#[test]
fn node_of_its_own_proves_every_playbook_that_ships() {
    let fleet = TestFleet::new(&[]);
    let shipped = fs_err::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks")).expect("there");
    let paths = shipped.map(|entry| entry.expect("read").path());
    // Those in folders are parts of others.
    let whole = paths.filter(|path| path.is_file());
    let mut names: Vec<String> = whole.filter_map(|path| path.file_stem()?.to_str().map(str::to_owned)).collect();
    names.sort();
    assert!(names.len() >= 4, "{names:?}");
    let mut arguments = vec!["playbook", "test", "--secret", "OPENAI_API_KEY"];
    arguments.extend(names.iter().map(String::as_str));
    let passed = fleet.json(&arguments);
    let tests: Vec<_> = passed.as_array().expect("a list").iter().map(|row| row["tests"].as_u64()).collect();
    assert!(tests.len() == names.len() && tests.iter().all(|count| *count >= Some(2)), "{passed}");
    // Nothing of the tests' nodes is left.
    assert_eq!(fs_err::read_dir(fleet.dir.join(".stead/tests")).expect("there").count(), 0);
    // A playbook that is not as it should be a second time fails, and takes its node away all the same.
    write(&fleet, "restless", "name: restless\ntasks:\n  - command: {argv: [\"true\"]}\n");
    let failed = fleet.run(&["playbook", "test", "restless"]);
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed));
    assert!(text(&failed).contains("changed something a second time"), "{}", text(&failed));
    assert_eq!(fs_err::read_dir(fleet.dir.join(".stead/tests")).expect("there").count(), 0);
}

#[test]
fn node_has_systemd_read_its_units_once_and_after_a_run_that_was_killed() {
    let unit = |name: &str| {
        let content = "[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n";
        format!(
            "  - unit: {{name: {name}, content: \"{content}\"}}\n  - service: {{name: {name}, enabled: true, state: started}}\n"
        )
    };
    let (fleet, node) = fleet_with(&format!("name: t\ntasks:\n{}{}", unit("one"), unit("two")));
    let states = "systemctl show --property=UnitFileState --value one two | sort -u | tr -d '\\n'";
    fleet.ok(&["converge", "--playbook", "t"]);
    assert_eq!(fleet.inside(&node, states).1, "enabled");
    assert!(fleet.inside(&node, "test ! -e /run/stead/units-unread && systemctl is-active one two").0);
    // As a run that was killed leaves it: the links are other than what systemd has read.
    assert!(fleet.inside(&node, "touch /run/stead/units-unread && systemctl --no-reload disable one").0);
    assert_eq!(fleet.inside(&node, states).1, "enabled", "systemd does not know yet");
    let check = fleet.run(&["--json", "converge", "--playbook", "t", "--check"]);
    let said = tasks(&check);
    assert_eq!(
        said.iter().filter(|task| task[1] == "changed").map(|task| &task[2]).collect::<Vec<_>>(),
        ["enable one.service"]
    );
    let applied = fleet.ok(&["--json", "converge", "--playbook", "t"]);
    assert_eq!(tasks(&applied), said);
    assert!(fleet.inside(&node, "test ! -e /run/stead/units-unread && systemctl is-enabled one").0);
}
