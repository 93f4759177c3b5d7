//! Applying playbooks inside an image's root: the node agent, in an overlay, without SSH and without a running systemd.

use std::io::{Read, Seek, SeekFrom, Write};
use std::process::Stdio;

use camino::{Utf8Path, Utf8PathBuf};

use super::contained;
use super::programs::Program;
use super::stages::Building;
use super::stop::Stop;
use crate::error::Context;
use crate::fleet::FileSet;
use crate::playbook::Report;
use crate::wire::frame;
use crate::wire::message::Reply;
use crate::wire::plan::{ApplyOptions, Plan, Summary, TaskEvent};
use crate::{Error, Result};

/// Applies a plan (or with `check` only tells what that would change), with the files that it names content of, to the layers `below` (topmost first) and lets the changes become the layer in `building`.
///
/// `program` is this program: mounting needs a process with one thread, so it starts itself as a small helper.
///
/// # Errors
/// Fails with the first task that failed, where the helper does not run, and where `stop` ended it.
pub(super) fn apply(
    program: &Utf8Path,
    agent: &Program,
    (plan, files, check): (&Plan, &FileSet, bool),
    below: &[Utf8PathBuf],
    building: &Building,
    stop: &Stop,
    on_event: &mut dyn FnMut(&TaskEvent),
) -> Result<Summary> {
    let (work, root) = (building.scratch("work")?, building.scratch("mounted")?);
    let mut command = contained::command(program)?;
    command.args(["internal", "overlay"]);
    for layer in below {
        command.args(["--layer", layer.as_str()]);
    }
    command
        .args(["--upper", building.root().as_str(), "--work", work.as_str(), "--root", root.as_str(), "--"])
        .args([agent.path.as_str(), "image-apply", "--root", root.as_str()])
        .stdout(Stdio::piped());
    let mut running = stop.spawn(&mut command).context("starting the node agent for the image's root")?;
    let child = running.child();
    let (Some(mut stdin), Some(mut stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Error::failed("no pipes to the node agent"));
    };
    // Read beside the frames: an agent that fills its stderr must not wait for us while we wait for it.
    let said = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
    let request = crate::wire::message::Request::Apply {
        plan: Box::new(plan.clone()),
        options: ApplyOptions { image: true, check, ..ApplyOptions::default() },
    };
    let mut sent = frame::write(&mut stdin, &request);
    let mut stdin = Some(stdin);
    let mut report = Report::default();
    let outcome = loop {
        match frame::read::<Reply>(&mut stdout) {
            Ok(Some(Reply::Events { events })) => {
                events.iter().for_each(&mut *on_event);
                events.into_iter().for_each(|event| report.take(event));
            }
            Ok(Some(Reply::Want { hash, from })) => {
                sent = sent.and_then(|()| stdin.as_mut().map_or(Ok(()), |stdin| send(files, &hash, from, stdin)));
                if sent.is_err() {
                    // The agent waits for what does not come; so it learns of it.
                    stdin = None;
                }
            }
            Ok(Some(Reply::Applied { applied })) => break Some(Ok(applied.summary)),
            Ok(Some(Reply::Failed { message, hints } | Reply::Refused { message, hints })) => {
                break Some(Err(hints.into_iter().fold(Error::failed(message), Error::hint)));
            }
            Ok(Some(other)) => {
                break Some(Err(Error::failed(format!("the node agent answered out of turn: {other:?}"))));
            }
            Ok(None) => break None,
            Err(error) => break Some(Err(error)),
        }
    };
    drop(stdin);
    // Ends with the last process that holds the pipe, so that nobody writes into the layer any more.
    let said = said.join().unwrap_or_default();
    let status = running.wait()?;
    let summary =
        outcome.unwrap_or_else(|| Err(Error::failed(format!("the node agent ended without a result ({status})"))));
    let summary =
        summary.and_then(|summary| sent.map(|()| summary)).map_err(|error| match crate::tool::tail(&said, 10) {
            text if text.is_empty() => error,
            text => Error::failed(error.one_line()).because(text),
        })?;
    report.finish(summary)
}

/// Sends the agent content that the plan only names.
fn send(files: &FileSet, hash: &str, from: u64, to: &mut impl Write) -> Result<()> {
    let mut file = files.open_apart(hash)?;
    file.seek(SeekFrom::Start(from))?;
    let mut piece = vec![0; frame::MAX_PIECE];
    loop {
        let length = file.read(&mut piece)?;
        to.write_all(&frame::encode_piece(&piece[..length])?)?;
        if length == 0 {
            return Ok(to.flush()?);
        }
    }
}
