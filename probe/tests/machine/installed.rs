//! `init`, `status` and `uninstall` with the service really started by its manager, from the unit that was written.

use super::edge::{Server, Session};
use super::private::{Init, Machine, PROBE};
use legator_core::level::Level;
use legator_core::task::Outcome;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

const ALL: [Init; 3] = [Init::Systemd, Init::OpenRc, Init::SysV];
const CONFIG: &str = "/etc/legator/probe.toml";
const STATE: &str = "/var/lib/legator-probe";
const FOLDERS: [&str; 5] = ["/etc", "/usr", "/opt", "/var/lib", "/root"];

/// What an installation leaves in the folders that are looked at, beside the machine's own doings.
fn left(machine: &Machine) -> Vec<String> {
    let own = [
        "/etc/passwd",
        "/etc/fstab",
        "/etc/machine-id",
        "/etc/.pwd.lock",
        "/opt/legator-probe",
        "/var/lib/systemd",
    ];
    let mut left = machine.changed(&FOLDERS);
    left.retain(|path| !own.iter().any(|own| path.starts_with(own)));
    left
}

async fn init(machine: &Machine, server: &Server, more: &[&str]) -> String {
    let token = server.token();
    let line = [&[PROBE, "init", "--server", &server.address, "--token", &token][..], more].concat();
    machine.good(&line).await
}

/// A read in the cage and what it said.
async fn reads(session: &mut Session, server: &Server) -> (Outcome, String) {
    let scene = server.grant_of("shell.run", json!({ "argv": ["cat", "/etc/passwd"] }), Level::Observe);
    session.send(&scene.frame().to_string()).await;
    let (receipt, sent) = session.settled().await;
    (receipt.outcome, format!("{}{:?}", String::from_utf8_lossy(&sent.stdout), receipt.detail))
}

async fn status(machine: &Machine) -> Value {
    serde_json::from_str(&machine.good(&[PROBE, "status", "--json"]).await).unwrap()
}

fn owner(machine: &Machine, path: &str) -> (u32, u32, u32) {
    let meta = fs::metadata(machine.path(path)).unwrap();
    (meta.uid(), meta.gid(), meta.permissions().mode() & 0o777)
}

#[tokio::test]
async fn an_installed_service_that_cannot_read_its_own_configuration_does_not_come_online() {
    let mut online = 0;
    for manager in ALL {
        for (user, ids) in [("root", (0, 0)), ("probe", (64123, 64124))] {
            let (machine, mut server) = (Machine::start(manager), Server::start().await);
            let before = left(&machine);
            let said = init(&machine, &server, &["--user", user, "--label", "env=prod"]).await;
            assert!(said.contains("started legator-probe"), "{said}");
            let mut session = server.session().await;
            let (outcome, said) = reads(&mut session, &server).await;
            if user == "root" {
                assert_eq!(outcome, Outcome::Succeeded, "{manager:?} {said}");
                assert!(said.contains("probe:x:64123"), "it is that machine's probe: {said}");
            }
            assert_eq!(status(&machine).await["running"], json!(true));
            assert_eq!(owner(&machine, CONFIG), (0, ids.1, if user == "root" { 0o600 } else { 0o640 }));
            assert_eq!(owner(&machine, &format!("{STATE}/key")), (ids.0, ids.1, 0o600));
            assert_eq!(owner(&machine, STATE), (ids.0, ids.1, 0o700));
            again(&machine, &mut server, user).await;
            gone(&machine, &before).await;
            online += 1;
        }
    }
    eprintln!("init: {online} installed services came online, read, were installed again and removed");
}

/// `init` once more: the same host, the host's own changes to its file kept, one enrolment.
async fn again(machine: &Machine, server: &mut Server, user: &str) {
    let edited = machine.read(CONFIG).unwrap().replace("\"remediate\"", "\"diagnose\"");
    machine.write(CONFIG, &edited);
    let said = machine.good(&[PROBE, "init", "--user", user]).await;
    assert!(said.contains("kept /etc/legator/probe.toml"), "{said}");
    let session = server.session().await;
    assert_eq!((session.hello.max_level, server.enrolments().len()), (Level::Diagnose, 1));
    assert_eq!(machine.read(CONFIG).unwrap(), edited);
}

/// `uninstall`: no process and no file is left but what it says; with `--purge` none at all.
async fn gone(machine: &Machine, before: &[String]) {
    let installed = left(machine);
    assert!(installed.len() >= before.len() + 4, "{installed:?}");
    let said = machine.good(&[PROBE, "uninstall"]).await;
    assert!(said.contains(&format!("kept {STATE}")) && said.contains("--purge"), "{said}");
    let running = machine.good(&["sh", "-c", "ps -eo args | grep '[l]egator-probe run' || true"]).await;
    assert_eq!(running, "");
    let mut kept = left(machine);
    kept.retain(|path| !before.contains(path));
    assert!(!kept.is_empty() && kept.iter().all(|path| path.starts_with(STATE)), "{kept:?}");
    assert!(!machine.exists("/etc/legator"));
    let said = machine.good(&[PROBE, "uninstall", "--purge"]).await;
    assert!(said.contains(&format!("removed {STATE}")), "{said}");
    assert_eq!(left(machine), before);
}

#[tokio::test]
async fn the_unit_is_one_that_systemd_itself_finds_no_fault_with() {
    let (machine, server) = (Machine::start(Init::Systemd), Server::start().await);
    init(&machine, &server, &["--no-start"]).await;
    let unit = "/etc/systemd/system/legator-probe.service";
    let checked = machine.tried(&["systemd-analyze", "verify", unit]).await;
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && !said.contains("legator-probe"), "{said}");
    // The check can fail: it is the real one.
    let broken = machine
        .read(unit)
        .unwrap()
        .replace("ExecStart=/usr/local/bin/legator-probe", "ExecStart=/no/such/program");
    machine.write("/etc/systemd/system/legator-broken.service", &broken);
    let checked =
        machine.tried(&["systemd-analyze", "verify", "/etc/systemd/system/legator-broken.service"]).await;
    assert!(!checked.status.success() && String::from_utf8_lossy(&checked.stderr).contains("legator-broken"));
}

#[tokio::test]
async fn what_cannot_be_installed_whole_leaves_nothing() {
    let machine = Machine::start(Init::SysV);
    let mut server = Server::start().await;
    let before = left(&machine);
    let token = server.token();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}", silent.local_addr().unwrap());
    drop(silent);
    let at = server.address.clone();
    // A folder that the service's user cannot enter.
    machine.good(&["mkdir", "-p", "/root/deep"]).await;
    machine.good(&["chmod", "700", "/root"]).await;
    let cases: [(&str, Vec<&str>, &str); 7] = [
        ("nobody listens", vec!["--server", &closed, "--token", &token], "cannot reach"),
        ("no server", vec!["--server", "ftp://x", "--token", &token], "no server"),
        ("no token", vec!["--server", &at], "not enrolled"),
        ("a token that is none", vec!["--server", &at, "--token", "lt_x"], "token"),
        ("refused", vec!["--server", &at, "--token", &token, "--name", "refused"], "token-used"),
        ("no such user", vec!["--server", &at, "--token", &token, "--user", "ghost"], "no user"),
        (
            "a certificate that is not there",
            vec!["--server", &at, "--token", &token, "--ca", "/no/ca.pem"],
            "not there",
        ),
    ];
    for (what, flags, word) in &cases {
        let output = machine.tried(&[&[PROBE, "init"][..], flags].concat()).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(word), "{what}: {said}");
        assert_eq!(left(&machine), before, "{what}");
    }
    let unreadable =
        ["--server", &at, "--token", &token, "--user", "probe", "--state-dir", "/root/deep/state"];
    let output = machine.tried(&[&[PROBE, "init"][..], &unreadable].concat()).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("read its own configuration"), "{said}");
    let mut kept = left(&machine);
    kept.retain(|path| !before.contains(path));
    assert!(
        kept.iter().all(|path| path.starts_with("/root/deep/state")),
        "only what enrolment gave: {kept:?}"
    );
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), server.session()).await.is_err());
    eprintln!("init: {} installations that failed left nothing", cases.len() + 1);
}

#[tokio::test]
async fn without_root_it_says_so() {
    let machine = Machine::start(Init::SysV);
    let before = left(&machine);
    for what in ["init", "uninstall"] {
        let output = machine
            .tried(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", PROBE, what])
            .await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("root"), "{said}");
    }
    assert_eq!(left(&machine), before);
}
