//! The JSON Schema (draft 2020-12) of `images/NAME/image.yaml`, for editors. What depends on other files only the loader can tell.

use serde_json::{Value, json};

/// The schema, as `stead schema image` prints it.
pub fn schema() -> Value {
    let list =
        |description: &str, item: Value| json!({"description": description, "type": ["array", "null"], "items": item});
    let one_of = |description: &str, words: &[&str]| json!({"description": description, "enum": words.iter().map(|word| json!(word)).chain([Value::Null]).collect::<Vec<_>>()});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Stead image (images/NAME/image.yaml)",
        "type": "object",
        "required": ["name"],
        "additionalProperties": false,
        "properties": {
            "name": {"description": "The folder's name.", "type": "string", "minLength": 1},
            "from": {
                "description": "The image that this one starts from: its packages, overlay and playbooks come first, and what is left out here is as there.",
                "type": ["string", "null"],
            },
            "suite": one_of("The Debian release; trixie where it is left out.", &["bookworm", "trixie"]),
            "arch": one_of("Debian's name of the architecture; amd64 where it is left out.", &["amd64", "arm64"]),
            "packages": list(
                "Packages beside those that every image has. Their versions stand in the lock.",
                json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9+.-]+$"}),
            ),
            "playbooks": list(
                "Playbooks applied inside the root, in this order.",
                json!({"type": "string", "minLength": 1}),
            ),
            "mirror": {
                "description": "The archives to take packages from, instead of the building machine's own.",
                "type": ["object", "null"],
                "required": ["archive", "security"],
                "additionalProperties": false,
                "properties": {"archive": {"type": "string"}, "security": {"type": "string"}},
            },
            "disk": {
                "description": "The bootable disk.",
                "type": ["object", "null"],
                "required": ["size"],
                "additionalProperties": false,
                "properties": {
                    "size": {"description": "The root's disk: 4GiB.", "type": "string", "pattern": "^0*[1-9][0-9]* ?([KMGT]iB)$"},
                    "firmware": {
                        "description": "What it boots from; both where it is left out.",
                        "type": ["array", "null"],
                        "minItems": 1,
                        "items": {"enum": ["bios", "uefi"]},
                    },
                    "format": one_of("What it is stored as; qcow2 where it is left out.", &["qcow2", "raw"]),
                },
            },
            "hardening": {
                "description": "The profile, and what auditors must find.",
                "type": ["object", "null"],
                "required": ["profile"],
                "additionalProperties": false,
                "properties": {
                    "profile": {"enum": ["server"]},
                    "minimum": {
                        "description": "The least scores.",
                        "type": ["object", "null"],
                        "additionalProperties": false,
                        "properties": {"lynis": {"type": ["integer", "null"], "minimum": 0, "maximum": 100}},
                    },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::files::File;
    use crate::fleet::{Diagnostics, FileSet, Source, yaml};
    use crate::image::Definition;

    #[test]
    fn schema_and_loader_judge_alike() {
        let good = "name: own\nfrom: agent-node\nsuite: trixie\narch: amd64\npackages: [vim]\nplaybooks: [base]\n\
                    mirror: {archive: \"https://a\", security: \"https://b\"}\n\
                    disk: {size: 4GiB, firmware: [bios], format: qcow2}\n\
                    hardening: {profile: server, minimum: {lynis: 85}}\n";
        let change = |from: &str, to: &str| {
            assert!(good.contains(from), "{from}");
            good.replace(from, to)
        };
        let samples = [
            (true, good.to_owned()),
            (true, "name: own\n".to_owned()),
            (true, change(", firmware: [bios], format: qcow2", "")),
            (true, change(", minimum: {lynis: 85}", "")),
            (false, change("name: own\n", "")),
            (false, change("trixie", "sid")),
            (false, change("amd64", "x86")),
            (false, change("[vim]", "[Vim]")),
            (false, change("[vim]", "vim")),
            (false, change("[vim]", "[vim=1.0]")),
            (false, change("archive: \"https://a\", ", "")),
            (false, change("4GiB", "4")),
            (false, change("[bios]", "[]")),
            (false, change("[bios]", "[coreboot]")),
            (false, change("qcow2", "vmdk")),
            (false, change("server", "desktop")),
            (false, change("85", "101")),
            (false, change("playbooks", "playbook")),
        ];
        let validator = jsonschema::draft202012::new(&schema()).unwrap();
        for (expected, text) in samples {
            let file = File { content: text.as_bytes().into(), executable: false };
            let loaded = Definition::load(&FileSet::with_shipped([("images/own/image.yaml".into(), file)]), "own");
            assert_eq!(loaded.is_ok(), expected, "the loader: {loaded:?}\n{text}");
            let diagnostics = Diagnostics::new();
            let node = yaml::parse(&Source::new("image.yaml", &text), &diagnostics);
            let json = diagnostics.into_result(node).unwrap().to_json();
            let judged = validator.validate(&json);
            assert_eq!(judged.is_ok(), expected, "the schema: {judged:?}\n{text}");
        }
    }
}
