//! Ansible's playbooks, taken over into Stead's language: what can be said in it, and the place of all that cannot.
//!
//! What is written means what the original means, or is left out, with a comment in its place. Nothing is guessed.

mod args;
mod jinja;
mod job;
mod modules;
mod names;
mod play;
mod scalar;
mod task;
#[cfg(test)]
mod tests;
mod words;
mod write;

use camino::Utf8Path;
use serde_json::{Map, Value as Json};

use self::play::Play;
use crate::fleet::files::File;
use crate::fleet::{Diagnostic, Diagnostics, FileSet, Node, Source, Span, Value, yaml};
use crate::{Error, Result};

/// The playbook's name while it is checked.
const NAME: &str = "imported";
/// How many lines below its beginning a piece of a text is looked for.
const FAR: u32 = 200;

/// What an import gives.
#[derive(Debug)]
pub struct Imported {
    /// The playbook, in YAML.
    pub playbook: String,
    /// What was left out, or has to be seen to, by its place.
    pub left: Vec<Note>,
    /// How many tasks and handlers were found.
    pub found: usize,
    /// How many of them are in the playbook.
    pub translated: usize,
}

/// Something that was left out, or has to be seen to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where it stands.
    pub span: Span,
    /// What it is about: the task, or the play.
    pub what: String,
    /// Why it could not be taken over as it is.
    pub why: String,
    /// What to do instead.
    pub hint: String,
}

impl Note {
    /// The note as a mistake in a file is told: with the line that it is about.
    pub fn diagnostic(&self) -> Diagnostic {
        let message = format!("{}: {}", self.what, self.why);
        Diagnostic { span: self.span.clone(), message, hint: Some(self.hint.clone()) }
    }
}

/// Translates an Ansible playbook, or a file of tasks. `path` is the file as messages show it; `number` says which play of
/// several is taken, from 1.
///
/// # Errors
/// Fails (with kind input) where the file is not YAML, is neither a playbook nor a list of tasks, or has no such play.
pub fn ansible(path: &Utf8Path, text: &str, number: usize) -> Result<Imported> {
    let source = Source::new(path, text);
    let diagnostics = Diagnostics::new();
    let root = yaml::parse(&source, &diagnostics);
    let root = diagnostics.into_result(root)?;
    let Value::Seq(items) = &root.value else { return Err(no_playbook(path)) };
    let is_play = |node: &&Node| ["hosts", "import_playbook"].iter().any(|key| node.get(key).is_some());
    let is_task = |node: &Node| matches!(&node.value, Value::Map(entries) if !entries.is_empty());
    let plays: Vec<&Node> = items.iter().filter(is_play).collect();
    let (chosen, is_play) = match plays.get(number.wrapping_sub(1)) {
        Some(play) => (*play, true),
        None if plays.is_empty() && number == 1 && !items.is_empty() && items.iter().all(is_task) => (&root, false),
        None if plays.is_empty() => return Err(no_playbook(path)),
        None => return Err(Error::input(format!("{path} has {} plays", plays.len())).hint("give one's number")),
    };
    // What is left out takes what names it with it: again, until nothing more has to go.
    let mut play = Play::default();
    let fields = loop {
        let mut next = Play::with(play.dead.clone());
        let fields = if is_play { next.read(chosen) } else { next.tasks(chosen) };
        let is_settled = next.dead == play.dead;
        play = next;
        if is_settled {
            break fields;
        }
    };
    let others = items.iter().filter(|item| is_play && !std::ptr::eq(*item, chosen));
    play.all.notes.extend(others.map(|other| Note {
        span: other.span.clone(),
        what: "another play".to_owned(),
        why: "a playbook is one play".to_owned(),
        hint: "import it into a playbook of its own, with `--play NUMBER`".to_owned(),
    }));
    let mut comments = vec![format!("From {path}, by `stead playbook import ansible`.")];
    comments.extend(play.about.clone());
    comments.extend(play.all.remarks.iter().map(|remark| format!("Differs: {remark}")));
    let playbook = write::document(&comments, &fields);
    load(&playbook, &play)?;
    let undefined = play.all.undefined.iter().map(|(name, span)| Note {
        span: span.clone(),
        what: format!("the variable {name:?}"),
        why: "nothing in this file defines it".to_owned(),
        hint: "give it under the `vars` of the tier or the workspace, as the inventory did".to_owned(),
    });
    let mut left: Vec<Note> = play.all.notes.iter().cloned().chain(undefined).collect();
    left.sort_by_key(|note| (note.span.line, note.span.column));
    left.dedup();
    Ok(Imported { playbook, left, found: play.found, translated: play.found - play.lost })
}

fn no_playbook(path: &Utf8Path) -> Error {
    Error::input(format!("{path} is no Ansible playbook: one is a list of plays (with `hosts`), or of tasks"))
        .hint("name a playbook, or the file of a role's tasks (roles/NAME/tasks/main.yml)")
}

/// Has the playbook loaded as `converge` would, with the files and variables that it still needs.
fn load(playbook: &str, play: &Play) -> Result<()> {
    let file = |text: &str| File { content: text.as_bytes().into(), executable: false };
    let needed = play.all.files.iter().map(|path| (path.into(), file("")));
    let own = needed.chain([(format!("playbooks/{NAME}.yaml").into(), file(playbook))]);
    let vars: Map<String, Json> = play.all.undefined.keys().map(|name| (name.clone(), Json::Null)).collect();
    super::compile(&FileSet::with_shipped(own), &[NAME.to_owned()], vars).map(drop).map_err(|error| {
        let told = error.to_string();
        let line = told.split(':').nth(1).and_then(|line| line.parse().ok()).unwrap_or(usize::MAX);
        let above = playbook.lines().take(line).filter(|line| line.trim_start().starts_with("- "));
        let task = above.last().unwrap_or("the playbook").trim();
        let error = Error::failed(format!("what was made of {task:?} is no playbook of Stead's")).because(error);
        error.hint("this is a mistake of the importer's: take that task out of the file, and import again")
    })
}

/// Where a piece of a text stands that begins at a place: there, or on one of the lines below.
fn place(span: &Span, piece: &str) -> Span {
    let first = piece.lines().next().unwrap_or_default();
    let mut lines = (span.line..span.line.saturating_add(FAR)).map(|number| (number, span.source.line(number)));
    let found = lines.find_map(|(line, text)| {
        let skip = if line == span.line { span.column.saturating_sub(1) as usize } else { 0 };
        let from = text.char_indices().nth(skip).map_or(text.len(), |(at, _)| at);
        let at = from + text[from..].find(first)?;
        let column = u32::try_from(text[..at].chars().count() + 1).unwrap_or(u32::MAX);
        let length = u32::try_from(first.chars().count()).unwrap_or(1);
        Some(Span { line, column, length, ..span.clone() })
    });
    found.filter(|_| !first.is_empty()).unwrap_or_else(|| span.clone())
}
