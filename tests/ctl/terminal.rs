//! At a real terminal (a pseudo-terminal of `script`): colours, width, hostile output, questions; and who goes away.

use crate::fake::{json, serve};
use crate::runner::{Ctl, Said};
use legator_testkit::process::{Process, until};
use serde_json::json;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs it at a terminal of 80 columns with this on the keyboard.
fn at_terminal(ctl: &Ctl, environment: &[(&str, &str)], line: &[&str], keys: &str) -> Said {
    let own = ctl.command(line);
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_string_lossy().replace('\'', "'\\''"));
    let words: Vec<String> = std::iter::once(own.get_program()).chain(own.get_args()).map(quoted).collect();
    let mut command = Command::new("script");
    command.args(["-qec", &format!("stty rows 24 cols 80; {}", words.join(" ")), "/dev/null"]);
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("TERM", "xterm").envs(environment.iter().copied());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    keyboard.write_all(keys.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(keyboard);
    Said::of(output)
}

fn hosts() -> String {
    serve(|_, _, _| {
        let host = json!({"name": "web-01", "status": "online", "level": "remediate", "cage": "full",
            "labels": {"a-long-label-with-many-letters": "and-a-long-value-with-many-letters-to-cut"}});
        json(200, &json!({"items": [host], "next": null}))
    })
}

#[test]
fn colours_and_widths_are_for_terminals_only() {
    let dir = tempfile::tempdir().unwrap();
    let ctl = Ctl::new(&hosts(), dir.path());
    let list = ["hosts", "list"];
    assert!(!ctl.expect(0, &list).stdout.contains('\u{1b}'), "no colour in a file");
    let seen = at_terminal(&ctl, &[], &list, "");
    assert!(seen.stdout.contains("\u{1b}[32monline"), "{seen:?}");
    assert!(seen.stdout.lines().any(|line| line.trim_end().ends_with('…')), "cut at 80 columns: {seen:?}");
    let plain = at_terminal(&ctl, &[("NO_COLOR", "1")], &list, "");
    assert!(!plain.stdout.contains('\u{1b}') && plain.stdout.contains("online"), "{plain:?}");
    let narrow = ctl.command(&list).env("COLUMNS", "20").output().unwrap();
    let narrow = String::from_utf8(narrow.stdout).unwrap();
    assert!(narrow.lines().all(|line| line.chars().count() <= 20) && narrow.contains("web-01"), "{narrow}");
    let whole = ctl.command(&["hosts", "list", "-o", "wide"]).env("COLUMNS", "20").output().unwrap();
    assert!(String::from_utf8(whole.stdout).unwrap().contains("letters-to-cut"), "wide is not cut");
}

pub fn a_terminal_is_not_steered(ctl: &Ctl, dir: &Path) {
    let hostile = "a\\033[2J\\033]0;title\\007\\302\\233b\\342\\200\\256c\\n";
    let seen = at_terminal(ctl, &[], &["exec", "web-01", "--", "printf", hostile], "");
    assert_eq!(seen.code, 0, "{seen:?}");
    let hidden = seen.stdout.chars().find(|c| !matches!(c, '\n' | '\r') && legator_core::text::is_hidden(*c));
    assert_eq!(hidden, None, "{seen:?}");
    assert!(seen.stdout.contains("␛[2J"), "{seen:?}");
    // A question is asked, and only its word is a yes.
    let target = dir.join("asked.conf");
    let ask = ["do", "file.write", "web-01", &format!("path={}", target.display()), "content=x"];
    let plan = ctl.expect(5, &ask).id("plan_");
    for (keys, code) in [("y\n", 1), ("\n", 1), ("approve\n", 0)] {
        let seen = at_terminal(ctl, &[], &["approvals", "approve", &plan], keys);
        assert_eq!(seen.code, code, "{keys:?}: {seen:?}");
        assert!(seen.stdout.contains("type approve to approve exactly this"), "{seen:?}");
    }
    ctl.expect(0, &["plans", "watch", &plan]);
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "x");
    let seen = at_terminal(ctl, &[], &["hosts", "remove", "web-01"], "yes\n");
    assert_eq!(seen.code, 1, "{seen:?}");
}

pub fn who_goes_away_is_not_a_fault(ctl: &Ctl) {
    for line in
        ["hosts list", "audit list --limit 500", "plans list -o json", "verbs", "exec web-01 -- seq 1 20000"]
    {
        let program = ctl.command(&[]).get_program().to_string_lossy().into_owned();
        let mut command = Command::new("bash");
        command.args(["-c", &format!("{program} {line} | head -1")]);
        command.env("LEGATOR_SERVER", &ctl.url).env("LEGATOR_CONFIG_DIR", &ctl.dir);
        let said = Said::of(command.stdin(Stdio::null()).output().unwrap());
        assert_eq!(said.stdout.lines().count(), 1, "{line}: {said:?}");
        assert!(!said.stderr.contains("panic") && !said.stderr.contains("pipe"), "{line}: {said:?}");
    }
    interrupted(ctl);
}

/// Ctrl-C during exec, and during what follows without end.
fn interrupted(ctl: &Ctl) {
    let mut command = ctl.command(&[
        "exec",
        "web-01",
        "--timeout",
        "60s",
        "--",
        "sh",
        "-c",
        "sleep 2; echo begun; sleep 50",
    ]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n", "output comes while the command runs");
    let int = |pid: u32| Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap();
    assert!(int(child.id()).success());
    let said = Said::of(child.wait_with_output().unwrap());
    assert_eq!(said.code, 130, "{said:?}");
    let plan = said.id("plan_");
    assert!(said.stderr.contains("goes on without you"), "{said:?}");
    ctl.expect(0, &["plans", "cancel", &plan]);
    for words in [&["hosts", "watch"][..], &["audit", "follow", "--after", "0"]] {
        let log = ctl.dir.join("follow.log");
        let _ = std::fs::remove_file(&log);
        let mut follower = Process::start(&mut ctl.command(words), &log);
        let shown = until("something to follow", || {
            if words[0] == "hosts" {
                ctl.expect(0, &["hosts", "label", "web-01", "seen=now"]);
                ctl.expect(0, &["hosts", "label", "web-01", "seen-"]);
            }
            Some(follower.log()).filter(|log| log.contains("host.labelled"))
        });
        assert!(!shown.contains("rights="), "a line is for people: {shown}");
        follower.signal("INT");
        assert_eq!(follower.wait(), Some(130));
    }
}
