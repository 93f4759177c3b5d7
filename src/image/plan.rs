//! What is applied inside an image's root, as one plan: the overlays of the images that it starts from and its own, then all their
//! playbooks.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use super::definition::Definition;
use crate::Result;
use crate::fleet::FileSet;
use crate::render::yaml;
use crate::wire::plan::Plan;

/// What a file of an overlay ends with that is a template.
const TEMPLATE: &str = "tera";

/// Compiles the plan.
///
/// # Errors
/// Fails with every mistake in the overlay's templates and the playbooks.
pub fn compile(files: &FileSet, definition: &Definition) -> Result<Plan> {
    let vars = serde_json::Map::from_iter([
        ("image".to_owned(), definition.name.clone().into()),
        ("suite".to_owned(), definition.suite.name().into()),
    ]);
    let (mut files, mut playbooks) = (files.clone(), Vec::new());
    for image in definition.bases.iter().chain([&definition.name]) {
        if let Some((with, name)) = overlay(&files, image) {
            files = with;
            playbooks.push(name);
        }
    }
    playbooks.extend(definition.playbooks.clone());
    crate::playbook::compile(&files, &playbooks, vars)
}

/// An image's overlay as a playbook, in the language that everything else is applied by; none where there is no overlay.
fn overlay(files: &FileSet, image: &str) -> Option<(FileSet, String)> {
    let folder = Utf8PathBuf::from(Definition::folder(image)).join("overlay");
    let (mut folders, mut tasks) = (BTreeSet::new(), Vec::new());
    let mut with = files.clone();
    for path in files.list(folder.as_str()) {
        let Ok(inner) = path.strip_prefix(&folder) else { continue };
        folders.extend(inner.ancestors().skip(1).filter(|parent| !parent.as_str().is_empty()).map(Utf8Path::to_owned));
        let mode = if files.is_executable(path) { "0755" } else { "0644" };
        let place = |inner: &Utf8Path| format!("/{inner}");
        tasks.push(if inner.extension() == Some(TEMPLATE) {
            // Templates are found by their names.
            let name = format!("{path}");
            with.put(Utf8Path::new("templates").join(&name), files.get(path)?.clone());
            json!({"template": {"path": place(&inner.with_extension("")), "template": name, "mode": mode}})
        } else {
            json!({"file": {"path": place(inner), "source": path, "mode": mode}})
        });
    }
    if tasks.is_empty() {
        return None;
    }
    let folders = folders.into_iter().map(|folder| json!({"directory": {"path": format!("/{folder}")}}));
    let name = format!("image/overlay-of-{image}");
    let playbook = json!({"name": name, "tasks": folders.chain(tasks).collect::<Vec<Value>>()});
    with.put(format!("playbooks/{name}.yaml").into(), yaml::write(&playbook).into_bytes().into());
    Some((with, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::files::File;

    #[test]
    fn the_overlay_of_the_base_comes_before_its_own() {
        let file = |text: &str| File { content: text.as_bytes().into(), executable: false };
        let files = FileSet::with_shipped([
            ("images/one/image.yaml".into(), file("name: one\n")),
            ("images/one/overlay/etc/issue".into(), file("one\n")),
            ("images/two/image.yaml".into(), file("name: two\nfrom: one\nplaybooks: [base]\n")),
            ("images/two/overlay/etc/issue".into(), file("two\n")),
        ]);
        let plan = compile(&files, &Definition::load(&files, "two").unwrap()).unwrap();
        let names: Vec<_> = plan.plays.iter().map(|play| play.name.as_str()).collect();
        assert_eq!(names, ["image/overlay-of-one", "image/overlay-of-two", "base"]);
    }

    #[test]
    fn an_overlay_comes_first_and_its_templates_are_rendered() {
        let file = |text: &str, executable| File { content: text.as_bytes().into(), executable };
        let definition = "name: own\npackages: []\nplaybooks: [base]\n";
        let files = FileSet::with_shipped([
            ("images/own/image.yaml".into(), file(definition, false)),
            ("images/own/overlay/etc/motd.tera".into(), file("this is {{ image }}\n", false)),
            ("images/own/overlay/usr/local/bin/x".into(), file("#!/bin/sh\n", true)),
        ]);
        let definition = Definition::load(&files, "own").unwrap();
        let plan = compile(&files, &definition).unwrap();
        assert_eq!(plan.plays[0].name, "image/overlay-of-own");
        let text = serde_json::to_string(&plan.plays[0]).unwrap();
        for needle in ["/etc/motd\"", "/usr/local/bin/x\"", "\"0755\"", "/usr/local\""] {
            assert!(text.contains(needle), "{needle}: {text}");
        }
        assert!(compile(&FileSet::shipped(), &Definition::load(&FileSet::shipped(), "agent-node").unwrap()).is_ok());
    }
}
