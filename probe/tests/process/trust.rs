//! What an edge can do to a delivery on its way, what a cancel does to what runs, and secret values on their host.

use super::edge::Session;
use super::host::Host;
use super::scene::Scene;
use legator_core::level::Level;
use legator_core::task::Outcome;
use legator_core::verbs::{self, Secrets};
use legator_wire::frame::Up;
use legator_wire::secret::{Boxed, TO_HOST, bound_to_task};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305 as SUITE;
use rustls::crypto::hpke::{Hpke as _, HpkePublicKey};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const VALUE: &str = "correct-horse-battery-staple-4711";

fn task_of(scene: &Scene) -> legator_core::ids::TaskId {
    scene.leaves[1].task
}

fn shell(host: &Host, line: &str) -> Scene {
    host.grant_of("shell.run", json!({ "argv": ["sh", "-c", line] }), Level::Remediate)
}

/// Flips one character of a text in base64 or hex.
fn flipped(frame: &Value, at: &str) -> Value {
    let mut frame = frame.clone();
    let place = frame.pointer_mut(at).unwrap_or_else(|| panic!("{at}"));
    let mut text = place.as_str().unwrap().to_owned().into_bytes();
    text[20] = if text[20] == b'a' { b'b' } else { b'a' };
    *place = Value::String(String::from_utf8(text).unwrap());
    frame
}

#[tokio::test]
async fn altered_deliveries_use_no_id_and_the_true_grant_runs_once() {
    let (mut host, mut session) = Host::connected().await;
    let path = host.path("count");
    let scene = shell(&host, &format!("echo ran >> {}", path.display()));
    let good = scene.frame();
    let mut tried = 0;
    for at in ["/grant/payload", "/grant/signatures/0/sig", "/plan", "/leaf/key", "/proof/0"] {
        session.send(&flipped(&good, at).to_string()).await;
        let (receipt, _) = session.receipt().await;
        assert_eq!((receipt.task, receipt.outcome), (task_of(&scene), Outcome::Refused), "{at}");
        let reason = legator_wire::refusal::Refusal::of(receipt.reason.as_deref().unwrap()).unwrap();
        assert!(!reason.uses_id(), "{at}: {reason} says that nothing will run");
        assert!(!path.exists(), "{at}");
        tried += 1;
    }
    // Not even across a restart is the id used.
    session = host.restart().await;
    session.send(&good.to_string()).await;
    let (receipt, _) = session.settled().await;
    assert_eq!((receipt.outcome, fs::read_to_string(&path).unwrap().as_str()), (Outcome::Succeeded, "ran\n"));
    eprintln!("{tried} altered deliveries, then the true one: one run");
    host.kill();
}

async fn gone(path: &Path) {
    let pid = fs::read_to_string(path).unwrap().trim().to_owned();
    let begun = Instant::now();
    while fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(begun.elapsed() < Duration::from_secs(30), "process {pid} lives on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn written(path: &Path) {
    let begun = Instant::now();
    while fs::read_to_string(path).unwrap_or_default().trim().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{} is not written", path.display());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_cancel_kills_all_that_was_started_and_is_said_so_signed() {
    let (mut host, mut session) = Host::connected().await;
    let (own, child) = (host.path("own"), host.path("child"));
    let line = format!(
        "echo $$ > {}; sh -c 'echo $$ > {}; exec sleep 300' & echo begun; wait",
        own.display(),
        child.display()
    );
    let scene = shell(&host, &line);
    session.send(&scene.frame().to_string()).await;
    session.started(task_of(&scene)).await;
    written(&child).await;
    // By somebody who is not the authority, and for another host: nothing happens.
    let stranger = legator_wire::keys::AuthorityKey::from_secret(&[77; 32]);
    let order = |host| legator_wire::order::Cancel {
        installation: super::edge::INSTALLATION.to_owned(),
        host,
        task: task_of(&scene),
        made_at: super::edge::now(),
    };
    let frame = |envelope| legator_wire::frame::text(&legator_wire::frame::Down::Cancel { envelope });
    let own_host = host.server.host();
    session.send(&frame(legator_wire::dsse::Envelope::seal(&order(own_host), &stranger))).await;
    session.cancel(legator_core::ids::HostId::new(4711), task_of(&scene)).await;
    while let Some(said) = session.soon(Duration::from_millis(500)).await {
        assert!(!matches!(said, Up::Receipt(_)), "a forged cancel ended it");
    }
    session.cancel(own_host, task_of(&scene)).await;
    let (receipt, _) = session.settled().await;
    assert_eq!((receipt.outcome, receipt.verified), (Outcome::Cancelled, None));
    gone(&own).await;
    gone(&child).await;
    // The same grant again is answered, not run.
    session.send(&scene.frame().to_string()).await;
    let (again, _) = session.receipt().await;
    assert_eq!(again, receipt);
    host.kill();
}

/// A grant with a secret value, sealed to the host and bound to its task.
fn with_secret(host: &Host, line: &str) -> (Scene, Secrets) {
    let mut args = json!({"argv": ["sh", "-c", line], "secrets": {"DB": VALUE}});
    let secrets = verbs::hide("shell.run", &mut args, || [5; 32]).unwrap();
    (host.grant_of("shell.run", args, Level::Remediate), secrets)
}

fn sealed(host: &Host, scene: &Scene, secrets: &Secrets) -> Value {
    let bytes = serde_json::to_vec(secrets).unwrap();
    let key = HpkePublicKey(host.server.key().agreement().to_vec());
    let bound = bound_to_task(&scene.plan().digest(), task_of(scene));
    let (enc, sealed) = SUITE.seal(TO_HOST, &bound, &bytes, &key).unwrap();
    json!(Boxed { enc: enc.0, sealed })
}

fn holds(path: &Path, what: &str) -> bool {
    if path.is_dir() {
        return fs::read_dir(path).unwrap().flatten().any(|entry| holds(&entry.path(), what));
    }
    fs::read(path).is_ok_and(|bytes| bytes.windows(what.len()).any(|window| window == what.as_bytes()))
}

async fn refused(session: &mut Session, frame: &Value) -> String {
    session.send(&frame.to_string()).await;
    let (receipt, _) = session.receipt().await;
    assert_eq!(receipt.outcome, Outcome::Refused);
    receipt.reason.unwrap()
}

#[tokio::test]
async fn a_secret_value_reaches_its_program_and_nothing_else() {
    let (mut host, mut session) = Host::connected().await;
    let effect = host.path("effect");
    let line = format!(
        "printf %s \"$SECRET_DB\" > {}; echo \"pw=$SECRET_DB.\"; echo \"$SECRET_DB\" >&2; printf correct-horse-; sleep 0.3; printf battery-staple-4711",
        effect.display()
    );
    let (scene, secrets) = with_secret(&host, &line);
    let mut frame = scene.frame();
    // Without the values, with others, for another task, in a box that was altered: nothing runs, and the id is not used.
    assert_eq!(refused(&mut session, &frame).await, "secrets-mismatch");
    let mut other = secrets.clone();
    other.get_mut("DB").unwrap().value = "another value".to_owned();
    frame["secrets"] = sealed(&host, &scene, &other);
    assert_eq!(refused(&mut session, &frame).await, "secrets-mismatch");
    let (elsewhere, _) = with_secret(&host, &line);
    frame["secrets"] = sealed(&host, &elsewhere, &secrets);
    assert_eq!(refused(&mut session, &frame).await, "secrets-mismatch");
    let good = sealed(&host, &scene, &secrets);
    frame["secrets"] = flipped(&good, "/sealed");
    assert_eq!(refused(&mut session, &frame).await, "secrets-mismatch");
    assert!(!effect.exists());
    frame["secrets"] = good;
    session.send(&frame.to_string()).await;
    let (mut live, mut ended) = (Vec::new(), None);
    while ended.is_none() {
        match session.next().await {
            Up::Output(output) => live.extend(output.bytes),
            Up::Receipt(sent) => ended = Some(sent),
            _ => {}
        }
    }
    let sent = ended.unwrap();
    let receipt: legator_wire::receipt::Receipt = sent.receipt.open(&host.server.key()).unwrap();
    assert_eq!(receipt.outcome, Outcome::Succeeded);
    assert_eq!(fs::read_to_string(&effect).unwrap(), VALUE, "the program had it");
    let stars = "*".repeat(VALUE.len());
    assert_eq!(String::from_utf8_lossy(&sent.stdout), format!("pw={stars}.\n{stars}"));
    assert_eq!(String::from_utf8_lossy(&sent.stderr), format!("{stars}\n"));
    assert!(!String::from_utf8_lossy(&live).contains(VALUE));
    assert!(holds(&host.state(), &task_of(&scene).to_string()), "the search finds what is there");
    assert!(!holds(&host.state(), VALUE), "it is in no file of the probe");
    assert!(!host.log().contains(VALUE), "and in no line of its log");
    host.kill();
}
