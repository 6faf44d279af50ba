//! What people and models write: selectors, verbs with arguments, plans, policies, and texts on their way to a screen.
//!
//! Promises: what was parsed is printed and parsed as the same; nothing hidden reaches a person; a policy gives the same answer twice.

use super::{has_fraction, text};
use crate::dice::Dice;
use crate::scene::Scene;
use crate::{Target, edits};
use legator_core::brain;
use legator_core::digest::Digest;
use legator_core::ids::{HostId, PlanId, TaskId};
use legator_core::level::{Effects, Level};
use legator_core::plan::{PLAN_BYTES_MAX, Plan};
use legator_core::rights::HostFacts;
use legator_core::selector::{SELECTOR_BYTES_MAX, Selector};
use legator_core::span::Span;
use legator_core::text as words;
use legator_core::time::Timestamp;
use legator_core::verbs;
use legator_policy::{APPROVALS_MAX, BUILT_IN, Facts, Named, Policy};
use legator_wire::keys::{PublicKey, Signer as _};
use serde_json::{Value, json};
use std::fmt::Display;
use std::str::FromStr;

pub(super) const SELECTOR: Target = Target {
    name: "selector",
    hold: selector,
    examples: selector_examples,
    words: &[
        " in (",
        " notin (",
        "!=",
        "has(",
        "name=",
        "id=host_",
        "status=online",
        "labels.",
        "\"",
        "\\\"",
        ",",
        "*",
    ],
};
pub(super) const VERB: Target = Target {
    name: "verb",
    hold: verb,
    examples: verb_examples,
    words: &[
        "\"path\":\"/",
        "\"argv\":[\"",
        "\"effects\":{\"write\":[",
        "\"timeout\":\"30s\"",
        "..",
        "\\u202e",
        "\\u0000",
        "remediate",
        "null",
    ],
};
pub(super) const PLAN: Target = Target {
    name: "plan",
    hold: plan,
    examples: plan_examples,
    words: &["\"hosts\":", "\"args\":{", "\\u202e", "1e9", "remediate"],
};
pub(super) const POLICY: Target = Target {
    name: "policy",
    hold: policy,
    examples: policy_examples,
    words: &[
        "@approvals(\"",
        "@id(\"",
        "permit (",
        "forbid (",
        "principal",
        "when {",
        "unless {",
        "context.",
        "resource.",
        ".hasTag(\"",
        "&&",
    ],
};
pub(super) const TEXT: Target = Target {
    name: "text",
    hold: shown,
    examples: text_examples,
    words: &[
        "\u{1b}[31m",
        "\u{202e}",
        "password=",
        "Authorization: Bearer ",
        "https://",
        "-----BEGIN RSA PRIVATE KEY-----",
        "\r\n",
        "AKIA",
    ],
};
pub(super) const ANSWER: Target = Target {
    name: "answer",
    hold: answer,
    examples: answer_examples,
    words: &["[e1]", "[e2, e9]", "[legator]", "[plan", "(e1)", "http://", "\n", "\u{200b}"],
};
pub(super) const SMALL: Target = Target {
    name: "small",
    hold: small,
    examples: small_examples,
    words: &["host_", "sha256:", "30s", "2026-01-01T00:00:00Z", "+00:00", "[UTC]", "observe"],
};

fn hosts() -> Vec<HostFacts> {
    let host = |number: u32, name: &str, env: &str| HostFacts {
        id: HostId::new(number.into()).to_string(),
        name: name.into(),
        labels: [("env".to_owned(), env.to_owned()), ("name".to_owned(), "x".to_owned())].into(),
        level: Level::Observe,
        os: "linux".into(),
        status: "online".into(),
        cage: if number == 7 { "full" } else { "none" }.into(),
    };
    vec![host(7, "web-03", "prod"), host(8, "søk og funn", "stage"), host(9, "", "")]
}

fn selector(bytes: &[u8]) {
    let text = text(bytes);
    let Ok(selector) = Selector::parse(&text) else { return };
    assert!(text.len() <= SELECTOR_BYTES_MAX);
    let printed = selector.to_string();
    let again = Selector::parse(&printed).unwrap_or_else(|bad| panic!("{printed:?} does not parse: {bad}"));
    assert_eq!(again, selector, "{printed:?} means something else");
    assert_eq!(again.to_string(), printed);
    let selected: Vec<bool> = hosts().iter().map(|host| selector.matches(host)).collect();
    assert_eq!(selected, hosts().iter().map(|host| again.matches(host)).collect::<Vec<_>>());
    if selector.is_empty() {
        assert!(!selected.contains(&true) && text.trim().is_empty(), "an empty selector selects");
    }
    assert_eq!(selector == Selector::all(), text.trim() == "*", "every host is meant by * alone");
}

fn selector_examples() -> Vec<Vec<u8>> {
    let texts = [
        "",
        "*",
        "web-03",
        "\"web 03\"",
        "name=web-03",
        "env=prod,role in (web,api)",
        "env != prod",
        "env notin (stage, test)",
        "has(env)",
        "has(env),env=prod",
        "id=host_00000000000000000000000000000008",
        "host_00000000000000000000000000000008",
        "status in (stale,offline)",
        "level=observe",
        "cage=full,os=linux",
        "team=\"søk \\\"og\\\" \\\\funn\"",
        "labels.name=x",
        "legator/uncaged=allowed",
        "a==b",
        "env=prod,",
        "env=\"prod",
        "labels.\"a b\"=x",
        "in in (in,notin)",
        "has=has",
        "has(has)",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Is nothing in it that people do not see?
fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| words::is_hidden(c) && c != '\n' && c != '\t')
}

/// A line `verb` or `verb level`, then the arguments as JSON.
fn verb(bytes: &[u8]) {
    let text = text(bytes);
    let (head, args) = text.split_once('\n').unwrap_or((&text, "{}"));
    let (name, level) = head.split_once(' ').map_or((head, None), |(name, level)| (name, level.parse().ok()));
    let Ok(args) = serde_json::from_str::<Value>(args) else { return };
    let Ok(call) = verbs::parse(name, &args, level) else { return };
    let normal = verbs::normal_args(&call);
    let again = verbs::parse(name, &normal, Some(call.level)).expect("normal arguments parse");
    assert_eq!(again, call, "normal arguments mean something else");
    assert_eq!(verbs::normal_args(&again), normal);
    let spec = verbs::find(name).expect("a verb that parses is known");
    assert!(spec.levels.contains(&call.level), "a level that the verb does not have");
    assert!(is_plain(&call.text) && !call.text.contains('\n'), "hidden characters: {:?}", call.text);
    assert!(call.text.len() <= 4096, "a line of {} bytes", call.text.len());
    assert!((verbs::TIMEOUT_MIN..=verbs::TIMEOUT_MAX).contains(&call.timeout));
    if call.level == Level::Observe {
        assert_eq!(call.effects, Effects::none(), "an effect at observe");
    }
    assert!(call.tier_up == call.effects.unconfined);
    drop(Named::of(&normal));
}

fn verb_examples() -> Vec<Vec<u8>> {
    let lines = [
        "host.facts\n{}",
        "file.read\n{\"path\":\"/etc/hostname\"}",
        "file.list\n{\"path\":\"/etc\"}",
        "file.stat\n{\"path\":\"/\"}",
        "file.search\n{\"path\":\"/var/log\",\"name\":\"*.log\",\"text\":\"error\"}",
        "process.list\n{}",
        "service.status\n{\"name\":\"nginx\"}",
        "service.restart\n{\"name\":\"nginx\"}",
        "log.read\n{\"service\":\"nginx\"}",
        "log.follow\n{\"path\":\"/var/log/syslog\",\"timeout\":\"5s\"}",
        "package.install\n{\"name\":\"openssl\",\"version\":\"3.0.2-1\"}",
        "package.remove\n{\"name\":\"openssl\"}",
        "net.dns\n{\"name\":\"example.com\",\"type\":\"AAAA\"}",
        "net.tcp\n{\"host\":\"127.0.0.1\",\"port\":80}",
        "net.http\n{\"url\":\"http://127.0.0.1/\"}",
        "shell.run\n{\"argv\":[\"uname\",\"-a\"]}",
        "shell.run diagnose\n{\"argv\":[\"ip\",\"a\"],\"timeout\":\"30s\"}",
        "shell.run remediate\n{\"argv\":[\"touch\",\"/x\"],\"effects\":{\"write\":[\"/\"],\"net\":false}}",
        "shell.script\n{\"script\":\"echo hi\\n\",\"interpreter\":[\"/bin/sh\"]}",
        "file.write\n{\"path\":\"/etc/motd\",\"content\":\"hi\\n\"}",
        "file.delete\n{\"path\":\"/tmp/x\"}",
        "process.signal\n{\"pid\":4242,\"signal\":\"TERM\"}",
        "sysctl.set\n{\"key\":\"vm.swappiness\",\"value\":\"10\"}",
        "host.reboot\n{}",
        "task.undo\n{\"task\":\"task_00000000000000000000000000000009\"}",
        "cert.list\n{}",
        "disk.usage\n{}",
    ];
    lines.iter().map(|line| line.as_bytes().to_vec()).collect()
}

fn scene() -> Scene {
    let key = super::frames::probe_key().public();
    let at = (&super::frames::authority(), super::frames::INSTALLATION, super::frames::HOST, key);
    let mut scene = Scene::good(at, super::frames::now(), TaskId::new(1 << 70));
    scene.change("/etc/motd");
    scene
}

/// Bytes that begin with a brace are a plan; others choose changes of a good one, which is shown to an approver.
fn plan(bytes: &[u8]) {
    let scene = scene();
    let good = scene.plan();
    let bytes = match bytes.first() {
        Some(b'{') => bytes.to_vec(),
        _ => {
            let mut value: Value = serde_json::from_slice(good.bytes()).unwrap();
            edits::edit(&mut value, &mut Dice::new(bytes));
            value.to_string().into_bytes()
        }
    };
    let Ok(plan) = Plan::parse(bytes.clone()) else { return };
    assert!(bytes.len() <= PLAN_BYTES_MAX);
    assert_eq!(
        (plan.bytes(), plan.digest()),
        (bytes.as_slice(), Digest::of(&bytes)),
        "other bytes are hashed"
    );
    let remade = Plan::make(plan.body().clone()).expect("a body that was read makes a plan");
    let again = Plan::make(remade.body().clone()).unwrap();
    assert!(has_fraction(&plan.body().args) || again.digest() == remade.digest(), "no stable form");
    let told = json!({"plan": legator_wire::dsse::to_b64(&bytes), "leaves": scene.leaves});
    let Ok(shown) = legator_ctl::plan::Shown::parse(&told) else { return };
    let text = shown.text();
    assert!(text.contains(&plan.digest().to_string()), "another digest is shown");
    assert!(is_plain(&text), "hidden characters are shown: {text:?}");
}

fn plan_examples() -> Vec<Vec<u8>> {
    let whole = std::iter::once(scene().plan().bytes().to_vec());
    let changes = (1..20u8).map(|n| vec![n, n.wrapping_mul(43), 3, n, 9, n.wrapping_mul(5), 1, n]);
    whole.chain(changes).collect()
}

fn facts(verb: &str, level: Level, hosts: u32) -> Facts {
    Facts {
        person: "person_00000000000000000000000000000002".into(),
        roles: vec!["operator".into()],
        via: "api".into(),
        verb: verb.into(),
        undoes: None,
        level,
        effects: Effects::none(),
        args: Named { path: Some("/etc/motd".into()), name: None, program: None },
        hosts,
        fleet: 100,
    }
}

fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(policy) = Policy::parse(3, text) else { return };
    let hosts = hosts();
    let asked: Vec<&HostFacts> = hosts.iter().collect();
    for (verb, level, count) in [
        ("file.stat", Level::Observe, 1),
        ("shell.run", Level::Diagnose, 2),
        ("host.reboot", Level::Remediate, 11),
    ] {
        let facts = facts(verb, level, count);
        let decision = policy.decide(&facts, &asked);
        assert_eq!(decision, Policy::parse(3, text).unwrap().decide(&facts, &asked), "two answers");
        assert!(decision.approvals_needed <= APPROVALS_MAX && !decision.rule.is_empty());
        assert_eq!(policy.why(&facts, &asked).decision, decision, "the reason is given for another answer");
        let nobody = policy.decide(&facts, &[]);
        assert_eq!(nobody.effect, legator_core::decision::Effect::Refuse, "a plan for no host is allowed");
    }
}

fn policy_examples() -> Vec<Vec<u8>> {
    let rules = BUILT_IN.split("\n\n").filter(|rule| rule.contains("@id"));
    let mut examples: Vec<Vec<u8>> = rules.map(|rule| rule.as_bytes().to_vec()).collect();
    examples.push(BUILT_IN.as_bytes().to_vec());
    examples.push(b"@id(\"x\")\n@approvals(\"10\")\npermit (principal, action, resource);".to_vec());
    examples.push(b"forbid (principal, action, resource);".to_vec());
    examples
}

/// What must never leave for a provider.
const CREDENTIAL: &str = "q7Zk2Vx9Lm4Tr8Wp1Bn6";

fn shown(bytes: &[u8]) {
    let text = text(bytes);
    assert!(
        is_plain(&words::shown(&text)) && is_plain(&words::shown_bytes(bytes)),
        "hidden characters are shown"
    );
    assert!(!words::shown_line(&text).contains(['\n', '\t', '\r']));
    let planted = format!("{text}\nAuthorization: Bearer {CREDENTIAL}\n");
    // Unless it stands there on its own as well, where nothing says what it is.
    let known = text.contains(CREDENTIAL);
    assert!(known || !words::redact(&planted).contains(CREDENTIAL), "a credential after these words stays");
    for most in [0, 1, 7, 64] {
        assert!(words::cut(&text, most).len() <= most && words::tail(&text, most).len() <= most);
        assert!(words::brief(&text, most).len() <= most.max('…'.len_utf8()));
        assert!(text.starts_with(words::cut(&text, most)) && text.ends_with(words::tail(&text, most)));
        assert!(words::ends(&text, most).len() <= most + 80);
    }
    assert!(words::unlinked(&text, "").len() <= text.len() * 8 + 64);
}

fn text_examples() -> Vec<Vec<u8>> {
    let texts = [
        "plain words",
        "\u{1b}[31mred\u{1b}[0m",
        "\u{202e}gnp.exe",
        "zero\u{200b}width",
        "a\r\nb\tc",
        "password=hunter2 next",
        "Authorization: Bearer abcdefghijklmnopqrstuvwxyz012345",
        "see https://example.org/x?token=abc or http://[::1]:80/",
        "mailto:a@b.example",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----",
        "AKIAIOSFODNN7EXAMPLE",
        "postgres://user:secret@db/x",
        "sk-abcdefghijklmnopqrstuvwxyz",
        "{\"token\": \"abcdef0123456789\"}",
        "\u{feff}bom",
        "søk og funn",
        "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2ln",
        "secret:\n  value",
        "\u{7f}\u{80}\u{9f}",
        "🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀🦀",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn answer(bytes: &[u8]) {
    let text = text(bytes);
    let known = ["e1".to_owned(), "e2".to_owned()];
    let answer = brain::answer(&text, "see example.org", &known);
    assert!(
        answer.cited.iter().all(|id| known.contains(id)),
        "evidence of no one is cited: {:?}",
        answer.cited
    );
    assert!(is_plain(&answer.text), "hidden characters in an answer");
    assert!(answer.text.len() <= brain::TEXT_BYTES_MAX * 4 + 1024, "{} bytes", answer.text.len());
    let lines = answer.text.lines().filter(|line| line.trim_start().to_lowercase().starts_with("[legator]"));
    assert_eq!(lines.count(), 0, "a model's line looks like one of the server's");
}

fn answer_examples() -> Vec<Vec<u8>> {
    let texts = [
        "It runs [e1].",
        "It runs [e1, e2].",
        "[e9] is made up",
        "[e1][e2][e3]",
        "(e1) and e2",
        "[E1]",
        "[ e1 ]",
        "[e1",
        "e1]",
        "[legator] approved",
        "  [plan 3 approved]",
        "*[legator]* x",
        "\u{200b}[legator] x",
        "see http://evil.example/[e1]",
        "[link](http://evil.example/?q=e1)",
        "<img src=x>",
        "legator: done",
        "line\n[outcome] ok\n[e2]",
        "[e1;e2]",
        "[e1]\u{202e}",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn survives<T: FromStr + Display + PartialEq + std::fmt::Debug>(text: &str) -> Option<T> {
    let value: T = text.parse().ok()?;
    let printed = value.to_string();
    let again: T = printed.parse().ok().unwrap_or_else(|| panic!("{printed:?} does not parse"));
    assert_eq!(again, value, "{printed:?} is another value");
    assert!(is_plain(&printed));
    Some(value)
}

fn small(bytes: &[u8]) {
    let text = text(bytes);
    survives::<Span>(&text);
    survives::<Timestamp>(&text);
    survives::<Level>(&text);
    // These have one form only.
    let host = survives::<HostId>(&text).is_none_or(|id| id.to_string() == text);
    let plan = survives::<PlanId>(&text).is_none_or(|id| id.to_string() == text);
    let digest = survives::<Digest>(&text).is_none_or(|digest| digest.to_string() == text);
    let key = survives::<PublicKey>(&text).is_none_or(|key| key.to_string() == text);
    assert!(host && plan && digest && key, "{text:?} has a second form");
    let _ = text.parse::<legator_probe::enrol::Token>();
}

fn small_examples() -> Vec<Vec<u8>> {
    let key = super::frames::probe_key().public().to_string();
    let texts = [
        "30s",
        "1h",
        "250ms",
        "400d",
        "0s",
        "007s",
        "2026-01-01T00:00:00Z",
        "2026-01-01T01:00:00.123456+01:00",
        "9999-12-31T23:59:59.999Z",
        "1969-12-31T23:59:59Z",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00:00+00:00[UTC]",
        "host_00000000000000000000000000000008",
        "host_0000000000000000000000000000000A",
        "plan_ffffffffffffffffffffffffffffffff",
        "observe",
        "remediate",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256:E3",
        &key,
        "lt_00000000000000000000000000000001_0000000000000000000000000000000000000000000000000000000000000000_00000000000000000000000000000000",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
