//! Whole plans on a machine in a temporary folder.

use serde_json::{Value, json};

use super::*;
use crate::node::tasks::testing::Bench;

/// Applies a plan, written as JSON with the steps' common parts left out.
fn apply_to(bench: &Bench, plan: Value, options: &ApplyOptions) -> (Summary, Vec<TaskEvent>) {
    let mut events = Vec::new();
    let plan: Plan = serde_json::from_value(plan).unwrap();
    let summary = apply(&bench.machine, &plan, options, &mut |event| {
        events.push(event);
        Ok(())
    })
    .unwrap();
    (summary, events)
}

fn task(action: Value, more: Value) -> Value {
    let mut task = json!({"id": 1, "name": "t", "action": action});
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"task": task})
}

fn file(path: &str, content: &str, more: Value) -> Value {
    task(json!({"file": {"path": path, "content": content}}), more)
}

fn play(steps: Vec<Value>, handlers: Vec<Value>) -> Value {
    let handlers: Vec<Value> = handlers.into_iter().map(|handler| handler["task"].clone()).collect();
    json!({"name": "p", "steps": steps, "handlers": handlers, "vars": {"who": "me"}})
}

fn plan(steps: Vec<Value>, handlers: Vec<Value>) -> Value {
    json!({"version": 1, "vars": {"secret": "sk-12345678"}, "sensitive": ["secret"], "plays": [play(steps, handlers)]})
}

#[test]
fn conditions_loops_and_results_are_evaluated_on_the_node() {
    let bench = Bench::new();
    let steps = vec![
        file(
            "/etc/{{ item }}",
            "{{ who }} {{ facts.os.id }}\n",
            json!({"loop": {"items": ["a", "b"]}, "register": "files"}),
        ),
        file("/etc/c", "", json!({"when": "files.changed and facts.os.version == \"13\""})),
        file("/etc/d", "", json!({"when": "files.results[0].skipped"})),
    ];
    let (summary, events) = apply_to(&bench, plan(steps.clone(), vec![]), &ApplyOptions::default());
    assert_eq!((summary.changed, summary.skipped, summary.failed), (2, 1, 0));
    assert_eq!(bench.read("/etc/b"), "me debian\n");
    assert_eq!(events[1].item.as_deref(), Some("b"));
    assert!(bench.at("/etc/c").exists() && !bench.at("/etc/d").exists());
    let (summary, _) = apply_to(&bench, plan(steps, vec![]), &ApplyOptions::default());
    assert_eq!((summary.changed, summary.unchanged, summary.skipped), (0, 1, 2));
}

#[test]
fn a_check_tells_what_an_application_does_and_does_none_of_it() {
    let mut bench = Bench::new();
    let steps = vec![
        task(json!({"user": {"name": "app", "system": true}}), json!({})),
        task(json!({"directory": {"path": "/srv/app", "owner": "me"}}), json!({"notify": ["h"]})),
        task(json!({"command": {"shell": "true"}}), json!({"changed_when": "false"})),
    ];
    let handlers = vec![file("/etc/handled", "", json!({"name": "h"}))];
    let plan = plan(steps, handlers);
    bench.machine.check = true;
    let (told, events) = apply_to(&bench, plan.clone(), &ApplyOptions { check: true, ..ApplyOptions::default() });
    assert!(!bench.at("/srv").exists() && !bench.at("/etc/handled").exists());
    assert!(!bench.at("/var/lib/stead/handlers.json").exists());
    assert!(events.last().unwrap().handler);
    bench.machine.check = false;
    let (done, after) = apply_to(&bench, plan, &ApplyOptions::default());
    assert_eq!((told.changed, told.unchanged), (3, 1));
    assert_eq!(told, done);
    let messages = |events: &[TaskEvent]| {
        let ended = events.iter().filter(|event| event.status == Status::Changed);
        ended.map(|event| event.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(messages(&events), messages(&after));
}

#[test]
fn handlers_survive_a_run_that_breaks() {
    let bench = Bench::new();
    let handler = file("/etc/handled", "", json!({"name": "restart"}));
    let change = file("/etc/a", "x", json!({"notify": ["restart"]}));
    let broken = file("/etc/none/a", "x", json!({}));
    let (summary, events) =
        apply_to(&bench, plan(vec![change.clone(), broken], vec![handler.clone()]), &ApplyOptions::default());
    assert_eq!((summary.changed, summary.failed), (1, 1));
    assert_eq!(events.last().unwrap().status, Status::Failed);
    assert!(!bench.at("/etc/handled").exists());
    let (summary, events) = apply_to(&bench, plan(vec![change], vec![handler]), &ApplyOptions::default());
    assert_eq!((summary.changed, summary.unchanged), (1, 1));
    assert!(events.last().unwrap().handler && bench.at("/etc/handled").exists());
    assert!(!bench.at("/var/lib/stead/handlers.json").exists());
}

#[test]
fn failures_stop_the_run_unless_they_are_ignored_or_rescued() {
    let bench = Bench::answering(|run| Output {
        status: if run.argv.contains(&"bad".to_owned()) { 7 } else { 0 },
        stderr: "no good".into(),
        ..Output::default()
    });
    let bad = |more| task(json!({"command": {"argv": ["bad"]}}), more);
    let (summary, events) =
        apply_to(&bench, plan(vec![bad(json!({})), file("/etc/a", "", json!({}))], vec![]), &ApplyOptions::default());
    assert_eq!((summary.failed, summary.changed), (1, 0));
    assert!(events[1].message.contains("ended with 7\nno good"), "{}", events[1].message);
    let steps = vec![
        bad(json!({"ignore_errors": true, "register": "r"})),
        file("/etc/{{ r.rc }}", "", json!({"when": "r.failed"})),
        bad(json!({"failed_when": "result.rc != 7", "changed_when": "false"})),
        json!({"block": {"tasks": [bad(json!({}))], "rescue": [file("/etc/rescued", "", json!({}))],
            "always": [file("/etc/always", "", json!({}))]}}),
    ];
    let (summary, _) = apply_to(&bench, plan(steps, vec![]), &ApplyOptions::default());
    assert_eq!((summary.failed, summary.ignored, summary.changed, summary.unchanged), (0, 2, 3, 1));
    assert!(["7", "rescued", "always"].iter().all(|name| bench.at(format!("/etc/{name}")).exists()));
}

#[test]
fn retries_try_again() {
    let tries = std::cell::Cell::new(0);
    let bench = Bench::answering(move |_| {
        tries.set(tries.get() + 1);
        Output { status: i32::from(tries.get() < 3), ..Output::default() }
    });
    let flaky = task(json!({"command": {"argv": ["flaky"]}}), json!({"retries": 2}));
    let (summary, _) = apply_to(&bench, plan(vec![flaky], vec![]), &ApplyOptions::default());
    assert_eq!((summary.failed, summary.changed), (0, 1));
    assert_eq!(bench.ran().len(), 3);
}

#[test]
fn what_is_secret_is_masked_and_what_is_sensitive_is_not_told() {
    let bench =
        Bench::answering(|_| Output { status: 1, stderr: "key sk-12345678 refused".into(), ..Output::default() });
    let options = ApplyOptions { diff: true, ..ApplyOptions::default() };
    let steps = vec![
        file("/etc/a", "key={{ secret }}\n", json!({"name": "write {{ secret }}"})),
        file("/etc/b", "hidden\n", json!({"sensitive": true})),
        task(json!({"command": {"argv": ["login", "{{ secret }}"]}}), json!({})),
    ];
    let (_, events) = apply_to(&bench, plan(steps, vec![]), &options);
    let told = serde_json::to_string(&events).unwrap();
    assert!(!told.contains("sk-12345678") && !told.contains("hidden"), "{told}");
    assert!(events[0].diff.as_ref().unwrap().contains("+key=[secret]"));
}

#[test]
fn a_loop_over_no_list_fails_as_a_task() {
    let bench = Bench::new();
    let (summary, events) = apply_to(
        &bench,
        plan(vec![file("/etc/a", "", json!({"loop": {"expression": "who"}}))], vec![]),
        &ApplyOptions::default(),
    );
    assert_eq!(summary.failed, 1);
    assert!(events[0].message.contains("needs a list"));
}
