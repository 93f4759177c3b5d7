//! `stead-node`: the node agent.

use std::io::Write;
use std::process::ExitCode;

use stead::node::exec::System;
use stead::node::{Paths, data_volume, guard, image, session};
use stead::{Error, Result};

const USAGE: &str = "stead-node session            speak with a controller on stdin and stdout
stead-node image-apply --root DIR   apply the plan on stdin inside an image's root
stead-node guard-watch              take changes back that nobody confirms in time
stead-node guard-boot               take changes back that nobody confirmed before the boot
stead-node data-volume              make the data volume where there is none, and open it
stead-node --version";

fn main() -> ExitCode {
    // A hardened login's umask is not for the files that tasks make: their modes are what playbooks say.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let args: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    match run(&args.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // stdout belongs to the frames. Where stderr is gone as well, the exit code remains.
            let mut stderr = std::io::stderr();
            let _ = writeln!(stderr, "stead-node: {}", error.one_line());
            for hint in error.hints() {
                let _ = writeln!(stderr, "hint: {hint}");
            }
            ExitCode::from(error.kind().exit_code())
        }
    }
}

fn run(args: &[&str]) -> Result<()> {
    let (mut stdin, mut stdout) = (std::io::stdin().lock(), std::io::stdout().lock());
    match args {
        ["session"] => session::serve(&Paths::default(), &mut stdin, &mut stdout),
        ["image-apply", "--root", root] => image::apply(root.as_ref(), &mut stdin, &mut stdout),
        ["guard-watch"] => guard::watch(&Paths::default()),
        ["guard-boot"] => guard::boot(&Paths::default()),
        ["data-volume"] => {
            let there = data_volume::open(&Paths::default(), &System)?;
            // For the journal.
            let said = if there {
                "the data volume is open"
            } else {
                "the disk has no room: what is kept lies on the root, not encrypted"
            };
            Ok(writeln!(stdout, "{said}")?)
        }
        ["--version"] => Ok(writeln!(stdout, "stead-node {}", stead::VERSION)?),
        ["--help"] => Ok(writeln!(stdout, "{USAGE}")?),
        _ => Err(Error::input(format!("unknown arguments\n{USAGE}"))),
    }
}
