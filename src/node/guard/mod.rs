//! Changes that take themselves back: what could lock the controller out is undone by the node, unless the controller
//! confirms it over a new connection.
//!
//! Before such a change is made, what was there is stored ([`snapshot`]) and a watch is set that outlives the session and
//! the agent ([`watch`]); a unit that is enabled meanwhile does the same after a boot in between. The controller's word
//! ([`confirm`]) ends both. While a run holds the node's lock, the watch waits for it: the time to confirm begins at the
//! run's end, or at its death.

mod record;
mod restore;
mod sensitive;
mod snapshot;
mod watch;

pub(crate) use sensitive::is_sensitive;
pub(crate) use watch::lift;
pub use watch::{boot, watch};

use std::time::Duration;

use self::record::{Record, Undone};
use crate::node::machine::Touch;
use crate::node::{Machine, Paths, files};
use crate::wire::message::TakenBack;
use crate::wire::plan::Guarded;
use crate::{Error, Result};

/// How long the controller may take to confirm, where it did not say.
const WINDOW: Duration = Duration::from_secs(60);

/// The guard over one run's changes.
pub(crate) struct Guard {
    window: Duration,
    record: Option<Record>,
}

impl Guard {
    /// A guard that gives the controller this long to confirm, in seconds; 0 means a minute.
    pub(crate) fn new(seconds: u32) -> Self {
        let window = if seconds == 0 { WINDOW } else { Duration::from_secs(seconds.into()) };
        Self { window, record: None }
    }

    /// Stores what these changes would touch, and sets the watch where there is none yet. To be called before the change
    /// is made, so that a crash at any moment finds either no change or a way back.
    pub(crate) fn protect<'a>(&mut self, machine: &Machine, touches: impl Iterator<Item = &'a Touch>) -> Result<()> {
        let is_new = self.record.is_none();
        let record = self.record.get_or_insert_with(|| Record::new(machine));
        for touch in touches {
            snapshot::take(machine, record, touch)?;
        }
        record::set_deadline(&machine.paths, self.window)?;
        record.save(&machine.paths)?;
        if is_new {
            watch::set(machine, &record.id)?;
        }
        Ok(())
    }

    /// Ends the run: from now on the controller has its time to confirm.
    pub(crate) fn end(self, paths: &Paths) -> Result<Option<Guarded>> {
        let Some(record) = self.record else { return Ok(None) };
        record::set_deadline(paths, self.window)?;
        Ok(Some(Guarded { id: record.id, seconds: self.window.as_secs().try_into().unwrap_or(u32::MAX) }))
    }
}

/// Keeps what was changed: the controller has come over a new connection.
///
/// # Errors
/// Fails where the changes were taken back already.
pub(crate) fn confirm(paths: &Paths, id: &str) -> Result<()> {
    match Record::load(paths)? {
        Some(record) if record.id == id => watch::lift(paths),
        // Said twice, since the first answer was lost.
        None if Undone::load(paths).is_none_or(|undone| undone.id != id) => Ok(()),
        _ => Err(Error::failed("the node has taken the changes back already: the confirmation came too late")
            .hint("converge again, with a longer `--confirm-within`")),
    }
}

/// Takes back what an earlier run changed and nobody confirmed, and tells what that was.
///
/// # Errors
/// Fails where the record cannot be read.
pub(crate) fn settle(machine: &Machine) -> Result<Option<String>> {
    match Record::load(&machine.paths)? {
        Some(record) => restore::restore(machine, &record, false).map(Some),
        None => Ok(None),
    }
}

/// What the node took back last, for those who ask why their change is gone.
pub(crate) fn taken_back(paths: &Paths) -> Option<TakenBack> {
    Undone::load(paths).map(|undone| TakenBack { id: undone.id, what: undone.what })
}

/// Forgets what was taken back: a newer run speaks for itself.
pub(crate) fn forget_taken_back(paths: &Paths) -> Result<()> {
    files::remove(&paths.guard_undone())
}

#[cfg(test)]
mod tests;
