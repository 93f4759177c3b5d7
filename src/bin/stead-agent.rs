//! `stead-agent`: the workload on a node. It answers `/health` with the fingerprints of the credentials that it holds.

use std::io::Write;
use std::process::ExitCode;

use stead::agent::{Options, serve};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let ended = if args == ["--version"] {
        writeln!(std::io::stdout(), "stead-agent {}", stead::VERSION).map_err(stead::Error::from)
    } else {
        Options::parse(&args, |name| std::env::var(name).ok()).and_then(|options| serve(&options))
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is gone as well, the exit code remains.
            let _ = writeln!(std::io::stderr(), "stead-agent: {}", error.one_line());
            ExitCode::from(error.kind().exit_code())
        }
    }
}
