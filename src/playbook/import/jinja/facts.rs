//! Ansible's facts: the handful that a node's agent knows.

use super::Problem;
use super::Ty;
use super::emit::{ATOM, COMPARE, FILTER, IN, Piece, refuse};
use super::parse::{Expr, Kind};

/// Facts, what Ansible calls them, and what os-release(5) and dpkg do.
const TABLE: [(&str, &str, &[&str]); 6] = [
    ("distribution", "Debian", &["debian"]),
    ("distribution", "Ubuntu", &["ubuntu"]),
    ("os_family", "Debian", &["debian", "ubuntu"]),
    ("os_family", "RedHat", &["rhel", "centos", "fedora", "rocky", "almalinux"]),
    ("architecture", "x86_64", &["amd64"]),
    ("architecture", "aarch64", &["arm64"]),
];

/// The fact that a path names: `ansible_x`, `ansible_facts.x`.
pub(super) fn named<'a>(path: &[&'a str]) -> Option<&'a str> {
    match path {
        ["ansible_facts", name, ..] => Some(name.strip_prefix("ansible_").unwrap_or(name)),
        [name, ..] => name.strip_prefix("ansible_"),
        [] => None,
    }
}

pub(super) fn piece(expr: &Expr, name: &str) -> Result<Piece, Problem> {
    let depth = expr.path().map_or(0, |path| path.len() - usize::from(path[0] == "ansible_facts"));
    match name {
        _ if depth != 1 => none(expr, name),
        "distribution_release" => Ok(Piece::new("facts.os.codename", ATOM, Ty::Text)),
        "distribution_major_version" => Ok(Piece::new("facts.os.version", ATOM, Ty::Text)),
        // Right for those that a node can have.
        "distribution" => Ok(Piece::new("facts.os.id | capitalize", FILTER, Ty::Text)),
        "hostname" => Ok(Piece::new(r#"facts.hostname | split(pat=".") | first"#, FILTER, Ty::Text)),
        "os_family" | "architecture" => {
            refuse(expr, "this fact can only be compared with text here", "take facts.os.id, or facts.arch")
        }
        _ => none(expr, name),
    }
}

fn none<T>(expr: &Expr, name: &str) -> Result<T, Problem> {
    let hint = "facts has os.id, os.version, os.codename, arch, kernel, cpus, memory, hostname, addresses, systemd";
    refuse(expr, format!("the node's facts have no ansible_{name}"), hint)
}

/// A comparison of a fact that has other values here with literals; `None` for any other comparison.
pub(super) fn comparison(op: &str, left: &Expr, right: &Expr) -> Option<Piece> {
    let fact = named(&left.path()?)?.to_owned();
    let theirs: Vec<&str> = match &right.kind {
        Kind::Text(text) if matches!(op, "==" | "!=") => vec![text],
        Kind::List(items) if matches!(op, "in" | "not in") => items.iter().map(Expr::literal).collect::<Option<_>>()?,
        _ => return None,
    };
    let known = |name: &&str| TABLE.iter().find(|row| row.0 == fact && row.1 == *name).map(|row| row.2.to_vec());
    let ours: Vec<&str> = theirs.iter().map(known).collect::<Option<Vec<_>>>()?.concat();
    let subject = if fact == "architecture" { "facts.arch" } else { "facts.os.id" };
    let negated = matches!(op, "!=" | "not in");
    Some(match &ours[..] {
        [one] => Piece::new(format!("{subject} {} {one:?}", if negated { "!=" } else { "==" }), COMPARE, Ty::Bool),
        many => Piece::new(format!("{subject} {} {many:?}", if negated { "not in" } else { "in" }), IN, Ty::Bool),
    })
}
