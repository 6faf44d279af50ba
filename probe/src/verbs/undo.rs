//! `task.undo`: takes back what a task did on this host.
//!
//! Owns the inverse of each change that has one. Never goes back over something newer: what the task left must still be there.
//! Invariant: without a kept state, or after another change, it is refused.

use std::path::Path;

use legator_core::verbs::{ABSENT, SysctlSet, TaskUndo};
use legator_wire::refusal::Refusal;
use tokio::sync::watch;

use super::files::{self, replace::Content};
use super::told::Told;
use super::{Done, Step, Stop, Work, packages, service, sysctl};
use crate::preimage::{Image, Past};

/// The refusal of what is not as the task left it.
pub(super) fn changed(detail: &str) -> Stop {
    Stop::Refused(Refusal::ChangedPreImage, format!("{detail}: it is not as the task left it"))
}

pub(super) async fn undo(
    work: &Work<'_>,
    args: &TaskUndo,
    told: &mut Told,
    cancel: watch::Receiver<bool>,
) -> Step<Done> {
    let gone = || {
        let detail = format!("no state from before {} is kept here (any more)", args.task);
        Stop::Refused(Refusal::NoUndo, detail)
    };
    let image = work.host.preimages.load(args.task, work.host.clock.now()).ok_or_else(gone)?;
    match &image.past {
        Past::File { path, .. } => file(work, path, &image).await,
        Past::Service { name, boot, before, after } => {
            service_state(work, (name, *boot), (*before, *after), told, cancel).await
        }
        Past::Sysctl { key, before, after } => setting(work, key, (before, after)),
        Past::Package { name, after } => packages::undo_install(work, (name, after), told, cancel).await,
    }
}

async fn file(work: &Work<'_>, path: &Path, image: &Image) -> Step<Done> {
    let Past::File { attributes, before, after, .. } = &image.past else {
        return Err(changed("the kept state"));
    };
    if work.shown.is_some_and(|shown| shown != *after) {
        return Err(changed("what the approver was shown"));
    }
    let content = (*before != ABSENT).then(|| Content {
        bytes: image.content.clone(),
        attributes: attributes.clone(),
        mode: attributes.mode,
    });
    files::replace(work, &path.to_string_lossy(), *after, content).await
}

async fn service_state(
    work: &Work<'_>,
    which: (&str, bool),
    states: (bool, bool),
    told: &mut Told,
    cancel: watch::Receiver<bool>,
) -> Step<Done> {
    let ((name, boot), (before, after)) = (which, states);
    if service::holds(name, boot).await? != Some(after) {
        return Err(changed(&format!("service {name}")));
    }
    let action = match (boot, before) {
        (false, true) => service::Action::Start,
        (false, false) => service::Action::Stop,
        (true, true) => service::Action::Enable,
        (true, false) => service::Action::Disable,
    };
    service::act(work, action, name, told, cancel).await
}

fn setting(work: &Work<'_>, key: &str, values: (&str, &str)) -> Step<Done> {
    let (before, after) = values;
    if sysctl::read(key)? != after {
        return Err(changed(&format!("setting {key}")));
    }
    sysctl::set(work, &SysctlSet { key: key.to_owned(), value: before.to_owned() })
}
