//! dpkg's own record of packages, read without starting dpkg.

use std::collections::BTreeMap;

use crate::error::Context;
use crate::node::Paths;
use crate::{Error, Result};

/// What dpkg knows of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The version.
    pub version: String,
    /// Whether it is installed completely (`ok installed`), not only its configuration left.
    pub installed: bool,
    /// Whether its version is held.
    pub held: bool,
}

/// Packages by name; a foreign architecture's as `name:arch`.
pub type Packages = BTreeMap<String, Installed>;

/// Reads dpkg's record.
///
/// # Errors
/// Fails where it cannot be read: the machine is not a Debian one.
pub fn read(paths: &Paths) -> Result<Packages> {
    let path = paths.dpkg_status();
    let bytes = fs_err::read(&path)
        .context("reading the packages that are installed")
        .map_err(|error| error.hint("Stead's nodes are Debian machines; this one has no dpkg"))?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

/// Parses a status file (deb822, as in Debian Policy 5.1). Stanzas that name no package are passed over.
pub fn parse(text: &str) -> Packages {
    let mut packages = Packages::new();
    let native = native_arch(text);
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            stanza.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim())).unwrap_or("")
        };
        let name = field("Package");
        if name.is_empty() {
            continue;
        }
        let mut status = field("Status").split_whitespace();
        let (want, _, state) = (status.next(), status.next(), status.next());
        let arch = field("Architecture");
        let key = if arch == "all" || arch.is_empty() || Some(arch) == native {
            name.to_owned()
        } else {
            format!("{name}:{arch}")
        };
        packages.insert(
            key,
            Installed {
                version: field("Version").to_owned(),
                installed: state == Some("installed"),
                held: want == Some("hold"),
            },
        );
    }
    packages
}

/// The architecture of dpkg itself, which is the machine's.
fn native_arch(text: &str) -> Option<&str> {
    let stanza = text.split("\n\n").find(|stanza| stanza.lines().any(|line| line == "Package: dpkg"))?;
    stanza.lines().find_map(|line| line.strip_prefix("Architecture: ")).map(str::trim)
}

/// Checks a package's name (Debian Policy 5.6.1, with an architecture or a version behind it), so that none is taken
/// for an option.
///
/// # Errors
/// Fails where it is no package name.
pub fn check_name(name: &str) -> Result<()> {
    let legal = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:=~".contains(c));
    if legal { Ok(()) } else { Err(Error::input(format!("{name:?} is not a package's name"))) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATUS: &str = "Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.22\nDescription: x\n Package: fake\n\n\
        Package: nftables\nStatus: hold ok installed\nArchitecture: amd64\nVersion: 1.1.3-1\n\n\
        Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 2\n\n\
        Package: libc6\nStatus: install ok installed\nArchitecture: arm64\nVersion: 2.41\n";

    #[test]
    fn states_are_told_apart() {
        let packages = parse(STATUS);
        assert_eq!(packages.len(), 4);
        assert_eq!(packages["nftables"], Installed { version: "1.1.3-1".into(), installed: true, held: true });
        assert!(!packages["gone"].installed);
        assert!(packages.contains_key("libc6:arm64"));
    }

    #[test]
    fn options_are_no_package_names() {
        assert!(check_name("libstdc++6").is_ok() && check_name("vim=2:9.1-1").is_ok());
        for name in ["-o", "", "a b", "A", "x;y"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses(text in "(Package|Status|Version|[a-z]|:| |\n|\u{e9}){0,60}") {
            parse(&text);
        }

        #[test]
        fn what_was_written_is_read(name in "[a-z][a-z0-9+.-]{1,20}", version in "[0-9][0-9a-z.~+-]{0,10}") {
            let text = format!("Package: {name}\nStatus: install ok installed\nVersion: {version}\n");
            let packages = parse(&text);
            prop_assert_eq!(&packages[&name].version, &version);
            prop_assert!(packages[&name].installed);
        }
    }
}
