//! What `render` writes, `fleet` reads back the same; and so does PyYAML, which reads YAML 1.1 as cloud-init does.

use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::{Value, json};
use stead::fleet::{Diagnostics, Source, yaml as reader};
use stead::render::yaml as writer;

fn read(text: &str) -> Value {
    let diagnostics = Diagnostics::new();
    let node = reader::parse(&Source::new("t.yaml", text), &diagnostics);
    diagnostics.into_result(node).unwrap_or_else(|error| panic!("{error}\n{text}")).to_json()
}

fn values() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "on",
        "yes",
        "1:30",
        "0750",
        "0o17",
        "1e3",
        "~",
        "",
        " ",
        "- a",
        "a: b",
        "# c",
        "*x",
        "&x",
        "!x",
        "<<",
        "null",
        "\u{85}\u{2028}\u{feff}\u{7f}",
        "é\u{1f600}",
        "tab\there",
        "two\nlines\n",
        "\"q\" \\ 'q'",
        "%x",
        "---",
        "2026-01-01",
    ]);
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1_000_000i64..1_000_000).prop_map(|n| json!(n as f64 / 64.0)),
        words.prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    scalar.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,4}|on|yes|1|\\PC{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn our_own_reader_reads_the_same(value in values()) {
        prop_assert_eq!(read(&writer::write(&value)), value);
    }
}

/// Checked only where python3 has PyYAML; the images' own tests run cloud-init itself.
#[test]
fn pyyaml_reads_the_same() {
    let script = "import sys, json, yaml\nfor t in json.load(sys.stdin): print(json.dumps(yaml.safe_load(t)))";
    let python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut python) = python else { return };
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let samples: Vec<Value> = (0..300)
        .map(|_| values().new_tree(&mut runner).expect("values are made without rejection").current())
        .collect();
    let texts: Vec<String> = samples.iter().map(writer::write).collect();
    let written = python.stdin.take().expect("piped").write_all(serde_json::to_string(&texts).unwrap().as_bytes());
    let output = python.wait_with_output().unwrap();
    if written.is_err() || (output.stdout.is_empty() && !output.status.success()) {
        return;
    }
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), samples.len(), "PyYAML refused this:\n{}", texts[lines.len().min(texts.len() - 1)]);
    for ((read, sample), text) in lines.iter().zip(&samples).zip(&texts) {
        assert_eq!(read, sample, "{text}");
    }
}
