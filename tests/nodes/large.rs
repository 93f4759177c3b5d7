//! A file that is too large for memory, on a real node.

use std::process::Child;
use std::time::Duration;

use crate::fleet::{TestFleet, text};

const SIZE: usize = 100 << 20;
/// What either side may hold in memory at most, in KiB: less than the file has.
const MOST: u64 = 90 << 10;

#[test]
fn node_takes_a_large_file_a_piece_at_a_time_and_only_once() {
    let fleet = TestFleet::new(&["acme"]);
    let playbook = "tasks:\n  - file: {path: /srv/big, source: files/big, mode: \"0600\"}\n";
    let node = fleet.json(&["up"])[0]["node"].as_str().expect("an id").to_owned();
    for folder in ["playbooks", "files"] {
        fs_err::create_dir_all(fleet.dir.join(folder)).expect("made");
    }
    fs_err::write(fleet.dir.join("playbooks/t.yaml"), playbook).expect("written");
    // Nothing of it can be compressed away.
    let mut noise = vec![0; SIZE];
    getrandom::fill(&mut noise).expect("random");
    fs_err::write(fleet.dir.join("files/big"), &noise).expect("written");
    let converge = ["converge", "--playbook", "t"];
    let came = || -> u64 {
        let (_, said) = fleet
            .inside(&node, "tail -n +3 /proc/net/dev | grep -v lo: | tr : ' ' | awk '{ sum += $2 } END { print sum }'");
        said.trim().parse().expect("a number")
    };
    let holds = |noise: &[u8]| {
        use sha2::Digest;
        let hash = hex::encode(sha2::Sha256::digest(noise));
        let (same, said) = fleet.inside(&node, &format!("echo '{hash}  /srv/big' | sha256sum --check"));
        assert!(same, "{said}");
        assert!(fleet.inside(&node, "test $(stat -c %a /srv/big) = 600 && test ! -e /var/lib/stead/content").0);
    };

    let check = fleet.run(&[&converge[..], &["--check"]].concat());
    assert_eq!((check.status.code(), came() < 20 << 20), (Some(3), true), "{}", text(&check));
    let mut run = fleet.command(&converge).spawn().expect("started");
    let most = watch(&mut run, |_| false);
    assert!(run.wait().expect("ended").success());
    holds(&noise);
    assert!(most < MOST, "{most} KiB were held in memory");
    let before = came();
    let again = fleet.ok(&["--json", "converge", "--playbook", "t"]);
    assert!(!text(&again).contains("\"changed\":1"), "{}", text(&again));
    assert!(came() - before < 10 << 20, "it was sent again");

    // Cut in the middle: what is there is gone on with.
    noise[0] ^= 1;
    fs_err::write(fleet.dir.join("files/big"), &noise).expect("written");
    let before = came();
    let mut run = fleet.command(&converge).spawn().expect("started");
    watch(&mut run, |run| {
        let is_half_done = came() - before > 30 << 20;
        if is_half_done {
            run.kill().expect("killed");
        }
        is_half_done
    });
    run.wait().expect("ended");
    assert!(fleet.inside(&node, "ls /var/lib/stead/content/*.part").0, "it was ended too late");
    fleet.ok(&converge);
    holds(&noise);
    let came = came() - before;
    assert!(came < (SIZE as u64) + (40 << 20), "{came} bytes came in all");
}

/// The most memory that a controller, or any node agent of this machine, holds until it has ended, in KiB.
pub(crate) fn watch(run: &mut Child, mut is_enough: impl FnMut(&mut Child) -> bool) -> u64 {
    let mut most = 0;
    while run.try_wait().expect("looked").is_none() && !is_enough(run) {
        for process in fs_err::read_dir("/proc").expect("read").filter_map(Result::ok) {
            // It may have ended meanwhile.
            let status = std::fs::read_to_string(process.path().join("status")).unwrap_or_default();
            let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
            let is_ours = value("Name:") == Some("stead-node") || value("Pid:") == Some(&run.id().to_string());
            if let Some(peak) = value("VmHWM:").filter(|_| is_ours) {
                most = most.max(peak.trim_end_matches(" kB").trim().parse().expect("a number"));
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    most
}
