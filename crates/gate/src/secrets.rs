//! Secret arguments between the request and the host.
//!
//! Owns the boxes: to the data key while a plan waits, to the host's own key when it goes out. Never logs, returns or writes a value.
//! Invariant: outside of memory a value is only ever in a box, and what goes to a host is bound to its plan and task.

use legator_core::digest::Digest;
use legator_core::error::{ErrorKind, Failure};
use legator_core::ids::PlanId;
use legator_core::verbs::{self, Secrets};
use legator_store::plans::PlanRow;
use legator_store::secrets::{self as rows, SecretRow};
use legator_store::tasks::TaskRow;
use legator_wire::keys::{DataKey, PublicKey, Signer as _};
use legator_wire::secret::{AT_REST, Boxed, TO_HOST, bound_to_plan, bound_to_task};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey, HpkePublicKey};
use serde_json::Value;

use crate::Gate;
use crate::caller::{Caller, Cap};
use crate::error::GateError;

/// All values of a plan with their names and salts, in bytes of JSON: a grant with them has to fit a frame.
const SECRETS_BYTES_MAX: usize = 64 * 1024;

/// Takes the secret values out of what was asked with.
pub(crate) fn take(caller: &Caller, verb: &str, args: &mut Value) -> Result<Secrets, Failure> {
    let taken = verbs::hide(verb, args, rand::random)?;
    if !taken.is_empty() && caller.cap == Cap::ReadOrPropose {
        return Err(Failure::forbidden(
            "brain-may-not",
            "the assistant gives no secret values; a person does",
        ));
    }
    Ok(taken)
}

/// The values as they wait in the store, if there are any.
pub(crate) fn kept(gate: &Gate, plan: PlanId, secrets: &Secrets) -> Result<Option<SecretRow>, Failure> {
    if secrets.is_empty() {
        return Ok(None);
    }
    let bytes = serde_json::to_vec(secrets).unwrap_or_default();
    if bytes.len() > SECRETS_BYTES_MAX {
        let detail = format!("the secrets have more than {SECRETS_BYTES_MAX} bytes together");
        return Err(Failure::new(ErrorKind::TooLarge, "secrets-too-large", detail));
    }
    let no_key = || Failure::new(ErrorKind::Internal, "internal", "there is no data key");
    let seed = rows::data_keys(&gate.store).into_iter().next().ok_or_else(no_key)?;
    let key = DataKey::from_secret(&seed.bytes).public();
    let boxed = seal(&key, (AT_REST, &bound_to_plan(plan)), &bytes)
        .ok_or_else(|| Failure::new(ErrorKind::Internal, "internal", "a secret value was not sealed"))?;
    Ok(Some(SecretRow { key_id: seed.id, enc: boxed.enc, sealed: boxed.sealed }))
}

/// The values of a plan, whose arguments name some.
pub(crate) async fn of_plan(gate: &Gate, row: &PlanRow) -> Result<Secrets, GateError> {
    let body = crate::draft::body(row)?;
    let named = body.args.get("secrets").is_some_and(Value::is_object);
    if !named {
        return Ok(Secrets::new());
    }
    let lost = || GateError::corrupt("plan", "its secret values are not there, or no data key opens them");
    let waiting = rows::get(&gate.store, row.id).await?.ok_or_else(lost)?;
    let seed =
        rows::data_keys(&gate.store).into_iter().find(|seed| seed.id == waiting.key_id).ok_or_else(lost)?;
    let key = HpkePrivateKey::from(DataKey::from_secret(&seed.bytes).agreement().to_vec());
    let enc = EncapsulatedSecret(waiting.enc);
    let bytes =
        SUITE.open(&enc, AT_REST, &bound_to_plan(row.id), &waiting.sealed, &key).map_err(|_| lost())?;
    serde_json::from_slice(&bytes).map_err(|_| lost())
}

/// The values for the host of a task: its key alone opens them.
pub(crate) fn for_host(secrets: &Secrets, plan: &Digest, task: &TaskRow) -> Result<Option<Boxed>, GateError> {
    if secrets.is_empty() {
        return Ok(None);
    }
    let key: PublicKey = task.key.parse().map_err(|_| GateError::corrupt("task", "it names no key"))?;
    let bytes = serde_json::to_vec(secrets).unwrap_or_default();
    let boxed = seal(&key, (TO_HOST, &bound_to_task(plan, task.id)), &bytes);
    boxed.map(Some).ok_or_else(|| GateError::corrupt("task", "nothing can be sealed to its key"))
}

fn seal(key: &PublicKey, (label, bound): (&[u8], &[u8]), bytes: &[u8]) -> Option<Boxed> {
    let (enc, sealed) = SUITE.seal(label, bound, bytes, &HpkePublicKey(key.agreement().to_vec())).ok()?;
    Some(Boxed { enc: enc.0, sealed })
}
