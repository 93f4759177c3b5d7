//! What a run has done so far, so that one that broke is gone on with where it stood.
//!
//! One line of JSON for each task that has ended, below `/run`: memory, since what a command printed may be a secret. A
//! run that boots the machine takes its journal to the disk first, without what is secret. Lines are not synced: what a
//! crash of the whole machine takes is done again, as every task can be.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::control::Set;
use crate::node::{Machine, Paths, files};
use crate::redact::Redactor;
use crate::wire::action::Action;
use crate::wire::plan::{Plan, Status, Task};
use crate::{Error, Result};

/// The version of the file.
const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    version: u32,
    plan: String,
}

/// A task that has ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    task: u32,
    status: Status,
    /// What it registered, and the facts that it set.
    #[serde(default, skip_serializing_if = "Set::is_empty")]
    set: Set,
    /// What it set is not to be kept on a disk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    sensitive: bool,
    /// The boot that it asked to be the last one's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
}

/// The journal of this run.
pub(super) struct Journal {
    file: Option<File>,
    paths: Paths,
    boot_id: String,
    head: Head,
    entries: Vec<Entry>,
    /// What an earlier run did and this one need not do again; ends at the first task that is to be done.
    replay: Option<BTreeMap<u32, Entry>>,
    /// A failure that stops the run unless something deals with it.
    failure: Option<Entry>,
}

impl Journal {
    /// A journal that nobody keeps.
    pub(super) fn none() -> Self {
        Self {
            file: None,
            paths: Paths::default(),
            boot_id: String::new(),
            head: Head { version: VERSION, plan: String::new() },
            entries: Vec::new(),
            replay: None,
            failure: None,
        }
    }

    /// Begins a run; with `resume` it goes on where the last one of the same plan broke, and is a run like any other
    /// where none did.
    ///
    /// # Errors
    /// Fails where the run that broke was one of another plan.
    pub(super) fn begin(machine: &Machine, plan: &Plan, resume: bool) -> Result<Self> {
        let paths = &machine.paths;
        let head = Head { version: VERSION, plan: plan.digest() };
        let replay = match read(paths) {
            Some((found, entries)) if resume => {
                if found != head {
                    return Err(Error::failed("the run that broke on this node was one of another plan")
                        .hint("converge without `--resume`: what is as it should be already costs little time"));
                }
                Some(entries.into_iter().map(|entry| (entry.task, entry)).collect())
            }
            _ => None,
        };
        let boot_id = machine.facts["boot_id"].as_str().unwrap_or_default().to_owned();
        let mut this = Self { head, paths: paths.clone(), boot_id, replay, ..Self::none() };
        if this.replay.is_none() {
            this.start()?;
        }
        Ok(this)
    }

    /// How a task ended before and what it set, where it need not be done again.
    pub(super) fn replayed(&mut self, task: u32) -> Option<(Status, Set)> {
        let entry = self.replay.as_mut()?.remove(&task)?;
        // The boot that it asked for has not come: it is asked for again.
        if entry.boot.as_ref() == Some(&self.boot_id) {
            return None;
        }
        let told = (entry.status, entry.set.clone());
        self.entries.push(entry);
        Some(told)
    }

    /// Notes how a task ended, and what it set.
    pub(super) fn note(&mut self, task: &Task, status: Status, set: Set) -> Result<()> {
        // Here the replay ends: what comes later is done whether or not it was done before.
        if self.replay.take().is_some() {
            self.start()?;
        }
        let boot = matches!(task.action, Action::Reboot(_)).then(|| self.boot_id.clone());
        let boot = boot.filter(|_| status == Status::Changed);
        let entry = Entry { task: task.id, status, set, sensitive: task.sensitive, boot };
        if status == Status::Failed {
            self.failure = Some(entry);
            return Ok(());
        }
        self.append(entry)
    }

    /// The failure that was noted last does not stop the run: going on, it is not tried again.
    pub(super) fn dealt_with(&mut self) -> Result<()> {
        self.failure.take().map_or(Ok(()), |entry| self.append(entry))
    }

    /// All was done.
    pub(super) fn finish(self) -> Result<()> {
        files::remove(&self.paths.journal_over_boot())?;
        if self.file.is_some() || self.replay.is_some() {
            files::remove(&self.paths.journal())?;
        }
        Ok(())
    }

    /// Takes the journal to the disk, without what is secret.
    pub(super) fn keep_over_boot(&self, redactor: &Redactor) -> Result<()> {
        let mut text = line(&self.head)?;
        for entry in &self.entries {
            let mut entry = entry.clone();
            if entry.sensitive {
                entry.set.clear();
            }
            text.push_str(&redactor.apply(&line(&entry)?));
        }
        files::make_folder(&self.paths.state_dir(), 0o700)?;
        files::replace(&self.paths.journal_over_boot(), text.as_bytes(), 0o600)
    }

    /// Writes the journal anew, with what was replayed.
    fn start(&mut self) -> Result<()> {
        let mut text = line(&self.head)?;
        for entry in &self.entries {
            text.push_str(&line(entry)?);
        }
        let path = self.paths.journal();
        files::make_folder(&self.paths.run_dir(), 0o700)?;
        files::replace(&path, text.as_bytes(), 0o600)?;
        files::remove(&self.paths.journal_over_boot())?;
        self.file = Some(fs_err::OpenOptions::new().append(true).open(path)?.into_parts().0);
        Ok(())
    }

    fn append(&mut self, entry: Entry) -> Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(line(&entry)?.as_bytes())?;
            self.entries.push(entry);
        }
        Ok(())
    }
}

fn line(value: &impl Serialize) -> Result<String> {
    let mut text =
        serde_json::to_string(value).map_err(|error| Error::failed("noting how a task ended").because(error))?;
    text.push('\n');
    Ok(text)
}

/// The journal of the run that broke, up to the first line that was not written whole.
fn read(paths: &Paths) -> Option<(Head, Vec<Entry>)> {
    let places: [Utf8PathBuf; 2] = [paths.journal(), paths.journal_over_boot()];
    let text = places.iter().find_map(|path| fs_err::read_to_string(path).ok())?;
    let mut lines = text.lines();
    let head = serde_json::from_str::<Head>(lines.next()?).ok()?;
    Some((head, lines.map_while(|line| serde_json::from_str(line).ok()).collect()))
}
