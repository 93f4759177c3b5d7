//! Whole plans on a machine in a temporary folder.

use serde_json::{Value, json};

use super::*;
use crate::node::exec::Output;
use crate::node::tasks::testing::Bench;
use crate::wire::plan::Status;

/// Applies a plan, written as JSON with the steps' common parts left out.
pub(super) fn go(bench: &Bench, plan: Value, options: &ApplyOptions) -> (Applied, Vec<TaskEvent>) {
    let mut desk = Desk::default();
    let plan: Plan = serde_json::from_value(plan).unwrap();
    let applied = apply(&bench.machine, &plan, options, &mut desk).unwrap();
    (applied, desk.events)
}

/// Keeps what it is told, and has one thing to give.
#[derive(Default)]
struct Desk {
    events: Vec<TaskEvent>,
    content: Vec<u8>,
    given: usize,
}

impl Controller for Desk {
    fn tell(&mut self, event: TaskEvent) -> Result<()> {
        self.events.push(event);
        Ok(())
    }

    fn content(&mut self, _: &str, from: u64, to: &mut dyn Write) -> Result<()> {
        self.given += 1;
        Ok(to.write_all(&self.content[usize::try_from(from).unwrap()..])?)
    }
}

#[test]
fn content_that_is_apart_comes_only_where_it_is_not_there_yet() {
    use sha2::{Digest, Sha256};
    let mut bench = Bench::new();
    let mut desk = Desk { content: vec![7; 300_000], ..Desk::default() };
    let hash = hex::encode(Sha256::digest(&desk.content));
    let steps = vec![
        task(json!({"file": {"path": "/etc/big", "source": hash, "mode": "0600"}}), json!({})),
        task(json!({"file": {"path": "/etc/again", "source": hash, "backup": true}}), json!({})),
    ];
    let mut plan = plan(steps, vec![]);
    plan["apart"] = json!({hash.clone(): 300_000});
    let plan: Plan = serde_json::from_value(plan).unwrap();
    std::fs::write(bench.at("/etc/again"), vec![8; 300_000]).unwrap();
    bench.machine.check = true;
    let check = ApplyOptions { check: true, ..ApplyOptions::default() };
    assert_eq!(apply(&bench.machine, &plan, &check, &mut desk).unwrap().summary.changed, 2);
    assert_eq!(desk.given, 0, "a check needs its hash only");
    bench.machine.check = false;
    for (changed, given) in [(2, 1), (0, 1)] {
        let applied = apply(&bench.machine, &plan, &ApplyOptions::default(), &mut desk).unwrap();
        assert_eq!((applied.summary.changed, applied.summary.failed, desk.given), (changed, 0, given));
    }
    assert!(["/etc/big", "/etc/again"].iter().all(|path| std::fs::read(bench.at(path)).unwrap() == desk.content));
    assert_eq!(std::fs::read(bench.at("/etc/again.stead~")).unwrap(), vec![8; 300_000]);
    assert!(!bench.machine.paths.content_dir().exists());
}

fn apply_to(bench: &Bench, plan: Value, options: &ApplyOptions) -> (Summary, Vec<TaskEvent>) {
    let (applied, events) = go(bench, plan, options);
    (applied.summary, events)
}

pub(super) fn task(action: Value, more: Value) -> Value {
    let mut task = json!({"id": 1, "name": "t", "action": action});
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"task": task})
}

pub(super) fn file(path: &str, content: &str, more: Value) -> Value {
    task(json!({"file": {"path": path, "content": content}}), more)
}

fn play(steps: Vec<Value>, handlers: Vec<Value>) -> Value {
    let handlers: Vec<Value> = handlers.into_iter().map(|handler| handler["task"].clone()).collect();
    json!({"name": "p", "steps": steps, "handlers": handlers, "vars": {"who": "me"}})
}

pub(super) fn plan(steps: Vec<Value>, handlers: Vec<Value>) -> Value {
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
fn a_tasks_own_variables_are_rendered_for_each_item() {
    let bench = Bench::new();
    let looped = json!({"vars": {"path": "/etc/{{ item }}.{{ ending }}", "ending": "conf", "items": "{{ names }}"},
        "loop": {"expression": "items"}});
    let steps = vec![
        task(json!({"set_fact": {"names": ["a", "b"]}}), json!({})),
        file("{{ path }}", "{{ who }}", looped),
        // What is not wanted may name what is not there; what is wanted may not.
        file("{{ path }}", "", json!({"vars": {"path": "{{ none.there }}"}, "when": "false"})),
        file("{{ path }}", "", json!({"vars": {"path": "{{ none.there }}"}})),
    ];
    let (summary, events) = apply_to(&bench, plan(steps, vec![]), &ApplyOptions::default());
    assert_eq!((summary.changed, summary.skipped, summary.failed), (1, 1, 1), "{events:?}");
    assert_eq!((bench.read("/etc/a.conf"), bench.read("/etc/b.conf")), ("me".into(), "me".into()));
    assert!(events.last().unwrap().message.contains("the variable path"), "{events:?}");
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
fn a_check_goes_on_from_what_it_said() {
    let mut bench = Bench::new();
    std::fs::write(bench.at("/etc/old"), "1\n").unwrap();
    let line = |path: &str, line: &str| task(json!({"line": {"path": path, "line": line}}), json!({}));
    let gone = task(json!({"file": {"path": "/etc/old", "state": "absent"}}), json!({}));
    let steps = vec![
        file("/etc/a", "x\n", json!({})),
        file("/etc/a", "x\n", json!({})),
        line("/etc/a", "x"),
        line("/etc/a", "y"),
        task(json!({"file": {"path": "/etc/a", "mode": "0600"}}), json!({})),
        gone.clone(),
        gone,
        file("/etc/old", "2\n", json!({})),
    ];
    let mut said = Vec::new();
    for check in [true, false] {
        bench.machine.check = check;
        let options = ApplyOptions { check, diff: true, ..ApplyOptions::default() };
        let (_, events) = apply_to(&bench, plan(steps.clone(), vec![]), &options);
        said.push(events.into_iter().map(|event| (event.status, event.message, event.diff)).collect::<Vec<_>>());
    }
    assert_eq!(said[0], said[1]);
    assert_eq!(said[0].iter().filter(|(status, ..)| *status == Status::Changed).count(), 5, "{said:?}");
    assert_eq!(bench.read("/etc/a"), "x\ny\n");
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

#[test]
fn facts_that_are_set_keep_their_type_and_reach_the_later_playbooks() {
    let bench = Bench::new();
    let facts = json!({"set_fact": {"list": "{{ [who, who] }}", "text": "{{ who }}!", "number": 7}});
    let file = file("/etc/{{ text }}", "{{ list | length }} {{ number + 1 }}", json!({}));
    let mut plan = plan(vec![task(facts, json!({}))], vec![]);
    plan["plays"].as_array_mut().unwrap().push(play(vec![file], vec![]));
    let (summary, _) = apply_to(&bench, plan, &ApplyOptions::default());
    assert_eq!((summary.changed, summary.unchanged), (1, 1));
    assert_eq!(bench.read("/etc/me!"), "2 8");
}

#[test]
fn assertions_and_messages_are_told() {
    let bench = Bench::new();
    let steps = vec![
        task(json!({"debug": {"message": "hello {{ who }} and {{ secret }}"}}), json!({})),
        task(json!({"assert": {"that": ["who == \"me\"", "facts.os.id"]}}), json!({})),
        task(json!({"assert": {"that": "who == \"you\"", "message": "not {{ who }}"}}), json!({})),
    ];
    let (summary, events) = apply_to(&bench, plan(steps, vec![]), &ApplyOptions::default());
    assert_eq!((summary.unchanged, summary.failed), (2, 1));
    assert_eq!(events[0].message, "hello me and [secret]");
    assert_eq!(events[2].message, "not me: `who == \"you\"` does not hold");
}

/// A plan whose third task, within a block that deals with an earlier failure, fails while `/etc/broken` is there.
fn fragile() -> (Bench, Value) {
    let bench = Bench::answering(|run| Output {
        status: i32::from(run.argv[0] == "bad" || (run.argv[0] == "flaky" && run.argv[1] == "1")),
        stdout: "told".into(),
        ..Output::default()
    });
    let command = |id: u32, argv: Value, more: Value| {
        let mut step = task(json!({"command": {"argv": argv}}), more);
        step["task"]["id"] = id.into();
        step
    };
    let steps = vec![
        command(1, json!(["first"]), json!({"register": "first"})),
        json!({"block": {
            "tasks": [command(2, json!(["bad"]), json!({}))],
            "rescue": [command(3, json!(["rescue"]), json!({})), command(4, json!(["flaky", "{{ flag }}"]), json!({}))],
            "always": [command(5, json!(["always"]), json!({}))],
        }}),
        command(6, json!(["last", "{{ first.stdout }}"]), json!({})),
    ];
    (bench, plan(steps, vec![]))
}

#[test]
fn a_run_that_broke_is_gone_on_with_at_the_task_that_failed() {
    let (bench, mut plan) = fragile();
    // The same plan: what makes it fail lies on the node.
    plan["plays"][0]["steps"][1]["block"]["rescue"][1]["task"]["action"] =
        json!({"file": {"path": "/etc/none/a", "content": ""}});
    let (summary, _) = apply_to(&bench, plan.clone(), &ApplyOptions::default());
    assert_eq!((summary.changed, summary.failed), (3, 2));
    assert_eq!(bench.ran(), ["first", "bad", "rescue", "always"]);
    std::fs::create_dir(bench.at("/etc/none")).unwrap();
    let resume = ApplyOptions { resume: true, ..ApplyOptions::default() };
    let (summary, events) = apply_to(&bench, plan.clone(), &resume);
    assert_eq!(bench.ran(), ["always", "last told"], "what was done is not done again; `always` is");
    assert_eq!((summary.changed, summary.ignored, summary.failed), (5, 1, 0));
    let told = events.iter().filter(|event| event.status != Status::Started).map(|event| event.task);
    assert_eq!(told.collect::<Vec<_>>(), [4, 5, 6]);
    let (_, _) = apply_to(&bench, plan, &resume);
    assert_eq!(bench.ran()[0], "first", "after a run that went well there is nothing to go on with");
}

#[test]
fn another_plan_is_not_gone_on_with() {
    let (bench, mut plan) = fragile();
    plan["vars"]["flag"] = json!("1");
    apply_to(&bench, plan.clone(), &ApplyOptions::default());
    plan["vars"]["flag"] = json!("0");
    let plan: Plan = serde_json::from_value(plan).unwrap();
    let options = ApplyOptions { resume: true, ..ApplyOptions::default() };
    let error = apply(&bench.machine, &plan, &options, &mut Desk::default()).unwrap_err();
    assert!(error.hints()[0].contains("without `--resume`"), "{error:?}");
}

#[test]
fn a_run_that_boots_the_machine_goes_on_after_it() {
    let mut bench = Bench::new();
    let mut steps = vec![
        task(json!({"command": {"argv": ["before", "{{ secret }}"]}}), json!({"register": "r"})),
        task(json!({"reboot": {"timeout": 60}}), json!({})),
        file("/etc/{{ r.rc }}", "", json!({})),
    ];
    for (id, step) in steps.iter_mut().enumerate() {
        step["task"]["id"] = (id + 1).into();
    }
    let plan: Plan = serde_json::from_value(plan(steps, vec![])).unwrap();
    let resume = ApplyOptions { resume: true, ..ApplyOptions::default() };
    let go =
        |bench: &Bench, options: &ApplyOptions| apply(&bench.machine, &plan, options, &mut Desk::default()).unwrap();
    assert_eq!(go(&bench, &ApplyOptions::default()).reboot, Some(60));
    assert!(!bench.at("/etc/0").exists());
    let kept = bench.read("/var/lib/stead/run.jsonl");
    assert!(!kept.contains("sk-12345678"), "a secret on the disk: {kept}");
    assert_eq!(go(&bench, &resume).reboot, Some(60), "the boot has not come");
    // The boot empties /run.
    std::fs::remove_dir_all(bench.at("/run")).unwrap();
    bench.machine.facts["boot_id"] = json!("another");
    bench.ran();
    let applied = go(&bench, &resume);
    assert_eq!((applied.reboot, applied.summary.changed), (None, 3));
    assert!(bench.at("/etc/0").exists() && bench.ran().is_empty());
    assert!(!bench.at("/var/lib/stead/run.jsonl").exists());
}

#[test]
fn what_could_lock_the_controller_out_is_guarded_unless_the_playbook_says_otherwise() {
    let bench = Bench::new();
    std::fs::create_dir(bench.at("/etc/ssh")).unwrap();
    let go = |steps: Vec<Value>, options: &ApplyOptions| go(&bench, plan(steps, vec![]), options);
    let live = ApplyOptions { confirm_within: 90, ..ApplyOptions::default() };
    assert_eq!(go(vec![file("/etc/motd", "a", json!({}))], &live).0.guard, None);
    assert_eq!(go(vec![file("/etc/ssh/a", "a", json!({"guard": false}))], &live).0.guard, None);
    let guarded = go(vec![file("/etc/ssh/a", "b", json!({}))], &live).0.guard.unwrap();
    assert_eq!(guarded.seconds, 90);
    // Nobody confirms: the next run takes it back first, and says so.
    let (applied, events) = go(vec![file("/etc/motd", "b", json!({"guard": true}))], &live);
    assert!(applied.guard.is_some());
    assert_eq!((events[0].kind.as_str(), events[0].message.as_str()), ("guard", "/etc/ssh/a"));
    assert_eq!(bench.read("/etc/ssh/a"), "a");
    let (_, events) = go(vec![task(json!({"command": {"argv": ["x"]}}), json!({"guard": true}))], &live);
    assert!(events[1].message.contains("could not take this back"), "{events:?}");
    assert_eq!(bench.read("/etc/motd"), "a");
}
