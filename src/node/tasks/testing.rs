//! A machine in a temporary folder, for tests: files are real, programs are answered by the test.

use std::cell::RefCell;
use std::rc::Rc;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use crate::Result;
use crate::node::exec::{Commands, Output, Run};
use crate::node::machine::{self, Inputs};
use crate::node::{Machine, Paths};
use crate::wire::action::{Action, Content};
use crate::wire::plan::ApplyOptions;

type Answer = Box<dyn Fn(&Run) -> Output>;

/// Answers programs, and remembers which were run.
pub(crate) struct Fake {
    answer: Answer,
    runs: Rc<RefCell<Vec<String>>>,
}

impl Commands for Fake {
    fn run(&self, run: &Run) -> Result<Output> {
        self.runs.borrow_mut().push(run.argv.join(" "));
        Ok((self.answer)(run))
    }
}

/// A machine in a temporary folder.
pub(crate) struct Bench {
    pub(crate) machine: Machine,
    pub(crate) runs: Rc<RefCell<Vec<String>>>,
    root: tempfile::TempDir,
}

impl Bench {
    /// A machine with a few accounts, on which every program succeeds and prints nothing.
    pub(crate) fn new() -> Self {
        Self::answering(|_| Output::default())
    }

    /// A machine on which programs are answered so.
    pub(crate) fn answering(answer: impl Fn(&Run) -> Output + 'static) -> Self {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(Utf8PathBuf::from_path_buf(root.path().to_owned()).unwrap());
        for folder in ["/etc/systemd/system", "/var/lib/stead/secrets", "/var/lib/dpkg", "/root"] {
            std::fs::create_dir_all(paths.at(folder)).unwrap();
        }
        // The user `me` is whoever runs the tests, so that files can be given to it without being root.
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let passwd = format!("daemon:x:1:1::/:/usr/sbin/nologin\nme:x:{uid}:{gid}::/home/me:/bin/sh\n");
        std::fs::write(paths.passwd(), passwd).unwrap();
        std::fs::write(paths.group(), format!("daemon:x:1:\nme:x:{gid}:\nsudo:x:27:\n")).unwrap();
        std::fs::write(paths.shadow(), "daemon:*:1:0:99999:7:::\nme:!:1:0:99999:7:::\n").unwrap();
        std::fs::write(paths.gshadow(), "daemon:*::\nsudo:*::\nme:!::\n").unwrap();
        let runs = Rc::new(RefCell::new(Vec::new()));
        let commands = Box::new(Fake { answer: Box::new(answer), runs: runs.clone() });
        let facts = json!({"os": {"id": "debian", "version": "13"}});
        let machine = Machine::with(paths, facts, commands, &ApplyOptions::default());
        Self { machine, runs, root }
    }

    /// A path below the machine's root.
    pub(crate) fn at(&self, path: impl AsRef<Utf8Path>) -> Utf8PathBuf {
        assert!(self.root.path().exists());
        self.machine.paths.at(path)
    }

    /// A file's content.
    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.at(path)).unwrap()
    }

    /// What a task, written as in a playbook, would change.
    pub(crate) fn check(&self, task: Value) -> Result<Vec<String>> {
        let (action, inputs) = parse(task);
        Ok(super::changes(&action, &self.machine, &inputs)?.into_iter().map(|change| change.message).collect())
    }

    /// Applies a task; what it changed, having made sure that a second time it changes nothing.
    pub(crate) fn apply(&self, task: Value) -> Result<Vec<String>> {
        let told = self.apply_once(task.clone())?;
        assert_eq!(self.check(task)?, Vec::<String>::new(), "a second time changes nothing");
        Ok(told)
    }

    /// Applies a task that is a change every time.
    pub(crate) fn apply_once(&self, task: Value) -> Result<Vec<String>> {
        let (action, inputs) = parse(task);
        let mut told = Vec::new();
        let mut output = Output::default();
        for change in super::changes(&action, &self.machine, &inputs)? {
            told.push(change.message.clone());
            change.apply(&self.machine, &mut output)?;
        }
        Ok(told)
    }

    /// The programs that were run since the last call.
    pub(crate) fn ran(&self) -> Vec<String> {
        self.runs.borrow_mut().drain(..).collect()
    }
}

fn parse(task: Value) -> (Action, Inputs) {
    let action: Action = serde_json::from_value(task).unwrap();
    // In place of a blob's hash stands the content itself.
    let content = action.content().map(|content| match content {
        Content::Raw(text) | Content::Template(text) => machine::Content::Held(text.as_bytes().to_vec()),
    });
    (action, Inputs { content, timeout: None })
}
