//! A server in a process of its own: the API over a store, or, for comparison, handlers that answer at once behind what stands in
//! front of the API's.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use camino::Utf8PathBuf;
use serde_json::{Value, json};
use stead::accounts::TokenHash;
use stead::api::{self, App, Origin, Settings};
use stead::config::Config;
use stead::config::control::{Accounts, Http, Limits};
use stead::secrets::keys::FleetKeys;
use stead::workflow::flows::{self, Platform};
use stead::workflow::{Engine, NoObserver};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::stores;

/// The operator's token.
pub(crate) const ROOT: &str = "the-operator-of-the-benchmark";

/// Serves until it is killed. `what` is `api` or `bare`.
pub(crate) async fn serve(what: &str, place: &str) {
    // As `stead serve` has it: every request is a line in the log.
    stead::telemetry::init(1, false, None);
    stead::telemetry::metrics().unwrap();
    let store = stores::open(place).await;
    let fleet = store.read().await.unwrap().fleet().await.unwrap().unwrap();
    // Beside the store, whose folder goes with whoever started this.
    let dir = Utf8PathBuf::from(place.split_once(' ').map_or(place, |(_, dir)| dir)).join("platform");
    fs_err::create_dir_all(&dir).unwrap();
    let keys = FleetKeys::open_or_create(&FleetKeys::folder(&dir)).unwrap();
    let platform = Arc::new(Platform::new(fleet, dir, Config::from_env().unwrap(), keys, None));
    let engine = Engine::new(store, platform.clone(), flows::registry(), Arc::new(NoObserver), "bench");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let http = Http::default();
    // Nobody is to be held back here.
    let most = u32::MAX;
    let settings = Settings {
        http: http.clone(),
        limits: Limits { per_address: most, per_token: most, sign_ins: most },
        accounts: Accounts::default(),
        origin: Some(Origin::parse(&format!("http://{address}")).unwrap()),
        mailer: None,
    };
    let app = App::new(engine, platform, TokenHash::of(ROOT.as_bytes()), settings);
    let router = match what {
        "api" => api::router(app),
        _ => {
            let bare = || get(async || Json(answer()));
            api::guarded(app, Router::new().route("/{id}", bare()), Router::new().route("/workspaces/{id}", bare()))
        }
    };
    println!("{address}");
    api::serve(listener, router, &http, CancellationToken::new()).await.unwrap();
}

/// As long as the API's own.
fn answer() -> Value {
    json!({
        "id": "ws_01jd8x1s3ve5fs9v2t5g7qk0mz", "slug": "workspace-1", "name": null, "tier": "starter", "managed_by": "api",
        "state": "ready", "revision": null, "created_at": "2026-11-27T08:00:00.000Z",
        "updated_at": "2026-11-27T08:00:00.000Z", "version": 1,
        "node": {
            "id": "nd_01jd8x1s3ve5fs9v2t5g7qk0mz", "workspace_id": "ws_01jd8x1s3ve5fs9v2t5g7qk0mz",
            "mark": "st-01jd8x1s3ve5fs9v2t5g7qk0mz-01jd8x1s3ve5fs9v2t5g7qk0mz", "provider": "local", "kind": "local",
            "state": "ready", "addresses": ["10.83.0.2"], "ssh_port": 22, "user": "stead", "host_key": null,
            "verified": true, "image": null, "agent_version": null, "playbook_digest": null,
            "created_at": "2026-11-27T08:00:00.000Z", "updated_at": "2026-11-27T08:00:00.000Z", "host": null,
        },
    })
}

/// A server that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) address: String,
    child: Child,
}

impl Running {
    pub(crate) fn start(what: &str, place: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["serve", what, place])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { address: address.trim().to_owned(), child }
    }

    /// The most memory that it had so far, in MiB (`VmHWM` of proc(5)).
    pub(crate) fn peak_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
