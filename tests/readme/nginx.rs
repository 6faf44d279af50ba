//! Debian's nginx in the network of a machine to type on, driven by its init script; ended on drop.

use super::terminal::Machine;
use legator_testkit::process::until;

const CONFIG: &str = "/etc/nginx/conf.d/legator-readme.conf";
const DEFAULT_SITE: &str = "/etc/nginx/sites-enabled/default";

pub struct Nginx<'a> {
    machine: &'a Machine,
}

impl<'a> Nginx<'a> {
    pub fn start(machine: &'a Machine) -> Self {
        let _ = std::fs::remove_file(DEFAULT_SITE);
        std::fs::write(CONFIG, "server { listen 127.0.0.1:8081; return 200 ok; }\n").unwrap();
        let nginx = Self { machine };
        nginx.service("stop");
        let started = machine.run("/etc/init.d/nginx start");
        assert_eq!(started.code, 0, "Debian's nginx starts: {started:?}");
        nginx
    }

    fn service(&self, word: &str) {
        self.machine.run(&format!("/etc/init.d/nginx {word}"));
    }

    /// The process id of the main process.
    pub fn pid(&self) -> String {
        until("nginx to have a pid", || {
            std::fs::read_to_string("/run/nginx.pid").ok().filter(|pid| !pid.trim().is_empty())
        })
        .trim()
        .to_owned()
    }
}

impl Drop for Nginx<'_> {
    fn drop(&mut self) {
        self.service("stop");
        let _ = std::fs::remove_file(CONFIG);
        let _ = std::os::unix::fs::symlink("/etc/nginx/sites-available/default", DEFAULT_SITE);
    }
}
