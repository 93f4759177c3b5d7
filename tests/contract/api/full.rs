//! The disk of an embedded store that is full, and has room again.

use std::io::Write;

use camino::Utf8Path;
use serde_json::json;
use sqlx::Connection;
use stead::audit;
use stead::config::control::Http;

use super::{Answer, Api, MANY, ROOT};
use crate::World;
use crate::trouble::Tmpfs;

/// Asks for a workspace. Its name is long, so that the disk is full soon.
async fn make(api: &Api, slug: &str) -> Answer {
    let body = json!({"slug": slug, "tier": "starter", "name": "x".repeat(100)});
    api.json(ROOT, "POST /v1/workspaces", &format!("idempotency-key: {slug}\r\n"), &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rooted_a_full_disk_is_told_and_nothing_is_lost_or_half_done() {
    let dir = tempfile::tempdir().unwrap();
    let mount = Tmpfs::mount(&Utf8Path::from_path(dir.path()).unwrap().join("small"), c"size=16m");
    let api = Api::over(World::within(&mount.0).await, Http::default(), MANY).await;
    let before = api.workspace("before").await;

    // Something else takes all the room there is.
    let other = mount.0.join("other");
    let mut file = std::fs::File::create(&other).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
    let mut made = vec!["before".to_owned()];
    let refused = loop {
        let slug = format!("w{}", made.len());
        let answer = make(&api, &slug).await;
        if answer.status != 202 {
            break answer;
        }
        // What fits into the files as they are is taken.
        made.push(slug);
        assert!(made.len() < 500, "the disk is not full");
    };
    assert_eq!((refused.status, refused.problem().as_str()), (503, "unavailable"), "{}", refused.body);
    assert!(refused.header("retry-after").is_some() && refused.body.contains("the same request again is safe"));
    assert!(
        !refused.body.contains("disk") && !refused.body.contains("SQL"),
        "causes are for operators: {}",
        refused.body
    );
    // Of those who share a commit nobody is told anything else.
    let slugs: Vec<String> = (0..12).map(|n| format!("together-{n}")).collect();
    for answer in futures::future::join_all(slugs.iter().map(|slug| make(&api, slug))).await {
        assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"), "{}", answer.body);
    }
    // What is there can be read, and who may not ask is still told so.
    assert_eq!(api.ask(ROOT, &format!("GET /v1/workspaces/{before}"), "").await.status, 200);
    assert_eq!(api.ask("stead_nobody", "GET /v1/nodes", "").await.problem(), "unauthenticated");
    assert_eq!(api.raw("GET /healthz", "").await.status, 200);

    // With room again the same requests go through, each once.
    drop(file);
    std::fs::remove_file(&other).unwrap();
    let again = format!("w{}", made.len());
    for slug in slugs.into_iter().chain([again]) {
        for replayed in [None, Some("true")] {
            let answer = make(&api, &slug).await;
            assert_eq!(answer.status, 202, "{slug}: {}", answer.body);
            assert_eq!(answer.header("idempotency-replayed").as_deref(), replayed);
        }
        made.push(slug);
    }
    let list = api.ask(ROOT, "GET /v1/workspaces?limit=200", "").await.json();
    let mut found: Vec<&str> = list["items"].as_array().unwrap().iter().map(|w| w["slug"].as_str().unwrap()).collect();
    found.sort_unstable();
    made.sort_unstable();
    assert_eq!(found, made, "all that was acknowledged, and nothing else");
    let workflows = api.ask(ROOT, "GET /v1/workflows?kind=provision&limit=200", "").await.json();
    assert_eq!(workflows["items"].as_array().unwrap().len(), made.len());
    audit::seal(&api.world.store).await.unwrap();
    assert_eq!(audit::verify(&api.world.store).await.unwrap().broken, None);
    let database = format!("sqlite://{}/store.db", api.world.store.dir());
    let mut connection = sqlx::SqliteConnection::connect(&database).await.unwrap();
    let sound: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
    assert_eq!(sound, "ok");
    let dangling = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut connection).await.unwrap();
    assert!(dangling.is_empty());
    connection.close().await.unwrap();

    let at = mount.0.clone();
    drop((api, mount));
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(at.as_str()), "nothing stays mounted");
}
