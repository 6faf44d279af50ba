//! A model's call on its way to the gate.
//!
//! Owns the checks that come before it: what must not be read for a model, and that a change is named by the person. The requester is the
//! person of the turn, capped at read-or-propose. Invariant: a call makes at most one plan, also when the process ends in between.

use super::{AsCaller, TurnError, Turns, told};
use legator_bus::subject;
use legator_core::brain::{Scope, Step, names_hosts, names_object, never_for_a_model};
use legator_core::error::{ErrorKind, Failure};
use legator_core::ids::PlanId;
use legator_core::level::Level;
use legator_core::rights::{Role, RoleOn};
use legator_core::selector::Selector;
use legator_core::{text, verbs};
use legator_gate::{Ask, Auth, Caller, Cap};
use legator_store::chats::{self, Asked, Call, NewCall, Turn};
use legator_store::hosts::{self, HostRow};
use legator_store::plans::{self, Filter, PlanRow};
use legator_store::{keys, persons};
use serde_json::Value;
use std::collections::BTreeSet;

/// How many hosts one read of a chat is for.
const READ_HOSTS_MAX: usize = 200;
/// How many hosts one proposal of a chat is for, unless the person wrote the selector.
const NAMED_HOSTS_MAX: usize = 50;

/// What became of a call.
pub(super) enum Begun {
    /// Its plan.
    Made(PlanId),
    /// Why there is none.
    Refused(String),
}

impl Turns {
    /// The person of a turn as they are now, or why they may not ask any more.
    pub(super) async fn caller(&self, turn: &Turn, asked: &Asked) -> Result<AsCaller, TurnError> {
        let (roles, auth) = match asked.local {
            true => (vec![RoleOn { role: Role::Admin, selector: None }], Auth::Off),
            false => match self.roles(turn, asked).await? {
                Ok(roles) => (roles, Auth::On),
                Err(why) => return Ok(Err(why)),
            },
        };
        Ok(Ok(Caller {
            tenant: turn.tenant,
            person: asked.person,
            key: asked.key,
            roles,
            via: "chat",
            cap: Cap::ReadOrPropose,
            trace: asked.trace,
            auth,
        }))
    }

    async fn roles(&self, turn: &Turn, asked: &Asked) -> Result<Result<Vec<RoleOn>, String>, TurnError> {
        let person = persons::get(&self.store, turn.tenant, asked.person).await?;
        let Some(person) = person.filter(|person| person.disabled_at.is_none()) else {
            return Ok(Err("the person who asked has no access any more".to_owned()));
        };
        let Some(key) = asked.key else { return Ok(Ok(person.roles)) };
        let now = self.store.clock().now();
        let key = keys::find(&self.store, key)
            .await?
            .filter(|(tenant, key)| *tenant == turn.tenant && key.counts(now));
        let Some((_, key)) = key.filter(|(_, key)| key.person == asked.person) else {
            return Ok(Err("the API key that asked has expired or was withdrawn".to_owned()));
        };
        let within = |role: &RoleOn| key.scope.as_ref().is_none_or(|scope| scope.contains(&role.role));
        Ok(Ok(person.roles.into_iter().filter(within).collect()))
    }

    /// Makes the plan of a call, or says why not.
    pub(super) async fn begin(&self, turn: &Turn, caller: &Caller, call: &Call) -> Result<Begun, TurnError> {
        if let Some(plan) = self.made_before(turn, call).await? {
            chats::set_plan(&self.store, turn.id, &call.what.call, plan).await?;
            return Ok(Begun::Made(plan));
        }
        let rows = hosts::facts(&self.store, turn.tenant).await?;
        let said = self.said(turn).await?;
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        let (level, selector) = match may_begin(turn.scope, &call.what, &rows, &said) {
            Ok(checked) => checked,
            Err(why) => return Ok(Begun::Refused(why)),
        };
        let reason = self.reason(turn, call, level).await?;
        let ask = Ask {
            verb: call.what.verb.clone(),
            args: call.what.args.clone(),
            selector,
            level: Some(level),
            rollout: None,
            decide_in: None,
            expires_in: None,
            timeout: None,
            reason: Some(reason),
            turn: Some(turn.id),
        };
        match legator_gate::ask(&self.gate, caller, ask).await {
            Ok(view) => {
                chats::set_plan(&self.store, turn.id, &call.what.call, view.id).await?;
                drop(self.bus.publish(&subject::wake("plan", view.id), vec![]).await);
                Ok(Begun::Made(view.id))
            }
            Err(why)
                if matches!(why.kind, ErrorKind::Internal | ErrorKind::Unavailable | ErrorKind::Timeout) =>
            {
                Err(why.into())
            }
            Err(why) => Ok(Begun::Refused(words(&why))),
        }
    }

    /// The plan of this call that was made before this process began, when the call was accepted then.
    ///
    /// A process that ends between making the plan and noting it leaves a plan that names the turn, and the call in its reason.
    async fn made_before(&self, turn: &Turn, call: &Call) -> Result<Option<PlanId>, TurnError> {
        if self.memory().fresh_calls.remove(&(turn.id, call.what.call.clone())) {
            return Ok(None);
        }
        let filter = Filter { limit: 500, ..Filter::default() };
        let wanted = (turn.id.to_string(), format!("chat {} asks: ", call.what.call));
        let found = plans::list(&self.store, turn.tenant, &filter).await?;
        Ok(found.iter().find(|row| made_for(row, &wanted)).map(|row| row.id))
    }

    /// Why the plan is asked for, for the approvers.
    async fn reason(&self, turn: &Turn, call: &Call, level: Level) -> Result<String, TurnError> {
        let question = turn.asked.as_ref().map_or("", |asked| asked.question.as_str());
        let question = text::redact(&text::shown_line(&text::brief(question, 240)));
        if level == Level::Observe {
            return Ok(format!("chat {} asks: {question}", call.what.call));
        }
        let read: Vec<String> = told::citable(&self.steps(turn).await?).into_keys().take(20).collect();
        let after = match read.is_empty() {
            true => "before it read anything of hosts in this turn".to_owned(),
            false => format!("after it read data of hosts ({})", read.join(", ")),
        };
        Ok(format!("chat {} asks: {question} (proposed by a model, {after})", call.what.call))
    }
}

fn made_for(row: &PlanRow, (turn, start): &(String, String)) -> bool {
    let about: Value = serde_json::from_str(&row.about).unwrap_or_default();
    let body: Value = serde_json::from_slice(&row.body).unwrap_or_default();
    about.get("turn").and_then(Value::as_str) == Some(turn)
        && body.get("reason").and_then(Value::as_str).is_some_and(|reason| reason.starts_with(start.as_str()))
}

fn words(why: &Failure) -> String {
    match &why.hint {
        Some(hint) => format!("{} ({hint})", why.detail),
        None => why.detail.clone(),
    }
}

/// The level and the selector of a call that may go to the gate.
pub(super) fn may_begin(
    scope: Scope,
    call: &NewCall,
    rows: &[HostRow],
    said: &[&str],
) -> Result<(Level, String), String> {
    let level: Level = call.level.parse().map_err(|_| "no such level".to_owned())?;
    let parsed = verbs::parse(&call.verb, &call.args, Some(level)).map_err(|why| words(&why))?;
    let text_of = match scope {
        Scope::Host(host) => format!("id={host}"),
        Scope::Fleet => call.selector.clone(),
    };
    let selector = Selector::parse(&text_of).map_err(|why| words(&Failure::from(why)))?;
    let chosen: Vec<&HostRow> = rows.iter().filter(|row| selector.matches(&row.facts)).collect();
    if chosen.is_empty() {
        return Err(format!("no host matches {}", text::brief(&text_of, 200)));
    }
    if level == Level::Observe {
        never_for_a_model(&parsed).map_err(|why| why.to_string())?;
        return match chosen.len() > READ_HOSTS_MAX {
            true => {
                Err(format!("{} hosts match, a read of a chat is for at most {READ_HOSTS_MAX}", chosen.len()))
            }
            false => Ok((level, text_of)),
        };
    }
    let names = not_objects(rows, &chosen);
    names_object(&parsed, said, &names).map_err(|why| why.to_string())?;
    if matches!(scope, Scope::Host(_)) {
        // A chat about one host has chosen it.
        return Ok((level, text_of));
    }
    let named: Vec<(String, String)> =
        chosen.iter().map(|row| (row.facts.id.clone(), row.facts.name.clone())).collect();
    names_hosts(&text_of, &named, said).map_err(|why| why.to_string())?;
    match (chosen.len() <= NAMED_HOSTS_MAX, chosen.as_slice()) {
        // The hosts that were checked are those that are meant, also when another one matches by then.
        (true, [one]) => Ok((level, format!("id={}", one.id))),
        (true, many) => {
            let ids: Vec<String> = many.iter().map(|row| row.id.to_string()).collect();
            Ok((level, format!("id in ({})", ids.join(","))))
        }
        (false, _) => Ok((level, text_of)),
    }
}

/// Names that are hosts' and no object's: of the hosts that are meant, and of others where no service is called so.
fn not_objects<'a>(rows: &'a [HostRow], chosen: &[&'a HostRow]) -> Vec<&'a str> {
    let odd = |name: &&str| name.contains(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let others = rows.iter().map(|row| row.facts.name.as_str()).filter(odd);
    let names: BTreeSet<&str> = chosen.iter().map(|row| row.facts.name.as_str()).chain(others).collect();
    names.into_iter().collect()
}

/// Evidence that a model had read when it proposed.
pub(super) fn read_before(steps: &[Step]) -> Vec<String> {
    told::citable(steps).into_keys().take(50).collect()
}
