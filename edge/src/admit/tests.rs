//! Proves that only a credential of the authority with a hello by its key over this connection's nonce is admitted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use jsonwebtoken::{EncodingKey, Header};
use legator_core::cage::{CageReport, CageState};
use legator_core::level::Level;
use legator_wire::keys::{AuthorityKey, ProbeKey, Signer as _};
use serde_json::{Value, json};
use std::collections::HashSet;

const NOW: i64 = 1_800_000_000;
const EDGE: InstanceId = InstanceId::new(5);
const HOST: HostId = HostId::new(7);

fn authority() -> AuthorityKey {
    AuthorityKey::from_secret(&[1; 32])
}

fn probe() -> ProbeKey {
    ProbeKey::from_secret(&[2; 32])
}

fn trust() -> Trust {
    let authorities = vec![authority().public()];
    Trust { installation: "here".into(), authorities, revoked: HashSet::new(), version: 1 }
}

fn claims() -> Value {
    json!({
        "iss": "here", "sub": HOST, "aud": AUDIENCE, "tenant": TenantId::DEFAULT,
        "cnf": { "key": probe().public() }, "iat": NOW, "nbf": NOW, "exp": NOW + 600
    })
}

fn pkcs8(secret: &[u8; 32]) -> Vec<u8> {
    let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
    der.extend_from_slice(secret);
    der
}

fn signed(claims: &Value) -> String {
    let key = EncodingKey::from_ed_der(&pkcs8(&authority().secret()));
    jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), claims, &key).unwrap()
}

fn hello() -> Hello {
    Hello {
        installation: "here".into(),
        host: HOST,
        edge: EDGE,
        nonce: "n".repeat(64),
        instance: InstanceId::new(9),
        hostname: "web-03".into(),
        version: "0.1.0".into(),
        cage: CageReport { state: CageState::Full, missing: vec![] },
        max_level: Level::Remediate,
        limits_version: 0,
        running: vec![],
        made_at: Timestamp::from_millis(NOW * 1000),
    }
}

fn checked(trust: &Trust, credential: &str, hello: &Envelope) -> Result<Admitted, NotProven> {
    let nonce = "n".repeat(64);
    let demand = Demand { edge: EDGE, nonce: &nonce, now: Timestamp::from_millis(NOW * 1000 + 5_000) };
    check(trust, &demand, credential, hello)
}

fn good_hello() -> Envelope {
    Envelope::seal(&hello(), &probe())
}

/// A token of these three parts, as text.
fn parts(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| B64.encode(serde_json::to_vec(value).unwrap());
    format!("{}.{}.{}", part(header), part(claims), B64.encode(signature))
}

/// The authority's signature under another header.
fn with_header(header: &Value) -> String {
    let unsigned = parts(header, &claims(), b"");
    let message = unsigned.trim_end_matches('.');
    format!("{message}.{}", B64.encode(authority().sign(message.as_bytes())))
}

#[test]
fn the_good_twin_is_admitted() {
    let admitted = checked(&trust(), &signed(&claims()), &good_hello()).unwrap();
    assert_eq!((admitted.host, admitted.tenant, admitted.key), (HOST, TenantId::DEFAULT, probe().public()));
    assert!(checked(&trust(), &with_header(&json!({"alg": "EdDSA"})), &good_hello()).is_ok());
}

#[test]
fn no_other_credential_is_taken() {
    let mut cases: Vec<(String, String)> = Vec::new();
    for name in ["iss", "sub", "aud", "tenant", "cnf", "iat", "nbf", "exp"] {
        let mut without = claims();
        without.as_object_mut().unwrap().remove(name);
        cases.push((format!("without {name}"), signed(&without)));
        for wrong in
            [json!(null), json!(""), json!([]), json!({}), json!(-1), json!("9999999999"), json!(1e300)]
        {
            let mut changed = claims();
            changed[name] = wrong.clone();
            if name == "iat" && wrong == json!(-1) || name == "nbf" && wrong == json!(-1) {
                continue; // long ago is a good time to have begun
            }
            cases.push((format!("{name} = {wrong}"), signed(&changed)));
        }
    }
    let named = [
        ("iss", json!("elsewhere")),
        ("aud", json!("legator-api")),
        ("aud", json!(["legator-edge"])),
        ("exp", json!(NOW + 5)),
        ("exp", json!(NOW - 1)),
        ("nbf", json!(NOW + 120)),
        ("sub", json!("*.>")),
        ("sub", json!("a.b")),
        ("cnf", json!({"key": "0".repeat(64)})),
        ("cnf", json!({"jwk": {}})),
        ("more", json!(1)),
    ];
    for (name, value) in named {
        let mut changed = claims();
        changed[name] = value.clone();
        cases.push((format!("{name} = {value}"), signed(&changed)));
    }
    let public = authority().public();
    for alg in ["none", "None", "NONE", "HS256", "HS512", "RS256", "ES256", "PS256", "eddsa", "Ed25519", ""] {
        let header = json!({"alg": alg, "typ": "JWT"});
        cases.push((format!("alg {alg}, unsigned"), parts(&header, &claims(), b"")));
        cases.push((format!("alg {alg}, the authority's signature"), with_header(&header)));
    }
    for secret in [public.hex().into_bytes(), public.bytes().to_vec(), vec![]] {
        let key = EncodingKey::from_secret(&secret);
        cases.push((
            "signed with the public key as a secret".into(),
            jsonwebtoken::encode(&Header::default(), &claims(), &key).unwrap(),
        ));
    }
    let good = signed(&claims());
    cases.push(("zero signature".into(), parts(&json!({"alg": "EdDSA"}), &claims(), &[0; 64])));
    cases.push(("twice".into(), format!("{good}.{good}")));
    cases.push(("more behind".into(), format!("{good}AA")));
    cases.push(("a space".into(), format!("{good} ")));
    cases.push(("empty".into(), String::new()));
    cases.push(("dots".into(), "..".into()));
    cases.push(("long".into(), "a".repeat(1 << 20)));
    let other = EncodingKey::from_ed_der(&pkcs8(&[3; 32]));
    cases.push((
        "another authority".into(),
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims(), &other).unwrap(),
    ));
    for (name, credential) in &cases {
        let got = checked(&trust(), credential, &good_hello());
        assert_eq!(got.map(|admitted| admitted.host), Err(NotProven::Credential), "{name}");
    }
    eprintln!("{} credentials refused", cases.len());
}

#[test]
fn any_flipped_bit_of_a_credential_is_refused() {
    let good = signed(&claims());
    let mut tried = 0;
    for place in 0..good.len() {
        for bit in 0..7 {
            let mut bytes = good.clone().into_bytes();
            bytes[place] ^= 1 << bit;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            tried += 1;
            assert!(checked(&trust(), &text, &good_hello()).is_err(), "bit {bit} of byte {place}");
        }
    }
    eprintln!("{tried} flipped bits refused");
}

#[test]
fn a_hello_is_this_hosts_on_this_connection_or_none() {
    let good = signed(&claims());
    type Change = fn(&mut Hello);
    let changes: [(&str, Change); 6] = [
        ("another host", |hello| hello.host = HostId::new(8)),
        ("another edge", |hello| hello.edge = InstanceId::new(6)),
        ("another nonce", |hello| hello.nonce = "m".repeat(64)),
        ("no nonce", |hello| hello.nonce = String::new()),
        ("another installation", |hello| hello.installation = "elsewhere".into()),
        ("an empty installation", |hello| hello.installation = String::new()),
    ];
    for (name, change) in changes {
        let mut changed = hello();
        change(&mut changed);
        let envelope = Envelope::seal(&changed, &probe());
        assert_eq!(checked(&trust(), &good, &envelope).unwrap_err().code(), "bad-signature", "{name}");
    }
    let by_other = Envelope::seal(&hello(), &ProbeKey::from_secret(&[4; 32]));
    assert_eq!(checked(&trust(), &good, &by_other).unwrap_err().code(), "bad-signature");
    let mut zero = good_hello();
    zero.signatures[0].sig = vec![0; 64];
    assert_eq!(checked(&trust(), &good, &zero).unwrap_err().code(), "bad-signature");
}

#[test]
fn what_is_beyond_its_limit_is_malformed_and_what_is_revoked_stays_out() {
    let good = signed(&claims());
    let limits: [fn(&mut Hello); 3] = [
        |hello| hello.hostname = "x".repeat(256),
        |hello| hello.running = vec![legator_core::ids::TaskId::new(1); HELLO_TASKS_MAX + 1],
        |hello| hello.cage.missing = vec![String::new(); 65],
    ];
    for change in limits {
        let mut changed = hello();
        change(&mut changed);
        assert_eq!(
            checked(&trust(), &good, &Envelope::seal(&changed, &probe())).unwrap_err().code(),
            "malformed"
        );
    }
    let revoking = Trust { revoked: HashSet::from([HOST]), ..trust() };
    assert_eq!(checked(&revoking, &good, &good_hello()).unwrap_err().code(), "revoked");
    let empty = Trust { authorities: vec![], ..trust() };
    assert_eq!(
        checked(&empty, &good, &good_hello()).unwrap_err().code(),
        "bad-credential",
        "no keys admit nobody"
    );
}
