//! `stead playbook import`: other programs' playbooks.

use std::io::Write;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use crate::cli::env::Env;
use crate::error::Context;
use crate::playbook::import::{self, Imported};
use crate::{Error, Result};

/// Takes another program's playbook over into Stead's language
#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Import {
    Ansible(Args),
}

/// Translates an Ansible playbook, or a file of tasks, and tells what it left out
///
/// What is written means what the original means. What cannot be said is left out: it is told with its place and the way
/// out, and a comment stands where it stood. Then the command ends with 1, having written the rest. docs/MIGRATING.md lists
/// what is translated.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The playbook; `-` is stdin
    #[arg(value_name = "FILE")]
    file: Utf8PathBuf,
    /// Which play of several, from 1
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    play: usize,
    /// Write the playbook to this file, which must not be there yet [default: stdout]
    #[arg(long, value_name = "FILE")]
    output: Option<Utf8PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Fails where the file is no playbook, and where something was left out.
pub(super) fn run(command: &Import, env: &Env) -> Result<()> {
    let Import::Ansible(args) = command;
    let (text, name) = read(&args.file)?;
    let imported = import::ansible(name, &text, args.play)?;
    if let Some(path) = &args.output {
        write(path, &imported.playbook)?;
    }
    let Imported { playbook, left, found, translated } = imported;
    let told: Vec<_> = left
        .iter()
        .map(|note| {
            json!({"file": note.span.source.path(), "line": note.span.line, "column": note.span.column,
                "what": note.what, "why": note.why, "hint": note.hint})
        })
        .collect();
    let shown = if args.output.is_none() { playbook.as_str() } else { "" };
    env.printer.data(&json!({"playbook": playbook, "left": told}), shown)?;
    if left.is_empty() {
        env.printer.say(format_args!("all of it was taken over: {found} tasks and handlers"));
        return Ok(());
    }
    if !env.printer.json {
        left.iter().for_each(|note| env.printer.say(note.diagnostic()));
    }
    let told = if left.len() == 1 { "1 remark".to_owned() } else { format!("{} remarks", left.len()) };
    let summary = format!("{translated} of {found} tasks and handlers were taken over, with {told}");
    Err(Error::failed(summary).hint("see to each of them; docs/MIGRATING.md has the whole table"))
}

/// The file's text, and what messages call it.
fn read(file: &Utf8Path) -> Result<(String, &Utf8Path)> {
    let (text, name) = match file.as_str() {
        "-" => (std::io::read_to_string(std::io::stdin()), Utf8Path::new("stdin")),
        _ => (std::fs::read_to_string(file), file),
    };
    let wrong = |error| Error::input(format!("{file} cannot be read")).because(error).hint("name a playbook");
    Ok((text.map_err(wrong)?, name))
}

fn write(path: &Utf8Path, text: &str) -> Result<()> {
    let mut file = std::fs::File::create_new(path).map_err(|error: std::io::Error| {
        Error::input(format!("{path} is not written; what is there is not overwritten"))
            .because(error)
            .hint("name another file")
    })?;
    file.write_all(text.as_bytes()).with_context(|| format!("writing {path}"))
}
