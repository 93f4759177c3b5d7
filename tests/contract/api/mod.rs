//! The control API over a real socket, on both databases.

mod accounts;
mod agents;
mod asked;
mod document;
mod fleet;
mod full;
mod guard;
mod logins;
mod outage;
mod rebuild;
mod reports;
mod schemathesis;
mod secrets;
mod suspend;
mod sweeps;
mod tokens;
mod workflows;
mod workspaces;

use std::net::SocketAddr;

use serde_json::Value;
use stead::accounts::{Email, sign_in};
use stead::api::{self, Origin, Settings};
use stead::clock::{Clock, SystemClock};
use stead::config::control::{Accounts, Http, Limits, Mail};
use stead::notify::Mailer;
use stead::store::{Member, Role, Store, WorkerRecord};
use stead::workflow::Engine;
use stead::workflow::flows::Platform;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub(crate) use crate::control::ROOT;
use crate::{Kind, World, control};

/// A server over a store with a published revision.
pub(crate) struct Api {
    pub(crate) world: World,
    pub(crate) engine: Engine<Platform>,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) server: tokio::task::JoinHandle<stead::Result<()>>,
}

/// The headers of whoever holds a token.
pub(crate) fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

/// The headers of a browser that is signed in, on a page of ours.
pub(crate) fn browser(cookie: &str) -> String {
    format!("cookie: __Host-stead_session={cookie}\r\nsec-fetch-site: same-origin\r\n")
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The cookies that were set, with their attributes.
    pub(crate) cookies: Vec<String>,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    fn of(answer: &str) -> Self {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let cookies = head.lines().filter_map(|line| line.split_once(": "));
        let cookies = cookies.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        let cookies = cookies.map(|(_, value)| value.to_owned()).collect();
        Self { status, cookies, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    /// The value of a cookie that was set.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let mut set = self.cookies.iter().filter_map(|cookie| cookie.split(';').next()?.split_once('='));
        set.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.head, self.body))
    }

    /// The problem's kind: the last part of its type.
    pub(crate) fn problem(&self) -> String {
        assert!(self.head.contains("content-type: application/problem+json"), "{}", self.head);
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        problem["type"].as_str().unwrap().strip_prefix("/problems/").unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    }
}

/// Limits that no test comes to.
pub(crate) const MANY: Limits = Limits { per_address: 100_000, per_token: 100_000, sign_ins: 100_000 };

impl Api {
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::with(kind, Http::default(), MANY).await
    }

    pub(crate) async fn with(kind: Kind, http: Http, limits: Limits) -> Self {
        Self::over(World::new(kind).await, http, limits).await
    }

    pub(crate) async fn over(world: World, http: Http, limits: Limits) -> Self {
        Self::whole(world, http, limits, Accounts::default(), &Mail::default()).await
    }

    /// One that sends mail.
    pub(crate) async fn mailing(kind: Kind, accounts: Accounts, mail: &Mail) -> Self {
        Self::whole(World::new(kind).await, Http::default(), MANY, accounts, mail).await
    }

    async fn whole(world: World, http: Http, limits: Limits, accounts: Accounts, mail: &Mail) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
        let settings = Settings {
            http: http.clone(),
            limits,
            accounts: accounts.clone(),
            origin: Some(Origin::parse(&format!("http://{address}")).unwrap()),
            mailer: Mailer::start(mail).unwrap().map(|(mailer, _)| mailer),
        };
        let (app, engine) = control::app(&world.store, &world.fleet, &world.path("fleet"), settings).await;
        let stop = shutdown.clone();
        let server = tokio::spawn(async move { api::serve(listener, api::router(app), &http, stop).await });
        Self { world, engine, address, shutdown, server }
    }

    /// Sends text as it is.
    pub(crate) async fn send(&self, request: &str) -> Answer {
        self.send_bytes(request.as_bytes()).await
    }

    /// Sends bytes, and goes away; returns once the server has seen that.
    pub(crate) async fn cut_short(&self, request: &[u8]) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_bytes(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        Answer::of(&answer)
    }

    /// Asks with headers of one's own.
    pub(crate) async fn raw(&self, request: &str, headers: &str) -> Answer {
        self.send(&format!("{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n")).await
    }

    /// Asks as the holder of a token.
    pub(crate) async fn ask(&self, token: &str, request: &str, headers: &str) -> Answer {
        self.raw(request, &format!("{}{headers}", bearer(token))).await
    }

    /// Sends JSON as the holder of a token.
    pub(crate) async fn json(&self, token: &str, request: &str, headers: &str, body: &Value) -> Answer {
        self.send_json(request, &format!("{}{headers}", bearer(token)), body).await
    }

    /// Sends JSON with headers of one's own.
    pub(crate) async fn send_json(&self, request: &str, headers: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let text = format!(
            "{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        self.send(&text).await
    }

    /// The beginning of an answer that does not end.
    pub(crate) async fn head_of_stream(&self, headers: &str, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let text = format!("{request} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let (mut answer, mut piece) = (String::new(), [0; 4096]);
        while !answer.contains("\r\n\r\n") {
            let length = stream.read(&mut piece).await.unwrap();
            assert_ne!(length, 0);
            answer += &String::from_utf8_lossy(&piece[..length]);
        }
        Answer::of(&answer)
    }

    /// Somebody who is signed in: with what they are to the platform, and to a workspace. Their browser's headers.
    pub(crate) async fn person(&self, email: &str, role: Option<&str>, member: Option<(&String, &str)>) -> String {
        let word = |word: &str| Role::ALL.into_iter().find(|role| role.as_str() == word).unwrap();
        let (email, role) = (Email::parse(email).unwrap(), role.map(word));
        let member = member.map(|(workspace, role)| (workspace.parse().unwrap(), word(role)));
        let signed_in = self.world.store.write(move |tx| {
            Box::pin(async move {
                let settings = Accounts::default();
                let asked = sign_in::ask(tx, &email, &settings).await?.unwrap();
                let link = asked.link.unwrap().word;
                let confirmed = sign_in::confirm(tx, &link, &asked.browser.word, None, &settings, "test");
                let signed_in = confirmed.await?.unwrap();
                let mut person = signed_in.person.clone();
                person.role = role;
                tx.update_person(&person).await?;
                if let Some((workspace_id, role)) = member {
                    let since = tx.now();
                    tx.put_member(&Member { workspace_id, person_id: person.id, role, since }).await?;
                }
                Ok(signed_in)
            })
        });
        browser(&signed_in.await.unwrap().word.word)
    }

    /// Writes down that a worker lives on a host; nobody works.
    pub(crate) async fn worker_lives(store: &Store, host: &str) {
        let now = SystemClock.now();
        let worker = WorkerRecord {
            process: "p".into(),
            host: host.into(),
            version: "0".into(),
            running: 0,
            started_at: now,
            seen_at: now,
        };
        store.write(move |tx| Box::pin(async move { tx.put_worker(&worker).await })).await.unwrap();
    }

    /// Makes a token.
    pub(crate) async fn token(&self, body: Value) -> String {
        let made = self.json(ROOT, "POST /v1/tokens", "", &body).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.json()["token"].as_str().unwrap().to_owned()
    }

    /// Makes a workspace, and gives its id.
    pub(crate) async fn workspace(&self, slug: &str) -> String {
        let body = serde_json::json!({"slug": slug, "tier": "starter"});
        let made = self.json(ROOT, "POST /v1/workspaces", "", &body).await;
        assert_eq!(made.status, 202, "{}", made.body);
        made.json()["workspace"]["id"].as_str().unwrap().to_owned()
    }
}
