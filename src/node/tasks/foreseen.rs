//! Files as they would be by now, had the tasks before been done: in a check, later tasks are compared with these.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::content::{self, New};
use crate::Result;
use crate::node::files::{self, Attributes};
use crate::node::machine::{Change, Machine};
use crate::wire::action::{FileCommon, Presence};

/// A file that a change leaves behind.
#[derive(Debug, Clone)]
pub(crate) struct Left {
    /// What it holds; nothing for content that is kept apart.
    pub(crate) content: Option<Vec<u8>>,
    /// Its owner and mode; nothing where its owner would be made as well.
    pub(crate) attributes: Option<Attributes>,
}

/// By their path: files as a check's changes leave them; nothing for one that would be gone.
#[derive(Debug, Default)]
pub(crate) struct Foreseen(RefCell<BTreeMap<String, Option<Left>>>);

impl Foreseen {
    /// Forgets what an earlier check of the same machine foresaw.
    pub(crate) fn begin(&self) {
        self.0.borrow_mut().clear();
    }

    /// Notes what a change would leave behind.
    pub(crate) fn note(&self, change: &Change) {
        if let Some((path, left)) = &change.leaves {
            self.0.borrow_mut().insert(path.clone(), left.clone());
        }
    }

    /// What would be there by now; `None` where that is what is there.
    pub(crate) fn at(&self, path: &str) -> Option<Option<Left>> {
        self.0.borrow().get(path).cloned()
    }
}

/// As [`content::changes`], from what an earlier task would have left.
pub(super) fn differences(
    machine: &Machine,
    path: &str,
    had: Option<Left>,
    content: Option<New<'_>>,
    wanted: &FileCommon,
) -> Result<Vec<Change>> {
    let old = had.as_ref().and_then(|left| left.content.as_deref());
    if wanted.state == Presence::Absent {
        let diff = old.and_then(|old| files::diff(path, Some(old), Some(b"")));
        let change = nothing(format!("remove {path}")).diff(diff).leaving(path, None);
        return Ok(had.map(|_| change).into_iter().collect());
    }
    let base = had.as_ref().and_then(|left| left.attributes);
    let (owner, group, mode) = (wanted.owner.as_deref(), wanted.group.as_deref(), wanted.mode.as_deref());
    let attributes = content::attributes(machine, base, owner, group, mode, 0o644)?;
    let (is_same, new) = match (content, &had) {
        (None, _) => (true, old.map(<[u8]>::to_vec)),
        (Some(New::Held(new)), Some(_)) => (old == Some(new), Some(new.to_vec())),
        (Some(New::Held(new)), None) => (false, Some(new.to_vec())),
        // The same large content twice for one file would be a strange playbook; it is told as a change.
        (Some(New::Apart(_)), _) => (false, None),
    };
    let left = Left { content: new, attributes };
    if is_same {
        let words = base.zip(attributes).and_then(|(had, wanted)| content::attribute_words(had, wanted));
        return Ok(words
            .map(|words| nothing(format!("{path}: {words}")).leaving(path, Some(left)))
            .into_iter()
            .collect());
    }
    let diff = left.content.as_deref().and_then(|new| files::diff(path, old, Some(new)));
    let verb = if had.is_some() { "change" } else { "create" };
    Ok(vec![nothing(format!("{verb} {path}")).diff(diff).leaving(path, Some(left))])
}

/// A check's changes are told, never made.
fn nothing(message: String) -> Change {
    Change::new(message, |_, _| Ok(()))
}
