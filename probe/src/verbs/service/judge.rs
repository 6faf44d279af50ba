//! What must hold after an action on a service.
//!
//! Owns the table, pure. Invariant: what was not seen does not hold.

use super::State;

/// What is done to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verbs) enum Action {
    Start,
    Stop,
    Restart,
    Reload,
    Enable,
    Disable,
}

impl Action {
    /// The word that every service manager knows.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::Enable => "enable",
            Self::Disable => "disable",
        }
    }
}

/// What does not hold, in sentences; nothing when all does.
pub(super) fn missing(action: Action, before: &State, after: &State) -> Vec<String> {
    let mut missing = Vec::new();
    let mut must = |holds: bool, sentence: &str| {
        if !holds {
            missing.push(sentence.to_owned());
        }
    };
    let (old, new) = (before.main, after.main);
    match action {
        Action::Start => {
            must(after.active, "the service is not active");
            must(after.steady, "the service did not stay as it was during the settle time");
        }
        Action::Stop => {
            must(!after.active, "the service is still active");
            must(old.is_none() || old != new, "its main process is still there");
        }
        Action::Restart => {
            must(after.active, "the service is not active");
            must(new.is_some(), "its main process is not found");
            must(new.is_none() || new != old, "its main process is the same as before");
            must(after.steady, "the service did not stay as it was during the settle time");
            must(
                before.listening.is_subset(&after.listening),
                "it does not listen everywhere it listened before",
            );
        }
        Action::Reload => {
            must(after.active, "the service is not active");
            must(new.is_some() && new == old, "its main process is not the one from before");
            must(after.steady, "the service did not stay as it was during the settle time");
            must(
                before.listening.is_subset(&after.listening),
                "it does not listen everywhere it listened before",
            );
        }
        Action::Enable => must(after.enabled, "the service is not enabled at boot"),
        Action::Disable => must(!after.enabled, "the service is still enabled at boot"),
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::super::find::Main;
    use super::*;

    fn state(pid: Option<u32>, ports: &[&str]) -> State {
        State {
            main: pid.map(|pid| Main { pid, start: 7 }),
            active: pid.is_some(),
            listening: ports.iter().map(|port| (*port).to_owned()).collect(),
            ..State::default()
        }
    }

    #[test]
    fn a_restart_is_another_process_that_stays_and_listens() {
        let before = state(Some(1), &["tcp 0.0.0.0:80"]);
        let rows = [
            (state(Some(2), &["tcp 0.0.0.0:80"]), 0),
            (state(Some(2), &["tcp 0.0.0.0:80", "tcp 0.0.0.0:443"]), 0),
            (state(Some(1), &["tcp 0.0.0.0:80"]), 1),
            (state(Some(2), &[]), 1),
            (state(None, &[]), 3),
            (State { steady: false, ..state(Some(2), &["tcp 0.0.0.0:80"]) }, 1),
        ];
        for (after, faults) in rows {
            assert_eq!(missing(Action::Restart, &before, &after).len(), faults, "{after:?}");
        }
        // The same id used again by another process is another process.
        let reused = State { main: Some(Main { pid: 1, start: 9 }), ..before.clone() };
        assert!(missing(Action::Restart, &before, &reused).is_empty());
    }

    #[test]
    fn the_other_actions() {
        let (up, down) = (state(Some(1), &[]), state(None, &[]));
        assert!(missing(Action::Start, &down, &up).is_empty());
        assert!(!missing(Action::Start, &down, &down).is_empty());
        assert!(missing(Action::Stop, &up, &down).is_empty());
        assert!(!missing(Action::Stop, &up, &up).is_empty());
        assert!(missing(Action::Reload, &up, &up).is_empty());
        assert!(!missing(Action::Reload, &up, &state(Some(2), &[])).is_empty());
        let enabled = State { enabled: true, ..down.clone() };
        assert!(missing(Action::Enable, &down, &enabled).is_empty());
        assert!(!missing(Action::Enable, &down, &down).is_empty());
        assert!(missing(Action::Disable, &enabled, &down).is_empty());
        assert!(!missing(Action::Disable, &enabled, &enabled).is_empty());
    }
}
