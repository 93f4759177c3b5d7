//! `stead init`: a new fleet.

use camino::Utf8PathBuf;

use super::env::Env;
use crate::error::Context;
use crate::fleet::init;
use crate::fleet::name::check_label;
use crate::secrets::keys::FleetKeys;
use crate::secrets::operators::Operators;
use crate::{Error, Result};

/// Writes a small working fleet, with an id of its own
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder
    #[arg(default_value = ".")]
    dir: Utf8PathBuf,
    /// The fleet's name [default: the folder's]
    #[arg(long)]
    name: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Fails where the folder holds a fleet already or cannot be written.
pub(super) fn run(args: &Args, env: &Env) -> Result<()> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => {
            let dir = std::path::absolute(&args.dir).with_context(|| format!("looking for {}", args.dir))?;
            let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or("fleet").to_ascii_lowercase();
            let legal: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
            let legal = legal.trim_matches('-').to_owned();
            if legal.is_empty() {
                return Err(
                    Error::input("the folder's name gives no name for the fleet").hint("give it one with --name")
                );
            }
            legal
        }
    };
    let mut written = init::init(&args.dir, &name)?;
    // Whoever makes the fleet is its first operator: values can be put into its vault from now on.
    let keys = FleetKeys::open_or_create(&FleetKeys::folder(&args.dir))?;
    let operator = if check_label(&env.config.user).is_ok() { env.config.user.as_str() } else { "operator" };
    Operators::read(&args.dir)?.add(operator, &keys.operator().recipient())?;
    written.push(format!("operators/{operator}.pub").into());
    for path in &written {
        env.printer.say(format_args!("wrote {}", args.dir.join(path)));
    }
    env.printer.data(&written, "")
}
