//! Requests made of any bytes, answered in this process: for the property test and the fuzzer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use camino::Utf8Path;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use stead::api::{self, Origin, Settings};
use stead::clock::SystemClock;
use stead::config::control::{Accounts, Http, Limits};
use stead::id::FleetId;
use stead::store::Store;

use crate::control::{self, ROOT};

/// The control API over a store of its own, with a workspace, an agent and a channel in it.
pub(crate) struct Asked {
    service: TowerToHyperService<Router>,
    /// What stands for an id in a request, and the id.
    ids: Vec<(&'static str, String)>,
}

impl Asked {
    /// One whose files lie in `dir`.
    pub(crate) async fn new(dir: &Utf8Path) -> Self {
        let store = Store::open(&dir.join("store"), Arc::new(SystemClock)).await.unwrap();
        let fleet = FleetId::mint();
        store.bind_fleet(&fleet).await.unwrap();
        let settings = Settings {
            http: Http::default(),
            limits: Limits { per_address: u32::MAX, per_token: u32::MAX, sign_ins: u32::MAX },
            accounts: Accounts::default(),
            origin: Some(Origin::parse("http://127.0.0.1:7380").unwrap()),
            mailer: None,
        };
        let (app, _) = control::app(&store, &fleet, &dir.join("fleet"), settings).await;
        let mut asked = Self { service: TowerToHyperService::new(api::router(app)), ids: Vec::new() };
        asked.make("{id}", "workspaces", r#"{"slug": "acme", "tier": "starter"}"#).await;
        let agent = r#"{"name": "desk", "kind": "assistant", "model_provider": "openai"}"#;
        asked.make("{agent}", "workspaces/{id}/agents", agent).await;
        let agent = asked.ids.iter().find(|(name, _)| *name == "{agent}").map(|(_, id)| id.clone()).unwrap();
        let channel = format!(r#"{{"agent_id": "{agent}", "kind": "web"}}"#);
        asked.make("{channel}", "workspaces/{id}/channels", &channel).await;
        asked
    }

    async fn make(&mut self, name: &'static str, path: &str, body: &str) {
        let made = self.ask(format!("POST /v1/{path}\n\n{body}").as_bytes()).await.unwrap();
        let location = made.headers()[header::LOCATION].to_str().unwrap();
        self.ids.push((name, location.rsplit('/').next().unwrap().to_owned()));
    }

    /// The answer to a request such as `PATCH /v1/workspaces/{id}\nif-match: "1"\n\n{"name": "x"}`; none where the bytes are
    /// no request at all. Who says nothing of who asks is the operator, and of what is sent, JSON.
    pub(crate) async fn ask(&self, bytes: &[u8]) -> Option<Response<Body>> {
        let request = self.request(bytes)?;
        match self.service.call(request).await {
            Ok(response) => Some(response),
            Err(never) => match never {},
        }
    }

    fn request(&self, bytes: &[u8]) -> Option<Request<Body>> {
        let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap_or(bytes.len());
        let body = bytes.get(end + 2..).unwrap_or_default();
        let mut lines = bytes[..end].split(|c| *c == b'\n');
        let first = String::from_utf8_lossy(lines.next()?).into_owned();
        let first = self.ids.iter().fold(first, |line, (name, id)| line.replace(name, id));
        let (method, target) = first.split_once(' ')?;
        let mut request = Request::new(Body::from(body.to_vec()));
        *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
        *request.uri_mut() = Uri::try_from(target).ok()?;
        // As the server has it from the connection.
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((Ipv4Addr::LOCALHOST, 7))));
        let headers = request.headers_mut();
        for line in lines {
            let colon = line.iter().position(|c| *c == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            headers.append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?);
        }
        if !headers.contains_key(header::AUTHORIZATION) && !headers.contains_key(header::COOKIE) {
            let token = HeaderValue::from_str(&format!("Bearer {ROOT}")).unwrap();
            headers.insert(header::AUTHORIZATION, token);
        }
        if !headers.contains_key(header::CONTENT_TYPE) {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Some(request)
    }
}

/// What every answer must be: none says that Stead failed, and those that refuse are problem details.
pub(crate) fn check(answer: &Response<Body>) {
    let status = answer.status();
    assert_ne!(status.as_u16(), 500);
    if status.is_client_error() || status.is_server_error() {
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json", "{status}");
    }
    assert!(answer.headers().contains_key("x-request-id"));
}
