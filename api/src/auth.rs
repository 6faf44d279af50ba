//! Who is asking, and what they may do.
//!
//! Owns the reading of `Authorization` and the extractors that prove a permission. Never trusts a header that a proxy or a client
//! may set, and never looks for a credential in the address. Invariant: a handler that takes `Can<P>` runs only for a person who has `P`.

use crate::problem::Problem;
use crate::{Api, secrets};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use legator_core::error::{ErrorKind, Failure};
use legator_core::ids::{KeyId, PersonId, TenantId, TraceId};
use legator_core::rights::{Permission, Role, RoleOn};
use legator_gate::{Auth, Caller, Cap};
use legator_store::keys::ApiKey;
use legator_store::{keys, persons};
use std::marker::PhantomData;

/// A permission as a type, so that a handler's signature names it.
pub trait Need: Send + Sync {
    /// The permission.
    const PERMISSION: Permission;
}

// Thirteen markers of one shape; a function cannot define types.
macro_rules! needs {
    ($($name:ident),*) => {$(
        #[doc = concat!("Needs the permission `", stringify!($name), "`.")]
        #[derive(Debug, Clone, Copy)]
        pub struct $name;
        impl Need for $name {
            const PERMISSION: Permission = Permission::$name;
        }
    )*};
}

needs!(
    ReadHosts,
    ReadPlans,
    MakePlans,
    Approve,
    ReadChats,
    ReadAudit,
    ManageHosts,
    ManageTokens,
    ManagePeople,
    ReadPolicy,
    ManagePolicy,
    ManageFreezes,
    BreakGlass
);

/// Somebody who has the permission `P`.
#[derive(Debug, Clone)]
pub struct Can<P> {
    /// Who.
    pub caller: Caller,
    need: PhantomData<P>,
}

impl<P: Need> FromRequestParts<Api> for Can<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let caller = identify(api, &parts.headers, trace_of(parts)).await?;
        caller.need(P::PERMISSION)?;
        Ok(Self { caller, need: PhantomData })
    }
}

/// Somebody who is known, whatever they may do.
#[derive(Debug, Clone)]
pub struct Known(pub Caller);

impl FromRequestParts<Api> for Known {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        identify(api, &parts.headers, trace_of(parts)).await.map(Self)
    }
}

/// The trace of a request; every request was given one.
pub fn trace_of(parts: &Parts) -> TraceId {
    parts.extensions.get::<TraceId>().copied().unwrap_or(TraceId::new(0))
}

/// Who sent these headers.
pub async fn identify(api: &Api, headers: &HeaderMap, trace: TraceId) -> Result<Caller, Problem> {
    match api.settings.auth {
        Auth::Off => Ok(local(trace)),
        Auth::On => by_key(api, headers, trace).await,
    }
}

/// The one person of an installation without authentication.
fn local(trace: TraceId) -> Caller {
    Caller {
        tenant: TenantId::DEFAULT,
        person: PersonId::LOCAL,
        key: None,
        roles: vec![RoleOn { role: Role::Admin, selector: None }],
        via: "api",
        cap: Cap::All,
        trace,
        auth: Auth::Off,
    }
}

async fn by_key(api: &Api, headers: &HeaderMap, trace: TraceId) -> Result<Caller, Problem> {
    let (id, hash) = secrets::parse_key(bearer(headers)?).ok_or_else(not_a_key)?;
    let Some((tenant, key)) = keys::find(&api.store, id).await? else { return Err(not_a_key()) };
    if !secrets::same(&key.hash, &hash) {
        return Err(not_a_key());
    }
    if !key.counts(api.store.clock().now()) {
        let detail = "this API key has expired or was withdrawn";
        return Err(Failure::new(ErrorKind::Unauthenticated, "key-over", detail)
            .hint("ask an admin for a new one")
            .into());
    }
    let roles = roles(api, tenant, &key).await?;
    Ok(caller(tenant, (id, key.person), roles, trace))
}

fn caller(tenant: TenantId, (key, person): (KeyId, PersonId), roles: Vec<RoleOn>, trace: TraceId) -> Caller {
    Caller { tenant, person, key: Some(key), roles, via: "api", cap: Cap::All, trace, auth: Auth::On }
}

/// The roles of the key's person that the key uses.
async fn roles(api: &Api, tenant: TenantId, key: &ApiKey) -> Result<Vec<RoleOn>, Problem> {
    let person =
        persons::get(&api.store, tenant, key.person).await?.filter(|person| person.disabled_at.is_none());
    let person = person.ok_or_else(|| {
        Problem::from(Failure::new(
            ErrorKind::Unauthenticated,
            "person-gone",
            "the person of this API key has no access any more",
        ))
    })?;
    let within = |role: &RoleOn| key.scope.as_ref().is_none_or(|scope| scope.contains(&role.role));
    Ok(person.roles.into_iter().filter(within).collect())
}

/// The token of the one Authorization header.
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (all.next(), all.next());
    if second.is_some() {
        let detail = "more than one Authorization header: which one counts is not guessed";
        return Err(Failure::new(ErrorKind::Unauthenticated, "two-credentials", detail).into());
    }
    let text = first.and_then(|value| value.to_str().ok()).ok_or_else(no_key)?;
    let (scheme, token) = text.split_once(' ').ok_or_else(not_a_key)?;
    match scheme.eq_ignore_ascii_case("bearer") {
        true => Ok(token.trim()),
        false => Err(not_a_key()),
    }
}

fn no_key() -> Problem {
    Failure::new(ErrorKind::Unauthenticated, "no-key", "an API key is needed")
        .hint("send it as: Authorization: Bearer lk_…; the first one is made with `legator admin bootstrap`")
        .into()
}

fn not_a_key() -> Problem {
    Failure::new(ErrorKind::Unauthenticated, "bad-key", "this is no API key of this installation").into()
}
