//! What a converge told of each node, kept in a file of the node's own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};

use crate::Result;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::ownership;
use crate::wire::plan::{Status, TaskEvent};

/// How many runs' logs are kept.
const KEPT: usize = 30;

/// One run's logs: `.stead/logs/TIME/WORKSPACE.log`. What is secret was masked on the node.
pub(super) struct RunLog {
    dir: Utf8PathBuf,
    files: Mutex<BTreeMap<String, File>>,
}

impl RunLog {
    /// Makes the run's folder in the fleet's, and removes those of the oldest runs.
    ///
    /// # Errors
    /// Fails where the folder cannot be made.
    pub(super) fn begin(fleet: &Utf8Path, now: Timestamp) -> Result<Self> {
        let logs = fleet.join(".stead/logs");
        let dir = logs.join(now.format("%Y%m%dT%H%M%S%.3fZ").to_string());
        for folder in [&logs, &dir] {
            fs_err::create_dir_all(folder)?;
            ownership::inherit(folder)?;
        }
        let mut runs: Vec<Utf8PathBuf> = logs.read_dir_utf8()?.flatten().map(|entry| entry.into_path()).collect();
        runs.sort();
        for old in runs.iter().rev().skip(KEPT) {
            fs_err::remove_dir_all(old)?;
        }
        Ok(Self { dir, files: Mutex::default() })
    }

    /// The run's folder.
    pub(super) fn dir(&self) -> &Utf8Path {
        &self.dir
    }

    /// Adds what happened on a workspace's node. A log that cannot be written holds nothing up.
    pub(super) fn task(&self, workspace: &str, event: &TaskEvent) {
        self.line(workspace, &text(event));
    }

    /// Adds a line of one's own.
    pub(super) fn line(&self, workspace: &str, line: &str) {
        let now = SystemClock.now().format("%H:%M:%S%.3f");
        if let Err(error) = self.write(workspace, &format!("{now} {}\n", line.trim_end())) {
            tracing::warn!(workspace, error = error.one_line(), "writing the node's log");
        }
    }

    fn write(&self, workspace: &str, text: &str) -> Result<()> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match files.entry(workspace.to_owned()) {
            std::collections::btree_map::Entry::Occupied(found) => found.into_mut(),
            std::collections::btree_map::Entry::Vacant(missing) => {
                let path = self.dir.join(format!("{workspace}.log"));
                let mut options = fs_err::OpenOptions::new();
                options.create(true).append(true);
                fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                let file = options.open(&path)?.into_parts().0;
                ownership::inherit(&path)?;
                missing.insert(file)
            }
        };
        Ok(file.write_all(text.as_bytes())?)
    }
}

/// An event as the log keeps it: one line, and below it, indented, what belongs to it.
fn text(event: &TaskEvent) -> String {
    let item = event.item.as_ref().map(|item| format!(" [{item}]")).unwrap_or_default();
    let mut text = format!("{:<8} {}: {}{item} ({} ms)", word(event.status), event.play, event.name, event.elapsed_ms);
    let more = [event.message.as_str(), event.diff.as_deref().unwrap_or_default()];
    let hints = event.hints.iter().map(|hint| format!("hint: {hint}"));
    for line in more.iter().flat_map(|part| part.lines()).map(str::to_owned).chain(hints) {
        let _ = write!(text, "\n    {line}");
    }
    text
}

/// How a task ended, in a word.
pub(super) fn word(status: Status) -> &'static str {
    match status {
        Status::Started => "begins",
        Status::Ok => "ok",
        Status::Changed => "changed",
        Status::Skipped => "skipped",
        Status::Failed => "failed",
        Status::Ignored => "ignored",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_its_own_log_and_old_runs_go() {
        let temp = tempfile::tempdir().unwrap();
        let fleet = Utf8Path::from_path(temp.path()).unwrap();
        let mut last = None;
        for minute in 0..KEPT + 2 {
            let log = RunLog::begin(fleet, SystemClock.now() + chrono::TimeDelta::minutes(minute as i64)).unwrap();
            log.line("acme", "begins");
            last = Some(log);
        }
        let log = last.unwrap();
        let event = TaskEvent {
            play: "base".into(),
            name: "a file".into(),
            status: Status::Changed,
            message: "create /etc/a\nchange /etc/b".into(),
            ..TaskEvent::default()
        };
        log.task("globex", &event);
        let written = fs_err::read_to_string(log.dir().join("globex.log")).unwrap();
        assert!(written.contains("changed  base: a file (0 ms)\n    create /etc/a\n    change /etc/b\n"), "{written}");
        assert!(fs_err::read_to_string(log.dir().join("acme.log")).unwrap().ends_with(" begins\n"));
        assert_eq!(fleet.join(".stead/logs").read_dir_utf8().unwrap().count(), KEPT);
    }
}
