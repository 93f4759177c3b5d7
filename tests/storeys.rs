//! The house's rules, read from the source: which room imports which, who prints, who sees SQL, who reads the
//! environment, and how long a file may be. `docs/ARCHITECTURE.md` explains them; its table is checked against ours.

use std::fmt::Write;

use camino::{Utf8Path, Utf8PathBuf};

/// Every room by its storey. A room imports from storeys below its own only; those of storey 0 import each other.
const HOUSE: [(u8, &[&str]); 14] = [
    (
        0,
        &[
            "age_identity",
            "atomic_file",
            "clock",
            "config",
            "error",
            "hashing",
            "id",
            "keypair",
            "ownership",
            "redact",
            "telemetry",
            "tool",
        ],
    ),
    (1, &["wire"]),
    (2, &["node", "agent"]),
    (3, &["store"]),
    (4, &["audit"]),
    (5, &["fleet", "render", "secrets", "ssh"]),
    (6, &["playbook"]),
    (7, &["image"]),
    (8, &["provider", "dns", "notify", "keycheck"]),
    (9, &["workflow"]),
    (10, &["accounts", "billing", "privacy", "rollout"]),
    (11, &["api", "console", "client"]),
    (12, &["cli"]),
    (13, &["bin"]),
];
/// What `src/lib.rs` hands on from storey 0 under a name of its own.
const EVERYWHERE: [&str; 4] = ["Error", "Kind", "Result", "VERSION"];
/// Files that read the environment though they are neither settings nor a program, and why.
const READ_THE_ENVIRONMENT: [(&str, &str); 2] = [
    ("tool.rs", "PATH, which execvp(3) would read in its place"),
    ("telemetry/mod.rs", "STEAD_LOG, which has to work before the settings are read"),
];
/// No file is longer, in lines; about 400 is the goal.
const LONGEST: usize = 449;

fn storey(room: &str) -> Option<u8> {
    HOUSE.iter().find(|(_, rooms)| rooms.contains(&room)).map(|(storey, _)| *storey)
}

/// Why code of the room `from` may not name the room `to`, if it may not.
fn objection(from: &str, to: &str) -> Option<String> {
    if from == to || EVERYWHERE.contains(&to) {
        return None;
    }
    let (Some(own), Some(other)) = (storey(from), storey(to)) else {
        return Some(format!("{from} or {to} is not in the house's table (tests/storeys.rs, docs/ARCHITECTURE.md)"));
    };
    let allowed = other < own || (own == 0 && other == 0);
    (!allowed).then(|| format!("{from} (storey {own}) imports {to} (storey {other})"))
}

/// A piece of source that is neither comment nor literal, with its line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    line: usize,
    text: String,
}

/// Rust's words and punctuation, without comments, strings, characters and lifetimes.
fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = literal(rest) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            tokens.push(Token { line, text: rest[..length].to_owned() });
            length
        } else {
            let length = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            if !first.is_whitespace() {
                tokens.push(Token { line, text: rest[..length].to_owned() });
            }
            length
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let step = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the string, character or lifetime that `text` begins with, if it begins with one.
fn literal(text: &str) -> Option<usize> {
    let after_prefix = text.trim_start_matches(['b', 'c']);
    let prefix = text.len() - after_prefix.len();
    if let Some(raw) = after_prefix.strip_prefix('r').filter(|_| prefix <= 1) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = prefix + 1 + hashes + 1;
            return Some(text[begin..].find(&end).map_or(text.len(), |at| begin + at + end.len()));
        }
    }
    if prefix > 1 {
        return None;
    }
    match after_prefix.chars().next()? {
        '"' => Some(prefix + quoted(after_prefix, '"')),
        '\'' => {
            let mut inside = after_prefix[1..].chars();
            let (first, second) = (inside.next()?, inside.next());
            if first == '\\' || second == Some('\'') {
                return Some(prefix + quoted(after_prefix, '\''));
            }
            // A lifetime: its name goes with it.
            let name = after_prefix[1..].find(|c: char| !(c.is_alphanumeric() || c == '_'));
            Some(prefix + name.map_or(after_prefix.len(), |at| at + 1))
        }
        _ => None,
    }
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Every room that a file of the module `module` (its path below the crate, like `["store", "sqlite"]`) names, with the
/// line.
fn rooms_named(tokens: &[Token], module: &[String]) -> Vec<(usize, String)> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut named = Vec::new();
    // For every open brace, whether it opened a module.
    let mut braces: Vec<bool> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match text(at) {
            "{" => braces.push(at >= 2 && text(at - 2) == "mod"),
            "}" => drop(braces.pop()),
            "crate" if text(at + 1) == "::" => first_names(tokens, at + 2, &mut named),
            "super" if !(at > 1 && text(at - 1) == "::" && text(at - 2) != "self") => {
                let depth = module.len() + braces.iter().filter(|module| **module).count();
                let mut climbed = 1;
                while text(at + 1) == "::" && text(at + 2) == "super" {
                    at += 2;
                    climbed += 1;
                }
                if climbed >= depth && text(at + 1) == "::" {
                    first_names(tokens, at + 2, &mut named);
                }
            }
            _ => {}
        }
        at += 1;
    }
    named
}

/// The names that stand first in a path, or in each path of a group.
fn first_names(tokens: &[Token], at: usize, named: &mut Vec<(usize, String)>) {
    let Some(first) = tokens.get(at) else { return };
    let mut push = |token: &Token| {
        if !matches!(token.text.as_str(), "self" | "*") {
            named.push((token.line, token.text.clone()));
        }
    };
    if first.text != "{" {
        return push(first);
    }
    let (mut depth, mut begins) = (0, false);
    for token in &tokens[at..] {
        match token.text.as_str() {
            "{" => {
                depth += 1;
                begins = depth == 1;
            }
            "}" => {
                depth -= 1;
                if depth == 0 {
                    return;
                }
            }
            "," => begins = depth == 1,
            _ if begins => {
                push(token);
                begins = false;
            }
            _ => {}
        }
    }
}

fn here(path: &str) -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// All Rust files below a folder, with their paths relative to it, sorted.
fn files(folder: &str) -> Vec<(Utf8PathBuf, String)> {
    let root = here(folder);
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir_utf8().expect("the folder can be read") {
            let path = entry.expect("the folder can be read").into_path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension() == Some("rs") {
                let text = std::fs::read_to_string(&path).expect("the file is text");
                found.push((path.strip_prefix(&root).expect("it lies below").to_owned(), text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{root} holds no source");
    found
}

/// A file's room and module, from its path below `src/`.
fn place(path: &Utf8Path) -> (String, Vec<String>) {
    let mut module: Vec<String> = path.with_extension("").iter().map(str::to_owned).collect();
    let room = module[0].clone();
    if room == "bin" || room == "lib" || module.last().is_some_and(|name| name == "mod") {
        module.pop();
    }
    (room, module)
}

#[track_caller]
fn nothing(mistakes: &str) {
    assert!(mistakes.is_empty(), "\n{mistakes}");
}

#[test]
fn rooms_import_from_below_only() {
    let mut mistakes = String::new();
    for (path, text) in files("src") {
        let (room, module) = place(&path);
        if room == "lib" {
            continue;
        }
        for (line, to) in rooms_named(&tokens(&text), &module) {
            if let Some(objection) = objection(&room, &to) {
                let _ = writeln!(mistakes, "src/{path}:{line}: {objection}");
            }
        }
    }
    nothing(&mistakes);
}

#[test]
fn every_room_is_in_the_table() {
    let mut mistakes = String::new();
    for (path, _) in files("src") {
        let (room, _) = place(&path);
        if room != "lib" && storey(&room).is_none() {
            let _ = writeln!(mistakes, "src/{path}: the room {room} has no storey");
        }
    }
    nothing(&mistakes);
}

#[test]
fn printing_sql_and_the_environment_stay_in_their_rooms() {
    let mut mistakes = String::new();
    for (path, text) in files("src") {
        let (room, _) = place(&path);
        let tokens = tokens(&text);
        let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
        let program = room == "cli" || room == "bin";
        let environment = READ_THE_ENVIRONMENT.iter().any(|(file, _)| path == *file);
        for (at, token) in tokens.iter().enumerate() {
            let mistake = match token.text.as_str() {
                "print" | "println" | "eprint" | "eprintln" | "dbg" if text(at + 1) == "!" && !program => {
                    "only src/cli and src/bin print"
                }
                "sqlx" if room != "store" => "only src/store sees SQL",
                "var" | "var_os" | "vars" | "vars_os" | "try_from_env"
                    if (text(at.saturating_sub(2)) == "env" || token.text == "try_from_env")
                        && !(program || environment || path.starts_with("config/")) =>
                {
                    "only src/config and the programs read the environment"
                }
                _ => continue,
            };
            let _ = writeln!(mistakes, "src/{path}:{}: {mistake}", token.line);
        }
    }
    nothing(&mistakes);
}

#[test]
fn no_file_is_too_long() {
    let mut mistakes = String::new();
    for folder in ["src", "tests"] {
        for (path, text) in files(folder) {
            let lines = text.lines().count();
            if lines > LONGEST {
                let _ = writeln!(mistakes, "{folder}/{path}: {lines} lines; split it, {LONGEST} is the most");
            }
        }
    }
    nothing(&mistakes);
}

/// The rows `| 5 | `fleet`, `render` | … |` of the document, where a room that is still to come is followed by
/// ` (not yet)`.
#[test]
fn the_documents_table_is_the_house() {
    let document = std::fs::read_to_string(here("docs/ARCHITECTURE.md")).unwrap();
    let rows: Vec<(u8, &str)> = document
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
            Some((cells.next()?.parse().ok()?, cells.next()?))
        })
        .collect();
    let mut mistakes = String::new();
    for (storey, rooms) in HOUSE {
        let cell = rows.iter().find(|(number, _)| *number == storey).map_or("", |(_, cell)| cell);
        let mut expected: Vec<String> = rooms.iter().map(|room| described(room)).collect();
        let mut told: Vec<String> = cell.split(',').map(|room| room.trim().to_owned()).collect();
        expected.sort();
        told.sort();
        if expected != told {
            let _ = writeln!(mistakes, "docs/ARCHITECTURE.md, storey {storey}: {told:?} instead of {expected:?}");
        }
    }
    assert_eq!(rows.len(), HOUSE.len(), "docs/ARCHITECTURE.md has other rows than the house has storeys");
    nothing(&mistakes);
}

fn described(room: &str) -> String {
    let built = here(&format!("src/{room}")).is_dir() || here(&format!("src/{room}.rs")).is_file();
    format!("`{room}`{}", if built { "" } else { " (not yet)" })
}

#[test]
fn imports_are_found_where_they_stand() {
    let named = |source: &str, module: &[&str]| {
        let module: Vec<String> = module.iter().map(|name| (*name).to_owned()).collect();
        rooms_named(&tokens(source), &module)
            .into_iter()
            .map(|(line, room)| format!("{line} {room}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(named("use crate::{\n    a::{b, c},\n    d,\n    self,\n};", &["x"]), ["2 a", "3 d"]);
    assert_eq!(named("fn f(a: &'static str) -> crate::a::B { 'c'; crate :: d::e() }", &["x"]), ["1 a", "1 d"]);
    assert!(
        named("// crate::a\n/* crate::b /* */ crate::c */ \"crate::d \\\" crate::e\" r#\"\"crate::f\"#", &["x"])
            .is_empty()
    );
    assert_eq!(named("use super::super::a; use super::b;", &["x", "y"]), ["1 a"]);
    assert_eq!(named("mod tests { use super::super::a; use super::super::super::b; }", &["x", "y"]), ["1 b"]);
    assert!(named("pub(in super::super) fn f() {}", &["x", "y"]).is_empty());
}

#[test]
fn only_lower_storeys_are_allowed() {
    assert!(objection("workflow", "store").is_none() && objection("keypair", "error").is_none());
    assert!(objection("store", "workflow").is_some(), "upward");
    assert!(objection("render", "fleet").is_some(), "sideways");
    assert!(objection("store", "no_such_room").is_some());
}
