//! What the command tells its users: every file in `tests/cases/cli` is a case, run in a fleet of its own: `stead.yaml`
//! there, with the files of the folder that bears the case's name laid over it. `TRYCMD=overwrite` writes the cases anew.
//!
//! Those in `staged/` need something arranged first, and have a test each.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Stdio;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use stead::clock::{Clock, SystemClock};
use stead::id::SecretId;
use stead::secrets::vault::Vault;
use stead::store::{FleetLock, ManagedBy, Node, SecretRecord, SecretState, Store, Workspace};

#[path = "cli/modes.rs"]
mod modes;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/cli");
const NOBODY: u32 = 65534;

/// A case with a fleet, a home and a host's state of its own.
struct Case {
    path: Utf8PathBuf,
    copy: Utf8PathBuf,
    dir: Utf8PathBuf,
    env: Vec<(&'static str, String)>,
    _temp: tempfile::TempDir,
}

impl Case {
    fn new(path: &Utf8Path) -> Self {
        let temp = tempfile::tempdir().unwrap();
        // `stead` is also run as another user.
        std::fs::set_permissions(temp.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let root = Utf8Path::from_path(temp.path()).unwrap().canonicalize_utf8().unwrap();
        // trycmd runs the commands of NAME.md in NAME.in.
        let (copy, dir) = (root.join("case.md"), root.join("case.in"));
        for dir in [&dir, &root.join("home")] {
            std::fs::create_dir(dir).unwrap();
        }
        std::fs::copy(path, &copy).unwrap();
        std::fs::copy(Utf8Path::new(CASES).join("stead.yaml"), dir.join("stead.yaml")).unwrap();
        lay_over(&path.with_extension(""), &dir);
        let env = vec![
            ("HOME", root.join("home").to_string()),
            ("STEAD_CACHE_DIR", root.join("cache").to_string()),
            ("STEAD_RUN_DIR", root.join("run").to_string()),
            ("COLUMNS", "100".to_owned()),
        ];
        Self { path: path.to_owned(), copy, dir, env, _temp: temp }
    }

    fn staged(name: &str) -> Self {
        Self::new(&Utf8Path::new(CASES).join("staged").join(name))
    }

    /// Writes the fleet's keys and its operator, as `stead init` does.
    fn with_operator(self) -> Self {
        use stead::secrets::{keys::FleetKeys, operators::Operators};
        let keys = FleetKeys::open_or_create(&FleetKeys::folder(&self.dir)).unwrap();
        Operators::read(&self.dir).unwrap().add("alice", &keys.operator().recipient()).unwrap();
        self
    }

    /// The program, in this case's fleet.
    fn stead(&self) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stead"));
        command.current_dir(&self.dir).envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `stead secret set` with this on stdin; what it said.
    fn set(&self, workspace: &str, name: &str, value: &str) -> String {
        let mut child = self
            .stead()
            .args(["secret", "set", workspace, name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    fn run(&self, arrange: impl FnOnce(&trycmd::TestCases)) {
        let cases = trycmd::TestCases::new();
        cases.case(self.copy.as_std_path());
        cases.insert_var("[FLEET]", self.dir.to_string()).unwrap();
        for (name, value) in &self.env {
            cases.env(*name, value);
        }
        arrange(&cases);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cases.run()));
        if std::env::var("TRYCMD").is_ok_and(|mode| mode == "overwrite") {
            std::fs::copy(&self.copy, &self.path).unwrap();
        }
        assert!(ended.is_ok(), "{} tells something else than expected", self.path);
    }
}

fn lay_over(from: &Utf8Path, to: &Utf8Path) {
    if !from.is_dir() {
        return;
    }
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            lay_over(entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}

#[test]
fn every_case_tells_what_is_expected() {
    let mut count = 0;
    for entry in Utf8Path::new(CASES).read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        if path.extension() == Some("md") {
            Case::new(&path).with_operator().run(|_| {});
            count += 1;
        }
    }
    assert!(count >= 12, "the cases are found");
}

#[test]
fn a_fleet_in_use_names_its_holder() {
    let case = Case::staged("fleet-in-use.md").with_operator();
    let _lock = FleetLock::take(&case.dir.join(".stead"), "stead up").unwrap();
    case.run(|cases| {
        cases.insert_var("[PID]", std::process::id().to_string()).unwrap();
    });
    let told = case.set("acme", "OPENAI_API_KEY", "sk-1");
    assert!(told.contains("in the vault") && told.contains("in use by `stead up`"), "{told}");
}

#[test]
fn a_value_is_in_the_vault_and_nowhere_else() {
    const MARK: &str = "sk-marked-value-4711";
    let case = Case::staged("fleet-in-use.md").with_operator();
    let told = case.set("acme", "OPENAI_API_KEY", &format!("{MARK}\n"));
    assert!(told.contains("acme/OPENAI_API_KEY version 1 is in the vault"), "{told}");
    let value = Vault::open(&case.dir).unwrap().get("acme", "OPENAI_API_KEY").unwrap().unwrap();
    assert_eq!(value.expose(), MARK.as_bytes(), "the line end is cut");
    assert!(!told.contains(MARK));
    assert!(!holds(&case.dir, MARK.as_bytes()), "the value lies in the clear in the fleet's folder");
}

fn holds(path: &Utf8Path, needle: &[u8]) -> bool {
    if path.is_dir() {
        return path.read_dir_utf8().unwrap().any(|entry| holds(entry.unwrap().path(), needle));
    }
    std::fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn a_new_value_of_a_delivered_secret_waits_as_the_next_version() {
    let case = Case::staged("fleet-in-use.md").with_operator();
    let store = Store::open(&case.dir.join(".stead"), Arc::new(SystemClock)).await.unwrap();
    let now = SystemClock.now();
    let workspace = Workspace::new("acme", "starter", ManagedBy::Files, now);
    let node = Node::new(&"fl_0192f0c1".parse().unwrap(), workspace.id, "local", "local", now);
    let secret = SecretRecord {
        id: SecretId::new(),
        workspace_id: workspace.id,
        name: "OPENAI_API_KEY".into(),
        version: 1,
        fingerprint: "old".into(),
        masked_tail: None,
        salt: "00".into(),
        state: SecretState::Delivered,
        node_id: Some(node.id),
        delivered_at: Some(now),
        created_at: now,
        updated_at: now,
        lost_at: None,
    };
    let (id, node_id) = (workspace.id, node.id);
    store
        .write(move |tx| {
            Box::pin(async move {
                tx.insert_workspace(&workspace).await?;
                tx.insert_node(&node).await?;
                tx.put_secret(&secret).await
            })
        })
        .await
        .unwrap();
    // The workspace was never brought to a revision, so there is nothing to converge to yet.
    let told = case.set("acme", "OPENAI_API_KEY", "sk-2");
    assert!(told.contains("version 2 is in the vault"), "{told}");
    let recorded = store.read().await.unwrap().secret(id, "OPENAI_API_KEY").await.unwrap().unwrap();
    assert_eq!((recorded.version, recorded.state, recorded.node_id), (2, SecretState::Vault, Some(node_id)));
    assert!(stead::audit::verify(&store).await.unwrap().broken.is_none());
}

#[test]
fn serve_answers_those_who_have_the_token_and_ends_when_told() {
    let case = Case::staged("fleet-in-use.md").with_operator();
    let mut child =
        case.stead().args(["--json", "serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let document: serde_json::Value = serde_json::from_str(&line).unwrap();
    let token = std::fs::read_to_string(document["token_file"].as_str().unwrap()).unwrap();
    let get = |path: &str, header: &str| {
        let mut stream = TcpStream::connect(document["listen"].as_str().unwrap()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: stead\r\nConnection: close\r\n{header}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get("/healthz", "").starts_with("HTTP/1.1 200"));
    assert!(get("/v1/workspaces", "").starts_with("HTTP/1.1 401"));
    let answer = get("/v1/workspaces", &format!("Authorization: Bearer {}\r\n", token.trim()));
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"items\":[]"), "{answer}");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_port_in_use_says_how_to_find_its_holder() {
    // Where another program has it already, so much the better.
    let _listener = TcpListener::bind("127.0.0.1:17380");
    Case::staged("port-in-use.md").run(|_| {});
}

#[test]
fn without_root_up_says_so_and_status_works() {
    let mut case = Case::staged("not-root.md").with_operator();
    // Whether this machine has an emulator or not.
    case.env.push(("PATH", "/nonexistent".into()));
    let stead = env!("CARGO_BIN_EXE_stead");
    let script = case.dir.join("../as-nobody");
    let root = rustix::process::geteuid().is_root();
    let drop_root = format!("/usr/bin/setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups ");
    std::fs::write(&script, format!("#!/bin/sh\nexec {}{stead} \"$@\"\n", if root { &drop_root } else { "" })).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    if root {
        give(&case.dir);
        give(&case.dir.join("../home"));
    }
    case.run(|cases| {
        cases.register_bin("as-nobody", trycmd::schema::Bin::Path(script.into()));
    });
}

fn give(path: &Utf8Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        path.read_dir_utf8().unwrap().for_each(|entry| give(entry.unwrap().path()));
    }
}

#[test]
fn rooted_up_without_the_programs_names_their_packages() {
    let mut case = Case::staged("no-tools.md").with_operator();
    case.env.push(("PATH", "/nonexistent".into()));
    case.run(|_| {});
}

#[test]
fn rooted_up_tells_mistakes_before_it_begins() {
    Case::staged("mistakes-before-up.md").with_operator().run(|_| {});
}

#[test]
fn rooted_up_without_the_programs_for_nodes_does_not_begin() {
    let mut case = Case::staged("no-programs.md").with_operator();
    case.env.push(("STEAD_AGENTS_DIR", "/nonexistent".into()));
    case.run(|_| {});
}

#[test]
fn rooted_up_without_a_declared_secret_says_how_to_give_it() {
    Case::staged("missing-secret.md").with_operator().run(|_| {});
}

#[test]
fn a_backup_comes_back_whole_or_not_at_all() {
    let case = Case::staged("broken-backup.md").with_operator();
    std::fs::write(case.dir.join("junk.backup"), "this is no backup").unwrap();
    case.run(|_| {});
}

/// The whole reference, from the program's own help. `UPDATE_CASES=1` writes `docs/CLI.md` anew.
#[test]
fn the_reference_is_what_the_help_says() {
    use clap::CommandFactory;
    let mut text = String::from(
        "# The `stead` command\n\nFrom the program's own help; `UPDATE_CASES=1 cargo nextest run reference` writes this page anew.\n",
    );
    let mut command = stead::cli::Cli::command().term_width(100);
    command.build();
    reference(&command, "stead", &mut text);
    let page = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CLI.md");
    if std::env::var_os("UPDATE_CASES").is_some() {
        std::fs::create_dir_all(page.parent().unwrap()).unwrap();
        std::fs::write(&page, &text).unwrap();
    }
    let written = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(written == text, "docs/CLI.md is not what the help says: run UPDATE_CASES=1 cargo nextest run reference");
}

fn reference(command: &clap::Command, name: &str, text: &mut String) {
    let mut shown = command.clone().term_width(100);
    // Options that every command takes stand with the first one only.
    if name != "stead" {
        let global: Vec<_> =
            shown.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.get_id().clone()).collect();
        for id in global {
            shown = shown.mut_arg(id, |arg| arg.hide(true));
        }
    }
    let help = shown.render_long_help().to_string();
    let help: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
    *text += &format!("\n## `{name}`\n\n```text\n{}\n```\n", help.join("\n"));
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        reference(sub, &format!("{name} {}", sub.get_name()), text);
    }
}
