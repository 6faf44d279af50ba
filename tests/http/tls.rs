//! TLS as people set it up: certificates made by openssl, spoken to by curl, `legatorctl` and a real probe.
//!
//! Proves that a certificate which does not fit (another name, expired, of nobody known) is refused by each of them.

use legator_testkit::process::{Process, binary, until};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn openssl(dir: &Path, line: &str) {
    let output = Command::new("openssl").current_dir(dir).args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// `ca.pem` and, made by it, `good.pem` for localhost; `expired.pem`, `elsewhere.pem`; and `own.pem`, which signs itself. Keys beside them.
fn certificates(dir: &Path) {
    openssl(
        dir,
        &format!(
            "req -x509 {KEY} -keyout ca.key -out ca.pem -days 30 -subj /CN=authority -addext keyUsage=critical,keyCertSign"
        ),
    );
    for (name, host, days) in [
        ("good", "localhost", "30"),
        ("expired", "localhost", "-1"),
        ("elsewhere", "elsewhere.example", "30"),
    ] {
        openssl(
            dir,
            &format!(
                "req {KEY} -keyout {name}.key -out {name}.csr -subj /CN={host} -addext subjectAltName=DNS:{host}"
            ),
        );
        openssl(
            dir,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days {days} -copy_extensions copy"
            ),
        );
    }
    openssl(
        dir,
        &format!(
            "req -x509 {KEY} -keyout own.key -out own.pem -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE"
        ),
    );
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.path().extension().is_some_and(|end| end == "key") {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

fn up(dir: &Path, cert: &Path, key: &Path) -> Command {
    let mut command = Command::new(binary("legator"));
    command.env_clear().env("HOME", dir).args(["up", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(dir.join("data")).arg("--tls-cert").arg(cert).arg("--tls-key").arg(key);
    command
}

/// A server with this certificate: the process and its port.
fn start(dir: &Path, name: &str) -> (Process, u16) {
    let certs = dir.join("certs");
    let mut command = up(dir, &certs.join(format!("{name}.pem")), &certs.join(format!("{name}.key")));
    let process = Process::start(&mut command, &dir.join(format!("{name}.log")));
    let port = until("it listens", || {
        let log = process.log();
        log.contains("\nauthority ").then_some(())?;
        log.lines().find_map(|line| line.strip_prefix("listening on https://127.0.0.1:"))?.parse().ok()
    });
    (process, port)
}

fn curl(args: &[&str]) -> Output {
    Command::new("curl").args(["-sS", "--max-time", "20"]).args(args).output().unwrap()
}

fn ctl(dir: &Path, server: &str, ca: Option<&Path>) -> Output {
    let mut command = Command::new(binary("legatorctl"));
    command.env_clear().env("HOME", dir).args(["hosts", "list", "-o", "json", "--server", server]);
    if let Some(ca) = ca {
        command.arg("--ca").arg(ca);
    }
    command.output().unwrap()
}

fn probe(dir: &Path, server: &str, ca: Option<&Path>, token: &str, name: &str) -> Process {
    let state = dir.join(name);
    let mut command = Command::new(binary("legator-probe"));
    command.env_clear().env("HOME", dir).args(["run", "--server", server, "--token", token, "--name", name]);
    command.arg("--state-dir").arg(&state);
    if let Some(ca) = ca {
        command.arg("--ca").arg(ca);
    }
    Process::start(&mut command, &dir.join(format!("{name}.log")))
}

struct Scene {
    dir: TempDir,
    ca: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let certs = dir.path().join("certs");
        fs::create_dir(&certs).unwrap();
        certificates(&certs);
        let ca = certs.join("ca.pem");
        Self { dir, ca }
    }

    fn at(&self) -> &Path {
        self.dir.path()
    }
}

#[test]
fn tls_carries_the_api_legatorctl_and_a_probe() {
    let scene = Scene::new();
    let (_server, port) = start(scene.at(), "good");
    let ca = scene.ca.to_str().unwrap();
    let url = format!("https://localhost:{port}");
    let until_ready =
        || curl(&["-f", "--cacert", ca, &format!("{url}/readyz")]).status.success().then_some(());
    until("the server is ready", until_ready);
    for (version, speaks) in [("1.1", false), ("1.2", true), ("1.3", true)] {
        let answer = curl(&["--cacert", ca, "--tls-max", version, &format!("{url}/healthz")]);
        assert_eq!(answer.status.success(), speaks, "TLS {version}");
    }
    let made = curl(&["-f", "--cacert", ca, "-X", "POST", &format!("{url}/api/v1/tokens")]);
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let token = made["token"].as_str().unwrap().to_owned();
    // Who does not know the authority, or asks under a name that the certificate does not have, gets nothing.
    let refused = [
        curl(&[&format!("{url}/healthz")]),
        curl(&["--cacert", ca, &format!("https://127.0.0.1:{port}/healthz")]),
        ctl(scene.at(), &url, None),
        ctl(scene.at(), &format!("https://127.0.0.1:{port}"), Some(&scene.ca)),
    ];
    for (number, output) in refused.iter().enumerate() {
        assert!(!output.status.success(), "case {number} was served");
        let told = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(told.contains("certificate"), "case {number} does not say why: {told}");
    }
    for (name, server, ca) in [
        ("unknown", url.clone(), None),
        ("misnamed", format!("https://127.0.0.1:{port}"), Some(scene.ca.as_path())),
    ] {
        let mut process = probe(scene.at(), &server, ca, &token, name);
        until("the probe says why", || process.log().to_lowercase().contains("certificate").then_some(()));
        process.kill();
    }
    let joined = probe(scene.at(), &url, Some(&scene.ca), &token, "web-01");
    until(&format!("the probe is online; {}", joined.log()), || {
        let hosts = ctl(scene.at(), &url, Some(&scene.ca));
        let text = String::from_utf8_lossy(&hosts.stdout).into_owned();
        (text.contains("\"web-01\"") && text.contains("\"online\"")).then_some(())
    });
    let hosts = String::from_utf8_lossy(&ctl(scene.at(), &url, Some(&scene.ca)).stdout).into_owned();
    assert!(!hosts.contains("unknown") && !hosts.contains("misnamed"), "{hosts}");
}

#[test]
fn tls_refuses_expired_and_foreign_certificates() {
    let scene = Scene::new();
    let certs = scene.at().join("certs");
    for (name, ca) in [("expired", "ca.pem"), ("own", "ca.pem"), ("elsewhere", "ca.pem")] {
        let (mut server, port) = start(scene.at(), name);
        let url = format!("https://localhost:{port}");
        let ca = certs.join(ca);
        let answer = curl(&["--cacert", ca.to_str().unwrap(), &format!("{url}/healthz")]);
        assert!(!answer.status.success(), "curl takes {name}");
        let answer = ctl(scene.at(), &url, Some(&ca));
        assert!(!answer.status.success(), "legatorctl takes {name}");
        let token = format!("lt_{:032x}_{}_{:032x}", 1, "ab".repeat(32), 2);
        let mut joins = probe(scene.at(), &url, Some(&ca), &token, &format!("probe-{name}"));
        until("the probe says why", || joins.log().to_lowercase().contains("certificate").then_some(()));
        joins.kill();
        server.kill();
    }
}

#[test]
fn tls_files_that_cannot_be_used_stop_the_start() {
    let scene = Scene::new();
    let certs = scene.at().join("certs");
    let file = |name: &str| certs.join(name);
    fs::write(file("empty"), "").unwrap();
    fs::write(file("text"), "no certificate\n").unwrap();
    let good = fs::read_to_string(file("good.pem")).unwrap();
    fs::write(file("cut.pem"), &good[..good.len() / 2]).unwrap();
    fs::copy(file("good.key"), file("open.key")).unwrap();
    fs::set_permissions(file("open.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let cases = [
        ("good.pem", "own.key", "do not go together"),
        ("good.pem", "absent", "absent"),
        ("absent", "good.key", "absent"),
        ("empty", "good.key", "empty"),
        ("good.pem", "empty", "empty"),
        ("text", "good.key", "text"),
        ("good.pem", "text", "text"),
        ("cut.pem", "good.key", "cut.pem"),
        ("good.pem", "open.key", "chmod"),
        ("good.key", "good.key", "good.key"),
        ("good.pem", "good.pem", "good.pem"),
        (".", "good.key", "certs"),
        ("good.pem", ".", "certs"),
    ];
    for (cert, key, told) in cases {
        let output = up(scene.at(), &file(cert), &file(key)).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{cert} with {key} was taken");
        assert!(text.contains(told) && !text.contains("panicked"), "{cert} with {key}: {text}");
    }
    eprintln!("TLS files refused: {} cases", cases.len());
}

#[test]
fn tls_ports_tell_plain_clients_and_let_no_handshake_wait() {
    let scene = Scene::new();
    let (_server, port) = start(scene.at(), "good");
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut plain = connect();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    plain.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    plain.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 400 ") && text.contains("https://"), "{text}");
    // Silent ones, ones that stop within the first record, ones that stop after it, ones that dribble.
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let since = Instant::now();
    let waiting: Vec<TcpStream> = (0..200)
        .map(|number| {
            let mut stream = connect();
            stream.write_all(&hello[..[0, 1, 5, 11][number % 4]]).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream
        })
        .collect();
    let ca = scene.ca.to_str().unwrap();
    let answer = curl(&["-f", "--cacert", ca, &format!("https://localhost:{port}/healthz")]);
    assert!(answer.status.success(), "others are served meanwhile");
    for mut stream in waiting {
        let mut rest = [0; 64];
        while matches!(stream.read(&mut rest), Ok(1..)) {}
    }
    eprintln!("200 handshakes that never end: closed after {:.1?}", since.elapsed());
    assert!(since.elapsed() <= Duration::from_secs(10), "{:?}", since.elapsed());
}
