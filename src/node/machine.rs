//! The machine that tasks work on, and the changes that they want.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::node::accounts::Accounts;
use crate::node::bus::Bus;
use crate::node::dpkg::{self, Packages};
use crate::node::exec::{Commands, Output, System};
use crate::node::made::Made;
use crate::node::tasks::foreseen::{Foreseen, Left};
use crate::node::{Paths, facts};
use crate::wire::plan::{ApplyOptions, Facts};
use crate::{Error, Result};

/// The machine that tasks work on.
pub struct Machine {
    /// Where its files lie.
    pub paths: Paths,
    /// What it is.
    pub facts: Facts,
    /// Only tell what would change.
    pub check: bool,
    /// It is an image's root without a running systemd.
    pub image: bool,
    /// What runs programs on it.
    pub commands: Box<dyn Commands>,
    /// Its systemd.
    pub(crate) bus: Bus,
    /// In a check: files as earlier tasks would have left them.
    pub(crate) foreseen: Foreseen,
    /// In a check: whether an earlier task would have changed something.
    would_change: Cell<bool>,
    /// What was read once and holds until something is changed.
    accounts: RefCell<Option<Rc<Accounts>>>,
    packages: RefCell<Option<Rc<Packages>>>,
}

impl Machine {
    /// This machine.
    ///
    /// # Errors
    /// Fails where its facts cannot be read.
    pub fn new(paths: Paths, options: &ApplyOptions) -> Result<Self> {
        let facts = facts::gather(&paths)?;
        Ok(Self::with(paths, facts, Box::new(System), options))
    }

    /// A machine with given facts and means.
    pub fn with(paths: Paths, facts: Facts, commands: Box<dyn Commands>, options: &ApplyOptions) -> Self {
        let (bus, foreseen, would_change, accounts, packages) = Default::default();
        let ApplyOptions { check, image, .. } = *options;
        Self { paths, facts, check, image, commands, bus, foreseen, would_change, accounts, packages }
    }

    /// Notes that a task would have changed something, had this not been a check.
    pub(crate) fn note_change(&self) {
        self.would_change.set(true);
    }

    /// Notes what these changes would leave behind, had this not been a check.
    pub(crate) fn foresee(&self, changes: &[Change]) {
        self.note_change();
        changes.iter().for_each(|change| self.foreseen.note(change));
    }

    /// Whether something that is missing may be taken to be made by an earlier task that a check did not really do.
    pub(crate) fn may_come(&self) -> bool {
        self.check && self.would_change.get()
    }

    /// The accounts, as they are now.
    ///
    /// # Errors
    /// Fails where they cannot be read.
    pub(crate) fn accounts(&self) -> Result<Rc<Accounts>> {
        once(&self.accounts, || Accounts::read(&self.paths))
    }

    /// dpkg's record of packages, as it is now.
    ///
    /// # Errors
    /// Fails where it cannot be read.
    pub(crate) fn packages(&self) -> Result<Rc<Packages>> {
        once(&self.packages, || dpkg::read(&self.paths))
    }

    /// Forgets what was read: a task has changed something, and who knows what that changed in turn.
    fn forget(&self) {
        self.accounts.take();
        self.packages.take();
    }

    /// Whether the kernel that runs is the machine's own: an image's root has none, and a container has its host's.
    pub(crate) fn has_own_kernel(&self) -> bool {
        let shared = |kind: &str| !matches!(kind, "none" | "vm" | "qemu");
        !self.image && !self.facts["virtualization"].as_str().is_some_and(shared)
    }

    /// The number of a user, given by name or number. In a check, `None` for one that an earlier task may make.
    ///
    /// # Errors
    /// Fails where there is no such user.
    pub(crate) fn uid(&self, name: &str) -> Result<Option<u32>> {
        if let Ok(uid) = name.parse() {
            return Ok(Some(uid));
        }
        match self.accounts()?.user(name) {
            Some(user) => Ok(Some(user.uid)),
            None if self.may_come() => Ok(None),
            None => Err(Error::failed(format!("there is no user {name:?} on the node"))
                .hint("make it with a `user` task before this one")),
        }
    }

    /// The number of a group, given by name or number. In a check, `None` for one that an earlier task may make.
    ///
    /// # Errors
    /// Fails where there is no such group.
    pub(crate) fn gid(&self, name: &str) -> Result<Option<u32>> {
        if let Ok(gid) = name.parse() {
            return Ok(Some(gid));
        }
        match self.accounts()?.gid(name) {
            Some(gid) => Ok(Some(gid)),
            None if self.may_come() => Ok(None),
            None => Err(Error::failed(format!("there is no group {name:?} on the node"))
                .hint("make it with a `group` task before this one")),
        }
    }
}

fn once<T>(kept: &RefCell<Option<Rc<T>>>, read: impl FnOnce() -> Result<T>) -> Result<Rc<T>> {
    if let Some(kept) = &*kept.borrow() {
        return Ok(kept.clone());
    }
    let value = Rc::new(read()?);
    kept.replace(Some(value.clone()));
    Ok(value)
}

/// What one task is given beside its fields.
pub(crate) struct Inputs {
    /// The content that its template or source gave.
    pub(crate) content: Option<Content>,
    /// When its commands are ended.
    pub(crate) timeout: Option<Duration>,
}

impl Inputs {
    /// The content as text or bytes in memory; content that is kept apart is none for what asks this.
    pub(crate) fn held(&self) -> Option<&[u8]> {
        match &self.content {
            Some(Content::Held(content)) => Some(content),
            _ => None,
        }
    }
}

/// Content of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// In memory.
    Held(Vec<u8>),
    /// Too large for that: still with the controller, or among [`crate::node::contents`].
    Apart(Apart),
}

/// Content by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Apart {
    /// Its SHA-256, in hexadecimal.
    pub(crate) hash: String,
    /// Its length, in bytes.
    pub(crate) size: u64,
    /// Other tasks or items name it as well.
    pub(crate) shared: bool,
}

/// What a change touches, so that the node can take it back by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Touch {
    /// A file, link or folder, by its path on the node.
    Path(String),
    /// What a unit does, and whether it is started at boot.
    Unit(String),
    /// The units that systemd has read.
    UnitFiles,
    /// The packet filter's rules in the kernel.
    Ruleset,
    /// A kernel parameter, by its name with dots.
    Sysctl(String),
}

/// Something that a task wants changed. A check tells the message; an application does it. Since both come from the same
/// place, a check cannot tell something else than what is done.
pub(crate) struct Change {
    pub(crate) message: String,
    pub(crate) diff: Option<String>,
    /// All that it touches; nothing where that cannot be taken back.
    pub(crate) touches: Vec<Touch>,
    /// The file that it leaves behind, by its path; nothing in place of a file that it removes.
    pub(crate) leaves: Option<(String, Option<Left>)>,
    /// Content that must be on the node before it is applied.
    pub(crate) needs: Option<Apart>,
    act: Action,
}

type Action = Box<dyn FnOnce(&Machine, &mut Output) -> Result<()>>;

impl Change {
    /// A change told in one line, and how to do it; what a command prints goes into the output.
    pub(crate) fn new(
        message: impl Into<String>,
        act: impl FnOnce(&Machine, &mut Output) -> Result<()> + 'static,
    ) -> Self {
        Self { message: message.into(), diff: None, touches: Vec::new(), leaves: None, needs: None, act: Box::new(act) }
    }

    /// Adds what differs in a file.
    pub(crate) fn diff(mut self, diff: Option<String>) -> Self {
        self.diff = diff;
        self
    }

    /// Says what it touches.
    pub(crate) fn touching(mut self, touch: Touch) -> Self {
        self.touches.push(touch);
        self
    }

    /// Says which file it leaves behind.
    pub(crate) fn leaving(mut self, path: &str, left: Option<Left>) -> Self {
        self.leaves = Some((path.to_owned(), left));
        self
    }

    /// Says which content must be on the node first.
    pub(crate) fn needing(mut self, content: Option<&Apart>) -> Self {
        self.needs = content.cloned();
        self
    }

    /// Does something else right before it, which need not be told.
    pub(crate) fn preceded_by(mut self, first: impl FnOnce(&Machine) -> Result<()> + 'static) -> Self {
        let act = self.act;
        self.act = Box::new(move |machine, output| {
            first(machine)?;
            act(machine, output)
        });
        self
    }

    /// Does it.
    pub(crate) fn apply(self, machine: &Machine, output: &mut Output) -> Result<()> {
        let done = (self.act)(machine, output);
        machine.forget();
        done
    }
}

/// A task type: tells what is to be changed on a machine, and changes nothing by that.
pub(crate) trait Converge {
    /// What differs from what the task wants; nothing where all is as it should be.
    fn changes(&self, machine: &Machine, inputs: &Inputs) -> Result<Vec<Change>>;

    /// What the task makes where it is not there yet; nothing for a task that makes nothing of its own.
    fn makes(&self) -> Vec<Made> {
        Vec::new()
    }
}
