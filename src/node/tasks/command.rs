//! `command`.

use crate::node::exec::Run;
use crate::node::machine::{Change, Converge, Inputs, Machine};
use crate::wire::action::Command;
use crate::{Error, Result};

/// How much of a command stands in a message, in characters.
const SHOWN: usize = 80;

impl Converge for Command {
    fn changes(&self, machine: &Machine, inputs: &Inputs) -> Result<Vec<Change>> {
        let argv = match (&self.argv, &self.shell) {
            (Some(argv), None) if !argv.is_empty() => argv.clone(),
            (None, Some(line)) => shell(line),
            _ => return Err(Error::input("give a command `argv` or `shell`, one of them")),
        };
        let user = self.run_as(machine)?;
        let exists =
            |path: &Option<String>| path.as_ref().map(|path| machine.paths.at(path).symlink_metadata().is_ok());
        if exists(&self.creates) == Some(true) || exists(&self.removes) == Some(false) {
            return Ok(Vec::new());
        }
        let run = |argv| Run {
            argv,
            env: self.env.clone(),
            cwd: self.cwd.clone(),
            timeout: inputs.timeout,
            user: user.clone(),
            ..Run::default()
        };
        if let Some(unless) = &self.unless
            && machine.commands.run(&run(shell(unless)))?.status == 0
        {
            return Ok(Vec::new());
        }
        let told = self.shell.clone().unwrap_or_else(|| argv.join(" "));
        let first = told.trim().lines().next().unwrap_or_default();
        let mut shown: String = first.chars().take(SHOWN).collect();
        if shown.len() < told.trim().len() {
            shown.push('…');
        }
        let mut run = run(argv);
        run.stdin = self.stdin.clone().map(String::into_bytes);
        Ok(vec![Change::new(format!("run `{shown}`"), move |machine, output| {
            // Whether its exit code is a failure is for `failed_when` to say.
            *output = machine.commands.run(&run)?;
            Ok(())
        })])
    }
}

fn shell(line: &str) -> Vec<String> {
    ["/bin/sh", "-eu", "-c", line].map(str::to_owned).to_vec()
}

impl Command {
    fn run_as(&self, machine: &Machine) -> Result<Option<(u32, u32, String, String)>> {
        let Some(name) = self.user.as_deref().filter(|name| *name != "root") else { return Ok(None) };
        match machine.accounts()?.user(name) {
            Some(user) => Ok(Some((user.uid, user.gid, user.home, user.name))),
            None if machine.may_come() => Ok(None),
            None => Err(Error::failed(format!("there is no user {name:?} on the node"))
                .hint("make it with a `user` task before this one")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::Bench;
    use crate::node::exec::Output;

    #[test]
    fn a_command_is_a_change_unless_there_is_nothing_to_do() {
        let bench = Bench::new();
        let run = |fields: serde_json::Value| {
            let mut task = json!({"argv": ["touch", "/x"]});
            task.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            json!({"command": task})
        };
        assert_eq!(bench.check(run(json!({}))).unwrap(), ["run `touch /x`"]);
        assert!(bench.check(run(json!({"creates": "/etc"}))).unwrap().is_empty());
        assert_eq!(bench.check(run(json!({"creates": "/none"}))).unwrap().len(), 1);
        assert!(bench.check(run(json!({"removes": "/none"}))).unwrap().is_empty());
        assert!(bench.check(run(json!({"unless": "true"}))).unwrap().is_empty());
        assert_eq!(bench.ran(), ["/bin/sh -eu -c true"], "a check runs nothing but `unless`");
        assert!(bench.check(run(json!({"user": "nobody-here"}))).is_err());
        assert!(bench.check(json!({"command": {}})).is_err());
    }

    #[test]
    fn unless_decides_by_its_exit_code() {
        let bench = Bench::answering(|_| Output { status: 1, ..Output::default() });
        let task = json!({"command": {"shell": "one\ntwo", "unless": "false"}});
        assert_eq!(bench.check(task).unwrap(), ["run `one…`"]);
    }
}
