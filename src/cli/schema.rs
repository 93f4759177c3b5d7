//! `stead schema`: JSON Schemas, for editors.

use super::env::Env;
use crate::{Error, Result, fleet, image, playbook};

/// Prints the JSON Schema of a kind of file, for editors
///
/// With the YAML language server, one line on top of the file is enough:
/// `# yaml-language-server: $schema=./fleet.schema.json`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which kind of file
    kind: SchemaKind,
}

/// The kinds of files that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SchemaKind {
    /// stead.yaml, and what it includes
    Fleet,
    /// playbooks/NAME.yaml
    Playbook,
    /// images/NAME/image.yaml
    Image,
}

/// Runs the command.
///
/// # Errors
/// Fails where stdout does.
pub(super) fn run(args: &Args, env: &Env) -> Result<()> {
    let schema = match args.kind {
        SchemaKind::Fleet => fleet::schema::schema(),
        SchemaKind::Playbook => playbook::schema::schema(),
        SchemaKind::Image => image::schema::schema(),
    };
    let text =
        serde_json::to_string_pretty(&schema).map_err(|error| Error::failed("writing the schema").because(error))?;
    env.printer.data(&schema, text)
}
