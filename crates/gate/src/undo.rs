//! Undo: a plan like any other, on the one host of a task, over the state that the task left.
//!
//! Owns how `task.undo` is aimed. Invariant: what is put back is shown as the digest of the state that the receipt states.

use legator_core::digest::Digest;
use legator_core::error::{ErrorKind, Failure};
use legator_core::ids::TaskId;
use legator_core::verbs;
use legator_store::{plans, tasks};

use crate::Gate;
use crate::ask::Ask;
use crate::caller::Caller;
use crate::verdict;

/// What is taken back.
pub(crate) struct Undone {
    /// The verb that did it.
    pub(crate) verb: String,
    /// The digest of the state that it left, where that is one of a file.
    pub(crate) shown: Option<Digest>,
}

fn no_undo(detail: String) -> Failure {
    Failure::new(ErrorKind::Conflict, "no-undo", detail)
}

/// For `task.undo`: aims the ask at the one host of its task. `None` for any other verb.
pub(crate) async fn aim(gate: &Gate, caller: &Caller, ask: &mut Ask) -> Result<Option<Undone>, Failure> {
    if ask.verb != "task.undo" {
        return Ok(None);
    }
    verbs::parse(&ask.verb, &ask.args, ask.level)?;
    let id = ask.args.get("task").and_then(|task| task.as_str()).and_then(|task| task.parse::<TaskId>().ok());
    let id = id.ok_or_else(|| Failure::invalid("bad-arguments", "task is the id of a task"))?;
    let task = tasks::get(&gate.store, caller.tenant, id).await?.ok_or_else(|| Failure::not_found("task"))?;
    let plan = plans::get(&gate.store, task.plan).await?.ok_or_else(|| Failure::not_found("plan"))?;
    if !verbs::find(&plan.verb).is_some_and(|spec| spec.undo) {
        return Err(no_undo(format!("{} cannot be taken back", plan.verb)));
    }
    let receipt = task.receipt.as_deref().and_then(verdict::stored);
    let after = receipt.as_ref().and_then(|receipt| receipt.after.as_ref());
    let Some(after) = after else {
        return Err(no_undo(format!("the task is {}: no receipt says what it left", task.state)));
    };
    let host = task.host.to_string();
    let asked = ask.selector.trim();
    let same =
        asked.is_empty() || asked == host || asked == task.name || asked == format!("name={}", task.name);
    let aimed = format!("id={host}");
    if !same && asked != aimed {
        let detail = format!("the task ran on {}; undo is for that host alone", task.name);
        return Err(Failure::invalid("other-host", detail).hint("leave the selector out"));
    }
    ask.selector = aimed;
    Ok(Some(Undone { verb: plan.verb, shown: verbs::shown(after) }))
}
