//! Programs that die with us, children and all.
//!
//! A build that is killed must not go on behind our back and write into what the next build makes.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::Result;
use crate::tool::Tool;

const SETPRIV: Tool =
    Tool { program: "setpriv", package: "util-linux", purpose: "end a build's programs with the build" };
const UNSHARE: Tool =
    Tool { program: "unshare", package: "util-linux", purpose: "end a build's programs with the build" };

/// Whoever is killed before its child has asked to be killed with it leaves that child to another parent: the child looks
/// for that once it has asked, and ends before it has done anything.
const UNLESS_ORPHANED: &str = r#"[ "$PPID" = "$0" ] || exit 1; exec "$@""#;

/// A command that runs `program`, which is killed when we are. Its own children are not: see [`command`].
///
/// # Errors
/// Fails where util-linux is not installed.
pub(super) fn alone(program: impl AsRef<OsStr>) -> Result<Command> {
    let mut command = SETPRIV.command()?;
    command
        .args(["--pdeathsig", "KILL", "--", "/bin/sh", "-c", UNLESS_ORPHANED])
        .arg(std::process::id().to_string())
        .arg(program)
        // Ctrl-C at the operator's terminal is for us: we end them, and know then that they did not fail.
        .process_group(0);
    Ok(command)
}

/// A command that runs `program` so that all of its children are killed as well: in a process namespace of its own, whose
/// first process is killed with its parent, and all others with that one.
///
/// # Errors
/// Fails where util-linux is not installed.
pub(super) fn command(program: impl AsRef<OsStr>) -> Result<Command> {
    let mut command = alone(UNSHARE.path()?)?;
    command
        .args(["--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"])
        .arg(program)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(command)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn an_orphan_does_nothing() {
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("written");
        let status = |parent: String| {
            Command::new("/bin/sh").args(["-c", UNLESS_ORPHANED, &parent, "touch"]).arg(&file).status().unwrap()
        };
        assert!(!status("1".into()).success());
        assert!(!file.exists());
        assert!(status(std::process::id().to_string()).success());
        assert!(file.exists());
    }

    #[test]
    fn a_program_dies_with_whoever_started_it() {
        // The signal comes when the thread ends that started it, as it does when the process is killed.
        let mut child = std::thread::spawn(|| {
            let mut command = alone("/bin/sh").unwrap();
            let mut child = command.args(["-c", "echo up; exec sleep 60"]).stdout(Stdio::piped()).spawn().unwrap();
            child.stdout.as_mut().unwrap().read_exact(&mut [0; 3]).unwrap();
            child
        })
        .join()
        .unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9), "it was not waited for");
    }

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
