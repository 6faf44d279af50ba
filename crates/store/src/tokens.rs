//! Registration tokens: what lets a machine join.
//!
//! Owns their sealed rows. Never sees a secret, only its SHA-256. Invariant: a token is used at most as often as it may be;
//! each use is a change of its sealed row inside the transaction that enrols the host.

use crate::sealed::Kind;
use crate::{Sealed, Store, StoreError, Tx, tenants};
use legator_core::digest::Digest;
use legator_core::ids::{PersonId, TenantId, TokenId};
use legator_core::level::Level;
use legator_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is sealed of a registration token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// SHA-256 of the secret.
    pub hash: Digest,
    /// How often it may be used.
    pub uses_max: u32,
    /// How often it was.
    pub used: u32,
    /// Labels of hosts that join with it.
    pub labels: BTreeMap<String, String>,
    /// The level of hosts that join with it.
    pub level: Level,
    /// What it is for, in the words of who made it.
    pub note: Option<String>,
    /// Who made it.
    pub made_by: PersonId,
    /// When.
    pub made_at: Timestamp,
    /// Until when it can be used.
    pub expires_at: Timestamp,
    /// When it was withdrawn.
    pub revoked_at: Option<Timestamp>,
}

/// Why a token lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// There is none, its seal does not hold, or the secret is another.
    Unknown,
    /// It was used as often as it may be.
    Used,
    /// Its time is over, or it was withdrawn.
    Expired,
}

impl Token {
    /// Whether it can be used with this secret at this moment.
    pub fn usable(&self, hash: &Digest, now: Timestamp) -> Result<(), Unusable> {
        if self.hash != *hash {
            return Err(Unusable::Unknown);
        }
        if self.revoked_at.is_some() || now >= self.expires_at {
            return Err(Unusable::Expired);
        }
        if self.used >= self.uses_max { Err(Unusable::Used) } else { Ok(()) }
    }
}

/// Keeps a new or changed token.
pub async fn put(tx: &Tx, id: TokenId, token: &Token) -> Result<(), StoreError> {
    tx.seal_put(Kind::Token, &id.to_string(), token).await?;
    Ok(())
}

/// A token, inside an act of its tenant.
pub async fn get(tx: &Tx, id: TokenId) -> Result<Option<Token>, StoreError> {
    Ok(tx.seal_get(Kind::Token, &id.to_string()).await?.and_then(Sealed::grants))
}

/// A token and whose it is.
pub async fn find(store: &Store, id: TokenId) -> Result<Option<(TenantId, Token)>, StoreError> {
    tenants::find_row(store, Kind::Token, &id.to_string()).await
}

/// All tokens of a tenant whose seals hold, oldest first.
pub async fn list(store: &Store, tenant: TenantId) -> Result<Vec<(TokenId, Token)>, StoreError> {
    tenants::whole_rows(store, tenant, Kind::Token).await
}

/// Uses a token once, inside the act that enrols the host; the act's tenant has to be the token's.
pub async fn spend(tx: &Tx, id: TokenId, hash: &Digest) -> Result<Result<Token, Unusable>, StoreError> {
    let Some(token) = get(tx, id).await? else { return Ok(Err(Unusable::Unknown)) };
    if let Err(why) = token.usable(hash, tx.now()) {
        return Ok(Err(why));
    }
    let token = Token { used: token.used + 1, ..token };
    put(tx, id, &token).await?;
    Ok(Ok(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_secret_its_time_and_its_uses() {
        let token = Token {
            hash: Digest::of(b"s"),
            uses_max: 1,
            used: 0,
            labels: BTreeMap::new(),
            level: Level::Observe,
            note: None,
            made_by: PersonId::LOCAL,
            made_at: Timestamp::EPOCH,
            expires_at: Timestamp::from_millis(10),
            revoked_at: None,
        };
        let (at, hash) = (Timestamp::from_millis, Digest::of(b"s"));
        assert_eq!(token.usable(&hash, at(9)), Ok(()));
        assert_eq!(token.usable(&Digest::of(b"t"), at(9)), Err(Unusable::Unknown));
        assert_eq!(token.usable(&hash, at(10)), Err(Unusable::Expired));
        assert_eq!(Token { used: 1, ..token.clone() }.usable(&hash, at(9)), Err(Unusable::Used));
        assert_eq!(Token { revoked_at: Some(at(1)), ..token }.usable(&hash, at(9)), Err(Unusable::Expired));
    }
}
