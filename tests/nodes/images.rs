//! Images on real archives: what goes wrong is told with its cause and the way out, and leaves nothing that a later build could take
//! for a result.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use sha2::{Digest, Sha256};
use stead::config::Config;
use stead::image::published::Published;

use crate::fleet::{TestFleet, text};

/// Defines an image of the fleet's own.
fn define(fleet: &TestFleet, name: &str, definition: &str) {
    let folder = fleet.dir.join("images").join(name);
    fs_err::create_dir_all(&folder).expect("made");
    fs_err::write(folder.join("image.yaml"), format!("name: {name}\n{definition}")).expect("written");
}

/// An image's lock.
fn lock_of(fleet: &TestFleet, name: &str) -> Utf8PathBuf {
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    fleet.dir.join(format!("images/{name}/lock.{arch}.json"))
}

/// Changes a lock, builds the root, and gives what was said: the build must fail.
fn refused(fleet: &TestFleet, lock: &Value, change: impl FnOnce(&mut Value)) -> String {
    let mut changed = lock.clone();
    change(&mut changed);
    fs_err::write(lock_of(fleet, "small"), changed.to_string()).expect("written");
    let output = fleet.run(&["image", "build", "--root-only", "small"]);
    assert!(!output.status.success(), "{}", text(&output));
    String::from_utf8(output.stderr).expect("UTF-8")
}

fn assert_said(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
}

#[test]
fn node_image_takes_nothing_but_what_its_lock_names() {
    let fleet = TestFleet::new(&[]);
    define(&fleet, "small", "packages: []\n");
    fleet.ok(&["image", "lock", "small"]);
    let lock: Value = serde_json::from_slice(&fs_err::read(lock_of(&fleet, "small")).expect("there")).expect("JSON");
    let index = lock["packages"].as_array().expect("packages").iter().position(|package| package["name"] == "netbase");
    let index = index.expect("netbase, which every image has");
    let version = lock["packages"][index]["version"].as_str().expect("a version").to_owned();

    let said = refused(&fleet, &lock, |lock| lock["packages"][index]["sha256"] = "0".repeat(64).into());
    assert_said(&said, &["netbase", &version, "is not what the lock names", "compare the lock with version control"]);

    let said = refused(&fleet, &lock, |lock| {
        lock["packages"][index]["sha256"] = "1".repeat(64).into();
        lock["packages"][index]["version"] = "0.1".into();
        lock["packages"][index]["path"] = "pool/main/n/netbase/netbase_0.1_all.deb".into();
    });
    assert_said(&said, &["netbase 0.1 has left the archive", "debs export", "mirror", "--update"]);

    let said = refused(&fleet, &lock, |lock| lock["arch"] = "riscv64".into());
    assert_said(&said, &["made for riscv64", "stead image lock small"]);

    // A dependency that the lock lacks is in the archive, and nowhere else.
    let said = refused(&fleet, &lock, |lock| {
        let packages = lock["packages"].as_array_mut().expect("packages");
        packages.retain(|package| package["name"] != "libsystemd-shared");
    });
    assert_said(&said, &["libsystemd-shared", "building the packages"]);
}

#[test]
fn node_image_that_cannot_be_locked_says_why() {
    let fleet = TestFleet::new(&[]);
    let locked = |definition: &str| {
        define(&fleet, "small", definition);
        let output = fleet.run(&["image", "lock", "small"]);
        assert!(!output.status.success() && !lock_of(&fleet, "small").exists(), "{}", text(&output));
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let said = locked("packages: [openssh-servre, vim]\n");
    assert_said(&said, &["images/small/image.yaml:2:12", "no package \"openssh-servre\"", "openssh-server"]);
    let said = locked("suite: potato\n");
    assert_said(&said, &["images/small/image.yaml", "potato", "trixie"]);
    let down = "http://127.0.0.1:9/debian";
    let said = locked(&format!("mirror: {{archive: \"{down}\", security: \"{down}-security\"}}\n"));
    assert_said(&said, &["127.0.0.1:9", "image \"small\""]);
}

#[test]
fn node_image_larger_than_its_disk_is_refused() {
    let fleet = TestFleet::new(&[]);
    define(&fleet, "small", "from: agent-node\ndisk: {size: 384MiB}\n");
    fs_err::copy(lock_of(&fleet, "agent-node"), lock_of(&fleet, "small")).expect("copied");
    let output = fleet.run(&["image", "build", "small"]);
    assert!(!output.status.success(), "{}", text(&output));
    assert_said(
        &text(&output),
        &["building the filesystem of image \"small\"", "does not fit its disk", "images/small/image.yaml", "`size`"],
    );
    let listed = fleet.json(&["image", "list"]);
    assert!(!listed.to_string().contains("disk.qcow2"), "{listed}");
}

/// The SHA-256 of the disk of `image`, which is built where it is not yet.
fn built(fleet: &TestFleet, image: &str) -> String {
    let done = fleet.json(&["image", "build", image]);
    let disk = done["disk"].as_str().expect("a disk");
    hex::encode(Sha256::digest(fs_err::read(disk).expect("readable")))
}

/// The stages that this image's disk is made of, beside its root's.
fn disk_stages(fleet: &TestFleet, image: &str) -> Vec<Utf8PathBuf> {
    let planned = fleet.json(&["image", "build", image, "--dry-run"]);
    let kinds = ["boot", "filesystem", "disk", "format"];
    let of_disk = planned
        .as_array()
        .expect("stages")
        .iter()
        .filter(|stage| kinds.contains(&stage["kind"].as_str().expect("a kind")));
    let stages = Config::from_env().expect("settings").cache_dir.join("stages");
    of_disk.map(|stage| stages.join(stage["key"].as_str().expect("a key"))).collect()
}

#[test]
fn node_image_killed_at_any_stage_is_built_the_same_afterwards() {
    let fleet = TestFleet::new(&[]);
    define(&fleet, "own", "from: agent-node\ndisk: {size: 2GiB, firmware: [bios]}\n");
    let overlay = fleet.dir.join("images/own/overlay/etc");
    fs_err::create_dir_all(&overlay).expect("made");
    // Its stages are its own, whatever else is built on this machine.
    fs_err::write(overlay.join("of"), &fleet.id).expect("written");
    fs_err::copy(lock_of(&fleet, "agent-node"), lock_of(&fleet, "own")).expect("copied");
    fleet.ok(&["image", "lock", "tools"]);
    fleet.ok(&["image", "build", "--root-only", "own"]);
    let stages = disk_stages(&fleet, "own");
    assert_eq!(stages.len(), 4, "{stages:?}");

    for stage in &stages {
        let building = stage.with_file_name(format!(".{}.building", stage.file_name().expect("a key")));
        let mut command = fleet.command(&["image", "build", "own"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
        let begun = Instant::now();
        while !building.exists() {
            assert!(child.try_wait().expect("asked").is_none(), "ended before the stage {stage} was begun");
            assert!(begun.elapsed() < Duration::from_secs(300), "the stage {stage} was not begun");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert!(!stage.exists(), "what was not finished is no result");
        let record = fleet.json(&["image", "list"]).to_string();
        assert!(!record.contains(stage.file_name().expect("a key")), "{record}");
    }
    let after_kills = built(&fleet, "own");

    // Once more, undisturbed.
    for stage in &stages {
        fs_err::remove_dir_all(stage).expect("removed");
    }
    assert_eq!(after_kills, built(&fleet, "own"));
    assert_eq!(fleet.json(&["image", "build", "own"])["made"], serde_json::json!([]));

    // Others hold the record to be good.
    let record = fleet.dir.join("record");
    fleet.ok(&["image", "show", "own", "--export", record.as_str()]);
    let verified = Command::new("sh")
        .args(["-c", "ssh-keygen -Y verify -f allowed_signers -I stead -n stead-image -s SHA256SUMS.sig <SHA256SUMS"])
        .current_dir(&record)
        .output()
        .expect("runs");
    assert!(verified.status.success(), "{}", text(&verified));
    // No gate was passed, so no channel moves.
    let promoted = fleet.run(&["image", "promote", "own"]);
    assert!(!promoted.status.success(), "{}", text(&promoted));
    assert_said(&text(&promoted), &["verify", "boot", "audit"]);
    for stage in stages {
        fs_err::remove_dir_all(&stage).expect("removed");
        published(&stage);
    }
}

/// Takes away what a stage that was removed has given to all users.
fn published(stage: &Utf8Path) {
    let cache = stage.ancestors().nth(2).expect("the cache");
    Published::new(cache).remove(stage.file_name().expect("a key")).expect("removed");
}
