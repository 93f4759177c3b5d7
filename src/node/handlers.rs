//! Handlers that were notified and have not run: remembered on disk before the change that notifies them is made, so
//! that a run that broke in between is made good by the next.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::node::{Paths, files};
use crate::{Error, Result};

/// The version of the file.
const VERSION: u32 = 1;

/// The notified handlers' names, by play.
pub(crate) struct Handlers {
    path: Utf8PathBuf,
    record: Record,
    /// A check remembers nothing.
    check: bool,
}

#[derive(Default, Serialize, Deserialize)]
struct Record {
    version: u32,
    pending: BTreeMap<String, BTreeSet<String>>,
}

impl Handlers {
    /// Those that earlier runs left.
    pub(crate) fn load(paths: &Paths, check: bool) -> Result<Self> {
        let path = paths.handlers();
        let record = match fs_err::read(&path) {
            Ok(text) => serde_json::from_slice::<Record>(&text)
                .ok()
                .filter(|record| record.version == VERSION)
                .ok_or_else(|| {
                    Error::failed(format!("{path} is not what this agent wrote"))
                        .hint("restart by hand what it names, then remove it")
                })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Record::default(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { path, record, check })
    }

    /// Notes that a handler is to be run; tells whether that is news.
    pub(crate) fn notify(&mut self, play: &str, name: &str) -> Result<bool> {
        let news = self.record.pending.entry(play.to_owned()).or_default().insert(name.to_owned());
        if news {
            self.save()?;
        }
        Ok(news)
    }

    /// Whether a handler is to be run.
    pub(crate) fn is_pending(&self, play: &str, name: &str) -> bool {
        self.record.pending.get(play).is_some_and(|names| names.contains(name))
    }

    /// Notes that a handler has run, or that there is nothing to run it for.
    pub(crate) fn done(&mut self, play: &str, name: &str) -> Result<()> {
        if let Some(names) = self.record.pending.get_mut(play) {
            names.remove(name);
        }
        self.record.pending.retain(|_, names| !names.is_empty());
        self.save()
    }

    fn save(&mut self) -> Result<()> {
        if self.check {
            return Ok(());
        }
        if self.record.pending.is_empty() {
            return files::remove(&self.path);
        }
        self.record.version = VERSION;
        if let Some(folder) = self.path.parent() {
            files::make_folder(folder, 0o700)?;
        }
        let text = serde_json::to_vec(&self.record)
            .map_err(|error| Error::failed("remembering the notified handlers").because(error))?;
        files::replace(&self.path, &text, 0o600)
    }
}
