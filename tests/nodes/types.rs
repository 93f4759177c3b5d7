//! Every task type's example in the reference (`docs/examples/`), on real nodes of both Debian releases: what the check
//! says is what is done, the second time changes nothing, and the example's own tests hold.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::fleet::{TestFleet, text};

/// Run last: what it points to is not there, and whoever asks all sources after it fails.
const LAST: &str = "apt_source";

fn examples() -> Vec<Utf8PathBuf> {
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples");
    let mut found: Vec<_> =
        folder.read_dir_utf8().expect("there").map(|entry| entry.expect("read").into_path()).collect();
    found.sort_by_key(|path| (path.file_stem() == Some(LAST), path.clone()));
    assert!(found.len() >= 29, "{found:?}");
    found
}

/// Name, status and message of each task that has ended.
fn ended(output: &std::process::Output) -> Vec<(Value, Value, Value)> {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let documents = stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let tasks = documents.filter_map(|document| document.get("task").cloned());
    let ended = tasks.filter(|task| task["status"] != "started");
    ended.map(|task| (task["name"].clone(), task["status"].clone(), task["message"].clone())).collect()
}

fn every_example_holds(suite: &str) {
    let fleet = TestFleet::new(&["acme"]);
    let image = format!(
        "name: own\nsuite: {suite}\npackages: [apparmor, auditd, unattended-upgrades]\nplaybooks: [base, hardening]\n"
    );
    fs_err::create_dir_all(fleet.dir.join("images/own")).expect("made");
    fs_err::write(fleet.dir.join("images/own/image.yaml"), image).expect("written");
    fleet.write_main("own", "[bootstrap, agents]", &["acme"], "");
    for folder in ["playbooks", "templates"] {
        fs_err::create_dir_all(fleet.dir.join(folder)).expect("made");
    }
    let greeting = "{{ greeting }} from {{ facts.hostname }}\n";
    fs_err::write(fleet.dir.join("templates/greeting.tera"), greeting).expect("written");
    fleet.ok(&["up"]);
    let mut wrong = Vec::new();
    for example in examples() {
        let name = example.file_stem().expect("a name");
        let playbook = fs_err::read_to_string(&example).expect("read");
        fs_err::write(fleet.dir.join(format!("playbooks/{name}.yaml")), &playbook).expect("written");
        let converge = |more: &[&str]| fleet.run(&[&["--json", "converge", "--playbook", name], more].concat());
        let (check, applied) = (converge(&["--check"]), converge(&[]));
        if !applied.status.success() {
            wrong.push(format!("{name}: {}", text(&applied)));
            continue;
        }
        // What a command will have printed is not known beforehand; what depends on it may be skipped or not.
        if !playbook.contains("register:") && ended(&check) != ended(&applied) {
            wrong.push(format!("{name}: the check says {}\nand done is {}", text(&check), text(&applied)));
        }
        for again in [converge(&["--check"]), converge(&[])] {
            if !again.status.success() || ended(&again).iter().any(|(_, status, _)| status == "changed") {
                wrong.push(format!("{name}, again: {}", text(&again)));
            }
        }
        // The example's tests, as a playbook of their own.
        if let Some((head, tests)) = playbook.split_once("\ntests:") {
            let vars = head.split("\nvars:").nth(1).map(|rest| rest.split("\ntasks:").next().unwrap_or_default());
            let vars = vars.map(|vars| format!("vars:{vars}\n")).unwrap_or_default();
            fs_err::write(fleet.dir.join("playbooks/proof.yaml"), format!("{vars}tasks:{tests}")).expect("written");
            let proof = fleet.run(&["converge", "--playbook", "proof"]);
            if !proof.status.success() {
                wrong.push(format!("{name}, its tests: {}", text(&proof)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn node_of_debian_13_takes_every_task_type() {
    every_example_holds("trixie");
}

#[test]
fn node_of_debian_12_takes_every_task_type() {
    every_example_holds("bookworm");
}
