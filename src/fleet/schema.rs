//! The JSON Schema (draft 2020-12) of `stead.yaml`, for editors. What depends on other files or on names elsewhere (does
//! that tier exist?) only the loader can tell.

use serde_json::{Value, json};

use super::model::ProviderKind;

/// The schema, as `stead schema fleet` prints it.
pub fn schema() -> Value {
    let named = |of: &str, names: &str| json!({"type": ["object", "null"], "propertyNames": {"$ref": names}, "additionalProperties": {"$ref": of}});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Stead fleet (stead.yaml)",
        "type": "object",
        "required": ["fleet"],
        "additionalProperties": false,
        "properties": {
            "fleet": {
                "description": "The fleet's identity.",
                "type": "object",
                "required": ["name", "id"],
                "additionalProperties": false,
                "properties": {
                    "name": {"$ref": "#/$defs/label"},
                    "id": {
                        "description": "Minted by `stead init`; never change it.",
                        "type": "string",
                        "pattern": "^fl_[a-z0-9]{8,26}$",
                    },
                },
            },
            "requires": text("The versions of stead that may work on this fleet: \">=0.1\"."),
            "domain": {
                "description": "Workspaces have their DNS names below it: SLUG.DOMAIN.",
                "type": ["string", "null"],
                "maxLength": 189,
                "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$",
            },
            "include": {
                "description": "Files in the fleet's folder with more providers, tiers and workspaces; * and ? match within a name.",
                "type": ["array", "null"],
                "items": {"type": "string", "minLength": 1},
            },
            "providers": named("#/$defs/provider", "#/$defs/label"),
            "tiers": named("#/$defs/tier", "#/$defs/label"),
            "workspaces": named("#/$defs/workspace", "#/$defs/label"),
        },
        "$defs": {
            "label": {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"},
            "vars": {"description": "Variables for playbooks and templates.", "type": ["object", "null"]},
            "provider": provider(),
            "tier": tier(),
            "workspace": workspace(),
        },
    })
}

fn text(description: &str) -> Value {
    json!({"description": description, "type": ["string", "null"]})
}

fn provider() -> Value {
    json!({
        "description": "Where nodes live.",
        "type": "object",
        "required": ["kind"],
        "additionalProperties": false,
        "properties": {"kind": {"enum": ProviderKind::ALL.map(|(name, _)| name)}},
    })
}

fn tier() -> Value {
    let size = json!({"type": "string", "pattern": "^0*[1-9][0-9]* *[KMGT]iB$"});
    json!({
        "description": "What a customer can have.",
        "type": "object",
        "required": ["provider"],
        "additionalProperties": false,
        "properties": {
            "provider": {"$ref": "#/$defs/label"},
            "size": {
                "description": "Required where the provider makes machines.",
                "type": ["object", "null"],
                "required": ["vcpus", "memory", "disk"],
                "additionalProperties": false,
                "properties": {
                    "vcpus": {"type": "integer", "minimum": 1, "maximum": 512},
                    "memory": size,
                    "disk": size,
                },
            },
            "image": {
                "description": "images/NAME/, or NAME:CHANNEL for only what was promoted. Required where the provider makes machines.",
                "type": ["string", "null"],
                "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$",
            },
            "vm": {"description": "Local only: boot the real disk in QEMU.", "type": ["boolean", "null"]},
            "updates": {"description": "Who installs security updates.", "enum": ["unattended", "rollout", null]},
            "playbooks": {
                "description": "playbooks/NAME.yaml, in this order.",
                "type": ["array", "null"],
                "items": {"$ref": "#/$defs/label"},
                "uniqueItems": true,
            },
            "health": {
                "type": ["object", "null"],
                "description": "A local address on the node that says how its workload is.",
                "required": ["port"],
                "additionalProperties": false,
                "properties": {
                    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                    "path": {"type": "string", "pattern": "^/"},
                },
            },
            "price": {
                "type": ["object", "null"],
                "required": ["eur_month"],
                "additionalProperties": false,
                "properties": {"eur_month": {"type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,2})?$"}},
            },
            "vars": {"$ref": "#/$defs/vars"},
        },
    })
}

fn workspace() -> Value {
    json!({
        "description": "A customer's tenancy, with a node of its own.",
        "type": "object",
        "required": ["tier"],
        "additionalProperties": false,
        "properties": {
            "tier": {"$ref": "#/$defs/label"},
            "provider": {"anyOf": [{"$ref": "#/$defs/label"}, {"type": "null"}]},
            "vars": {"$ref": "#/$defs/vars"},
            "secrets": {
                "description": "Names; the values are given with `stead secret set`.",
                "type": ["array", "null"],
                "items": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]{0,63}$"},
                "uniqueItems": true,
            },
            "host": text("Providers of the kind ssh only: the machine's address."),
            "port": {"type": ["integer", "null"], "minimum": 1, "maximum": 65535},
            "user": {"type": ["string", "null"], "pattern": "^[a-z_][a-z0-9_-]{0,31}$"},
            "identity": text("The private key for the first contact, relative to the fleet's folder; else the SSH agent's."),
            "host_key": text("The machine's host key, pinned; without it nobody logs in there."),
            "jump": {
                "description": "The machines that connections go through, the first one to be reached in front.",
                "type": ["array", "null"],
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["host", "user", "host_key"],
                    "properties": {
                        "host": text("As the machine before it knows it."),
                        "port": {"type": ["integer", "null"], "minimum": 1, "maximum": 65535},
                        "user": {"type": "string", "pattern": "^[a-z_][a-z0-9_-]{0,31}$"},
                        "host_key": text("Its host key, pinned."),
                    },
                },
            },
        },
        "dependentRequired": {
            "port": ["host"], "user": ["host"], "identity": ["host"], "host_key": ["host"], "jump": ["host"],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::load::from_text;
    use super::super::{Diagnostics, Source, yaml};
    use super::*;

    fn json_of(text: &str) -> Value {
        let diagnostics = Diagnostics::new();
        let node = yaml::parse(&Source::new("stead.yaml", text), &diagnostics);
        diagnostics.into_result(node).unwrap().to_json()
    }

    #[test]
    fn schema_and_loader_judge_alike() {
        let good = include_str!("../../tests/cases/fleet/full/stead.yaml").replace("include: [customers/*.yaml]\n", "");
        let validator = jsonschema::draft202012::new(&schema()).unwrap();
        let change = |from: &str, to: &str| {
            assert!(good.contains(from), "{from}");
            good.replace(from, to)
        };
        let samples = [
            (true, good.clone()),
            (true, change("    vm: false\n", "    vm:\n")),
            (true, change("domain: agents.example.com\n", "")),
            (true, change("\"9.00\"", "\"12\"")),
            (false, change("imag", "imga")),
            (false, change("fl_0192f0c1", "demo")),
            (false, change("name: demo, ", "")),
            (false, change("agents.example.com", "Example")),
            (false, change("vcpus: 1", "vcpus: 0")),
            (false, change("vcpus: 1", "vcpus: \"1\"")),
            (false, change("1GiB", "1GB")),
            (false, change("1GiB", "0GiB")),
            (false, change(", disk: 10GiB", "")),
            (false, change("vm: false", "vm: no")),
            (false, change("unattended", "sometimes")),
            (false, change("[bootstrap, agents]", "[agents, agents]")),
            (false, change("[bootstrap, agents]", "agents")),
            (false, change("\"9.00\"", "9.00")),
            (false, change("\"9.00\"", "\"9,00\"")),
            (false, change("OPENAI_API_KEY", "openai")),
            (false, change("  acme:", "  Acme_:")),
            (false, change("kind: ssh", "kind: telnet")),
            (false, change("    tier: starter\n    vars", "    vars")),
            (false, change("port: 22", "port: 0")),
            (false, change("user: root", "user: Root!")),
            (false, change("    host: 203.0.113.7\n", "")),
            (false, change("workspaces:", "workspaces: []\nregions:")),
        ];
        for (expected, text) in samples {
            let loaded = from_text(&text);
            assert_eq!(loaded.is_ok(), expected, "the loader: {loaded:?}\n{text}");
            let json = json_of(&text);
            let judged = validator.validate(&json);
            assert_eq!(judged.is_ok(), expected, "the schema: {judged:?}\n{text}");
        }
    }
}
