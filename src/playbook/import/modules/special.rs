//! What the table cannot say of packages, lines, accounts and services.

use super::{Args, Fields, Given, Job, Out, field};
use crate::fleet::Node;
use crate::playbook::import::scalar::truth;
use crate::wire::action::{check_marker, check_regexp, regexp};
use crate::wire::expr::Engine;

pub(super) fn none(_: &mut Job, _: &mut Args) -> Given {
    (None, Vec::new())
}

/// `apt`: names, and the ways in which ours differs.
pub(super) fn package(job: &mut Job, args: &mut Args) -> Given {
    let state = args.get(&["state"]).and_then(Node::scalar_text).unwrap_or_default().to_owned();
    let purges = args.flag(job, &["purge"]);
    match state.as_str() {
        "absent" if !purges => job.remark("A `package` that goes takes its configuration with it (apt's purge)."),
        "absent" => {}
        _ => job.remark("`package` leaves out what apt only recommends: name what is needed of it."),
    }
    if args.get(&["name", "pkg", "package"]).is_none() {
        let hint = "`package` asks the sources by itself; `update_cache: true` beside names has it ask anew";
        job.problem(&args.key, "package sources are asked where something is installed, and only there", hint);
    }
    (None, Vec::new())
}

/// Where new lines go. Ansible looks for the last line that `insertbefore` matches, ours for the first.
fn inserted(job: &mut Job, args: &mut Args, first: bool) -> Option<(String, Out)> {
    let (after, before) = (args.take(&["insertafter"]), args.take(&["insertbefore"]));
    match (after, before) {
        (Some(after), None) if after.as_str() == Some("EOF") => None,
        (None, Some(before)) if before.as_str() == Some("BOF") => Some(field("insert_before", "^")),
        (Some(after), None) if !first => pattern(job, &after).map(|text| field("insert_after", text)),
        (None, Some(before)) if first => pattern(job, &before).map(|text| field("insert_before", text)),
        (None, None) => None,
        (Some(node), _) | (_, Some(node)) => {
            let hint = "`insert_after` takes the last line that matches, `insert_before` the first one";
            job.problem(&node.span, "this place for a new line", hint);
            None
        }
    }
}

/// A regular expression that ours reads as well.
fn pattern(job: &mut Job, node: &Node) -> Option<String> {
    let text = job.text(node)?;
    if !Engine::is_template(&text)
        && let Err(error) = check_regexp(&text)
    {
        job.problem(&node.span, error.one_line(), "the syntax is Perl's, without look-around and back references");
        return None;
    }
    Some(text)
}

pub(super) fn line(job: &mut Job, args: &mut Args) -> Given {
    let is_absent = args.get(&["state"]).and_then(Node::as_str) == Some("absent");
    let (line, expression) = (args.take(&["line", "value"]), args.get(&["regexp", "regex"]).cloned());
    let first = args.flag(job, &["firstmatch"]);
    let mut fields: Fields = inserted(job, args, first).into_iter().collect();
    let expression = expression.and_then(|node| Some((pattern(job, &node)?, node.span)));
    match line {
        // Ansible takes out what the expression matches, and looks at the line where there is none.
        Some(_) if is_absent && expression.is_some() => {}
        Some(node) => {
            let line = job.text(&node).unwrap_or_default();
            if line.contains('\n') {
                job.problem(&node.span, "several lines in one", "use `blockinfile`, or a task for each line");
            }
            if let Some((expression, span)) = &expression
                && !Engine::is_template(&line)
                && !Engine::is_template(expression)
                && regexp(expression).is_ok_and(|regexp| !regexp.is_match(&line))
            {
                let hint = "let the expression match the new line as well: ^#?Port";
                job.problem(span, "the line does not fit the expression: Ansible adds one more each time", hint);
            }
            fields.push(field("line", line));
        }
        None if expression.is_some() && is_absent => {}
        None => job.problem(&args.key, "`line` is missing", "give it"),
    }
    (None, fields)
}

pub(super) fn block(job: &mut Job, args: &mut Args) -> Given {
    let mut fields: Fields = inserted(job, args, false).into_iter().collect();
    // The markers stay the same, so that a block that Ansible made is found.
    let marker = args.take(&["marker"]).and_then(|node| Some((job.text(&node)?, node.span)));
    if let Some((marker, span)) = &marker
        && let Err(error) = check_marker(marker)
    {
        job.problem(span, error.one_line(), "write {mark} where BEGIN and END go");
    }
    let marker = marker.map_or("# {mark} ANSIBLE MANAGED BLOCK".to_owned(), |(marker, _)| marker);
    fields.push(field("marker", marker));
    let content = args.take(&["block", "content"]).and_then(|node| job.text(&node)).unwrap_or_default();
    match args.get(&["state"]).and_then(Node::as_str) {
        Some("absent") => {}
        // Ansible takes an empty block out.
        _ if content.is_empty() => fields.push(field("state", "absent")),
        _ => fields.push(field("content", content)),
    }
    (None, fields)
}

pub(super) fn user(job: &mut Job, args: &mut Args) -> Given {
    let mut fields = Vec::new();
    let is_absent = args.get(&["state"]).and_then(Node::as_str) == Some("absent");
    let is_system = args.flag(job, &["system"]);
    let home = args.take(&["create_home", "createhome"]);
    let makes_home = home.as_ref().and_then(truth).unwrap_or(true);
    if makes_home == is_system && !is_absent {
        let span = home.map_or(args.key.clone(), |home| home.span);
        let hint = "an ordinary account has a home folder, one of the system's has none: say `create_home` so";
        job.problem(&span, "whether a home folder is made", hint);
    }
    if is_system {
        fields.push(field("system", Out::Bool(true)));
    }
    if args.get(&["shell"]).is_none() && !is_absent {
        job.remark("A new `user` without `shell` gets /bin/bash, one of the system's /usr/sbin/nologin.");
    }
    let name = args.get(&["name", "user"]).and_then(Node::scalar_text).map(str::to_owned);
    if let Some(own) = args.take(&["group"])
        && own.scalar_text() != name.as_deref()
    {
        job.problem(&own.span, "a first group that is not the user's own", "put it under `groups`");
    }
    let appends = args.flag(job, &["append"]);
    if let Some(groups) = args.take(&["groups"]) {
        if !appends {
            let hint = "say `append: true`, and take other groups away by hand";
            job.problem(&groups.span, "groups that take the place of all others", hint);
        }
        fields.extend(job.texts(&groups).map(|texts| field("groups", texts)));
    }
    if let Some(comment) = args.take(&["comment"]) {
        job.note(&comment.span, "the account's comment is left out", "it is only what `getent passwd` shows");
    }
    (None, fields)
}

pub(super) fn key(job: &mut Job, args: &mut Args) -> Given {
    if let Some(key) = args.get(&["key"])
        && key.as_str().is_some_and(|text| text.trim().contains('\n') || text.starts_with("http"))
    {
        job.problem(&key.span, "several keys, or keys from elsewhere", "write the keys in a `loop`");
    }
    (None, Vec::new())
}

pub(super) fn service(job: &mut Job, args: &mut Args) -> Given {
    let name = args.take(&["name", "service", "unit"]);
    let reload = args.take(&["daemon_reload", "daemon-reload"]).filter(|node| job.bool(node) == Some(true));
    match (name, reload) {
        (Some(name), reload) => {
            let mut fields: Fields = job.text(&name).map(|name| field("name", name)).into_iter().collect();
            if let Some(node) = reload {
                if !job.is_handler {
                    let hint = "write the unit with a `unit` task, which has systemd read it, and leave this out";
                    job.note(&node.span, "`daemon_reload` counts as a change at every run", hint);
                }
                fields.push(field("daemon_reload", Out::Bool(true)));
            }
            (None, fields)
        }
        (None, Some(_)) if args.get(&["state", "enabled", "masked"]).is_none() => {
            let argv = ["systemctl", "daemon-reload"].map(str::to_owned).to_vec();
            (Some("command"), vec![field("argv", argv)])
        }
        (None, _) => {
            job.problem(&args.key, "`name` is missing", "name the unit");
            (None, Vec::new())
        }
    }
}
