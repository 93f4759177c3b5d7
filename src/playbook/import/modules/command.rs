//! `command` and `shell`.

use super::{Args, Fields, Given, Job, Out, field};
use crate::fleet::{Node, Value};
use crate::playbook::import::words::{self, Word};
use crate::playbook::import::{place, scalar};
use crate::wire::expr::Engine;

pub(super) fn command(job: &mut Job, args: &mut Args) -> Given {
    let line = args.take(&["argv", "cmd"]).or(args.line.take());
    let argv = match line {
        Some(node) if matches!(node.value, Value::Seq(_)) => job.texts(&node),
        Some(node) => by_words(job, &node),
        None => None,
    };
    if argv.as_ref().is_none_or(Vec::is_empty) && job.problems.is_empty() {
        job.problem(&args.key, "the command is missing", "give `cmd` or `argv`");
    }
    let mut fields = vec![field("argv", argv.unwrap_or_default())];
    fields.extend(common(job, args));
    (None, fields)
}

/// `shell`: a line for a shell. Ours ends at the first command that fails and at a variable that is not set, Ansible's
/// does not: what could tell the two apart is run by a shell of its own.
pub(super) fn shell(job: &mut Job, args: &mut Args) -> Given {
    let Some(line) = args.take(&["cmd"]).or(args.line.take()).and_then(|node| job.text(&node)) else {
        if job.problems.is_empty() {
            job.problem(&args.key, "the command is missing", "give `cmd`");
        }
        return (None, Vec::new());
    };
    let line = line.trim_end_matches('\n').to_owned();
    let program = args.take(&["executable"]).and_then(|node| job.path(&node));
    let mut fields = match program {
        None if is_simple(&line) => vec![field("shell", line)],
        program => {
            let program = program.unwrap_or_else(|| "/bin/sh".to_owned());
            vec![field("argv", vec![program, "-c".to_owned(), line])]
        }
    };
    fields.extend(common(job, args));
    (None, fields)
}

/// Whether `sh -eu` does the same as `sh` does: one command, or some joined by `|`, `&&` and `||`.
fn is_simple(line: &str) -> bool {
    let rest = line.replace("&&", "").replace("2>&1", "");
    !rest.contains(['\n', ';', '&', '$', '`', '#', '(', ')', '{', '}', '!'])
        && !rest.split_whitespace().any(|word| matches!(word, "if" | "for" | "while" | "until" | "case" | "set"))
}

fn common(job: &mut Job, args: &mut Args) -> Fields {
    let mut fields = Vec::new();
    for name in ["creates", "removes"] {
        if let Some(node) = args.take(&[name]) {
            let path = job.path(&node).unwrap_or_default();
            if !Engine::is_template(&path) && path.contains(['*', '?', '[']) {
                job.problem(&node.span, "a pattern in place of a path", "name one file");
            }
            fields.push(field(name, path));
        }
    }
    fields
}

/// A command line's words; Ansible splits it behind the expressions, so that what they give must be known for one word.
fn by_words(job: &mut Job, node: &Node) -> Option<Vec<String>> {
    let line = match scalar::scalar(node) {
        Ok(Out::Text(line)) => line,
        _ => {
            job.problem(&node.span, "this is no command line", "write it in quotes");
            return None;
        }
    };
    let words = match words::split(&line) {
        Ok(words) => words,
        Err(why) => {
            job.problem(&node.span, why, "write the arguments one by one, under `argv`");
            return None;
        }
    };
    let mut argv = Vec::new();
    for Word { text, start, end, open } in words {
        let span = place(&node.span, &line[start..end]);
        if open.iter().any(|name| !is_one_word(job, name)) {
            let hint = "write the arguments one by one, under `argv`; or put quotes around this one";
            job.problem(&span, "what this gives may have blanks, and would be several arguments", hint);
        }
        if !Engine::is_template(&text) && (text.contains('$') || text.starts_with('~')) {
            let hint = "write the value out, or make it a `shell` task";
            job.problem(&span, "Ansible puts a variable's value here", hint);
        }
        argv.push(job.text(&Node { value: Value::Str(text), span, plain: None })?);
    }
    Some(argv)
}

/// Whether a name's values stand in the playbook, and none of them has anything that splits words.
fn is_one_word(job: &Job, name: &str) -> bool {
    let path: Vec<&str> = name.split('.').collect();
    let is_plain = |text: &str| {
        !text.is_empty()
            && !text.contains(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '\\' | '$' | '~' | '{'))
    };
    let is_word = |node: &Node| match scalar::scalar(node) {
        Ok(Out::Text(text)) => is_plain(&text),
        other => matches!(other, Ok(Out::Int(_))),
    };
    job.names.possible(&path).is_some_and(|values| values.into_iter().all(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_of_its_own_runs_what_the_two_would_do_otherwise() {
        assert!(["grep x /etc/y | wc -l", "a && b || c", "x >/dev/null 2>&1"].into_iter().all(is_simple));
        let others = ["a; b", "a\nb", "echo $HOME", "a & b", "x=`false`", "for x in a", "echo {{ x }}", "! a"];
        assert!(!others.into_iter().any(is_simple));
    }
}
