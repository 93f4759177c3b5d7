//! `apt_source`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{check_path, content, is_url, package};
use crate::node::files;
use crate::node::machine::{Change, Converge, Inputs, Machine};
use crate::node::made::Made;
use crate::wire::action::{Action, AptSource, FileCommon, Presence};
use crate::{Error, Result};

/// Where apt reads sources from.
const FOLDER: &str = "/etc/apt/sources.list.d";
/// The ways to an archive that apt knows by itself (sources.list(5)).
const SCHEMES: [&str; 7] = ["https", "http", "file", "mirror", "mirror+https", "mirror+http", "mirror+file"];
/// An armored public key's first and last line (RFC 9580, 6.2).
const ARMOR: [&str; 2] = ["-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"];

impl Converge for AptSource {
    fn changes(&self, machine: &Machine, _: &Inputs) -> Result<Vec<Change>> {
        check_name(&self.name)?;
        let path = format!("{FOLDER}/{}.sources", self.name);
        let common = FileCommon { mode: Some("0644".to_owned()), state: self.state, ..FileCommon::default() };
        if self.state == Presence::Absent {
            // What apt knows of a source that is gone it passes over.
            return content::changes(machine, &path, None, &common);
        }
        let text = self.text(machine)?;
        let changes = content::changes(machine, &path, Some(text.as_bytes()), &common)?;
        let prepare = |machine: &Machine| {
            files::make_folder(&machine.paths.at(FOLDER), 0o755)?;
            package::outdate(machine)
        };
        Ok(changes.into_iter().map(|change| change.preceded_by(prepare)).collect())
    }

    fn makes(&self) -> Vec<Made> {
        let removal = AptSource { name: self.name.clone(), state: Presence::Absent, ..AptSource::default() };
        let makes = self.state == Presence::Present;
        makes.then(|| Made::Task(Box::new(Action::AptSource(removal)))).into_iter().collect()
    }
}

impl AptSource {
    /// The file's content.
    fn text(&self, machine: &Machine) -> Result<String> {
        let name = &self.name;
        for (field, given) in [("uris", &self.uris), ("suites", &self.suites)] {
            if given.is_empty() {
                return Err(Error::input(format!("the apt source {name} has no `{field}`")));
            }
        }
        if let Some(suite) = self.suites.iter().find(|suite| suite.ends_with('/') != self.components.is_empty()) {
            return Err(if suite.ends_with('/') {
                Error::input(format!("the suite {suite:?} of {name} is a path, and a path has no components"))
            } else {
                Error::input(format!("the apt source {name} has no `components`")).hint("most archives have `main`")
            });
        }
        let default = ["deb".to_owned()];
        let types = if self.types.is_empty() { &default[..] } else { &self.types };
        let mut text = "# Written by Stead.\n".to_owned();
        for (field, words, is_legal) in [
            ("Types", types, (|word| word == "deb" || word == "deb-src") as fn(&str) -> bool),
            ("URIs", &self.uris, |word| is_url(word, &SCHEMES)),
            ("Suites", &self.suites, |word| is_made_of(word, "-._/+~:$()")),
            ("Components", &self.components, |word| is_made_of(word, "-._/+")),
        ] {
            // White space would begin another word, and a line's end another field.
            if let Some(word) = words.iter().find(|word| !is_legal(word)) {
                let error = Error::input(format!("{word:?} is not what `{}` of {name} takes", field.to_lowercase()));
                return Err(if field == "URIs" {
                    error.hint(format!("a URI without user and password, whose scheme is {}", SCHEMES.join(", ")))
                } else {
                    error
                });
            }
            if !words.is_empty() {
                text += &format!("{field}: {}\n", words.join(" "));
            }
        }
        if let Some(key) = &self.signed_by {
            text += &format!("Signed-By:{}\n", self.key(machine, key)?);
        }
        Ok(text)
    }

    /// The value of the field `Signed-By`.
    fn key(&self, machine: &Machine, key: &str) -> Result<String> {
        if key.trim_start().starts_with("-----BEGIN") {
            return armored(key).ok_or_else(|| {
                Error::input(format!("`signed_by` of {} is not one armored OpenPGP public key", self.name))
                    .hint("`gpg --armor --export KEY` writes one; take all of its lines, the empty one as well")
            });
        }
        check_path(key)?;
        if key.contains(|c: char| c.is_whitespace() || c.is_control() || c == ',') {
            return Err(Error::input(format!("{key:?} cannot be a keyring's path")));
        }
        if !machine.paths.at(key).is_file() && !machine.may_come() {
            return Err(Error::failed(format!("there is no keyring {key} on the node"))
                .hint("bring it with a `file` or `download` task before this one, or give the key itself"));
        }
        Ok(format!(" {key}"))
    }
}

/// Checks what names a file that apt reads: others it passes over without a word.
fn check_name(name: &str) -> Result<()> {
    if name.ends_with(".sources") || name.ends_with(".list") {
        return Err(Error::input(format!("{name:?} names a file")).hint("leave out what comes after the last dot"));
    }
    let is_legal = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && is_made_of(name, "-_.");
    if is_legal { Ok(()) } else { Err(Error::input(format!("{name:?} is not the name of an apt source"))) }
}

fn is_made_of(word: &str, marks: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c))
}

/// An armored public key as a field's lines, an empty one as a dot; `None` where it is none. Whether it is the right
/// one, or whole, is for apt to say.
fn armored(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
    let [first, inner @ .., last] = &lines[..] else { return None };
    if [*first, *last] != ARMOR || inner.iter().any(|line| line.starts_with("-----") || line.contains(char::is_control))
    {
        return None;
    }
    let body = &inner[inner.iter().position(|line| line.is_empty())? + 1..];
    // The checksum, which is optional, begins with `=`.
    let base64: String = body.iter().take_while(|line| !line.starts_with('=')).copied().collect();
    let packets = STANDARD.decode(base64).ok()?;
    // The first packet is a public key: tag 6, in the old form or the new one (RFC 9580, 4.2).
    let is_key = packets.first().is_some_and(|byte| byte & 0xfc == 0x98 || *byte == 0xc6);
    let field = |line: &&str| format!("\n {}", if line.is_empty() { "." } else { line });
    is_key.then(|| lines.iter().map(field).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::Bench;

    const KEY: &str =
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\nmDMEZQ==\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n";

    fn source(more: Value) -> Value {
        let mut fields =
            json!({"name": "x", "uris": "https://deb.example.com/debian", "suites": "trixie", "components": "main"});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"apt_source": fields})
    }

    #[test]
    fn a_source_comes_changes_and_goes() {
        let bench = Bench::new();
        let path = "/etc/apt/sources.list.d/x.sources";
        std::fs::create_dir_all(bench.at("/usr/share/keyrings")).unwrap();
        std::fs::write(bench.at("/usr/share/keyrings/x.gpg"), "").unwrap();
        let signed = json!({"signed_by": "/usr/share/keyrings/x.gpg", "suites": ["trixie", "trixie-updates"]});
        assert_eq!(bench.check(source(signed.clone())).unwrap(), [format!("create {path}")]);
        assert!(!bench.at(path).exists() && !bench.at("/var/lib/stead/apt-outdated").exists());
        assert_eq!(bench.apply(source(signed)).unwrap(), [format!("create {path}")]);
        assert_eq!(
            bench.read(path),
            "# Written by Stead.\nTypes: deb\nURIs: https://deb.example.com/debian\nSuites: trixie trixie-updates\n\
             Components: main\nSigned-By: /usr/share/keyrings/x.gpg\n"
        );
        assert_eq!(bench.apply(source(json!({"types": ["deb", "deb-src"]}))).unwrap(), [format!("change {path}")]);
        assert!(bench.read(path).contains("Types: deb deb-src\n"));
        let gone = json!({"apt_source": {"name": "x", "state": "absent"}});
        assert_eq!(bench.apply(gone).unwrap(), [format!("remove {path}")]);
    }

    #[test]
    fn an_archive_without_suites_has_a_path() {
        let bench = Bench::new();
        let flat = json!({"name": "flat", "uris": "file:/srv/debs", "suites": "./"});
        bench.apply(json!({"apt_source": flat})).unwrap();
        assert!(bench.read("/etc/apt/sources.list.d/flat.sources").ends_with("URIs: file:/srv/debs\nSuites: ./\n"));
        assert!(bench.check(source(json!({"suites": "./"}))).is_err());
        assert!(bench.check(source(json!({"components": []}))).unwrap_err().hints()[0].contains("main"));
    }

    #[test]
    fn a_key_stands_in_the_file_itself() {
        let bench = Bench::new();
        bench.apply(source(json!({"signed_by": KEY}))).unwrap();
        assert!(bench.read("/etc/apt/sources.list.d/x.sources").ends_with(
            "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n Comment: x\n .\n mDMEZQ==\n =abcd\n \
             -----END PGP PUBLIC KEY BLOCK-----\n"
        ));
        for bad in [
            KEY.replace("\n\n", "\n"),
            KEY.replace("mDME", "AAAA"),
            KEY.replace("mDME", "m{DME"),
            KEY.replace("PUBLIC", "PRIVATE"),
            format!("{KEY}{KEY}"),
            KEY.trim().trim_end_matches('-').to_owned(),
        ] {
            assert!(bench.check(source(json!({"signed_by": bad}))).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_gets_into_the_file_that_is_no_value() {
        let bench = Bench::new();
        for bad in [
            json!({"name": "../x"}),
            json!({"name": ".x"}),
            json!({"name": "x.sources"}),
            json!({"uris": "deb.example.com"}),
            json!({"uris": "https://x y"}),
            json!({"uris": "https://x\nTrusted: yes"}),
            json!({"uris": "https://user:password@x/"}),
            json!({"uris": "ssh://x/"}),
            json!({"uris": []}),
            json!({"suites": "trixie\nTrusted: yes"}),
            json!({"suites": ""}),
            json!({"components": ["main", "a\n\nTypes: deb"]}),
            json!({"types": "deb\nTrusted: yes"}),
            json!({"signed_by": "/a\nTrusted: yes"}),
            json!({"signed_by": "key.gpg"}),
        ] {
            let error = bench.check(source(bad.clone())).unwrap_err();
            assert_eq!(error.kind(), crate::Kind::Input, "{bad}");
        }
        let error = bench.check(source(json!({"signed_by": "/none.gpg"}))).unwrap_err();
        assert!(error.hints()[0].contains("download"), "{error}");
    }

    #[test]
    fn the_next_package_asks_the_sources_anew() {
        let bench = Bench::new();
        std::fs::create_dir_all(bench.at("/var/lib/apt/lists")).unwrap();
        std::fs::write(bench.at("/var/lib/apt/lists/old_Packages"), "").unwrap();
        std::fs::write(bench.at("/var/lib/dpkg/status"), "").unwrap();
        let updates = || bench.ran().iter().filter(|run| run.contains(" update ")).count();
        let package = || bench.apply_once(json!({"package": {"names": "x"}})).unwrap();
        package();
        assert_eq!(updates(), 0);
        bench.apply(source(json!({}))).unwrap();
        package();
        assert_eq!(updates(), 1);
        package();
        assert_eq!(updates(), 0, "asked once, it is known");
    }
}
