//! A machine to type on: a network and a probe's state folder of its own, the programs where README has them.
//!
//! Owns the namespaces and everything that was started in them. Invariant: what is typed reaches bash as it is written.

use legator_testkit::process::{Process, binary, until};
use std::cell::RefCell;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where root's probe keeps its state.
const STATE: &str = "/var/lib/legator-probe";

/// What a typed line did.
#[derive(Debug)]
pub struct Typed {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

pub struct Machine {
    dir: tempfile::TempDir,
    holder: Process,
    prelude: RefCell<String>,
    made_state: bool,
}

impl Machine {
    pub fn new() -> Self {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let programs = dir.path().join("target/release");
        std::fs::create_dir_all(&programs).unwrap();
        for name in ["legator", "legator-probe", "legatorctl"] {
            std::os::unix::fs::symlink(binary(name), programs.join(name)).unwrap();
        }
        let made_state = std::fs::create_dir(STATE).is_ok();
        let state = dir.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let script = format!(
            "ip link set lo up && mount --bind {} {STATE} && echo here && exec sleep infinity",
            state.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--propagation", "private", "bash", "-c", &script]);
        let holder = Process::start(&mut command, &dir.path().join("holder.log"));
        until("a network of its own", || holder.log().contains("here").then_some(()));
        Self { dir, holder, prelude: RefCell::default(), made_state }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A command within the namespaces.
    fn inside(&self) -> Command {
        let mut command = Command::new("nsenter");
        let pid = self.holder.pid().to_string();
        command.args([
            "--target",
            &pid,
            "--net",
            "--mount",
            &format!("--wd={}", self.path().display()),
            "--",
        ]);
        // Nothing of whoever runs the tests has a say.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.path());
        command.env("TERM", "dumb");
        command
    }

    /// Lines that stand before each one that is typed from now on: settings of the shell.
    pub fn prelude(&self, lines: &str) {
        // A command whose output is kept runs once, when it is typed.
        let kept: Vec<String> = lines.lines().map(|line| self.settled(line)).collect();
        *self.prelude.borrow_mut() = kept.join("\n");
    }

    fn settled(&self, line: &str) -> String {
        match line.split_once("=$(") {
            Some((name, _)) => format!("{name}=$(cat kept-{name})"),
            None => line.to_owned(),
        }
    }

    fn text(&self, line: &str) -> String {
        let keep = match line.split_once("=$(") {
            Some((name, _)) => format!("\nprintf %s \"${name}\" > kept-{name}"),
            None => String::new(),
        };
        format!("set -o pipefail\n{}\n{line}{keep}\n", self.prelude.borrow())
    }

    /// Types a line into bash.
    pub fn run(&self, line: &str) -> Typed {
        let output =
            self.inside().args(["bash", "-c", &self.text(line)]).stdin(Stdio::null()).output().unwrap();
        Typed {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Types a line at a terminal, and this when it asks.
    pub fn at_terminal(&self, line: &str, answer: &str) -> Typed {
        let script = self.path().join("typed.sh");
        std::fs::write(&script, self.text(line)).unwrap();
        let mut command = self.inside();
        command.args(["script", "-qec", &format!("bash {}", script.display()), "/dev/null"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut keyboard = child.stdin.take().unwrap();
        keyboard.write_all(answer.as_bytes()).unwrap();
        // The keyboard stays: its end would end the terminal before the answer is read.
        let output = child.wait_with_output().unwrap();
        drop(keyboard);
        Typed {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn succeeds(&self, line: &str) -> bool {
        self.run(line).code == 0
    }

    pub fn until(&self, line: &str) {
        until(line, || self.succeeds(line).then_some(()));
    }

    /// Starts what goes on: the last line takes the place of its shell.
    pub fn start(&self, lines: &str, log: &str) -> Process {
        let (before, last) = lines.rsplit_once('\n').unwrap_or(("", lines));
        let last = if last.contains('=') && last.trim_start().starts_with(|c: char| c.is_ascii_uppercase()) {
            format!("exec env {last}")
        } else {
            format!("exec {last}")
        };
        let mut command = self.inside();
        command.args(["bash", "-c", &format!("{before}\n{last}")]);
        Process::start(&mut command, &self.log(log))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// What a log holds once it holds this.
    pub fn until_log(&self, name: &str, text: &str) -> String {
        until(text, || std::fs::read_to_string(self.log(name)).ok().filter(|log| log.contains(text)))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.holder.kill();
        if self.made_state {
            let _ = std::fs::remove_dir(STATE);
        }
    }
}
