//! What people and enrolment change about hosts.
//!
//! Owns those writes, each with its event. Never judges rights: who calls has checked them.

use super::{Host, LABELS_MAX, Revocation, touch};
use crate::sealed::Kind;
use crate::{Audited, Op, Sealed, StoreError, Tx, limits, sessions};
use legator_core::event::{About, Actor, NewEvent};
use legator_core::ids::{HostId, TenantId, TokenId};
use legator_core::level::Level;
use serde_json::json;
use std::collections::BTreeMap;

/// A machine that joins.
#[derive(Debug, Clone)]
pub struct Newcomer {
    /// Its id, fresh.
    pub id: HostId,
    /// The tenant of its token.
    pub tenant: TenantId,
    /// Its public key, 64 hex digits, proven.
    pub key: String,
    /// The token that it came with.
    pub token: TokenId,
    /// The name that people will use.
    pub name: String,
    /// What it calls itself.
    pub hostname: String,
    /// Labels of the token and of who joined it.
    pub labels: BTreeMap<String, String>,
    /// The ceiling of the token.
    pub level: Level,
    /// Other hosts of the same name, for the event.
    pub clashes: Vec<HostId>,
}

/// Makes a host. A key that is known makes the statement fail: the caller has looked before.
pub async fn enrol(tx: &Tx, new: Newcomer) -> Result<Audited<HostId>, StoreError> {
    let (id, tenant) = (new.id, new.tenant);
    let text =
        "INSERT INTO hosts (id, tenant, key_hex, token, hostname, enrolled_at) VALUES (?, ?, ?, ?, ?, ?)";
    let values = vec![
        id.to_string().into(),
        tenant.to_string().into(),
        new.key.clone().into(),
        new.token.to_string().into(),
        new.hostname.clone().into(),
        tx.now().millis().into(),
    ];
    tx.execute(text, values).await?;
    touch(tx, tenant).await?;
    let data = json!({
        "name": new.name, "hostname": new.hostname, "key": new.key, "level": new.level, "labels": new.labels,
        "token": new.token, "name_clash": !new.clashes.is_empty(), "same_name": new.clashes,
    });
    let host = Host {
        name: new.name,
        hostname: new.hostname,
        key: new.key,
        level: new.level,
        labels: new.labels,
        token: new.token,
        enrolled_at: tx.now(),
    };
    tx.seal_put_in(tenant, Kind::Host, &id.to_string(), &host).await?;
    let op = Op { tenant, actor: Actor::Probe { host: id }, trace: tx.op().trace };
    Ok(Audited::new_by(id, op, NewEvent::new("host.enrolled", About::host(id), data)))
}

/// The sealed host of the act's tenant, unless it was removed.
async fn present(tx: &Tx, id: HostId) -> Result<Option<Host>, StoreError> {
    let revocation = tx.seal_get::<Revocation>(Kind::Revocation, &id.to_string()).await?;
    if revocation.and_then(Sealed::grants).is_some_and(|revocation| revocation.removed) {
        return Ok(None);
    }
    let host = tx.seal_get::<Host>(Kind::Host, &id.to_string()).await?;
    Ok(host.and_then(Sealed::grants))
}

async fn put(tx: &Tx, id: HostId, host: &Host) -> Result<(), StoreError> {
    tx.seal_put(Kind::Host, &id.to_string(), host).await?;
    touch(tx, tx.op().tenant).await
}

/// Replaces the labels that operators gave. Nothing when there is no such host.
pub async fn set_labels(
    tx: &Tx,
    id: HostId,
    labels: BTreeMap<String, String>,
) -> Result<Option<Audited<Host>>, StoreError> {
    if labels.len() > LABELS_MAX {
        return Err(StoreError::TooLarge { what: "the list of labels", max: LABELS_MAX });
    }
    let Some(mut host) = present(tx, id).await? else { return Ok(None) };
    let before = std::mem::replace(&mut host.labels, labels);
    put(tx, id, &host).await?;
    let data = json!({"before": before, "after": host.labels});
    Ok(Some(Audited::new(host, NewEvent::new("host.labelled", About::host(id), data))))
}

/// Sets the ceiling of what may run. Nothing when there is no such host.
pub async fn set_level(tx: &Tx, id: HostId, level: Level) -> Result<Option<Audited<Host>>, StoreError> {
    let Some(mut host) = present(tx, id).await? else { return Ok(None) };
    let before = std::mem::replace(&mut host.level, level);
    put(tx, id, &host).await?;
    let version = limits::bump(tx).await?;
    let data = json!({"before": before, "after": level, "limits_version": version});
    Ok(Some(Audited::new(host, NewEvent::new("host.level_set", About::host(id), data))))
}

/// Gives another name. Nothing when there is no such host.
pub async fn rename(tx: &Tx, id: HostId, name: String) -> Result<Option<Audited<Host>>, StoreError> {
    let Some(mut host) = present(tx, id).await? else { return Ok(None) };
    let before = std::mem::replace(&mut host.name, name);
    put(tx, id, &host).await?;
    let data = json!({"before": before, "after": host.name});
    Ok(Some(Audited::new(host, NewEvent::new("host.renamed", About::host(id), data))))
}

/// Revokes a host: its credential and its key open nothing any more. Nothing when there is no such host.
pub async fn revoke(tx: &Tx, id: HostId, reason: Option<String>) -> Result<Option<Audited<()>>, StoreError> {
    end(tx, id, reason, ("host.revoked", false)).await
}

/// Revokes a host and takes it from all lists. Its history stays. Nothing when there is no such host.
pub async fn remove(tx: &Tx, id: HostId, reason: Option<String>) -> Result<Option<Audited<()>>, StoreError> {
    let ended = end(tx, id, reason, ("host.removed", true)).await?;
    if ended.is_some() {
        let text = "UPDATE hosts SET removed_at = ? WHERE id = ?";
        tx.execute(text, vec![tx.now().millis().into(), id.to_string().into()]).await?;
    }
    Ok(ended)
}

async fn end(
    tx: &Tx,
    id: HostId,
    reason: Option<String>,
    (kind, removed): (&'static str, bool),
) -> Result<Option<Audited<()>>, StoreError> {
    let Some(host) = present(tx, id).await? else { return Ok(None) };
    let data = json!({"name": host.name, "reason": reason});
    let revocation = Revocation { at: tx.now(), reason, removed };
    tx.seal_put(Kind::Revocation, &id.to_string(), &revocation).await?;
    touch(tx, tx.op().tenant).await?;
    Ok(Some(Audited::new((), NewEvent::new(kind, About::host(id), data))))
}

/// An admin says that a host is no clone (any more): commands go to it again. Nothing when it was not held back.
pub async fn clear_clone(tx: &Tx, id: HostId) -> Result<Option<Audited<()>>, StoreError> {
    if present(tx, id).await?.is_none() || !sessions::clear_clone(tx, id).await? {
        return Ok(None);
    }
    touch(tx, tx.op().tenant).await?;
    Ok(Some(Audited::new((), NewEvent::new("host.clone_cleared", About::host(id), json!({})))))
}
