//! From nothing to healthy nodes, and back to nothing.

use crate::fleet::{TestFleet, text};

#[test]
fn node_up_status_up_again_and_down_without_a_trace() {
    let fleet = TestFleet::new(&["acme", "globex"]);
    let up = fleet.json(&["up"]);
    assert_eq!(up.as_array().map(Vec::len), Some(2), "{up}");
    assert!(up.as_array().expect("a list").iter().all(|row| row["state"] == "ready"), "{up}");

    // A second run finds all as it should be: the same nodes, and nothing changed on them.
    let again = fleet.ok(&["--json", "up"]);
    let events = String::from_utf8(again.stdout).expect("UTF-8");
    let last: serde_json::Value = serde_json::from_str(events.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last, up, "the same nodes");
    let workflows = fleet.json(&["workflow", "list", "--all"]);
    let converges: Vec<_> = rows(&workflows).iter().filter(|row| row["kind"] == "converge").collect();
    assert_eq!(converges.len(), 2);
    for workflow in converges {
        let shown = fleet.json(&["workflow", "show", workflow["id"].as_str().expect("an id")]);
        assert_eq!(shown["result"]["changed"], 0, "the second `up` changes nothing: {shown}");
        assert!(shown["result"]["unchanged"].as_u64() > Some(0), "{shown}");
    }

    let status = fleet.json(&["status"]);
    assert!(status.to_string().contains("\"ready\""), "{status}");
    let verified = fleet.ok(&["audit", "verify"]);
    assert!(verified.status.success());
    let actions = fleet.json(&["audit", "show", "--limit", "500"]).to_string();
    for action in ["revision.publish", "workspace.create", "node.create", "secret.deliver", "node.ready"] {
        assert!(actions.contains(action), "{action} is not in the audit log");
    }

    let down = fleet.ok(&["down", "--yes"]);
    assert_eq!(fleet.traces(), Vec::<String>::new(), "{}", text(&down));
    // What remains is the record.
    let nodes = fleet.json(&["audit", "show", "--limit", "500"]).to_string();
    assert!(nodes.contains("node.gone"));
    fleet.ok(&["down", "--yes"]);
}

#[test]
fn node_reaches_the_outside_and_not_its_neighbours() {
    let fleet = TestFleet::new(&["acme", "globex"]);
    let up = fleet.json(&["up"]);
    let address = |index: usize| up[index]["addresses"][0].as_str().expect("an address").to_owned();
    let node = up[0]["node"].as_str().expect("an id");
    let inside = |script: &str| fleet.inside(node, script);
    let mirror = inside("apt-get update 2>&1");
    assert!(mirror.0 && !mirror.1.contains("Err:"), "apt works on a node: {}", mirror.1);
    let probe = |host: &str, port: u16| inside(&format!("timeout 2 bash -c '</dev/tcp/{host}/{port}'")).0;
    assert!(!probe(&address(1), 22), "another customer's sshd");
    // A service of the host's that listens on the bridge's address.
    let gateway = address(0).rsplit_once('.').map(|(net, _)| format!("{net}.1")).expect("IPv4");
    let service = std::net::TcpListener::bind((gateway.as_str(), 0)).expect("the bridge's address is the host's");
    let port = service.local_addr().expect("bound").port();
    assert!(!probe(&gateway, port), "a service of the host's");
    // Around by the host, with a route of the node's own.
    let neighbour = address(1);
    let around = inside(&format!("ip route add {neighbour}/32 via {gateway} && ip route get {neighbour}"));
    assert!(around.0 && around.1.contains("via"), "{}", around.1);
    assert!(!probe(&neighbour, 22), "another customer's sshd, around by the host");
}

#[test]
fn node_root_does_not_have_the_hosts_devices() {
    let fleet = TestFleet::new(&["acme"]);
    let up = fleet.json(&["up"]);
    // As a unit of the node's own: with the capabilities and groups that everything on the node has.
    let as_root = |script: &str| {
        let node = up[0]["node"].as_str().expect("an id");
        fleet.inside(node, &format!("systemd-run --quiet --wait --pipe /bin/bash -c '{script}'"))
    };
    assert!(as_root("echo x > /dev/null && head -c1 /dev/urandom | wc -c").0, "a node has the usual devices");
    let made = as_root("mknod /root/fuse c 10 229");
    assert!(!made.0, "a device was made: {}", made.1);
    let opened = as_root("mkdir -p /root/dev && mount -t devtmpfs dev /root/dev && exec 3<>/root/dev/fuse");
    assert!(!opened.0, "a device of the host's was opened");
}

#[test]
fn node_of_a_deleted_fleet_is_ended_by_the_doctor_and_a_moved_one_is_not() {
    let mut fleet = TestFleet::new(&["acme"]);
    let up = fleet.json(&["up"]);
    let moved = fleet.dir.with_file_name("moved");
    fs_err::rename(&fleet.dir, &moved).expect("moved");
    let doctor = |fix: &str| {
        let arguments: &[&str] = if fix.is_empty() { &["doctor"] } else { &["doctor", fix] };
        std::process::Command::new(env!("CARGO_BIN_EXE_stead")).args(arguments).output().expect("runs")
    };
    let said = text(&doctor("--fix"));
    assert!(said.contains(moved.as_str()), "{said}");
    fleet.dir = moved;
    assert_eq!(fleet.json(&["up"]), up, "the node runs on, and its fleet is at home again");

    fs_err::remove_dir_all(&fleet.dir).expect("removed");
    assert!(text(&doctor("")).contains(&fleet.id));
    assert!(doctor("--fix").status.success());
    assert_eq!(fleet.traces(), Vec::<String>::new());
}

#[test]
fn node_that_died_shows_as_stopped_and_is_started_again() {
    let fleet = TestFleet::new(&["acme"]);
    let before = fleet.json(&["up"]);
    let pid = fs_err::read_to_string(fleet.node_dir().join("supervisor.lock")).expect("the supervisor's id");
    let pid = rustix::process::Pid::from_raw(pid.trim().parse().expect("a number")).expect("not 0");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    // The node dies with its supervisor.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let status = fleet.json(&["status"]);
    assert!(status.to_string().contains("\"stopped\""), "{status}");
    let after = fleet.json(&["up"]);
    assert_eq!(before, after, "the same node, at the same address");
}

fn rows(value: &serde_json::Value) -> &Vec<serde_json::Value> {
    value.as_array().or_else(|| value["items"].as_array()).expect("a list")
}
