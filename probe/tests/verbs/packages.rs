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
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

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

const NAME: &str = "legator-verbs-test";
const LIST: &str = "/etc/apt/sources.list.d/legator-verbs-test.list";

/// A repository of one package in a folder, known to apt for as long as the test runs.
struct Repository {
    dir: PathBuf,
}

impl Repository {
    fn new(bench: &Bench) -> Self {
        let dir = bench.work_dir.clone();
        // apt reads as a user of its own.
        for each in [dir.as_path(), dir.parent().unwrap()] {
            fs::set_permissions(each, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(LIST, format!("deb [trusted=yes] file:{} ./\n", dir.display())).unwrap();
        Self { dir }
    }

    /// Makes this version the one that apt prefers.
    fn publish(&self, version: &str) {
        let tree = self.dir.join("tree");
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        let control = format!(
            "Package: {NAME}\nVersion: {version}\nArchitecture: all\nMaintainer: Test <test@example.org>\nDescription: a test\n"
        );
        fs::write(tree.join("DEBIAN/control"), &control).unwrap();
        let file = format!("{NAME}_{version}_all.deb");
        let deb = self.dir.join(&file);
        let built = Command::new("dpkg-deb")
            .args(["--root-owner-group", "--build"])
            .arg(&tree)
            .arg(&deb)
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let bytes = fs::read(&deb).unwrap();
        let digest = legator_core::digest::Digest::of(&bytes).hex();
        let index = format!("{control}Filename: ./{file}\nSize: {}\nSHA256: {digest}\n\n", bytes.len());
        fs::write(self.dir.join("Packages"), index).unwrap();
        let only = [
            "-o",
            "Dir::Etc::sourcelist=sources.list.d/legator-verbs-test.list",
            "-o",
            "Dir::Etc::sourceparts=-",
        ];
        let updated = Command::new("apt-get")
            .arg("update")
            .args(only)
            .args(["-o", "APT::Get::List-Cleanup=0"])
            .output();
        let updated = updated.unwrap();
        assert!(updated.status.success(), "{}", String::from_utf8_lossy(&updated.stderr));
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = fs::remove_file(LIST);
        let _ = Command::new("dpkg").args(["--purge", NAME]).output();
    }
}

#[tokio::test]
async fn a_package_is_installed_upgraded_removed_and_its_installation_undone() {
    let bench = Bench::new();
    let repository = Repository::new(&bench);
    let good = (Outcome::Succeeded, Some(true));
    repository.publish("1.0");
    let args = json!({ "name": NAME });
    let wrong = bench.run("package.install", json!({ "name": NAME, "version": "9.9" })).await;
    assert_eq!(
        (wrong.done.outcome, wrong.done.verified),
        (Outcome::Failed, Some(false)),
        "another version is no success"
    );

    let install = bench.run("package.install", json!({ "name": NAME, "version": "1.0" })).await;
    assert_eq!(
        (install.done.outcome, install.done.verified),
        good,
        "{:?} {}",
        install.done.detail,
        install.text()
    );
    assert_eq!(install.done.before.unwrap()["installed"], json!(false));
    assert_eq!(install.done.after.unwrap()["version"], json!("1.0"));

    repository.publish("1.1");
    let upgrade = bench.run("package.upgrade", args.clone()).await;
    assert_eq!(
        (upgrade.done.outcome, upgrade.done.verified),
        good,
        "{:?} {}",
        upgrade.done.detail,
        upgrade.text()
    );
    assert_eq!(upgrade.done.after.unwrap()["version"], json!("1.1"));
    let undo = bench.run("task.undo", json!({ "task": install.task })).await;
    assert_eq!(undo.refusal(), "changed-pre-image", "the version is not the one that the task installed");

    let remove = bench.run("package.remove", args.clone()).await;
    assert_eq!((remove.done.outcome, remove.done.verified), good, "{:?}", remove.done.detail);
    let install = bench.run("package.install", args.clone()).await;
    assert_eq!((install.done.outcome, install.done.verified), good, "{:?}", install.done.detail);
    let undo = bench.run("task.undo", json!({ "task": install.task })).await;
    assert_eq!((undo.done.outcome, undo.done.verified), good, "{:?}", undo.done.detail);
    let list = bench.run("package.list", args).await.done.result.unwrap();
    assert_eq!(list["packages"], json!([]));
    let regex = bench.run("package.install", json!({ "name": "legator.verbs.test" })).await;
    assert_eq!(regex.done.verified, Some(false), "a name is no pattern");
    assert_eq!(
        bench.run("package.list", json!({ "name": NAME })).await.done.result.unwrap()["packages"],
        json!([])
    );
}
