//! Files with their content: `copy`, `template`, `file`, `get_url`, `unarchive`.

use camino::{Utf8Component, Utf8Path};

use super::{Args, Given, Job, field};
use crate::fleet::Node;
use crate::wire::expr::Engine;

pub(super) fn copy(job: &mut Job, args: &mut Args) -> Given {
    let given = match (args.take(&["src"]), args.take(&["content"])) {
        (None, Some(content)) => job.text(&content).map(|text| field("content", text)),
        (Some(src), None) => {
            args.complete("dest", src.as_str().unwrap_or_default());
            bring(job, &src)
        }
        _ => {
            job.problem(&args.key, "one of `src` and `content` is needed", "give one of them");
            None
        }
    };
    (None, given.into_iter().collect())
}

pub(super) fn template(job: &mut Job, args: &mut Args) -> Given {
    let Some(src) = args.take(&["src"]) else {
        job.problem(&args.key, "`src` is missing", "name the template");
        return (None, Vec::new());
    };
    let Some(name) = beside(job, &src, "templates") else { return (None, Vec::new()) };
    args.complete("dest", &name);
    let ours = format!("{}.tera", name.strip_suffix(".j2").unwrap_or(&name));
    job.all.files.insert(format!("templates/{ours}"));
    let why = format!("the template {name:?} is not translated with the playbook");
    job.note(&src.span, why, format!("write it in tera's words, as the fleet's templates/{ours}"));
    (None, vec![field("template", ours)])
}

/// `file`: folders, links, and files' owners and modes.
pub(super) fn file(job: &mut Job, args: &mut Args) -> Given {
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
            (Some("directory"), vec![field("recurse", super::Out::Bool(true))])
        }
        "directory" => (Some("directory"), Vec::new()),
        other => {
            job.problem(&state.span, format!("`state: {other}`"), hint);
            (None, Vec::new())
        }
    }
}

/// `get_url`: only what is known by its hash.
pub(super) fn get_url(job: &mut Job, args: &mut Args) -> Given {
    let Some(sum) = args.take(&["checksum"]) else {
        let hint = "find the hash out with `curl -sL URL | sha256sum`, and add `checksum: sha256:…`";
        job.problem(&args.key, "a download without `checksum`; here a file is known by its hash", hint);
        return (None, Vec::new());
    };
    let text = job.text(&sum).unwrap_or_default();
    let hash = text.strip_prefix("sha256:").unwrap_or_default();
    if hash.is_empty() || !hash.starts_with("{{") && !hash.bytes().all(|c| c.is_ascii_hexdigit()) {
        job.problem(&sum.span, "a checksum that is no SHA-256", "write sha256: and the hash itself");
    }
    (None, vec![field("sha256", hash)])
}

pub(super) fn unarchive(job: &mut Job, args: &mut Args) -> Given {
    job.remark("What an `archive` task unpacks is root's where it names no owner, whatever the archive says.");
    let lies_there = args.flag(job, &["remote_src"]);
    let Some(src) = args.take(&["src"]) else {
        job.problem(&args.key, "`src` is missing", "name the archive");
        return (None, Vec::new());
    };
    let name = src.scalar_text().unwrap_or_default();
    if ["://", ".zip", ".jar", ".bz2"].iter().any(|part| name.contains(part)) {
        let hint = "fetch it with `get_url` and its checksum first; let a `command` task unpack what is not tar's";
        job.problem(&src.span, "an archive that is fetched without being checked, or not tar's", hint);
    }
    let source = if lies_there { job.path(&src).map(|path| field("source", path)) } else { bring(job, &src) };
    (None, source.into_iter().collect())
}

/// A file beside the playbook, by a name that is known here.
fn beside(job: &mut Job, src: &Node, folder: &str) -> Option<String> {
    let name = src.as_str().unwrap_or_default();
    let name = name.strip_prefix("./").unwrap_or(name);
    let name = name.strip_prefix(&format!("{folder}/")).unwrap_or(name);
    let is_inner = Utf8Path::new(name).components().all(|part| matches!(part, Utf8Component::Normal(_)));
    if name.is_empty() || name.ends_with('/') || !is_inner || Engine::is_template(name) {
        job.problem(&src.span, "this names no single file beside the playbook", "write a task for each file");
        return None;
    }
    Some(name.to_owned())
}

/// A file that has to be brought into the fleet's folder.
fn bring(job: &mut Job, src: &Node) -> Option<(String, super::Out)> {
    let name = beside(job, src, "files")?;
    let path = format!("files/{name}");
    job.all.files.insert(path.clone());
    let why = format!("the file {name:?} does not come with the playbook");
    job.note(&src.span, why, format!("copy it to the fleet's {path}"));
    Some(field("source", path))
}
