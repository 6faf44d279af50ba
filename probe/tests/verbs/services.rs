//! Services, on Debian's own nginx: started, restarted, reloaded, broken, stopped, each judged by its processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use crate::bench::{Bench, Did};
use legator_core::task::Outcome;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One suite at a time has the machine's nginx.
fn nginx_is_mine() -> fs::File {
    let file = fs::File::create("/run/legator-test-nginx.lock").unwrap();
    file.lock().unwrap();
    file
}

/// Removes a file at the end, also of a test that failed.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

const CONFIG: &str = "/etc/nginx/conf.d/legator-verbs-test.conf";
const DEFAULT_SITE: &str = "/etc/nginx/sites-enabled/default";

/// The machine's nginx with one site on a port of its own; stopped and as before at the end, also of a test that failed.
struct Nginx {
    port: u16,
    default_site: Option<PathBuf>,
}

impl Nginx {
    fn stopped() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let _ = Command::new("/etc/init.d/nginx").arg("stop").output();
        let default_site = fs::read_link(DEFAULT_SITE).ok();
        let _ = fs::remove_file(DEFAULT_SITE);
        fs::write(CONFIG, format!("server {{ listen 127.0.0.1:{port}; return 200 ok; }}\n")).unwrap();
        Self { port, default_site }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = Command::new("/etc/init.d/nginx").arg("stop").output();
        let _ = fs::remove_file(CONFIG);
        if let Some(target) = &self.default_site {
            let _ = std::os::unix::fs::symlink(target, DEFAULT_SITE);
        }
    }
}

fn field<'a>(value: &'a Option<Value>, name: &str) -> &'a Value {
    &value.as_ref().unwrap()[name]
}

fn verdict(did: &Did) -> (Outcome, Option<bool>) {
    (did.done.outcome, did.done.verified)
}

#[tokio::test]
async fn nginx_is_restarted_for_real() {
    let _mine = nginx_is_mine();
    let bench = Bench::new();
    let name = json!({ "name": "nginx" });
    let nginx = Nginx::stopped();
    let good = (Outcome::Succeeded, Some(true));

    let start = bench.run("service.start", name.clone()).await;
    assert_eq!(verdict(&start), good, "{:?} {}", start.done.detail, String::from_utf8_lossy(&start.stderr));
    assert_eq!(field(&start.done.before, "active"), &json!(false));
    let first = field(&start.done.after, "main_pid").as_u64().unwrap();
    let listens = format!("tcp 127.0.0.1:{}", nginx.port);
    assert_eq!(field(&start.done.after, "listening"), &json!([listens]));

    let status = bench.run("service.status", json!({ "name": "nginx.service" })).await.done.result.unwrap();
    assert_eq!((&status["main_pid"], &status["active"]), (&json!(first), &json!(true)));

    let restart = bench.run("service.restart", name.clone()).await;
    assert_eq!(verdict(&restart), good, "{:?}", restart.done.detail);
    assert_eq!(field(&restart.done.before, "main_pid").as_u64(), Some(first));
    let second = field(&restart.done.after, "main_pid").as_u64().unwrap();
    assert_ne!(second, first, "another main process");
    assert_eq!(field(&restart.done.before, "listening"), field(&restart.done.after, "listening"));
    assert!(!Path::new(&format!("/proc/{first}")).exists());

    let reload = bench.run("service.reload", name.clone()).await;
    assert_eq!(verdict(&reload), good, "{:?}", reload.done.detail);
    assert_eq!(
        field(&reload.done.after, "main_pid").as_u64(),
        Some(second),
        "a reload keeps the main process"
    );

    let broken = Removed("/etc/nginx/conf.d/legator-test-broken.conf".into());
    fs::write(&broken.0, "this is no configuration\n").unwrap();
    let failed = bench.run("service.restart", name.clone()).await;
    assert_eq!(verdict(&failed), (Outcome::Failed, Some(false)), "a broken configuration is no success");
    assert!(failed.done.detail.unwrap().contains("same as before"));
    drop(broken);

    let stop = bench.run("service.stop", name.clone()).await;
    assert_eq!(verdict(&stop), good, "{:?}", stop.done.detail);
    assert_eq!(field(&stop.done.after, "active"), &json!(false));
    let undo = bench.run("task.undo", json!({ "task": stop.task })).await;
    assert_eq!(verdict(&undo), good, "{:?}", undo.done.detail);
    assert_eq!(field(&undo.done.after, "active"), &json!(true), "what was stopped runs again");
    let again = bench.run("task.undo", json!({ "task": stop.task })).await;
    assert_eq!(again.refusal(), "changed-pre-image");
    let no_undo = bench.run("task.undo", json!({ "task": restart.task })).await;
    assert_eq!(no_undo.refusal(), "no-undo", "a restart has no inverse");
    eprintln!("verbs: nginx {first} restarted as {second}");
}

/// A service of this test alone: a script in `/etc/init.d` that runs a copy of `sleep`.
struct OwnService {
    name: String,
    script: Removed,
    _pid_file: Removed,
}

impl OwnService {
    fn new(bench: &Bench, name: &str, seconds: &str) -> Self {
        let name = format!("legator-{name}-{}", std::process::id());
        let (program, pid_file) = (bench.path(&name), format!("/run/{name}.pid"));
        fs::copy("/bin/sleep", &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let script = format!(
            "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: {name}\n# Required-Start:\n# Required-Stop:\n\
             # Default-Start: 2 3 4 5\n# Default-Stop: 0 1 6\n### END INIT INFO\n\
             DAEMON={program}\nPIDFILE={pid_file}\n\
             case $1 in\nstart) $DAEMON {seconds} >/dev/null 2>&1 & echo $! > $PIDFILE;;\n\
             stop) kill $(cat $PIDFILE); rm $PIDFILE;;\nrestart) exit 0;;\nesac\n"
        );
        let path = Removed(format!("/etc/init.d/{name}").into());
        fs::write(&path.0, script).unwrap();
        fs::set_permissions(&path.0, fs::Permissions::from_mode(0o755)).unwrap();
        Self { name, script: path, _pid_file: Removed(pid_file.into()) }
    }

    fn args(&self) -> Value {
        json!({ "name": self.name })
    }
}

impl Drop for OwnService {
    fn drop(&mut self) {
        let _ = Command::new(&self.script.0).arg("stop").output();
        let _ = fs::remove_file(&self.script.0);
        let _ = Command::new("/usr/sbin/update-rc.d").args([&self.name, "remove"]).output();
    }
}

#[tokio::test]
async fn a_service_that_dies_while_it_settles_is_no_success() {
    let bench = Bench::new();
    let service = OwnService::new(&bench, "dies", "0.4");
    let did = bench.run("service.start", service.args()).await;
    assert_eq!(verdict(&did), (Outcome::Failed, Some(false)), "{:?}", did.done.after);
    assert_eq!(did.done.exit_code, Some(0), "though its command says success");
}

#[tokio::test]
async fn a_restart_that_does_nothing_is_no_success() {
    let bench = Bench::new();
    let service = OwnService::new(&bench, "stays", "300");
    let start = bench.run("service.start", service.args()).await;
    assert_eq!(verdict(&start), (Outcome::Succeeded, Some(true)), "{:?}", start.done.detail);
    // A user's own process of the same program is not the service's.
    let pid = field(&start.done.after, "main_pid").as_u64().unwrap();
    fs::write(format!("/run/{}.pid", service.name), "1\n").unwrap();
    let status = bench.run("service.status", service.args()).await.done.result.unwrap();
    assert_eq!(status["active"], json!(false), "a process id of somebody else in the file is not believed");
    fs::write(format!("/run/{}.pid", service.name), format!("{pid}\n")).unwrap();
    let undo = bench.run("task.undo", json!({ "task": start.task })).await;
    assert_eq!(verdict(&undo), (Outcome::Succeeded, Some(true)), "{:?}", undo.done.detail);
    assert!(
        !Path::new(&format!("/proc/{pid}")).exists()
            || legator_probe::verbs::proc::process(pid as u32).unwrap().state == 'Z'
    );
}

#[tokio::test]
async fn a_service_is_enabled_and_disabled_at_boot() {
    let bench = Bench::new();
    let service = OwnService::new(&bench, "boot", "300");
    let register = Command::new("/usr/sbin/update-rc.d").args([&service.name, "defaults"]).status();
    assert!(register.unwrap().success());
    let disable = bench.run("service.disable", service.args()).await;
    assert_eq!(verdict(&disable), (Outcome::Succeeded, Some(true)), "{:?}", disable.done.detail);
    assert_eq!(field(&disable.done.before, "enabled"), &json!(true));
    let undo = bench.run("task.undo", json!({ "task": disable.task })).await;
    assert_eq!(verdict(&undo), (Outcome::Succeeded, Some(true)), "{:?}", undo.done.detail);
    let enable = bench.run("service.enable", service.args()).await;
    assert_eq!(verdict(&enable), (Outcome::Succeeded, Some(true)), "{:?}", enable.done.detail);
}

#[tokio::test]
async fn a_service_that_is_not_there_is_refused() {
    let bench = Bench::new();
    for verb in ["start", "stop", "restart", "reload", "enable", "disable", "status"] {
        let did = bench.run(&format!("service.{verb}"), json!({ "name": "no-such-service-here" })).await;
        assert_eq!((did.done.outcome, did.refusal()), (Outcome::Refused, "not-applicable"), "{verb}");
    }
}
