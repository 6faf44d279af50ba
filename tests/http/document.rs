//! The OpenAPI document is the one that is kept in the repository: a change of the API is seen in review.

use std::path::Path;

#[test]
fn the_document_is_the_one_that_is_kept() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("api/openapi.json");
    let made = format!("{}\n", serde_json::to_string_pretty(&legator_api::openapi()).unwrap());
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "api/openapi.json is old: run `make openapi`");
}

#[test]
fn every_operation_says_what_it_needs_and_how_it_fails() {
    let document = serde_json::to_value(legator_api::openapi()).unwrap();
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            assert!(operation["operationId"].is_string(), "{what}");
            assert!(operation["summary"].is_string(), "{what}");
            assert!(operation["responses"]["default"].is_object(), "{what}");
            let public = ["/healthz", "/readyz", "/metrics", "/version", "/api/v1/enrol", "/api/v1/renew"]
                .contains(&path.as_str());
            assert_eq!(operation.get("security").is_none(), public, "{what}");
            operations += 1;
        }
    }
    eprintln!("operations in the document: {operations}");
}
