//! Sweeps through the API: what hosts found, and having them look again.

use serde_json::{Value, json};
use stead::id::{Mark, NodeId};
use stead::store::{Ability, Listed};
use stead::workflow::flows::sweep::{Fault, Finding};

use super::{Api, ROOT};
use crate::{Kind, both};

both!(what_hosts_found_is_read_and_counted, hosts_are_had_look_again);

fn finding(api: &Api, fault: Fault, mended: bool) -> Finding {
    let node = NodeId::new();
    let mark = Mark::new(&api.world.fleet, node);
    Finding { fault, provider: "local".into(), mark, node, workspace: None, mended }
}

async fn put(api: &Api, host: &'static str, found: Vec<Finding>) {
    let put =
        api.world.store.write(move |tx| Box::pin(async move { tx.put_sweep(host, "local", &json!(found)).await }));
    put.await.unwrap();
}

async fn what_hosts_found_is_read_and_counted(kind: Kind) {
    stead::telemetry::metrics().unwrap();
    let api = Api::start(kind).await;
    let list = async || api.ask(ROOT, "GET /v1/sweeps", "").await.json();
    assert_eq!(list().await, json!({"items": [], "next": null}));
    let left = finding(&api, Fault::LeftOver, false);
    put(&api, "south", vec![left.clone(), finding(&api, Fault::Lost, true)]).await;
    put(&api, "north", vec![]).await;
    let listed = list().await;
    let hosts: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|sweep| &sweep["host"]).collect();
    assert_eq!(hosts, ["north", "south"]);
    let found = &listed["items"][1]["findings"];
    assert_eq!((&found[0]["fault"], &found[0]["node"]), (&json!("left_over"), &json!(left.node)));
    assert_eq!((&found[1]["fault"], &found[1]["mended"]), (&json!("lost"), &json!(true)));
    // Found again: the last word counts.
    put(&api, "south", vec![left.clone(), left]).await;
    assert_eq!(list().await["items"].as_array().unwrap().len(), 2);
    // What a newer worker found hides nothing.
    let newer = finding(&api, Fault::Lost, false);
    let mut newer = json!([newer, newer]);
    newer[0]["fault"] = json!("asleep");
    newer.as_array_mut().unwrap().push(json!({"form": 2}));
    let write = api.world.store.write(move |tx| Box::pin(async move { tx.put_sweep("west", "local", &newer).await }));
    write.await.unwrap();
    let listed = list().await;
    let faults: Vec<&Value> =
        listed["items"][2]["findings"].as_array().unwrap().iter().map(|found| &found["fault"]).collect();
    assert_eq!(faults, ["asleep", "lost"]);
    let support = api.token(json!({"name": "s", "role": "support"})).await;
    assert_eq!(api.ask(&support, "GET /v1/sweeps", "").await.status, 200);
    let figures = api.ask(ROOT, "GET /metrics", "").await.body;
    for figure in ["stead_orphans{kind=\"left_over\"}", "stead_orphans{kind=\"lost\"}", "stead_sweeps_oldest_seconds"] {
        assert!(figures.contains(figure), "{figure}: {figures}");
    }
}

async fn hosts_are_had_look_again(kind: Kind) {
    let api = Api::start(kind).await;
    let begin = async |body: Value| api.json(ROOT, "POST /v1/sweeps", "", &body).await;
    let none = begin(json!({})).await;
    assert!(none.problem() == "conflict" && none.body.contains("no host has local nodes"), "{}", none.body);
    put(&api, "north", vec![]).await;
    put(&api, "south", vec![]).await;
    for (body, says) in [
        (json!({"unknown": true}), "goes with"),
        (json!({"host": "east"}), "there are: north, south"),
        (json!({"fxi": true}), "unknown field"),
        (json!([null, true, true]), "an object is expected"),
    ] {
        let refused = begin(body).await;
        assert!(refused.problem() == "invalid" && refused.body.contains(says), "{}", refused.body);
    }
    let begun = begin(json!({"host": "north", "fix": true})).await;
    assert_eq!(begun.status, 202, "{}", begun.body);
    let first = begun.json()["workflows"].clone();
    assert_eq!((first.as_array().unwrap().len(), &first[0]["host"]), (1, &json!("north")));
    assert_eq!((&first[0]["kind"], &first[0]["subject"]), (&json!("sweep"), &json!("host/north")));
    assert_eq!(begun.json()["away"], json!(["north"]), "no worker was ever seen there");
    // The same is under way already; another one would have to wait.
    let again = begin(json!({"host": "north", "fix": true})).await.json();
    assert_eq!(again["workflows"][0]["id"], first[0]["id"]);
    let other = begin(json!({})).await;
    assert!(other.problem() == "conflict" && other.body.contains("another sweep of north"), "{}", other.body);
    Api::worker_lives(&api.world.store, "north").await;
    let all = begin(json!({"fix": true})).await.json();
    assert_eq!((all["workflows"].as_array().unwrap().len(), &all["away"]), (2, &json!(["south"])));
    let recorded = api.world.store.read().await.unwrap().workflows(Listed::All).await.unwrap();
    assert!(recorded.iter().all(|workflow| workflow.needs == Some(Ability::Local)), "by whoever can look");
    let log = api.ask(ROOT, "GET /v1/audit?target=host/north", "").await;
    assert!(log.body.contains("node.sweep"), "{}", log.body);
}
