//! Whatever is asked, there is an answer, and it is none of a program that failed.

use std::collections::BTreeSet;

use camino::Utf8Path;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::asked::{Asked, check};

/// Keys that bodies and queries have, and what may stand for their values.
const KEYS: [&str; 18] = [
    "agent_id",
    "agents",
    "channels",
    "cursor",
    "email",
    "enabled",
    "id",
    "kind",
    "last_seen_at",
    "limit",
    "messages",
    "model_provider",
    "name",
    "role",
    "scopes",
    "slug",
    "tier",
    "workspace_id",
];

/// What else the head may say.
const NAMES: [&str; 8] = [
    "authorization",
    "content-length",
    "cookie",
    "last-event-id",
    "origin",
    "sec-fetch-site",
    "x-forwarded-for",
    "x-request-id",
];

fn text() -> impl Strategy<Value = String> {
    let words =
        prop::sample::select(vec!["starter", "acme", "desk", "true", "50", "owner", "2026-01-01T00:00:00Z", "ag_"]);
    prop_oneof![words.prop_map(str::to_owned), "[ -~]{0,12}", any::<String>()]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    let json = leaf.prop_recursive(4, 24, 4, |inner| {
        let pairs = prop::collection::vec((prop::sample::select(&KEYS[..]), inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..3).prop_map(Value::from),
            pairs.prop_map(|pairs| Value::Object(
                pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    });
    let whole = vec![
        json!({"name": "desk", "kind": "assistant", "model_provider": "openai"}),
        json!({"name": "x"}),
        json!({"enabled": false}),
        json!({"agents": [{"id": "ag_00000000000000000000000000", "last_seen_at": "2026-01-01T00:00:00Z"}]}),
    ];
    prop_oneof![
        json.prop_map(|value| value.to_string().into_bytes()),
        prop::sample::select(whole).prop_map(|value| value.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..200),
    ]
}

/// A line of the head. What cannot stand in one is left out by whoever reads it.
fn line() -> impl Strategy<Value = Vec<u8>> {
    // Those without which nothing is changed come more often.
    let names = prop_oneof![
        4 => Just("if-match"),
        2 => Just("content-type"),
        1 => Just("idempotency-key"),
        2 => prop::sample::select(&NAMES[..]),
    ];
    let values = vec![
        "*",
        "\"1\"",
        "\"7\"",
        "W/\"1\"",
        "k-1",
        "__Host-stead_session=x",
        "application/json; charset=x",
        "Bearer",
        "7",
    ];
    let value = prop_oneof![
        prop::sample::select(values).prop_map(|value| value.as_bytes().to_vec()),
        "[ -~]{0,30}".prop_map(String::into_bytes),
        prop::collection::vec(32..=255_u8, 0..30),
    ];
    (names, value).prop_map(|(name, value)| [b"\n", name.as_bytes(), b":", &value].concat())
}

/// What is asked of which path: an operation of the API, or one that there is not; with ids that are real, are none, or are
/// something else.
fn first_line(operations: Vec<(String, String)>) -> impl Strategy<Value = String> {
    let escaped = |text: String| text.bytes().map(|c| format!("%{c:02x}")).collect::<String>();
    let part = prop_oneof![Just("ws_00000000000000000000000000".to_owned()), text().prop_map(escaped), "[!-~]{1,8}"];
    let query = prop::collection::vec((prop::sample::select(&KEYS[..]), text().prop_map(escaped)), 0..3);
    let other = prop::option::weighted(0.1, prop::sample::select(vec!["GET", "PUT", "DELETE", "OPTIONS", "X"]));
    (prop::sample::select(operations), other, prop::option::weighted(0.3, part), query, "[!-~]{0,3}").prop_map(
        |((method, path), other, part, query, rest)| {
            let path = match (part, path.rfind('{'), path.rfind('}')) {
                (Some(part), Some(from), Some(to)) => format!("{}{part}{}", &path[..from], &path[to + 1..]),
                _ => path,
            };
            let query: Vec<String> = query.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
            let query = if query.is_empty() { String::new() } else { format!("?{}{rest}", query.join("&")) };
            format!("{} {path}{query}", other.unwrap_or(&method))
        },
    )
}

#[test]
fn any_request_has_an_answer() {
    let document: Value = serde_json::from_str(&stead::api::openapi().unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    let lines = prop::collection::vec(line(), 0..4);
    let request = (first_line(operations.collect()), lines, body())
        .prop_map(|(first, lines, body)| [first.as_bytes(), &lines.concat(), b"\n\n", &body].concat());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut runner, mut seen) = (TestRunner::deterministic(), BTreeSet::new());
    // Now and then one of them ends what most of them are about.
    for _ in 0..12 {
        let dir = tempfile::tempdir().unwrap();
        let asked = runtime.block_on(Asked::new(Utf8Path::from_path(dir.path()).unwrap()));
        for _ in 0..250 {
            let bytes = request.new_tree(&mut runner).unwrap().current();
            let answered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let Some(answer) = runtime.block_on(asked.ask(&bytes)) else { return };
                seen.insert(answer.status().as_u16());
                check(&answer);
            }));
            assert!(answered.is_ok(), "{}", bytes.escape_ascii());
        }
    }
    for status in [200, 400, 401, 404, 405, 412, 415, 422, 428] {
        assert!(seen.contains(&status), "{status} was never answered: {seen:?}");
    }
}
