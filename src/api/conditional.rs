//! Changes that know what they change: `ETag` and `If-Match` (RFC 9110, sections 8.8.3 and 13.1.1).

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::Problem;

/// The tag of a record's version.
pub(super) fn etag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("digits in quotes are a header's value")
}

/// What the caller believes the record to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Whatever it is.
    Any,
    /// One of these versions.
    Versions(Vec<u64>),
}

impl Expected {
    /// Reads `If-Match`; none where there is none.
    pub(super) fn read(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Some(Self::Any));
        }
        // Weak tags never match here, which is what the RFC wants.
        let tags = text.split(',').map(|tag| tag.trim().strip_prefix('"')?.strip_suffix('"'));
        let tags: Option<Vec<&str>> = tags.collect();
        let tags = tags.ok_or_else(|| {
            Problem::new(StatusCode::BAD_REQUEST, "bad-request", "If-Match holds no strong entity tags")
        })?;
        Ok(Some(Self::Versions(tags.iter().filter_map(|tag| tag.parse().ok()).collect())))
    }

    /// As [`read`](Self::read); who says nothing is asked to.
    pub(super) fn required(headers: &HeaderMap) -> Result<Self, Problem> {
        Self::read(headers)?.ok_or_else(|| {
            let detail = "say which version you change";
            Problem::new(StatusCode::PRECONDITION_REQUIRED, "precondition-required", detail)
                .hint("send the header `If-Match` with the `ETag` of what you have read; `*` changes any")
        })
    }

    /// Refuses where the record is another by now.
    pub(super) fn check(&self, version: u64) -> Result<(), Problem> {
        match self {
            Self::Versions(versions) if !versions.contains(&version) => {
                let detail = format!("it was changed meanwhile: its version is {version}");
                Err(Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", detail)
                    .hint("read it again, and see whether your change still makes sense"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_version_that_was_read_is_changed() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, HeaderValue::from_static(text));
            Expected::required(&headers)
        };
        let expected = read("\"7\", \"8\"").unwrap();
        assert!(expected.check(7).is_ok() && expected.check(8).is_ok());
        assert_eq!(expected.check(9).unwrap_err().status, 412);
        assert!(read("*").unwrap().check(9).is_ok());
        assert_eq!(read("\"other\"").unwrap().check(9).unwrap_err().status, 412);
        assert_eq!(read("W/\"7\"").unwrap_err().status, 400);
        assert_eq!(Expected::required(&HeaderMap::new()).unwrap_err().status, 428);
    }

    proptest! {
        #[test]
        fn tags_are_read_as_they_are_written(versions in prop::collection::vec(any::<u64>(), 1..5), other: u64) {
            let mut headers = HeaderMap::new();
            let tags: Vec<String> = versions.iter().map(|version| etag(*version).to_str().unwrap().to_owned()).collect();
            headers.insert(header::IF_MATCH, HeaderValue::from_str(&tags.join(" , ")).unwrap());
            let expected = Expected::required(&headers).unwrap();
            prop_assert_eq!(expected.check(other).is_ok(), versions.contains(&other));
            prop_assert!(versions.iter().all(|version| expected.check(*version).is_ok()));
        }

        #[test]
        fn any_header_is_an_expectation_or_a_bad_request(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, value);
            if let Err(problem) = Expected::required(&headers) {
                prop_assert_eq!(problem.status, 400);
            }
        }
    }
}
