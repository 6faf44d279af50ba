//! A day at the terminal: hosts, reads, changes, approvals, policies, freezes, the audit log, against real probes.

use crate::odd::a_server_that_lies_gets_no_approval;
use crate::runner::{Ctl, Record};
use crate::terminal;
use legator_testkit::process::{Probe, Server, until};
use serde_json::{Value, json};
use std::path::Path;

/// Cron's init script and a file to change; everything below `dir`.
struct Day<'a> {
    ctl: &'a Ctl,
    server: &'a Server,
    dir: &'a Path,
}

impl Day<'_> {
    fn record(&self) -> Record {
        Record::new(&[(&self.server.url, "URL"), (self.dir.to_str().unwrap(), "DIR")])
    }

    fn hosts(&self) -> usize {
        let mut record = self.record();
        record.step(self.ctl, 0, &["hosts", "label", "web-01", "env=prod", "role=web"]);
        record.step(self.ctl, 0, &["hosts", "label", "web-01", "role-"]);
        record.step(self.ctl, 2, &["hosts", "label", "web-01", "role"]);
        record.step(self.ctl, 0, &["hosts", "level", "db-01", "observe"]);
        record.step(self.ctl, 0, &["hosts", "list", "env=prod", "-o", "name"]);
        record.step(self.ctl, 0, &["hosts", "list", "env=test"]);
        record.step(self.ctl, 2, &["hosts", "list", "env=("]);
        record.step(self.ctl, 2, &["hosts", "show", "web-99"]);
        record.step(self.ctl, 2, &["hosts", "remove", "web-01"]);
        let list = self.ctl.expect(0, &["hosts", "list"]).stdout;
        let rows: Vec<&str> = list.lines().collect();
        assert!(rows[0].starts_with("NAME    STATUS  LEVEL"), "{list}");
        assert!(
            rows.iter().any(|row| row.starts_with("web-01  online  remediate") && row.ends_with("env=prod")),
            "{list}"
        );
        assert!(rows.iter().all(|row| !row.ends_with(' ')), "{list}");
        let shown = self.ctl.expect(0, &["hosts", "show", "web-01"]).stdout;
        for title in ["name ", "hostname ", "status ", "cage ", "health ", "risk "] {
            assert!(shown.lines().any(|line| line.starts_with(title)), "{title}: {shown}");
        }
        let packages = self.ctl.expect(0, &["hosts", "inventory", "web-01", "packages", "-o", "json"]);
        assert!(packages.stdout.contains("bash"), "packages are told");
        record.compare("hosts.txt") + 3
    }

    fn exec(&self) -> usize {
        let mut record = self.record();
        record.step(self.ctl, 0, &["exec", "env=prod", "--", "echo", "hello"]);
        record.step(self.ctl, 1, &["exec", "web-01", "--", "sh", "-c", "echo out; echo err >&2; exit 3"]);
        record.step(self.ctl, 1, &["exec", "web-01", "--", "touch", "/etc/legator-ctl-test"]);
        record.step(self.ctl, 1, &["exec", "web-01", "--timeout", "1s", "--", "sleep", "30"]);
        record.step(self.ctl, 2, &["exec", "web-99", "--", "true"]);
        record.step(self.ctl, 2, &["exec", "env=(", "--", "true"]);
        record.step(self.ctl, 3, &["exec", "db-01", "--level", "remediate", "--", "true"]);
        record.step(self.ctl, 2, &["exec", "web-01", "--level", "root", "--", "true"]);
        record.step(self.ctl, 5, &["exec", "web-01", "--level", "diagnose", "--dry-run", "--", "true"]);
        record.step(self.ctl, 0, &["exec", "web-01", "--dry-run", "--", "true"]);
        record.step(self.ctl, 0, &["exec", "web-01", "-o", "json", "--", "echo", "hello"]);
        record.step(self.ctl, 0, &["exec", "web-01", "-o", "yaml", "--", "echo", "hello"]);
        record.step(self.ctl, 0, &["exec", "web-01", "-o", "json", "--", "printf", "\\377"]);
        record.step(self.ctl, 1, &["exec", "web-01", "-o", "json", "--", "false"]);
        let both = self.ctl.expect(0, &["exec", "*", "--", "printf", "one\\ntwo"]);
        let mut lines: Vec<&str> = both.stdout.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["db-01: one", "db-01: two", "web-01: one", "web-01: two"]);
        let raw = self.ctl.expect(0, &["exec", "web-01", "--", "printf", "\\377\\033[31m\\000"]);
        assert_eq!(raw.bytes, b"\xff\x1b[31m\0", "a file gets the very bytes");
        let each = self.ctl.expect(0, &["exec", "*", "-o", "json", "--", "echo", "x"]).stdout;
        let records: Vec<Value> = each.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for (record, fields) in
            records.iter().zip([["host", "state", "exit_code", "stdout", "stderr", "reason"]; 2])
        {
            assert_eq!(record.as_object().unwrap().len(), fields.len(), "{record}");
            assert!(fields.iter().all(|field| record.get(field).is_some()), "{record}");
        }
        assert_eq!(records.len(), 2);
        record.compare("exec.txt") + 3
    }

    fn changes(&self) -> usize {
        let (target, content) = (self.dir.join("target.conf"), self.dir.join("new.conf"));
        std::fs::write(&target, "listen 80;\nuser www;\n").unwrap();
        std::fs::write(&content, "listen 8080;\nuser www;\n").unwrap();
        let (path, from) = (format!("path={}", target.display()), format!("content=@{}", content.display()));
        let mut record = self.record();
        record.step(self.ctl, 0, &["do", "file.read", "web-01", &path]);
        record.step(self.ctl, 2, &["do", "file.eat", "web-01", &path]);
        record.step(self.ctl, 2, &["do", "file.read", "web-01", "paht=/etc/hosts"]);
        record.step(
            self.ctl,
            5,
            &["do", "process.signal", "web-01", "pid=4000000", "signal=HUP", "--dry-run"],
        );
        let plan = record
            .step(self.ctl, 5, &["do", "file.write", "web-01", &path, &from, "--reason", "a new port"])
            .id("plan_");
        record.step(self.ctl, 0, &["approvals", "list"]);
        record.step(self.ctl, 0, &["approvals", "show", &plan]);
        record.step(self.ctl, 2, &["approvals", "approve", &plan]);
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "listen 80;\nuser www;\n");
        record.step(self.ctl, 0, &["approvals", "approve", &plan, "--yes", "--reason", "looks right"]);
        record.step(self.ctl, 0, &["plans", "watch", &plan]);
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "listen 8080;\nuser www;\n");
        record.step(self.ctl, 1, &["approvals", "approve", &plan, "--yes"]);
        let shown = self.ctl.expect(0, &["plans", "show", &plan]).stdout;
        assert!(
            shown.contains("before") && shown.contains("after") && shown.contains("local, self approved"),
            "{shown}"
        );
        let undo =
            record.step(self.ctl, 5, &["plans", "undo", &plan, "--reason", "the old port"]).id("plan_");
        record.step(self.ctl, 0, &["approvals", "show", &undo]);
        record.step(self.ctl, 0, &["approvals", "approve", &undo, "--yes"]);
        record.step(self.ctl, 0, &["plans", "watch", &undo]);
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "listen 80;\nuser www;\n");
        let plan = self.ctl.expect(5, &["do", "file.write", "web-01", &path, &from]).id("plan_");
        record.step(self.ctl, 0, &["approvals", "reject", &plan, "--yes", "--reason", "not today"]);
        record.step(self.ctl, 3, &["plans", "watch", &plan]);
        record.step(self.ctl, 0, &["plans", "show", &plan]);
        let plan = self.ctl.expect(5, &["do", "file.delete", "web-01", &path]).id("plan_");
        record.step(self.ctl, 0, &["plans", "cancel", &plan]);
        record.step(self.ctl, 1, &["plans", "cancel", &plan]);
        record.step(self.ctl, 1, &["plans", "watch", &plan]);
        record.step(self.ctl, 0, &["plans", "list", "--state", "cancelled"]);
        record.step(self.ctl, 2, &["plans", "show", "plan_00000000000000000000000000000001"]);
        record.compare("changes.txt")
    }

    /// The six answers that people ask for most.
    fn policies(&self) -> usize {
        let mut record = self.record();
        let read = ["policies", "simulate", "file.read", "env=prod", "path=/etc/hosts"];
        record.step(self.ctl, 0, &read);
        record.step(self.ctl, 0, &["policies", "simulate", "net.dns", "env=prod", "name=localhost"]);
        record.step(self.ctl, 0, &["policies", "simulate", "service.restart", "env=prod", "name=nginx"]);
        record.step(
            self.ctl,
            0,
            &["policies", "simulate", "shell.script", "env=prod", "script=true", "interpreter=/bin/sh"],
        );
        record.step(self.ctl, 0, &["policies", "simulate", "service.restart", "*", "name=nginx"]);
        record.step(self.ctl, 0, &["freeze", "list"]);
        record.step(self.ctl, 2, &["freeze", "add", "--for", "2h"]);
        let freeze = record
            .step(self.ctl, 0, &["freeze", "add", "env=prod", "--for", "2h", "--reason", "the sale"])
            .id("freeze_");
        record.step(self.ctl, 0, &["freeze", "list"]);
        record.step(self.ctl, 0, &["policies", "simulate", "service.restart", "env=prod", "name=nginx"]);
        let plan = self.ctl.expect(5, &["do", "service.restart", "web-01", "name=nginx"]).id("plan_");
        record.step(self.ctl, 0, &["why", &plan]);
        record.step(self.ctl, 0, &["freeze", "remove", &freeze]);
        record.step(self.ctl, 2, &["freeze", "remove", &freeze]);
        record.step(self.ctl, 0, &["why", &plan]);
        self.ctl.expect(0, &["plans", "cancel", &plan]);
        let rules = self.dir.join("rules.cedar");
        std::fs::write(&rules, RULES).unwrap();
        let rules = rules.to_str().unwrap();
        record.step(
            self.ctl,
            0,
            &["policies", "simulate", "service.restart", "env=prod", "name=nginx", "--file", rules],
        );
        record.step(self.ctl, 0, &["policies", "create", rules, "--note", "no restarts in production"]);
        record.step(self.ctl, 0, &["policies", "activate", "1"]);
        record.step(self.ctl, 0, &["policies", "list"]);
        record.step(self.ctl, 0, &["policies", "show", "1"]);
        record.step(self.ctl, 3, &["do", "service.restart", "web-01", "name=nginx"]);
        // The example of the documents is one that can be put in force.
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policies.md")).unwrap();
        let example = text.split("```cedar\n").nth(1).unwrap().split("```").next().unwrap();
        std::fs::write(rules, example).unwrap();
        record.step(self.ctl, 0, &["policies", "create", rules]);
        record.step(self.ctl, 0, &["policies", "activate", "2"]);
        record.step(self.ctl, 0, &["policies", "simulate", "service.restart", "env=prod", "name=nginx"]);
        record.step(self.ctl, 0, &["policies", "activate", "0"]);
        record.step(self.ctl, 2, &["policies", "activate", "7"]);
        std::fs::write(rules, "permit (principal, action, resource);").unwrap();
        record.step(self.ctl, 2, &["policies", "create", rules]);
        record.compare("policies.txt")
    }

    fn audit(&self, authority: &str) -> usize {
        let mut record = self.record();
        let listed = self.ctl.expect(0, &["audit", "list", "--kind", "policy.*"]).stdout;
        let written = listed.lines().find(|line| line.contains("policy.written")).unwrap();
        assert!(
            written.contains("  local  ") && written.contains("note=no restarts in production"),
            "{listed}"
        );
        record.step(self.ctl, 0, &["audit", "list", "--kind", "freeze.*", "-o", "name"]);
        let log = self.dir.join("log");
        let dir = log.to_str().unwrap();
        self.ctl.expect(0, &["audit", "export", dir]);
        record.step(self.ctl, 1, &["audit", "verify", dir]);
        let said = self.ctl.expect(0, &["audit", "verify", dir, "--key", authority]).stdout;
        assert!(said.contains("intact") && said.contains("unproven"), "{said}");
        record.step(self.ctl, 1, &["audit", "verify", dir, "--key", &"ab".repeat(32)]);
        // What login pinned and what an earlier verification saw is remembered.
        record.step(self.ctl, 0, &["login", "here"]);
        assert!(self.ctl.expect(0, &["audit", "verify", dir]).stdout.contains("unproven"));
        assert!(self.ctl.expect(0, &["audit", "verify", dir]).stdout.contains("end proven"));
        record.step(self.ctl, 0, &["contexts", "list"]);
        self.ctl.expect(0, &["contexts", "remove", "here"]);
        let text = std::fs::read_to_string(log.join("log.jsonl")).unwrap();
        std::fs::write(log.join("log.jsonl"), text.replacen("plan.made", "plan.maid", 1)).unwrap();
        let said = self.ctl.expect(1, &["audit", "verify", dir, "--key", authority]).stderr;
        assert!(said.contains("does not hold") && said.contains("record"), "{said}");
        std::fs::write(log.join("log.jsonl"), "").unwrap();
        self.ctl.expect(1, &["audit", "verify", dir, "--key", authority]);
        record.compare("audit.txt") + 5
    }

    fn rest(&self) -> usize {
        let mut record = self.record();
        let token = record.step(
            self.ctl,
            0,
            &["tokens", "create", "--uses", "2", "--label", "env=test", "--level", "observe"],
        );
        assert!(token.stdout.starts_with("lt_"));
        record.step(self.ctl, 2, &["tokens", "create", "--label", "env"]);
        let listed = self.ctl.expect(0, &["tokens", "list", "-o", "json"]).json();
        let fresh =
            listed.as_array().unwrap().iter().find(|token| token["uses"] == json!(2)).unwrap()["id"].clone();
        record.step(self.ctl, 0, &["tokens", "revoke", fresh.as_str().unwrap()]);
        record.step(self.ctl, 0, &["persons", "list"]);
        record.step(self.ctl, 0, &["version"]);
        assert!(self.ctl.expect(0, &["rights", "show"]).stdout.contains("as sealed"));
        record.compare("rest.txt") + 2
    }
}

const RULES: &str = r#"@id("reads") @approvals("0") @reason("reading is free")
permit (principal, action == Action::"run", resource) when { context.level == "observe" };

@id("changes") @approvals("1") @reason("a change needs a second person")
permit (principal, action == Action::"run", resource) when { context.level != "observe" };

@id("no-restarts") @reason("nothing is restarted in production")
forbid (principal, action == Action::"run", resource)
when { context.verb == "service.restart" && resource.hasTag("env") && resource.getTag("env") == "prod" };
"#;

#[test]
fn every_command_against_a_real_server() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let server = Server::start(dir.path());
    // One after the other: hosts are told in the order in which they joined.
    let _web = Probe::start(&server, dir.path(), "web-01");
    server.online("web-01");
    let mut database = Probe::start(&server, dir.path(), "db-01");
    server.online("db-01");
    let ctl = Ctl::new(&server.url, dir.path());
    let day = Day { ctl: &ctl, server: &server, dir: dir.path() };
    until("the inventory", || {
        (ctl.run(&["hosts", "inventory", "web-01", "packages"]).code == 0).then_some(())
    });
    let authority = server.get("/version")["fingerprint"].as_str().unwrap().to_owned();
    let commands =
        day.hosts() + day.exec() + day.changes() + day.policies() + day.audit(&authority) + day.rest();
    a_server_that_lies_gets_no_approval(&server, dir.path());
    terminal::a_terminal_is_not_steered(&ctl, dir.path());
    terminal::who_goes_away_is_not_a_fault(&ctl);
    // One of two hosts is away: some failed.
    database.process.kill();
    until("db-01 to be away", || {
        let hosts = server.get("/api/v1/hosts");
        let away = hosts["items"]
            .as_array()?
            .iter()
            .any(|host| host["name"] == "db-01" && host["connected"] == json!(false));
        away.then_some(())
    });
    let some = ctl.expect(6, &["exec", "*", "--", "true"]);
    assert!(some.stderr.contains("db-01: unreachable"), "{some:?}");
    assert_eq!(ctl.expect(1, &["exec", "db-01", "--", "true"]).stdout, "");
    ctl.expect(0, &["hosts", "remove", "db-01", "--yes"]);
    assert!(!ctl.expect(0, &["hosts", "list"]).stdout.contains("db-01"));
    eprintln!("ctl: {} commands against a real server", commands + 4);
}
