//! The process itself: it stops in order, is alone on its folder, and refuses to start with what it cannot trust.

use legator_testkit::process::{Process, until};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

fn legator(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_legator"));
    command
        .env_clear()
        .env("HOME", dir)
        .env("LEGATOR_DATA_DIR", dir.join("data"))
        .env("LEGATOR_LISTEN", "127.0.0.1:0");
    command
}

fn start(dir: &Path) -> (Process, String) {
    // A log of its own for each start: the address in it is this start's.
    static STARTS: AtomicU32 = AtomicU32::new(0);
    let log = dir.join(format!("log-{}", STARTS.fetch_add(1, Ordering::Relaxed)));
    let process = Process::start(legator(dir).arg("up"), &log);
    let at = until("it listens", || {
        // Once the next line is there, this one is whole.
        let log = process.log();
        log.contains("\nauthority ").then_some(())?;
        log.lines().find_map(|line| line.strip_prefix("listening on http://")).map(str::to_owned)
    });
    (process, at)
}

/// Runs to its end, which has to be a failure, and returns what it says.
fn refused(command: &mut Command) -> String {
    let Output { status, stderr, stdout } = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(!status.success(), "it started: {text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn get(at: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap_or_else(|error| panic!("{at:?}: {error}"));
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn sigterm_drains_and_ends_well() {
    let dir = TempDir::new().unwrap();
    let (mut process, at) = start(dir.path());
    let ready = get(&at, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    for dependency in ["store", "worker", "edge"] {
        assert!(ready.contains(&format!("\"{dependency}\":\"ok\"")), "{ready}");
    }
    // A request that has begun is answered: its body comes in halves, with the signal between them.
    let mut begun = TcpStream::connect(&at).unwrap();
    let head = format!(
        "POST /api/v1/tokens HTTP/1.1\r\nHost: {at}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{"
    );
    begun.write_all(head.as_bytes()).unwrap();
    let mut stream = TcpStream::connect(&at).unwrap();
    write!(stream, "GET /api/v1/events/stream HTTP/1.1\r\nHost: {at}\r\n\r\n").unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    process.signal("TERM");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    begun.write_all(b"}").unwrap();
    let mut made = String::new();
    let _ = begun.read_to_string(&mut made);
    assert!(made.starts_with("HTTP/1.1 201 "), "the request that had begun was cut: {made:?}");
    assert!(rest.ends_with(b"0\r\n\r\n"), "the stream was ended, not cut");
    assert_eq!(process.wait(), Some(0));
    assert!(TcpStream::connect(&at).is_err());
    // What was written before is there after.
    let (mut again, at) = start(dir.path());
    assert!(get(&at, "/readyz").starts_with("HTTP/1.1 200") || get(&at, "/healthz").contains("ok"));
    again.signal("INT");
    assert_eq!(again.wait(), Some(0));
}

#[test]
fn a_second_instance_and_another_key_are_refused() {
    let dir = TempDir::new().unwrap();
    let (mut process, at) = start(dir.path());
    let text = refused(legator(dir.path()).arg("up"));
    assert!(text.contains("another legator runs"), "{text}");
    refused(legator(dir.path()).arg("migrate"));
    let fingerprint = |text: &str| text.split("sha256:").nth(1).map(|rest| rest[..64].to_owned()).unwrap();
    let first = fingerprint(&get(&at, "/version"));
    process.kill();
    let text = refused(legator(dir.path()).arg("up").env("LEGATOR_SIGNING_KEY", "ab".repeat(32)));
    assert!(text.contains(&first) && text.matches("sha256:").count() == 2, "both fingerprints: {text}");
    let (mut again, at) = start(dir.path());
    assert_eq!(fingerprint(&get(&at, "/version")), first);
    again.kill();
}

#[test]
fn what_cannot_be_trusted_stops_the_start() {
    let dir = TempDir::new().unwrap();
    let (mut process, _) = start(dir.path());
    process.signal("TERM");
    process.wait();
    let mut cases = 0;
    for name in ["authority.key", "seal.key", "checkpoint.key"] {
        let path = dir.path().join("data").join(name);
        let good = fs::read(&path).unwrap();
        let mode = |bits| fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
        let mut must_refuse = |what: &str| {
            let text = refused(legator(dir.path()).arg("up"));
            assert!(text.contains(name), "{name} {what}: {text}");
            cases += 1;
        };
        fs::remove_file(&path).unwrap();
        must_refuse("absent");
        for bad in [b"".as_slice(), b"\n", b"not a key\n", &[0xff; 64]] {
            fs::write(&path, bad).unwrap();
            mode(0o600);
            must_refuse("of a wrong type");
        }
        fs::write(&path, &good).unwrap();
        mode(0o644);
        must_refuse("open to others");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        must_refuse("a folder");
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink("/nowhere", &path).unwrap();
        must_refuse("a link to nothing");
        fs::remove_file(&path).unwrap();
        fs::write(&path, &good).unwrap();
        mode(0o600);
    }
    let key = dir.path().join("key");
    fs::write(&key, "ab".repeat(32)).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let open = format!("file:{}", key.display());
    let settings: [(&str, &str); 14] = [
        ("LEGATOR_SIGNING_KEY", ""),
        ("LEGATOR_SIGNING_KEY", "file:/nowhere"),
        ("LEGATOR_SIGNING_KEY", &open),
        ("LEGATOR_AUTH", ""),
        ("LEGATOR_AUTH", "yes"),
        ("LEGATOR_CONFIG", "/nowhere"),
        ("LEGATOR_CONFIG", ""),
        ("LEGATOR_LISTEN", "0.0.0.0:0"),
        ("LEGATOR_LISTEN", ""),
        ("LEGATOR_TLS_CERT", "/nowhere"),
        ("LEGATOR_DATA_DIR", ""),
        ("LEGATOR_DATA_DIR", "/proc/nowhere"),
        ("LEGATOR_UNKNOWN", "x"),
        ("LEGATOR_LLM_PROVIDER", "nobody"),
    ];
    for (name, value) in settings {
        refused(legator(dir.path()).arg("up").env(name, value));
        cases += 1;
    }
    refused(
        legator(dir.path()).arg("up").env("LEGATOR_TLS_CERT", "/nowhere").env("LEGATOR_TLS_KEY", "/nowhere"),
    );
    eprintln!("starts refused: {} cases", cases + 1);
    let (mut process, _) = start(dir.path());
    process.kill();
}

/// Each setting of the file, in each wrong type and empty, for the server and for the check of settings.
#[test]
fn settings_of_a_wrong_type_stop_the_start() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("legator.toml");
    let mut cases = 0;
    let mut refuse = |text: &str, told: &str| {
        fs::write(&file, text).unwrap();
        for words in
            [["up", "--config"].as_slice(), &["config", "check", "--config"], &["migrate", "--config"]]
        {
            let mut command = Command::new(env!("CARGO_BIN_EXE_legator"));
            let said = refused(command.env_clear().env("HOME", dir.path()).args(words).arg(&file));
            assert!(said.contains(told), "{text} with {words:?}: {said}");
            cases += 1;
        }
    };
    for name in legator::config::NAMES {
        for value in ["\"\"", "\" \"", "1", "1.5", "{}", "[]", "[1]", "1979-05-27"] {
            refuse(&format!("{name} = {value}\n"), name);
        }
        refuse(&format!("{name} = \"x\"\n{name} = \"x\"\n"), "legator.toml");
    }
    for (text, told) in [
        ("auth = \"true\"\n", "auth"),
        ("auths = true\n", "auths"),
        ("[server]\nauth = true\n", "server"),
        ("auth = \n", "legator.toml"),
        ("\0", "legator.toml"),
    ] {
        refuse(text, told);
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_legator"));
    refused(command.env_clear().env("HOME", dir.path()).args(["up", "--config"]).arg(&file));
    eprintln!("settings refused: {} cases", cases + 1);
}

#[test]
fn the_first_admin_is_made_once() {
    let dir = TempDir::new().unwrap();
    let bootstrap = || {
        let mut command = legator(dir.path());
        command.args(["admin", "bootstrap"]);
        command
    };
    let Output { status, stdout, .. } = bootstrap().output().unwrap();
    assert!(status.success());
    let key = String::from_utf8(stdout).unwrap();
    assert!(key.starts_with("lk_") && key.trim().len() == 3 + 32 + 1 + 64, "{key}");
    assert!(refused(&mut bootstrap()).contains("there is an admin already"));
    for bad in ["", "x", "file:/nowhere"] {
        let other = TempDir::new().unwrap();
        refused(legator(other.path()).args(["admin", "bootstrap", "--key", bad]));
    }
    let other = TempDir::new().unwrap();
    let given = legator(other.path()).args(["admin", "bootstrap", "--key", key.trim()]).output().unwrap();
    assert!(given.status.success(), "{}", String::from_utf8_lossy(&given.stderr));
    let checked = legator(dir.path())
        .args(["config", "check"])
        .env("LEGATOR_SIGNING_KEY", "ab".repeat(32))
        .output()
        .unwrap();
    assert!(checked.status.success());
    assert!(!String::from_utf8_lossy(&checked.stdout).contains("abab"), "secrets are not printed");
}
