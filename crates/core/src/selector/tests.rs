//! The grammar as tables, and what must hold for any text.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use super::*;
use crate::level::Level;
use proptest::prelude::*;

fn host(name: &str, labels: &[(&str, &str)]) -> HostFacts {
    HostFacts {
        id: crate::ids::HostId::new(7).to_string(),
        name: name.into(),
        labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        level: Level::Observe,
        os: "linux".into(),
        status: "online".into(),
        cage: "full".into(),
    }
}

#[test]
fn a_selector_selects_what_it_says() {
    let host = host("web-03", &[("env", "prod"), ("role", "web"), ("team", "søk og funn"), ("name", "x")]);
    let id = format!("id={}", host.id);
    let table: &[(&str, bool)] = &[
        ("", false),
        ("  ", false),
        ("*", true),
        (" * ", true),
        ("web-03", true),
        ("\"web-03\"", true),
        ("web", false),
        ("web-04", false),
        ("name=web-03", true),
        ("name==web-03", true),
        ("name = web-03", true),
        ("name=web-04", false),
        ("env=prod,role in (web,api)", true),
        ("env=prod , role in ( web , api )", true),
        ("env=prod,role in (db,api)", false),
        ("env!=prod", false),
        ("env!=stage", true),
        ("gone!=stage", true),
        ("gone=stage", false),
        ("env notin (stage,test)", true),
        ("env notin (stage,prod)", false),
        ("gone notin (a)", true),
        ("has(env)", true),
        ("has( env )", true),
        ("has(gone)", false),
        ("has(env),env=prod", true),
        (&id, true),
        (&host.id, true),
        ("host_00000000000000000000000000000008", false),
        ("id=host_00000000000000000000000000000008", false),
        ("status=online", true),
        ("status in (stale,offline)", false),
        ("level=observe", true),
        ("level=remediate", false),
        ("cage=full,os=linux", true),
        ("team=\"søk og funn\"", true),
        ("labels.name=x", true),
        ("labels.env=prod", true),
        ("name=x", false),
    ];
    for (text, selected) in table {
        assert_eq!(Selector::parse(text).unwrap().matches(&host), *selected, "{text}");
    }
    eprintln!("selectors matched: {}", table.len());
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let long = "a".repeat(WORD_BYTES_MAX + 1);
    let table: &[(&str, usize, &str)] = &[
        ("web-*", 5, "belongs"),
        ("* ,env=prod", 3, "alone"),
        ("**", 2, "alone"),
        ("env=", 5, "value"),
        ("=prod", 1, "key"),
        ("env=prod,", 10, "key"),
        (",env=prod", 1, "key"),
        ("env=prod role=web", 10, "comma"),
        ("env in web", 8, "("),
        ("env in (web", 12, ")"),
        ("env in ()", 9, "value"),
        ("env in (a,,b)", 11, "value"),
        ("env is prod", 5, "in or notin"),
        ("env!prod", 5, "="),
        ("has(env", 8, ")"),
        ("has()", 5, "label"),
        ("web-01,web-02", 1, "alone"),
        ("env=prod,web-02", 10, "alone"),
        ("env=\"prod", 5, "closed"),
        ("env=\"\"", 7, "empty"),
        ("env=\"a\\n\"", 8, "escapes"),
        ("env=\"a\nb\"", 8, "control"),
        ("env=prod;rm", 9, "comma"),
        ("env='prod'", 5, "value"),
        ("level=root", 7, "observe"),
        ("status=up", 8, "online"),
        ("cage in (full,open)", 15, "partial"),
        ("id=web-03", 4, "host_"),
        ("labels.=x", 1, "name"),
        (&long, 1, "bytes"),
        ("æ=ø)", 4, "comma"),
    ];
    for (text, at, word) in table {
        let bad = Selector::parse(text).expect_err(text);
        assert_eq!(bad.at, *at, "{text}: {bad}");
        assert!(bad.problem.contains(word), "{text}: {bad}");
    }
    let many = vec!["a=b"; CLAUSES_MAX + 1].join(",");
    assert!(Selector::parse(&many).is_err());
    let many = format!("a in ({})", vec!["b"; VALUES_MAX + 1].join(","));
    assert!(Selector::parse(&many).is_err());
    assert!(Selector::parse(&" ".repeat(SELECTOR_BYTES_MAX + 1)).is_err());
    eprintln!("selectors refused: {}", table.len() + 3);
}

fn any_word() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z][a-z0-9-]{0,8}", "[^\\p{C}]{1,12}"]
}

fn any_clause() -> impl Strategy<Value = String> {
    let key = prop_oneof![Just("name".to_owned()), Just("labels.id".to_owned()), "[a-z]{3,6}_"];
    let value =
        || any_word().prop_map(|word| format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")));
    prop_oneof![
        (key.clone(), prop_oneof![Just("="), Just("!=")], value()).prop_map(|(k, o, v)| format!("{k}{o}{v}")),
        (key.clone(), prop_oneof![Just("in"), Just("notin")], proptest::collection::vec(value(), 1..4))
            .prop_map(|(k, o, v)| format!("{k} {o} ({})", v.join(", "))),
        key.prop_map(|k| format!("has({k})")),
    ]
}

proptest! {
    #[test]
    fn no_text_panics_and_what_parses_survives_its_text(text in "\\PC{0,80}") {
        if let Ok(selector) = Selector::parse(&text) {
            prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
        }
    }

    #[test]
    fn near_selectors_do_not_panic(text in "[a-z=!,() \"*\\\\]{0,40}") {
        if let Ok(selector) = Selector::parse(&text) {
            prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
        }
    }

    #[test]
    fn a_selector_survives_its_text_and_more_clauses_select_less(
        clauses in proptest::collection::vec(any_clause(), 1..5),
        name in any_word(),
    ) {
        let whole = Selector::parse(&clauses.join(",")).unwrap();
        prop_assert_eq!(&Selector::parse(&whole.to_string()).unwrap(), &whole);
        let host = host(&name, &[("id", "a"), ("abc_", "b")]);
        let each = clauses.iter().all(|clause| Selector::parse(clause).unwrap().matches(&host));
        prop_assert_eq!(whole.matches(&host), each);
    }
}
