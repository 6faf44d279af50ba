//! The way up: what a session said, on the bus.
//!
//! Owns the subjects that the edge publishes to. Invariant: the host in a subject is the proven one of the session, never one from a frame.

use crate::Inner;
use legator_bus::subject;
use legator_core::ids::{HostId, PlanId, TenantId};
use legator_wire::corridor::{FromHost, HelloAnswer, HelloUp, Said, pack, unpack};
use legator_wire::frame::Output;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Whose session it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who {
    pub(crate) host: HostId,
    pub(crate) tenant: TenantId,
    pub(crate) epoch: u64,
}

/// Asks a worker to make a session of a proven hello.
pub(crate) async fn hello(edge: &Inner, host: HostId, hello: &HelloUp) -> Option<HelloAnswer> {
    let subject = subject::host_up(host, "hello");
    let answer = edge.bus.request(&subject, pack(hello), edge.settings.step).await;
    answer.ok().and_then(|bytes| unpack(&bytes))
}

/// Tells the workers what a session said.
pub(crate) async fn say(edge: &Inner, who: Who, said: Said) {
    let kind = match &said {
        Said::Receipt(_) => "receipt",
        Said::Inventory { .. } => "inventory",
        Said::Started { .. } => "started",
        Said::Busy { .. } => "busy",
        Said::Bye => "bye",
        Said::Odd { .. } => "odd",
    };
    let body = FromHost { edge: edge.instance, epoch: who.epoch, tenant: who.tenant, said };
    if let Err(error) = edge.bus.publish(&subject::host_up(who.host, kind), pack(&body)).await {
        tracing::warn!(%error, kind, "what a host said did not go up; the probe says it again");
    }
}

/// Tells whoever watches a plan what a command printed. Lossy.
pub(crate) async fn output(edge: &Inner, host: HostId, plan: PlanId, output: &Output) {
    let _ = edge.bus.publish(&subject::host_out(host, plan), pack(output)).await;
}

/// At most so many reports of odd behaviour a second, so that an attacker cannot fill the log.
const ODD_A_SECOND: u32 = 50;

#[derive(Default)]
pub(crate) struct OddRate(Mutex<Option<(Instant, u32)>>);

impl OddRate {
    fn allows(&self) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match window.as_mut() {
            Some((since, count)) if now.duration_since(*since) < Duration::from_secs(1) => {
                *count += 1;
                *count <= ODD_A_SECOND
            }
            _ => {
                *window = Some((now, 1));
                true
            }
        }
    }
}

/// Reports odd behaviour on a connection that named this host.
pub(crate) async fn odd(edge: &Inner, who: Who, what: &str) {
    if edge.odd.allows() {
        say(edge, who, Said::Odd { what: what.to_owned() }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_few_a_second() {
        let rate = OddRate::default();
        let allowed = (0..1000).filter(|_| rate.allows()).count();
        assert!((50..=100).contains(&allowed), "{allowed}");
    }
}
