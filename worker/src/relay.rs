//! The relay: what the notary numbered goes out on the bus as CloudEvents 1.0, structured JSON.
//!
//! Owns the form of the public stream and its order, which is the notary's. Never decides and never waits for a reader: the bus may lose what
//! it likes, and a reader that sees a gap in the numbers fills it from the store. Invariant: no event goes out before it has its number.

use legator_bus::{Bus, subject};
use legator_core::event::Event;
use legator_core::ids::TenantId;
use legator_store::chain::{self, Numbered, Query, Round};
use legator_store::{Store, StoreError};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Up to which number each tenant's events went out.
#[derive(Debug, Default)]
pub(crate) struct Relay(HashMap<TenantId, u64>);

impl Relay {
    /// Sends what this round numbered.
    pub(crate) async fn tell(&mut self, store: &Store, bus: &Bus, round: &Round) -> Result<(), StoreError> {
        for (tenant, size) in &round.grown {
            // Before the first round of this process nothing is known: no tenant grew by more than all together.
            let grown = u64::try_from(round.events).unwrap_or(u64::MAX);
            let after = self.0.insert(*tenant, *size).unwrap_or_else(|| size.saturating_sub(grown));
            let query = Query { after, limit: round.events, ..Query::default() };
            for numbered in chain::read(store, *tenant, &query).await? {
                let Ok(event) = serde_json::from_str::<Event>(&numbered.event) else { continue };
                let body = cloud_event(&event, &numbered).to_string().into_bytes();
                let _ = bus.publish(&subject::event(*tenant, &event.kind), body).await;
            }
        }
        Ok(())
    }
}

/// CloudEvents 1.0, JSON format. `sequence` is the extension of that name: the notary's number.
fn cloud_event(event: &Event, numbered: &Numbered) -> Value {
    let about = &event.about;
    let on = [about.task.map(String::from), about.plan.map(String::from), about.host.map(String::from)];
    let mut cloud = json!({
        "specversion": "1.0",
        "id": event.id,
        "source": format!("/legator/{}", event.tenant),
        "type": format!("legator.{}", event.kind),
        "time": event.at,
        "datacontenttype": "application/json",
        "sequence": format!("{:020}", numbered.number),
        "data": event,
    });
    if let (Some(on), Some(fields)) = (on.into_iter().flatten().next(), cloud.as_object_mut()) {
        fields.insert("subject".to_owned(), Value::String(on));
    }
    cloud
}
