//! What expressions become, and that the two mean the same.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::names::{Names, Outcome};
use super::*;
use crate::fleet::{Diagnostics, Source, yaml};
use crate::wire::expr::Scope;

fn names() -> Names {
    let mut names = Names::default();
    for (name, value) in
        [("text", "'Yes'"), ("number", "3"), ("flag", "true"), ("list", "[b, a]"), ("map", "{b: 1, a: 2}")]
    {
        names.define(name, vec![yaml::parse(&Source::new("t.yaml", value), &Diagnostics::new()).unwrap()]);
    }
    names.register("r", Outcome { is_command: true, is_looped: false });
    names.dead.insert("gone".to_owned());
    names
}

fn translate(source: &str) -> Result<String, Problem> {
    expression(source, &names()).map(|translated| translated.text)
}

/// The values on the right are those that Ansible gives.
#[test]
fn translations_have_the_value_that_ansible_gives() {
    let cases = [
        ("text | bool", json!(true)),
        ("'no' | bool or flag", json!(true)),
        ("missing | default('x')", json!("x")),
        ("missing.deep.path | default('x')", json!("x")),
        ("missing.deep is defined", json!(false)),
        ("r is changed and r is not failed and r is succeeded", json!(true)),
        ("r.stdout_lines[-1] ~ '!'", json!("two!")),
        ("r['stdout'] | split('x') | length", json!(1)),
        ("not 1 == 2", json!(true)),
        ("not (flag and number > 5)", json!(true)),
        ("4 + number - (4 - 1)", json!(4)),
        ("'a' + text", json!("aYes")),
        ("'x=' ~ flag", json!("x=True")),
        ("(list + ['c']) | join('-')", json!("b-a-c")),
        ("'a' in list and 'z' not in map", json!(true)),
        ("list | first | upper", json!("B")),
        ("flag | ternary('on', 'off')", json!("on")),
        ("'a' if not flag else 'b' if text == 'Yes' else 'c'", json!("b")),
        ("'7' | int > 6", json!(true)),
        ("ansible_facts['distribution'] ~ ' ' ~ ansible_distribution_release", json!("Debian trixie")),
        ("ansible_distribution in ['Debian', 'Ubuntu'] and ansible_os_family == 'Debian'", json!(true)),
        ("ansible_os_family != 'RedHat' and ansible_architecture == 'aarch64'", json!(true)),
        ("ansible_distribution_major_version | int >= 12", json!(true)),
    ];
    let vars: BTreeMap<String, Value> = serde_json::from_value(json!({
        "text": "Yes", "number": 3, "flag": true, "list": ["b", "a"], "map": {"b": 1, "a": 2},
        "r": {"changed": true, "failed": false, "skipped": false, "rc": 2, "stdout": "one\ntwo"},
        "facts": {"os": {"id": "debian", "version": "13", "codename": "trixie"}, "arch": "arm64", "hostname": "web.example.com"},
    }))
    .unwrap();
    for (source, expected) in cases {
        let text = translate(source).unwrap_or_else(|problem| panic!("{source}: {problem:?}"));
        let value = Engine::new().value(&text, &Scope::default().with(&vars));
        assert_eq!(value.unwrap_or_else(|error| panic!("{source}: {text}: {error}")), expected, "{source}: {text}");
    }
}

#[test]
fn what_could_mean_something_else_is_refused_with_its_place() {
    for (source, place, says) in [
        ("a and hostvars['db'].ip", "hostvars", "own node alone"),
        ("x + y", "x + y", "any type"),
        ("x < y", "x < y", "order"),
        ("x | default(omit)", "omit", "two tasks"),
        ("ansible_default_ipv4.address == x", "ansible_default_ipv4", "ansible_default_ipv4"),
        ("lookup('env', 'HOME')", "lookup", "lookup"),
        ("x.split(',')", "x.split", "method"),
        ("r.rc is defined", "r.rc", "skipped"),
        ("flag == 1", "flag == 1", "truth value"),
        ("map.items", "map.items", "method"),
        ("gone == 1", "gone", "left out"),
        ("'it: ' ~ list", "list", "Python"),
        (r"x == 'a\d'", r"'a\d'", "backslash"),
        ("x is", "x is", "too early"),
        ("x == 'a", "'a", "quote"),
        ("'a' if b", "'a' if b", "too early"),
    ] {
        let problem = translate(source).unwrap_err();
        assert!(format!("{} {}", problem.why, problem.hint).contains(says), "{source}: {problem:?}");
        assert!(source[problem.start..problem.end].starts_with(place), "{source}: {problem:?}");
    }
}

#[test]
fn texts_are_printed_as_ansible_prints_them() {
    let names = names();
    let printed = |source: &str| text(source, &names, true).map(|translated| translated.text);
    for (source, expected) in [
        ("no template: 'x' }}", "no template: 'x' }}"),
        ("{{x}}-{{ y['z'] }}", "{{ x }}-{{ y.z }}"),
        ("{{x|default('a')}} b", r#"{{ x | default(value="a") }} b"#),
        ("on={{ flag }}", r#"on={{ "True" if flag else "False" }}"#),
        ("{{ flag }}", r#"{{ "True" if flag else "False" }}"#),
    ] {
        assert_eq!(printed(source).as_deref(), Ok(expected), "{source}");
    }
    for source in ["{{ list }}", "{% if x %}a{% endif %}", "{# x #}", "{{- x }}", "{{ x -}}", "{{ x", "{{ ' }} ' }}"] {
        assert!(printed(source).is_err(), "{source}");
    }
    assert_eq!(text("{{ list }}", &names, false).unwrap().ty, Ty::List);
    let uses = text("{{ x }} {{ text }} {{ y | default(1) }}", &names, true).unwrap().uses;
    assert_eq!(uses, [("x".to_owned(), 3, 4)]);
}

proptest! {
    #[test]
    fn any_text_is_translated_or_refused(
        source in "\\PC{0,60}|[a-c '\"{}%#|.,()\\[\\]=~+*/<>-]{0,40}|(x|r|list|not |is |in |and |if |else |'a'|1| |\\||\\(|\\)|\\{\\{|\\}\\}|~|==|\\.){0,24}"
    ) {
        let names = names();
        if let Ok(translated) = expression(&source, &names) {
            prop_assert!(Engine::new().check_expression(&translated.text).is_ok(), "{}", translated.text);
        }
        if let Ok(translated) = text(&source, &names, true) {
            prop_assert!(Engine::new().check(&translated.text).is_ok(), "{}", translated.text);
        }
    }
}
