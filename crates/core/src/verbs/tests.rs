//! Tables over the parsing of every verb: a good twin, and bad neighbours that must be refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use super::*;
use proptest::prelude::*;
use serde_json::json;

/// Arguments of each verb that are good.
fn good() -> Vec<(&'static str, Value)> {
    let task = "task_000000000000000000000000000000ff";
    vec![
        ("host.facts", json!({})),
        ("file.read", json!({"path": "/etc/hosts", "offset": 4, "bytes": 100})),
        ("file.read", json!({"path": "/etc/hosts", "state": true})),
        ("file.list", json!({"path": "/etc", "limit": 5})),
        ("file.stat", json!({"path": "/etc/hosts"})),
        ("file.search", json!({"path": "/etc", "name": "*.conf", "contains": "listen"})),
        ("process.list", json!({"name": "nginx", "limit": 3})),
        ("service.list", Value::Null),
        ("service.status", json!({"name": "getty@tty1.service"})),
        ("log.read", json!({"path": "/var/log/syslog", "lines": 5, "contains": "error"})),
        ("log.read", json!({"service": "nginx"})),
        ("package.list", json!({"name": "libstdc++6"})),
        ("network.sockets", json!({})),
        ("network.interfaces", json!({})),
        ("disk.usage", json!({})),
        ("user.list", json!({})),
        ("container.list", json!({})),
        ("cert.list", json!({})),
        ("net.dns", json!({"name": "example.org", "type": "AAAA", "server": "9.9.9.9"})),
        ("net.tcp", json!({"host": "::1", "port": 80, "timeout": "2s"})),
        ("net.http", json!({"url": "https://example.org/?a=b", "method": "HEAD"})),
        ("log.follow", json!({"path": "/var/log/syslog", "timeout": "5s"})),
        ("shell.run", json!({"argv": ["ls", "-la", ""], "cwd": "/tmp", "timeout": "5s"})),
        ("service.start", json!({"name": "nginx"})),
        ("service.stop", json!({"name": "nginx"})),
        ("service.restart", json!({"name": "nginx"})),
        ("service.reload", json!({"name": "nginx"})),
        ("service.enable", json!({"name": "nginx"})),
        ("service.disable", json!({"name": "nginx"})),
        ("file.write", json!({"path": "/etc/motd", "content": "hello\n", "mode": "0644"})),
        ("file.write", json!({"path": "/etc/motd", "content": "AP8=", "encoding": "base64"})),
        ("file.delete", json!({"path": "/etc/motd"})),
        ("package.install", json!({"name": "g++", "version": "4:12.2.0-3"})),
        ("package.remove", json!({"name": "nginx"})),
        ("package.upgrade", json!({"name": "nginx"})),
        ("process.signal", json!({"pid": 4242, "signal": "TERM", "name": "sleep"})),
        ("sysctl.set", json!({"key": "vm.swappiness", "value": "10"})),
        ("host.reboot", json!({})),
        (
            "shell.script",
            json!({"script": "echo hi\n", "interpreter": "/bin/sh", "effects": {"write": ["/srv"]}}),
        ),
        ("task.undo", json!({"task": task})),
    ]
}

/// Arguments that must be refused as `bad-arguments`.
fn bad() -> Vec<(&'static str, Value)> {
    let huge = "a".repeat(3 * 1024 * 1024);
    vec![
        ("file.read", json!({})),
        ("file.read", json!({"path": "etc/hosts"})),
        ("file.read", json!({"path": ""})),
        ("file.read", json!({"path": "/etc/../etc/shadow"})),
        ("file.read", json!({"path": "/etc/\u{0}hosts"})),
        ("file.read", json!({"path": "/etc/a\nb"})),
        ("file.read", json!({"path": format!("/{huge}")})),
        ("file.read", json!({"path": ["/etc/hosts"]})),
        ("file.read", json!({"path": "/etc/hosts", "bytes": 0})),
        ("file.read", json!({"path": "/etc/hosts", "bytes": 99_999_999_999u64})),
        ("file.read", json!({"path": "/etc/hosts", "offset": -1})),
        ("file.read", json!({"path": "/etc/hosts", "state": true, "bytes": 5})),
        ("file.list", json!({"path": "/etc", "limit": 10_001})),
        ("file.search", json!({"path": "/etc"})),
        ("file.search", json!({"path": "/etc", "name": ""})),
        ("process.list", json!({"limit": 0})),
        ("service.status", json!({"name": "a/b"})),
        ("service.status", json!({"name": "../x"})),
        ("service.restart", json!({"name": "-now"})),
        ("service.restart", json!({"name": "--no-block"})),
        ("service.restart", json!({"name": "nginx; reboot"})),
        ("service.restart", json!({"name": "nginx\u{0}"})),
        ("service.restart", json!({"name": ""})),
        ("service.restart", json!({"name": "é"})),
        ("service.restart", json!({"name": "a".repeat(300)})),
        ("log.read", json!({})),
        ("log.read", json!({"path": "/var/log/syslog", "service": "nginx"})),
        ("log.follow", json!({"path": "var/log"})),
        ("log.follow", json!({"path": "/var/log/syslog", "timeout": "7h"})),
        ("net.dns", json!({"name": "example.org", "server": "dns.example.org"})),
        ("net.dns", json!({"name": "example.org", "type": "AXFR"})),
        ("net.tcp", json!({"host": "localhost", "port": 0})),
        ("net.tcp", json!({"host": "localhost", "port": 65_536})),
        ("net.tcp", json!({"host": "/run/docker.sock", "port": 1})),
        ("net.http", json!({"url": "file:///etc/shadow"})),
        ("net.http", json!({"url": "http://"})),
        ("net.http", json!({"url": "http://user:pass@example.org/"})),
        ("net.http", json!({"url": "http://example.org/ HTTP/1.1\r\nX: y"})),
        ("net.http", json!({"url": "http://example.org/", "method": "POST"})),
    ]
}

/// The same for the verbs that change a host.
fn bad_changes() -> Vec<(&'static str, Value)> {
    let huge = "a".repeat(3 * 1024 * 1024);
    vec![
        ("shell.run", json!({"argv": []})),
        ("shell.run", json!({"argv": [""]})),
        ("shell.run", json!({"argv": "ls -la"})),
        ("shell.run", json!({"argv": ["ls", "a\u{0}b"]})),
        ("shell.run", json!({"argv": vec!["a"; 1025]})),
        ("shell.run", json!({"argv": ["echo", huge]})),
        ("shell.run", json!({"argv": ["ls"], "cwd": "tmp"})),
        ("shell.run", json!({"argv": ["ls"], "timeout": "0s"})),
        ("shell.run", json!({"argv": ["ls"], "timeout": 5})),
        ("shell.run", json!({"argv": ["ls"], "effects": {"write": ["/srv"]}})),
        ("shell.run", json!({"argv": ["ls"], "env": {"LD_PRELOAD": "/tmp/x.so"}})),
        ("file.write", json!({"path": "/etc/motd"})),
        ("file.write", json!({"path": "motd", "content": ""})),
        ("file.write", json!({"path": "/etc/", "content": ""})),
        ("file.write", json!({"path": "/etc/.", "content": ""})),
        ("file.write", json!({"path": "/etc/motd", "content": huge})),
        ("file.write", json!({"path": "/etc/motd", "content": "a", "mode": "rw"})),
        ("file.write", json!({"path": "/etc/motd", "content": "a", "mode": "0999"})),
        ("file.write", json!({"path": "/etc/motd", "content": "a", "mode": "+644"})),
        ("file.write", json!({"path": "/etc/motd", "content": "a", "mode": "77777"})),
        ("file.write", json!({"path": "/etc/motd", "content": "%", "encoding": "base64"})),
        ("file.delete", json!({"path": "/"})),
        ("package.install", json!({"name": "nginx-"})),
        ("package.install", json!({"name": "-y"})),
        ("package.install", json!({"name": "nginx/stable"})),
        ("package.install", json!({"name": "nginx=1"})),
        ("package.install", json!({"name": "./evil.deb"})),
        ("package.install", json!({"name": "nginx curl"})),
        ("package.install", json!({"name": "nginx", "version": "1 2"})),
        ("package.remove", json!({"name": "*"})),
        ("process.signal", json!({"pid": 1, "signal": "TERM"})),
        ("process.signal", json!({"pid": 0, "signal": "TERM"})),
        ("process.signal", json!({"pid": -5, "signal": "TERM"})),
        ("process.signal", json!({"pid": 4242, "signal": "SEGV"})),
        ("process.signal", json!({"pid": 4242, "signal": 9})),
        ("sysctl.set", json!({"key": "swappiness", "value": "10"})),
        ("sysctl.set", json!({"key": "vm/../../etc.passwd", "value": "10"})),
        ("sysctl.set", json!({"key": "vm..swappiness", "value": "10"})),
        ("sysctl.set", json!({"key": "/vm.swappiness", "value": "10"})),
        ("sysctl.set", json!({"key": "vm.swappiness", "value": "1\n2"})),
        ("sysctl.set", json!({"key": "vm.swappiness", "value": ""})),
        ("shell.script", json!({"script": "", "interpreter": "/bin/sh"})),
        ("shell.script", json!({"script": "echo", "interpreter": "sh"})),
        ("shell.script", json!({"script": "echo\u{0}", "interpreter": "/bin/sh"})),
        ("shell.script", json!({"script": huge, "interpreter": "/bin/sh"})),
        ("shell.script", json!({"script": "x", "interpreter": "/bin/sh", "effects": {"write": ["srv"]}})),
        ("shell.script", json!({"script": "x", "interpreter": "/bin/sh", "effects": {"unconfined": true}})),
        ("shell.script", json!({"script": "x", "interpreter": "/bin/sh", "effects": {"write": ["/a/../b"]}})),
        ("task.undo", json!({"task": "plan_000000000000000000000000000000ff"})),
        ("task.undo", json!({"task": "../../x"})),
        ("host.facts", json!([])),
        ("host.facts", json!("x")),
    ]
}

#[test]
fn good_arguments_make_calls_that_survive_their_plan() {
    let mut seen = std::collections::BTreeSet::new();
    for (name, args) in good() {
        let call = parse(name, &args, None).unwrap_or_else(|failure| panic!("{name}: {failure}"));
        seen.insert(name);
        assert_eq!(call.verb.name(), name);
        assert!(!call.text.is_empty() && !call.text.contains('\n'), "{:?}", call.text);
        let again = parse(name, &normal_args(&call), Some(call.level)).unwrap();
        assert_eq!(again, call, "{name}");
        if !args.is_null() {
            assert_eq!(normal_args(&call), args, "{name}: nothing is added or lost");
        }
    }
    let all: std::collections::BTreeSet<&str> = all().iter().map(|spec| spec.name).collect();
    assert_eq!(seen, all, "every verb has a good row");
    eprintln!("verbs: {} verbs, {} good rows", all.len(), good().len());
}

#[test]
fn bad_arguments_are_refused_with_one_code() {
    let rows = [bad(), bad_changes()].concat();
    for (name, args) in &rows {
        let failure = parse(name, args, None)
            .expect_err(&format!("{name} took {}", bounds::cut(&args.to_string(), 90)));
        assert_eq!(failure.code, "bad-arguments", "{name}: {failure}");
        assert!(failure.detail.len() < 1000, "a failure does not repeat what was sent");
    }
    eprintln!("verbs: {} bad rows", rows.len());
}

#[test]
fn an_unknown_field_is_refused_by_every_verb() {
    for (name, args) in good() {
        let mut args = if args.is_null() { json!({}) } else { args };
        args["approved"] = json!(true);
        assert_eq!(parse(name, &args, None).unwrap_err().code, "bad-arguments", "{name}");
    }
}

#[test]
fn the_table_and_the_types_are_the_same_verbs() {
    let table: Vec<&str> = all().iter().map(|spec| spec.name).collect();
    assert_eq!(table, Verb::NAMES);
    for spec in all() {
        assert!(!spec.levels.is_empty() && spec.levels.is_sorted(), "{}", spec.name);
        let schema = (spec.schema)();
        assert_eq!(schema["additionalProperties"], json!(false), "{}: {schema}", spec.name);
        let changes = spec.levels.contains(&Level::Remediate);
        assert!(changes || (!spec.undo && !spec.pre_image && spec.post_condition.is_none()), "{}", spec.name);
    }
}

#[test]
fn levels_and_effects() {
    let run = json!({"argv": ["true"]});
    let at = |level| parse("shell.run", &run, level).unwrap();
    assert_eq!(at(None).level, Level::Observe);
    assert_eq!(at(None).effects, Effects::none());
    assert_eq!(at(Some(Level::Diagnose)).effects, Effects { net: true, ..Effects::none() });
    let change = at(Some(Level::Remediate));
    assert!(change.tier_up && change.effects == Effects::unconfined());
    let opened = json!({"argv": ["true"], "effects": {"write": ["/srv"], "net": true}});
    let confined = parse("shell.run", &opened, Some(Level::Remediate)).unwrap();
    assert!(!confined.tier_up);
    assert_eq!(confined.effects, Effects { write: vec!["/srv".into()], net: true, unconfined: false });
    let typed = parse("service.restart", &json!({"name": "nginx"}), None).unwrap();
    assert_eq!((typed.level, typed.tier_up, typed.effects), (Level::Remediate, false, Effects::none()));
    assert_eq!(typed.text, "restart service nginx");
    for (name, level) in [
        ("host.facts", Level::Remediate),
        ("net.dns", Level::Observe),
        ("service.restart", Level::Observe),
        ("shell.script", Level::Diagnose),
    ] {
        let args = good().into_iter().find(|(good, _)| *good == name).unwrap().1;
        assert_eq!(parse(name, &args, Some(level)).unwrap_err().code, "bad-level", "{name} {level}");
    }
    let unknown = parse("service.kill", &json!({}), None).unwrap_err();
    assert_eq!(unknown.code, "unknown-verb");
    assert!(unknown.hint.unwrap().contains("service.stop"));
}

#[test]
fn the_line_shows_what_would_hide() {
    let call = parse("shell.run", &json!({"argv": ["echo", "a\u{202e}b\u{1b}[2J\n"]}), None).unwrap();
    assert_eq!(call.text, "run echo 'a\\u{202e}b\\u{1b}[2J\\n'");
}

#[test]
fn a_change_of_a_file_is_prepared_and_shown() {
    let write =
        parse("file.write", &json!({"path": "/etc/a", "content": "one\nthree\n", "mode": "0600"}), None)
            .unwrap();
    let (name, args) = preparation(&write).unwrap();
    let read = parse(name, &args, None).unwrap();
    assert_eq!(read.level, Level::Observe);
    let digest = Digest::of(b"one\ntwo\n");
    let present =
        json!({"kind": "file", "digest": digest, "bytes": 8, "mode": "0644", "content": "one\ntwo\n"});
    assert_eq!(shown(&present), Some(digest));
    let text = difference(&write, &present);
    for line in ["--- /etc/a", "+++ /etc/a", " one", "-two", "+three", "mode 0644 → 0600"] {
        assert!(text.lines().any(|each| each.trim_end() == line), "{line} not in {text}");
    }
    let absent = json!({"kind": "absent", "digest": ABSENT});
    assert!(difference(&write, &absent).contains("--- /dev/null"));
    assert_eq!(shown(&absent), Some(ABSENT));
    let delete = parse("file.delete", &json!({"path": "/etc/a"}), None).unwrap();
    assert!(difference(&delete, &present).contains("+++ /dev/null"));
    let binary = json!({"kind": "file", "digest": digest, "bytes": 2, "content_b64": "AP8="});
    assert!(difference(&write, &binary).contains("not shown line by line"));
    for hostile in [json!(null), json!([]), json!({"content": 7}), json!({"digest": "x"})] {
        let _ = difference(&write, &hostile);
        assert_eq!(shown(&hostile), None);
    }
}

proptest! {
    #[test]
    fn nothing_that_is_sent_makes_it_panic(name in "\\PC{0,20}", text in "\\PC{0,40}", pick in 0..40usize) {
        let _ = parse(&name, &json!({ "path": text }), None);
        let (verb, mut args) = good().swap_remove(pick % good().len());
        if let Some(fields) = args.as_object_mut() {
            for value in fields.values_mut() {
                *value = json!(text);
            }
        }
        if let Ok(call) = parse(verb, &args, None) {
            prop_assert!(!call.text.chars().any(char::is_control));
        }
    }
}
