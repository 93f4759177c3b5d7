//! What playbooks made and do not name any more.

use serde_json::{Value, json};

use super::tests::{file, go, plan, task};
use super::*;
use crate::node::tasks::testing::Bench;
use crate::wire::plan::Status;

fn whole(steps: Vec<Value>) -> Value {
    let mut plan = plan(steps, vec![]);
    plan["whole"] = json!(true);
    plan
}

const PRUNE: ApplyOptions =
    ApplyOptions { prune: true, check: false, diff: false, image: false, resume: false, confirm_within: 0 };

fn first() -> Vec<Value> {
    vec![
        task(json!({"directory": {"path": "/srv/app"}}), json!({})),
        file("/srv/app/{{ item }}", "x", json!({"loop": {"items": ["a", "b"]}})),
        task(json!({"group": {"name": "app"}}), json!({})),
        task(json!({"user": {"name": "app", "system": true}}), json!({})),
        file("/etc/theirs", "ours", json!({})),
    ]
}

fn bench() -> Bench {
    let bench = Bench::new();
    std::fs::write(bench.at("/etc/theirs"), "theirs").unwrap();
    go(&bench, whole(first()), &ApplyOptions::default());
    bench
}

#[test]
fn what_no_playbook_names_any_more_is_told_and_then_removed() {
    let mut bench = bench();
    let (applied, _) = go(&bench, whole(first()), &PRUNE);
    assert_eq!((applied.summary.changed, applied.left_over.len()), (0, 0), "all of it is named");

    let fewer = || vec![file("/srv/app/{{ item }}", "x", json!({"loop": {"items": ["b"]}}))];
    let (applied, _) = go(&bench, whole(fewer()), &ApplyOptions::default());
    let all = [
        "remove the user app",
        "remove the group app",
        "remove /srv/app/a",
        "remove the folder /srv/app, where it is empty",
    ];
    assert_eq!(applied.left_over, ["user app", "group app", "file /srv/app/a", "folder /srv/app"]);
    assert!(bench.at("/srv/app/a").exists(), "told, and not removed");

    bench.machine.check = true;
    let (applied, events) = go(&bench, whole(fewer()), &ApplyOptions { check: true, ..PRUNE });
    assert_eq!((applied.summary.changed, applied.left_over.len()), (4, 0));
    assert!(bench.at("/srv/app/a").exists() && events.iter().all(|event| event.status != Status::Failed));
    bench.machine.check = false;

    let (applied, events) = go(&bench, whole(fewer()), &PRUNE);
    assert_eq!(applied.summary.changed, 4);
    let pruned: Vec<_> = events.iter().filter(|event| event.kind == "prune").map(|event| &event.message).collect();
    assert_eq!(pruned, all);
    assert!(!bench.at("/srv/app/a").exists() && bench.at("/srv/app/b").exists());
    assert_eq!(bench.read("/etc/theirs"), "ours", "what was there before is not removed");
    assert!(!bench.read("/etc/passwd").contains("app:"));
    let (applied, _) = go(&bench, whole(fewer()), &PRUNE);
    assert_eq!(applied.summary.changed, 0);
}

#[test]
fn what_a_task_names_that_was_not_done_stays() {
    let bench = bench();
    let mut steps = first();
    for step in &mut steps {
        step["task"]["when"] = json!("false");
    }
    let block = json!({"block": {"tasks": [file("/etc/ok", "", json!({}))], "rescue": steps}});
    assert!(go(&bench, whole(vec![block]), &PRUNE).0.left_over.is_empty());
    assert!(bench.at("/srv/app/a").exists());
    let unclear = file("/srv/{{ nobody_knows }}", "", json!({"when": "false", "origin": "playbooks/p.yaml:3"}));
    let (applied, _) = go(&bench, whole(vec![unclear]), &PRUNE);
    assert!(applied.left_over[0].contains("playbooks/p.yaml:3"), "{:?}", applied.left_over);
    assert!(bench.at("/srv/app/a").exists());
}

#[test]
fn a_part_of_the_playbooks_and_a_run_that_failed_remove_nothing() {
    let bench = bench();
    assert_eq!(go(&bench, plan(vec![], vec![]), &PRUNE).0.summary.changed, 0);
    let (applied, _) = go(&bench, whole(vec![file("/none/a", "", json!({}))]), &PRUNE);
    assert_eq!((applied.summary.failed, applied.left_over.len()), (1, 0));
    assert!(bench.at("/srv/app/a").exists());
}

#[test]
fn an_image_remembers_nothing() {
    let mut bench = Bench::new();
    bench.machine.image = true;
    go(&bench, whole(first()), &ApplyOptions { image: true, ..ApplyOptions::default() });
    assert!(bench.at("/srv/app/a").exists() && !bench.at("/var/lib/stead/made.jsonl").exists());
}
