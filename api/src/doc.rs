//! Routes and their document, made together.
//!
//! Owns what all operations share in the document, and the check that a request has no parameter that its route does not document.
//! Invariant: a route that is served is in the document, since both come from one router.

mod forms;
mod links;

use crate::auth::identify;
use crate::problem::{Problem, ProblemBody};
use crate::{Api, routes};
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use legator_core::error::Failure;
use legator_core::ids::TraceId;
use legator_gate::Auth;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder,
};
use utoipa_axum::router::OpenApiRouter;

const SCHEME: &str = "api_key";

/// The routes and the document.
pub fn parts() -> (Router<Api>, OpenApi) {
    let info = InfoBuilder::new()
        .title("Legator")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Read hosts freely, change them only after an approval, prove every step."))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let empty = OpenApiBuilder::new().info(info).build();
    let (router, mut document) = OpenApiRouter::with_openapi(empty).merge(routes::all()).split_for_parts();
    finish(&mut document);
    (router, document)
}

/// The document as it is given out: with the forms of texts, with links and examples; without keys where nobody has to show one.
pub fn written(document: &OpenApi, auth: Auth) -> Value {
    let mut value = serde_json::to_value(document).unwrap_or_default();
    forms::write(&mut value);
    links::write(&mut value);
    if auth == Auth::Off {
        open(&mut value);
    }
    value
}

/// Takes the need of a key away.
fn open(document: &mut Value) {
    if let Some(components) = document.get_mut("components").and_then(Value::as_object_mut) {
        components.remove("securitySchemes");
    }
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for operation in paths.into_iter().flat_map(|paths| paths.values_mut()).filter_map(Value::as_object_mut) {
        for operation in operation.values_mut().filter_map(Value::as_object_mut) {
            operation.remove("security");
        }
    }
}

fn finish(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    let scheme = RefOr::T(SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    components.security_schemes.insert(SCHEME.to_owned(), scheme);
    let mut schemas = vec![(
        <ProblemBody as utoipa::ToSchema>::name().to_string(),
        <ProblemBody as utoipa::PartialSchema>::schema(),
    )];
    <ProblemBody as utoipa::ToSchema>::schemas(&mut schemas);
    components.schemas.extend(schemas);
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            finish_operation(path, operation);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten()
}

/// Every operation may fail with a problem, and all but the public ones need a key.
fn finish_operation(path: &str, operation: &mut Operation) {
    let body = Content::new(Some(Ref::from_schema_name("Problem")));
    let problem =
        ResponseBuilder::new().description("A problem").content("application/problem+json", body).build();
    operation.responses.responses.insert("default".to_owned(), RefOr::T(problem));
    let large = ResponseBuilder::new()
        .description("The request's head has more than 16 KiB; no body says so")
        .build();
    operation.responses.responses.insert("431".to_owned(), RefOr::T(large));
    if !routes::is_public(path) {
        operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, [])]);
    }
}

/// The query parameters of each operation, by method and path.
#[derive(Debug, Clone, Default)]
pub struct Parameters(Arc<HashMap<(String, String), HashSet<String>>>);

impl Parameters {
    /// Those of a document.
    pub fn of(document: &OpenApi) -> Self {
        let mut known = HashMap::new();
        for (path, item) in &document.paths.paths {
            let all = [
                ("GET", &item.get),
                ("POST", &item.post),
                ("PUT", &item.put),
                ("PATCH", &item.patch),
                ("DELETE", &item.delete),
            ];
            for (method, operation) in all {
                let Some(operation) = operation else { continue };
                let query = operation.parameters.iter().flatten().filter_map(|one| match one {
                    RefOr::T(one) => (one.parameter_in == ParameterIn::Query).then_some(one),
                    RefOr::Ref(_) => None,
                });
                known.insert((method.to_owned(), path.clone()), query.map(|one| one.name.clone()).collect());
            }
        }
        Self(Arc::new(known))
    }

    fn check(&self, request: &Request) -> Result<(), Failure> {
        let Some(query) = request.uri().query() else { return Ok(()) };
        let Some(path) = request.extensions().get::<MatchedPath>() else { return Ok(()) };
        let method = if request.method() == "HEAD" { "GET" } else { request.method().as_str() };
        // Another method gets its 405 from the router.
        let Some(known) = self.0.get(&(method.to_owned(), path.as_str().to_owned())) else { return Ok(()) };
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let name = part.split('=').next().unwrap_or_default();
            if !known.contains(name) {
                let mut names: Vec<&str> = known.iter().map(String::as_str).collect();
                names.sort_unstable();
                let failure = Failure::invalid(
                    "unknown-parameter",
                    "the query has a parameter that this address does not know",
                );
                return Err(failure.hint(format!(
                    "it knows: {}",
                    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
                )));
            }
        }
        Ok(())
    }
}

/// Refuses a query with a parameter that is not in the document: a misspelt filter must not become no filter.
pub async fn only_known_parameters(
    State((api, known)): State<(Api, Parameters)>,
    request: Request,
    next: Next,
) -> Response {
    let Err(failure) = known.check(&request) else { return next.run(request).await };
    // Who has no key learns nothing about addresses.
    let public =
        request.extensions().get::<MatchedPath>().is_some_and(|path| routes::is_public(path.as_str()));
    if !public && let Err(problem) = identify(&api, request.headers(), TraceId::new(0)).await {
        return problem.into_response();
    }
    Problem::from(failure).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_asks_for_a_key_only_where_the_server_does() {
        let document = parts().1;
        assert!(written(&document, Auth::On).to_string().contains("\"security\":"));
        assert!(!written(&document, Auth::Off).to_string().contains("\"security"));
    }
}
