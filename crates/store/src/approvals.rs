//! Approvals as sealed rows: one a person and plan.
//!
//! Owns what is sealed of a vote. Never counts them: the gate weighs. Invariant: a broken row is no vote.

use crate::sealed::Kind;
use crate::{Sealed, Store, StoreError, Tx};
use legator_core::digest::Digest;
use legator_core::ids::{ApprovalId, KeyId, PersonId, PlanId, TenantId};
use legator_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One person's yes or no on one digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Its id.
    pub id: ApprovalId,
    /// The plan.
    pub plan: PlanId,
    /// The digest that was approved.
    pub digest: Digest,
    /// Who.
    pub person: PersonId,
    /// With which API key.
    pub key: Option<KeyId>,
    /// Yes.
    pub approve: bool,
    /// Why.
    pub reason: Option<String>,
    /// `self_approved` or `break_glass`.
    pub mark: Option<String>,
    /// The approver's own signature: a DSSE envelope.
    pub envelope: Option<Value>,
    /// The fingerprint of the key that signed it.
    pub signed_by: Option<Digest>,
    /// Until when the signature counts.
    pub expires_at: Option<Timestamp>,
    /// When.
    pub made_at: Timestamp,
}

fn id(plan: PlanId, person: PersonId) -> String {
    format!("{plan}.{person}")
}

fn whole(rows: Vec<(String, Sealed<Vote>)>) -> Vec<Vote> {
    rows.into_iter().filter_map(|(_, row)| row.grants()).collect()
}

/// Keeps a vote, in place of the person's earlier one.
pub async fn put(tx: &Tx, vote: &Vote) -> Result<(), StoreError> {
    tx.seal_put(Kind::Approval, &id(vote.plan, vote.person), vote).await?;
    Ok(())
}

/// Takes a vote back; says whether there was one.
pub async fn remove(tx: &Tx, plan: PlanId, person: PersonId) -> Result<bool, StoreError> {
    tx.seal_delete(Kind::Approval, &id(plan, person)).await
}

/// The votes on a plan whose seals hold, as a transaction sees them.
pub async fn of_act(tx: &Tx, plan: PlanId) -> Result<Vec<Vote>, StoreError> {
    Ok(whole(tx.seal_list_prefix(Kind::Approval, &plan.to_string()).await?))
}

/// The votes on a plan whose seals hold.
pub async fn list(store: &Store, tenant: TenantId, plan: PlanId) -> Result<Vec<Vote>, StoreError> {
    Ok(whole(store.seal_list_prefix(tenant, Kind::Approval, &plan.to_string()).await?))
}
