//! What names may look like.

use crate::{Error, Result};

/// Slugs that would stand for the platform itself below its domain.
const RESERVED: [&str; 16] = [
    "admin",
    "api",
    "app",
    "autoconfig",
    "billing",
    "console",
    "ftp",
    "imap",
    "localhost",
    "mail",
    "ns1",
    "ns2",
    "smtp",
    "stead",
    "status",
    "www",
];

/// A host name's label (RFC 1123, section 2.1), in lower case: what names of fleets, tiers, providers, images and
/// playbooks look like.
///
/// # Errors
/// Fails where the text is something else.
pub fn check_label(text: &str) -> Result<()> {
    let legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    if (1..=63).contains(&text.len()) && text.bytes().all(legal) && !text.starts_with('-') && !text.ends_with('-') {
        return Ok(());
    }
    Err(Error::input(format!("{text:?} is not a legal name"))
        .hint("a name has 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end"))
}

/// A workspace's slug: a label (it becomes a host name) that the platform does not need itself.
///
/// # Errors
/// Fails where the text is something else.
pub fn check_slug(text: &str) -> Result<()> {
    check_label(text)?;
    if RESERVED.contains(&text) {
        return Err(Error::input(format!("the slug {text:?} is reserved for the platform"))
            .hint(format!("choose another, such as {text}-co")));
    }
    Ok(())
}

/// A DNS name of two labels or more, in lower case.
///
/// # Errors
/// Fails where the text is something else.
pub fn check_domain(text: &str) -> Result<()> {
    let labels: Vec<_> = text.split('.').collect();
    // A slug's label and its dot come in front, and a name has at most 253 characters (RFC 1035).
    if labels.len() >= 2 && text.len() <= 253 - 64 && labels.iter().all(|label| check_label(label).is_ok()) {
        return Ok(());
    }
    Err(Error::input(format!("{text:?} is not a domain")).hint("write a DNS name in lower case: agents.example.com"))
}

/// A word of the field that moves faster than a program: kinds of agents and of channels, models' providers. So there is a form
/// that is checked, and no list of those that are known: parts of lower-case letters and digits between single hyphens, the
/// first of which begins with a letter; at most 32 characters.
///
/// # Errors
/// Fails where the text is something else.
pub fn check_word(text: &str) -> Result<()> {
    let part = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if text.len() <= 32 && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.split('-').all(part) {
        return Ok(());
    }
    let error = Error::input(format!("{text:?} is not a word for a kind or a provider"));
    let meant = text.trim().to_ascii_lowercase().replace([' ', '_', '.'], "-");
    Err(if meant != text && check_word(&meant).is_ok() {
        error.hint(format!("write {meant}"))
    } else {
        error.hint("such a word has at most 32 lower-case letters, digits and single hyphens, and begins with a letter: e-mail")
    })
}

/// A secret's name, which is also its credential's: `[A-Z][A-Z0-9_]*`, at most 64 characters.
///
/// # Errors
/// Fails where the text is something else.
pub fn check_secret(text: &str) -> Result<()> {
    let legal = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_';
    if text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_uppercase()) && text.bytes().all(legal) {
        return Ok(());
    }
    let error = Error::input(format!("{text:?} is not a secret's name"));
    let meant = text.to_ascii_uppercase().replace('-', "_");
    Err(if meant != text && check_secret(&meant).is_ok() {
        error.hint(format!("write {meant}"))
    } else {
        error.hint("a secret's name has capital letters, digits and _, and begins with a letter: OPENAI_API_KEY")
    })
}

/// A Debian user name (adduser's rule, at most 32 characters).
///
/// # Errors
/// Fails where the text is something else.
pub fn check_user(text: &str) -> Result<()> {
    let legal = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_');
    let first = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if first && text.len() <= 32 && text.bytes().all(legal) {
        return Ok(());
    }
    Err(Error::input(format!("{text:?} is not a user name"))
        .hint("a user name has lower-case letters, digits, - and _"))
}

/// What an SSH client can connect to: an IP address, or a host name.
///
/// # Errors
/// Fails where the text is something else.
pub fn check_host(text: &str) -> Result<()> {
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Ok(());
    }
    // Digits and dots alone are an address gone wrong, never a name.
    let numeric = text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    let labels = || text.split('.').all(|label| check_label(&label.to_ascii_lowercase()).is_ok());
    if !numeric && text.len() <= 253 && labels() {
        return Ok(());
    }
    Err(Error::input(format!("{text:?} is neither an IP address nor a host name"))
        .hint("write the address alone; port and user have keys of their own"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["acme", "a", "own-box-2", "7up"] {
            assert!(check_slug(good).is_ok(), "{good}");
        }
        for bad in ["", "Acme", "-a", "a-", "a_b", "a.b", "é", "www", &"x".repeat(64)] {
            assert!(check_slug(bad).is_err(), "{bad}");
        }
        assert!(check_domain("agents.example.com").is_ok());
        assert!(check_domain("example").is_err());
        assert!(check_secret("OPENAI_API_KEY").is_ok());
        assert_eq!(check_secret("openai-api-key").unwrap_err().hints(), ["write OPENAI_API_KEY"]);
        assert!(check_secret("../X").is_err());
        for good in ["telegram", "e-mail", "web2", "azure-openai"] {
            assert!(check_word(good).is_ok(), "{good}");
        }
        for bad in ["", "2web", "-a", "a-", "a--b", "E-Mail", "x.ai", &"x".repeat(33)] {
            assert!(check_word(bad).is_err(), "{bad}");
        }
        assert_eq!(check_word("Azure OpenAI").unwrap_err().hints(), ["write azure-openai"]);
        for (host, good) in [
            ("203.0.113.7", true),
            ("2001:db8::1", true),
            ("Node1.example.com", true),
            ("203.0.113.777", false),
            ("root@host", false),
            ("host:22", false),
            ("", false),
        ] {
            assert_eq!(check_host(host).is_ok(), good, "{host}");
        }
    }
}
