//! `timezone`.

use camino::Utf8Path;

use super::{content, symlink};
use crate::node::machine::{Change, Converge, Inputs, Machine};
use crate::wire::action::{FileCommon, Timezone, check_timezone};
use crate::{Error, Result};

const LINK: &str = "/etc/localtime";
const FILE: &str = "/etc/timezone";
const ZONES: &str = "/usr/share/zoneinfo";

impl Converge for Timezone {
    fn changes(&self, machine: &Machine, _: &Inputs) -> Result<Vec<Change>> {
        let name = &self.name;
        check_timezone(name)?;
        let zone = format!("{ZONES}/{name}");
        if !machine.paths.at(&zone).is_file() && !machine.may_come() {
            return Err(missing(&machine.paths.at(ZONES), name));
        }
        let place = machine.paths.at(LINK);
        let mut changes = Vec::new();
        let found = place.symlink_metadata().ok();
        if found.as_ref().is_some_and(std::fs::Metadata::is_dir) {
            return Err(Error::failed(format!("{LINK} is a folder")).hint("remove it by hand"));
        }
        // timedatectl(1) writes the second one.
        let right = [zone.clone(), format!("..{zone}")];
        if !fs_err::read_link(&place).is_ok_and(|target| right.iter().any(|right| target.as_os_str() == right.as_str()))
        {
            changes.push(symlink::linking(machine, LINK, &zone));
        }
        if machine.paths.at(FILE).is_file() {
            let line = format!("{name}\n");
            changes.extend(content::changes(machine, FILE, Some(line.as_bytes()), &FileCommon::default())?);
        }
        Ok(changes)
    }
}

fn missing(zones: &Utf8Path, name: &str) -> Error {
    let error = Error::failed(format!("the node knows no time zone {name:?}"));
    let mut known = Vec::new();
    collect(zones, "", &mut known);
    if known.is_empty() {
        return error.hint("install the package tzdata with a `package` task before this one");
    }
    // A capital too few is no other name, and whoever leaves the continent out means the city.
    let lower = name.to_lowercase();
    let same = known.iter().find(|other| {
        let other = other.to_lowercase();
        other == lower || other.rsplit('/').next() == Some(&lower)
    });
    let all: Vec<&str> = known.iter().map(String::as_str).collect();
    match same.map(String::as_str).or_else(|| similar::get_close_matches(name, &all, 1, 0.7).first().copied()) {
        Some(near) => error.hint(format!("did you mean {near:?}? Names of old are in the package tzdata-legacy")),
        None => error.hint(format!("the names are those below {ZONES}; names of old are in the package tzdata-legacy")),
    }
}

/// The names of the zones below a folder.
fn collect(folder: &Utf8Path, prefix: &str, names: &mut Vec<String>) {
    let Ok(entries) = folder.read_dir_utf8() else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        // The same zones again, and files that are none.
        if matches!(name, "posix" | "right")
            || !name.starts_with(|c: char| c.is_ascii_uppercase())
            || name.contains('.')
        {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            collect(path, &format!("{prefix}{name}/"), names);
        } else {
            names.push(format!("{prefix}{name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::Bench;

    fn bench() -> Bench {
        let bench = Bench::new();
        for zone in ["Europe/Berlin", "Europe/Bern", "America/Argentina/Ushuaia", "Etc/UTC", "tzdata.zi"] {
            let place = bench.at(format!("/usr/share/zoneinfo/{zone}"));
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, "TZif").unwrap();
        }
        bench
    }

    fn timezone(name: &str) -> Value {
        json!({"timezone": {"name": name}})
    }

    #[test]
    fn a_machine_gets_its_time_zone() {
        let bench = bench();
        let link = || std::fs::read_link(bench.at("/etc/localtime")).unwrap();
        let told = bench.check(timezone("Europe/Berlin")).unwrap();
        assert_eq!(told, ["link /etc/localtime to /usr/share/zoneinfo/Europe/Berlin"]);
        assert_eq!(bench.apply(timezone("Europe/Berlin")).unwrap(), told);
        assert!(!bench.at("/etc/timezone").exists());
        std::fs::write(bench.at("/etc/timezone"), "Europe/Berlin\n").unwrap();
        assert_eq!(bench.apply(timezone("Etc/UTC")).unwrap().len(), 2);
        assert_eq!(
            (link().to_str().unwrap(), bench.read("/etc/timezone").as_str()),
            ("/usr/share/zoneinfo/Etc/UTC", "Etc/UTC\n")
        );
        std::fs::remove_file(bench.at("/etc/localtime")).unwrap();
        std::os::unix::fs::symlink("../usr/share/zoneinfo/Etc/UTC", bench.at("/etc/localtime")).unwrap();
        assert!(bench.apply(timezone("Etc/UTC")).unwrap().is_empty(), "as timedatectl writes it");
        std::fs::remove_file(bench.at("/etc/localtime")).unwrap();
        std::fs::write(bench.at("/etc/localtime"), "TZif").unwrap();
        bench.apply(timezone("Etc/UTC")).unwrap();
    }

    #[test]
    fn a_zone_that_is_not_known_is_told_with_the_nearest() {
        let hint = |name: &str| bench().check(timezone(name)).unwrap_err().hints()[0].clone();
        assert!(hint("europe/berlin").starts_with("did you mean \"Europe/Berlin\"?"));
        assert!(hint("ushuaia").contains("America/Argentina/Ushuaia"));
        assert!(hint("Europe/Brlin").contains("Europe/Berlin"));
        assert!(hint("Mars/Olympus").contains("tzdata-legacy"));
        let bare = Bench::new().check(timezone("Etc/UTC")).unwrap_err();
        assert!(bare.hints()[0].contains("package tzdata"));
        assert!(bench().check(timezone("../../etc/passwd")).is_err());
    }
}
