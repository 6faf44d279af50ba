//! The machine's one nginx, driven by Debian's init script on a port of its own.
//!
//! Owns its start and its end, and that one test of one process at a time has it. Invariant: what was there before is put back.

use crate::process::{free_port, until};
use std::fs::File;
use std::process::Command;

const CONFIG: &str = "/etc/nginx/conf.d/legator-test.conf";
const DEFAULT_SITE: &str = "/etc/nginx/sites-enabled/default";
const LOCK: &str = "/run/lock/legator-test-nginx";

/// A running nginx; ended on drop.
pub struct Nginx {
    _lock: File,
}

impl Nginx {
    /// Starts it anew. Waits while another process has it.
    pub fn start() -> Self {
        let lock = File::create(LOCK).expect("a lock file");
        lock.lock().expect("the lock");
        let _ = std::fs::remove_file(DEFAULT_SITE);
        let site = format!("server {{ listen 127.0.0.1:{}; return 200 ok; }}\n", free_port());
        std::fs::write(CONFIG, site).expect("root may configure nginx");
        assert!(service("stop"));
        assert!(service("start"), "Debian's nginx starts");
        Self { _lock: lock }
    }

    /// The id of its main process.
    pub fn pid() -> u64 {
        let read = || std::fs::read_to_string("/run/nginx.pid").ok()?.trim().parse().ok();
        until("nginx to have a pid", read)
    }
}

fn service(word: &str) -> bool {
    Command::new("/etc/init.d/nginx").arg(word).output().is_ok_and(|output| output.status.success())
}

impl Drop for Nginx {
    fn drop(&mut self) {
        service("stop");
        let _ = std::fs::remove_file(CONFIG);
        let _ = std::os::unix::fs::symlink("/etc/nginx/sites-available/default", DEFAULT_SITE);
    }
}
