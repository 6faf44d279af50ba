//! Secret arguments: values that plan, audit and approver know by a salted digest only.
//!
//! Owns the taking out of values, their commitment and the check of a value against it. Never keeps or shows a value.
//! Invariant: the salt travels with the value and is in no plan, so that nobody can try values against the digest.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Verb;
use super::bounds::{self, Checked};
use crate::digest::Digest;
use crate::error::Failure;

/// What people read where a secret value stands.
pub const UNSEEN: &str = "<secret>";
/// A program finds the secret `NAME` in the variable of this prefix and that name. The prefix keeps a value that no approver saw from
/// steering a shell, a loader or an interpreter.
pub const ENV_PREFIX: &str = "SECRET_";
/// The field of the arguments that holds secrets.
const FIELD: &str = "secrets";
/// Secrets of one plan, at most.
const SECRETS_MAX: usize = 16;
/// A shorter value would be struck out of every output, and could be guessed.
const VALUE_BYTES_MIN: usize = 4;
const VALUE_BYTES_MAX: usize = 8 * 1024;
const NAME_BYTES_MAX: usize = 64;

/// A secret argument as it stands in a plan: the digest of a value that travels beside the grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub struct Secret {
    /// The salted digest.
    pub secret: Digest,
}

impl TryFrom<Value> for Secret {
    type Error = &'static str;
    /// The error never repeats what stood there: it may be the value.
    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let object = value.as_object().filter(|object| object.len() == 1);
        let digest = object.and_then(|object| object.get("secret")?.as_str()?.parse().ok());
        digest.map(|secret| Self { secret }).ok_or("a secret stands here as the digest that its plan holds")
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "writeOnly": true, "minLength": VALUE_BYTES_MIN, "maxLength": VALUE_BYTES_MAX,
            "description": "The value. It is never shown again: the plan holds a salted digest of it.",
        })
    }
}

/// A secret value with the salt of its digest.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revealed {
    /// 64 hex digits.
    pub salt: String,
    /// The value.
    pub value: String,
}

/// Secret values by their names.
pub type Secrets = BTreeMap<String, Revealed>;

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(UNSEEN)
    }
}

impl Revealed {
    /// The digest that stands for it in a plan.
    pub fn commitment(&self, name: &str) -> Secret {
        let parts = [name, &self.salt, &self.value].map(|part| (part.len() as u64).to_be_bytes());
        let [a, b, c] = &parts;
        let secret = Digest::of_parts(&[
            b"legator secret argument\0",
            a,
            name.as_bytes(),
            b,
            self.salt.as_bytes(),
            c,
            self.value.as_bytes(),
        ]);
        Secret { secret }
    }
}

/// Takes the values of secret arguments out of `args`, as they were asked with; what stays is what a plan holds.
///
/// # Errors
/// `bad-arguments`: a verb that takes none, a name or value beyond its limits. The failure never repeats a value.
pub fn hide(verb: &str, args: &mut Value, mut salt: impl FnMut() -> [u8; 32]) -> Result<Secrets, Failure> {
    let Some(given) = args.get_mut(FIELD).filter(|given| !given.is_null()) else { return Ok(Secrets::new()) };
    if !matches!(verb, "shell.run" | "shell.script") {
        return Err(bounds::bad(format!("{} takes no secrets", bounds::cut(verb, 80))));
    }
    let given =
        given.as_object_mut().ok_or_else(|| bounds::bad("secrets must be an object: names and values"))?;
    check_names(given.keys())?;
    let mut taken = Secrets::new();
    for (name, place) in given.iter_mut() {
        let value = place.as_str().map(str::to_owned);
        let value = value.ok_or_else(|| bounds::bad(format!("the secret {name} must be a text")))?;
        if !(VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&value.len()) || value.contains('\0') {
            let detail = format!(
                "the secret {name} must have {VALUE_BYTES_MIN} to {VALUE_BYTES_MAX} bytes, none of them zero"
            );
            return Err(bounds::bad(detail));
        }
        let revealed = Revealed { salt: hex::encode(salt()), value };
        *place = json!(revealed.commitment(name));
        taken.insert(name.clone(), revealed);
    }
    Ok(taken)
}

fn check_names<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> Checked {
    if names.len() > SECRETS_MAX {
        return Err(bounds::bad(format!("more than {SECRETS_MAX} secrets")));
    }
    for name in names {
        let fits = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(fits) {
            let detail = format!("the name of a secret {:?} is not of A-Z, 0-9 and _", bounds::cut(name, 80));
            return Err(bounds::bad(detail).hint("a program finds NAME in the variable SECRET_NAME"));
        }
    }
    Ok(())
}

/// The bounds of secrets as a plan holds them.
pub(super) fn check(secrets: &BTreeMap<String, Secret>) -> Checked {
    check_names(secrets.keys())
}

/// The secrets that this verb's arguments name.
pub fn secrets(verb: &Verb) -> &BTreeMap<String, Secret> {
    static NONE: BTreeMap<String, Secret> = BTreeMap::new();
    match verb {
        Verb::ShellRun(run) => &run.secrets,
        Verb::ShellScript(script) => &script.secrets,
        _ => &NONE,
    }
}

impl Verb {
    /// Whether these are exactly the values that the arguments stand for.
    pub fn is_revealed_by(&self, given: &Secrets) -> bool {
        let named = secrets(self);
        named.len() == given.len()
            && named
                .iter()
                .all(|(name, secret)| given.get(name).is_some_and(|g| g.commitment(name) == *secret))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::level::Level;
    use proptest::prelude::*;

    fn asked(value: &str) -> Value {
        json!({"argv": ["env"], "secrets": {"DB": value}})
    }

    proptest! {
        #[test]
        fn a_value_leaves_its_arguments_and_only_it_fits_again(value in "[^\\x00]{4,60}", other in "[^\\x00]{4,60}", seed: u8) {
            let mut args = asked(&value);
            let taken = hide("shell.run", &mut args, || [seed; 32]).unwrap();
            let stands = args.pointer("/secrets/DB/secret").and_then(Value::as_str).unwrap().to_owned();
            prop_assert!(stands.starts_with("sha256:"));
            let call = crate::verbs::parse("shell.run", &args, Some(Level::Remediate)).unwrap();
            prop_assert_eq!(&crate::verbs::normal_args(&call), &args);
            prop_assert!(call.verb.is_revealed_by(&taken));
            prop_assert!(!call.verb.is_revealed_by(&Secrets::new()));
            let wrong = Revealed { value: other.clone(), ..taken["DB"].clone() };
            prop_assert_eq!(call.verb.is_revealed_by(&Secrets::from([("DB".into(), wrong)])), other == value);
            let salted = Revealed { salt: "00".into(), ..taken["DB"].clone() };
            prop_assert!(!call.verb.is_revealed_by(&Secrets::from([("DB".into(), salted)])));
            prop_assert!(!call.verb.is_revealed_by(&Secrets::from([("DC".into(), taken["DB"].clone())])));
            let shown = format!("{taken:?}");
            prop_assert!(shown.contains(UNSEEN) && (value.len() < 9 || !shown.contains(&value)));
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_repeated() {
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        let cases = [
            ("file.read", json!({"path": "/etc/hosts", "secrets": {"A": "topsecretvalue"}})),
            ("shell.run", json!({"argv": ["env"], "secrets": {"lower": "topsecretvalue"}})),
            ("shell.run", json!({"argv": ["env"], "secrets": {"": "topsecretvalue"}})),
            ("shell.run", json!({"argv": ["env"], "secrets": {"A=B": "topsecretvalue"}})),
            ("shell.run", json!({"argv": ["env"], "secrets": {"A": "abc"}})),
            ("shell.run", json!({"argv": ["env"], "secrets": {"A": "topsecretvalue\0"}})),
            ("shell.run", json!({"argv": ["env"], "secrets": {"A": {"secret": "topsecretvalue"}}})),
            ("shell.run", json!({"argv": ["env"], "secrets": {"A": 12345678}})),
            ("shell.run", json!({"argv": ["env"], "secrets": ["topsecretvalue"]})),
            ("shell.run", json!({"argv": ["env"], "secrets": {"A": long}})),
        ];
        for (verb, mut args) in cases {
            let failure = hide(verb, &mut args, || [1; 32]).unwrap_err();
            assert!(!format!("{failure:?}").contains("topsecretvalue"), "{failure:?}");
        }
        // A value that was not taken out is no plan, and the failure does not repeat it.
        let failure = crate::verbs::parse("shell.run", &asked("topsecretvalue"), None).unwrap_err();
        assert!(!format!("{failure:?}").contains("topsecretvalue"), "{failure:?}");
        let none = json!({"argv": ["env"]});
        assert!(hide("shell.run", &mut none.clone(), || [1; 32]).unwrap().is_empty());
    }
}
