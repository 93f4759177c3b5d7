//! `locale`.

use super::text::{self, Edit, Lines};
use crate::node::exec::Run;
use crate::node::locales;
use crate::node::machine::{Change, Converge, Inputs, Machine};
use crate::wire::action::{Locale, Presence, check_locale};
use crate::{Error, Result};

/// Debian's file of old; from Debian 13 on a link to the other one, which systemd makes at every boot.
const OLD_FILE: &str = "/etc/default/locale";
const FILE: &str = "/etc/locale.conf";
/// What locale-gen generates, and what it could.
const WANTED: &str = "/etc/locale.gen";
const KNOWN: &str = "/usr/share/i18n/SUPPORTED";

impl Converge for Locale {
    fn changes(&self, machine: &Machine, inputs: &Inputs) -> Result<Vec<Change>> {
        check_locale(&self.name)?;
        let mut changes = self.generation(machine, inputs)?;
        for path in files(machine) {
            let edit = Edit { path, create: true, state: Presence::Present, ..Edit::default() };
            changes.extend(text::changes(machine, &edit, |lines| {
                set(lines, &self.name);
                Ok(())
            })?);
        }
        Ok(changes)
    }
}

impl Locale {
    /// What is to be done for the C library to find it, now and after locale-gen has run again.
    fn generation(&self, machine: &Machine, inputs: &Inputs) -> Result<Vec<Change>> {
        let name = &self.name;
        let is_there = locales::is_there(&machine.paths, name)?;
        let is_built_in = matches!(name.as_str(), "C" | "POSIX") || name.starts_with("C.");
        if is_built_in && is_there {
            return Ok(Vec::new());
        }
        let line = match text::read(machine, KNOWN)? {
            Some(known) => match find(&known, name) {
                Some(line) => line,
                None if is_there => return Ok(Vec::new()),
                None => return Err(unknown(&known, name)),
            },
            None if is_there => return Ok(Vec::new()),
            None if machine.may_come() => return Ok(vec![Change::new(format!("generate {name}"), |_, _| Ok(()))]),
            None => {
                return Err(Error::failed(format!("the node does not have the locale {name}, and cannot generate it"))
                    .hint("install the package locales with a `package` task before this one"));
            }
        };
        let mut changes = Vec::new();
        // As a link to the list of known ones it wants them all.
        if !machine.paths.at(WANTED).is_symlink() {
            let edit = Edit { path: WANTED, create: true, state: Presence::Present, ..Edit::default() };
            changes = text::changes(machine, &edit, |lines| {
                want(lines, &line);
                Ok(())
            })?;
        }
        if !is_there {
            let (name, mut run) = (name.clone(), Run::new(["locale-gen"]));
            run.timeout = inputs.timeout;
            changes.push(Change::new(format!("generate {name}"), move |machine, output| {
                *output = machine.commands.must(&run)?;
                // It succeeds as well where it fails.
                if locales::is_there(&machine.paths, &name)? {
                    return Ok(());
                }
                Err(Error::failed(format!("locale-gen did not make {name}: {}", output.tail()))
                    .hint(format!("look at the other lines of {WANTED}, and at the space below /usr/lib/locale")))
            }));
        }
        Ok(changes)
    }
}

/// The files that say which locale is the system's.
fn files(machine: &Machine) -> Vec<&'static str> {
    let version = machine.facts["os"]["version"].as_str().and_then(|version| version.parse().ok());
    let usual = if version.is_some_and(|version: u32| version < 13) { OLD_FILE } else { FILE };
    let found = |path: &str| machine.paths.at(path).symlink_metadata().ok();
    let mut files = vec![OLD_FILE, FILE];
    files.retain(|path| match found(path) {
        Some(found) => found.is_file(),
        None => *path == usual,
    });
    if files.is_empty() {
        // A link to the other one, which is not there yet.
        files.push(if usual == FILE { OLD_FILE } else { FILE });
    }
    files
}

/// Has a file of variables say `LANG=NAME`, quoted or not; the last such line counts.
fn set(lines: &mut Lines, name: &str) {
    let last = lines.bodies().rposition(|line| line.trim_start().starts_with("LANG="));
    match last {
        Some(at) => {
            let is_right = lines.bodies().nth(at).is_some_and(|line| {
                let value = line.trim().trim_start_matches("LANG=");
                value.trim_matches('"') == name || value.trim_matches('\'') == name
            });
            if !is_right {
                lines.replace(at, &format!("LANG={name}"));
            }
        }
        None => {
            let end = lines.bodies().len();
            lines.splice(end..end, &[&format!("LANG={name}")]);
        }
    }
}

/// Has locale-gen's list name a locale: in the place where it stands as a comment, else at the end.
fn want(lines: &mut Lines, wanted: &str) {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    if lines.bodies().any(|line| words(line) == wanted) {
        return;
    }
    let commented = lines.bodies().rposition(|line| words(line.trim_start_matches(['#', ' '])) == wanted);
    match commented {
        Some(at) => lines.replace(at, wanted),
        None => {
            let end = lines.bodies().len();
            lines.splice(end..end, &[wanted]);
        }
    }
}

/// A locale and its character set, as the list of known ones has them.
fn find(known: &str, name: &str) -> Option<String> {
    known.lines().map(str::trim).find(|line| line.split(' ').next() == Some(name)).map(str::to_owned)
}

fn unknown(known: &str, name: &str) -> Error {
    let names: Vec<&str> = known.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let error = Error::failed(format!("the node knows no locale {name:?}"));
    // As `locale -a` spells it.
    let same = names.iter().find(|other| locales::normal(other) == locales::normal(name)).copied();
    match same.or_else(|| similar::get_close_matches(name, &names, 1, 0.6).first().copied()) {
        Some(near) => error.hint(format!("did you mean {near:?}?")),
        None => error.hint(format!("the names are in {KNOWN}")),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use camino::Utf8PathBuf;
    use serde_json::{Value, json};

    use super::super::testing::Bench;
    use crate::node::exec::Output;

    const GEN: &str = "# A list.\n# de_DE.UTF-8 UTF-8\n# en_US.UTF-8 UTF-8\n";

    /// A Debian of this version with the package locales, whose locale-gen generates what its list has.
    fn bench(version: &str) -> Bench {
        let root: Rc<RefCell<Utf8PathBuf>> = Rc::default();
        let seen = root.clone();
        let bench = Bench::answering(move |run| {
            let root = seen.borrow();
            if run.argv == ["locale-gen"] {
                let list = std::fs::read_to_string(root.join("etc/locale.gen")).unwrap();
                for line in list.lines().filter(|line| !line.starts_with('#')) {
                    let name = line.split(' ').next().unwrap().replace("UTF-8", "utf8");
                    std::fs::create_dir_all(root.join("usr/lib/locale").join(name)).unwrap();
                }
            }
            Output::default()
        });
        *root.borrow_mut() = bench.at("/");
        debian(bench, version)
    }

    fn debian(mut bench: Bench, version: &str) -> Bench {
        for folder in ["/etc/default", "/usr/share/i18n"] {
            std::fs::create_dir_all(bench.at(folder)).unwrap();
        }
        std::fs::write(bench.at("/etc/locale.gen"), GEN).unwrap();
        let known = "de_DE.UTF-8 UTF-8\nde_DE ISO-8859-1\nen_US.UTF-8 UTF-8\n";
        std::fs::write(bench.at("/usr/share/i18n/SUPPORTED"), known).unwrap();
        bench.machine.facts["os"]["version"] = json!(version);
        bench
    }

    fn locale(name: &str) -> Value {
        json!({"locale": {"name": name}})
    }

    #[test]
    fn a_locale_is_generated_and_made_the_systems() {
        let bench = bench("13");
        std::os::unix::fs::symlink("../locale.conf", bench.at("/etc/default/locale")).unwrap();
        std::fs::write(bench.at("/etc/locale.conf"), "# by hand\nLANG=\"C.UTF-8\"\nLC_TIME=C").unwrap();
        let told = bench.check(locale("en_US.UTF-8")).unwrap();
        assert_eq!(told, ["change /etc/locale.gen", "generate en_US.UTF-8", "change /etc/locale.conf"]);
        assert!(bench.ran().is_empty() && bench.read("/etc/locale.gen") == GEN, "a check changes nothing");
        assert_eq!(bench.apply(locale("en_US.UTF-8")).unwrap(), told);
        assert_eq!(bench.ran(), ["locale-gen"]);
        assert_eq!(bench.read("/etc/locale.gen"), GEN.replace("# en", "en"));
        assert_eq!(bench.read("/etc/locale.conf"), "# by hand\nLANG=en_US.UTF-8\nLC_TIME=C");
        assert!(bench.at("/etc/default/locale").is_symlink());
        assert_eq!(bench.apply(locale("C.UTF-8")).unwrap(), ["change /etc/locale.conf"]);
    }

    #[test]
    fn the_file_is_the_suites_or_whichever_is_one() {
        let written = |bench: &Bench| bench.apply(locale("C.UTF-8")).unwrap();
        assert_eq!(written(&bench("12")), ["create /etc/default/locale"]);
        assert_eq!(written(&bench("13")), ["create /etc/locale.conf"]);
        let linked = bench("12");
        std::os::unix::fs::symlink("../locale.conf", linked.at("/etc/default/locale")).unwrap();
        assert_eq!(written(&linked), ["create /etc/locale.conf"]);
        let both = bench("13");
        std::fs::write(both.at("/etc/default/locale"), "LANG=C").unwrap();
        assert_eq!(written(&both), ["change /etc/default/locale", "create /etc/locale.conf"]);
        let quoted = bench("12");
        std::fs::write(quoted.at("/etc/default/locale"), "LANG='C.UTF-8'\n").unwrap();
        assert!(written(&quoted).is_empty());
    }

    #[test]
    fn a_locale_that_cannot_be_had_is_told() {
        let mut bench = bench("13");
        let hint = |bench: &Bench, name: &str| bench.check(locale(name)).unwrap_err().hints()[0].clone();
        assert!(hint(&bench, "de_DE.utf8").contains("\"de_DE.UTF-8\""));
        assert!(hint(&bench, "en_Us.UTF-8").contains("\"en_US.UTF-8\""));
        assert!(hint(&bench, "xx_YY").contains("SUPPORTED"));
        assert!(bench.check(locale("../x")).is_err());
        std::fs::remove_file(bench.at("/usr/share/i18n/SUPPORTED")).unwrap();
        assert!(hint(&bench, "en_US.UTF-8").contains("package locales"));
        bench.machine.check = true;
        bench.machine.note_change();
        assert_eq!(bench.check(locale("en_US.UTF-8")).unwrap()[0], "generate en_US.UTF-8", "a package may bring it");
    }

    #[test]
    fn a_generation_that_fails_is_not_taken_for_one() {
        let silent = debian(Bench::new(), "13");
        let error = silent.apply_once(locale("de_DE.UTF-8")).unwrap_err();
        assert!(error.to_string().contains("locale-gen") && !error.hints().is_empty());
    }

    #[test]
    fn a_list_that_is_all_of_them_is_left_alone() {
        let bench = bench("13");
        std::fs::remove_file(bench.at("/etc/locale.gen")).unwrap();
        std::os::unix::fs::symlink(bench.at("/usr/share/i18n/SUPPORTED"), bench.at("/etc/locale.gen")).unwrap();
        let told = bench.apply(locale("de_DE")).unwrap();
        assert_eq!(told, ["generate de_DE", "create /etc/locale.conf"]);
    }
}
