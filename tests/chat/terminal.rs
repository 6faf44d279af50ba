//! `legatorctl chat` on a real terminal, and through a pipe.

use super::stage::{HOST, Stage, restarts};
use legator_testkit::model::Play;
use legator_testkit::nginx::Nginx;
use legator_testkit::process::{binary, until};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// `legatorctl` on a terminal; ended on drop.
struct Terminal {
    child: Child,
    file: PathBuf,
    seen: usize,
}

impl Terminal {
    fn start(stage: &Stage, name: &str, args: &[&str]) -> Self {
        let file = stage.dir.path().join(format!("terminal-{name}"));
        let out = std::fs::File::create(&file).unwrap();
        let bridge = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chat/terminal.py");
        let child = Command::new("python3")
            .arg(bridge)
            .arg(binary("legatorctl"))
            .args(args)
            .env("LEGATOR_SERVER", &stage.server.url)
            .env("LEGATOR_CONFIG_DIR", stage.dir.path().join("ctl"))
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self { child, file, seen: 0 }
    }

    fn types(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Everything on the screen so far, line ends as in a file.
    fn screen(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.file).unwrap_or_default()).replace("\r\n", "\n")
    }

    /// Waits until the screen shows this after what was waited for before; what stands in between.
    fn shows(&mut self, text: &str) -> String {
        let begun = std::time::Instant::now();
        loop {
            let screen = self.screen();
            let rest = screen.get(self.seen..).unwrap_or_default();
            if let Some(at) = rest.find(text) {
                let between = rest[..at].to_owned();
                self.seen += at + text.len();
                return between;
            }
            assert!(begun.elapsed().as_secs() < 60, "no {text:?} after {} bytes of\n{screen}", self.seen);
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn ends(mut self) -> (i32, String) {
        let child = &mut self.child;
        let code = until("the terminal's program to end", || child.try_wait().unwrap()).code().unwrap();
        (code, self.screen())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = Command::new("kill").arg(self.child.id().to_string()).status();
            let _ = self.child.wait();
        }
    }
}

fn no_escape_of_others(screen: &str) {
    let escapes: Vec<&str> = screen.split('\u{1b}').skip(1).collect();
    assert!(
        escapes.iter().all(|rest| rest.starts_with('[') && rest.find('m').is_some_and(|end| end < 8)),
        "{screen:?}"
    );
}

#[test]
fn nginx_is_restarted_in_a_terminal_with_the_approval_inline() {
    let _nginx = Nginx::start();
    let stage = Stage::with_host(restarts);
    let before = Nginx::pid();
    let mut first = Terminal::start(&stage, "first", &["chat", HOST]);
    first.shows("chat about web-03");
    first.shows("> ");
    first.types("\n");
    first.shows("> ");
    first.types("restart nginx on web-03\n");
    first.shows("I look first.");
    first.shows("looks: service.status name=nginx");
    first.shows("] web-03: succeeded");
    first.shows("proposes: service.restart name=nginx");
    let plan = first.shows("approve exactly this? ");
    for part in ["digest", "sha256:", "service.restart", "nginx", "web-03", "remediate", "decide by"] {
        assert!(plan.contains(part), "{part} in {plan}");
    }
    assert_eq!(Nginx::pid(), before, "nothing ran before the answer");
    first.types("perhaps\n");
    first.shows("say y, n, or nothing");
    first.types("y\n");
    first.shows("✓ [e");
    first.shows("nginx was restarted");
    let after = Nginx::pid();
    first.shows(&format!("{before} → {after}"));
    first.shows("rests on e");
    first.shows("server: The plan service.restart has ended");
    assert_ne!(before, after);
    first.shows("> ");
    first.types("\u{4}");
    let (code, screen) = first.ends();
    assert_eq!(code, 0, "Ctrl-D ends it: {screen}");
    no_escape_of_others(&screen);

    let mut second = Terminal::start(&stage, "second", &["chat", HOST]);
    second.shows("local> restart nginx on web-03");
    second.shows("nginx was restarted");
    second.shows("server: The plan service.restart has ended");
    second.types("restart nginx on web-03 again\n");
    second.shows("approve exactly this? ");
    second.types("\u{3}");
    let (code, screen) = second.ends();
    assert_eq!(code, 130, "Ctrl-C leaves: {screen}");
    let pid = Nginx::pid();

    let mut third = Terminal::start(&stage, "third", &["chat", HOST]);
    third.shows("restart nginx on web-03 again");
    third.shows("approve exactly this? ");
    third.types("n\n");
    third.shows("· rejected");
    third.shows("server: The plan service.restart was rejected; nothing ran.");
    third.shows("> ");
    third.types("\u{4}");
    assert_eq!(third.ends().0, 0);
    assert_eq!(Nginx::pid(), pid);
    eprintln!("chat: three terminals, nginx {before} -> {after}, one plan rejected");
}

fn piped(stage: &Stage, args: &[&str], lines: &str) -> (i32, String, String) {
    let mut child = Command::new(binary("legatorctl"))
        .args(args)
        .env("LEGATOR_SERVER", &stage.server.url)
        .env("LEGATOR_CONFIG_DIR", stage.dir.path().join("ctl"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (done.status.code().unwrap(), text(&done.stdout), text(&done.stderr))
}

/// Answers, proposes, or breaks, as the question wants.
fn by_question(asked: &Value) -> Play {
    let question = super::stage::question(asked);
    match super::stage::round(asked) {
        _ if question.contains("break") => Play::Status(500, "no".into()),
        0 if question.contains("restart") => Play::call("service_restart", json!({"name": "nginx"})),
        _ => Play::say("All is well."),
    }
}

#[test]
fn without_a_terminal_a_chat_takes_lines_and_ends_with_the_codes_of_every_command() {
    let stage = Stage::with_host(by_question);
    let (code, out, err) = piped(&stage, &["chat"], "what is up?\n\nand now?\n");
    assert_eq!((code, out.as_str()), (0, "All is well.\nAll is well.\n"), "{err}");
    let (code, out, err) = piped(&stage, &["chat", "-m", "what is up?"], "");
    assert_eq!((code, out.as_str()), (0, "All is well.\n"), "{err}");
    let (code, out, err) = piped(&stage, &["chat", HOST], "restart nginx on web-03\nnot asked any more\n");
    assert_eq!((code, out.as_str()), (5, ""), "{err}");
    assert!(err.contains("legatorctl approvals approve plan_") && err.contains("sha256:"), "{err}");
    let (code, _, err) = piped(&stage, &["chat"], "break\n");
    assert!(code == 1 && err.contains("answered 500"), "{code} {err}");
    let (code, out, _) = piped(&stage, &["chat", "-o", "jsonl", "-m", "what is up?"], "");
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(
        (code, last["event"].as_str(), &last["data"]["text"]),
        (0, Some("answer"), &json!("All is well."))
    );
    assert_eq!(piped(&stage, &["chat", "nobody"], "x\n").0, 2);
    assert_eq!(piped(&stage, &["chat", "--server", "http://127.0.0.1:1", "-m", "x"], "").0, 7);
    assert_eq!(piped(&stage, &["chat", "--no-such-flag"], "").0, 2);
    eprintln!("chat: 8 ways without a terminal");
}
