//! The limits that the authority set for this host, in the version that is in force.
//!
//! Owns `limits.json` of the state folder. Invariant: a version never falls, also over a restart; where the host lists approvers,
//! nothing loosens without their signatures.

use legator_core::ids::HostId;
use legator_core::level::Level;
use legator_core::time::Timestamp;
use legator_wire::approval::{self, Subject, Vote};
use legator_wire::dsse::Envelope;
use legator_wire::order::Limits;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::config::Settings;
use crate::disk;
use crate::error::ProbeError;
use crate::identity::Identity;

const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Limits in force, shared by all that check.
#[derive(Debug)]
pub struct InForce {
    path: PathBuf,
    held: Mutex<Limits>,
}

/// What became of limits that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// They are in force.
    InForce,
    /// They are in force but for what would loosen: no quorum of this host's approvers signed that.
    Tightened,
    /// An older version, or the one in force.
    NotNewer,
    /// Not the authority's, or for another host.
    NotOurs,
    /// They could not be kept on disk, so they are not in force.
    NotKept,
}

impl InForce {
    /// The limits in the state folder; those of the enrolment where none came yet.
    ///
    /// # Errors
    /// The file is damaged: nothing runs.
    pub fn open(state_dir: &Path, identity: &Identity) -> Result<Self, ProbeError> {
        let path = state_dir.join("limits.json");
        let held = match disk::read(&path, FILE_BYTES_MAX)? {
            None => first(identity),
            Some(bytes) => {
                let read: Result<Limits, _> = serde_json::from_slice(&bytes);
                let damaged = |detail: String| ProbeError::State { path: path.clone(), detail };
                let limits = read.map_err(|error| damaged(error.to_string()))?;
                if limits.host != identity.host || limits.installation != identity.installation {
                    return Err(damaged("they are of another host".into()));
                }
                limits
            }
        };
        Ok(Self { path, held: Mutex::new(held) })
    }

    /// The limits in force.
    pub fn now(&self) -> Limits {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in limits that came, if they are the authority's, for this host and newer. Durable when it returns.
    /// `approvals` are signatures over the digest of the limits' payload.
    pub fn take(
        &self,
        envelope: &Envelope,
        from: &Sender<'_>,
        approvals: &[Envelope],
    ) -> (Taken, Option<Timestamp>) {
        let Ok(new) = envelope.open::<Limits>(&from.identity.authority) else {
            return (Taken::NotOurs, None);
        };
        if new.installation != from.identity.installation || new.host != from.identity.host {
            return (Taken::NotOurs, None);
        }
        let seen = Some(new.made_at);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if new.version <= held.version {
            return (Taken::NotNewer, seen);
        }
        let free = from.settings.approvers.is_empty() || signed(envelope, from, approvals);
        let (next, taken) = match free {
            true => (new, Taken::InForce),
            false => tightened(&held, new, from.now),
        };
        let content = serde_json::to_vec(&next).unwrap_or_default();
        if disk::replace(&self.path, &content, 0o600).is_err() {
            return (Taken::NotKept, seen);
        }
        *held = next;
        (taken, seen)
    }
}

/// Against what limits that came are held.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// Who this host is and whom it trusts.
    pub identity: &'a Identity,
    /// What the host's own file says.
    pub settings: &'a Settings,
    /// The present moment.
    pub now: Timestamp,
}

/// What holds before the first limits come.
fn first(identity: &Identity) -> Limits {
    Limits {
        installation: identity.installation.clone(),
        host: identity.host,
        version: 0,
        ceiling: identity.level,
        freezes: Vec::new(),
        made_at: Timestamp::EPOCH,
    }
}

/// The new version with nothing looser than before. Windows that are over need not be kept.
fn tightened(held: &Limits, new: Limits, now: Timestamp) -> (Limits, Taken) {
    let missing =
        held.freezes.iter().filter(|old| old.until > now && !new.freezes.iter().any(|window| window == *old));
    let missing: Vec<_> = missing.cloned().collect();
    let taken =
        if new.ceiling > held.ceiling || !missing.is_empty() { Taken::Tightened } else { Taken::InForce };
    let ceiling = new.ceiling.min(held.ceiling);
    let freezes = new.freezes.iter().cloned().chain(missing).collect();
    (Limits { ceiling, freezes, ..new }, taken)
}

/// Whether the quorum of this host's approvers signed these very limits.
fn signed(envelope: &Envelope, from: &Sender<'_>, approvals: &[Envelope]) -> bool {
    let digest = envelope.digest();
    let subject = Subject { installation: &from.identity.installation, plan: &digest, now: from.now };
    let mut persons = BTreeSet::new();
    for approver in &from.settings.approvers {
        let says_yes = approvals.iter().any(|signed| {
            let vote =
                |key| approval::open(signed, key, subject).is_some_and(|vote| vote.decision == Vote::Approve);
            approver.keys.iter().any(vote)
        });
        if says_yes {
            persons.insert(&approver.person);
        }
    }
    persons.len() >= usize::from(from.settings.quorum.max(1))
}

/// The highest level that runs: the lower of the host's own file and of the authority's ceiling.
pub fn highest(settings: &Settings, limits: &Limits) -> Level {
    settings.max_level.min(limits.ceiling)
}

/// Whether an envelope's addressee is this host.
pub fn is_for(identity: &Identity, installation: &str, host: HostId) -> bool {
    identity.installation == installation && identity.host == host
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use legator_core::digest::Digest;
    use legator_core::ids::{FreezeId, PersonId};
    use legator_core::span::Span;
    use legator_wire::approval::Approval;
    use legator_wire::grant::Approver;
    use legator_wire::keys::{ApproverKey, AuthorityKey, Signer as _};
    use legator_wire::order::FreezeWindow;

    const NOW: u64 = 1_000;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH + Span::from_secs(seconds)
    }

    fn authority() -> AuthorityKey {
        AuthorityKey::from_secret(&[1; 32])
    }

    fn identity() -> Identity {
        Identity {
            server: "http://s".into(),
            installation: "here".into(),
            authority: authority().public(),
            host: HostId::new(5),
            name: "web".into(),
            credential: "jwt".into(),
            expires_at: Timestamp::MAX,
            level: Level::Diagnose,
        }
    }

    fn limits(version: u64, ceiling: Level, freezes: Vec<FreezeWindow>) -> Limits {
        Limits {
            installation: "here".into(),
            host: HostId::new(5),
            version,
            ceiling,
            freezes,
            made_at: at(NOW),
        }
    }

    fn seal(limits: &Limits) -> Envelope {
        Envelope::seal(limits, &authority())
    }

    #[test]
    fn a_version_only_rises_also_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (identity, settings) = (identity(), Settings::without_file());
        let from = Sender { identity: &identity, settings: &settings, now: at(NOW) };
        let held = InForce::open(folder.path(), &identity).unwrap();
        assert_eq!((held.now().ceiling, held.now().version), (Level::Diagnose, 0));
        let lower = limits(3, Level::Observe, vec![]);
        assert_eq!(held.take(&seal(&lower), &from, &[]).0, Taken::InForce);
        let held = InForce::open(folder.path(), &identity).unwrap();
        assert_eq!(held.now(), lower);
        for version in [0, 2, 3] {
            let old = limits(version, Level::Remediate, vec![]);
            assert_eq!(held.take(&seal(&old), &from, &[]).0, Taken::NotNewer);
        }
        let stranger =
            Envelope::seal(&limits(9, Level::Remediate, vec![]), &AuthorityKey::from_secret(&[2; 32]));
        let elsewhere = Limits { host: HostId::new(6), ..limits(9, Level::Remediate, vec![]) };
        let another = Limits { installation: "there".into(), ..limits(9, Level::Remediate, vec![]) };
        for envelope in [stranger, seal(&elsewhere), seal(&another)] {
            assert_eq!(held.take(&envelope, &from, &[]).0, Taken::NotOurs);
        }
        assert_eq!(held.now(), lower);
    }

    #[test]
    fn with_approvers_nothing_loosens_without_them() {
        let folder = tempfile::tempdir().unwrap();
        let identity = identity();
        let key = ApproverKey::from_secret(&[3; 32]);
        let approvers = vec![Approver { person: "alice".into(), keys: vec![key.public()] }];
        let settings = Settings { approvers, quorum: 1, ..Settings::without_file() };
        let from = Sender { identity: &identity, settings: &settings, now: at(NOW) };
        let held = InForce::open(folder.path(), &identity).unwrap();
        let window = FreezeWindow { id: FreezeId::new(1), from: at(0), until: at(NOW * 2) };
        let frozen = limits(1, Level::Observe, vec![window.clone()]);
        assert_eq!(held.take(&seal(&frozen), &from, &[]).0, Taken::InForce);
        let loose = seal(&limits(2, Level::Remediate, vec![]));
        assert_eq!(held.take(&loose, &from, &[]).0, Taken::Tightened);
        assert_eq!((held.now().version, held.now().ceiling), (2, Level::Observe));
        assert_eq!(held.now().freezes, vec![window]);
        let loose = seal(&limits(3, Level::Remediate, vec![]));
        let vote = |plan: Digest| {
            let approval = Approval {
                installation: "here".into(),
                plan,
                decision: Vote::Approve,
                person: PersonId::new(1),
                key: key.public().fingerprint(),
                made_at: at(NOW),
                expires_at: at(NOW + 1),
            };
            Envelope::seal(&approval, &key)
        };
        assert_eq!(held.take(&loose, &from, &[vote(Digest::of(b"other"))]).0, Taken::Tightened);
        let loose = seal(&limits(4, Level::Remediate, vec![]));
        assert_eq!(held.take(&loose, &from, &[vote(loose.digest())]).0, Taken::InForce);
        assert_eq!((held.now().ceiling, held.now().freezes.len()), (Level::Remediate, 0));
    }

    #[test]
    fn damaged_limits_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = Limits { host: HostId::new(6), ..limits(9, Level::Remediate, vec![]) };
        for text in [String::new(), "{}".into(), "[]".into(), serde_json::to_string(&elsewhere).unwrap()] {
            std::fs::write(folder.path().join("limits.json"), text).unwrap();
            assert!(InForce::open(folder.path(), &identity()).is_err());
        }
    }
}
