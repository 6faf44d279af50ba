//! Words that need no server: help, completion, versions, verbs, keys, and what a usage error looks like.

use crate::runner::{Ctl, Record};
use std::io::Write as _;
use std::process::{Command, Stdio};

const NOBODY: &str = "http://127.0.0.1:1";

/// All commands, as help lists them.
fn commands(ctl: &Ctl) -> Vec<String> {
    let help = ctl.expect(0, &["--help"]).stdout;
    let list = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap().to_owned();
    list.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn help_of_every_command_has_examples_and_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let ctl = Ctl::new(NOBODY, dir.path());
    let mut record = Record::default();
    record.step(&ctl, 0, &["--help"]);
    let plain = ["why", "rights", "completion", "version"];
    for command in commands(&ctl).iter().filter(|command| *command != "chat") {
        let help = record.step(&ctl, 0, &[command.as_str(), "--help"]).stdout;
        assert!(help.contains("Examples:") || plain.contains(&command.as_str()), "{command} has no examples");
    }
    eprintln!("ctl: {} helps", record.compare("help.txt"));
}

#[test]
fn what_needs_no_server_works_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let ctl = Ctl::new(NOBODY, dir.path());
    let mut record = Record::new(&[(dir.path().to_str().unwrap(), "DIR")]);
    let version = ctl.expect(0, &["--version"]).stdout;
    assert_eq!(version.trim(), concat!("legatorctl ", env!("CARGO_PKG_VERSION")));
    record.step(&ctl, 0, &["verbs"]);
    record.step(&ctl, 0, &["verbs", "file.write"]);
    record.step(&ctl, 2, &["verbs", "file.eat"]);
    record.step(&ctl, 0, &["contexts", "list"]);
    record.step(&ctl, 2, &["keys", "show"]);
    let made = record.step(&ctl, 0, &["keys", "new"]);
    record.step(&ctl, 2, &["keys", "new"]);
    let shown = record.step(&ctl, 0, &["keys", "show"]);
    assert_eq!(made.stdout, shown.stdout);
    record.step(&ctl, 2, &["hosts", "lisst"]);
    record.step(&ctl, 2, &["exec", "web-03"]);
    record.step(&ctl, 2, &["do", "file.read", "web-03", "path"]);
    record.step(&ctl, 2, &["do", "file.write", "web-03", "content=@/nowhere"]);
    record.step(&ctl, 2, &["--server", "localhost:8080", "hosts", "list"]);
    record.step(&ctl, 2, &["--context", "prod", "hosts", "list"]);
    record.step(&ctl, 2, &["audit", "verify", "DIR", "--key", "short"]);
    record.step(&ctl, 1, &["audit", "verify", "DIR"]);
    let key = std::fs::metadata(dir.path().join("ctl/approver.key")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
    eprintln!("ctl: {} commands without a server", record.compare("offline.txt"));
}

/// Feeds a script to a shell.
fn shell(name: &str, script: &str) -> String {
    let mut child = Command::new(name).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{name}: {script}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn completion_is_loaded_by_bash_and_made_for_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let ctl = Ctl::new(NOBODY, dir.path());
    let script = ctl.expect(0, &["completion", "bash"]).stdout;
    let completed = |words: &str| {
        let ask = format!(
            "{script}\nCOMP_WORDS=({words})\nCOMP_CWORD=$((${{#COMP_WORDS[@]}}-1))\n_legatorctl legatorctl \"${{COMP_WORDS[COMP_CWORD]}}\" ''\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
        );
        shell("bash", &ask)
    };
    let of_hosts = completed("legatorctl hosts re");
    assert!(of_hosts.contains("remove") && of_hosts.contains("revoke"), "{of_hosts}");
    assert!(completed("legatorctl app").contains("approvals"));
    for (shell, word) in [("zsh", "#compdef legatorctl"), ("fish", "complete -c legatorctl")] {
        assert!(ctl.expect(0, &["completion", shell]).stdout.contains(word), "{shell}");
    }
    let mut child = ctl.command(&["completion", "bash"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0), "a reader that goes away is no fault");
}
