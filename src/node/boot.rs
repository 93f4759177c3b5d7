//! Waiting for the end of the boot: cloud-init done, and no job of systemd's left.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::node::Paths;
use crate::node::exec::{Commands, Run};
use crate::wire::message::Reply;
use crate::{Error, Result};

/// How often to look.
const PAUSE: Duration = Duration::from_millis(100);

/// Waits until the machine has finished booting, and tells what failed.
///
/// # Errors
/// Fails where it has not within the time-out, naming what it waits for; and where no systemd runs.
pub(crate) fn wait(paths: &Paths, commands: &dyn Commands, timeout: Duration) -> Result<Reply> {
    if !paths.at("/run/systemd/system").is_dir() {
        return Err(
            Error::failed("systemd does not run on this machine").hint("Stead's nodes run systemd as process 1")
        );
    }
    let deadline = Instant::now() + timeout;
    while !cloud_init_is_done(paths) {
        if Instant::now() >= deadline {
            return Err(Error::failed(format!("cloud-init was not done within {} s", timeout.as_secs()))
                .hint("`cloud-init status --long` on the node, and /var/log/cloud-init.log, tell more"));
        }
        std::thread::sleep(PAUSE);
    }
    let state = loop {
        let output = commands.run(&Run::new(["systemctl", "is-system-running"]))?;
        let state = output.stdout.trim().to_owned();
        if !matches!(state.as_str(), "initializing" | "starting" | "") {
            break state;
        }
        if Instant::now() >= deadline {
            let jobs = commands.run(&Run::new(["systemctl", "list-jobs", "--no-legend", "--no-pager"]))?;
            let jobs: Vec<&str> = jobs.stdout.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
            return Err(Error::failed(format!(
                "the node was still booting after {} s; it waits for: {}",
                timeout.as_secs(),
                jobs.join(", ")
            )));
        }
        std::thread::sleep(PAUSE);
    };
    let failed = if state == "running" { Vec::new() } else { failed_units(commands)? };
    Ok(Reply::Booted { state, failed, cloud_init: cloud_init_errors(paths) })
}

/// Boots the machine; returns before that begins.
///
/// # Errors
/// Fails where systemd says so.
pub(crate) fn reboot(commands: &dyn Commands) -> Result<()> {
    commands.must(&Run::new(["systemctl", "--no-block", "--no-ask-password", "reboot"])).map(drop)
}

/// Whether cloud-init has nothing more to do in this boot: it wrote its result, was told not to run, or is not there.
fn cloud_init_is_done(paths: &Paths) -> bool {
    let exists = |path: &str| paths.at(path).exists();
    exists("/run/cloud-init/result.json")
        || exists("/run/cloud-init/disabled")
        || exists("/etc/cloud/cloud-init.disabled")
        || !exists("/usr/bin/cloud-init")
}

/// cloud-init's errors of this boot, the recoverable ones (as it calls warnings) included.
fn cloud_init_errors(paths: &Paths) -> Vec<String> {
    let status: Value = fs_err::read(paths.at("/run/cloud-init/status.json"))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let mut found = Vec::new();
    for (name, stage) in status["v1"].as_object().into_iter().flatten() {
        let errors = stage["errors"].as_array().into_iter().flatten();
        let recoverable = stage["recoverable_errors"].as_object().into_iter().flatten();
        let recoverable = recoverable.flat_map(|(_, texts)| texts.as_array().into_iter().flatten());
        for text in errors.chain(recoverable).filter_map(Value::as_str) {
            found.push(format!("{name}: {text}"));
        }
    }
    found
}

fn failed_units(commands: &dyn Commands) -> Result<Vec<String>> {
    let argv = ["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager"];
    let output = commands.must(&Run::new(argv))?;
    Ok(output.stdout.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::exec::Output;
    use crate::node::tasks::testing::Bench;

    #[test]
    fn what_failed_is_told() {
        let bench = Bench::answering(|run| Output {
            stdout: match run.argv[1].as_str() {
                "is-system-running" => "degraded\n".into(),
                _ => "apt-daily.service loaded failed failed Daily apt\n".into(),
            },
            ..Output::default()
        });
        for folder in ["/run/systemd/system", "/run/cloud-init", "/usr/bin"] {
            std::fs::create_dir_all(bench.at(folder)).unwrap();
        }
        std::fs::write(bench.at("/usr/bin/cloud-init"), "").unwrap();
        let wait = || wait(&bench.machine.paths, &*bench.machine.commands, Duration::ZERO);
        assert!(wait().unwrap_err().to_string().contains("cloud-init"));
        let status =
            r#"{"v1": {"stage": null, "init": {"errors": ["bad"], "recoverable_errors": {"WARNING": ["odd"]}}}}"#;
        std::fs::write(bench.at("/run/cloud-init/status.json"), status).unwrap();
        std::fs::write(bench.at("/run/cloud-init/result.json"), "{}").unwrap();
        let Reply::Booted { state, failed, cloud_init } = wait().unwrap() else { panic!("another reply") };
        assert_eq!((state.as_str(), failed), ("degraded", vec!["apt-daily.service".to_owned()]));
        assert_eq!(cloud_init, ["init: bad", "init: odd"]);
    }

    #[test]
    fn what_the_boot_waits_for_is_named() {
        let bench = Bench::answering(|run| Output {
            stdout: if run.argv[1] == "list-jobs" { "12 a.service start running\n" } else { "starting\n" }.into(),
            ..Output::default()
        });
        std::fs::create_dir_all(bench.at("/run/systemd/system")).unwrap();
        let error = wait(&bench.machine.paths, &*bench.machine.commands, Duration::ZERO).unwrap_err();
        assert!(error.to_string().ends_with("it waits for: a.service"), "{error}");
    }
}
