//! The API's own description: OpenAPI 3.1, made from the handlers.

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, OpenApi, SecurityRequirement};
use utoipa::{Modify, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;

use super::{App, accounts, agents, fleet, health, nodes, record, secrets, sweeps, tokens, workflows, workspaces};
use crate::api::accounts::cookies::SESSION;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Stead",
        description = "The control API: metadata of workspaces and nodes, and the durable work on them. \
                       Errors are problem details (RFC 9457); lists go page by page; `x-permission` names what a caller needs.",
    ),
    tags(
        (name = "workspaces", description = "Customers' tenancies"),
        (name = "nodes", description = "The machines that serve workspaces"),
        (name = "agents", description = "Workspaces' AI agents and their channels, without what is said"),
        (name = "secrets", description = "Named values for workspaces' nodes, without the values"),
        (name = "workflows", description = "Durable work"),
        (name = "accounts", description = "People: signing in, sessions, members, invitations"),
        (name = "tokens", description = "Tokens of operators and machines"),
        (name = "record", description = "What was published, and who did what"),
        (name = "health", description = "For load balancers and monitoring"),
    ),
    modifiers(&Callers),
)]
struct Base;

/// A token, or a session's cookie, for everything under `/v1`.
struct Callers;

impl Modify for Callers {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_with(Components::new);
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
        let cookie = ApiKey::Cookie(ApiKeyValue::new(SESSION));
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    }
}

/// The routes with their description.
pub(super) fn described() -> (axum::Router<App>, axum::Router<App>, OpenApi) {
    let v1 = OpenApiRouter::new()
        .merge(fleet::routes())
        .merge(workspaces::routes())
        .merge(nodes::routes())
        .merge(sweeps::routes())
        .merge(agents::routes())
        .merge(secrets::routes())
        .merge(workflows::routes())
        .merge(tokens::routes())
        .merge(accounts::routes())
        .merge(record::routes());
    let (v1, mut under_v1) = v1.split_for_parts();
    let (open, mut document) = OpenApiRouter::with_openapi(Base::openapi())
        .merge(health::routes())
        .merge(accounts::open_routes())
        .split_for_parts();
    document.info.version = crate::VERSION.to_owned();
    document.info.license = None;
    document.info.contact = None;
    let paths = std::mem::take(&mut under_v1.paths.paths);
    document.merge(under_v1);
    for (path, mut item) in paths {
        let operations = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ];
        let operations = operations.into_iter().filter_map(|(verb, operation)| Some((verb, operation.as_mut()?)));
        for (verb, operation) in operations {
            // The handlers' own names are alike, and these must not be (OpenAPI 3.1, section 4.8.10).
            operation.operation_id = Some(operation_id(verb, &path));
            let either = ["token", "session"].map(|scheme| SecurityRequirement::new(scheme, Vec::<String>::new()));
            operation.security = Some(either.to_vec());
        }
        document.paths.paths.insert(format!("/v1{path}"), item);
    }
    (open, v1, document)
}

/// `get-workspaces-id` for `GET /workspaces/{id}`.
fn operation_id(verb: &str, path: &str) -> String {
    let words = path.split(['/', '{', '}']).filter(|word| !word.is_empty());
    std::iter::once(verb).chain(words).collect::<Vec<_>>().join("-")
}
