//! `docs/playbooks.md`: its reference of task types is made from the JSON Schema and `docs/examples/`, and every example is
//! a sound playbook. `UPDATE_CASES=1 cargo nextest run --test playbook_reference` writes the page's table anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::fmt::Write;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use stead::fleet::FileSet;
use stead::fleet::files::File;
use stead::playbook;

const BEGIN: &str = "<!-- The rest of this page is made by tests/playbook_reference.rs. -->\n";
/// What a task has that is no type.
const COMMON: [&str; 17] = [
    "name",
    "when",
    "loop",
    "register",
    "changed_when",
    "failed_when",
    "retries",
    "delay",
    "timeout",
    "notify",
    "tags",
    "vars",
    "ignore_errors",
    "guard",
    "sensitive",
    "include",
    "block",
];

fn here(path: &str) -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn example(name: &str) -> String {
    std::fs::read_to_string(here(&format!("docs/examples/{name}.yaml"))).unwrap_or_default()
}

/// The task types, by name.
fn types() -> Vec<(String, Value)> {
    let schema = playbook::schema::schema();
    let entry = schema["$defs"]["entry"]["properties"].as_object().unwrap().clone();
    entry.into_iter().filter(|(name, _)| !COMMON.contains(&name.as_str())).collect()
}

fn takes(field: &Value) -> String {
    if let Some(words) = field["enum"].as_array() {
        return words.iter().map(|word| format!("`{}`", word.as_str().unwrap())).collect::<Vec<_>>().join(", ");
    }
    let kind = &field["type"];
    let kinds: Vec<&str> =
        kind.as_str().into_iter().chain(kind.as_array().into_iter().flatten().filter_map(Value::as_str)).collect();
    match kinds[..] {
        ["string"] if field["pattern"].as_str().is_some_and(|pattern| pattern.starts_with("^/")) => "path",
        ["string"] if field["pattern"].is_string() => "mode",
        ["string"] => "text",
        ["boolean"] => "`true`, `false`",
        ["integer"] => "number",
        ["array"] => "texts",
        ["array", "string"] => "texts, or one",
        ["object"] => "names and texts",
        _ => "text",
    }
    .to_owned()
}

fn reference() -> String {
    let mut text = String::from(BEGIN);
    for (name, schema) in types() {
        let _ = writeln!(text, "\n### `{name}`\n\n{}\n", schema["description"].as_str().unwrap());
        let fields = schema["properties"].as_object().cloned().unwrap_or_default();
        if !fields.is_empty() {
            text += "| field | takes | |\n| --- | --- | --- |\n";
        }
        let required: Vec<&Value> = schema["required"].as_array().into_iter().flatten().collect();
        for (field, shape) in fields {
            let must = if required.contains(&&Value::from(field.as_str())) { " (required)" } else { "" };
            let about = shape["description"].as_str().unwrap_or_default().replace('|', "\\|");
            let _ = writeln!(text, "| `{field}`{must} | {} | {about} |", takes(&shape));
        }
        let _ = write!(text, "\n```yaml\n{}```\n", example(&name));
    }
    text
}

#[test]
fn every_type_has_an_example_that_is_sound() {
    let own = |name: &str| {
        let content = |text: String| File { content: text.into_bytes().into(), executable: false };
        FileSet::with_shipped([
            (Utf8PathBuf::from("playbooks/example.yaml"), content(example(name))),
            (Utf8PathBuf::from("templates/greeting.tera"), content("{{ greeting }}".into())),
        ])
    };
    for (name, _) in types() {
        assert!(!example(&name).is_empty(), "docs/examples/{name}.yaml is missing");
        let names = ["example".to_owned()];
        let plan =
            playbook::compile(&own(&name), &names, Default::default()).unwrap_or_else(|error| panic!("{error:?}"));
        let uses = serde_json::to_string(&plan).unwrap();
        assert!(uses.contains(&format!("\"{name}\":")), "docs/examples/{name}.yaml has no task of that type");
        playbook::compile_tests(&own(&name), "example", Default::default()).unwrap();
    }
}

#[test]
fn the_reference_is_what_the_program_takes() {
    let page = here("docs/playbooks.md");
    let written = std::fs::read_to_string(&page).unwrap();
    let prose = written.split(BEGIN).next().unwrap();
    let expected = format!("{prose}{}", reference());
    if std::env::var_os("UPDATE_CASES").is_some() {
        std::fs::write(&page, &expected).unwrap();
        return;
    }
    let hint = "run UPDATE_CASES=1 cargo nextest run --test playbook_reference";
    assert!(written == expected, "docs/playbooks.md is not what the program takes: {hint}");
}
