//! Landlock: what may be opened, whatever the mounts and users say.
//!
//! Owns the rules. Never falls back silently: a kernel that enforces nothing is a fault.
//! Invariant: applied in the child only; the helper's own processes stay outside the domain.

use super::super::Layer;
use super::super::order::Work;
use super::{Fault, mounts};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};

/// The newest file rights that are asked for; older kernels enforce what they know.
const FILES: ABI = ABI::V9;
const NET: ABI = ABI::V4;
const SCOPES: ABI = ABI::V6;

/// Restricts this process and everything it starts.
pub(super) fn apply(work: &Work) -> Result<(), Fault> {
    let status = rules(work).and_then(|rules| rules.restrict_self().map_err(Fault::at("landlock")))?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err(Fault::new("landlock", "the kernel enforces nothing"));
    }
    Ok(())
}

fn rules(work: &Work) -> Result<RulesetCreated, Fault> {
    let at = || Fault::at("landlock");
    let mut rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    rules = rules.handle_access(AccessFs::from_all(FILES)).map_err(at())?;
    if !work.net() {
        rules = rules.handle_access(AccessNet::from_all(NET)).map_err(at())?;
    }
    rules = rules.scope(Scope::from_all(SCOPES)).map_err(at())?;
    let mut rules = rules.create().map_err(at())?;
    rules = allow(rules, "/", AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute)?;
    for node in ["/dev/null", "/dev/zero", "/dev/full"] {
        rules = allow(
            rules,
            node,
            AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev,
        )?;
    }
    let all = AccessFs::from_all(ABI::V3);
    // Without the private mounts these are the host's own.
    if work.has(Layer::Mounts) {
        for path in mounts::SCRATCH {
            rules = allow(rules, path, all)?;
        }
    }
    for path in work.write() {
        let file = std::fs::metadata(path).is_ok_and(|meta| !meta.is_dir());
        rules = allow(rules, path, if file { all & AccessFs::from_file(ABI::V3) } else { all })?;
    }
    Ok(rules)
}

fn allow(
    rules: RulesetCreated,
    path: &str,
    access: impl Into<BitFlags<AccessFs>>,
) -> Result<RulesetCreated, Fault> {
    let opened = PathFd::new(path).map_err(|error| Fault::new(format!("landlock: {path}"), error))?;
    rules
        .add_rule(PathBeneath::new(opened, access))
        .map_err(|error| Fault::new(format!("landlock: {path}"), error))
}
