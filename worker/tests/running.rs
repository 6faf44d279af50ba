//! From a plan to a receipt and back: grants, starts, receipts, acknowledgements, and what gets lost between them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

mod small;

use legator_bus::subject;
use legator_core::ids::TaskId;
use legator_core::plan::PlanState;
use legator_core::task::{Outcome, TaskState};
use legator_testkit::sim::{Honest, SimProbe, Wire, receipt_for};
use legator_wire::corridor::{Command, Order, pack};
use legator_wire::dsse::Envelope;
use legator_wire::frame::{Down, Up};
use legator_wire::grant::Delivery;
use legator_wire::order::{Ack, Cancel};
use legator_wire::receipt::{Receipt, Sent};
use small::{Small, until};
use std::time::{Duration, Instant};

fn sent(probe: &SimProbe, receipt: &Receipt, stdout: &[u8]) -> Up {
    let receipt = Envelope::seal(receipt, &probe.key);
    Up::Receipt(Box::new(Sent { receipt, stdout: stdout.to_vec(), stderr: Vec::new() }))
}

async fn grant(wire: &mut Wire) -> Delivery {
    let grant = |down| if let Down::Grant(delivery) = down { Some(*delivery) } else { None };
    wire.until(grant).await.expect("a grant comes")
}

async fn ack(wire: &mut Wire, probe: &SimProbe) -> Ack {
    let ack = |down| if let Down::Ack { envelope } = down { Some(envelope) } else { None };
    let envelope = wire.until(ack).await.expect("an acknowledgement comes");
    envelope.open(&probe.admission.authority).unwrap()
}

async fn finished(small: &Small, plan: legator_core::ids::PlanId) {
    until("the plan is finished", async || small.plan(plan).await.state == PlanState::Finished).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_goes_the_whole_way() {
    let small = small::start().await;
    let probe = small.probe("web-03").await;
    let started = Instant::now();
    let (mut wire, _) = probe.connect().await;
    small.until_host(probe.host(), "online", |row| row.facts.status == "online").await;
    assert!(started.elapsed() < Duration::from_secs(5));
    let plan = small.read_on("name=web-03").await;
    let delivery = grant(&mut wire).await;
    let task = delivery.leaf.task;
    wire.send(&Up::Started { plan: plan.id, task }).await;
    until("it runs", async || small.plan(plan.id).await.tasks[0].state == TaskState::Running).await;
    let receipt = receipt_for(&probe, &delivery, Outcome::Succeeded, b"size: 7\n");
    wire.send(&sent(&probe, &receipt, b"size: 7\n")).await;
    let ack = ack(&mut wire, &probe).await;
    assert_eq!((ack.task, ack.host), (task, probe.host()));
    finished(&small, plan.id).await;
    let view = small.plan(plan.id).await;
    assert_eq!(view.tasks[0].state, TaskState::Succeeded);
    assert_eq!(small.events("task.ended").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_receipt_twice_is_one_record_and_two_acknowledgements() {
    let small = small::start().await;
    let probe = small.probe("web").await;
    let (mut wire, _) = probe.connect().await;
    small.until_host(probe.host(), "connected", |row| row.connected).await;
    let plan = small.read_on("name=web").await;
    let delivery = grant(&mut wire).await;
    let up = sent(&probe, &receipt_for(&probe, &delivery, Outcome::Failed, b""), b"");
    wire.send(&up).await;
    let first = ack(&mut wire, &probe).await;
    wire.send(&up).await;
    let second = ack(&mut wire, &probe).await;
    assert_eq!((first.task, first.receipt), (second.task, second.receipt));
    // Now it changes its mind, well signed.
    wire.send(&sent(&probe, &receipt_for(&probe, &delivery, Outcome::Succeeded, b""), b"")).await;
    finished(&small, plan.id).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(small.plan(plan.id).await.tasks[0].state, TaskState::Failed, "the first one stands");
    assert_eq!(small.events("task.ended").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_host_cannot_speak_for_another_and_a_bad_signature_is_no_receipt() {
    let small = small::start().await;
    let (a, b) = (small.probe("a").await, small.probe("b").await);
    let (mut wire_a, _) = a.connect().await;
    let (mut wire_b, _) = b.connect().await;
    for probe in [&a, &b] {
        small.until_host(probe.host(), "connected", |row| row.connected).await;
    }
    let plan = small.read_on("name=b").await;
    let delivery = grant(&mut wire_b).await;
    // A says how B's task ended: signed by A, in A's name and in B's.
    let mut of_a = receipt_for(&b, &delivery, Outcome::Succeeded, b"");
    wire_a.send(&sent(&a, &of_a, b"")).await;
    of_a.host = a.host();
    wire_a.send(&sent(&a, &of_a, b"")).await;
    // B's own connection brings a receipt with a broken signature, one by A's key, and one whose output is another.
    let honest = receipt_for(&b, &delivery, Outcome::Failed, b"");
    let mut broken = Envelope::seal(&honest, &b.key);
    broken.signatures[0].sig[5] ^= 1;
    let broken = Sent { receipt: broken, stdout: Vec::new(), stderr: Vec::new() };
    wire_b.send(&Up::Receipt(Box::new(broken))).await;
    wire_b.send(&sent(&a, &honest, b"")).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let state = small.plan(plan.id).await.tasks[0].state;
    assert!(!state.is_final(), "still waiting, not {state}");
    wire_b.send(&sent(&b, &honest, b"")).await;
    assert_eq!(ack(&mut wire_b, &b).await.task, delivery.leaf.task);
    finished(&small, plan.id).await;
    assert_eq!(small.plan(plan.id).await.tasks[0].state, TaskState::Failed);
    assert!(wire_a.next_within(Duration::from_millis(200)).await.is_none(), "nothing was acknowledged to A");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_lost_results_do_not_freeze_dispatch() {
    let small = small::start().await;
    let mut silent = Vec::new();
    for number in 0..8 {
        let probe = small.probe(&format!("silent-{number}")).await;
        let (wire, _) = probe.connect().await;
        silent.push((probe, wire));
    }
    let honest = small.probe("honest").await;
    let mut honest = Honest::connect(honest).await;
    small.until_host(honest.probe.host(), "connected", |row| row.connected).await;
    for (number, (_, wire)) in silent.iter_mut().enumerate() {
        let plan = small.read_on(&format!("name=silent-{number}")).await;
        let delivery = grant(wire).await;
        wire.send(&Up::Started { plan: plan.id, task: delivery.leaf.task }).await;
    }
    let started = Instant::now();
    let mut plans = Vec::new();
    for _ in 0..20 {
        plans.push(small.read_on("name=honest").await.id);
    }
    assert!(honest.until_acked(20).await);
    for plan in plans {
        finished(&small, plan).await;
    }
    eprintln!("8 results lost; 20 plans finished after {:?}", started.elapsed());
    assert!(honest.started.values().all(|count| *count == 1), "each ran once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_a_busy_probe_gives_back_is_offered_again() {
    let small = small::start().await;
    let probe = small.probe("busy").await;
    let (mut wire, _) = probe.connect().await;
    small.until_host(probe.host(), "connected", |row| row.connected).await;
    let plan = small.read_on("name=busy").await;
    let mut offers: Vec<(TaskId, _)> = Vec::new();
    for _ in 0..3 {
        let delivery = grant(&mut wire).await;
        offers.push((delivery.leaf.task, delivery.grant.clone()));
        wire.send(&Up::Busy { task: delivery.leaf.task }).await;
    }
    let delivery = grant(&mut wire).await;
    assert!(
        offers.iter().all(|(task, grant)| *task == delivery.leaf.task && *grant == delivery.grant),
        "the same grant"
    );
    wire.send(&sent(&probe, &receipt_for(&probe, &delivery, Outcome::Succeeded, b""), b"")).await;
    finished(&small, plan.id).await;
    assert_eq!(small.plan(plan.id).await.tasks[0].state, TaskState::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_comes_back_gets_its_grant_again_and_its_receipt_counts() {
    let small = small::start().await;
    let mut probe = small.probe("web").await;
    let (mut wire, first) = probe.connect().await;
    small.until_host(probe.host(), "connected", |row| row.connected).await;
    let plan = small.read_on("name=web").await;
    let delivery = grant(&mut wire).await;
    wire.vanish();
    let (mut wire, second) = probe.connect().await;
    assert!(second > first);
    let again = grant(&mut wire).await;
    assert_eq!((again.leaf.task, &again.grant), (delivery.leaf.task, &delivery.grant), "the very same grant");
    // It runs now, and says so in its next hello: nothing is sent again.
    wire.send(&Up::Started { plan: plan.id, task: again.leaf.task }).await;
    until("it runs", async || small.plan(plan.id).await.tasks[0].state == TaskState::Running).await;
    wire.vanish();
    probe.running = vec![again.leaf.task];
    let (mut wire, _) = probe.connect().await;
    let receipt = receipt_for(&probe, &again, Outcome::Succeeded, b"");
    wire.send(&sent(&probe, &receipt, b"")).await;
    let mut grants = 0;
    let acked = wire.until(|down| {
        grants += u32::from(matches!(down, Down::Grant(_)));
        matches!(down, Down::Ack { .. }).then_some(())
    });
    assert!(acked.await.is_some());
    assert_eq!(grants, 0);
    finished(&small, plan.id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fenced_session_records_nothing() {
    let small = small::start().await;
    let probe = small.probe("web").await;
    let (mut old, _) = probe.connect().await;
    small.until_host(probe.host(), "connected", |row| row.connected).await;
    let plan = small.read_on("name=web").await;
    let delivery = grant(&mut old).await;
    let (mut new, epoch) = probe.connect().await;
    old.send(&sent(&probe, &receipt_for(&probe, &delivery, Outcome::Succeeded, b""), b"")).await;
    assert!(old.is_closed().await, "the older session is closed");
    let again = grant(&mut new).await;
    assert!(!small.plan(plan.id).await.tasks[0].state.is_final());
    new.send(&sent(&probe, &receipt_for(&probe, &again, Outcome::Failed, b""), b"")).await;
    finished(&small, plan.id).await;
    assert_eq!(small.plan(plan.id).await.tasks[0].state, TaskState::Failed);
    assert_eq!(small.host(probe.host()).await.epoch, epoch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_over_many_hosts_ends_once_on_each() {
    const HOSTS: usize = 40;
    let small = small::start().await;
    let token = small.token(HOSTS as u32).await;
    let mut probes = Vec::new();
    for number in 0..HOSTS {
        let probe = SimProbe::enrol(&small.server, &token, &format!("herd-{number}")).await.unwrap();
        probes.push(tokio::spawn(async move {
            let mut honest = Honest::connect(probe).await;
            honest.until_acked(1).await;
            honest
        }));
    }
    until("all are connected", async || small.edge.sessions() == HOSTS).await;
    let started = Instant::now();
    let plan = small.read_on("*").await;
    finished(&small, plan.id).await;
    eprintln!("{HOSTS} hosts, one plan: finished after {:?}", started.elapsed());
    let view = small.plan(plan.id).await;
    assert_eq!(view.tasks.iter().filter(|task| task.state == TaskState::Succeeded).count(), HOSTS);
    for probe in probes {
        let honest = probe.await.unwrap();
        assert_eq!(honest.started.values().copied().collect::<Vec<_>>(), vec![1]);
    }
}

fn refused(probe: &SimProbe, delivery: &Delivery, reason: &str) -> Receipt {
    let receipt = receipt_for(probe, delivery, Outcome::Refused, b"");
    Receipt { reason: Some(reason.to_owned()), started_at: None, exit_code: None, ..receipt }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_an_edge_provoked_is_an_alarm_and_the_true_grant_still_counts() {
    let small = small::start().await;
    let probe = small.probe("web").await;
    let (mut wire, _) = probe.connect().await;
    small.until_host(probe.host(), "connected", |row| row.connected).await;
    let plan = small.read_on("name=web").await;
    let delivery = grant(&mut wire).await;
    // What the probe says to bytes that were flipped on the way, and to another content under its id.
    for reason in ["bad-signature", "malformed", "other-plan", "leaf-not-under-plan", "used-before"] {
        wire.send(&sent(&probe, &refused(&probe, &delivery, reason), b"")).await;
    }
    until("the alarm", async || small.events("delivery.refused").await > 0).await;
    assert!(!small.plan(plan.id).await.tasks[0].state.is_final());
    // Then the edge delivers the true grant.
    wire.send(&Up::Started { plan: plan.id, task: delivery.leaf.task }).await;
    wire.send(&sent(&probe, &receipt_for(&probe, &delivery, Outcome::Succeeded, b"ok\n"), b"ok\n")).await;
    ack(&mut wire, &probe).await;
    finished(&small, plan.id).await;
    assert_eq!(small.plan(plan.id).await.tasks[0].state, TaskState::Succeeded);
    // It changes its mind: both digests are on record before the host may forget.
    wire.send(&sent(&probe, &receipt_for(&probe, &delivery, Outcome::Failed, b""), b"")).await;
    ack(&mut wire, &probe).await;
    assert_eq!(small.events("receipt.contradicts").await, 1);
    assert_eq!(small.plan(plan.id).await.tasks[0].state, TaskState::Succeeded);
    assert_eq!(small.events("task.ended").await, 1);
}

/// A change of this host, approved, and handed to its probe.
async fn change_of(small: &Small, wire: &mut Wire) -> (legator_core::ids::PlanId, Delivery) {
    let plan = small.change_on("name=web").await;
    (plan, grant(wire).await)
}

async fn cancel_of(wire: &mut Wire, probe: &SimProbe) -> Cancel {
    let order = |down| if let Down::Cancel { envelope } = down { Some(envelope) } else { None };
    let envelope = wire.until(order).await.expect("an order to stop comes");
    envelope.open(&probe.admission.authority).expect("the authority signs it")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_is_taken_back_tells_its_host_until_it_answers_signed() {
    let small = small::start().await;
    let probe = small.able("web").await;
    let (mut wire, _) = probe.connect().await;
    small.until_host(probe.host(), "connected", |row| row.connected).await;
    let (plan, delivery) = change_of(&small, &mut wire).await;
    wire.send(&Up::Started { plan, task: delivery.leaf.task }).await;
    // Anybody on the bus may wake this loop: without a cancelled plan nobody is told anything.
    small.bus.publish(&subject::wake("cancel", delivery.leaf.task), Vec::new()).await.unwrap();
    let forged = Cancel {
        installation: probe.admission.installation.clone(),
        host: probe.host(),
        task: delivery.leaf.task,
        made_at: legator_testkit::sim::now(),
    };
    let forged = Envelope::seal(&forged, &probe.key);
    let command =
        Command { epoch: None, order: Order::Send { frame: Box::new(Down::Cancel { envelope: forged }) } };
    let edge = small.host(probe.host()).await.edge.unwrap();
    small.bus.publish(&subject::edge_cmd(edge, probe.host()), pack(&command)).await.unwrap();
    let order = |down| if let Down::Cancel { envelope } = down { Some(envelope) } else { None };
    let envelope = wire.until(order).await.expect("an edge hands on what it is told");
    assert!(envelope.open::<Cancel>(&probe.admission.authority).is_err(), "and a probe sees who signed it");
    legator_gate::cancel(&small.gate, &small::caller(), plan).await.unwrap();
    let first = cancel_of(&mut wire, &probe).await;
    assert_eq!((first.task, first.host), (delivery.leaf.task, probe.host()));
    // It is lost, and the session with it: told again at the next one, and the task is not sent again.
    wire.vanish();
    let (mut wire, _) = probe.connect().await;
    let mut grants = 0;
    let told = wire.until(|down| {
        grants += u32::from(matches!(down, Down::Grant(_)));
        matches!(down, Down::Cancel { .. }).then_some(())
    });
    assert!(told.await.is_some());
    assert_eq!(grants, 0);
    assert!(!small.plan(plan).await.state.is_final(), "the server's word ends nothing that runs");
    wire.send(&sent(&probe, &receipt_for(&probe, &delivery, Outcome::Cancelled, b"half\n"), b"half\n")).await;
    ack(&mut wire, &probe).await;
    until("the plan is cancelled", async || small.plan(plan).await.state == PlanState::Cancelled).await;
    assert_eq!(small.plan(plan).await.tasks[0].state, TaskState::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_back_before_its_host_comes_never_runs() {
    let small = small::start().await;
    let probe = small.able("web").await;
    let plan = small.change_on("name=web").await;
    legator_gate::cancel(&small.gate, &small::caller(), plan).await.unwrap();
    until("the plan is cancelled", async || small.plan(plan).await.state == PlanState::Cancelled).await;
    let (mut wire, _) = probe.connect().await;
    small.until_host(probe.host(), "connected", |row| row.connected).await;
    let granted = async { wire.until(|down| matches!(down, Down::Grant(_)).then_some(())).await };
    assert!(
        tokio::time::timeout(Duration::from_millis(700), granted).await.is_err(),
        "nothing is handed over"
    );
    assert_eq!(small.plan(plan).await.tasks[0].state, TaskState::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_out_as_cloud_events_in_the_notarys_order() {
    let small = small::start().await;
    let mut stream = small.bus.subscribe(subject::events(small::TENANT)).await.unwrap();
    for number in 0..5 {
        small.probe(&format!("web-{number}")).await;
    }
    let (mut last, mut enrolled) = (0, 0);
    while enrolled < 5 {
        let message =
            tokio::time::timeout(small::PATIENCE, stream.next()).await.expect("events come").unwrap();
        let cloud: serde_json::Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(
            (cloud["specversion"].as_str(), cloud["datacontenttype"].as_str()),
            (Some("1.0"), Some("application/json"))
        );
        for field in ["id", "source", "type", "time", "sequence"] {
            assert!(cloud[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {cloud}");
        }
        assert_eq!(cloud["id"], cloud["data"]["id"]);
        let number: u64 = cloud["sequence"].as_str().unwrap().parse().unwrap();
        assert!(last == 0 || number == last + 1, "{number} after {last}");
        last = number;
        enrolled += usize::from(cloud["type"] == "legator.host.enrolled");
    }
    eprintln!("cloud events: {last} numbers without a gap");
}
