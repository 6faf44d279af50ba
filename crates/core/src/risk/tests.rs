//! Tables over risk: each fault that counts moves the level.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use super::*;
use crate::health::tests::{faults, now, well};

#[test]
fn a_host_that_is_well_is_of_low_risk_and_each_fault_alone_moves_it() {
    assert_eq!(assess(&well(), now()), Risk { level: RiskLevel::Low, reasons: vec![] });
    let counted = [
        ("disk-full", RiskLevel::Medium),
        ("failed-unit", RiskLevel::Medium),
        ("clock-off", RiskLevel::Medium),
        ("swap-storm", RiskLevel::Medium),
        ("security-updates", RiskLevel::High),
        ("updates", RiskLevel::Medium),
        ("root-ssh-password", RiskLevel::High),
        ("certificate-expired", RiskLevel::Medium),
        ("no-data", RiskLevel::Medium),
    ];
    for (code, level) in counted {
        let (_, recorded) = faults().into_iter().find(|(name, _)| *name == code).unwrap();
        let risk = assess(&recorded, now());
        assert_eq!(risk.level, level, "{code}");
        assert!(risk.reasons.iter().any(|reason| reason.code == code), "{code}");
    }
    eprintln!("risk: {} faults, each named and each moving the level", counted.len());
}

#[test]
fn two_grave_faults_are_critical_and_nothing_known_is_not_low() {
    let mut recorded = well();
    recorded.ssh.as_mut().unwrap().permit_root_login = "yes".into();
    recorded.updates.as_mut().unwrap().security = Some(3);
    assert_eq!(assess(&recorded, now()).level, RiskLevel::Critical);
    assert!(assess(&Recorded::default(), now()).level > RiskLevel::Low);
}
