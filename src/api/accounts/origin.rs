//! Where browsers reach us, and whose pages may act for those who are signed in: ours alone.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

use crate::api::Problem;
use crate::{Error, Result};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Scheme, host and port (RFC 6454).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// Reads `http.public_url`.
    ///
    /// # Errors
    /// Fails where it is no address of a whole host, and where it is not encrypted and not on this machine: browsers keep no
    /// cookies of such a host.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::input(format!("http.public_url: {text:?} {why}"))
                .hint("write where browsers reach it, as https://stead.example.com")
        };
        let uri: Uri = text.parse().map_err(|_| wrong("is no URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong("is no URL"));
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(wrong("has more than scheme, host and port"));
        }
        let host = authority.host().trim_matches(['[', ']']);
        let is_here = host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        match scheme {
            "https" => {}
            "http" if is_here => {}
            _ => return Err(wrong("is not encrypted: people cannot sign in there")),
        }
        Ok(Self(format!("{scheme}://{}", authority.as_str().to_ascii_lowercase())))
    }

    /// The address of something here.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Refuses what another site's page sends in the name of somebody who is signed in here. Browsers say whose page it is by
    /// `Sec-Fetch-Site` (<https://www.w3.org/TR/fetch-metadata/>), older ones by `Origin`; who says neither is refused.
    pub(in crate::api) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        if method.is_safe() {
            return Ok(());
        }
        let said = |name: HeaderName| headers.get(name).map(HeaderValue::as_bytes);
        let is_ours = match (said(FETCH_SITE), said(header::ORIGIN)) {
            (Some(site), _) => site == b"same-origin",
            (None, Some(origin)) => origin.eq_ignore_ascii_case(self.0.as_bytes()),
            (None, None) => false,
        };
        if is_ours {
            return Ok(());
        }
        let detail = format!("a browser's cookie is taken from pages of {} only", self.0);
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).hint("programs send a token, not a cookie"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_whole_host_that_browsers_keep_cookies_of() {
        assert_eq!(Origin::parse("https://Stead.Example.com/").unwrap().url("/x"), "https://stead.example.com/x");
        for right in ["http://127.0.0.1:7380", "http://[::1]:7380", "http://localhost"] {
            assert_eq!(Origin::parse(right).unwrap().url(""), right);
        }
        for wrong in [
            "stead.example.com",
            "/x",
            "http://stead.example.com",
            "ftp://a",
            "https://a/b",
            "https://a/?b",
            "https://u@a",
        ] {
            assert_eq!(Origin::parse(wrong).unwrap_err().kind(), crate::Kind::Input, "{wrong}");
        }
    }

    #[test]
    fn only_our_own_pages_act_for_whoever_is_signed_in() {
        let origin = Origin::parse("https://stead.example.com").unwrap();
        let check = |headers: &[(HeaderName, &'static str)]| {
            let headers = headers.iter().cloned().map(|(name, value)| (name, HeaderValue::from_static(value)));
            origin.check(&Method::POST, &headers.collect()).is_ok()
        };
        assert!(check(&[(FETCH_SITE, "same-origin")]));
        assert!(check(&[(header::ORIGIN, "https://stead.example.com")]));
        for site in ["cross-site", "same-site", "none", ""] {
            assert!(!check(&[(FETCH_SITE, site), (header::ORIGIN, "https://stead.example.com")]), "{site}");
        }
        for other in ["https://stead.example.com.evil.example", "http://stead.example.com", "null"] {
            assert!(!check(&[(header::ORIGIN, other)]), "{other}");
        }
        assert!(!check(&[]));
        assert!(origin.check(&Method::GET, &HeaderMap::new()).is_ok());
    }
}
