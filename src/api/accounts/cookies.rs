//! The cookies that browsers hold for us. `__Host-` (RFC 6265bis, section 4.1.3.2) keeps other hosts of the same domain from
//! setting them; scripts cannot read them, and no other site's request but a link that is followed carries them.

use axum::http::{HeaderMap, HeaderValue, header};
use cookie::{Cookie, SameSite, time};

/// That a browser is signed in.
pub(in crate::api) const SESSION: &str = "__Host-stead_session";
/// That a browser asked for a link.
pub(super) const SIGN_IN: &str = "__Host-stead_sign_in";

/// The cookie of this name that a request carries.
pub(in crate::api) fn read(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = lines.flat_map(Cookie::split_parse).filter_map(Result::ok).filter(|cookie| cookie.name() == name);
    let value = found.next()?.value().to_owned();
    // Two of one name: somebody else has put one beside ours.
    found.next().is_none().then_some(value)
}

/// `Set-Cookie` with a value that lasts for so many seconds.
pub(super) fn set(name: &'static str, value: &str, seconds: i64) -> HeaderValue {
    let cookie = Cookie::build((name, value)).path("/").secure(true).http_only(true).same_site(SameSite::Lax);
    let cookie = cookie.max_age(time::Duration::seconds(seconds)).build().to_string();
    HeaderValue::try_from(cookie).expect("names and values of ours consist of characters that headers may have")
}

/// `Set-Cookie` that takes one away.
pub(super) fn unset(name: &'static str) -> HeaderValue {
    set(name, "", 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_cookie_of_a_name_is_read_and_two_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; __Host-stead_session=x"));
        assert_eq!(read(&headers, SESSION).as_deref(), Some("x"));
        assert_eq!(read(&headers, SIGN_IN), None);
        headers.append(header::COOKIE, HeaderValue::from_static("__Host-stead_session=y"));
        assert_eq!(read(&headers, SESSION), None);
    }

    proptest! {
        #[test]
        fn ours_is_read_whatever_stands_beside_it(before in "[ -:<-~]{0,20}", after in "[ -:<-~]{0,20}") {
            let mut headers = HeaderMap::new();
            let line = format!("{before};{SESSION}=x;{after}");
            headers.append(header::COOKIE, HeaderValue::from_str(&line).unwrap());
            let alone = !before.contains(SESSION) && !after.contains(SESSION);
            let found = read(&headers, SESSION);
            prop_assert_eq!(found.as_deref(), alone.then_some("x"));
        }
    }

    #[test]
    fn a_cookie_is_this_hosts_and_no_scripts() {
        let set = set(SESSION, "x", 60);
        let text = set.to_str().unwrap();
        for attribute in ["__Host-stead_session=x", "HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Max-Age=60"] {
            assert!(text.contains(attribute), "{text}");
        }
        assert!(!text.contains("Domain"), "{text}");
        assert!(unset(SESSION).to_str().unwrap().contains("Max-Age=0"));
    }
}
