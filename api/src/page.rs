//! Pages of lists: `limit`, an opaque cursor, and the link to the next page.
//!
//! Owns the cursor's form: the list it belongs to, the tenant, and the place after which the page begins, under a MAC, so that a
//! cursor of another list or tenant, or one made by hand, is refused.

use crate::Api;
use crate::problem::Problem;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use legator_core::digest::Digest;
use legator_core::error::Failure;
use legator_core::ids::TenantId;
use serde::Serialize;

/// Items of a page when no limit is asked for.
pub const LIMIT_DEFAULT: u16 = 100;
/// Items of a page, at most.
pub const LIMIT_MAX: u16 = 500;
/// Bytes of the check at the end of a cursor.
const CHECK_BYTES: usize = 12;

/// A list as it is answered.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page; null on the last one.
    pub next: Option<String>,
}

/// Which list a cursor belongs to.
#[derive(Debug, Clone, Copy)]
pub struct List {
    /// The list's name.
    pub name: &'static str,
    /// Whose.
    pub tenant: TenantId,
}

/// The number of items that a query asks for.
pub fn limit(asked: Option<u16>) -> Result<usize, Problem> {
    let limit = asked.unwrap_or(LIMIT_DEFAULT);
    match (1..=LIMIT_MAX).contains(&limit) {
        true => Ok(usize::from(limit)),
        false => Err(Failure::invalid("bad-limit", format!("limit is between 1 and {LIMIT_MAX}")).into()),
    }
}

fn check(key: &[u8; 32], list: List, place: &str) -> Vec<u8> {
    let tenant = list.tenant.to_string();
    let parts: [&[u8]; 6] = [key, list.name.as_bytes(), b"\0", tenant.as_bytes(), b"\0", place.as_bytes()];
    // The key stands first and the length is fixed: what could be appended is inside `place`, whose whole text is compared.
    let inner = Digest::of_parts(&parts);
    let outer = Digest::of_parts(&[key, inner.bytes()]);
    outer.bytes().iter().take(CHECK_BYTES).copied().collect()
}

/// The cursor of the page after `place`.
pub fn cursor(api: &Api, list: List, place: &str) -> String {
    written(&api.settings.cursor_key, list, place)
}

/// The same under a key.
pub(crate) fn written(key: &[u8; 32], list: List, place: &str) -> String {
    let mut bytes = check(key, list, place);
    bytes.extend_from_slice(place.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place that a cursor names, if it is one of this list.
pub fn place(api: &Api, list: List, cursor: Option<&str>) -> Result<Option<String>, Problem> {
    cursor.map(|cursor| read(&api.settings.cursor_key, list, cursor)).transpose()
}

/// The same under a key.
pub(crate) fn read(key: &[u8; 32], list: List, cursor: &str) -> Result<String, Problem> {
    let bad = || Problem::from(Failure::invalid("bad-cursor", "this cursor is none of this list"));
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
    let (sent, place) = bytes.split_at_checked(CHECK_BYTES).ok_or_else(bad)?;
    let place = std::str::from_utf8(place).map_err(|_| bad())?;
    match sent == check(key, list, place) {
        true => Ok(place.to_owned()),
        false => Err(bad()),
    }
}

/// A page cut from all items of a short list, which are sorted by the place that `key` gives.
pub fn cut<T>(
    api: &Api,
    list: List,
    ask: (usize, Option<String>),
    items: Vec<T>,
    key: impl Fn(&T) -> String,
) -> Page<T> {
    let (limit, after) = ask;
    let later = |item: &T| after.as_ref().is_none_or(|after| key(item) > *after);
    let mut items: Vec<T> = items.into_iter().filter(later).take(limit + 1).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| cursor(api, list, &key(last)));
    Page { items, next }
}

/// A page on its way out, with `Link: rel="next"` (RFC 8288).
#[derive(Debug)]
pub struct Linked<T> {
    /// The page.
    pub page: Page<T>,
    /// The request's path and query.
    pub uri: axum::http::Uri,
}

impl<T: Serialize> IntoResponse for Linked<T> {
    fn into_response(self) -> Response {
        let link = self.page.next.as_ref().map(|next| link(&self.uri, next));
        let mut response = axum::Json(self.page).into_response();
        if let Some(value) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
            response.headers_mut().insert(header::LINK, value);
        }
        response
    }
}

fn link(uri: &axum::http::Uri, next: &str) -> String {
    let others = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|part| !part.is_empty() && !part.starts_with("cursor="));
    let mut parts: Vec<String> = others.map(ToOwned::to_owned).collect();
    parts.push(format!("cursor={next}"));
    format!("<{}?{}>; rel=\"next\"", uri.path(), parts.join("&"))
}

/// `limit` and `cursor`, for lists without other filters.
#[derive(Debug, Clone, Default, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items, 1 to 500; 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u16>,
    /// Where the page begins: `next` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// Both, parsed.
    pub fn read(&self, api: &Api, list: List) -> Result<(usize, Option<String>), Problem> {
        Ok((limit(self.limit)?, place(api, list, self.cursor.as_deref())?))
    }
}
