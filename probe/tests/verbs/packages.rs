//! Packages: what is installed is told, and a change is judged by the package database.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use crate::bench::Bench;
use legator_core::task::Outcome;
use serde_json::json;

#[tokio::test]
async fn installed_packages_are_told() {
    let bench = Bench::new();
    let did = bench.run("package.list", json!({ "name": "dpkg" })).await;
    assert_eq!(did.done.outcome, Outcome::Succeeded, "{:?}", did.done.detail);
    let result = did.done.result.unwrap();
    let packages = result["packages"].as_array().unwrap();
    assert!(packages.iter().any(|package| package["name"] == json!("dpkg")), "{result}");
}

#[tokio::test]
async fn a_package_that_is_not_there_is_no_success() {
    let bench = Bench::new();
    for verb in ["package.remove", "package.upgrade"] {
        let did = bench.run(verb, json!({ "name": "no-such-package-here" })).await;
        assert_eq!((did.done.outcome, did.refusal()), (Outcome::Refused, "not-applicable"), "{verb}");
    }
    let did = bench.run("package.install", json!({ "name": "no-such-package-here" })).await;
    assert_eq!((did.done.outcome, did.done.verified), (Outcome::Failed, Some(false)));
    assert_eq!(did.done.after.unwrap()["installed"], json!(false));
    assert!(!did.stderr.is_empty(), "what the package manager says is seen");
    let undo = bench.run("task.undo", json!({ "task": did.task })).await;
    assert_eq!(undo.refusal(), "no-undo");
}
