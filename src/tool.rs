//! Other programs that Stead runs, and what to tell a user who lacks one.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::{Error, Result};

/// A program that Stead runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// The program's name on `PATH`.
    pub program: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
    /// What Stead needs it for, for a reader.
    pub purpose: &'static str,
}

/// Where administrators' programs lie; an ordinary user's `PATH` often lacks these.
const SYSTEM_DIRS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
/// How much of a failed program's talk goes into the error, in lines.
const TAIL_LINES: usize = 12;

impl Tool {
    /// The program's path, if it is installed.
    pub fn find(&self) -> Option<std::path::PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(SYSTEM_DIRS.map(Into::into))
            .map(|dir| dir.join(self.program))
            .find(|file| file.is_file())
    }

    /// The program's path.
    ///
    /// # Errors
    /// Fails where the program is not installed, and names the package.
    pub fn path(&self) -> Result<std::path::PathBuf> {
        self.find().ok_or_else(|| {
            Error::failed(format!("{} is not installed; it is needed to {}", self.program, self.purpose))
                .hint(format!("`stead doctor --fix` installs it, or `apt-get install {}`", self.package))
        })
    }

    /// A command that runs it.
    ///
    /// # Errors
    /// As [`Tool::path`].
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new(self.path()?);
        // Messages are read by people and by us: in one language.
        command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        Ok(command)
    }

    /// Runs it with these arguments and gives its standard output.
    ///
    /// # Errors
    /// Fails where the program is not installed, or ends with another status than 0; the error holds what it said last.
    pub fn run<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(&self, args: I) -> Result<String> {
        self.run_with_stdin(args, "")
    }

    /// As [`Tool::run`], with text on standard input.
    ///
    /// # Errors
    /// As [`Tool::run`].
    pub fn run_with_stdin<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(
        &self,
        args: I,
        stdin: &str,
    ) -> Result<String> {
        let mut child = self
            .command()?
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at the operator's terminal is for us, who let it end; killed half way, its work would seem to have failed.
            .process_group(0)
            .spawn()?;
        let mut pipe = child.stdin.take().ok_or_else(|| Error::failed("no pipe to a child process"))?;
        // A program that does not read its input closes the pipe; what it has to say about that is in its status.
        let _ = pipe.write_all(stdin.as_bytes());
        drop(pipe);
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(self.failure(output.status, &String::from_utf8_lossy(&output.stderr)))
    }

    /// The error for a run that ended with `status`, with the last lines of what it said.
    pub fn failure(&self, status: std::process::ExitStatus, said: &str) -> Error {
        Error::failed(format!("{} failed ({status})", self.program)).because(tail(said, TAIL_LINES))
    }
}

/// The last lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SH: Tool = Tool { program: "sh", package: "dash", purpose: "test" };

    #[test]
    fn a_missing_program_names_its_package() {
        let none = Tool { program: "stead-no-such-program", package: "some-package", purpose: "test" };
        let error = none.run(["x"]).unwrap_err();
        assert!(error.hints()[0].contains("apt-get install some-package"), "{error:?}");
    }

    #[test]
    fn a_failed_program_is_quoted() {
        let error = SH.run(["-c", "echo out; echo the reason >&2; exit 4"]).unwrap_err();
        assert!(error.one_line().contains("exit status: 4") && error.one_line().contains("the reason"), "{error:?}");
        // The fifth field of /proc/PID/stat is the process group.
        let group = SH.run(["-c", "read -r _ _ _ _ group _ < /proc/self/stat; echo $group"]).unwrap();
        assert_ne!(group.trim(), rustix::process::getpgrp().as_raw_pid().to_string(), "Ctrl-C would reach it");
        assert_eq!(SH.run_with_stdin(["-c", "cat"], "hello").unwrap(), "hello");
    }
}
