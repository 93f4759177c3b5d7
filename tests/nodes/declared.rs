//! Nodes that files declare, brought up through a control plane by whoever has the files.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::control_plane::Program;
use crate::fleet::{PLANTED, TestFleet, files_with, text};
use crate::postgres::Database;

/// The folder of an operator who has the fleet's files and keys, and nothing of its store.
fn elsewhere(fleet: &TestFleet) -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a folder");
    let copied = std::process::Command::new("cp")
        .args(["-r", "--"])
        .args(
            ["stead.yaml", "images", "operators"].map(|name| fleet.dir.join(name)).iter().filter(|path| path.exists()),
        )
        .arg(home.path())
        .status()
        .expect("runs");
    assert!(copied.success());
    let keys = home.path().join(".stead/keys");
    fs_err::create_dir_all(&keys).expect("made");
    fs_err::copy(fleet.dir.join(".stead/keys/operator.agekey"), keys.join("operator.agekey")).expect("copied");
    home
}

/// `up`, `converge` and `down` of a workspace that the files declare, with a secret of the operators' vault and a large file, by
/// somebody who is logged in, with a worker that knows neither the files nor the vault.
#[test]
fn node_that_files_declare_is_brought_up_and_down_by_whoever_is_logged_in() {
    let fleet = TestFleet::new(&[]);
    let database = Database::new();
    let url = database.url();
    fleet.ok(&["migrate", "--database", &url]);
    fleet.ok(&["store", "import", "--database", &url]);
    let (_serving, ready) = Program::start(&fleet, &["serve", "--database", &url, "--listen", "127.0.0.1:0"], None);
    let _worker = Program::start(&fleet, &["worker", "--database", &url], None);
    let home = elsewhere(&fleet);
    let main = home.path().join("stead.yaml");
    let declared = fs_err::read_to_string(&main).expect("read");
    fs_err::write(&main, declared + "  acme: {tier: starter, secrets: [OPENAI_API_KEY]}\n").expect("written");
    let run = |arguments: &[&str], input: Option<&str>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stead"));
        command.current_dir(home.path()).args(arguments).env("XDG_CONFIG_HOME", home.path().join("config"));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
        child.stdin.take().expect("piped").write_all(input.unwrap_or_default().as_bytes()).expect("written");
        child.wait_with_output().expect("ends")
    };
    let ok = |arguments: &[&str], input: Option<&str>| {
        let output = run(arguments, input);
        assert!(output.status.success(), "stead {}: {}", arguments.join(" "), text(&output));
        output
    };
    let json = |arguments: &[&str]| {
        let output = ok(&[&["--json"], arguments].concat(), None);
        let stdout = String::from_utf8(output.stdout).expect("UTF-8");
        serde_json::from_str::<Value>(stdout.lines().last().unwrap_or("null")).expect("JSON")
    };
    let url = format!("http://{}", ready["listen"].as_str().expect("an address"));
    ok(&["login", &url, "--token-file", ready["token_file"].as_str().expect("a file")], None);

    let unknown = run(&["up"], None);
    assert_eq!(unknown.status.code(), Some(2), "{}", text(&unknown));
    assert!(text(&unknown).contains("stead secret set acme OPENAI_API_KEY"), "{}", text(&unknown));
    let kept = text(&ok(&["secret", "set", "acme", "OPENAI_API_KEY"], Some(PLANTED)));
    assert!(kept.contains("is in the vault"), "{kept}");
    let up = json(&["up"]);
    assert_eq!((&up[0]["workspace"], &up[0]["state"]), (&json!("acme"), &json!("ready")), "{up}");
    let node = up[0]["node"].as_str().expect("an id").to_owned();
    assert!(fleet.inside(&node, "test -e /etc/credstore.encrypted/OPENAI_API_KEY").0);
    assert!(text(&ok(&["secret", "list", "acme"], None)).contains("delivered"));
    assert_eq!(files_with(&fleet.dir, PLANTED.as_bytes()), Vec::<camino::Utf8PathBuf>::new());
    let second = text(&ok(&["secret", "set", "acme", "OPENAI_API_KEY"], Some("sk-planted-second-0a9b8c7d6e5f")));
    assert!(second.contains("version 2 is on the node"), "{second}");

    // Again: nothing is made anew, and nothing is pending.
    assert_eq!(json(&["up"])[0]["node"], json!(node));
    let same = json(&["converge", "--check"]);
    assert_eq!((&same[0]["result"], &same[0]["changed"]), (&json!("ok"), &json!(0)), "{same}");
    // A playbook with a file that is too large for a plan.
    for folder in ["files", "playbooks"] {
        fs_err::create_dir_all(home.path().join(folder)).expect("made");
    }
    let large: Vec<u8> = (0..3 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs_err::write(home.path().join("files/model.bin"), &large).expect("written");
    let playbook = "tasks:\n  - name: put it there\n    file: {path: /srv/model.bin, source: files/model.bin}\n";
    fs_err::write(home.path().join("playbooks/model.yaml"), playbook).expect("written");
    let pending = run(&["converge", "--playbook", "model", "--check"], None);
    assert_eq!(pending.status.code(), Some(3), "{}", text(&pending));
    let applied = json(&["converge", "--playbook", "model"]);
    assert_eq!((&applied[0]["result"], &applied[0]["changed"]), (&json!("changed"), &json!(1)), "{applied}");
    let sum = hex(&large);
    assert!(fleet.inside(&node, &format!("echo '{sum}  /srv/model.bin' | sha256sum -c")).0);

    let down = json(&["down", "acme", "--yes"]);
    assert_eq!(down, json!(["acme"]));
    assert_eq!(fleet.traces(), Vec::<String>::new());
    assert!(text(&ok(&["status"], None)).contains("acme"), "the workspace stays");
    assert_eq!(json(&["down", "--yes"]), json!([]));
}

fn hex(bytes: &[u8]) -> String {
    stead::store::BlobKey::of(bytes).to_string()
}
