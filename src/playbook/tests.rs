//! Playbooks good and bad, compiled.

use serde_json::json;

use super::*;
use crate::fleet::files::File;
use crate::wire::plan::{Loop, Step, Task};

fn files(own: &[(&str, &str)]) -> FileSet {
    FileSet::with_shipped(
        own.iter().map(|(path, text)| ((*path).into(), File { content: text.as_bytes().into(), executable: false })),
    )
}

fn compile_text(text: &str) -> Result<Plan> {
    let own = [
        ("playbooks/t.yaml", text),
        ("templates/a.tera", "x {{ y }}"),
        ("templates/other.tera", "{{ zone }}"),
        ("files/f", "content"),
        ("templates/bad.tera", "ok\n{{ x | nofilter }}"),
    ];
    let vars = json!({"y": "y", "dir": "/srv", "names": ["a"]});
    compile(&files(&own), &["t".to_owned()], vars.as_object().unwrap().clone())
}

fn tasks(plan: &Plan) -> Vec<&Task> {
    fn all<'a>(steps: &'a [Step], found: &mut Vec<&'a Task>) {
        for step in steps {
            match step {
                Step::Task(task) => found.push(task),
                Step::Block(block) => {
                    [&block.tasks, &block.rescue, &block.always].iter().for_each(|steps| all(steps, found))
                }
            }
        }
    }
    let mut found = Vec::new();
    plan.plays.iter().for_each(|play| all(&play.steps, &mut found));
    found
}

#[test]
fn a_playbook_becomes_a_plan() {
    let plan = compile_text(
        "name: t
vars: {who: me}
tasks:
  - name: one
    directory: {path: /srv/app, owner: \"{{ who }}\", mode: \"0750\"}
    when: facts.os.id == \"debian\"
    notify: [again]
  - file: {path: \"/etc/{{ item }}\", source: files/f}
    loop: [a, b]
  - template: {path: /etc/a, template: a.tera}
  - block:
      tasks:
        - command: {argv: [\"true\"]}
          when: x is defined
          changed_when: false
      rescue:
        - package: {names: curl}
          loop: \"{{ names }}\"
    when: [who == \"me\", \"true\"]
handlers:
  - name: again
    service: {name: app, state: restarted}
",
    )
    .unwrap();
    let tasks = tasks(&plan);
    assert_eq!(
        tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(),
        ["one", "file /etc/{{ item }}", "template /etc/a", "command true", "package curl"]
    );
    assert_eq!(tasks[0].origin, "playbooks/t.yaml:4");
    assert!(matches!(&tasks[1].loop_, Some(Loop::Items(items)) if items.len() == 2));
    assert_eq!(tasks[3].when.as_deref(), Some("(who == \"me\") and (true) and (x is defined)"));
    assert_eq!(tasks[3].changed_when.as_deref(), Some("false"));
    assert!(matches!(&tasks[4].loop_, Some(Loop::Expression(names)) if names == "names"));
    assert_eq!(plan.blobs.len(), 2);
    assert_eq!(plan.plays[0].handlers[0].name, "again");
    assert_eq!(json!(plan.plays[0].vars), json!({"who": "me"}));
}

#[test]
fn every_mistake_is_told_with_its_place_in_one_run() {
    let error = compile_text(
        "tasks:
  - pakage: {names: [curl]}
  - file: {path: etc/a, content: x, mode: 0644}
  - file: {path: /a, contents: x}
  - service: {name: x, state: running}
  - template: {path: /a, template: b.tera}
  - template: {path: /a, template: bad.tera}
  - file: {path: /a, source: files/g}
  - directory: {path: \"/{{ x\"}
  - command: {argv: [x]}
    loop: 5
    notify: nobody
  - command: {argv: [x], shell: y}
    when: \"{{ x }}\"
  - command: {argv: [x]}
    file: {path: /a}
  - include: t
  - name: nothing
  - user: {uid: 5}
  - command: {}
handlers:
  - command: {argv: [x]}
",
    )
    .unwrap_err();
    insta::assert_snapshot!(error.to_string());
    assert_eq!(error.kind(), crate::Kind::Input);
}

#[test]
fn what_edits_text_is_checked_unless_it_is_a_template() {
    let error = compile_text(
        "tasks:
  - line: {path: /a, line: x, regexp: \"(\"}
  - line: {path: /a, line: x, regexp: \"{{ y }}(\", insert_after: a, insert_before: b}
  - line: {path: /a, starts_with: x}
  - block_in_file: {path: /a, content: x, marker: \"# block\"}
  - block_in_file: {path: /a}
",
    )
    .unwrap_err();
    insta::assert_snapshot!(error.to_string());
    compile_text("tasks:\n  - line: {path: /a, regexp: \"{{ y }}(\", state: absent}\n").unwrap();
}

#[test]
fn what_is_fetched_and_waited_for_is_checked() {
    let text = "tasks:
  - archive: {source: files/f, path: /opt/a}
  - archive: {source: /srv/a.tar, path: /opt/b}
  - archive: {source: \"{{ dir }}/a.tar\", path: /opt/c}
  - firewall: {template: a.tera}
  - wait_for: {port: 22, timeout: 5}
";
    let plan = compile_text(text).unwrap();
    let tasks = tasks(&plan);
    assert_eq!(plan.blobs.len(), 2);
    let named: Vec<bool> = tasks.iter().map(|task| task.action.content().is_some()).collect();
    assert_eq!(named, [true, false, false, true, false]);
    assert_eq!(tasks[4].name, "wait_for port 22");
    let error = compile_text(
        "tasks:
  - {wait_for: {port: 22}, timeout: 5}
  - wait_for: {port: 70000}
  - wait_for: {timeout: 5}
  - archive: {source: files/g, path: /opt/a}
  - download: {url: \"https://example.com/x\", path: /opt/x}
  - {archive: {source: files/f, path: /opt/a}, guard: true}
",
    )
    .unwrap_err();
    insta::assert_snapshot!(error.to_string());
}

#[test]
fn includes_bring_tasks_handlers_and_variables() {
    let own = [
        ("playbooks/a.yaml", "vars: {x: own}\ntasks:\n  - include: b\n    when: x\n"),
        (
            "playbooks/b.yaml",
            "vars: {x: b, y: b}\ntasks:\n  - command: {argv: [x]}\n    notify: h\nhandlers:\n  - {name: h, command: {argv: [y]}}\n",
        ),
    ];
    let plan = compile(&files(&own), &["a".to_owned()], Vars::new()).unwrap();
    assert_eq!(json!(plan.plays[0].vars), json!({"x": "own", "y": "b"}));
    assert_eq!(tasks(&plan)[0].when.as_deref(), Some("x"));
    assert_eq!(plan.plays[0].handlers.len(), 1);
    let error = compile(&files(&own), &["agent".to_owned()], Vars::new()).unwrap_err();
    assert_eq!(error.hints(), ["did you mean \"agents\"?"]);
}

#[test]
fn tags_choose_tasks() {
    let text = "tasks:\n  - {command: {argv: [a]}, tags: [x]}\n  - {command: {argv: [b]}}\n  - {block: {tasks: [{command: {argv: [c]}}]}, tags: [x]}\n";
    let plan =
        compile_tagged(&files(&[("playbooks/t.yaml", text)]), &["t".into()], Vars::new(), &["x".into()]).unwrap();
    assert_eq!(tasks(&plan).iter().map(|task| task.name.as_str()).collect::<Vec<_>>(), ["command a", "command c"]);
}

#[test]
fn what_ships_compiles_and_fits_the_schema() {
    let shipped = FileSet::shipped();
    let validator = jsonschema::validator_for(&schema::schema()).unwrap();
    let mut count = 0;
    // Those in folders are parts of others, or told more by `stead image build`.
    let whole = shipped.list("playbooks").filter(|path| path.parent() == Some("playbooks".into()));
    for path in whole {
        let name = path.file_stem().unwrap().to_owned();
        let plan = compile(&shipped, &[name], Vars::new()).unwrap();
        assert!(!tasks(&plan).is_empty(), "{path}");
        let diagnostics = Diagnostics::new();
        let source = shipped.source(path, &diagnostics).unwrap();
        let document = crate::fleet::yaml::parse(&source, &diagnostics).unwrap().to_json();
        let errors: Vec<String> =
            validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{path}: {errors:?}");
        count += 1;
    }
    assert!(count >= 4);
}

#[test]
fn a_variable_that_nothing_defines_is_told_with_its_place() {
    let error = compile_text(
        "vars: {greeting: hello}
tasks:
  - file: {path: /a, content: \"{{ greting }}\"}
  - template: {path: /a, template: other.tera}
  - command: {argv: [x, \"{{ got.stdout }} {{ facts.os.id }} {{ workspace }}\"]}
    when: asked is defined and other == 1
  - debug: {message: \"{{ asked }}\"}
  - command: {argv: [y]}
    register: got
",
    )
    .unwrap_err();
    insta::assert_snapshot!(error.to_string());
}

#[test]
fn tests_are_read_and_kept_apart() {
    let own =
        [("playbooks/t.yaml", "vars: {x: 1}\ntasks:\n  - debug: {message: a}\ntests:\n  - assert: {that: x == 1}\n")];
    let names = ["t".to_owned()];
    assert_eq!(tasks(&compile(&files(&own), &names, Vars::new()).unwrap())[0].name, "debug");
    assert_eq!(tasks(&compile_tests(&files(&own), "t", Vars::new()).unwrap())[0].name, "assert");
    let wrong = [("playbooks/t.yaml", "tests:\n  - asert: {that: x}\n")];
    assert!(compile(&files(&wrong), &names, Vars::new()).is_err(), "their mistakes are told in any case");
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_plan_or_a_list_of_mistakes(
        text in "(name: |vars: |tasks:|\n  - |\n    |file: |line: |block: |loop: |when: |notify: |\\{path: /a\\}|\\[|\\]|\"|\\{\\{ x \\}\\}|[a-z:,é]){0,60}",
    ) {
        let _ = compile(&files(&[("playbooks/t.yaml", &text)]), &["t".to_owned()], Vars::new());
    }
}
