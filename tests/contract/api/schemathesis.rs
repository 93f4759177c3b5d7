//! The API against what schemathesis makes of its own description: no answer that it does not describe, and none of 500 or more.

use std::process::Stdio;
use std::time::Duration;

use stead::config::control::{Accounts, MailTls};

use super::{Api, ROOT};
use crate::mail::Relay;
use crate::{Kind, both};

both!(schemathesis_finds_nothing_as_an_operator, schemathesis_finds_nothing_as_a_customer);

const PROGRAM: &str = ".tools/schemathesis/bin/schemathesis";

async fn schemathesis_finds_nothing_as_an_operator(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::start(dir.path());
    let api = Api::mailing(kind, Accounts::default(), &relay.settings(MailTls::None)).await;
    api.workspace("acme").await;
    finds_nothing(api, &[format!("Authorization: Bearer {ROOT}")]).await;
}

async fn schemathesis_finds_nothing_as_a_customer(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::start(dir.path());
    let api = Api::mailing(kind, Accounts::default(), &relay.settings(MailTls::None)).await;
    let id = api.workspace("acme").await;
    let browser = api.person("ann@example.com", None, Some((&id, "owner"))).await;
    finds_nothing(api, &browser.lines().map(str::to_owned).collect::<Vec<_>>()).await;
}

async fn finds_nothing(api: Api, headers: &[String]) {
    assert!(std::path::Path::new(PROGRAM).exists(), "{PROGRAM} is missing: scripts/test.sh installs it");
    let store = api.world.store.clone();
    // So that it is ready; nobody works, so nothing is made.
    let beat = tokio::spawn(async move {
        loop {
            Api::worker_lives(&store, "h").await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    let ran = tokio::process::Command::new(std::env::current_dir().unwrap().join(PROGRAM))
        .arg("run")
        .arg(format!("http://{}/openapi.json", api.address))
        .args(headers.iter().flat_map(|header| ["--header", header]))
        // Streams do not end. What the schema allows may still be refused: a slug that is reserved, a tier that is not there.
        .args(["--exclude-path-regex", "/events", "--exclude-checks", "positive_data_acceptance"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--continue-on-failure", "--no-color"])
        // It leaves a database of examples behind.
        .current_dir(api.world.path(""))
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    beat.abort();
    assert!(ran.status.success(), "{}\n{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
}
