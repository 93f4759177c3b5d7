//! A secret's value is nowhere in the clear but in the workload's own memory.

use crate::fleet::{PLANTED, TestFleet, files_with, text};

#[test]
fn node_holds_the_secret_and_nobody_else_does() {
    let fleet = TestFleet::new(&["acme"]);
    let watcher = ProcessWatcher::start();
    let up = fleet.run(&["-vv", "up"]);
    assert!(up.status.success(), "{}", text(&up));
    let seen = watcher.stop();
    assert!(!seen, "the value was in a process's arguments or environment");
    let said = text(&up);
    assert!(!said.contains(PLANTED), "the most verbose log holds the value");
    assert!(said.len() > 10_000, "the log is verbose: {} bytes", said.len());

    // The store, the keys, the vault, the seed, the rendered files, the console, and the node's disk.
    assert_eq!(files_with(&fleet.dir, PLANTED.as_bytes()), Vec::<camino::Utf8PathBuf>::new());
    // The image is shared by all.
    let listed = fleet.json(&["secret", "list", "acme"]).to_string();
    assert!(!listed.contains(PLANTED) && listed.contains("delivered"), "{listed}");

    // A new value reaches the workload, with another fingerprint.
    let second = "sk-planted-second-0a9b8c7d6e5f";
    fleet.give("acme", second);
    fleet.ok(&["up"]);
    let after = fleet.json(&["secret", "list", "acme"]).to_string();
    assert_ne!(listed, after);
    assert_eq!(files_with(&fleet.dir, second.as_bytes()), Vec::<camino::Utf8PathBuf>::new());

    // Taken away, it is gone from node and vault; given again, it is delivered at once, as a newer version.
    let node = fleet.json(&["up"])[0]["node"].as_str().expect("an id").to_owned();
    let on_node = || fleet.inside(&node, "test -e /etc/credstore.encrypted/OPENAI_API_KEY").0;
    assert!(on_node());
    fleet.ok(&["secret", "rm", "acme", "OPENAI_API_KEY"]);
    assert!(!on_node() && !fleet.dir.join("secrets/acme/OPENAI_API_KEY.age").exists());
    assert_eq!(fleet.run(&["up"]).status.code(), Some(2), "it is declared, and nobody has given its value");
    fleet.give("acme", "sk-planted-third-1122334455");
    assert!(on_node());
}

#[test]
fn node_is_not_made_while_a_secret_is_missing() {
    let fleet = TestFleet::new(&["acme"]);
    fs_err::remove_file(fleet.dir.join("secrets/acme/OPENAI_API_KEY.age")).expect("there");
    let output = fleet.run(&["up"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("stead secret set acme OPENAI_API_KEY"),
        "{}",
        text(&output)
    );
    assert_eq!(fleet.traces(), Vec::<String>::new());
}

/// Reads every process's arguments and environment, over and over, and looks for the value.
struct ProcessWatcher {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: std::thread::JoinHandle<bool>,
}

impl ProcessWatcher {
    fn start() -> Self {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let ended = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut seen = false;
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
                    for file in ["cmdline", "environ"] {
                        let content = std::fs::read(process.path().join(file)).unwrap_or_default();
                        seen |= content.windows(PLANTED.len()).any(|window| window == PLANTED.as_bytes());
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            seen
        });
        Self { stop, thread }
    }

    fn stop(self) -> bool {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}
