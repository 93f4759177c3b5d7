//! Programs that die with us, children and all.
//!
//! A build that is killed must not go on behind our back and write into what the next build makes. Its programs run in a
//! process namespace of their own, whose first process is killed with its parent, and all others with that one.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::Result;
use crate::tool::Tool;

const SETPRIV: Tool =
    Tool { program: "setpriv", package: "util-linux", purpose: "end a build's programs with the build" };
const UNSHARE: Tool =
    Tool { program: "unshare", package: "util-linux", purpose: "end a build's programs with the build" };

/// A command that runs `program` so.
///
/// # Errors
/// Fails where util-linux is not installed.
pub(super) fn command(program: impl AsRef<OsStr>) -> Result<Command> {
    let mut command = SETPRIV.command()?;
    let unshare = UNSHARE.path()?;
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(unshare)
        .args(["--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"])
        .arg(program)
        // Ctrl-C at the operator's terminal is for us: we end them, and know then that they did not fail.
        .process_group(0)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooted_children_die_with_their_parent() {
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("alive");
        // Writes on and on from a grandchild, unless it is ended.
        let script = format!("(while sleep 0.05; do echo x >> {}; done) & wait", file.display());
        let mut child = command("/bin/sh").unwrap().args(["-c", &script]).spawn().unwrap();
        while !file.exists() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(200));
        let before = fs_err::metadata(&file).unwrap().len();
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert_eq!(fs_err::metadata(&file).unwrap().len(), before, "the grandchild lives on");
    }
}
