//! Registration tokens: `POST`, `GET` and `DELETE /api/v1/tokens`.
//!
//! Owns their form on this door. The secret is shown once, by the answer that makes it.

use crate::auth::{Can, ManageTokens};
use crate::idempotency::ShownOnce;
use crate::input::{Id, MaybeJson};
use crate::page::{Linked, List, Page, PageQuery, cut};
use crate::problem::Problem;
use crate::{Api, input, secrets, shapes};
use axum::Extension;
use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use legator_core::digest::Digest;
use legator_core::error::Failure;
use legator_core::event::{About, NewEvent};
use legator_core::ids::TokenId;
use legator_core::level::Level;
use legator_core::span::Span;
use legator_core::time::Timestamp;
use legator_store::tokens::{self, Token};
use legator_store::{Audited, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const USES_MAX: u32 = 100_000;
const LIFE_MAX: Span = Span::from_secs(90 * 86_400);

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(make, list)).routes(routes!(withdraw))
}

/// What a new token is for.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
struct NewToken {
    /// How many machines may join with it.
    #[schema(minimum = 1, maximum = 100_000, default = 1)]
    uses: u32,
    /// How long it can be used, such as `15m` or `1h`; at most 90 days.
    #[schema(value_type = String, default = "1h")]
    expires_in: Span,
    /// Labels of the hosts that join.
    labels: BTreeMap<String, String>,
    /// The highest level of what may run on the hosts that join.
    #[schema(value_type = shapes::LevelWord, default = "remediate")]
    level: Level,
    /// What it is for.
    #[schema(max_length = 500)]
    note: Option<String>,
}

impl Default for NewToken {
    fn default() -> Self {
        let labels = BTreeMap::new();
        Self { uses: 1, expires_in: Span::from_secs(3600), labels, level: Level::Remediate, note: None }
    }
}

/// A registration token.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct TokenView {
    /// Its id.
    id: String,
    /// How many machines may join with it.
    uses: u32,
    /// How many did.
    used: u32,
    /// Labels of the hosts that join.
    labels: BTreeMap<String, String>,
    /// The level of the hosts that join.
    #[schema(value_type = shapes::LevelWord)]
    level: Level,
    /// What it is for.
    note: Option<String>,
    /// Who made it.
    made_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    made_at: Timestamp,
    /// Until when it can be used.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// When it was withdrawn.
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
}

/// A token that was just made, with its text, which is shown once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct MadeToken {
    /// The text to give to `legator-probe run --token`.
    token: String,
    /// The authority's fingerprint, which the text carries the first half of.
    fingerprint: String,
    /// The token.
    #[serde(flatten)]
    view: TokenView,
}

fn view((id, token): &(TokenId, Token)) -> TokenView {
    TokenView {
        id: id.to_string(),
        uses: token.uses_max,
        used: token.used,
        labels: token.labels.clone(),
        level: token.level,
        note: token.note.clone(),
        made_by: token.made_by.to_string(),
        made_at: token.made_at,
        expires_at: token.expires_at,
        revoked_at: token.revoked_at,
    }
}

impl NewToken {
    fn check(&self) -> Result<(), Failure> {
        if !(1..=USES_MAX).contains(&self.uses) {
            return Err(Failure::invalid("bad-uses", format!("uses is between 1 and {USES_MAX}")));
        }
        if self.expires_in > LIFE_MAX || self.expires_in < Span::from_secs(1) {
            return Err(Failure::invalid("bad-expires-in", "expires_in is between 1s and 90d"));
        }
        input::check_note(self.note.as_deref())?;
        input::check_labels(&self.labels)
    }
}

/// Makes a registration token. The body may be left out: a single use within the hour.
#[utoipa::path(
    post, path = "/api/v1/tokens", operation_id = "make_token", tag = "tokens",
    request_body(content = Option<NewToken>, content_type = "application/json"),
    responses((status = 201, body = MadeToken))
)]
async fn make(
    State(api): State<Api>,
    can: Can<ManageTokens>,
    MaybeJson(new): MaybeJson<NewToken>,
) -> Result<Response, Problem> {
    new.check()?;
    let secret = secrets::fresh()?;
    let id = TokenId::fresh(api.store.ids());
    let person = can.caller.person;
    let token = api
        .store
        .write::<_, StoreError, _>(&can.caller.op(), async |tx| {
            let token = Token {
                hash: Digest::of(&secret),
                uses_max: new.uses,
                used: 0,
                labels: new.labels.clone(),
                level: new.level,
                note: new.note.clone(),
                made_by: person,
                made_at: tx.now(),
                expires_at: tx.now() + new.expires_in,
                revoked_at: None,
            };
            tokens::put(tx, id, &token).await?;
            let data = json!({ "token": id, "uses": token.uses_max, "level": token.level, "labels": token.labels, "expires_at": token.expires_at });
            Ok(Audited::new(token, NewEvent::new("token.made", About::nothing(), data)))
        })
        .await?;
    let fingerprint = api.settings.fingerprint;
    let text = secrets::token_text(id, &secret, &fingerprint);
    let made = MadeToken { token: text, fingerprint: fingerprint.to_string(), view: view(&(id, token)) };
    Ok((StatusCode::CREATED, Extension(ShownOnce), axum::Json(made)).into_response())
}

/// Lists registration tokens, oldest first, without their secrets.
#[utoipa::path(
    get, path = "/api/v1/tokens", operation_id = "list_tokens", tag = "tokens",
    params(PageQuery), responses((status = 200, body = Page<TokenView>))
)]
async fn list(
    State(api): State<Api>,
    can: Can<ManageTokens>,
    OriginalUri(uri): OriginalUri,
    input::Query(query): input::Query<PageQuery>,
) -> Result<Linked<TokenView>, Problem> {
    let list = List { name: "tokens", tenant: can.caller.tenant };
    let ask = query.read(&api, list)?;
    let all = tokens::list(&api.store, can.caller.tenant).await?;
    let page = cut(&api, list, ask, all.iter().map(view).collect(), |view| view.id.clone());
    Ok(Linked { page, uri })
}

/// Withdraws a registration token.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", operation_id = "withdraw_token", tag = "tokens",
    params(("id" = String, Path, description = "The token's id")),
    responses((status = 204, description = "Nobody joins with it any more"))
)]
async fn withdraw(
    State(api): State<Api>,
    can: Can<ManageTokens>,
    Id(id): Id<TokenId>,
) -> Result<StatusCode, Problem> {
    let done: Result<(), Failure> = api
        .store
        .write(&can.caller.op(), async |tx| {
            let token = tokens::get(tx, id).await?.ok_or_else(|| Failure::not_found("token"))?;
            let revoked_at = token.revoked_at.or(Some(tx.now()));
            tokens::put(tx, id, &Token { revoked_at, ..token }).await?;
            Ok(Audited::new((), NewEvent::new("token.withdrawn", About::nothing(), json!({ "token": id }))))
        })
        .await;
    done?;
    Ok(StatusCode::NO_CONTENT)
}
