//! `stead.yaml` and what it includes, to a [`Fleet`].

use std::collections::BTreeSet;

use camino::Utf8PathBuf;

use super::declare::{Declarations, Kinds};
use super::model::{Fleet, Provider, ProviderKind};
use super::name::{check_domain, check_label};
use super::walk::MAIN;
use super::{Diagnostics, Field, FileSet, MapReader, Node, Span, glob, yaml};
use crate::{Error, Result};

/// Reads a fleet from its files, and tells every mistake in all of them.
///
/// # Errors
/// Fails where there is no `stead.yaml`, and where anything in it or in what it includes is wrong.
pub fn load(files: &FileSet) -> Result<Fleet> {
    let diagnostics = Diagnostics::new();
    if files.get(MAIN).is_none() {
        return Err(Error::input(format!("there is no {MAIN}")).hint("`stead init` writes a fleet"));
    }
    let Some(main) = document(files, MAIN, &diagnostics) else { return diagnostics.into_result(None) };
    let main = Field::root(&main, &diagnostics);

    // A file that was written for a newer program is full of mistakes to this one; only the first cause is worth telling.
    if let Some(requires) = main.node().get("requires") {
        check_requires(requires, &diagnostics);
        if !diagnostics.is_empty() {
            return diagnostics.into_result(None);
        }
    }
    let included = included(main, files);
    let fleet = fleet(main, &included, files);
    diagnostics.into_result(fleet)
}

fn document(files: &FileSet, path: &str, diagnostics: &Diagnostics) -> Option<Node> {
    let source = files.source(path, diagnostics)?;
    let node = yaml::parse(&source, diagnostics)?;
    if node.is_null() {
        diagnostics.error(&Span::start_of(&source), "the file is empty");
        return None;
    }
    Some(node)
}

fn check_requires(node: &Node, diagnostics: &Diagnostics) {
    let field = Field::root(node, diagnostics);
    let Some(text) = field.str() else { return };
    let requirement = match semver::VersionReq::parse(text) {
        Ok(requirement) => requirement,
        Err(error) => {
            return field.error_hint(
                format!("{text:?} is not a requirement of versions: {error}"),
                "write it as in \">=0.1\" or \">=0.3, <2\"",
            );
        }
    };
    let ours = semver::Version::parse(crate::VERSION).expect("Cargo takes only such versions");
    if !requirement.matches(&ours) {
        field.error_hint(
            format!("this fleet requires stead {text}, and this is stead {ours}"),
            "run a stead of such a version on this fleet",
        );
    }
}

/// The documents that `include` names, each once.
fn included(main: Field<'_>, files: &FileSet) -> Vec<Node> {
    let diagnostics = main.diagnostics();
    let Some(include) = main.node().get("include").filter(|node| !node.is_null()) else { return Vec::new() };
    let mut seen = BTreeSet::from([Utf8PathBuf::from(MAIN)]);
    let mut documents = Vec::new();
    let patterns = Field::root(include, diagnostics).list(|item| Some((item, item.inner_path()?)));
    for (item, pattern) in patterns.unwrap_or_default() {
        let is_pattern = glob::is_pattern(pattern.as_str());
        let found: Vec<_> = files.list("").filter(|path| glob::matches(pattern, path)).map(|p| p.to_owned()).collect();
        if found.is_empty() && !is_pattern {
            item.error_hint(
                format!("there is no file {pattern}"),
                "include names files in the fleet's folder; those that may be absent are named by a pattern: extra/*.yaml",
            );
        }
        for path in found {
            if seen.insert(path.clone()) {
                documents.extend(document(files, path.as_str(), diagnostics));
            } else if !is_pattern {
                item.error(format!("{path} is included already"));
            }
        }
    }
    documents
}

fn fleet(main: Field<'_>, included: &[Node], files: &FileSet) -> Option<Fleet> {
    let diagnostics = main.diagnostics();
    let mut map = main.mapping("a fleet")?;
    let identity = map.required("fleet").and_then(identity);
    let requires = map.optional("requires").and_then(|field| field.string());
    let domain = map.optional("domain").and_then(|field| field.checked(check_domain)).map(str::to_owned);
    map.optional("include");

    let mut all = Kinds::default();
    collect(&mut map, &mut all);
    map.finish();
    for node in included {
        let Some(mut map) = Field::root(node, diagnostics).mapping("an included file") else { continue };
        collect(&mut map, &mut all);
        map.finish();
    }

    let providers = all.providers.read(|name, field| {
        let mut map = field.mapping("a provider")?;
        let kind = map.required("kind").and_then(|field| field.one_of(&ProviderKind::ALL));
        map.finish();
        Some(Provider { name: name.to_owned(), kind: kind? })
    });
    let known = super::declare::Known { providers: &providers, names: &all, files };
    let tiers = all.tiers.read(|name, field| super::tier::read(name, field, &known));
    let workspaces = all.workspaces.read(|slug, field| super::workspace::read(slug, field, &known, &tiers));
    let (name, id) = identity?;
    Some(Fleet { name, id, requires, domain, providers, tiers, workspaces })
}

fn identity(field: Field<'_>) -> Option<(String, crate::id::FleetId)> {
    let mut map = field.mapping("a fleet's identity")?;
    let name = map.required("name").and_then(|field| field.checked(check_label)).map(str::to_owned);
    let id = map.required("id").and_then(|field| field.parse());
    map.finish();
    Some((name?, id?))
}

fn collect<'a>(map: &mut MapReader<'a>, all: &mut Kinds<'a>) {
    for (key, what) in [("providers", "provider"), ("tiers", "tier"), ("workspaces", "workspace")] {
        let Some(entries) = map.optional(key).and_then(|field| field.entries()) else { continue };
        let kind: &mut Declarations<'a> = match key {
            "providers" => &mut all.providers,
            "tiers" => &mut all.tiers,
            _ => &mut all.workspaces,
        };
        for (name, value) in entries {
            kind.add(what, name, value);
        }
    }
}

/// The fleet without workspaces, and no shared files: what tests need.
#[cfg(test)]
pub(super) fn from_text(text: &str) -> Result<Fleet> {
    let file = |text: &str| super::files::File { content: text.as_bytes().into(), executable: false };
    load(&FileSet::with_shipped([
        (MAIN.into(), file(text)),
        ("images/agent-node/image.yaml".into(), file("name: agent-node")),
        ("playbooks/bootstrap.yaml".into(), file("name: bootstrap")),
        ("playbooks/agents.yaml".into(), file("name: agents")),
    ]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FULL: &str = include_str!("../../tests/cases/fleet/full/stead.yaml");

    #[test]
    fn the_documented_example_loads() {
        let text = FULL.replace("include: [customers/*.yaml]\n", "");
        let fleet = from_text(&text).unwrap();
        let acme = fleet.workspace("acme").unwrap();
        assert_eq!(fleet.provider(acme).unwrap().kind, ProviderKind::Local);
        assert_eq!(serde_json::Value::from(fleet.vars(acme)), serde_json::json!({"greeting": "hello", "level": 2}));
        assert_eq!(fleet.dns_name("acme").as_deref(), Some("acme.agents.example.com"));
        let own = fleet.workspace("own-box").unwrap().machine.as_ref().unwrap();
        assert_eq!((own.port, own.user.as_str()), (22, "root"));
        assert!(own.host_key.as_ref().unwrap().starts_with("ssh-ed25519 AAAA"));
        insta::assert_json_snapshot!(fleet);
    }

    proptest! {
        /// Any line of a good file, changed in any way, gives a fleet or an error, and the error has places.
        #[test]
        fn a_damaged_file_never_panics(line in 0usize..60, column in 0usize..40, put in "[ \t\na-z:\\-\\[\\]{},&*!|>'\"#0-9.é]{0,4}", cut in 0usize..6) {
            let mut lines: Vec<String> = FULL.lines().map(str::to_owned).collect();
            let count = lines.len();
            let text: Vec<char> = lines[line % count].chars().collect();
            let at = column.min(text.len());
            let end = (at + cut).min(text.len());
            lines[line % count] = text[..at].iter().chain(put.chars().collect::<Vec<_>>().iter()).chain(&text[end..]).collect();
            if let Err(error) = from_text(&lines.join("\n")) {
                prop_assert!(error.to_string().contains(".yaml:"), "{}", error);
            }
        }
    }
}
