//! Files with their content: `copy`, `template`, `file`, `get_url`, `unarchive`.

use camino::{Utf8Component, Utf8Path};

use super::{Args, Fields, Job, field};
use crate::fleet::{Node, Value};
use crate::wire::expr::Engine;

type Given = (Option<&'static str>, Fields);

/// `copy`.
pub(super) fn copy(job: &mut Job<'_>, args: &mut Args) -> Given {
    let (src, content, dest) = (args.take(&["src"]), args.take(&["content"]), args.take(&["dest"]));
    let mut fields = Vec::new();
    match (src, content) {
        (None, Some(content)) => {
            fields.extend(job.text(&content).map(|text| field("content", text)));
            fields.extend(destination(job, args, dest, ""));
        }
        (Some(src), None) => {
            if let Some(name) = beside(job, &src, "files") {
                fields.extend(destination(job, args, dest, &name));
                fields.push(field("source", bring(job, &src, "files", &name)));
            }
        }
        _ => job.problem(&args.key, "one of `src` and `content` is needed", "give one of them"),
    }
    (None, fields)
}

/// `template`.
pub(super) fn template(job: &mut Job<'_>, args: &mut Args) -> Given {
    let (src, dest) = (args.take(&["src"]), args.take(&["dest"]));
    let Some((name, src)) = src.and_then(|src| Some((beside(job, &src, "templates")?, src))) else {
        if job.problems.is_empty() {
            job.problem(&args.key, "`src` is missing", "name the template");
        }
        return (None, Vec::new());
    };
    let mut fields: Fields = destination(job, args, dest, &name).into_iter().collect();
    let stem = ["j2", "jinja2", "jinja"].iter().find_map(|end| name.strip_suffix(&format!(".{end}")));
    let ours = format!("{}.tera", stem.unwrap_or(&name));
    job.all.files.insert(format!("templates/{ours}"));
    let why = format!("the template {name:?} is not translated with the playbook");
    job.note(&src.span, why, format!("write it in tera's words, as the fleet's templates/{ours}"));
    fields.push(field("template", ours));
    (None, fields)
}

/// `file`: folders, links, and files' owners and modes.
pub(super) fn file(job: &mut Job<'_>, args: &mut Args) -> Given {
    let (state, recurse) = (args.take(&["state"]), args.flag(job, &["recurse"]));
    if let Some(src) = args.take(&["src"]) {
        if state.as_ref().and_then(Node::scalar_text) != Some("link") {
            job.problem(&src.span, "a `src` without `state: link`", "leave it out");
        }
        for name in ["owner", "group", "mode"] {
            if let Some(node) = args.take(&[name]) {
                let hint = "give the target its owner and mode in a task of its own";
                job.problem(&node.span, format!("a link's `{name}`, which is its target's"), hint);
            }
        }
        return (Some("symlink"), job.text(&src).map(|target| field("target", target)).into_iter().collect());
    }
    let hint = "say `state: file`, `directory`, `link` or `absent`";
    let Some(state) = state else {
        job.problem(&args.key, "whether it is a file or a folder is not said", hint);
        return (None, Vec::new());
    };
    if recurse && state.scalar_text() != Some("directory") {
        job.problem(&state.span, "`recurse` of what is no folder", "leave it out");
    }
    match state.scalar_text().unwrap_or_default() {
        "file" => (None, Vec::new()),
        "absent" => {
            job.remark("A `file` that should be absent and is a folder fails: make it a `directory` task.");
            (None, vec![field("state", "absent")])
        }
        "directory" if recurse => {
            if let Some(mode) = args.take(&["mode"]) {
                job.problem(&mode.span, "a mode for all that is below", "let a `command` task run chmod");
            }
            (Some("directory"), vec![field("recurse", true)])
        }
        "directory" => (Some("directory"), Vec::new()),
        other => {
            job.problem(&state.span, format!("`state: {other}`"), hint);
            (None, Vec::new())
        }
    }
}

/// `get_url`: only what is known by its hash.
pub(super) fn get_url(job: &mut Job<'_>, args: &mut Args) -> Given {
    let dest = args.take(&["dest"]);
    let Some(sum) = args.take(&["checksum"]) else {
        let hint = "find the hash out with `curl -sL URL | sha256sum`, and add `checksum: sha256:…`";
        job.problem(&args.key, "a download without `checksum`; here a file is known by its hash", hint);
        return (None, Vec::new());
    };
    let mut fields: Fields = Vec::new();
    if dest.as_ref().and_then(Node::as_str).is_some_and(|dest| dest.ends_with('/')) {
        job.problem(&args.key, "a `dest` that is a folder", "write the file's whole path");
    }
    fields.extend(destination(job, args, dest, ""));
    let text = job.text(&sum).unwrap_or_default();
    match text.strip_prefix("sha256:").map(str::trim) {
        Some(hash) if Engine::is_template(hash) || hash.bytes().all(|c| c.is_ascii_hexdigit()) => {
            fields.push(field("sha256", if Engine::is_template(hash) { hash.to_owned() } else { hash.to_lowercase() }));
        }
        _ => job.problem(&sum.span, "a checksum that is no SHA-256", "write sha256: and the hash itself"),
    }
    (None, fields)
}

/// `unarchive`.
pub(super) fn unarchive(job: &mut Job<'_>, args: &mut Args) -> Given {
    let lies_there = args.flag(job, &["remote_src"]);
    let mut fields = Vec::new();
    match args.take(&["src"]) {
        Some(src) if src.scalar_text().is_some_and(|src| src.contains("://")) => {
            let hint = "bring it with `get_url` and its checksum first";
            job.problem(&src.span, "an archive that is fetched without being checked", hint);
        }
        Some(src)
            if src.scalar_text().is_some_and(|src| [".zip", ".jar", ".bz2"].iter().any(|end| src.ends_with(end))) =>
        {
            job.problem(&src.span, "an archive that is not tar's", "let a `command` task unpack it, with `creates`");
        }
        Some(src) if lies_there => fields.extend(job.path(&src).map(|path| field("source", path))),
        Some(src) => {
            if let Some(name) = beside(job, &src, "files") {
                fields.push(field("source", bring(job, &src, "files", &name)));
            }
        }
        None => job.problem(&args.key, "`src` is missing", "name the archive"),
    }
    if let Some(options) = args.take(&["extra_opts"]) {
        let given = match &options.value {
            Value::Seq(items) => items.iter().filter_map(Node::scalar_text).collect::<Vec<_>>().join("="),
            _ => options.scalar_text().unwrap_or_default().replace(' ', "="),
        };
        match given.strip_prefix("--strip-components=").and_then(|count| count.parse().ok()) {
            Some(count) => fields.push(field("strip", super::Out::Int(count))),
            None => job.problem(&options.span, "tar's own options", "`strip` takes folders off the front of names"),
        }
    }
    job.remark("What an `archive` task unpacks is root's where it names no owner, whatever the archive says.");
    (None, fields)
}

/// A file beside the playbook, by a name that is known here.
fn beside(job: &mut Job<'_>, src: &Node, folder: &str) -> Option<String> {
    let name = src.as_str().unwrap_or_default();
    let name = name.strip_prefix("./").unwrap_or(name);
    let name = name.strip_prefix(&format!("{folder}/")).unwrap_or(name);
    if Engine::is_template(name) {
        job.problem(&src.span, "a file whose name only the node knows", "write a task for each file");
        return None;
    }
    let is_inner = Utf8Path::new(name).components().all(|part| matches!(part, Utf8Component::Normal(_)));
    if name.is_empty() || name.ends_with('/') || !is_inner {
        job.problem(&src.span, "this names no single file beside the playbook", "write a task for each file");
        return None;
    }
    Some(name.to_owned())
}

/// A file that has to be brought into the fleet's folder: its path there.
fn bring(job: &mut Job<'_>, src: &Node, folder: &str, name: &str) -> String {
    let path = format!("{folder}/{name}");
    job.all.files.insert(path.clone());
    job.note(
        &src.span,
        format!("the file {name:?} does not come with the playbook"),
        format!("copy it to the fleet's {path}"),
    );
    path
}

/// Where a file goes: into a folder, under its own name.
fn destination(job: &mut Job<'_>, args: &Args, dest: Option<Node>, name: &str) -> Option<(String, super::Out)> {
    let Some(dest) = dest else {
        job.problem(&args.key, "`dest` is missing", "say where the file goes");
        return None;
    };
    let path = job.path(&dest)?;
    let name = if path.ends_with('/') { Utf8Path::new(name).file_name().unwrap_or_default() } else { "" };
    Some(field("path", path + name))
}
