//! The service verbs, by approved grants, against real systemd, OpenRC and init scripts: each post-condition met, and each one missed.

use super::edge::{Server, Session};
use super::private::{Init, Machine, PROBE};
use legator_core::ids::TaskId;
use legator_core::level::Level;
use legator_core::task::Outcome;
use legator_wire::receipt::Receipt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

/// Listens on the port of its first argument until it is ended; with a second argument, which is a file, only the first time.
const LISTENER: &str = r#"import os, signal, socket, sys, time
signal.signal(signal.SIGHUP, lambda *_: None)
once = sys.argv[2] if len(sys.argv) > 2 else None
if once is None or not os.path.exists(once):
    if once: open(once, "w")
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", int(sys.argv[1])))
    s.listen()
while True: time.sleep(1)
"#;

/// How a task ended, and whether its post-condition held.
type Verdict = (Outcome, Option<bool>);

const GOOD: Verdict = (Outcome::Succeeded, Some(true));
const FAILED: Verdict = (Outcome::Failed, Some(false));
const REFUSED: Verdict = (Outcome::Refused, None);

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Host {
    machine: Machine,
    server: Server,
    session: Session,
}

impl Host {
    /// A machine whose installed probe is online.
    async fn online(init: Init) -> Self {
        let (machine, mut server) = (Machine::start(init), Server::start().await);
        machine.write("/opt/listen.py", LISTENER);
        let token = server.token();
        machine.good(&[PROBE, "init", "--server", &server.address, "--token", &token]).await;
        let session = server.session().await;
        Self { machine, server, session }
    }

    fn script(&self, name: &str, text: &str) {
        let path = format!("/etc/init.d/{name}");
        self.machine.write(&path, text);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.machine.path(&path), mode).unwrap();
    }

    /// Does these at the same time, each to its receipt.
    async fn all(&mut self, rows: &[(&str, &str, Verdict)]) -> BTreeMap<String, Receipt> {
        let mut asked: BTreeMap<TaskId, usize> = BTreeMap::new();
        for (index, (verb, name, _)) in rows.iter().enumerate() {
            let scene = self.server.grant_of(verb, json!({ "name": name }), Level::Remediate);
            asked.insert(scene.leaves[1].task, index);
            self.session.send(&scene.frame().to_string()).await;
        }
        let mut found = BTreeMap::new();
        while found.len() < rows.len() {
            let (receipt, _) = self.session.settled().await;
            let Some(index) = asked.get(&receipt.task) else { continue };
            let (verb, name, wanted) = rows[*index];
            let what = format!("{:?} {verb} {name}", self.machine.init);
            assert_eq!(
                (receipt.outcome, receipt.verified),
                wanted,
                "{what}: {:?} {:?} before {:?} after {:?}",
                receipt.reason,
                receipt.detail,
                receipt.before,
                receipt.after
            );
            found.insert(name.to_owned(), receipt);
        }
        found
    }
}

fn pid(state: &Option<Value>) -> Option<u64> {
    state.as_ref()?["main_pid"].as_u64()
}

/// Writes every unit of the suite.
fn systemd_units(host: &Host, ports: &[u16]) {
    let unit = |name: &str, body: &str| {
        let text = format!("[Service]\n{body}\n[Install]\nWantedBy=multi-user.target\n");
        host.machine.write(&format!("/etc/systemd/system/{name}.service"), &text);
    };
    let listen = |port: u16| format!("ExecStart=/usr/bin/python3 /opt/listen.py {port}");
    unit("good", &format!("{}\nExecReload=/bin/kill -HUP $MAINPID", listen(ports[0])));
    unit("sliced", &format!("{}\nSlice=custom.slice", listen(ports[1])));
    unit("many@", &format!("{}\nUser=nobody", listen(ports[3])));
    unit(
        "forks",
        &format!(
            "Type=forking\nPIDFile=/run/forks.pid\nExecStart=/bin/sh -c 'python3 /opt/listen.py {} >/dev/null 2>&1 & echo $! > /run/forks.pid; sleep 0.3'",
            ports[4]
        ),
    );
    unit("ran", "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true");
    unit("dies", "ExecStart=/bin/sleep 0.6");
    unit("flaps", "Restart=always\nRestartSec=100ms\nStartLimitBurst=1000\nExecStart=/bin/sleep 0.5");
    unit("cannot", "ExecStart=/no/such/program");
    unit("stubborn", "ExecStart=/bin/sleep 900\n[Unit]\nRefuseManualStop=yes");
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, host.machine.path(&format!("/etc/systemd/system/{name}.service")))
            .unwrap();
    };
    link("/dev/null", "masked");
    link("good.service", "alias");
}

#[tokio::test]
async fn systemd_services_are_judged_by_their_processes() {
    let mut host = Host::online(Init::Systemd).await;
    let ports: Vec<u16> = (0..5).map(|_| free_port()).collect();
    systemd_units(&host, &ports);
    host.machine.good(&["systemctl", "daemon-reload"]).await;
    let start = host
        .all(&[
            ("service.start", "good", GOOD),
            ("service.start", "sliced", GOOD),
            ("service.start", "many@a", GOOD),
            ("service.start", "forks", GOOD),
            ("service.start", "ran", GOOD),
            ("service.start", "dies", FAILED),
            ("service.start", "flaps", FAILED),
            ("service.start", "cannot", FAILED),
            ("service.start", "masked", FAILED),
            ("service.start", "absent", REFUSED),
        ])
        .await;
    let first = pid(&start["good"].after).unwrap();
    let said = host.machine.good(&["systemctl", "show", "-p", "MainPID", "--value", "good"]).await;
    assert_eq!(said.trim(), first.to_string(), "the main process is the one that systemd names");
    let listening = |receipt: &Receipt| receipt.after.as_ref().unwrap()["listening"].to_string();
    assert!(listening(&start["good"]).contains(&ports[0].to_string()), "{:?}", start["good"].after);
    let again = host
        .all(&[
            ("service.restart", "alias", GOOD),
            ("service.restart", "sliced", GOOD),
            ("service.restart", "many@a", GOOD),
            ("service.restart", "forks", GOOD),
            ("service.start", "stubborn", GOOD),
        ])
        .await;
    assert_eq!(pid(&again["alias"].before), Some(first), "another name of the same service");
    assert_ne!(pid(&again["alias"].after), Some(first));
    let rest = host
        .all(&[
            ("service.reload", "good", GOOD),
            ("service.reload", "sliced", FAILED),
            ("service.enable", "many@a", GOOD),
            ("service.enable", "forks", GOOD),
            ("service.stop", "stubborn", FAILED),
            ("service.stop", "ran", GOOD),
        ])
        .await;
    assert_eq!(pid(&rest["good"].before), pid(&rest["good"].after));
    host.all(&[
        ("service.disable", "many@a", GOOD),
        ("service.disable", "forks", GOOD),
        ("service.stop", "good", GOOD),
        ("service.stop", "sliced", GOOD),
    ])
    .await;
    eprintln!("systemd: 25 actions on 12 real units, each judged");
}

/// A script of this manager for a program that listens.
fn listener(init: Init, name: &str, args: &str) -> String {
    if init == Init::OpenRc {
        return format!(
            "#!/sbin/openrc-run\nextra_started_commands=reload\ncommand=/usr/bin/python3\ncommand_args=\"/opt/listen.py {args}\"\n\
             command_background=yes\npidfile=/run/{name}.pid\nreload() {{ kill -HUP $(cat /run/{name}.pid); }}\n"
        );
    }
    format!(
        "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: {name}\n# Required-Start:\n# Required-Stop:\n# Default-Start: 2 3 4 5\n\
         # Default-Stop: 0 1 6\n### END INIT INFO\nPIDFILE=/run/{name}.pid\nDAEMON=/usr/bin/python3\n\
         start() {{ start-stop-daemon --start --background --make-pidfile --pidfile $PIDFILE --exec $DAEMON -- /opt/listen.py {args}; }}\n\
         stop() {{ start-stop-daemon --stop --retry 5 --pidfile $PIDFILE --remove-pidfile; }}\n\
         case $1 in start) start;; stop) stop;; restart) stop; start;; reload) kill -HUP $(cat $PIDFILE);; esac\n"
    )
}

/// A script whose program ends after 0.6 s.
fn short(init: Init, name: &str) -> String {
    let text = listener(init, name, "0").replace("/usr/bin/python3", "/bin/sleep");
    text.replace("/opt/listen.py 0", "0.6")
}

async fn by_scripts(init: Init) {
    let mut host = Host::online(init).await;
    let ports: Vec<u16> = (0..2).map(|_| free_port()).collect();
    host.script("good", &listener(init, "good", &ports[0].to_string()));
    host.script("once", &listener(init, "once", &format!("{} /run/once", ports[1])));
    host.script("dies", &short(init, "dies"));
    // Says that it restarts, and does not.
    let lazy = listener(init, "lazy", "0").replace("restart) stop; start;;", "restart) exit 0;;");
    host.script("lazy", &lazy);
    let list = host.server.grant_of("service.list", json!({}), Level::Observe);
    host.session.send(&list.frame().to_string()).await;
    let (receipt, sent) = host.session.settled().await;
    assert_eq!(receipt.outcome, Outcome::Succeeded);
    let list: Value = serde_json::from_slice(&sent.stdout).unwrap();
    assert_eq!(list["manager"], json!(init.word()), "systemd is installed here, and not in charge");
    let start = host
        .all(&[
            ("service.start", "good", GOOD),
            ("service.start", "once", GOOD),
            ("service.start", "lazy", GOOD),
            ("service.start", "dies", FAILED),
            ("service.start", "absent", REFUSED),
        ])
        .await;
    let first = pid(&start["good"].after).unwrap();
    let mut rows = vec![("service.restart", "good", GOOD)];
    if init == Init::SysV {
        // Each takes as long as a service is given to arrive.
        rows.extend([("service.restart", "once", FAILED), ("service.restart", "lazy", FAILED)]);
    }
    let again = host.all(&rows).await;
    assert_eq!(pid(&again["good"].before), Some(first));
    assert_ne!(pid(&again["good"].after), Some(first));
    host.all(&[("service.reload", "good", GOOD), ("service.enable", "once", GOOD)]).await;
    host.all(&[
        ("service.disable", "once", GOOD),
        ("service.stop", "good", GOOD),
        ("service.stop", "lazy", GOOD),
    ])
    .await;
    eprintln!("{}: each action on real services judged", init.word());
}

#[tokio::test]
async fn openrc_services_are_judged_by_their_processes() {
    by_scripts(Init::OpenRc).await;
}

#[tokio::test]
async fn services_of_init_scripts_are_judged_by_their_processes() {
    by_scripts(Init::SysV).await;
}
