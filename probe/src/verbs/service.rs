//! The service verbs: start, stop, restart, reload, enable, disable, status, list.
//!
//! Owns what must hold after each of them, and the looking at it. Never believes a service manager's exit code alone.
//! Invariant: verified means that the processes were seen, before, after and once more after a settle time.

mod find;
pub(super) mod init;
mod judge;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::program::{self, End};
use super::told::Told;
use super::{Done, Step, Stop, Work, blocking};
use crate::preimage::{Image, Past};
pub(super) use find::State;
pub(super) use init::Manager;
pub(super) use judge::Action;

/// How long a service may take until it is as it should be, once its manager's command has ended.
const ARRIVE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Does one action and sees what came of it.
pub(super) async fn act(
    work: &Work<'_>,
    action: Action,
    name: &str,
    told: &mut Told,
    cancel: watch::Receiver<bool>,
) -> Step<Done> {
    let (manager, name) = known(name)?;
    let before = look(manager, &name).await?;
    let argv = manager.command(action, &name)?;
    keep(work, action, &name, &before)?;
    let end = program::run(&argv, work.call.timeout.duration(), told, cancel.clone()).await?;
    let after = arrived(manager, (action, &name), &before, (end, work.host.settle), cancel).await?;
    Ok(judged(action, (&before, &after), end, argv.first().map_or("", String::as_str)))
}

fn judged(action: Action, states: (&State, &State), end: End, program: &str) -> Done {
    let (before, after) = states;
    let missing = judge::missing(action, before, after);
    // A command that failed did not bring about what is seen.
    let held = missing.is_empty() && end.success();
    let mut done = Done::changed(before.value(), after.value(), held);
    done.exit_code = end.code();
    let faults: Vec<String> = end.fault(program).into_iter().chain(missing).collect();
    match faults.is_empty() {
        true => done,
        false => done.detail(faults.join("; ")),
    }
}

/// The manager of a service, and the service's own name there.
fn known(name: &str) -> Step<(Manager, String)> {
    let plain = name.strip_suffix(".service").unwrap_or(name);
    let manager = Manager::of(plain).ok_or_else(|| {
        Stop::not_applicable(format!("there is no service {plain}: service.list lists them"))
    })?;
    Ok((manager, manager.own_name(plain)))
}

async fn look(manager: Manager, name: &str) -> Step<State> {
    let name = name.to_owned();
    blocking::change(move || Ok(find::state(manager, &name))).await
}

/// Looks until the service is as it should be, then once more after the settle time; gives up after a while.
async fn arrived(
    manager: Manager,
    what: (Action, &str),
    before: &State,
    how: (End, Duration),
    mut cancel: watch::Receiver<bool>,
) -> Step<State> {
    let ((action, name), (end, settle)) = (what, how);
    // After a failed command there is nothing to wait for: what is seen after the settle time is told.
    let deadline = Instant::now() + if end.success() { ARRIVE } else { Duration::ZERO };
    loop {
        let state = look(manager, name).await?;
        let arrived = judge::missing(action, before, &state).is_empty();
        if arrived || Instant::now() >= deadline || *cancel.borrow() {
            tokio::select! {
                () = tokio::time::sleep(settle) => {}
                () = super::told::cancelled(&mut cancel) => {}
            }
            let settled = look(manager, name).await?;
            return Ok(if arrived { settled.settled(&state) } else { settled });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Keeps what the action changes, where it can be taken back.
fn keep(work: &Work<'_>, action: Action, name: &str, before: &State) -> Step<()> {
    let (boot, was, will) = match action {
        Action::Start => (false, before.active, true),
        Action::Stop => (false, before.active, false),
        Action::Enable => (true, before.enabled, true),
        Action::Disable => (true, before.enabled, false),
        Action::Restart | Action::Reload => return Ok(()),
    };
    let past = Past::Service { name: name.to_owned(), boot, before: was, after: will };
    let image = Image { task: work.task, made_at: work.host.clock.now(), past, content: Vec::new() };
    let saved = work.host.preimages.save(&image, 0);
    saved.map(|_| ()).map_err(Stop::not_kept)
}

/// Whether a service runs or is started at boot, for `task.undo`.
pub(super) async fn holds(name: &str, boot: bool) -> Step<Option<bool>> {
    let Some(manager) = Manager::of(name) else { return Ok(None) };
    let state = look(manager, name).await?;
    Ok(Some(if boot { state.enabled } else { state.active }))
}

/// `service.status`.
pub(super) async fn status(work: &Work<'_>, name: &str) -> Step<Value> {
    let name = name.to_owned();
    blocking::run(work.call, move || {
        let (manager, name) = known(&name)?;
        Ok(find::state(manager, &name).value())
    })
    .await
}

/// `service.list`.
pub(super) async fn list(work: &Work<'_>) -> Step<Value> {
    blocking::run(work.call, || {
        let (manager, names) = init::all();
        let services: Vec<Value> = names.iter().map(|name| find::state(manager, name).brief()).collect();
        Ok(json!({ "manager": manager.word(), "services": services }))
    })
    .await
}
