//! Two hosts that share a database: what is done to a node is done on the host that it lies on, whoever is idle elsewhere.
//!
//! A host here is a network namespace of its own, with a name, a `/run/stead` and a state folder of its own, and a cable to a
//! bridge where the database listens. Its nodes' bridge is in there with it.

use std::process::Command;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use crate::control_plane::{Api, Program};
use crate::fleet::{TestFleet, text};
use crate::postgres::{Database, Server};

/// Becomes a host: `sh -c HOST sh NAME FOLDER COMMAND…`. What `/sys` tells of interfaces is that of the namespace in which it was
/// mounted; the control groups are the machine's.
const HOST: &str = r#"set -e; hostname "$1"; cd "$2"; shift 2
mount -t sysfs sysfs sys; mount --rbind /sys/fs/cgroup sys/fs/cgroup; mount --rbind sys /sys; exec "$@""#;

/// Runs a program that must succeed.
fn must(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A network with a database; dropped, nothing of it is left.
struct Network {
    hosts: Vec<Host>,
    bridge: String,
    number: u8,
    fleet: String,
    // After the hosts, whose workers it serves.
    database: Database,
    dir: tempfile::TempDir,
}

impl Network {
    fn new(fleet: &TestFleet) -> Self {
        // 198.18.0.0/15 is for tests of networks (RFC 2544). Where another run has the same, the bridge's name is taken.
        let (dir, number) = (tempfile::tempdir().expect("a folder"), std::process::id() % 250);
        let bridge = format!("stt{number}");
        must("ip", &["link", "add", &bridge, "type", "bridge"]);
        must("ip", &["address", "add", &format!("198.18.{number}.1/24"), "dev", &bridge]);
        must("ip", &["link", "set", &bridge, "up"]);
        // The server's own user must get to its folder.
        must("chmod", &["711", dir.path().to_str().expect("UTF-8")]);
        let (address, subnet) = (format!("198.18.{number}.1"), format!("198.18.{number}.0/24"));
        let server = Server::at(&dir.path().join("postgres"), &address, &subnet);
        let number = u8::try_from(number).expect("small");
        let fleet = fleet.id.trim_start_matches("fl_").to_owned();
        Self { hosts: Vec::new(), bridge, number, fleet, database: Database::in_own(server), dir }
    }

    fn url(&self) -> String {
        format!("postgres://stead@198.18.{}.1/test", self.number)
    }

    /// Adds a host that has a copy of the fleet's keys.
    fn add(&mut self, name: &'static str, fleet: &TestFleet) {
        let dir = Utf8Path::from_path(self.dir.path()).expect("UTF-8").join(name);
        fs_err::create_dir_all(dir.join("sys")).expect("made");
        fs_err::create_dir_all(dir.join("state/.stead")).expect("made");
        must("cp", &["-a", fleet.dir.join(".stead/keys").as_str(), dir.join("state/.stead").as_str()]);
        fs_err::remove_file(dir.join("state/.stead/keys/operator.agekey")).expect("it was copied");
        let net = dir.join("net");
        fs_err::write(&net, "").expect("made");
        must("unshare", &[&format!("--net={net}"), "true"]);
        let (number, at) = (self.number, self.hosts.len() + 2);
        let cable = format!("stt{number}h{at}");
        let inside = |arguments: &[&str]| must("nsenter", &[&[&format!("--net={net}"), "ip"], arguments].concat());
        let ours = std::process::id().to_string();
        inside(&["link", "add", "up0", "type", "veth", "peer", "name", &cable, "netns", &ours]);
        inside(&["address", "add", &format!("198.18.{number}.{at}/24"), "dev", "up0"]);
        for interface in ["lo", "up0"] {
            inside(&["link", "set", interface, "up"]);
        }
        inside(&["route", "add", "default", "via", &format!("198.18.{number}.1")]);
        must("ip", &["link", "set", &cable, "master", &self.bridge, "up"]);
        self.hosts.push(Host { name, dir });
    }

    fn host(&self, name: &str) -> &Host {
        self.hosts.iter().find(|host| host.name == name).expect("one of them")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Nodes of a test that has failed; their supervisors end with them.
        let marked = format!("st-{}-*", self.fleet);
        let groups = Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name", &marked]).output();
        for group in String::from_utf8_lossy(&groups.map(|output| output.stdout).unwrap_or_default()).lines() {
            let _ = std::fs::write(format!("{group}/cgroup.kill"), "1");
        }
        for host in &self.hosts {
            let _ = Command::new("umount").arg(host.dir.join("net")).status();
        }
        let _ = Command::new("ip").args(["link", "delete", &self.bridge]).status();
    }
}

struct Host {
    name: &'static str,
    dir: Utf8PathBuf,
}

impl Host {
    /// Starts a worker that does one thing at a time, under the host's own name.
    fn worker(&self, url: &str, fault: Option<&str>) -> Program {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.dir.join("net")))
            .args(["unshare", "--mount", "--uts", "--propagation", "private", "sh", "-c", HOST, "sh", self.name])
            .args([self.dir.as_str(), env!("CARGO_BIN_EXE_stead"), "--json", "worker", "--concurrency", "1"])
            .args(["--database", url, "--state", self.dir.join("state").as_str()])
            .env("STEAD_RUN_DIR", self.dir.join("run"))
            .env_remove("STEAD_FAULT");
        if let Some(fault) = fault {
            command.env("STEAD_FAULT", fault);
        }
        let (program, ready) = Program::of(&mut command);
        assert_eq!(ready["host"], self.name);
        program
    }

    /// The folders of the nodes that lie here.
    fn nodes(&self) -> Vec<String> {
        let Ok(entries) = self.dir.join("state/.stead/nodes").read_dir_utf8() else { return Vec::new() };
        let entries = entries.map(|entry| entry.expect("readable")).filter(|entry| entry.path().is_dir());
        entries.map(|entry| entry.file_name().to_owned()).collect()
    }

    /// The bridges and cables of nodes that are there.
    fn interfaces(&self) -> Vec<String> {
        let listed = must("nsenter", &[&format!("--net={}", self.dir.join("net")), "ip", "-o", "link"]);
        let is_nodes = |line: &&str| line.contains(": stb") || line.contains(": stn");
        listed.lines().filter(is_nodes).map(str::to_owned).collect()
    }
}

/// A workspace that was made.
struct Made {
    id: String,
    node: Value,
    host: String,
}

impl Made {
    /// Asks for something about it.
    fn ask(&self, api: &Api, request: &str, body: Value) -> Value {
        let (verb, path) = request.split_once(' ').expect("a verb and a path");
        let (status, begun) = api.ask(&format!("{verb} /v1/workspaces/{}{path}", self.id), &body);
        assert_eq!(status, 202, "{request}: {begun}");
        assert_eq!(begun["workflow"]["host"], self.host, "{request}");
        begun
    }
}

fn state(api: &Api, begun: &Value) -> Value {
    let path = format!("GET /v1/workflows/{}", begun["workflow"]["id"].as_str().expect("an id"));
    api.ask(&path, &Value::Null).1["state"].clone()
}

#[test]
fn node_flows_run_on_the_host_that_the_node_lies_on() {
    let fleet = TestFleet::new(&[]);
    let mut network = Network::new(&fleet);
    let url = network.url();
    fleet.ok(&["migrate", "--database", &url]);
    fleet.ok(&["store", "import", "--database", &url]);
    let (_serving, ready) = Program::start(&fleet, &["serve", "--database", &url, "--listen", "127.0.0.1:0"], None);
    let api = Api::of(&ready);
    network.add("north", &fleet);
    network.add("south", &fleet);
    let mut workers: Vec<Program> = network.hosts.iter().map(|host| host.worker(&url, None)).collect();

    // Whoever is to have nodes looks for orphans by itself, from the beginning.
    let swept = || {
        let sweeps = api.ask("GET /v1/sweeps", &Value::Null).1["items"].clone();
        let hosts =
            sweeps.as_array().expect("a list").iter().map(|sweep| sweep["host"].as_str().expect("one").to_owned());
        hosts.collect::<Vec<_>>()
    };
    let begun = Instant::now();
    while swept() != ["north", "south"] {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", swept());
        std::thread::sleep(Duration::from_millis(100));
    }

    // Each host takes one on, being busy with it when the other one comes.
    let begun = ["alpha", "beta"].map(|slug| {
        let (status, begun) = api.ask("POST /v1/workspaces", &json!({"slug": slug, "tier": "starter"}));
        assert_eq!(status, 202, "{begun}");
        begun["workspace"]["id"].as_str().expect("an id").to_owned()
    });
    let made = begun.map(|id| {
        let node = api.until(&id, "ready")["node"].clone();
        let host = node["host"].as_str().expect("it lies somewhere").to_owned();
        Made { id, node, host }
    });
    let mut hosts = [made[0].host.as_str(), made[1].host.as_str()];
    hosts.sort_unstable();
    assert_eq!(hosts, ["north", "south"]);
    for made in &made {
        assert_eq!(network.host(&made.host).nodes(), [made.node["mark"].as_str().expect("one")]);
    }
    assert_eq!(made[0].node["addresses"], made[1].node["addresses"], "elsewhere, another node is at the same address");

    // Whatever is asked for reaches the node that is meant.
    for made in &made {
        let (node, value) = (made.node["id"].as_str().expect("an id"), format!("sk-planted-for-{}", made.host));
        let given = made.ask(&api, "PUT /secrets/OPENAI_API_KEY", json!({ "value": value }));
        api.succeeds(&given);
        assert!(fleet.inside(node, "test -e /etc/credstore.encrypted/OPENAI_API_KEY").0);
        api.succeeds(&made.ask(&api, "POST /rotate-identity", json!({})));
        api.succeeds(&made.ask(&api, "POST /suspend", json!({})));
        api.succeeds(&made.ask(&api, "POST /resume", json!({})));
        assert_eq!(api.until(&made.id, "ready")["node"]["host"], made.host);
    }

    // One host's worker is dead: what is for it waits, though the other one's is idle; and goes on when it is back.
    let dead = network.hosts.iter().position(|host| host.name == made[0].host).expect("one of them");
    drop(workers.remove(dead));
    let [first, second] = &made;
    let waiting = first.ask(&api, "PUT /secrets/SECOND_KEY", json!({"value": "sk-planted-while-dead"}));
    api.succeeds(&second.ask(&api, "PUT /secrets/SECOND_KEY", json!({"value": "sk-planted-meanwhile"})));
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(state(&api, &waiting), "queued");
    // One that dies in the midst of it leaves it to nobody else either.
    let host = &network.hosts[dead];
    host.worker(&url, Some("deliver-secret/deliver/before")).dies("deliver-secret/deliver/before");
    std::thread::sleep(Duration::from_secs(4));
    assert_ne!(state(&api, &waiting), "succeeded");
    workers.insert(dead, host.worker(&url, None));
    api.succeeds(&waiting);
    let node = first.node["id"].as_str().expect("an id");
    assert!(fleet.inside(node, "test -e /etc/credstore.encrypted/SECOND_KEY").0);

    // Machines and record part: it is told by whoever is on that host, and put right there.
    let mark = second.node["mark"].as_str().expect("one");
    network.database.meddle(&format!("UPDATE nodes SET state = 'gone' WHERE mark = '{mark}'"));
    let home = tempfile::tempdir().expect("a folder");
    let stead = |arguments: &[&str]| {
        let output = fleet.command(arguments).env("XDG_CONFIG_HOME", home.path()).output().expect("runs");
        (output.status.code().expect("it ended"), text(&output))
    };
    let server = format!("http://{}", ready["listen"].as_str().expect("an address"));
    let (_, said) = stead(&["login", &server, "--token-file", ready["token_file"].as_str().expect("a file")]);
    let (status, begun) = api.ask("POST /v1/sweeps", &json!({}));
    assert_eq!((status, begun["workflows"].as_array().map(Vec::len)), (202, Some(2)), "{begun} {said}");
    for workflow in begun["workflows"].as_array().expect("a list") {
        api.succeeds(&json!({ "workflow": workflow }));
    }
    let (code, said) = stead(&["node", "sweep"]);
    assert!(code == 3 && said.contains("machine of a node that is gone"), "{code} {said}");
    assert!(said.contains("as the record says") && said.contains("0 min ago"), "{said}");
    assert_eq!(network.host(&second.host).nodes(), [mark], "it was only looked");
    let (code, said) = stead(&["node", "sweep", "--fix"]);
    assert!(code == 0 && said.contains("mended"), "{code} {said}");
    assert_eq!(network.host(&second.host).nodes(), Vec::<String>::new());
    assert_eq!(network.host(&first.host).nodes().len(), 1, "nothing else was touched");
    // A host whose worker is gone keeps nobody waiting.
    drop(workers.remove(network.hosts.iter().position(|host| host.name == second.host).expect("one of them")));
    network.database.meddle(&format!("DELETE FROM workers WHERE host = '{}'", second.host));
    let (code, said) = stead(&["node", "sweep", "--fix"]);
    assert!(code == 3 && said.contains(&format!("no worker is there on {}", second.host)), "{code} {said}");
    workers.push(network.host(&second.host).worker(&url, None));

    for made in &made {
        api.ask(&format!("DELETE /v1/workspaces/{}", made.id), &Value::Null);
        api.until(&made.id, "gone");
    }
    for host in &network.hosts {
        assert_eq!((host.nodes(), host.interfaces()), (Vec::new(), Vec::new()), "{}", host.name);
    }
    drop(workers);
}
