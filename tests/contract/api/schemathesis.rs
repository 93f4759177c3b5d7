//! The API against what schemathesis makes of its own description: no answer that it does not describe, and none of 500 or more.

use std::process::Stdio;
use std::time::Duration;

use super::{Api, ROOT};
use crate::{Kind, both};

both!(schemathesis_finds_nothing);

const PROGRAM: &str = ".tools/schemathesis/bin/schemathesis";

async fn schemathesis_finds_nothing(kind: Kind) {
    assert!(std::path::Path::new(PROGRAM).exists(), "{PROGRAM} is missing: scripts/test.sh installs it");
    let api = Api::start(kind).await;
    api.workspace("acme").await;
    let store = api.world.store.clone();
    // So that it is ready; nobody works, so nothing is made.
    let beat = tokio::spawn(async move {
        loop {
            Api::worker_lives(&store).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    let ran = tokio::process::Command::new(std::env::current_dir().unwrap().join(PROGRAM))
        .arg("run")
        .arg(format!("http://{}/openapi.json", api.address))
        .args(["--header", &format!("Authorization: Bearer {ROOT}")])
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
