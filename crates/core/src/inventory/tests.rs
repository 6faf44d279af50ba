//! Tables over changes, limits and hostile parts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stderr)]

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn list(items: Value) -> Value {
    json!({ "items": items, "total": 1 })
}

#[test]
fn each_change_is_one_line_for_people() {
    let table = [
        (
            "packages",
            list(json!([{"name":"openssl","version":"3.0.1","arch":"amd64"}])),
            list(json!([{"name":"openssl","version":"3.0.2","arch":"amd64"}])),
            vec!["package openssl 3.0.1 → 3.0.2"],
        ),
        (
            "packages",
            list(json!([])),
            list(json!([{"name":"vim","version":"9.0","arch":"amd64"}])),
            vec!["package vim 9.0 added"],
        ),
        (
            "packages",
            list(json!([{"name":"vim","version":"9.0","arch":"amd64"}])),
            list(json!([])),
            vec!["package vim 9.0 removed"],
        ),
        (
            "services",
            list(json!([{"name":"nginx","manager":"systemd","state":"active"}])),
            list(json!([{"name":"nginx","manager":"systemd","state":"failed"}])),
            vec!["service nginx state: active → failed"],
        ),
        (
            "sockets",
            list(json!([])),
            list(json!([{"protocol":"tcp","address":"0.0.0.0","port":22,"process":"sshd","pid":7}])),
            vec!["socket tcp 0.0.0.0 22 added"],
        ),
        ("os", json!({"kernel":"6.1"}), json!({"kernel":"6.2"}), vec!["os kernel: 6.1 → 6.2"]),
        ("updates", json!({"reboot":false}), json!({"reboot":true}), vec!["updates reboot: false → true"]),
        ("os", Value::Null, json!({"kernel":"6.2"}), vec![]),
        ("clock", json!({"offset_ms":3}), json!({"offset_ms":9}), vec![]),
        (
            "sockets",
            list(json!([{"protocol":"tcp","address":"::","port":22,"pid":7}])),
            list(json!([{"protocol":"tcp","address":"::","port":22,"pid":9}])),
            vec![],
        ),
        (
            "users",
            list(json!([{"name":"eve","uid":1000,"shell":"/bin/sh","login":true,"sudo":false}])),
            list(json!([{"name":"eve","uid":1000,"shell":"/bin/sh","login":true,"sudo":true}])),
            vec!["user eve sudo: false → true"],
        ),
    ];
    for (part, old, new, lines) in &table {
        assert_eq!(&differences(part, old, new), lines, "{part}");
    }
    eprintln!("inventory changes: {} cases", table.len());
}

#[test]
fn five_thousand_packages_fit_and_what_is_cut_is_said() {
    let package = |n: usize| Package {
        name: format!("library-of-some-length-{n}"),
        version: format!("1.{n}.0-1+deb12u{n}"),
        arch: "amd64".into(),
    };
    let fits = Listing::bounded((0..5_000).map(package).collect());
    assert_eq!((fits.items.len(), fits.total, fits.cut), (5_000, 5_000, false));
    let cut = Listing::bounded((0..50_000).map(package).collect());
    assert!(cut.cut && cut.items.len() < 50_000 && cut.total == 50_000);
    assert!(serde_json::to_vec(&cut).unwrap().len() <= PART_BYTES_MAX);
    let (old, new) = (json!({"items": []}), serde_json::to_value(&fits).unwrap());
    let lines = differences("packages", &old, &new);
    assert_eq!(lines.len(), DIFFERENCES_MAX);
    assert_eq!(lines.last().unwrap(), &format!("and {} more", 5_000 - DIFFERENCES_MAX + 1));
}

#[test]
fn a_text_is_bounded_and_has_no_control_characters() {
    assert_eq!(text("a\u{1b}[31mb\n"), "a[31mb");
    assert!(text(&"é".repeat(1_000)).len() <= TEXT_BYTES_MAX);
}

proptest! {
    #[test]
    fn no_part_panics(raw in "\\PC{0,80}", name in "[a-z]{0,12}") {
        let value: Value = serde_json::from_str(&raw).unwrap_or(Value::String(raw));
        for part in PARTS.iter().copied().chain([name.as_str()]) {
            let other = json!({ "items": [value, 3, null, {"name": value}] });
            prop_assert!(differences(part, &value, &other).len() <= DIFFERENCES_MAX);
            prop_assert!(differences(part, &other, &value).len() <= DIFFERENCES_MAX);
        }
    }
}
