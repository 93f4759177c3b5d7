//! Ansible's facts: the handful that a node's agent knows.

use super::Problem;
use super::Ty;
use super::emit::{ATOM, COMPARE, FILTER, IN, Piece, TERNARY, quote, refuse};
use super::parse::{Expr, Kind};

/// The distributions of a family, by os-release(5)'s names.
const FAMILIES: [(&str, &[&str]); 2] =
    [("Debian", &["debian", "ubuntu"]), ("RedHat", &["rhel", "centos", "fedora", "rocky", "almalinux"])];
const MACHINES: [(&str, &str); 2] = [("x86_64", "amd64"), ("aarch64", "arm64")];

/// The fact that a path names: `ansible_x`, `ansible_facts.x`.
pub(super) fn named<'a>(path: &[&'a str]) -> Option<&'a str> {
    match path {
        ["ansible_facts", name, ..] => Some(name.strip_prefix("ansible_").unwrap_or(name)),
        [name, ..] => name.strip_prefix("ansible_"),
        [] => None,
    }
}

/// What a fact becomes.
///
/// # Errors
/// Fails for those that have no counterpart.
pub(super) fn piece(expr: &Expr, name: &str) -> Result<Piece, Problem> {
    let depth = expr.path().map_or(0, |path| path.len() - usize::from(path[0] == "ansible_facts"));
    match name {
        _ if depth != 1 => none(expr, name),
        "distribution_release" => Ok(Piece::new("facts.os.codename", ATOM, Ty::Text)),
        "distribution_major_version" => Ok(Piece::new("facts.os.version", ATOM, Ty::Text)),
        // Right for those that a node can have.
        "distribution" => Ok(Piece::new("facts.os.id | capitalize", FILTER, Ty::Text)),
        "hostname" => Ok(Piece::new(r#"facts.hostname | split(pat=".") | first"#, FILTER, Ty::Text)),
        "architecture" => {
            let text = r#""x86_64" if facts.arch == "amd64" else "aarch64" if facts.arch == "arm64" else facts.arch"#;
            Ok(Piece::new(text, TERNARY, Ty::Text))
        }
        "os_family" => refuse(expr, "this fact can only be compared with text here", "compare facts.os.id instead"),
        _ => none(expr, name),
    }
}

fn none<T>(expr: &Expr, name: &str) -> Result<T, Problem> {
    let hint = "facts has os.id, os.version, os.codename, arch, kernel, cpus, memory, hostname, addresses, systemd";
    refuse(expr, format!("the node's facts have no ansible_{name}"), hint)
}

/// A comparison of a fact that has other values here with literals; `None` for any other comparison.
pub(super) fn comparison(op: &str, left: &Expr, right: &Expr) -> Option<Piece> {
    let (fact, other) = match (left.path(), right.path()) {
        (Some(path), _) => (named(&path)?.to_owned(), right),
        (None, Some(path)) if matches!(op, "==" | "!=") => (named(&path)?.to_owned(), left),
        _ => return None,
    };
    let literals: Vec<&str> = match &other.kind {
        Kind::Text(text) if matches!(op, "==" | "!=") => vec![text],
        Kind::List(items) if matches!(op, "in" | "not in") => items.iter().map(Expr::literal).collect::<Option<_>>()?,
        _ => return None,
    };
    let (subject, ours): (_, Option<Vec<Vec<String>>>) = match fact.as_str() {
        "distribution" => ("facts.os.id", Some(literals.iter().map(|name| vec![name.to_lowercase()]).collect())),
        "os_family" => ("facts.os.id", literals.iter().map(|name| known(&FAMILIES, name)).collect()),
        "architecture" => {
            let name =
                |name: &&str| MACHINES.iter().find(|(theirs, _)| theirs == name).map(|(_, ours)| vec![(*ours).into()]);
            ("facts.arch", literals.iter().map(name).collect())
        }
        _ => return None,
    };
    let ours = ours?.concat();
    let negated = matches!(op, "!=" | "not in");
    let quoted: Vec<String> = ours.iter().map(|name| quote(name)).collect::<Option<_>>()?;
    Some(match &quoted[..] {
        [one] => Piece::new(format!("{subject} {} {one}", if negated { "!=" } else { "==" }), COMPARE, Ty::Bool),
        many => {
            let op = if negated { "not in" } else { "in" };
            Piece::new(format!("{subject} {op} [{}]", many.join(", ")), IN, Ty::Bool)
        }
    })
}

fn known(table: &[(&str, &[&str])], name: &str) -> Option<Vec<String>> {
    let found = table.iter().find(|(theirs, _)| *theirs == name)?;
    Some(found.1.iter().map(|ours| (*ours).to_owned()).collect())
}
