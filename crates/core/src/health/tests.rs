//! Tables over health: each fault moves the score, and silence never looks like health.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stderr)]

use super::*;
use crate::span::Span;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::EPOCH;

pub(crate) fn well() -> Recorded {
    let metrics = Metrics {
        load: [0.1, 0.1, 0.1],
        cpus: 2,
        memory_total: 8_000,
        memory_available: 4_000,
        swap_total: 1_000,
        swap_used: 10,
        disks: vec![Disk { path: "/".into(), total: 1_000, available: 500 }],
        ..Metrics::default()
    };
    Recorded {
        metrics: Some((now(), metrics)),
        services: Some(vec![service("active")]),
        updates: Some(Updates { pending: Some(0), security: Some(0), reboot: Some(false), lists_at: None }),
        clock: Some(Clock { offset_ms: Some(20), synchronised: Some(true) }),
        ssh: Some(Ssh {
            installed: true,
            permit_root_login: "prohibit-password".into(),
            password_authentication: true,
        }),
        certificates: Some(vec![Certificate {
            path: "/a".into(),
            not_after: now() + Span::from_secs(90 * 86_400),
        }]),
    }
}

pub(crate) fn now() -> Timestamp {
    NOW + Span::from_secs(86_400 * 300)
}

pub(crate) fn service(state: &str) -> Service {
    Service { name: "nginx".into(), manager: "systemd".into(), state: state.into(), enabled: Some(true) }
}

/// A host that is well but for one thing.
pub(crate) fn faults() -> Vec<(&'static str, Recorded)> {
    let with = |change: &dyn Fn(&mut Recorded)| {
        let mut recorded = well();
        change(&mut recorded);
        recorded
    };
    let figures = |change: &dyn Fn(&mut Metrics)| with(&|r| change(&mut r.metrics.as_mut().unwrap().1));
    let part = |change: &dyn Fn(&mut Recorded)| with(change);
    vec![
        ("disk-full", figures(&|m| m.disks[0].available = 0)),
        ("disk-nearly-full", figures(&|m| m.disks[0].available = 60)),
        ("failed-unit", part(&|r| r.services = Some(vec![service("failed")]))),
        ("clock-off", part(&|r| r.clock.as_mut().unwrap().offset_ms = Some(-90_000))),
        ("clock-not-synchronised", part(&|r| r.clock.as_mut().unwrap().synchronised = Some(false))),
        ("swap-storm", figures(&|m| m.swap_pages = 1_000_000)),
        ("swap-full", figures(&|m| m.swap_used = 990)),
        ("memory-low", figures(&|m| m.memory_available = 10)),
        ("load-high", figures(&|m| m.load = [40.0; 3])),
        ("security-updates", part(&|r| r.updates.as_mut().unwrap().security = Some(4))),
        ("updates", part(&|r| r.updates.as_mut().unwrap().pending = Some(4))),
        ("reboot-pending", part(&|r| r.updates.as_mut().unwrap().reboot = Some(true))),
        ("root-ssh-password", part(&|r| r.ssh.as_mut().unwrap().permit_root_login = "yes".into())),
        ("certificate-expired", part(&|r| r.certificates.as_mut().unwrap()[0].not_after = NOW)),
        (
            "certificate-near-expiry",
            part(&|r| r.certificates.as_mut().unwrap()[0].not_after = now() + Span::from_secs(60)),
        ),
        ("stale-data", part(&|r| r.metrics.as_mut().unwrap().0 = NOW)),
        ("no-data", part(&|r| r.metrics = None)),
        ("no-data", part(&|r| r.metrics = Some((now(), Metrics::default())))),
        ("figures-missing", figures(&|m| m.memory_total = 0)),
        ("figures-missing", figures(&|m| m.disks.clear())),
        ("figures-missing", figures(&|m| m.disks[0].total = 0)),
        ("figures-missing", figures(&|m| m.cpus = 0)),
        ("no-inventory", part(&|r| r.services = None)),
        ("no-inventory", part(&|r| r.updates = None)),
        ("no-inventory", part(&|r| r.clock = None)),
        ("no-inventory", part(&|r| r.ssh = None)),
    ]
}

#[test]
fn a_host_that_is_well_has_the_full_score_and_each_fault_alone_moves_it() {
    assert_eq!(score(&well(), now()), Health { score: 100, reasons: vec![] });
    let faults = faults();
    for (code, recorded) in &faults {
        let health = score(recorded, now());
        assert_eq!(health.reasons.iter().map(|r| r.code.as_str()).collect::<Vec<_>>(), [*code]);
        assert!(health.score < 100, "{code}");
    }
    eprintln!("health: {} faults, each named and each moving the score", faults.len());
}

#[test]
fn nothing_recorded_is_not_well() {
    let health = score(&Recorded::default(), now());
    assert!(health.score <= 40 && health.reasons.iter().any(|reason| reason.code == "no-data"));
    let from_nothing = Recorded::new(None, &BTreeMap::new());
    assert_eq!(from_nothing, Recorded::default());
}

#[test]
fn parts_that_do_not_parse_are_absent() {
    let parts = BTreeMap::from([
        ("services".to_owned(), serde_json::json!({"items": [{"name": 3}]})),
        ("clock".to_owned(), serde_json::json!("noon")),
    ]);
    let recorded = Recorded::new(None, &parts);
    assert!(recorded.services.is_none() && recorded.clock.is_none());
}

proptest! {
    #[test]
    fn no_figures_panic_and_only_known_figures_reach_the_top(available: u64, total: u64, swap: u64, load: f64) {
        let mut recorded = well();
        let metrics = &mut recorded.metrics.as_mut().unwrap().1;
        metrics.disks[0] = Disk { path: "/".into(), total, available };
        metrics.swap_used = swap;
        metrics.load = [load; 3];
        let health = score(&recorded, now());
        prop_assert!(health.score <= 100);
        prop_assert!(total > 0 || health.score < 100, "a figure that is none is no health");
        recorded.metrics = None;
        prop_assert!(score(&recorded, now()).score < 100);
    }
}
