//! Writing.

use std::ops::{Deref, DerefMut};
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::Reader;
use crate::{Error, Result};

/// A transaction that is being written. Reads through [`Deref`] to [`Reader`].
pub struct Tx(Reader);

impl Tx {
    pub(super) fn of(reader: Reader) -> Self {
        Self(reader)
    }

    pub(super) fn into_reader(self) -> Reader {
        self.0
    }

    /// Runs the work of a write. One that panics fails, and takes nothing else with it.
    pub(super) async fn run<T, F>(&mut self, work: F) -> Result<T>
    where
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>>,
    {
        let result = AssertUnwindSafe(async move { work(self).await }).catch_unwind().await;
        result.unwrap_or_else(|_| Err(Error::failed("a write to the store panicked")))
    }
}

impl Deref for Tx {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Reader {
        &mut self.0
    }
}
