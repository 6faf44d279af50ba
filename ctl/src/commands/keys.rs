//! `keys`: a person's own Ed25519 key for approvals.
//!
//! Owns its file (mode 0600). The secret never leaves this machine; the server gets the public key.

use crate::cli::Session;
use crate::client::encode;
use crate::context::{folder, write_private};
use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, Format, word};
use clap::{Args, Subcommand};
use legator_core::time::Timestamp;
use legator_wire::keys::{ApproverKey, Signer as _, parse_hex};
use rand::TryRngCore as _;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What to do with the key.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  legatorctl keys new
  legatorctl keys register
  legatorctl keys show -o json")]
pub enum Keys {
    /// Make one on this machine
    New(New),
    /// Show its public half
    Show,
    /// Register its public half with your person
    Register,
}

/// A new key.
#[derive(Debug, Args)]
pub struct New {
    /// Replace the one that is there: its signatures stay valid where it is registered
    #[arg(long)]
    replace: bool,
}

fn path() -> Result<PathBuf, Fault> {
    Ok(folder()?.join("approver.key"))
}

/// The present moment, for the times in an approval.
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The key of this machine; none when there is no file.
pub fn load() -> Result<Option<ApproverKey>, Fault> {
    let path = path()?;
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Fault::failed(format!("{}: {error}", path.display()))),
    };
    let secret =
        parse_hex(text.trim()).map_err(|error| Fault::usage(format!("{}: {error}", path.display())))?;
    Ok(Some(ApproverKey::from_secret(&secret)))
}

fn record(key: &ApproverKey) -> Value {
    json!({"key": key.public(), "fingerprint": key.public().fingerprint()})
}

fn present() -> Result<ApproverKey, Fault> {
    load()?.ok_or_else(|| Fault::usage("there is no key on this machine").hint("legatorctl keys new"))
}

/// Runs `keys show`.
pub fn show(format: Format) -> Outcome {
    tell(format, &present()?);
    Ok(Exit::Ok)
}

fn tell(format: Format, key: &ApproverKey) {
    let record = record(key);
    out::record(format, &record, || {
        out::fields(&record, &[("public key", "key"), ("fingerprint", "fingerprint")])
    });
}

/// Runs `keys new`.
pub fn new(new: &New, format: Format) -> Outcome {
    let path = path()?;
    if path.exists() && !new.replace {
        return Err(Fault::usage(format!("{} is there already", path.display())).hint("legatorctl keys show"));
    }
    let mut secret = [0; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut secret).map_err(|error| Fault::failed(error.to_string()))?;
    let key = ApproverKey::from_secret(&secret);
    std::fs::create_dir_all(folder()?)?;
    write_private(&path, format!("{}\n", hex::encode(secret)).as_bytes())?;
    tell(format, &key);
    if format.is_for_people() {
        out::note("  legatorctl keys register");
    }
    Ok(Exit::Ok)
}

/// Runs `keys register`.
pub async fn register(session: &Session) -> Outcome {
    let key = present()?;
    let me: Value = session.client.get("/api/v1/me").await?;
    let path = format!("/api/v1/persons/{}/approver-keys", encode(&word(&me, "person")));
    session.client.call(Method::POST, &path, &json!({"key": key.public()})).await?;
    tell(session.format, &key);
    Ok(Exit::Ok)
}
