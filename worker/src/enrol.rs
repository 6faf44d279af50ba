//! How a probe joins and stays joined: enrolment with a token, renewal with its key.
//!
//! Owns the answers at `legator.enrol`. Invariant: a new key is a new host, whatever it calls itself; a token is used in the same
//! transaction that makes the host, so that no race enrols two.

mod words;

use crate::credential::{self, Bearer};
use crate::{Worker, counters};
use futures::StreamExt as _;
use legator_bus::{Message, subject};
use legator_core::event::Actor;
use legator_core::ids::{HostId, TenantId, TokenId, TraceId};
use legator_core::level::Level;
use legator_core::span::Span;
use legator_store::hosts::{self, Newcomer};
use legator_store::tokens::{self, Unusable};
use legator_store::{Op, StoreError};
use legator_wire::corridor::{Joined, Joining, NotAdmitted, pack, unpack};
use legator_wire::credential::{Admission, Enrolment, Renewal};
use legator_wire::dsse::Envelope;
use legator_wire::keys::{PublicKey, Signer as _};
use tokio_util::sync::CancellationToken;

/// A lost answer may be asked for again with the same token and key for so long.
const RETRY_FOR: Span = Span::from_secs(3_600);
/// A host's clock may be off by so much when it renews.
const RENEWAL_SKEW: Span = Span::from_secs(600);
/// Enrolments at the same time.
const AT_ONCE: usize = 16;

/// Answers until shutdown.
pub(crate) async fn run(worker: Worker, shutdown: CancellationToken) {
    let Some(requests) = crate::listen(&worker, subject::enrol(), "enrol").await else { return };
    let answers = requests.for_each_concurrent(AT_ONCE, |message| answer(&worker, message));
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = answers => {}
    }
}

async fn answer(worker: &Worker, message: Message) {
    let joined = match unpack::<Joining>(&message.body) {
        Some(joining) => join(worker, joining).await,
        None => Err(NotAdmitted::Malformed),
    };
    counters::joined(joined.as_ref().err().copied());
    let _ = worker.bus.reply(&message, pack(&joined)).await;
}

/// Enrols or renews.
pub(crate) async fn join(worker: &Worker, joining: Joining) -> Joined {
    match joining {
        Joining::Enrol { envelope, trace } => enrol(worker, &envelope, trace).await,
        Joining::Renew { envelope, .. } => renew(worker, &envelope).await,
    }
}

fn away(error: impl std::fmt::Display) -> NotAdmitted {
    tracing::error!(%error, "enrolment failed");
    NotAdmitted::Away
}

async fn enrol(worker: &Worker, envelope: &Envelope, trace: TraceId) -> Joined {
    let claimed = envelope.claimed::<Enrolment>().ok_or(NotAdmitted::Malformed)?;
    let enrolment: Enrolment = envelope.open(&claimed.key).map_err(|_| NotAdmitted::BadSignature)?;
    let said = words::Said::parse(&enrolment).ok_or(NotAdmitted::Malformed)?;
    let (token, hash) = words::token(&enrolment.token).ok_or(NotAdmitted::BadToken)?;
    if let Some(known) = hosts::by_key(&worker.store, &enrolment.key.hex()).await.map_err(away)? {
        return again(worker, known, (token, enrolment.key)).await;
    }
    let (tenant, _) = tokens::find(&worker.store, token).await.map_err(away)?.ok_or(NotAdmitted::BadToken)?;
    let host = HostId::fresh(worker.store.ids());
    let op = Op { tenant, actor: Actor::Probe { host }, trace };
    let used = worker.store.write(&op, async |tx| {
        let used = tokens::spend(tx, token, &hash).await?.map_err(Refusal::Token)?;
        let newcomer = Newcomer {
            id: host,
            tenant,
            key: enrolment.key.hex(),
            token,
            name: said.name.clone(),
            hostname: said.hostname.clone(),
            labels: said.labels_with(&used.labels),
            level: used.level,
            clashes: clashes(worker, tenant, &said.name).await?,
        };
        Ok::<_, Refusal>(hosts::enrol(tx, newcomer).await?.map(|_| used.level))
    });
    let level = used.await.map_err(Refusal::told)?;
    admission(worker, &Bearer { host, tenant, key: enrolment.key }, (said.name, level))
}

/// The key is a host already: a retry after a lost answer gets the same answer, anything else is refused.
async fn again(
    worker: &Worker,
    (tenant, host, with): (TenantId, HostId, TokenId),
    (token, key): (TokenId, PublicKey),
) -> Joined {
    if hosts::is_revoked(&worker.store, tenant, host).await.map_err(away)? {
        return Err(NotAdmitted::Revoked);
    }
    let known =
        hosts::sealed(&worker.store, tenant, host).await.map_err(away)?.ok_or(NotAdmitted::UnknownHost)?;
    let late = worker.clock.now().since(known.enrolled_at) > RETRY_FOR;
    if with != token || known.key != key.hex() || late {
        return Err(NotAdmitted::KeyTaken);
    }
    admission(worker, &Bearer { host, tenant, key }, (known.name, known.level))
}

async fn clashes(worker: &Worker, tenant: TenantId, name: &str) -> Result<Vec<HostId>, StoreError> {
    let fleet = hosts::facts(&worker.store, tenant).await?;
    Ok(fleet.iter().filter(|row| row.facts.name == name).map(|row| row.id).take(16).collect())
}

async fn renew(worker: &Worker, envelope: &Envelope) -> Joined {
    let claimed = envelope.claimed::<Renewal>().ok_or(NotAdmitted::Malformed)?;
    let tenant =
        hosts::tenant_of(&worker.store, claimed.host).await.map_err(away)?.ok_or(NotAdmitted::UnknownHost)?;
    let host = hosts::sealed(&worker.store, tenant, claimed.host)
        .await
        .map_err(away)?
        .ok_or(NotAdmitted::UnknownHost)?;
    let key: PublicKey = host.key.parse().map_err(away)?;
    let renewal: Renewal = envelope.open(&key).map_err(|_| NotAdmitted::BadSignature)?;
    if renewal.installation != worker.gate.installation() {
        return Err(NotAdmitted::BadSignature);
    }
    if hosts::is_revoked(&worker.store, tenant, renewal.host).await.map_err(away)? {
        return Err(NotAdmitted::Revoked);
    }
    let now = worker.clock.now();
    if renewal.made_at.since(now) > RENEWAL_SKEW || now.since(renewal.made_at) > RENEWAL_SKEW {
        return Err(NotAdmitted::ClockOff);
    }
    admission(worker, &Bearer { host: renewal.host, tenant, key }, (host.name, host.level))
}

fn admission(worker: &Worker, bearer: &Bearer, (name, level): (String, Level)) -> Joined {
    let installation = worker.gate.installation();
    let issued = credential::issue(&worker.authority, installation, bearer, worker.clock.now());
    let (credential, expires_at) = issued.map_err(away)?;
    Ok(Admission {
        installation: installation.to_owned(),
        authority: worker.authority.public(),
        host: bearer.host,
        name,
        credential,
        expires_at,
        level,
    })
}

/// Why the transaction was given up.
enum Refusal {
    Token(Unusable),
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Refusal {
    fn told(self) -> NotAdmitted {
        match self {
            Self::Token(Unusable::Unknown) => NotAdmitted::BadToken,
            Self::Token(Unusable::Used) => NotAdmitted::TokenUsed,
            Self::Token(Unusable::Expired) => NotAdmitted::TokenExpired,
            Self::Store(error) => away(error),
        }
    }
}
