//! `wait_for`: the run stands still until something is there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::done::Done;
use super::{Doing, Run};
use crate::node::exec::Run as Command;
use crate::node::{Machine, health, systemd, tasks};
use crate::wire::action::{Action, Presence, WaitFor};
use crate::wire::expr::Scope;
use crate::wire::plan::Status;
use crate::{Error, Result};

/// How long to wait where nothing else was said, in seconds.
const SECONDS: u32 = 300;
/// How long one look may take.
const PER_LOOK: Duration = Duration::from_secs(5);
/// The pause after the first look; it doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Run<'_> {
    pub(super) fn wait_for(&mut self, doing: Doing<'_>, scope: &Scope) -> Result<Done> {
        let Action::WaitFor(wait) = self.fields(doing.task, scope)? else {
            return Err(Error::failed("it is no `wait_for` once it is rendered"));
        };
        let what = What::of(&wait)?;
        // Nothing runs there that could be waited for.
        if self.machine.image {
            return Ok(Done::new(Status::Ok, ""));
        }
        let seconds = wait.timeout.unwrap_or(SECONDS);
        let deadline = Instant::now() + Duration::from_secs(seconds.into());
        let mut pause = PAUSE;
        let mut is_told = false;
        loop {
            let Some(seen) = what.look(self.machine, wait.state)? else { return Ok(Done::new(Status::Ok, "")) };
            let should = if wait.state == Presence::Present { "be there" } else { "be gone" };
            if self.machine.check {
                if self.machine.may_come() {
                    return Ok(Done::new(Status::Ok, format!("would wait for {} to {should}: {seen}", what.name())));
                }
                return Err(Error::failed(format!("{} should {should}: {seen}", what.name()))
                    .hint("a check looks once, and no task before this one would change anything"));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let error = Error::failed(format!("{} should {should}, after {seconds} s: {seen}", what.name()));
                return Err(error.hint(what.hint()));
            }
            if !is_told {
                let waiting = Done::new(Status::Started, format!("wait for {} to {should}", what.name()));
                self.report(doing, scope, &waiting, Duration::ZERO)?;
                is_told = true;
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// What is waited for.
enum What {
    Port { host: String, port: u16 },
    Path(String),
    Url { url: String, host: String, port: u16, authority: String, path: String },
    Unit(String),
}

impl What {
    fn of(wait: &WaitFor) -> Result<Self> {
        match (&wait.port, &wait.path, &wait.url, &wait.unit) {
            (&Some(port), None, None, None) => {
                Ok(Self::Port { host: host(wait.host.as_deref().unwrap_or("127.0.0.1"))?, port })
            }
            (None, Some(path), None, None) => tasks::check_path(path).map(|path| Self::Path(path.to_string())),
            (None, None, Some(url), None) => Self::url(url),
            (None, None, None, Some(unit)) => systemd::unit_name(unit).map(Self::Unit),
            _ => Err(Error::input("give a `wait_for` one of `port`, `path`, `url` and `unit`")),
        }
        .and_then(|what| match (&what, &wait.host) {
            (Self::Port { .. }, _) | (_, None) => Ok(what),
            _ => Err(Error::input("a `host` belongs to a `port`")),
        })
    }

    fn url(url: &str) -> Result<Self> {
        let bad = || Error::input(format!("{url:?} is no URL that can be waited for"));
        if !tasks::is_url(url, &["http"]) {
            return Err(if url.starts_with("https:") {
                bad().hint("the agent speaks no TLS: wait for the `port`, or take a `command` task with `retries`")
            } else {
                bad().hint("write `http://HOST:PORT/PATH`")
            });
        }
        let rest = url.strip_prefix("http://").ok_or_else(bad)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (name, port) = match authority.rsplit_once(':') {
            // What follows an address in brackets, or a name.
            Some((name, port)) if !port.contains(']') => (name, port.parse().map_err(|_| bad())?),
            _ => (authority, 80),
        };
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self::Url { url: url.to_owned(), host: host(name)?, port, authority: authority.to_owned(), path })
    }

    fn name(&self) -> String {
        match self {
            Self::Port { host, port } => format!("port {port} of {host}"),
            Self::Path(path) => path.clone(),
            Self::Url { url, .. } => url.clone(),
            Self::Unit(unit) => unit.clone(),
        }
    }

    fn hint(&self) -> String {
        let look = match self {
            Self::Port { .. } | Self::Url { .. } => {
                "look at what should answer there (`ss -ltnp` on the node shows who listens)".to_owned()
            }
            Self::Path(_) => "look at what should make or remove it".to_owned(),
            Self::Unit(unit) => format!("`journalctl -u {unit}` on the node tells more"),
        };
        format!("{look}; where it only needs longer, give the `wait_for` a longer `timeout`, in seconds")
    }

    /// Looks once: what was seen in place of what should be, or `None` where it is so.
    fn look(&self, machine: &Machine, should: Presence) -> Result<Option<String>> {
        let (is_there, seen) = match self {
            Self::Port { host, port } => answer(addresses(machine, host, *port), |address| {
                TcpStream::connect_timeout(&address, PER_LOOK).map(|_| (true, "it takes connections".to_owned()))
            }),
            Self::Path(path) => {
                let is_there = machine.paths.at(path).symlink_metadata().is_ok();
                (is_there, if is_there { "it is there" } else { "it is not there" }.to_owned())
            }
            Self::Url { host, port, authority, path, .. } => answer(addresses(machine, host, *port), |address| {
                let (status, _) = health::get(address, authority, path, PER_LOOK)?;
                Ok(((200..300).contains(&status), format!("it answers {status}")))
            }),
            Self::Unit(unit) => {
                let status = systemd::status(machine, unit)?;
                let is_there = match should {
                    Presence::Present => matches!(status.active.as_str(), "active" | "reloading"),
                    // One that is only about to end is still there.
                    Presence::Absent => !matches!(status.active.as_str(), "" | "inactive" | "failed"),
                };
                (is_there, if status.exists() { format!("it is {}", status.active) } else { "it is not known".into() })
            }
        };
        Ok((is_there != (should == Presence::Present)).then_some(seen))
    }
}

/// Asks one address after the other, until one is good.
fn answer(addresses: Vec<SocketAddr>, ask: impl Fn(SocketAddr) -> std::io::Result<(bool, String)>) -> (bool, String) {
    let mut last = (false, "its name is not known".to_owned());
    for address in addresses {
        last = ask(address).unwrap_or_else(|error| (false, error.to_string()));
        if last.0 {
            break;
        }
    }
    last
}

/// Checks the name or the address of a host.
fn host(name: &str) -> Result<String> {
    let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
    if is_name || name.parse::<IpAddr>().is_ok() {
        return Ok(name.to_owned());
    }
    Err(Error::input(format!("{name:?} is neither an address nor the name of a host")))
}

/// A host's addresses; none for a name that is not known (yet). A static program cannot resolve names as the node does.
fn addresses(machine: &Machine, host: &str, port: u16) -> Vec<SocketAddr> {
    let addresses: Vec<IpAddr> = if let Ok(address) = host.parse() {
        vec![address]
    } else if host == "localhost" {
        vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
    } else {
        let output = machine.commands.run(&Command::new(["getent", "ahosts", host])).unwrap_or_default();
        let mut found = Vec::new();
        for address in output.stdout.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()) {
            // One line for each kind of socket.
            if !found.contains(&address) {
                found.push(address);
            }
        }
        found
    };
    addresses.into_iter().map(|address| SocketAddr::from((address, port))).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use serde_json::{Value, json};

    use super::super::tests::{file, go, plan, task};
    use super::*;
    use crate::node::exec::Output;
    use crate::node::tasks::testing::Bench;
    use crate::wire::plan::{ApplyOptions, Summary, TaskEvent};

    fn wait(bench: &Bench, fields: Value, options: &ApplyOptions) -> (Summary, Vec<TaskEvent>) {
        let (applied, events) = go(bench, plan(vec![task(json!({"wait_for": fields}), json!({}))], vec![]), options);
        (applied.summary, events)
    }

    /// Waits at most as long as it says; whether it is so, and what was told last.
    fn ends(bench: &Bench, fields: Value) -> (bool, TaskEvent) {
        let (summary, events) = wait(bench, fields, &ApplyOptions::default());
        assert_eq!((summary.changed, summary.unchanged + summary.failed), (0, 1));
        (summary.failed == 0, events.last().unwrap().clone())
    }

    #[test]
    fn paths_come_and_go() {
        let bench = Bench::new();
        let late = bench.at("/etc/late");
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(250));
            std::fs::write(late, "").unwrap();
        });
        let (summary, events) =
            wait(&bench, json!({"path": "/etc/{{ 'late' }}", "timeout": 60}), &ApplyOptions::default());
        assert_eq!((summary.unchanged, summary.changed), (1, 0));
        assert_eq!((events.len(), events[0].status), (2, Status::Started));
        assert_eq!(events[0].message, "wait for /etc/late to be there");
        let (good, event) = ends(&bench, json!({"path": "/etc/late", "state": "absent", "timeout": 0}));
        assert!(!good);
        assert_eq!(event.message, "/etc/late should be gone, after 0 s: it is there");
        assert!(event.hints[0].contains("longer `timeout`"), "{event:?}");
        assert!(ends(&bench, json!({"path": "/etc/none", "state": "absent"})).0);
    }

    #[test]
    fn ports_and_urls_are_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut request = [0; 1024];
                let mut stream = stream.unwrap();
                let length = stream.read(&mut request).unwrap();
                let good = request[..length].starts_with(b"GET /up?x HTTP/1.1\r\n");
                let status = if good { "204 No Content" } else { "503 Not Yet" };
                // Who only connects does not listen.
                let _ = write!(stream, "HTTP/1.1 {status}\r\n\r\n");
            }
        });
        let bench = Bench::answering(|run| Output {
            stdout: if run.argv == ["getent", "ahosts", "node.test"] { "127.0.0.1  STREAM node.test\n" } else { "" }
                .into(),
            ..Output::default()
        });
        for host in ["127.0.0.1", "localhost", "node.test"] {
            assert!(ends(&bench, json!({"port": port, "host": host, "timeout": 5})).0, "{host}");
            assert!(ends(&bench, json!({"url": format!("http://{host}:{port}/up?x"), "timeout": 5})).0, "{host}");
        }
        let (good, event) = ends(&bench, json!({"url": format!("http://127.0.0.1:{port}"), "timeout": 0}));
        assert!(!good && event.message.ends_with("it answers 503"), "{event:?}");
        let (good, event) = ends(&bench, json!({"port": 1, "host": "unknown.test", "timeout": 0}));
        assert!(!good && event.message.ends_with("its name is not known"), "{event:?}");
        assert!(ends(&bench, json!({"port": 1, "state": "absent"})).0);
        assert!(!ends(&bench, json!({"port": port, "state": "absent", "timeout": 0})).0);
    }

    #[test]
    fn a_unit_is_there_once_it_is_active() {
        for (state, present, absent) in [
            ("active", true, false),
            ("activating", false, false),
            ("failed", false, true),
            ("deactivating", false, false),
        ] {
            let bench = Bench::answering(move |_| Output {
                stdout: format!("LoadState=loaded\nActiveState={state}\n"),
                ..Output::default()
            });
            let (good, event) = ends(&bench, json!({"unit": "a", "timeout": 0}));
            assert_eq!(good, present, "{state}");
            assert!(
                good || event.message == format!("a.service should be there, after 0 s: it is {state}"),
                "{event:?}"
            );
            assert_eq!(ends(&bench, json!({"unit": "a", "timeout": 0, "state": "absent"})).0, absent, "{state}");
        }
    }

    #[test]
    fn a_check_looks_once_and_trusts_earlier_tasks() {
        let mut bench = Bench::new();
        bench.machine.check = true;
        let check = ApplyOptions { check: true, ..ApplyOptions::default() };
        let (summary, events) = wait(&bench, json!({"path": "/etc/none"}), &check);
        assert_eq!((summary.failed, events.len()), (1, 1));
        assert!(events[0].hints[0].contains("looks once"), "{events:?}");
        let waiting = task(json!({"wait_for": {"path": "/etc/none"}}), json!({}));
        let (applied, events) = go(&bench, plan(vec![file("/etc/a", "", json!({})), waiting], vec![]), &check);
        assert_eq!((applied.summary.changed, applied.summary.unchanged), (1, 1));
        assert_eq!(events[1].message, "would wait for /etc/none to be there: it is not there");
    }

    #[test]
    fn in_an_image_there_is_nothing_to_wait_for() {
        let mut bench = Bench::new();
        bench.machine.image = true;
        let image = ApplyOptions { image: true, ..ApplyOptions::default() };
        assert_eq!(wait(&bench, json!({"unit": "ssh"}), &image).0.unchanged, 1);
        assert!(bench.ran().is_empty());
    }

    #[test]
    fn what_cannot_be_waited_for_is_told_at_once() {
        let bench = Bench::new();
        for bad in [
            json!({}),
            json!({"port": 1, "path": "/a"}),
            json!({"path": "/a", "host": "x"}),
            json!({"path": "a"}),
            json!({"port": 1, "host": "-s"}),
            json!({"port": 1, "host": "a b"}),
            json!({"url": "http://"}),
            json!({"url": "http://x:y/"}),
            json!({"url": "http://me:pw@x/"}),
            json!({"url": "http://x/ HTTP/1.1"}),
            json!({"unit": "--now"}),
        ] {
            assert!(!ends(&bench, bad.clone()).0, "{bad}");
        }
        let (_, event) = ends(&bench, json!({"url": "https://127.0.0.1/"}));
        assert!(event.hints[0].contains("`port`"), "{event:?}");
        let Ok(What::Url { host, port, path, .. }) = What::url("http://[::1]:8080?x#y") else { panic!() };
        assert_eq!((host.as_str(), port, path.as_str()), ("::1", 8080, "/?x"));
    }
}
