//! Runs a test of this program again as an ordinary user.
//!
//! Owns the change of user and the copies that another user can read. Never skips: a machine without root says so.
//! Invariant: the test's result as that user is the test's result.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

const HELPER: &str = "LEGATOR_TEST_HELPER";

/// The probe's program, as this user can execute it.
pub fn helper() -> PathBuf {
    std::env::var_os(HELPER).map_or_else(|| env!("CARGO_BIN_EXE_legator-probe").into(), Into::into)
}

#[allow(dead_code)] // not every suite has such a test
pub fn need_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test needs root: what it tries as an ordinary user is in the other test"
    );
}

/// As root: runs the named test again as uid 65534, demands that it passes, and says true. As another user: false.
pub fn became_ordinary(test: &str) -> bool {
    if !rustix::process::geteuid().is_root() {
        return false;
    }
    let dir = tempfile::Builder::new().prefix("legator-user-").tempdir_in("/var/tmp").unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let (program, probe, corpus) =
        (dir.path().join("test"), dir.path().join("probe"), dir.path().join("corpus"));
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_legator-probe"), &probe).unwrap();
    std::fs::create_dir(&corpus).unwrap();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), corpus.join(entry.file_name())).unwrap();
    }
    let status = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"])
        .arg(&program)
        .args([test, "--exact", "--nocapture"])
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .env(HELPER, &probe)
        .env("LEGATOR_TEST_CORPUS", &corpus)
        .status()
        .unwrap();
    assert!(status.success(), "as an ordinary user: {status}");
    true
}
