//! A fleet of a test's own, and what must be left of it: nothing.

use std::process::{Command, Output};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

/// A fleet in a folder of its own. Dropped, it takes its nodes down.
pub(crate) struct TestFleet {
    _temporary: tempfile::TempDir,
    pub(crate) dir: Utf8PathBuf,
    pub(crate) id: String,
}

/// The value that tests give to secrets, to be looked for afterwards.
pub(crate) const PLANTED: &str = "sk-planted-5f2c9a7e41d84b06-value";

impl TestFleet {
    /// A fleet with these workspaces, each with a secret that waits in the vault.
    pub(crate) fn new(workspaces: &[&str]) -> Self {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let dir = Utf8PathBuf::from_path_buf(temporary.path().join("fleet")).expect("UTF-8");
        let mut fleet = Self { _temporary: temporary, dir, id: String::new() };
        let init = fleet.command(&[]).args(["init", "--name", "test"]).arg(&fleet.dir).output().expect("runs");
        assert!(init.status.success(), "{}", text(&init));
        let main = fleet.dir.join("stead.yaml");
        let written = fs_err::read_to_string(&main).expect("init wrote it");
        let id = written.split("fl_").nth(1).expect("an id").split(|c: char| !c.is_ascii_alphanumeric()).next();
        fleet.id = format!("fl_{}", id.expect("an id"));
        fleet.declare(workspaces, "");
        fleet.take_lock();
        for workspace in workspaces {
            fleet.give(workspace, PLANTED);
        }
        fleet
    }

    /// Takes the shipped image's lock from where all tests share it: each would ask the archives for the same otherwise.
    fn take_lock(&self) {
        let shared = Utf8PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("agent-node.lock.json");
        let holder = fs_err::File::create(shared.with_extension("holder")).expect("made");
        rustix::fs::flock(&holder, rustix::fs::FlockOperation::LockExclusive).expect("locked");
        let changed = |path: &Utf8Path| path.metadata().and_then(|found| found.modified()).ok();
        let place = self.dir.join("images/agent-node");
        let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let own = place.join(format!("lock.{arch}.json"));
        // Another program may lock other packages.
        if changed(&shared) < changed(Utf8Path::new(env!("CARGO_BIN_EXE_stead"))) {
            self.ok(&["image", "lock", "agent-node"]);
            fs_err::copy(&own, &shared).expect("copied");
        } else {
            fs_err::create_dir_all(&place).expect("made");
            fs_err::copy(&shared, &own).expect("copied");
        }
    }

    /// Writes stead.yaml with these workspaces; `more` is put at the end of it.
    pub(crate) fn declare(&self, workspaces: &[&str], more: &str) {
        self.write_main("agent-node", "[bootstrap, agents]", workspaces, more);
    }

    /// Writes stead.yaml with another image or other playbooks.
    pub(crate) fn write_main(&self, image: &str, playbooks: &str, workspaces: &[&str], more: &str) {
        let mut yaml = format!(
            "fleet: {{name: test, id: {}}}\nproviders:\n  local: {{kind: local}}\ntiers:\n  starter:\n    provider: local\n    \
             size: {{vcpus: 1, memory: 1GiB, disk: 10GiB}}\n    image: {image}\n    playbooks: {playbooks}\n    \
             health: {{port: 8080}}\nworkspaces:\n",
            self.id
        );
        for workspace in workspaces {
            yaml += &format!("  {workspace}: {{tier: starter, secrets: [OPENAI_API_KEY]}}\n");
        }
        fs_err::write(self.dir.join("stead.yaml"), yaml + more).expect("written");
    }

    /// Gives a workspace's secret a value.
    pub(crate) fn give(&self, workspace: &str, value: &str) {
        use std::io::Write;
        let mut child = self
            .command(&["secret", "set", workspace, "OPENAI_API_KEY"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("runs");
        child.stdin.take().expect("piped").write_all(value.as_bytes()).expect("taken");
        let output = child.wait_with_output().expect("ends");
        assert!(output.status.success(), "{}", text(&output));
    }

    /// A command on this fleet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
        if self.dir.join("stead.yaml").exists() {
            command.arg("--fleet").arg(&self.dir);
        }
        command.args(arguments).env_remove("STEAD_FAULT").stdin(std::process::Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("runs")
    }

    /// Runs a command that must succeed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> Output {
        let output = self.run(arguments);
        assert!(output.status.success(), "stead {}: {}", arguments.join(" "), text(&output));
        output
    }

    /// The last JSON document that a command prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.ok(&[&["--json"], arguments].concat());
        let stdout = String::from_utf8(output.stdout).expect("UTF-8");
        serde_json::from_str(stdout.lines().last().unwrap_or("null")).expect("JSON")
    }

    /// The folder of the only node.
    pub(crate) fn node_dir(&self) -> Utf8PathBuf {
        let mut dirs = self.node_dirs();
        assert_eq!(dirs.len(), 1, "{dirs:?}");
        dirs.remove(0)
    }

    /// The folders of all nodes, whole or half made.
    pub(crate) fn node_dirs(&self) -> Vec<Utf8PathBuf> {
        let Ok(entries) = self.dir.join(".stead/nodes").read_dir_utf8() else { return Vec::new() };
        entries.map(|entry| entry.expect("readable").into_path()).filter(|path| path.is_dir()).collect()
    }

    /// Runs a shell script on a node, entering by its PID 1: past SSH and all that is hardened there. Gives whether it
    /// succeeded, and what it said.
    pub(crate) fn inside(&self, node: &str, script: &str) -> (bool, String) {
        let leader = self.leader(node);
        let output = Command::new("nsenter")
            .args(["-t", &leader, "-m", "-n", "-p", "-u", "-i", "-C", "-r", "-w", "--", "/bin/bash", "-c"])
            .arg(format!("exec 2>&1; {script}"))
            .output()
            .expect("runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The process id of a node's PID 1, as the host sees it.
    fn leader(&self, node: &str) -> String {
        let name = format!("st-*{}", node.trim_start_matches("nd_"));
        let groups =
            Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", &name]).output().expect("runs");
        let groups = String::from_utf8(groups.stdout).expect("UTF-8");
        let scopes = groups.lines().flat_map(|group| {
            ["payload/init.scope", "init.scope"].map(|scope| format!("{group}/{scope}/cgroup.procs"))
        });
        let init = scopes.filter_map(|path| std::fs::read_to_string(path).ok()).find(|text| !text.trim().is_empty());
        let init = init.unwrap_or_else(|| panic!("no control group of {node} in {}", self.dir));
        init.lines().next().expect("PID 1").to_owned()
    }

    /// What is left of this fleet on the host.
    pub(crate) fn traces(&self) -> Vec<String> {
        let suffix = self.id.trim_start_matches("fl_");
        let mark = format!("st-{suffix}-");
        let mut traces: Vec<String> = self.node_dirs().iter().map(|dir| format!("folder {dir}")).collect();
        let mut look = |what: &str, text: String, needle: &str| {
            traces.extend(
                text.lines().filter(|line| line.contains(needle)).map(|line| format!("{what}: {}", line.trim())),
            );
        };
        let said = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().expect("runs");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        look("process", said("ps", &["-eo", "pid,args"]), &mark);
        look("mount", fs_err::read_to_string("/proc/self/mountinfo").expect("readable"), self.dir.as_str());
        look("registry", fs_err::read_to_string("/run/stead/registry.json").unwrap_or_default(), &self.id);
        let short = short(&self.id);
        look("bridge", said("ip", &["-o", "link"]), &format!("stb{short}"));
        look("nftables", said("nft", &["list", "tables"]), &format!("stead_{short}"));
        look("cgroup", said("find", &["/sys/fs/cgroup", "-type", "d", "-name", "st-*"]), &mark);
        traces
    }
}

impl Drop for TestFleet {
    fn drop(&mut self) {
        if !self.dir.exists() {
            return;
        }
        let output = self.run(&["down", "--yes"]);
        // Its control plane takes it down.
        let moved = String::from_utf8_lossy(&output.stderr).contains("was taken over") && self.node_dirs().is_empty();
        if !moved && !output.status.success() && !std::thread::panicking() {
            panic!("taking the test's fleet down: {}", text(&output));
        }
    }
}

/// How the fleet is named where names are short; as `FleetId::short`.
fn short(id: &str) -> String {
    id.parse::<stead::id::FleetId>().expect("a fleet id").short()
}

/// All that a command said.
pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}\n--- stdout\n{}--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Every file below a folder that holds these bytes.
pub(crate) fn files_with(dir: &Utf8Path, needle: &[u8]) -> Vec<Utf8PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = dir.read_dir_utf8() else { return found };
    for entry in entries.filter_map(Result::ok) {
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            found.extend(files_with(entry.path(), needle));
        } else if kind.is_file() {
            let content = fs_err::read(entry.path()).unwrap_or_default();
            if content.windows(needle.len()).any(|window| window == needle) {
                found.push(entry.path().to_owned());
            }
        }
    }
    found
}
