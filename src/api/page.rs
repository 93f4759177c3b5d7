//! Lists, page by page: a cursor stands for the last thing of a page, and is not to be understood.

use std::str::FromStr;

use axum::http::StatusCode;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Problem;

const USUAL: u32 = 50;
const MOST: u32 = 200;

/// Which page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParams {
    /// `next` of the page before.
    pub(super) cursor: Option<String>,
    /// How many things a page holds at most: 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub(super) limit: Option<u32>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The things.
    pub items: Vec<T>,
    /// The cursor of the next page; none where this is the last.
    pub next: Option<String>,
}

impl PageParams {
    /// How many things to read: one more than the page holds, which tells whether there is a next one.
    pub(super) fn to_read(&self) -> Result<u32, Problem> {
        match self.limit.unwrap_or(USUAL) {
            limit @ 1..=MOST => Ok(limit + 1),
            other => Err(bad(format!("limit is {other}; 1 to {MOST} are allowed"))),
        }
    }

    /// Behind what the page begins.
    pub(super) fn after<T: FromStr>(&self) -> Result<Option<T>, Problem> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let id =
            BASE64_URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
        id.map(Some).ok_or_else(|| bad("this cursor is none of this list's".into()))
    }

    /// The page of what was read.
    pub(super) fn page<T, V>(&self, mut read: Vec<T>, id: impl Fn(&T) -> String, view: impl FnMut(T) -> V) -> Page<V> {
        let limit = usize::try_from(self.limit.unwrap_or(USUAL)).unwrap_or(usize::MAX);
        let more = read.len() > limit;
        read.truncate(limit);
        let next = read.last().filter(|_| more).map(|last| BASE64_URL_SAFE_NO_PAD.encode(id(last)));
        Page { items: read.into_iter().map(view).collect(), next }
    }
}

fn bad(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-request", detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::{NodeId, WorkspaceId};

    #[test]
    fn a_cursor_leads_to_the_next_page_and_to_no_other_list() {
        let ids: Vec<WorkspaceId> = (0..3).map(|_| WorkspaceId::new()).collect();
        let first = PageParams { cursor: None, limit: Some(2) };
        assert_eq!(first.to_read().unwrap(), 3);
        let page = first.page(ids.clone(), ToString::to_string, |id| id);
        assert_eq!(page.items, ids[..2]);
        let second = PageParams { cursor: page.next, limit: Some(2) };
        assert_eq!(second.after::<WorkspaceId>().unwrap(), Some(ids[1]));
        assert_eq!(second.after::<NodeId>().unwrap_err().status, 400);
        assert_eq!(second.page(vec![ids[2]], ToString::to_string, |id| id).next, None);
        for limit in [0, 201] {
            assert_eq!(PageParams { cursor: None, limit: Some(limit) }.to_read().unwrap_err().status, 400);
        }
        assert!(PageParams { cursor: Some("?".into()), limit: None }.after::<NodeId>().is_err());
    }

    proptest! {
        #[test]
        fn any_cursor_is_a_place_in_the_list_or_a_bad_request(text: String, bytes: Vec<u8>) {
            for cursor in [text, BASE64_URL_SAFE_NO_PAD.encode(bytes)] {
                let params = PageParams { cursor: Some(cursor), limit: None };
                if let Err(problem) = params.after::<NodeId>() {
                    prop_assert_eq!(problem.status, 400);
                }
            }
        }
    }
}
