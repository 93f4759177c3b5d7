//! What playbooks made on this node: remembered, so that what they no longer name can be told and removed.

use std::fs::File;
use std::io::Write;

use serde::{Deserialize, Serialize};

use crate::node::machine::{Change, Inputs, Machine};
use crate::node::{Paths, files, tasks};
use crate::wire::action::Action;
use crate::{Error, Result};

/// The version of the file.
const VERSION: u32 = 1;

/// Something that a task makes, as the task that takes it away again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Made {
    /// What this task, whose state is `absent`, takes away.
    Task(Box<Action>),
    /// A folder, by its path: it goes where it is empty, since what others put there is not ours.
    Folder(String),
}

impl Made {
    /// What is to be changed for it to be gone; nothing where it is.
    pub(crate) fn removal(&self, machine: &Machine) -> Result<Vec<Change>> {
        match self {
            Made::Task(action) => tasks::changes(action, machine, &Inputs { content: None, timeout: None }),
            Made::Folder(path) => {
                let place = machine.paths.at(path);
                if !place.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                    return Ok(Vec::new());
                }
                let message = format!("remove the folder {path}, where it is empty");
                Ok(vec![Change::new(message, move |_, _| match std::fs::remove_dir(&place) {
                    Err(error) if error.kind() != std::io::ErrorKind::DirectoryNotEmpty => Err(error.into()),
                    _ => files::sync_parent(&place),
                })])
            }
        }
    }

    /// What it is, for people: `file /etc/motd`.
    pub(crate) fn name(&self) -> String {
        match self {
            Made::Task(action) => {
                let fields = serde_json::to_value(action).unwrap_or_default();
                let fields = &fields[action.kind()];
                let subject = ["path", "name", "names", "user"].iter().find_map(|key| match &fields[key] {
                    serde_json::Value::String(text) => Some(text.clone()),
                    serde_json::Value::Array(texts) => texts.first()?.as_str().map(str::to_owned),
                    _ => None,
                });
                format!("{} {}", action.kind(), subject.unwrap_or_default())
            }
            Made::Folder(path) => format!("folder {path}"),
        }
    }

    fn key(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::failed("noting what a task makes").because(error))
    }
}

/// A line of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    version: u32,
    play: String,
    made: Made,
}

/// The record, in the order in which things were made.
pub(crate) struct Record {
    paths: Paths,
    file: Option<File>,
    /// What the tasks of this run name.
    named: std::collections::BTreeSet<String>,
    /// A task of which it cannot be told what it names.
    unclear: Option<String>,
}

impl Record {
    pub(crate) fn new(paths: &Paths) -> Self {
        Self { paths: paths.clone(), file: None, named: Default::default(), unclear: None }
    }

    /// Notes that this run's playbooks name these.
    pub(crate) fn name(&mut self, makes: &[Made]) -> Result<()> {
        for made in makes {
            self.named.insert(made.key()?);
        }
        Ok(())
    }

    /// Notes that it cannot be told what the task at `origin` names: then nothing is left over.
    pub(crate) fn unclear(&mut self, origin: &str) {
        self.unclear.get_or_insert_with(|| origin.to_owned());
    }

    /// The task of which it cannot be told what it names.
    pub(crate) fn unclear_origin(&self) -> Option<&str> {
        self.unclear.as_deref()
    }

    /// Notes what was just made. Not synced: what a crash of the whole machine takes from the record stays on the node.
    pub(crate) fn add(&mut self, play: &str, made: Vec<Made>) -> Result<()> {
        if made.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            files::make_folder(&self.paths.state_dir(), 0o700)?;
            let mut options = fs_err::OpenOptions::new();
            options.create(true).append(true);
            fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            self.file = Some(options.open(self.paths.made())?.into_parts().0);
        }
        let mut text = String::new();
        for made in made {
            text.push_str(&line(&Entry { version: VERSION, play: play.to_owned(), made })?);
        }
        // One write: a line is there whole or, after a crash, is passed over.
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(text.as_bytes()))?;
        Ok(())
    }

    /// What playbooks made and this run's do not name, the last one first, with the playbook that made it.
    ///
    /// # Errors
    /// Fails where the record cannot be read, or is a newer agent's.
    pub(crate) fn left_over(&self) -> Result<Vec<(String, Made)>> {
        let mut left = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for entry in self.read()?.into_iter().rev() {
            let key = entry.made.key()?;
            if !self.named.contains(&key) && seen.insert(key) {
                left.push((entry.play, entry.made));
            }
        }
        Ok(left)
    }

    /// Forgets what is gone.
    pub(crate) fn forget(&mut self, gone: &[Made]) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for entry in self.read()?.iter().filter(|entry| !gone.contains(&entry.made)) {
            text.push_str(&line(entry)?);
        }
        self.file = None;
        files::replace(&self.paths.made(), text.as_bytes(), 0o600)
    }

    fn read(&self) -> Result<Vec<Entry>> {
        let path = self.paths.made();
        let text = match fs_err::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        // A line that a crash has cut is no entry; one of another version is not ours to drop.
        let entries: Vec<Entry> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        match entries.iter().find(|entry| entry.version != VERSION) {
            Some(entry) => Err(Error::failed(format!("{path} was written in version {}", entry.version))
                .hint("a newer stead has worked on this node: use that one")),
            None => Ok(entries),
        }
    }
}

fn line(entry: &Entry) -> Result<String> {
    let text = serde_json::to_string(entry).map_err(|error| Error::failed("noting what was made").because(error))?;
    Ok(text + "\n")
}
