//! Answers to requests that carried an `Idempotency-Key`.
//!
//! Owns the table `idempotency`. Never keeps an answer for longer than a day. Invariant: a key belongs to one person, one route and one
//! request; the same key with another request is a conflict, never the other's answer.

use crate::{Keeping, Store, StoreError, Tx, sql};
use legator_core::digest::Digest;
use legator_core::ids::{PersonId, TenantId};
use legator_core::span::Span;

/// How long an answer is kept.
const KEPT: Span = Span::from_secs(86_400);
/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Of which tenant.
    pub tenant: TenantId,
    /// Whose.
    pub person: PersonId,
    /// Method and path, such as `POST /api/v1/plans`.
    pub route: String,
    /// What the client sent; at most 200 characters are looked at by the caller.
    pub key: String,
}

/// Where a request with a key stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is new: do it, then `finish`.
    New,
    /// It was done: this was the answer.
    Answered {
        /// HTTP status.
        status: u16,
        /// The body.
        answer: String,
    },
    /// It is being done, or the process died while doing it.
    Running,
    /// The key was used for another request.
    Other,
}

fn values(key: &Key) -> Vec<sea_orm::Value> {
    vec![
        key.tenant.to_string().into(),
        key.person.to_string().into(),
        key.route.as_str().into(),
        key.key.as_str().into(),
    ]
}

const WHERE: &str = "tenant = ? AND person = ? AND route = ? AND key = ?";

/// Claims a key for a request, whose body has this digest. It is kept under a key, since a body may hold a secret that can be guessed.
pub async fn begin(store: &Store, key: &Key, request: &Digest) -> Result<Begun, StoreError> {
    let request = &store.sealer().keyed("idempotency", &request.bytes()[..]);
    store
        .keep(Keeping::Idempotency, async |tx| {
            let old = (tx.now() - KEPT).millis();
            tx.execute("DELETE FROM idempotency WHERE at < ?", vec![old.into()]).await?;
            let text = format!("SELECT request, status, answer FROM idempotency WHERE {WHERE}");
            if let Some(row) = tx.one(&text, values(key)).await? {
                return known(&row, request);
            }
            let text =
                "INSERT INTO idempotency (tenant, person, route, key, request, at) VALUES (?, ?, ?, ?, ?, ?)";
            let more = [request.to_vec().into(), tx.now().millis().into()];
            tx.execute(text, values(key).into_iter().chain(more).collect()).await?;
            Ok(Begun::New)
        })
        .await
}

fn known(row: &sea_orm::QueryResult, request: &[u8; 32]) -> Result<Begun, StoreError> {
    if sql::column::<Vec<u8>>(row, 0)? != request {
        return Ok(Begun::Other);
    }
    let status = sql::column::<Option<i64>>(row, 1)?.and_then(|status| u16::try_from(status).ok());
    Ok(match (status, sql::column(row, 2)?) {
        (Some(status), Some(answer)) => Begun::Answered { status, answer },
        _ => Begun::Running,
    })
}

/// Keeps the answer of a request that was claimed.
pub async fn finish(store: &Store, key: &Key, status: u16, answer: &str) -> Result<(), StoreError> {
    store.keep(Keeping::Idempotency, async |tx| finish_in(tx, key, status, answer).await).await
}

/// The same within an act, so that the answer stands or falls with it.
pub async fn finish_in(tx: &Tx, key: &Key, status: u16, answer: &str) -> Result<(), StoreError> {
    if answer.len() > ANSWER_BYTES_MAX {
        return Err(StoreError::TooLarge { what: "an answer", max: ANSWER_BYTES_MAX });
    }
    let text = format!("UPDATE idempotency SET status = ?, answer = ? WHERE {WHERE}");
    let first: [sea_orm::Value; 2] = [i64::from(status).into(), answer.into()];
    tx.execute(&text, first.into_iter().chain(values(key)).collect()).await?;
    Ok(())
}

/// Frees a key whose request failed in a way that the same again may not.
pub async fn abandon(store: &Store, key: &Key) -> Result<(), StoreError> {
    let text = format!("DELETE FROM idempotency WHERE {WHERE} AND status IS NULL");
    store.keep(Keeping::Idempotency, async |tx| tx.execute(&text, values(key)).await).await?;
    Ok(())
}
