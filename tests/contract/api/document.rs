//! The API's description is what is committed, and every operation in it is guarded as it says.

use serde_json::{Value, json};
use stead::accounts::policy::Permission;

use super::{Api, ROOT, bearer};
use crate::{Kind, both};

both!(every_operation_is_refused_to_whoever_lacks_its_permission, the_reference_page_needs_nothing_but_itself);

const COMMITTED: &str = "docs/openapi.json";

#[test]
fn the_committed_description_is_what_is_served() {
    let served = stead::api::openapi().unwrap();
    if std::env::var_os("UPDATE_CASES").is_some() {
        std::fs::write(COMMITTED, &served).unwrap();
    }
    let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
    assert!(committed == served, "{COMMITTED} is not what is served; UPDATE_CASES=1 writes it");
    let document: Value = serde_json::from_str(&served).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
}

async fn the_reference_page_needs_nothing_but_itself(kind: Kind) {
    let api = Api::start(kind).await;
    let page = api.raw("GET /docs", "").await;
    assert_eq!((page.status, page.header("content-type").as_deref()), (200, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'; style-src 'sha256-"));
    for outside in ["http://", "https://", "src=", "url(", "@import"] {
        assert!(!page.body.contains(outside), "{outside}");
    }
    let document = api.raw("GET /openapi.json", "").await.json();
    for (method, path, permission) in operations(&document) {
        assert!(page.body.contains(&format!("<b>{method}</b> <code>{path}</code>")), "{method} {path}");
        assert!(permission.is_none_or(|permission| page.body.contains(&format!("<code>{permission}</code>"))));
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(page.body.contains(&format!("<section id=\"{name}\">")), "{name}");
    }
    // A problem's type leads to its explanation.
    let problem = api.raw("GET /v1/nodes", "").await.json()["type"].as_str().unwrap().to_owned();
    let led = api.raw(&format!("GET {problem}"), "").await;
    assert_eq!((led.status, led.header("location").as_deref()), (307, Some("/docs#problem-unauthenticated")));
    assert!(page.body.contains("id=\"problem-unauthenticated\""));
    assert_eq!(api.raw("GET /problems/none", "").await.status, 404);
}

/// What the description names, it names once: two things of one name would be described as one.
#[test]
fn no_two_operations_share_a_name_or_a_body() {
    let document: Value = serde_json::from_str(&stead::api::openapi().unwrap()).unwrap();
    let (mut ids, mut bodies) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{method} {path}: {id}");
            let Some(body) = operation.get("requestBody") else { continue };
            if body["content"]["application/octet-stream"].is_object() {
                continue;
            }
            let schema = body["content"]["application/json"]["schema"]["$ref"].as_str();
            let schema = schema.unwrap_or_else(|| panic!("{method} {path}: a body without a schema: {body}"));
            assert!(bodies.insert(schema), "{method} {path}: {schema}");
            let known = &document["components"]["schemas"][schema.rsplit('/').next().unwrap()];
            assert!(known["properties"].is_object(), "{method} {path}: {schema}: {known}");
        }
    }
    assert!(bodies.len() > 8, "{bodies:?}");
}

/// Every kind of problem that the code knows is explained.
#[test]
fn every_kind_of_problem_is_explained() {
    let explained = std::fs::read_to_string("src/api/problem.rs").unwrap();
    let explained: Vec<&str> =
        explained.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next()).collect();
    let mut folders = vec![std::path::PathBuf::from("src/api")];
    let mut used = std::collections::BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            let text = std::fs::read_to_string(entry).unwrap_or_default();
            for call in text.split("Problem::new(").skip(1) {
                let call = call.split_whitespace().collect::<Vec<_>>().join(" ");
                let first =
                    call.split('"').nth(1).filter(|text| text.bytes().all(|c| c.is_ascii_lowercase() || c == b'-'));
                used.extend(first.map(str::to_owned));
            }
        }
    }
    assert!(used.len() > 8, "{used:?}");
    for kind in used {
        assert!(explained.contains(&kind.as_str()), "{kind} has no explanation in src/api/problem.rs");
    }
}

/// Every operation: method, path, permission.
fn operations(document: &Value) -> Vec<(String, String, Option<String>)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let permission =
                operation.get("x-permission").unwrap_or_else(|| panic!("{method} {path} names no permission"));
            found.push((method.to_uppercase(), path.clone(), permission.as_str().map(str::to_owned)));
        }
    }
    found
}

/// Somebody who asks.
struct Asker {
    role: &'static str,
    /// Whether their role is one in the workspace that is asked about; none where it is one in the platform.
    of_ours: Option<bool>,
    is_person: bool,
    headers: String,
}

async fn every_operation_is_refused_to_whoever_lacks_its_permission(kind: Kind) {
    let api = Api::start(kind).await;
    let (ours, theirs) = (api.workspace("ours").await, api.workspace("theirs").await);
    let workflow = {
        let list = api.ask(ROOT, &format!("GET /v1/workflows?subject={ours}"), "").await.json();
        list["items"][0]["id"].as_str().unwrap().to_owned()
    };
    let mut callers = Vec::new();
    for role in ["operator", "support"] {
        let token = api.token(json!({"name": role, "role": role})).await;
        callers.push(Asker { role, of_ours: None, is_person: false, headers: bearer(&token) });
        let browser = api.person(&format!("{role}@example.com"), Some(role), None).await;
        callers.push(Asker { role, of_ours: None, is_person: true, headers: browser });
    }
    for role in ["owner", "admin", "member", "billing"] {
        for workspace in [&ours, &theirs] {
            let of_ours = Some(workspace == &ours);
            let token = api.token(json!({"name": role, "role": role, "workspace_id": workspace})).await;
            callers.push(Asker { role, of_ours, is_person: false, headers: bearer(&token) });
            let email = format!("{role}-{}@example.com", workspace == &ours);
            let browser = api.person(&email, None, Some((workspace, role))).await;
            callers.push(Asker { role, of_ours, is_person: true, headers: browser });
        }
    }
    let nobody = api.person("nobody@example.com", None, None).await;
    callers.push(Asker { role: "nobody", of_ours: Some(false), is_person: true, headers: nobody });
    let document = api.raw("GET /openapi.json", "").await.json();
    let operations = operations(&document);
    assert!(operations.len() >= 14, "{operations:?}");
    for (method, path, permission) in operations {
        let filled = match path.split('/').nth(2) {
            Some("workspaces") => path.replace("{id}", &ours),
            Some("workflows") => path.replace("{id}", &workflow),
            Some("nodes") => path.replace("{id}", "nd_00000000000000000000000000"),
            Some("people") => path.replace("{id}", "pe_00000000000000000000000000"),
            Some("sessions") => path.replace("{id}", "sn_00000000000000000000000000"),
            Some("logins") => path.replace("{code}", "BCDF-GHJK"),
            Some("invitations") => path.replace("{id}", "iv_00000000000000000000000000"),
            _ => path.replace("{id}", "tk_00000000000000000000000000"),
        };
        let filled = filled.replace("{person}", "pe_00000000000000000000000000");
        let filled = filled.replace("{hash}", &"0".repeat(64));
        let filled = filled.replace("{name}", "API_KEY");
        let filled = filled.replace("{agent}", "ag_00000000000000000000000000");
        let filled = filled.replace("{channel}", "ch_00000000000000000000000000");
        let filled = filled.replace("{invitation}", "iv_00000000000000000000000000");
        assert!(!filled.contains('{'), "the test does not know what to put into {path}");
        let request = format!("{method} {filled}");
        let anonymous = api.raw(&request, "").await.status;
        let Some(permission) = permission else {
            assert_ne!(anonymous, 401, "{request} is open, it says");
            continue;
        };
        assert_eq!(anonymous, 401, "{request}");
        let found = Permission::ALL.into_iter().find(|known| known.name() == permission);
        let permission = found.unwrap_or_else(|| panic!("{request}: no permission {permission}"));
        let (platform, within) = permission.roles();
        let of_one = path.starts_with("/v1/workspaces/") || path.starts_with("/v1/workflows/");
        for Asker { role, of_ours, is_person, headers } in &callers {
            let named = |roles: &[stead::store::Role]| roles.iter().any(|named| named.as_str() == *role);
            // People's lists are empty where there is nothing for them.
            let lists = ["GET /v1/workspaces", "GET /v1/workflows"].contains(&request.as_str());
            let as_person = *is_person && (permission.is_everybodys() || lists);
            let allowed = as_person
                || match of_ours {
                    None => named(platform),
                    // Lists show a workspace's own.
                    Some(true) => named(within),
                    Some(false) => named(within) && !of_one,
                };
            // What would act for good is asked in a way that fails after the permission was looked at.
            let answer = match method.as_str() {
                "PUT" => api.send_json(&request, headers, &json!({"wrong": 1})).await,
                "POST" if !filled.contains("/workflows/") => {
                    api.send_json(&request, headers, &json!({"wrong": 1})).await
                }
                "PATCH" => {
                    api.send_json(&request, &format!("if-match: \"0\"\r\n{headers}"), &json!({"name": "x"})).await
                }
                "DELETE" => api.raw(&request, &format!("if-match: \"0\"\r\n{headers}")).await,
                _ if filled.ends_with("/events") => api.head_of_stream(headers, &request).await,
                _ => api.raw(&request, headers).await,
            };
            let refused = answer.status == 403 || (answer.status == 404 && answer.body.contains("there is n"));
            let body_first = answer.status == 422 && method == "POST";
            match (allowed, of_ours) {
                (true, _) => assert!(
                    answer.status != 403 && answer.status != 401,
                    "{role} {of_ours:?} {request}: {}",
                    answer.body
                ),
                (false, Some(false)) if of_one => assert_eq!(answer.status, 404, "{role} {request}: {}", answer.body),
                (false, _) => {
                    assert!(refused && !body_first, "{role} {of_ours:?} {request}: {} {}", answer.status, answer.body)
                }
            }
        }
    }
}
