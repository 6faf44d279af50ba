//! The built-in policy as a table, the encoding of decisions, and what is refused at activation.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use super::*;
use legator_core::decision::Effect;
use proptest::prelude::*;

fn host(number: u32, cage: &str) -> HostFacts {
    HostFacts {
        id: format!("host_{number:032x}"),
        name: format!("web-{number:02}"),
        labels: [("env".to_owned(), "prod".to_owned())].into(),
        level: Level::Remediate,
        os: "linux".into(),
        status: "online".into(),
        cage: cage.into(),
    }
}

fn facts(verb: &str, level: Level, hosts: u32, fleet: u32) -> Facts {
    Facts {
        person: "person_00000000000000000000000000000002".into(),
        roles: vec!["operator".into()],
        via: "api".into(),
        verb: verb.into(),
        undoes: None,
        level,
        effects: Effects::none(),
        args: Named::default(),
        hosts,
        fleet,
    }
}

/// What the built-in policy says: verb, level, hosts, fleet → approvals (9: refused) by rule.
const TABLE: &[(&str, Level, u32, u32, u8, &str)] = &[
    ("file.stat", Level::Observe, 1, 1, 0, "observe"),
    ("shell.run", Level::Observe, 100, 100, 0, "observe"),
    ("net.dns", Level::Diagnose, 1, 1, 0, "operators-ask-the-network"),
    ("net.http", Level::Diagnose, 50, 50, 0, "operators-ask-the-network"),
    ("net.tcp", Level::Diagnose, 1, 1, 0, "operators-ask-the-network"),
    ("log.follow", Level::Diagnose, 1, 1, 0, "operators-ask-the-network"),
    ("shell.run", Level::Diagnose, 1, 1, 1, "diagnose-one"),
    ("service.restart", Level::Remediate, 1, 1, 1, "remediate-one"),
    ("service.restart", Level::Remediate, 10, 10, 1, "remediate-one"),
    ("service.restart", Level::Remediate, 11, 1000, 2, "many-hosts-two"),
    ("service.restart", Level::Remediate, 2, 19, 1, "remediate-one"),
    ("service.restart", Level::Remediate, 2, 20, 1, "remediate-one"),
    ("service.restart", Level::Remediate, 3, 20, 2, "large-share-two"),
    ("service.restart", Level::Remediate, 10, 100, 1, "remediate-one"),
    ("file.write", Level::Remediate, 1, 1, 1, "remediate-one"),
    ("task.undo", Level::Remediate, 1, 1, 1, "remediate-one"),
    ("shell.run", Level::Remediate, 1, 1, 1, "remediate-one"),
    ("shell.script", Level::Remediate, 1, 1, 2, "grave-two"),
    ("host.reboot", Level::Remediate, 1, 1, 2, "grave-two"),
    ("package.remove", Level::Remediate, 1, 1, 2, "grave-two"),
    ("package.install", Level::Remediate, 1, 1, 1, "remediate-one"),
];

#[test]
fn the_built_in_policy_is_what_the_product_promises() {
    let web = host(1, "full");
    for (verb, level, hosts, fleet, needed, rule) in TABLE {
        let decision = Policy::built_in().decide(&facts(verb, *level, *hosts, *fleet), &[&web]);
        let effect = if *needed == 0 { Effect::Allow } else { Effect::NeedsApproval };
        assert_eq!(
            (decision.effect, decision.approvals_needed, decision.rule.as_str()),
            (effect, *needed, *rule),
            "{verb}"
        );
        assert!(!decision.reason.is_empty());
    }
    eprintln!("rows of the built-in policy: {}", TABLE.len());
}

#[test]
fn who_is_no_operator_gets_no_network() {
    let viewer = Facts { roles: vec!["viewer".into()], ..facts("net.dns", Level::Diagnose, 1, 1) };
    let decision = Policy::built_in().decide(&viewer, &[&host(1, "full")]);
    assert_eq!((decision.effect, decision.rule.as_str()), (Effect::Refuse, "no-rule"));
}

#[test]
fn a_program_at_observe_needs_a_full_cage_or_an_admins_label() {
    let run = facts("shell.run", Level::Observe, 1, 1);
    for cage in ["partial", "none", "", "FULL", "full "] {
        let decision = Policy::built_in().decide(&run, &[&host(1, cage)]);
        assert_eq!(
            (decision.effect, decision.rule.as_str()),
            (Effect::Refuse, "observe-needs-full-cage"),
            "{cage}"
        );
    }
    let mut allowed = host(1, "partial");
    allowed.labels.insert("legator/uncaged".into(), "allowed".into());
    assert_eq!(Policy::built_in().decide(&run, &[&allowed]).effect, Effect::Allow);
    allowed.labels.insert("legator/uncaged".into(), "no".into());
    assert_eq!(Policy::built_in().decide(&run, &[&allowed]).effect, Effect::Refuse);
    let typed = facts("file.read", Level::Observe, 1, 1);
    assert_eq!(Policy::built_in().decide(&typed, &[&host(1, "none")]).effect, Effect::Allow);
}

#[test]
fn one_host_that_is_refused_refuses_the_plan_and_no_host_does_too() {
    let (good, bad) = (host(1, "full"), host(2, "none"));
    let run = facts("shell.run", Level::Observe, 2, 2);
    assert_eq!(Policy::built_in().decide(&run, &[&good, &bad]).effect, Effect::Refuse);
    assert_eq!(Policy::built_in().decide(&run, &[&bad, &good]).effect, Effect::Refuse);
    assert_eq!(Policy::built_in().decide(&run, &[]).rule, "no-host");
}

#[test]
fn undoing_asks_what_doing_asked() {
    let undo = Facts { undoes: Some("package.remove".into()), ..facts("task.undo", Level::Remediate, 1, 1) };
    assert_eq!(Policy::built_in().decide(&undo, &[&host(1, "full")]).approvals_needed, 2);
}

#[test]
fn an_error_of_a_rule_refuses_whatever_the_others_say() {
    let text = r#"
        @id("yes") @approvals("0") permit (principal, action, resource);
        @id("boom") @approvals("0") permit (principal, action, resource) when { context.hosts * 9223372036854775807 > 0 };
    "#;
    let policy = Policy::parse(3, text).unwrap();
    let decision = policy.decide(&facts("file.stat", Level::Observe, 2, 2), &[&host(1, "full")]);
    assert_eq!(
        (decision.effect, decision.rule.as_str(), decision.policy_version),
        (Effect::Refuse, "policy-error", 3)
    );
    assert!(decision.reason.contains("boom"), "{}", decision.reason);
    let closed = Policy::closed(4, "unreadable")
        .decide(&facts("file.stat", Level::Observe, 2, 2), &[&host(1, "full")]);
    assert_eq!((closed.effect, closed.rule.as_str()), (Effect::Refuse, "policy-error"));
}

#[test]
fn the_strictest_rule_counts_and_a_forbid_beats_all() {
    let text = r#"
        @id("three") @approvals("3") permit (principal, action, resource);
        @id("none") @approvals("0") permit (principal, action, resource);
        @id("one") @approvals("1") permit (principal, action, resource);
        @id("never") forbid (principal, action, resource) when { resource.name == "db-01" };
    "#;
    let policy = Policy::parse(1, text).unwrap();
    let asked = facts("file.stat", Level::Observe, 1, 1);
    let decision = policy.decide(&asked, &[&host(1, "full")]);
    assert_eq!((decision.approvals_needed, decision.rule.as_str()), (3, "three"));
    let db = HostFacts { name: "db-01".into(), ..host(2, "full") };
    assert_eq!(policy.decide(&asked, &[&host(1, "full"), &db]).rule, "never");
}

#[test]
fn what_is_no_policy_is_refused_with_its_reason() {
    let long = format!(
        "// {}\n@id(\"a\") @approvals(\"0\") permit (principal, action, resource);",
        "x".repeat(POLICY_BYTES_MAX)
    );
    let many = (0..=RULES_MAX)
        .map(|i| format!("@id(\"r{i}\") @approvals(\"0\") permit (principal, action, resource);"));
    let many = many.collect::<String>();
    let table: &[(&str, &str)] = &[
        ("", "no rule"),
        ("// nothing", "no rule"),
        ("permit", ""),
        ("permit (principal, action, resource);", "@id"),
        ("@id(\"A b\") @approvals(\"0\") permit (principal, action, resource);", "@id"),
        ("@id(\"a\") permit (principal, action, resource);", "@approvals"),
        ("@id(\"a\") @approvals(\"-1\") permit (principal, action, resource);", "0 to 9"),
        ("@id(\"a\") @approvals(\"10\") permit (principal, action, resource);", "0 to 9"),
        ("@id(\"a\") @approvals(\"+1\") permit (principal, action, resource);", "0 to 9"),
        ("@id(\"a\") @approvals(\"two\") permit (principal, action, resource);", "0 to 9"),
        ("@id(\"a\") @approvals permit (principal, action, resource);", "0 to 9"),
        ("@id(\"a\") @approvals(\"1\") forbid (principal, action, resource);", "forbids"),
        ("@id(\"a\") @aprovals(\"1\") forbid (principal, action, resource);", "@aprovals"),
        (
            "@id(\"a\") forbid (principal, action, resource); @id(\"a\") forbid (principal, action, resource);",
            "taken",
        ),
        ("@id(\"no-rule\") forbid (principal, action, resource);", "taken"),
        ("@id(\"a\") forbid (principal, action, resource == ?resource);", "templates"),
        ("@id(\"a\") forbid (principal, action, resource) when { context.colour == \"red\" };", "colour"),
        ("@id(\"a\") forbid (principal, action, resource) when { context.hosts > \"1\" };", ""),
        ("@id(\"a\") forbid (principal, action, resource) when { context.path == \"/etc\" };", "path"),
        (
            "@id(\"a\") forbid (principal, action, resource) when { resource.getTag(\"env\") == \"prod\" };",
            "tag",
        ),
        ("@id(\"a\") forbid (principal, action == Action::\"fly\", resource);", "fly"),
        ("@id(\"a\") forbid (principal == Robot::\"x\", action, resource);", "Robot"),
        (&long, "bytes"),
        (&many, "more than 200"),
    ];
    for (text, word) in table {
        let bad = Policy::parse(1, text).expect_err(text);
        assert!(bad.to_string().contains(word), "{text}: {bad}");
    }
    eprintln!("policies refused: {}", table.len());
}

#[test]
fn why_names_the_rule_and_what_would_change_it() {
    let hosts: Vec<HostFacts> = (0..15).map(|n| host(n, "full")).collect();
    let hosts: Vec<&HostFacts> = hosts.iter().collect();
    let why = Policy::built_in().why(&facts("service.restart", Level::Remediate, 15, 1000), &hosts);
    assert_eq!(why.decision.rule, "many-hosts-two");
    assert_eq!(why.hosts.len(), 1);
    assert_eq!(why.hosts[0].count, 15);
    assert_eq!(why.hosts[0].rules, ["remediate-one", "many-hosts-two"]);
    assert!(
        why.changes.iter().any(|c| c.if_ == "it were for at most 10 hosts" && c.then.approvals_needed == 1),
        "{why:?}"
    );

    let (good, bad) = (host(1, "full"), host(2, "none"));
    let why = Policy::built_in().why(&facts("shell.run", Level::Observe, 2, 2), &[&good, &bad]);
    assert!(
        why.changes.iter().any(|c| c.if_ == "web-02 were left out" && c.then.effect == Effect::Allow),
        "{why:?}"
    );

    let why = Policy::built_in().why(&facts("shell.run", Level::Remediate, 1, 1), &[&good]);
    assert!(
        why.changes.iter().any(|c| c.if_ == "it ran at observe" && c.then.effect == Effect::Allow),
        "{why:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn more_hosts_never_loosen_and_the_order_does_not_matter(
        row in 0..TABLE.len(), more in 0u32..40, fleet in 1u32..400, cages in proptest::collection::vec("full|none", 1..4),
    ) {
        let (verb, level, hosts, ..) = TABLE[row];
        let small = facts(verb, level, hosts, fleet);
        let large = facts(verb, level, hosts + more, fleet);
        let all: Vec<HostFacts> = cages.iter().zip(0..).map(|(cage, n)| host(n, cage)).collect();
        let mut refs: Vec<&HostFacts> = all.iter().collect();
        let one = Policy::built_in().decide(&small, &refs);
        let two = Policy::built_in().decide(&large, &refs);
        prop_assert!(ask::strictness(&two) >= ask::strictness(&one));
        refs.reverse();
        prop_assert_eq!(ask::strictness(&Policy::built_in().decide(&small, &refs)), ask::strictness(&one));
    }
}

#[test]
fn the_example_of_the_documentation_is_a_policy() {
    let page = include_str!("../../../docs/policies.md");
    let text = page.split("```cedar").nth(1).unwrap().split("```").next().unwrap();
    let policy = Policy::parse(1, text).unwrap();
    let mut db = host(1, "full");
    db.labels.insert("role".into(), "db".into());
    let decision = policy.decide(&facts("host.reboot", Level::Remediate, 1, 1), &[&db]);
    assert_eq!(decision.rule, "no-reboots-of-databases");
}
