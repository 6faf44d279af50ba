//! `init`, `status`, `check` and `uninstall`, into a folder that stands for `/`.

use super::edge::Server;
use super::host::PROGRAM;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Output};

async fn probe(arguments: Vec<String>) -> Output {
    tokio::task::spawn_blocking(move || {
        Command::new(PROGRAM).env_clear().env("PATH", "/usr/bin:/bin").args(arguments).output().unwrap()
    })
    .await
    .unwrap()
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// A folder that another user can enter, with two users in it.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(root.path().join("etc")).unwrap();
    fs::write(
        root.path().join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\nprobe:x:64123:64124::/:/bin/false\n",
    )
    .unwrap();
    root
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn an_installed_service_can_read_its_own_configuration_and_nobody_else_can() {
    let mut installed = 0;
    for (manager, file) in [
        ("systemd", "etc/systemd/system/legator-probe.service"),
        ("openrc", "etc/init.d/legator-probe"),
        ("sysv", "etc/init.d/legator-probe"),
    ] {
        for (user, uid, gid) in [("root", 0, 0), ("probe", 64123, 64124)] {
            let (server, root) = (Server::start().await, root());
            let at = root.path();
            let line = format!(
                "init --server {} --token {} --name web-9 --label env=prod --user {user} --init {manager} --root {}",
                server.address,
                server.token(),
                at.display()
            );
            let output = probe(words(&line)).await;
            assert!(output.status.success(), "{manager} {user}: {}", String::from_utf8_lossy(&output.stderr));
            let config = at.join("etc/legator/probe.toml");
            let state = at.join("var/lib/legator-probe");
            let text = fs::read_to_string(&config).unwrap();
            assert!(
                text.contains("state_dir = \"/var/lib/legator-probe\"")
                    && text.contains("\"env\" = \"prod\""),
                "{text}"
            );
            assert_eq!(
                (mode(&config), fs::metadata(&config).unwrap().uid(), fs::metadata(&config).unwrap().gid()),
                (if user == "root" { 0o600 } else { 0o640 }, 0, gid)
            );
            for name in ["key", "identity.json", "lock"] {
                let meta = fs::metadata(state.join(name)).unwrap();
                assert_eq!((meta.uid(), meta.permissions().mode() & 0o077), (uid, 0), "{name}");
            }
            assert_eq!(mode(&state), 0o700);
            let unit = fs::read_to_string(at.join(file)).unwrap();
            assert!(
                unit.contains("/usr/local/bin/legator-probe")
                    && unit.contains("run --config /etc/legator/probe.toml")
            );
            assert!(unit.contains(user));
            assert_eq!(mode(&at.join(file)), if manager == "systemd" { 0o644 } else { 0o755 });
            reads_as(at, (uid, gid), true).await;
            reads_as(at, (64999, 64999), false).await;
            installed += 1;
            taken_away(at, file).await;
        }
    }
    eprintln!("init: {installed} installations, each readable by its service and by nobody else");
}

/// Whether this user's process can read the configuration and the state.
async fn reads_as(root: &Path, (uid, gid): (u32, u32), expected: bool) {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(root.join("usr/local/bin/legator-probe"));
    command.arg("check").arg("--config").arg(root.join("etc/legator/probe.toml"));
    command.arg("--state-dir").arg(root.join("var/lib/legator-probe")).uid(uid).gid(gid);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert_eq!(output.status.success(), expected, "{uid}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn taken_away(root: &Path, file: &str) {
    let status =
        probe(words(&format!("status --json --state-dir {}/var/lib/legator-probe", root.display()))).await;
    let report: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((report["name"].as_str(), report["running"].as_bool()), (Some("a-host"), Some(false)));
    let output = probe(words(&format!("uninstall --root {}", root.display()))).await;
    assert!(output.status.success());
    assert!(!root.join(file).exists() && !root.join("etc/legator/probe.toml").exists());
    assert!(root.join("var/lib/legator-probe/key").exists(), "the state stays unless it is purged");
    let output = probe(words(&format!("uninstall --purge --root {}", root.display()))).await;
    assert!(output.status.success() && !root.join("var/lib/legator-probe").exists());
}

#[tokio::test]
async fn a_user_that_is_none_and_a_name_with_shell_in_it_are_refused() {
    let (server, root) = (Server::start().await, root());
    for user in ["nobody-of-this-name", "root;reboot", "$(id)", "root\nx"] {
        let mut line = words(&format!("init --server {} --token {} --root", server.address, server.token()));
        line.push(root.path().display().to_string());
        line.extend(["--user".to_owned(), user.to_owned()]);
        let output = probe(line).await;
        assert!(!output.status.success(), "{user}");
        assert!(!root.path().join("etc/systemd").exists() && !root.path().join("etc/init.d").exists());
    }
}

#[tokio::test]
async fn without_a_token_or_a_server_it_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = probe(words(&format!("run --state-dir {}", folder.path().join("s").display()))).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("--token"), "{said}");
}
