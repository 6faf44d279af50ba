//! With authentication: signing in, persons and keys, own keys for approvals, who may not.

use crate::runner::{Ctl, Record, Said};
use legator_testkit::process::{Probe, Server, binary};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

fn bootstrap(dir: &Path) -> String {
    let data = dir.join("server");
    std::fs::create_dir_all(&data).unwrap();
    let made = Command::new(binary("legator"))
        .args(["admin", "bootstrap", "--data-dir"])
        .arg(&data)
        .env("LEGATOR_AUTH", "true")
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// Signs in with a key on standard input.
fn login(ctl: &Ctl, args: &[&str], key: &str) -> Said {
    let mut child = ctl
        .command(&[&["login"], args].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{key}\n").as_bytes()).unwrap();
    Said::of(child.wait_with_output().unwrap())
}

/// A person with these roles, signed in in a folder of their own.
fn person(admin: &Ctl, dir: &Path, name: &str, role: &str) -> Ctl {
    let id = admin.expect(0, &["persons", "create", name, "--role", role]).id("person_");
    let key = admin.expect(0, &["persons", "key", &id, "--expires-in", "1d"]).stdout.trim().to_owned();
    let own = Ctl::new(&admin.url, &dir.join(name));
    assert_eq!(login(&own, &["work"], &key).code, 0);
    own
}

#[test]
fn people_sign_in_and_sign_with_their_own_keys() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let key = bootstrap(dir.path());
    let mut server = Server::start_with(dir.path(), &[("LEGATOR_AUTH", "true")]);
    server.sign_in(&key);
    let _probe = Probe::start(&server, dir.path(), "web-01");
    server.online("web-01");
    let mut record = Record::new(&[(&server.url, "URL"), (dir.path().to_str().unwrap(), "DIR")]);
    let admin = Ctl::new(&server.url, &dir.path().join("ada"));
    record.step(&admin, 4, &["hosts", "list"]);
    assert_eq!(login(&admin, &[], &key.replace("lk_", "xx_")).code, 4);
    let wrong = format!("sha256:{}", "ab".repeat(32));
    assert_eq!(login(&admin, &["--fingerprint", &wrong], &key).code, 3, "another authority is refused");
    assert!(!admin.dir.join("contexts.toml").exists(), "nothing is stored before it was right");
    let said = login(&admin, &["work"], &key);
    assert_eq!(said.code, 0, "{said:?}");
    let stored = admin.dir.join("contexts.toml");
    assert_eq!(stored.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&stored).unwrap();
    assert!(text.contains(&key) && text.contains("authority"), "the key and the pin are stored");
    assert!(!said.stderr.contains(&key), "the key is not shown");

    let alice = person(&admin, dir.path(), "alice", "operator");
    let bob = person(&admin, dir.path(), "bob", "approver");
    let carol = person(&admin, dir.path(), "carol", "viewer");
    let names = record.step(&admin, 0, &["persons", "list", "-o", "name"]).stdout;
    assert!(["alice", "bob", "carol"].iter().all(|name| names.contains(name)), "{names}");
    record.step(&carol, 0, &["plans", "list"]);
    record.step(&carol, 3, &["exec", "web-01", "--", "true"]);
    record.step(&carol, 3, &["persons", "list"]);
    record.step(&carol, 3, &["policies", "activate", "0"]);
    alice.expect(0, &["exec", "web-01", "--", "true"]);
    let target = dir.path().join("target");
    let path = format!("path={}", target.display());
    let plan = record.step(&alice, 5, &["do", "file.write", "web-01", &path, "content=x"]).id("plan_");
    record.step(&alice, 3, &["approvals", "approve", &plan, "--yes"]);
    record.step(&bob, 0, &["keys", "new"]);
    record.step(&bob, 0, &["keys", "register"]);
    record.step(&bob, 0, &["approvals", "approve", &plan, "--yes"]);
    record.step(&alice, 0, &["plans", "watch", &plan]);
    let shown = alice.expect(0, &["plans", "show", &plan]).stdout;
    assert!(shown.contains("signed with sha256:"), "{shown}");
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "x");
    record.step(&alice, 0, &["why", &plan]);
    // A key belongs to its server: another server does not get it.
    let url = crate::fake::serve(|_, _, _| (401, "application/json", b"{}".to_vec()));
    assert_eq!(alice.run(&["--server", &url, "hosts", "list"]).code, 4);
    eprintln!("ctl: {} commands of people", record.compare("people.txt"));
}
