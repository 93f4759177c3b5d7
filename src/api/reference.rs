//! `GET /docs`: the description, for people. One page that needs nothing but itself.

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::problem::KINDS;
use crate::{Error, Result};

const TEMPLATE: &str = include_str!("pages/reference.html.tera");
const STYLE: &str = include_str!("pages/style.css");

#[derive(Serialize)]
struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    permission: Option<String>,
    parameters: Vec<Parameter>,
    body: Option<String>,
    responses: Vec<Outcome>,
}

#[derive(Serialize)]
struct Parameter {
    name: String,
    place: String,
    required: bool,
    description: String,
}

#[derive(Serialize)]
struct Outcome {
    status: String,
    schema: Option<String>,
    description: String,
}

#[derive(Serialize)]
struct Thing {
    name: String,
    description: String,
    fields: Vec<Field>,
}

#[derive(Serialize)]
struct Field {
    name: String,
    kind: String,
    required: bool,
    description: String,
}

/// The page of an OpenAPI document.
///
/// # Errors
/// Fails where the template does not fit the document.
pub(super) fn page(document: &Value) -> Result<String> {
    let failed = |error: tera::Error| Error::failed("writing the reference page").because(error);
    let mut tera = tera::Tera::default();
    tera.add_raw_template("reference.html", TEMPLATE).map_err(failed)?;
    let mut context = tera::Context::new();
    context.insert("title", &document["info"]["title"]);
    context.insert("version", &document["info"]["version"]);
    context.insert("description", &document["info"]["description"]);
    context.insert("style", STYLE);
    context.insert("operations", &operations(document));
    context.insert("things", &things(document));
    let problems = KINDS.map(|(kind, meaning)| serde_json::json!({"kind": kind, "meaning": meaning}));
    context.insert("problems", &problems);
    tera.render("reference.html", &context).map_err(failed)
}

/// The answer with the page. It may load nothing, and nobody may frame it.
pub(super) fn answer(page: String) -> Response {
    let style = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!("default-src 'none'; style-src 'sha256-{style}'; frame-ancestors 'none'; base-uri 'none'");
    let policy = HeaderValue::try_from(policy).expect("a header's value");
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(page)).into_response()
}

/// `GET /problems/{kind}`: where a problem's type leads.
pub(super) async fn problem(Path(kind): Path<String>) -> Response {
    match KINDS.iter().find(|(known, _)| *known == kind) {
        Some((known, _)) => Redirect::temporary(&format!("/docs#problem-{known}")).into_response(),
        None => super::Problem::not_found("there is no such kind of problem").into_response(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The name of the thing that a content holds.
fn schema(content: &Value) -> Option<String> {
    let (_, media) = entries(content).next()?;
    Some(media["schema"]["$ref"].as_str()?.rsplit('/').next()?.to_owned())
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, item) in entries(&document["paths"]) {
        for (method, operation) in entries(item) {
            let parameters = operation["parameters"].as_array().into_iter().flatten().map(|parameter| Parameter {
                name: text(&parameter["name"]),
                place: text(&parameter["in"]),
                required: parameter["required"] == true,
                description: text(&parameter["description"]),
            });
            let responses = entries(&operation["responses"]).map(|(status, response)| Outcome {
                status: if status == "default" { "any other".to_owned() } else { status.clone() },
                schema: schema(&response["content"]),
                description: text(&response["description"]),
            });
            let words: Vec<&str> =
                path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
            found.push(Operation {
                id: format!("{method}-{}", words.join("-")),
                method: method.to_uppercase(),
                path: path.clone(),
                summary: text(&operation["summary"]),
                permission: operation["x-permission"].as_str().map(str::to_owned),
                parameters: parameters.collect(),
                body: schema(&operation["requestBody"]["content"]),
                responses: responses.collect(),
            });
        }
    }
    found
}

fn things(document: &Value) -> Vec<Thing> {
    let things = entries(&document["components"]["schemas"]).map(|(name, schema)| {
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let parts = schema["allOf"].as_array().into_iter().flatten().chain([schema]);
        let fields = parts.flat_map(|part| entries(&part["properties"])).map(|(field, shape)| Field {
            name: field.clone(),
            kind: kind(shape),
            required: required.contains(&field.as_str()),
            description: text(&shape["description"]),
        });
        Thing { name: name.clone(), description: text(&schema["description"]), fields: fields.collect() }
    });
    things.collect()
}

/// A field's type in words.
fn kind(shape: &Value) -> String {
    if let Some(name) = shape["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return name.to_owned();
    }
    let one = |kind: &Value| match kind.as_str() {
        Some("array") => format!("list of {}", self::kind(&shape["items"])),
        Some(word) => word.to_owned(),
        None => String::new(),
    };
    let kinds = match &shape["type"] {
        Value::Array(kinds) => kinds.iter().map(one).collect::<Vec<_>>().join(" or "),
        Value::Null => {
            let choices = shape["oneOf"].as_array().into_iter().flatten().map(kind);
            choices.collect::<Vec<_>>().join(" or ")
        }
        single => one(single),
    };
    match shape["format"].as_str() {
        Some(format) => format!("{kinds} ({format})"),
        None => kinds,
    }
}
