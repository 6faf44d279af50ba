//! Talking to the API: one key, one server, problems turned into faults.
//!
//! Owns the HTTP client. Never retries a request that changes something.

use crate::exit::{Exit, Fault};
use legator_wire::trust;
use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// The largest answer that is read into memory, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long a server may be silent within an answer; its streams say something every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A server and who asks.
#[derive(Clone)]
pub struct Client {
    base: String,
    key: Option<String>,
    http: reqwest::Client,
}

impl Client {
    /// A client of this server; `ca` is the PEM of what to trust instead of the usual authorities.
    pub fn new(server: &str, key: Option<String>, ca: Option<&[u8]>) -> Result<Self, Fault> {
        let base = server.trim_end_matches('/').to_owned();
        if !(base.starts_with("http://") || base.starts_with("https://")) {
            return Err(Fault::usage(format!(
                "{base:?} is not a server such as https://legator.example.com"
            )));
        }
        // One provider for all TLS of this process; a second installation is no fault.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(SILENCE_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("legatorctl/", env!("CARGO_PKG_VERSION")));
        if base.starts_with("http://") {
            // Nothing here will need the authorities of this machine: reading them takes longer than most commands.
            builder = builder.tls_certs_only([]);
        }
        if let Some(pem) = ca {
            let config = trust::only(pem)
                .map_err(|error| Fault::usage(format!("the CA file holds no usable certificate: {error}")))?;
            builder = builder.tls_backend_preconfigured(config);
        }
        let http = builder.build().map_err(|error| Fault::failed(error.to_string()))?;
        Ok(Self { base, key, http })
    }

    /// The server's address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request to a path below the server, with the key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Sends a request; what is no success becomes a fault.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Fault> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = read(response).await.unwrap_or_default();
        let problem = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        let fault = Fault::from_problem(status.as_u16(), &problem);
        Err(match problem.is_object() {
            true => fault,
            false => fault.hint(format!("is {} a Legator server?", self.base)),
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Fault {
        let mut text = format!("{} cannot be reached", self.base);
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Layers repeat what the one below says.
            if !text.ends_with(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        let hint = match text.contains("certificate") {
            true => "name a private authority with --ca FILE or LEGATOR_CA",
            false => "name the server with --server or LEGATOR_SERVER, or start one with `legator up`",
        };
        Fault::new(Exit::Unreachable, text).hint(hint)
    }

    /// Gets a JSON answer.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        let response = self.send(self.request(Method::GET, path)).await?;
        decode(response).await
    }

    /// Gets the bytes of an answer.
    pub async fn bytes(&self, path: &str) -> Result<Vec<u8>, Fault> {
        read(self.send(self.request(Method::GET, path)).await?).await
    }

    /// Sends JSON and gets JSON; nothing where the answer is empty.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Value, Fault> {
        let mut request = self.request(method, path);
        if !body.is_null() {
            request = request.json(body);
        }
        let bytes = read(self.send(request).await?).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| Fault::failed(format!("the server's answer is no JSON: {error}")))
    }

    /// All items of a list, page after page, at most `most`.
    pub async fn list(&self, path: &str, most: usize) -> Result<Vec<Value>, Fault> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let join = if path.contains('?') { '&' } else { '?' };
            let page: Value = match &cursor {
                Some(cursor) => self.get(&format!("{path}{join}cursor={}", encode(cursor))).await?,
                None => self.get(path).await?,
            };
            let before = items.len();
            items.extend(page.get("items").and_then(Value::as_array).cloned().unwrap_or_default());
            cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() || items.len() >= most || items.len() == before {
                items.truncate(most);
                return Ok(items);
            }
        }
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    loop {
        let chunk = response.chunk().await;
        match chunk
            .map_err(|error| Fault::new(Exit::Unreachable, format!("the answer broke off: {error}")))?
        {
            None => return Ok(bytes),
            Some(chunk) if bytes.len() + chunk.len() > ANSWER_BYTES_MAX => {
                return Err(Fault::failed("the server's answer is larger than 64 MiB"));
            }
            Some(chunk) => bytes.extend_from_slice(&chunk),
        }
    }
}

async fn decode<T: DeserializeOwned>(response: Response) -> Result<T, Fault> {
    let bytes = read(response).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Fault::failed(format!("the server's answer is not what belongs here: {error}")))
}

/// An object of those fields that have a value.
pub fn body<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let present = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect())
}

/// A text as part of a query or a path (RFC 3986 unreserved characters stay).
pub fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_query_cannot_hold_is_encoded() {
        assert_eq!(encode("env=prod,role in (web)"), "env%3Dprod%2Crole%20in%20%28web%29");
        assert_eq!(encode("é"), "%C3%A9");
    }

    #[test]
    fn a_server_needs_a_scheme() {
        assert!(Client::new("localhost:8080", None, None).is_err());
    }
}
