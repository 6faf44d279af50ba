//! Joining: tokens, keys, names, renewal, revocation. Edge, worker and store in one process, simulated probes over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

mod small;

use legator_core::span::Span;
use legator_store::{Options, Store, StoreError, hosts};
use legator_testkit::clock::ManualClock;
use legator_testkit::sim::{SimProbe, enrolment, fresh_key};
use legator_wire::credential::Renewal;
use legator_wire::dsse::Envelope;
use legator_wire::frame::Down;
use legator_wire::keys::AuthorityKey;
use small::TENANT;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_race_of_fifty_for_one_token_enrols_exactly_one() {
    let small = small::start().await;
    let token = small.token(1).await;
    let tries = (0..50).map(|number| {
        let (server, token) = (small.server.clone(), token.clone());
        tokio::spawn(async move { SimProbe::enrol(&server, &token, &format!("racer-{number}")).await })
    });
    let mut outcomes = Vec::new();
    for one in tries.collect::<Vec<_>>() {
        outcomes.push(one.await.unwrap());
    }
    let enrolled = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused =
        outcomes.iter().filter(|outcome| matches!(outcome, Err(why) if why.body == "token-used")).count();
    eprintln!("50 raced for one token: {enrolled} enrolled, {refused} refused as used");
    assert_eq!((enrolled, refused), (1, 49));
    assert_eq!(small.events("host.enrolled").await, 1);
    assert_eq!(hosts::facts(&small.store, TENANT).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_three_lets_in_three() {
    let small = small::start().await;
    let token = small.token(3).await;
    let mut codes = Vec::new();
    for number in 0..5 {
        let joined = SimProbe::enrol(&small.server, &token, &format!("host-{number}")).await;
        codes.push(joined.err().map(|why| why.body));
    }
    assert_eq!(codes.iter().filter(|code| code.is_none()).count(), 3);
    assert!(codes.iter().skip(3).all(|code| code.as_deref() == Some("token-used")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_asked_for_again_and_a_key_with_another_token_is_refused() {
    let small = small::start().await;
    let (token, other) = (small.token(1).await, small.token(1).await);
    let key = fresh_key();
    let words = enrolment(&key, &token, "web-03");
    let first = SimProbe::enrol_as(&small.server, key.clone(), &words).await.unwrap();
    let again = SimProbe::enrol_as(&small.server, key.clone(), &words).await.unwrap();
    assert_eq!(first.host(), again.host());
    assert_eq!(small.events("host.enrolled").await, 1);
    let taken =
        SimProbe::enrol_as(&small.server, key.clone(), &enrolment(&key, &other, "web-03")).await.unwrap_err();
    assert_eq!(taken.body, "key-taken");
    SimProbe::enrol(&small.server, &other, "web-04")
        .await
        .expect("the other token was not spent by the refusal");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_machine_of_the_same_name_takes_nothing_over() {
    let small = small::start().await;
    let first = small.probe("web-03").await;
    let (mut wire, epoch) = first.connect().await;
    let second = small.probe("web-03").await;
    let (_other, _) = second.connect().await;
    assert_ne!(first.host(), second.host());
    let row = small.host(first.host()).await;
    assert_eq!((row.epoch, row.connected, row.facts.name.as_str()), (epoch, true, "web-03"));
    assert_eq!(row.key, legator_wire::keys::Signer::public(&first.key).hex());
    assert!(
        wire.next_within(Duration::from_millis(300)).await.is_none(),
        "the first one hears nothing of it"
    );
    small.until_host(second.host(), "the second is online", |row| row.facts.status == "online").await;
    assert_eq!(hosts::facts(&small.store, TENANT).await.unwrap().len(), 2);
    let told = legator_store::sql::all(
        small.store.reader(),
        "SELECT body FROM events WHERE kind = 'host.enrolled' AND body LIKE '%\"name_clash\":true%'",
        vec![],
    );
    assert_eq!(told.await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enrolments_that_are_none_spend_no_token() {
    let small = small::start().await;
    let token = small.token(1).await;
    let key = fresh_key();
    let good = enrolment(&key, &token, "web");
    let labels = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let many: BTreeMap<_, _> = (0..100_000).map(|n| (format!("label-{n}"), "x".to_owned())).collect();
    let words = [
        ("level as a label", labels("level", "remediate"), None, "malformed"),
        ("tenant as a label", labels("tenant", "other"), None, "malformed"),
        ("approved as a label", labels("legator.approved", "true"), None, "malformed"),
        ("a hundred thousand labels", many, None, "malformed"),
        ("a name with a line break", BTreeMap::new(), Some("a\nb"), "malformed"),
        ("a name that is a pattern", BTreeMap::new(), Some("*"), "malformed"),
    ];
    let mut count = 0;
    for (what, labels, name, code) in words {
        let mut changed = good.clone();
        changed.labels = labels;
        changed.name = name.map(str::to_owned);
        let refused = SimProbe::enrol_as(&small.server, key.clone(), &changed).await;
        count += 1;
        match refused {
            Err(why) => assert!(why.body == code || why.status == 413, "{what}: {why:?}"),
            Ok(_) => panic!("{what} was taken"),
        }
    }
    for bad in [
        "",
        "lt_",
        "lt_x_y_z",
        &token.replace("lt_", "lk_"),
        &format!("{token}0"),
        &token[..token.len() - 40],
    ] {
        let mut changed = good.clone();
        bad.clone_into(&mut changed.token);
        count += 1;
        assert_eq!(
            SimProbe::enrol_as(&small.server, key.clone(), &changed).await.unwrap_err().body,
            "bad-token",
            "{bad:?}"
        );
    }
    // Signed by another key than the one that is named.
    let stolen = SimProbe::enrol_as(&small.server, fresh_key(), &good).await.unwrap_err();
    assert_eq!(stolen.body, "bad-signature");
    SimProbe::enrol_as(&small.server, key.clone(), &good).await.expect("the good twin");
    eprintln!("{} enrolments refused, the good twin taken", count + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_renewed_with_the_key_alone_and_not_without() {
    let small = small::start().await;
    let mut probe = small.probe("web").await;
    let before = probe.admission.credential.clone();
    tokio::time::sleep(Duration::from_millis(1_100)).await; // credentials count whole seconds
    probe.renew().await.unwrap();
    assert_ne!(probe.admission.credential, before);
    probe.connect().await;
    let mut thief = probe.clone();
    thief.key = fresh_key();
    assert_eq!(thief.renew().await.unwrap_err().body, "bad-signature");
    revoke(&small, &probe).await;
    assert_eq!(probe.renew().await.unwrap_err().body, "host-revoked");
}

async fn revoke(small: &small::Small, probe: &SimProbe) {
    let (op, host) = (small.op(), probe.host());
    let revoked = small.store.write::<_, StoreError, _>(&op, async |tx| {
        hosts::revoke(tx, host, None).await?.ok_or(StoreError::Fenced("no host".into()))
    });
    revoked.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_closes_the_session_and_the_door_within_ten_seconds() {
    let small = small::start().await;
    let (probe, other) = (small.probe("bad").await, small.probe("good").await);
    let (mut wire, _) = probe.connect().await;
    let (mut stays, _) = other.connect().await;
    let started = Instant::now();
    revoke(&small, &probe).await;
    let told = wire.until(|down| matches!(down, Down::Denied { .. }).then_some(down)).await;
    assert_eq!(told, Some(Down::Denied { code: "revoked".to_owned() }));
    assert!(wire.is_closed().await);
    let took = started.elapsed();
    eprintln!("revoked: closed after {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let (_, answer) = probe.say_hello(|_| {}).await;
    assert_eq!(answer, Some(Down::Denied { code: "revoked".to_owned() }));
    assert!(stays.next_within(Duration::from_millis(300)).await.is_none(), "others do not notice");
    assert_eq!(small.host(other.host()).await.facts.status, "online");
    assert_eq!(small.host(probe.host()).await.facts.status, "revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hosts_key_changed_by_hand_in_the_database_admits_nobody() {
    let small = small::start().await;
    let probe = small.probe("web").await;
    let thief = fresh_key();
    let text = "UPDATE sealed SET content = replace(content, ?, ?) WHERE kind = 'host'";
    let old = legator_wire::keys::Signer::public(&probe.key).hex();
    let new = legator_wire::keys::Signer::public(&thief).hex();
    let changed =
        legator_store::sql::execute(small.store.reader(), text, vec![old.into(), new.into()]).await.unwrap();
    assert_eq!(changed, 1);
    let mut forged = probe.clone();
    forged.key = thief;
    let (_, answer) = forged.say_hello(|_| {}).await;
    assert!(matches!(answer, Some(Down::Denied { .. })), "{answer:?}");
}

/// A renewal at the server's time, signed by this key.
async fn renewed(
    small: &small::Small,
    probe: &SimProbe,
    made_at: legator_core::time::Timestamp,
) -> (u16, String) {
    let renewal = Renewal { installation: probe.admission.installation.clone(), host: probe.host(), made_at };
    let envelope = Envelope::seal(&renewal, &probe.key);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.post(format!("{}/api/v1/renew", small.server)).json(&envelope).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_lasts_seven_days_and_its_renewal_seven_more() {
    let clock = Arc::new(ManualClock::default());
    clock.set(legator_testkit::sim::now());
    let options = Options { clock: clock.clone(), ..Options::memory([9; 32]) };
    let store = Store::open(options).await.unwrap();
    let authority = AuthorityKey::from_secret(&[3; 32]);
    let small = small::start_on(store, authority, legator_edge::Settings::default()).await;
    let old = small.probe("web").await;
    let (_wire, first) = old.connect().await;
    let day = |days: u64| clock.advance(Span::from_secs(days * 86_400));
    day(6);
    small::until("the edge is fresh again", async || small.edge.is_ready()).await;
    // Renewed while it is connected; the old one still holds.
    let mut fresh = old.clone();
    let now = || small.store.clock().now();
    let (status, body) = renewed(&small, &old, now()).await;
    assert_eq!(status, 200, "{body}");
    fresh.admission = serde_json::from_str(&body).unwrap();
    assert_eq!(small.edge.sessions(), 1, "a renewal ends no session");
    day(1);
    clock.advance(Span::from_secs(60));
    small::until("the edge is fresh again", async || small.edge.is_ready()).await;
    let (_, answer) = old.say_hello(|_| {}).await;
    assert!(matches!(answer, Some(Down::Denied { ref code }) if code == "bad-credential"), "{answer:?}");
    assert_eq!(small.edge.sessions(), 1, "what is refused disturbs no session");
    let (_fresh, epoch) = fresh.connect().await;
    assert!(epoch > first, "the renewed one opens the door");
    // One that lapsed is no bar: renewal is proven by the key. A renewal of another time, or by another key, is none.
    let (status, body) = renewed(&small, &old, legator_testkit::sim::now()).await;
    assert_eq!((status, body.as_str()), (409, "clock-off"), "an old renewal is no renewal");
    let thief = SimProbe { key: fresh_key(), ..old.clone() };
    assert_eq!(renewed(&small, &thief, now()).await.1, "bad-signature");
    revoke(&small, &old).await;
    assert_eq!(renewed(&small, &old, now()).await.1, "host-revoked");
}
