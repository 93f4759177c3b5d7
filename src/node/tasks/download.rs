//! `download`: apt's own fetcher brings the file, so that the agent needs no TLS of its own; we look at its hash.

use std::io::Write;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::{content, is_url};
use crate::error::Context;
use crate::node::accounts::Accounts;
use crate::node::exec::{Output, Run};
use crate::node::files::{self, Draft};
use crate::node::machine::{Change, Converge, Inputs, Machine, Touch};
use crate::node::made::Made;
use crate::wire::action::{Download, Presence};
use crate::{Error, Result};

/// Every Debian machine with apt has it (apt-helper, of the package `apt`).
const HELPER: &str = "/usr/lib/apt/apt-helper";
/// What goes wrong where content cannot be taken over.
const WRITING: &str = "writing what was downloaded";
/// How long one file may take where the task does not say.
const TIMEOUT: Duration = Duration::from_secs(1800);

impl Converge for Download {
    fn changes(&self, machine: &Machine, inputs: &Inputs) -> Result<Vec<Change>> {
        let Self { url, path, sha256, common } = self.clone();
        content::need_folder(machine, &path, common.state)?;
        if common.state == Presence::Absent {
            return content::changes(machine, &path, None, &common);
        }
        if !is_url(&url, &["https", "http", "file"]) {
            return Err(Error::input(format!("{url:?} is no URL that can be downloaded")).hint(
                "write `https://…`, `http://…` or `file:///…`; a user's name and password go into /etc/apt/auth.conf.d \
                 on the node",
            ));
        }
        let sha256 = sha256.to_ascii_lowercase();
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Error::input(format!("{sha256:?} is no SHA-256"))
                .hint("`sha256sum FILE` prints it: 64 hexadecimal digits"));
        }
        let place = machine.paths.at(&path);
        let found = content::found(&path, &place)?.filter(std::fs::Metadata::is_file);
        let had = found.as_ref().map(files::Attributes::of);
        let (owner, group, mode) = (common.owner.as_deref(), common.group.as_deref(), common.mode.as_deref());
        let attributes = content::attributes(machine, had, owner, group, mode, 0o644)?;
        if let Some(found) = &found
            && hash(&place, found)? == sha256
        {
            return Ok(content::attribute_change(&path, &place, found, attributes).into_iter().collect());
        }
        let (timeout, touch) = (inputs.timeout.unwrap_or(TIMEOUT), Touch::Path(path.clone()));
        let change = Change::new(format!("download {url} to {path}"), move |machine, _| {
            let attributes = attributes.ok_or_else(|| Error::failed("its owner is not there"))?;
            let mut draft = Draft::begin(&place)?;
            let has = fetch(machine, &url, &sha256, timeout, &mut draft)?;
            if has != sha256 {
                return Err(another(&url, &sha256, &has));
            }
            let draft = draft.finish(attributes)?;
            if let Some(command) = &common.validate {
                content::check_with(machine, command, draft.draft_path(), &place)?;
            }
            if let (true, Some(found)) = (common.backup, &found) {
                let mut backup = Draft::begin(Utf8Path::new(&format!("{place}.stead~")))?;
                files::copy(&mut files::open_seen(&place, found)?, &mut backup).context(WRITING)?;
                backup.finish(files::Attributes::of(found))?.put_in_place()?;
            }
            draft.put_in_place()
        });
        Ok(vec![change.touching(touch)])
    }

    fn makes(&self) -> Vec<Made> {
        content::made_file(&self.path, self.common.state == Presence::Present)
    }
}

/// The SHA-256 of the file that was looked at.
fn hash(place: &Utf8Path, seen: &std::fs::Metadata) -> Result<String> {
    files::copy(&mut files::open_seen(place, seen)?, &mut std::io::sink()).with_context(|| format!("reading {place}"))
}

/// Brings what lies at the URL, and tells its SHA-256.
fn fetch(machine: &Machine, url: &str, sha256: &str, timeout: Duration, to: &mut impl Write) -> Result<String> {
    if let Some(path) = url.strip_prefix("file:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        let file = fs_err::File::open(machine.paths.at(path));
        let mut file = file.map_err(|error| Error::from(error).hint("a file's URL names one on the node"))?;
        return files::copy(&mut file, to).context(WRITING);
    }
    let folder = Folder::make(machine)?;
    let place = folder.0.join("file");
    let mut run = Run::new([
        HELPER,
        "-q",
        "-o",
        "Acquire::Retries=3",
        "download-file",
        url,
        place.as_str(),
        &format!("SHA256:{sha256}"),
    ]);
    run.timeout = Some(timeout);
    let output = machine.commands.run(&run);
    let output = output.map_err(|error| error.hint("files are fetched by apt-helper, of the package `apt`"))?;
    if output.status != 0 {
        return Err(explain(url, sha256, &output));
    }
    // Copied rather than moved: the fetcher's user could still have the file open.
    let found = fs_err::symlink_metadata(&place)?;
    files::copy(&mut files::open_seen(&place, &found)?, to).context(WRITING)
}

/// The folder that apt fetches to: beside nobody's files, so that nobody can put a link there, and apt's own user's, as
/// which it speaks with the network.
struct Folder(Utf8PathBuf);

impl Folder {
    fn make(machine: &Machine) -> Result<Self> {
        let this = Self(machine.paths.fetch_dir());
        // One that was killed has left it behind.
        this.remove();
        files::make_folder(&this.0, 0o700)?;
        if let Some(user) = Accounts::read(&machine.paths)?.user("_apt") {
            std::os::unix::fs::chown(&this.0, Some(user.uid), None)?;
        }
        Ok(this)
    }

    fn remove(&self) {
        // What cannot be removed now is by the next download, or keeps that one from it with an error.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.remove();
    }
}

/// What lies at the URL is not what was meant.
fn another(url: &str, wanted: &str, has: &str) -> Error {
    Error::failed(format!("what lies at {url} has the SHA-256 {has}, not {wanted}"))
        .hint("was it replaced there? Take the new hash from whom you trust, not from the file itself")
}

/// What apt says, with the way out of what goes wrong most.
fn explain(url: &str, sha256: &str, output: &Output) -> Error {
    let said = format!("{}\n{}", output.stdout, output.stderr);
    let received = said.split_once("Hashes of received file:").and_then(|(_, rest)| rest.split_once("SHA256:"));
    if let Some(has) = received.and_then(|(_, rest)| rest.split_whitespace().next()) {
        return another(url, sha256, has);
    }
    let reason = said.lines().find_map(|line| line.strip_prefix("E: Failed to fetch ")?.strip_prefix(url));
    let reason = reason.map_or_else(|| output.tail(), |reason| reason.trim().to_owned());
    let error = Error::failed(format!("{url} cannot be downloaded: {reason}"));
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["No space left on device"]) {
        error.hint("free some space on the node, then converge again")
    } else if says(&["ertificate", "handshake"]) {
        error.hint("`https` needs the package `ca-certificates` on the node, and a server whose certificate is good")
    } else if says(&["resolv", "onnect", "unreachable", "timed out"]) {
        error.hint("the node does not reach it: look at its network, its name resolution and apt's proxy")
    } else {
        error.hint("look at the URL; a user's name and password go into /etc/apt/auth.conf.d on the node")
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};

    use serde_json::{Value, json};

    use super::super::testing::Bench;
    use crate::node::exec::{Output, System};
    use crate::node::files::Attributes;

    const HELLO: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
    const OTHER: &str = "0000000000000000000000000000000000000000000000000000000000000000";

    fn bench(answer: &'static str) -> Bench {
        Bench::answering(move |run| {
            if run.argv[0] == "/bin/sh" {
                return Output { status: i32::from(answer == "invalid"), ..Output::default() };
            }
            if !answer.starts_with("E: ") {
                std::fs::write(&run.argv[6], "hello\n").unwrap();
            }
            Output {
                status: if answer.starts_with("E: ") { 100 } else { 0 },
                stderr: answer.into(),
                ..Output::default()
            }
        })
    }

    fn task(more: Value) -> Value {
        let mut fields = json!({"url": "https://example.com/x", "path": "/etc/x", "sha256": HELLO});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"download": fields})
    }

    #[test]
    fn a_file_is_fetched_once_and_looked_after() {
        let bench = bench("");
        std::fs::create_dir_all(bench.at("/var/cache/stead-fetch/left")).unwrap();
        let told = ["download https://example.com/x to /etc/x"];
        assert_eq!(bench.check(task(json!({}))).unwrap(), told);
        assert!(bench.ran().is_empty(), "a check does not ask the network");
        assert_eq!(
            bench.apply(task(json!({"mode": "0755", "owner": "me", "validate": "%s --version"}))).unwrap(),
            told
        );
        let ran = bench.ran();
        let fetched = bench.at("/var/cache/stead-fetch/file");
        let options = "-q -o Acquire::Retries=3 download-file https://example.com/x";
        assert_eq!(ran[0], format!("/usr/lib/apt/apt-helper {options} {fetched} SHA256:{HELLO}"));
        assert!(ran[1].starts_with("/bin/sh -c ") && ran[1].ends_with(" --version"), "{ran:?}");
        assert_eq!(bench.read("/etc/x"), "hello\n");
        assert_eq!(Attributes::of(&bench.at("/etc/x").metadata().unwrap()).mode, 0o755);
        assert!(!bench.at("/var/cache/stead-fetch").exists());
        assert_eq!(bench.apply(task(json!({"mode": "0644"}))).unwrap(), ["/etc/x: mode 0755 to 0644"]);
        assert!(bench.ran().is_empty(), "what is there is not fetched again");
        std::fs::write(bench.at("/etc/x"), "changed").unwrap();
        assert_eq!(bench.apply(task(json!({"sha256": HELLO.to_uppercase(), "backup": true}))).unwrap(), told);
        assert_eq!((bench.read("/etc/x"), bench.read("/etc/x.stead~")), ("hello\n".into(), "changed".into()));
        assert_eq!(bench.apply(task(json!({"state": "absent"}))).unwrap(), ["remove /etc/x"]);
    }

    #[test]
    fn a_file_of_the_nodes_own_needs_no_fetcher() {
        let bench = bench("E: none");
        std::fs::write(bench.at("/root/x"), "hello\n").unwrap();
        bench.apply(task(json!({"url": "file:///root/x"}))).unwrap();
        assert_eq!(bench.read("/etc/x"), "hello\n");
        let error = bench.apply(task(json!({"url": "file:/root/x", "sha256": OTHER}))).unwrap_err();
        assert!(error.to_string().contains(HELLO) && error.to_string().contains(OTHER), "{error}");
        assert!(bench.apply(task(json!({"url": "file:///none", "sha256": OTHER}))).is_err());
        assert_eq!(bench.read("/etc/x"), "hello\n");
    }

    #[test]
    fn apts_own_fetcher_is_understood() {
        if !std::path::Path::new(super::HELPER).exists() {
            return;
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().map(Result::unwrap) {
                let mut request = BufReader::new(stream);
                while request.by_ref().lines().next().is_some_and(|line| !line.unwrap().is_empty()) {}
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";
                request.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        let mut bench = Bench::new();
        bench.machine.commands = Box::new(System);
        bench.apply(task(json!({"url": url}))).unwrap();
        assert_eq!(bench.read("/etc/x"), "hello\n");
        let error = bench.apply(task(json!({"url": url, "sha256": OTHER}))).unwrap_err();
        assert!(error.to_string().contains(&format!("has the SHA-256 {HELLO}, not {OTHER}")), "{error}");
    }

    #[test]
    fn what_is_not_what_was_meant_is_not_put_in_place() {
        let untouched = |bench: &Bench| {
            let names = |folder: &str| std::fs::read_dir(bench.at(folder)).unwrap().count();
            (bench.at("/etc/x").exists(), names("/etc"), bench.at("/var/cache/stead-fetch").exists())
        };
        let count = std::fs::read_dir(Bench::new().at("/etc")).unwrap().count();
        let bad = bench("invalid");
        assert!(bad.apply(task(json!({"validate": "check %s"}))).is_err());
        assert_eq!(untouched(&bad), (false, count, false));
        let lying = bench("");
        assert!(lying.apply(task(json!({"sha256": OTHER}))).unwrap_err().to_string().contains(HELLO));
        assert_eq!(untouched(&lying), (false, count, false));
    }

    #[test]
    fn failures_end_in_a_way_out() {
        for (said, message, hint) in [
            (
                "E: Failed to fetch https://example.com/x  Hash Sum mismatch\n   Hashes of expected file:\n    - SHA256:0\n   \
                 Hashes of received file:\n    - SHA256:beef\n    - Filesize:6 [weak]\nE: Download Failed",
                "has the SHA-256 beef, not 5891",
                "replaced",
            ),
            (
                "E: Failed to fetch https://example.com/x  Could not resolve 'example.com'\nE: Download Failed",
                "https://example.com/x cannot be downloaded: Could not resolve 'example.com'",
                "network",
            ),
            (
                "E: Failed to fetch https://example.com/x  404  Not Found [IP: 192.0.2.1 443]\nE: Download Failed",
                "404  Not Found",
                "URL",
            ),
            (
                "E: Failed to fetch https://example.com/x  No system certificates available. Try installing ca-certificates.",
                "No system certificates",
                "ca-certificates",
            ),
            ("E: Write error - write (28: No space left on device)", "No space", "free some space"),
        ] {
            let error = bench(said).apply(task(json!({}))).unwrap_err();
            assert!(error.to_string().contains(message) && error.hints()[0].contains(hint), "{error:?}");
        }
    }

    #[test]
    fn only_urls_and_hashes_are_taken_for_them() {
        for bad in [
            json!({"url": "ftp://example.com/x"}),
            json!({"url": "-o"}),
            json!({"url": "https://user:password@example.com/x"}),
            json!({"url": "https://example.com/x y"}),
            json!({"sha256": "abc"}),
            json!({"sha256": OTHER.replace('0', "g")}),
            json!({"path": "etc/x"}),
        ] {
            assert_eq!(Bench::new().check(task(bad.clone())).unwrap_err().kind(), crate::Kind::Input, "{bad}");
        }
        let error = Bench::new().check(task(json!({"path": "/none/x"}))).unwrap_err();
        assert!(error.hints()[0].contains("directory"), "{error}");
    }
}
