//! Which hosts of a plan are handed their task now. Pure.
//!
//! Owns waves, concurrency, the failure threshold, and what becomes of hosts that are away. Never signs and never writes.
//! Invariant: what is sent was waiting, its host is connected, may come, holds the key of its leaf, is within its ceiling, and no
//! freeze is over it.

use std::collections::HashMap;

use legator_core::ids::HostId;
use legator_core::level::Level;
use legator_core::plan::PlanBody;
use legator_core::span::Span;
use legator_core::task::{TaskMove, TaskState};
use legator_core::time::Timestamp;
use legator_store::hosts::HostRow;
use legator_store::tasks::TaskRow;

use crate::draft::end;
use crate::error::GateError;

/// How long after its time a host that says nothing counts as silent: 60 s.
pub(crate) const SILENT: Span = Span::from_secs(60);
/// Waves that are gone through in one step, at most: those of hosts that are all away.
const WAVES_MAX: usize = 100;

/// What a step is made from.
pub(crate) struct Scene<'a> {
    pub(crate) body: &'a PlanBody,
    pub(crate) now: Timestamp,
    pub(crate) hosts: &'a HashMap<HostId, &'a HostRow>,
    /// Hosts under an open freeze, with its end.
    pub(crate) frozen: &'a HashMap<HostId, Timestamp>,
    /// Tasks handed over in this step, at most.
    pub(crate) send_max: usize,
}

/// What a step comes to.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// The wave at work after it.
    pub(crate) wave: u32,
    /// Places, in the list of tasks, of those to hand over.
    pub(crate) send: Vec<usize>,
    /// When to look again, where the passing of time changes something.
    pub(crate) wake_at: Option<Timestamp>,
}

/// Moves the tasks of a plan one step on: ends those that cannot run, says which to hand over.
pub(crate) fn step(scene: &Scene<'_>, tasks: &mut [TaskRow], wave: u32) -> Result<Step, GateError> {
    let mut step = Step { wave, ..Step::default() };
    end_impossible(scene, tasks)?;
    if stopped(scene, tasks)? {
        return Ok(step);
    }
    for _ in 0..WAVES_MAX {
        hand_over(scene, tasks, &mut step)?;
        let at_work = |task: &TaskRow| task.wave == Some(step.wave) && !task.apart && !over(scene, task);
        let open = step.wave > 0 && tasks.iter().any(at_work);
        if open || step.send.len() >= scene.send_max || !next_wave(scene, tasks, &mut step) {
            return Ok(step);
        }
    }
    wake(&mut step, scene.now);
    Ok(step)
}

fn wake(step: &mut Step, at: Timestamp) {
    step.wake_at = Some(step.wake_at.map_or(at, |known| known.min(at)));
}

/// Whether a task has ended, or its host was silent for too long.
fn over(scene: &Scene<'_>, task: &TaskRow) -> bool {
    task.state.is_final() || silent(scene, task)
}

fn silent(scene: &Scene<'_>, task: &TaskRow) -> bool {
    let at_host = matches!(task.state, TaskState::Sent | TaskState::Running);
    at_host && silent_from(scene.body, task).is_some_and(|from| from <= scene.now)
}

fn silent_from(body: &PlanBody, task: &TaskRow) -> Option<Timestamp> {
    task.sent_at.map(|sent| sent + body.timeout + SILENT)
}

/// Ends waiting tasks whose hosts can never run them.
fn end_impossible(scene: &Scene<'_>, tasks: &mut [TaskRow]) -> Result<(), GateError> {
    for task in tasks.iter_mut().filter(|task| task.state == TaskState::Waiting) {
        let (by, why) = match scene.hosts.get(&task.host) {
            None => (TaskMove::Unreach, ("host-gone", "the host was removed")),
            Some(host) if host.revoked => (TaskMove::Unreach, ("host-gone", "the host was revoked")),
            Some(host) if host.key != task.key => {
                (TaskMove::Refuse, ("other-key", "the host has another key than when the plan was made"))
            }
            Some(host) if host.facts.level < scene.body.level => {
                (TaskMove::Refuse, ("level-above-ceiling", "the host's level is below the plan's by now"))
            }
            Some(_) if grant_over(scene, task) => {
                (TaskMove::Expire, ("grant-expired", "it was given back, and its grant's time is over"))
            }
            Some(_) => continue,
        };
        end(task, by, scene.now, why)?;
    }
    Ok(())
}

/// Whether the one grant that the task was ever given is of no use any more.
fn grant_over(scene: &Scene<'_>, task: &TaskRow) -> bool {
    let ends =
        task.lose_at.filter(|_| task.grant.is_some()).map(|lose_at| lose_at - scene.body.timeout - SILENT);
    ends.is_some_and(|ends| ends <= scene.now)
}

/// Whether so many hosts have failed that no further one is started; then the waiting ones end.
fn stopped(scene: &Scene<'_>, tasks: &mut [TaskRow]) -> Result<bool, GateError> {
    let Some(limit) = scene.body.rollout.stop_after_failures else { return Ok(false) };
    let failed =
        |task: &&TaskRow| matches!(task.state, TaskState::Failed | TaskState::Unknown) || silent(scene, task);
    let failures = tasks.iter().filter(failed).count();
    if failures < limit as usize {
        return Ok(false);
    }
    let detail = format!("{failures} hosts failed, so no further one is started");
    for task in tasks.iter_mut().filter(|task| task.state == TaskState::Waiting) {
        end(task, TaskMove::Cancel, scene.now, ("stopped-after-failures", &detail))?;
    }
    Ok(true)
}

/// Hands over what can be: of the present wave, and of those that left one and whose hosts are back.
fn hand_over(scene: &Scene<'_>, tasks: &mut [TaskRow], step: &mut Step) -> Result<(), GateError> {
    let at_work = tasks.iter().filter(|task| matches!(task.state, TaskState::Sent | TaskState::Running));
    let mut free = (scene.body.rollout.max_parallel as usize)
        .saturating_sub(at_work.filter(|t| !silent(scene, t)).count());
    let waits = scene.body.level == Level::Remediate;
    for (place, task) in tasks.iter_mut().enumerate() {
        let turn = task.apart || (step.wave > 0 && task.wave == Some(step.wave));
        if task.state != TaskState::Waiting || !turn {
            continue;
        }
        let connected = scene.hosts.get(&task.host).is_some_and(|host| host.connected);
        if !connected && waits {
            task.apart = true;
        } else if !connected {
            end(task, TaskMove::Unreach, scene.now, ("not-connected", "the host is not connected"))?;
        } else if let Some(until) = scene.frozen.get(&task.host) {
            wake(step, *until);
        } else if free > 0 && step.send.len() < scene.send_max {
            free -= 1;
            task.state = task.state.after(TaskMove::Send)?;
            task.sent_at = Some(scene.now);
            step.send.push(place);
        }
    }
    Ok(())
}

/// Puts the next tasks into a wave; whether there was one to begin.
fn next_wave(scene: &Scene<'_>, tasks: &mut [TaskRow], step: &mut Step) -> bool {
    let fresh = |task: &TaskRow| task.state == TaskState::Waiting && task.wave.is_none();
    if !tasks.iter().any(fresh) {
        return false;
    }
    let members = tasks.iter().filter(|task| task.wave == Some(step.wave) && !task.apart);
    let ended = members.filter_map(|task| task.ended_at.or(silent_from(scene.body, task))).max();
    if let Some(rested) = ended.map(|ended| ended + scene.body.rollout.pause)
        && step.wave > 0
        && rested > scene.now
    {
        wake(step, rested);
        return false;
    }
    step.wave += 1;
    let batch = scene.body.rollout.batch as usize;
    tasks.iter_mut().filter(|task| fresh(task)).take(batch).for_each(|task| task.wave = Some(step.wave));
    true
}
