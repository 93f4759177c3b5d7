//! Mail addresses.

use crate::{Error, Result};

/// The longest that mail takes, in bytes (RFC 5321, section 4.5.3.1.3, less the angle brackets).
const LONGEST: usize = 254;

/// A mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    shown: String,
    key: String,
}

impl Email {
    /// Reads an address. Letters beyond ASCII are refused: some of them become others' without case, and somebody who owns
    /// the one address would sign in as the other.
    ///
    /// # Errors
    /// Fails where it is none that mail can be sent to.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let is_one = text.is_ascii() && text.len() <= LONGEST && text.parse::<lettre::Address>().is_ok();
        // A domain without a dot is this machine's own network; quoted local parts and address literals are nobody's.
        let has_domain = text.rsplit_once('@').is_some_and(|(_, domain)| domain.contains('.') && !domain.contains('['));
        if !is_one || !has_domain || text.contains('"') {
            return Err(Error::input("this is no mail address that a person has")
                .hint("write it as name@example.com; a domain with other letters as xn--…"));
        }
        Ok(Self { shown: text.to_owned(), key: text.to_ascii_lowercase() })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    /// As it is looked up: mail providers tell addresses apart by case in theory only (RFC 5321, section 2.4).
    pub fn key(&self) -> &str {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_that_a_person_has() {
        let email = Email::parse(" Ann.Lee+stead@Example.COM ").unwrap();
        assert_eq!((email.as_str(), email.key()), ("Ann.Lee+stead@Example.COM", "ann.lee+stead@example.com"));
        let long = format!("{}@example.com", "a".repeat(250));
        for wrong in [
            "",
            "ann",
            "ann@",
            "@example.com",
            "ann@localhost",
            "ann@[127.0.0.1]",
            "\"a b\"@example.com",
            "ann@example.com\r\nBcc: x@example.com",
            "a@b@example.com",
            "\u{212a}im@example.com",
            "ann@ex\u{e4}mple.com",
            long.as_str(),
        ] {
            assert_eq!(Email::parse(wrong).unwrap_err().kind(), crate::Kind::Input, "{wrong:?}");
        }
    }
}
