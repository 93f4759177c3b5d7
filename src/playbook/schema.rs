//! The JSON Schema (draft 2020-12) of playbooks, for editors. What depends on other files (is there such a template?) only
//! the loader can tell.

use serde_json::{Map, Value, json};

use super::types::{Shape, TYPES, TypeSpec};

/// The schema, as `stead schema playbook` prints it.
pub fn schema() -> Value {
    let expression = json!({"type": ["string", "boolean"], "description": "A tera expression, without {{ and }}."});
    let tasks = json!({"type": ["array", "null"], "items": {"$ref": "#/$defs/entry"}});
    let seconds = json!({"type": "integer", "minimum": 0, "maximum": 86400, "description": "Seconds."});
    let texts = json!({"type": "array", "items": {"type": "string"}});
    let mut task: Map<String, Value> = TYPES.iter().map(|spec| (spec.name.to_owned(), of_type(spec))).collect();
    for (name, value) in [
        ("name", json!({"type": "string", "description": "For people."})),
        (
            "when",
            json!({"anyOf": [expression, {"type": "array", "items": expression}], "description": "Done only where this is true."}),
        ),
        (
            "loop",
            json!({"type": ["array", "string"], "description": "Done once for each item; a list or an expression."}),
        ),
        ("register", json!({"type": "string", "description": "The variable that takes the result."})),
        ("changed_when", expression.clone()),
        ("failed_when", expression.clone()),
        ("retries", json!({"type": "integer", "minimum": 0, "maximum": 1000})),
        ("delay", seconds.clone()),
        ("timeout", seconds),
        ("notify", json!({"anyOf": [{"type": "string"}, texts], "description": "Handlers to run at the end."})),
        ("tags", texts),
        ("vars", json!({"type": "object"})),
        ("ignore_errors", json!({"type": "boolean"})),
        (
            "guard",
            json!({"type": "boolean", "description": "The node takes the changes back unless the controller confirms them over a new connection [what could lock it out: true]."}),
        ),
        ("sensitive", json!({"type": "boolean", "description": "Never show diff and output."})),
        ("include", json!({"type": "string", "description": "Another playbook's tasks."})),
        (
            "block",
            json!({
                "type": "object",
                "required": ["tasks"],
                "additionalProperties": false,
                "properties": {"tasks": tasks, "rescue": tasks, "always": tasks},
            }),
        ),
    ] {
        task.insert(name.to_owned(), value);
    }
    let types = TYPES.iter().map(|spec| spec.name).chain(["include", "block"]);
    let one: Vec<Value> = types.map(|name| json!({"required": [name]})).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Stead playbook (playbooks/NAME.yaml)",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "name": {"type": "string"},
            "vars": {"type": ["object", "null"], "description": "Variables of lowest precedence."},
            "tasks": tasks,
            "handlers": tasks,
            "tests": {"anyOf": [tasks], "description": "What `stead playbook test` runs once the node is converged."},
        },
        "$defs": {"entry": {"type": "object", "additionalProperties": false, "properties": task, "oneOf": one}},
    })
}

fn of_type(spec: &TypeSpec) -> Value {
    let fields: Map<String, Value> = spec
        .fields
        .iter()
        .map(|field| {
            let mut shape = of_shape(field.shape);
            shape["description"] = field.about.into();
            (field.name.to_owned(), shape)
        })
        .collect();
    let required: Vec<&str> = spec.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    if spec.fields.is_empty() {
        // Whatever names the playbook gives.
        return json!({"description": spec.about, "type": "object", "minProperties": 1});
    }
    json!({
        "description": spec.about,
        "type": "object",
        "required": required,
        "additionalProperties": false,
        "properties": fields,
    })
}

fn of_shape(shape: Shape) -> Value {
    match shape {
        Shape::Text | Shape::Checked(_) | Shape::Source | Shape::SourceOrPath | Shape::Template => {
            json!({"type": "string"})
        }
        Shape::Path => json!({"type": "string", "pattern": r"^/|\{\{|\{%"}),
        Shape::Mode => json!({"type": "string", "pattern": r"^[0-7]{3,4}$|\{\{"}),
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Number => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
        Shape::Port => json!({"type": "integer", "minimum": 1, "maximum": u16::MAX}),
        Shape::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Shape::OneOrMany | Shape::Expressions => json!({"type": ["array", "string"], "items": {"type": "string"}}),
        Shape::TextMap => json!({"type": "object", "additionalProperties": {"type": "string"}}),
        Shape::Words(words) => json!({"enum": words}),
    }
}
