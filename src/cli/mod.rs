//! The `stead` command: one file per subcommand, and the only room that prints.

mod afar;
mod audit;
mod backup;
mod completions;
mod config;
mod control;
mod converge;
mod doctor;
mod down;
mod env;
mod follow;
mod image;
mod init;
mod internal;
mod known_hosts;
mod login;
mod logout;
mod migrate;
mod missing;
mod mistakes;
mod nightly;
mod node;
mod node_rebuild;
mod node_rotate_identity;
mod node_sweep;
mod outdated;
mod overview;
mod plane;
mod playbook;
mod printer;
mod progress;
mod publish;
mod restore;
mod run_log;
mod schema;
mod secret;
mod serve;
mod status;
mod store;
mod text;
mod up;
mod waves;
mod work;
mod worker;
mod workflow;
mod workspace;

use std::process::ExitCode;
use std::sync::Mutex;

use camino::Utf8PathBuf;
use clap::Parser;

use self::env::Env;
use self::printer::{ColorChoice, Printer};
use crate::{Kind, Result, telemetry};

/// Gives every customer a hardened machine of their own, and takes care of it
#[derive(Debug, Parser)]
#[command(name = "stead", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, clap::Args)]
struct Global {
    /// The fleet's folder [default: the nearest one upward that holds a stead.yaml]
    #[arg(long, global = true, value_name = "DIR", env = "STEAD_FLEET", hide_env_values = true)]
    fleet: Option<Utf8PathBuf>,
    /// Data as JSON on stdout
    #[arg(long, global = true)]
    json: bool,
    /// Only data and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Show the program's log; twice for all of it
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
    /// Plain lines instead of a live display
    #[arg(long, global = true)]
    no_progress: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Init(init::Args),
    Doctor(doctor::Args),
    Up(up::Args),
    Down(down::Args),
    Converge(converge::Args),
    Status(status::Args),
    #[command(subcommand)]
    Workspace(workspace::Workspace),
    #[command(subcommand)]
    Playbook(playbook::Playbook),
    #[command(subcommand)]
    Node(node::Node),
    #[command(subcommand)]
    Secret(secret::Secret),
    #[command(subcommand)]
    Image(image::Image),
    #[command(subcommand)]
    Workflow(workflow::Workflow),
    #[command(subcommand)]
    Audit(audit::Audit),
    #[command(subcommand)]
    Config(config::Config),
    Schema(schema::Args),
    Login(login::Args),
    Logout(logout::Args),
    Serve(serve::Args),
    Worker(worker::Args),
    Migrate(migrate::Args),
    #[command(subcommand)]
    Store(store::Store),
    Nightly(nightly::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    Completions(completions::Args),
    #[command(subcommand, hide = true)]
    Internal(internal::Internal),
}

/// The whole program, from arguments to exit code.
pub fn main() -> ExitCode {
    // clap prints usage errors and help by itself, with exit codes 2 and 0.
    let cli = Cli::parse();
    // The services' logs are as their settings say, which are not read yet.
    if !matches!(cli.command, Command::Serve(_) | Command::Worker(_)) {
        // Whoever asks for the log wants to look into it.
        telemetry::init(if cli.global.verbose > 0 { cli.global.verbose + 1 } else { 0 }, false, None);
    }
    let printer = Printer::new(cli.global.json, cli.global.quiet, cli.global.color);
    match run(cli, &printer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.kind() {
                // No failure, but what was asked for.
                Kind::Pending => printer.say(&error),
                _ => printer.error(&error),
            }
            ExitCode::from(error.kind().exit_code())
        }
    }
}

fn run(cli: Cli, printer: &Printer) -> Result<()> {
    if let Command::Internal(internal) = cli.command {
        return internal.run();
    }
    let config = crate::config::Config::from_env()?;
    let env = Env { global: cli.global, config, printer: *printer, locks: Mutex::default() };
    on_runtime(&env, async |env| dispatch(cli.command, env).await)
}

/// Runs a command, and returns once the last of its work is over. The fleet's lock lies in `env`, and so outlives it: a
/// command that was interrupted leaves its blocking work to itself, but not to work beside the next command.
fn on_runtime(env: &Env, command: impl AsyncFnOnce(&Env) -> Result<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(command(env));
    // Waits for the blocking work that has begun.
    drop(runtime);
    ended
}

async fn dispatch(command: Command, env: &Env) -> Result<()> {
    match command {
        Command::Init(args) => init::run(&args, env),
        Command::Doctor(args) => doctor::run(&args, &env.config, &env.printer),
        Command::Up(args) => up::run(&args, env).await,
        Command::Down(args) => down::run(&args, env).await,
        Command::Converge(args) => converge::run(&args, env).await,
        Command::Status(args) => status::run(&args, env).await,
        Command::Workspace(workspace) => workspace::run(&workspace, env).await,
        Command::Playbook(playbook) => playbook::run(&playbook, env).await,
        Command::Node(node) => node::run(&node, env).await,
        Command::Secret(secret) => secret::run(&secret, env).await,
        Command::Image(image) => image::run(&image, env).await,
        Command::Workflow(workflow) => workflow::run(&workflow, env).await,
        Command::Audit(audit) => audit::run(&audit, env).await,
        Command::Config(config) => config::run(&config, env),
        Command::Schema(args) => schema::run(&args, env),
        Command::Login(args) => login::run(&args, env).await,
        Command::Logout(args) => logout::run(&args, env).await,
        Command::Serve(args) => serve::run(&args, env).await,
        Command::Worker(args) => worker::run(&args, env).await,
        Command::Migrate(args) => migrate::run(&args, env).await,
        Command::Store(store) => store::run(&store, env).await,
        Command::Nightly(args) => nightly::run(&args, env).await,
        Command::Backup(args) => backup::run(&args, env).await,
        Command::Restore(args) => restore::run(&args, env).await,
        Command::Completions(args) => completions::run(&args, env),
        Command::Internal(internal) => internal.run(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use camino::Utf8Path;

    use super::*;
    use crate::store::FleetLock;

    #[test]
    fn the_fleet_is_held_until_the_last_work_is_over() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(temporary.path()).unwrap();
        let id = crate::id::FleetId::mint();
        fs_err::write(dir.join("stead.yaml"), format!("fleet: {{name: test, id: {id}}}\n")).unwrap();
        let (cli, printer) =
            (Cli::parse_from(["stead", "--fleet", dir.as_str(), "up"]), Printer::new(false, true, ColorChoice::Never));
        let config = crate::config::Config::from_env().unwrap();
        let env = Env { global: cli.global, config, printer, locks: Mutex::default() };
        let held_to_the_end = Arc::new(AtomicBool::new(false));
        let seen = held_to_the_end.clone();
        on_runtime(&env, async |env| {
            let held = env.hold("stead up").await?;
            let lock_dir = held.place.dir.join(".stead");
            let (begun, has_begun) = mpsc::channel();
            // Left behind, as a step's work is when the step is cut short.
            drop(tokio::task::spawn_blocking(move || {
                begun.send(()).unwrap();
                std::thread::sleep(Duration::from_millis(300));
                seen.store(FleetLock::holder(&lock_dir).unwrap().is_some(), Ordering::SeqCst);
            }));
            has_begun.recv().unwrap();
            Ok(())
        })
        .unwrap();
        assert!(held_to_the_end.load(Ordering::SeqCst));
        drop(env);
        assert_eq!(FleetLock::holder(&dir.join(".stead")).unwrap(), None);
    }
}
