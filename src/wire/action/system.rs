//! What the machine as a whole is called, what time it shows, and what language it speaks.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The longest name that Linux takes for a host, in bytes (`HOST_NAME_MAX`).
const LONGEST_NAME: usize = 64;

/// `hostname`: the machine's name: in `/etc/hostname`, in the kernel (not in an image's root), and on the line of
/// `/etc/hosts` for 127.0.1.1, where Debian keeps it for machines without an address of their own. That line's names that
/// are the old host name, or begin with it and a dot, become the new one; others stay. Programs that asked for the name
/// when they started keep the old one.
///
/// cloud-init would take the name back at the next boot. Where `/etc/cloud` exists, a file there tells it
/// `preserve_hostname: true`. User data that says otherwise itself, as that of Stead's own nodes does, goes before; there
/// it is cloud-init's own care that saves the name, since it leaves one alone that differs from what it set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hostname {
    /// The name, alone or with its domain: letters, digits and `-` between dots (RFC 1123), at most 64 characters.
    pub name: String,
}

/// `timezone`: the machine's time zone: where `/etc/localtime` leads, and in `/etc/timezone` where that file exists.
/// Programs that run keep the zone that they started with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timezone {
    /// A name of the time zone database (package `tzdata`): `Europe/Berlin`, `Etc/UTC`.
    pub name: String,
}

/// `locale`: the language and character set of the system's sessions and services (`LANG`), from the next login or start
/// on. Other variables (`LC_…`) stay as they are. It is written to `/etc/locale.conf`, from Debian 13 on, or to
/// `/etc/default/locale`; to both where both are files.
///
/// A locale that the machine does not have is generated: `/etc/locale.gen` gets its line, and `locale-gen` is run, which
/// takes some seconds and needs the package `locales`. `C`, `POSIX` and `C.UTF-8` are built in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locale {
    /// The name as `/usr/share/i18n/SUPPORTED` has it: `en_US.UTF-8`, `C.UTF-8`.
    pub name: String,
}

/// Checks the name of a host (RFC 1123, 2.1, and Linux's limit).
///
/// # Errors
/// Fails where it is none.
pub fn check_hostname(name: &str) -> Result<()> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= LONGEST_NAME && name.split('.').all(is_label) {
        return Ok(());
    }
    Err(Error::input(format!("{name:?} is not the name of a host"))
        .hint("letters, digits and - (not at either end), 64 characters at most: web-1 or web-1.example.org"))
}

/// Checks the form of a time zone's name; whether there is such a zone, the machine's database tells.
///
/// # Errors
/// Fails where it is none.
pub fn check_timezone(name: &str) -> Result<()> {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
    };
    if name.split('/').all(is_part) {
        return Ok(());
    }
    Err(Error::input(format!("{name:?} is not the name of a time zone")).hint("Europe/Berlin, Etc/UTC"))
}

/// Checks the form of a locale's name; whether there is such a locale, the machine's list tells.
///
/// # Errors
/// Fails where it is none.
pub fn check_locale(name: &str) -> Result<()> {
    let legal = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.@-".contains(&byte));
    if legal {
        return Ok(());
    }
    Err(Error::input(format!("{name:?} is not the name of a locale")).hint("en_US.UTF-8, de_DE.UTF-8, C.UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_form() {
        let longest = "a".repeat(63);
        for name in ["a", "web-1", "1web.example.org", &longest] {
            assert!(check_hostname(name).is_ok(), "{name}");
        }
        for name in ["", "-a", "a-", "a..b", "a_b", "a b", "é", &format!("{longest}a"), &format!("{longest}.a")] {
            assert!(check_hostname(name).is_err(), "{name}");
        }
        assert!(check_timezone("America/Argentina/Buenos_Aires").is_ok() && check_timezone("Etc/GMT+1").is_ok());
        for name in ["", "/etc/passwd", "../passwd", "Europe/", "Europe/../UTC", "a.b"] {
            assert!(check_timezone(name).is_err(), "{name}");
        }
        assert!(check_locale("de_DE.ISO-8859-15@euro").is_ok());
        for name in ["", "en US", "../x", "en_US.UTF-8\n"] {
            assert!(check_locale(name).is_err(), "{name}");
        }
    }
}
