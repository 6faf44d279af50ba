//! How much could go wrong on a host: a level with named reasons, from recorded facts.
//!
//! Owns the levels and the rules over them. Pure: a host of which nothing is known is never of low risk.

use serde::{Deserialize, Serialize};

use crate::health::rules;
use crate::health::{Reason, Recorded};
use crate::time::Timestamp;

#[cfg(test)]
mod tests;

/// How much could go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RiskLevel {
    /// Nothing stands out.
    Low,
    /// Something should be looked at.
    Medium,
    /// Something should be done soon.
    High,
    /// Something should be done now.
    Critical,
}

impl RiskLevel {
    /// All levels, lowest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The level of so much weight.
    const fn of(weight: u32) -> Self {
        match weight {
            0..10 => Self::Low,
            10..40 => Self::Medium,
            40..80 => Self::High,
            _ => Self::Critical,
        }
    }
}

impl std::fmt::Display for RiskLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

/// The risk of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Risk {
    /// The level.
    pub level: RiskLevel,
    /// Why, the heaviest first.
    pub reasons: Vec<Reason>,
}

/// The risk that these records give at this moment.
pub fn assess(recorded: &Recorded, now: Timestamp) -> Risk {
    let mut reasons: Vec<Reason> = Vec::new();
    let heavier = |reason: Reason, weight: u8| Reason { weight, ..reason };
    match rules::figures(recorded) {
        None => reasons.push(Reason::new("no-data", rules::NO_DATA, 20)),
        Some((_, metrics)) => {
            let full = rules::disks(metrics).into_iter().filter(|reason| reason.code == "disk-full");
            reasons.extend(full.map(|reason| heavier(reason, 20)));
            reasons.extend(rules::swap(metrics).filter(|r| r.code == "swap-storm").map(|r| heavier(r, 10)));
        }
    }
    reasons.extend(rules::failed_units(recorded).map(|reason| heavier(reason, 10)));
    reasons.extend(rules::clock(recorded).map(|reason| heavier(reason, 10)));
    let waiting = rules::updates(recorded).into_iter();
    reasons.extend(waiting.map(|reason| match reason.code.as_str() {
        "security-updates" => heavier(reason, 40),
        _ => heavier(reason, 10),
    }));
    reasons.extend(rules::root_password(recorded));
    reasons.extend(rules::certificates(recorded, now).map(|reason| heavier(reason, 10)));
    if recorded.ssh.is_none() && recorded.services.is_none() {
        reasons.push(Reason::new("no-inventory", "it is not known what runs here", 10));
    }
    reasons.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.code.cmp(&b.code)));
    let level = RiskLevel::of(reasons.iter().map(|reason| u32::from(reason.weight)).sum());
    reasons.truncate(40);
    Risk { level, reasons }
}
