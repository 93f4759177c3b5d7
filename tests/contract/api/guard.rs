//! What stands in front of all requests.

use std::time::Duration;

use serde_json::json;
use stead::config::control::{Http, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Api, ROOT};
use crate::{Kind, both};

both!(
    health_is_open_and_the_rest_wants_a_token,
    it_is_ready_when_a_worker_lives,
    errors_are_problem_details_with_a_request_id,
    bodies_that_are_none_are_refused,
    a_nul_in_what_is_asked_is_refused,
    who_asks_too_often_waits,
    the_record_is_read_page_by_page,
    figures_are_for_those_who_may_see_them,
    those_who_say_nothing_hold_nobody_up,
    it_stops_when_told,
);

async fn health_is_open_and_the_rest_wants_a_token(kind: Kind) {
    let api = Api::start(kind).await;
    let health = api.raw("GET /healthz", "").await;
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("ok")));
    for path in ["/v1/workspaces", "/v1/nodes", "/v1/nothing"] {
        let none = api.raw(&format!("GET {path}"), "").await;
        assert_eq!((none.status, none.problem().as_str()), (401, "unauthenticated"), "{path}");
        assert_eq!(none.header("www-authenticate").as_deref(), Some("bearer realm=\"stead\""));
        for wrong in ["Bearer wrong", "Bearer right2", "Bearer ", "Basic right", "Bearerright", "Bearer stead_x"] {
            let answer = api.raw(&format!("GET {path}"), &format!("authorization: {wrong}\r\n")).await;
            assert_eq!(answer.status, 401, "{path} {wrong}");
        }
    }
    assert_eq!(api.raw("GET /v1/nodes", "authorization: bearer  right\r\n").await.status, 200);
}

async fn it_is_ready_when_a_worker_lives(kind: Kind) {
    let api = Api::start(kind).await;
    let alone = api.raw("GET /readyz", "").await;
    assert_eq!((alone.status, alone.problem().as_str()), (503, "unavailable"));
    assert!(alone.header("retry-after").is_some() && alone.body.contains("no worker was seen"), "{}", alone.body);
    Api::worker_lives(&api.world.store, "h").await;
    assert_eq!(api.raw("GET /readyz", "").await.json(), json!({"status": "ok", "workers": 1}));
}

async fn errors_are_problem_details_with_a_request_id(kind: Kind) {
    let api = Api::start(kind).await;
    let missing = api.raw("GET /nothing", "x-request-id: mine-1\r\n").await;
    assert_eq!((missing.status, missing.problem().as_str()), (404, "not-found"));
    assert_eq!(missing.header("x-request-id").as_deref(), Some("mine-1"));
    assert_eq!(api.ask(ROOT, "GET /v1/nothing", "").await.problem(), "not-found");
    for path in ["/healthz", "/v1/nodes"] {
        let wrong = api.ask(ROOT, &format!("DELETE {path}"), "").await;
        assert_eq!((wrong.status, wrong.problem().as_str()), (405, "method-not-allowed"));
        assert!(wrong.header("allow").unwrap().contains("get"), "{}", wrong.head);
    }
    let odd = api.raw("GET /healthz", "x-request-id: a b\r\n").await;
    assert_ne!(odd.header("x-request-id").as_deref(), Some("a b"), "an id that is no plain word is replaced");
    assert_eq!(odd.header("x-content-type-options").as_deref(), Some("nosniff"));
    assert_eq!(odd.header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(odd.header("access-control-allow-origin"), None, "no other site's pages may read it");
}

async fn bodies_that_are_none_are_refused(kind: Kind) {
    let api = Api::with(kind, Http { body_kib: 1, ..Http::default() }, Limits::default()).await;
    let post = |headers: String, body: String| {
        let api = &api;
        async move {
            let text = format!(
                "POST /v1/workspaces HTTP/1.1\r\nhost: h\r\nconnection: close\r\nauthorization: Bearer {ROOT}\r\n{headers}\r\n{body}"
            );
            let answer = api.send(&text).await;
            (answer.status, answer.problem())
        }
    };
    let typed = |kind: &str, body: &str| {
        (format!("content-type: {kind}\r\ncontent-length: {}\r\n", body.len()), body.to_owned())
    };
    let cases = [
        (typed("text/plain", "{}"), (415, "unsupported-media-type")),
        (typed("application/json", "{"), (400, "bad-request")),
        (typed("application/json", ""), (400, "bad-request")),
        (typed("application/json", "[1]"), (422, "invalid")),
        (typed("application/json", &format!("\"{}\"", "x".repeat(2000))), (413, "too-large")),
        (typed("application/json; charset=utf-8", "{}"), (422, "invalid")),
    ];
    for ((headers, body), (status, problem)) in cases {
        assert_eq!(post(headers.clone(), body).await, (status, problem.to_owned()), "{headers}");
    }
    // Not announced, and still too long.
    let chunk = "x".repeat(0x800);
    let chunked = format!("800\r\n{chunk}\r\n0\r\n\r\n");
    let headers = "content-type: application/json\r\ntransfer-encoding: chunked\r\n".to_owned();
    assert_eq!(post(headers, chunked).await, (413, "too-large".to_owned()));
}

/// PostgreSQL's text has none: it would be an error of the server's own.
async fn a_nul_in_what_is_asked_is_refused(kind: Kind) {
    let api = Api::start(kind).await;
    let (workspace, _) = api.world.with_node("acme").await;
    let document: serde_json::Value = serde_json::from_str(&stead::api::openapi().unwrap()).unwrap();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("/workspaces/{id}", &format!("/workspaces/{}", workspace.id));
        let within = path.split('/').map(|part| if part.starts_with('{') { "a%00" } else { part });
        let within = within.collect::<Vec<_>>().join("/");
        for method in ["get", "delete"].into_iter().filter(|method| item.get(*method).is_some()) {
            let parameters = item[method]["parameters"].as_array().into_iter().flatten();
            let names = parameters.filter(|parameter| parameter["in"] == "query").map(|parameter| &parameter["name"]);
            let queries = names.map(|name| format!("?{}=a%00", name.as_str().unwrap()));
            for query in queries.chain([String::new()]).filter(|query| !query.is_empty() || within.contains("%00")) {
                let answer = api.ask(ROOT, &format!("{} {within}{query}", method.to_uppercase()), "").await;
                assert!((400..500).contains(&answer.status), "{method} {within}{query}: {}", answer.body);
                asked += 1;
            }
        }
    }
    assert!(asked > 40, "{asked}");
}

async fn who_asks_too_often_waits(kind: Kind) {
    let api = Api::with(kind, Http::default(), Limits { per_address: 3, ..Limits::default() }).await;
    for _ in 0..3 {
        assert_eq!(api.raw("GET /healthz", "").await.status, 200);
    }
    let refused = api.raw("GET /healthz", "x-forwarded-for: 192.0.2.7\r\n").await;
    assert_eq!((refused.status, refused.problem().as_str()), (429, "too-many-requests"), "nobody believes the header");
    assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    let trusting = Http { trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()], ..Http::default() };
    let api = Api::with(kind, trusting, Limits { per_address: 1, ..Limits::default() }).await;
    for client in ["192.0.2.1", "192.0.2.2"] {
        assert_eq!(api.raw("GET /healthz", &format!("x-forwarded-for: {client}\r\n")).await.status, 200);
    }
    assert_eq!(api.raw("GET /healthz", "x-forwarded-for: 192.0.2.1\r\n").await.status, 429);
    let api = Api::with(kind, Http::default(), Limits { per_token: 1, ..Limits::default() }).await;
    assert_eq!(api.ask(ROOT, "GET /v1/nodes", "").await.status, 200);
    assert_eq!(api.ask(ROOT, "GET /v1/nodes", "").await.status, 429);
}

async fn the_record_is_read_page_by_page(kind: Kind) {
    let api = Api::start(kind).await;
    let revisions = api.ask(ROOT, "GET /v1/revisions", "").await.json();
    assert_eq!(
        (&revisions["items"][0]["number"], &revisions["items"][0]["created_by"]),
        (&json!(1), &json!("local:root"))
    );
    let id = api.workspace("acme").await;
    let of_it = api.ask(ROOT, &format!("GET /v1/audit?target={id}&limit=1"), "").await.json();
    assert_eq!(
        (&of_it["items"][0]["action"], &of_it["items"][0]["actor"]),
        (&json!("workspace.create"), &json!("token:root"))
    );
    let next = of_it["next"].as_str().unwrap();
    let rest = api.ask(ROOT, &format!("GET /v1/audit?target={id}&limit=1&cursor={next}"), "").await.json();
    assert_eq!((&rest["items"][0]["action"], &rest["next"]), (&json!("workflow.enqueue"), &serde_json::Value::Null));
    let theirs = api.ask(ROOT, "GET /v1/audit?actor=nobody", "").await.json();
    assert_eq!(theirs["items"], json!([]));
}

async fn figures_are_for_those_who_may_see_them(kind: Kind) {
    stead::telemetry::metrics().unwrap();
    let api = Api::start(kind).await;
    assert_eq!(api.raw("GET /metrics", "").await.status, 401);
    let id = api.workspace("acme").await;
    let member = api.token(json!({"name": "m", "role": "member", "workspace_id": id})).await;
    assert_eq!(api.ask(&member, "GET /metrics", "").await.problem(), "forbidden");
    api.ask(ROOT, &format!("GET /v1/workspaces/{id}"), "").await;
    let figures = api.ask(ROOT, "GET /metrics", "").await;
    assert_eq!(figures.header("content-type").as_deref(), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "stead_workflows{kind=\"provision\",state=\"queued\"} 1",
        "stead_workflows{kind=\"deprovision\",state=\"parked\"} 0",
        "stead_workspaces{state=\"pending\"} 1",
        "stead_nodes{state=\"ready\"} 0",
        "stead_workers 0",
        "stead_http_requests_total{method=\"GET\",route=\"/v1/workspaces/{id}\",status=\"200\"} 1",
    ] {
        assert!(figures.body.lines().any(|found| found == line), "{line}\n{}", figures.body);
    }
    assert!(!figures.body.contains(&id), "an id would be a series of its own");
}

async fn those_who_say_nothing_hold_nobody_up(kind: Kind) {
    let http = Http { timeout_seconds: 1, connections: 300, ..Http::default() };
    let api = Api::with(kind, http, Limits { per_address: 100_000, ..Limits::default() }).await;
    // As many as there are seats for, some of which have begun to say something.
    let mut idle = Vec::new();
    for n in 0..300 {
        let mut stream = TcpStream::connect(api.address).await.unwrap();
        if n % 3 == 0 {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: ").await.unwrap();
        }
        idle.push(stream);
    }
    let begun = std::time::Instant::now();
    assert_eq!(api.raw("GET /healthz", "").await.status, 200);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let mut end = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), idle[0].read_to_end(&mut end)).await.unwrap().unwrap();

    // A body that comes slowly, or never.
    let mut slow = TcpStream::connect(api.address).await.unwrap();
    let head = format!(
        "POST /v1/workspaces HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {ROOT}\r\ncontent-type: application/json\r\n\
         content-length: 10\r\nconnection: close\r\n\r\n{{"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(5), slow.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");

    // Too many headers, one that is too long, and what is no HTTP at all.
    let many: String = (0..100).map(|n| format!("x-{n}: y\r\n")).collect();
    assert_eq!(api.raw("GET /healthz", &many).await.status, 431);
    assert_eq!(api.raw("GET /healthz", &format!("x: {}\r\n", "y".repeat(64 << 10))).await.status, 431);
    assert_eq!(api.send("\u{0}\u{1}\u{2} nothing\r\n\r\n").await.status, 400);
    for odd in
        ["GET /v1/workspaces/%ff%fe HTTP/1.1", "GET /v1/workspaces?slug=%ff HTTP/1.1", "GET /../../etc/passwd HTTP/1.1"]
    {
        let text = format!("{odd}\r\nhost: h\r\nconnection: close\r\nauthorization: Bearer {ROOT}\r\n\r\n");
        let answer = api.send(&text).await;
        assert!((200..500).contains(&answer.status), "{odd}: {}", answer.body);
    }
}

async fn it_stops_when_told(kind: Kind) {
    let api = Api::start(kind).await;
    api.raw("GET /healthz", "").await;
    api.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), api.server).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(api.address).await.is_err());
}
