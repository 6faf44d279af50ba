//! What every backend of the bus does, run over each.
//!
//! Proves delivery by pattern, groups, requests, bounds and the end of subscriptions.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use legator_bus::{BODY_BYTES_MAX, Bus, BusError, Subscription, subject};
use legator_core::ids::{HostId, InstanceId, PlanId};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);

async fn backends() -> Vec<Bus> {
    vec![Bus::in_process()]
}

async fn next(subscription: &mut Subscription) -> (String, Vec<u8>) {
    let message = tokio::time::timeout(LONG, subscription.next()).await.unwrap().unwrap();
    (message.subject.to_string(), message.body.to_vec())
}

#[tokio::test]
async fn a_message_reaches_whoever_listens_to_its_subject_or_pattern_and_nobody_else() {
    for bus in backends().await {
        let (edge, host) = (InstanceId::new(1), HostId::new(2));
        let mut exact = bus.subscribe(subject::edge_cmd(edge, host)).await.unwrap();
        let mut all = bus.subscribe(subject::edge_cmds(edge)).await.unwrap();
        let mut other = bus.subscribe(subject::edge_cmds(InstanceId::new(9))).await.unwrap();
        bus.publish(&subject::edge_cmd(edge, host), b"one".to_vec()).await.unwrap();
        bus.publish(&subject::edge_cmd(edge, HostId::new(3)), b"two".to_vec()).await.unwrap();
        assert_eq!(next(&mut exact).await.1, b"one");
        assert_eq!(next(&mut all).await.1, b"one");
        assert_eq!(next(&mut all).await.1, b"two");
        assert!(exact.try_next().is_none() && other.try_next().is_none());
        let pattern = bus.publish(&subject::edge_cmds(edge), b"x".to_vec()).await;
        assert!(matches!(pattern, Err(BusError::Pattern(_))));
    }
}

#[tokio::test]
async fn a_group_shares_messages_and_each_goes_to_one() {
    for bus in backends().await {
        let mut members = Vec::new();
        for _ in 0..3 {
            members.push(bus.queue_subscribe(subject::host_ups("receipt"), "workers").await.unwrap());
        }
        let mut watcher = bus.subscribe(subject::host_ups("receipt")).await.unwrap();
        for n in 0..300u32 {
            bus.publish(&subject::host_up(HostId::new(n.into()), "receipt"), n.to_be_bytes()).await.unwrap();
        }
        let mut seen = Vec::new();
        for member in &mut members {
            let mut got = 0;
            while let Some(message) = member.try_next() {
                seen.push(message.body.to_vec());
                got += 1;
            }
            assert_eq!(got, 100, "they take turns");
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 300);
        assert_eq!(std::iter::from_fn(|| watcher.try_next()).count(), 300);
    }
}

#[tokio::test]
async fn a_request_is_answered_once_and_late_answers_are_dropped() {
    for bus in backends().await {
        assert!(matches!(bus.request(&subject::enrol(), b"?", LONG).await, Err(BusError::NoResponder(_))));
        let mut worker = bus.queue_subscribe(subject::enrol(), "workers").await.unwrap();
        let there = bus.clone();
        let answering = tokio::spawn(async move {
            let first = worker.next().await.unwrap();
            there.reply(&first, b"yes".to_vec()).await.unwrap();
            there.reply(&first, b"again".to_vec()).await.unwrap();
            let silent = worker.next().await.unwrap();
            (worker, silent)
        });
        assert_eq!(bus.request(&subject::enrol(), b"?", LONG).await.unwrap(), b"yes");
        let short = bus.request(&subject::enrol(), b"?", Duration::from_millis(20)).await;
        assert!(matches!(short, Err(BusError::Timeout(_))));
        let (_worker, late) = answering.await.unwrap();
        bus.reply(&late, b"late".to_vec()).await.unwrap();
        let plain = legator_bus::Message { reply: None, ..late };
        assert_eq!(bus.reply(&plain, b"".to_vec()).await, Err(BusError::NoReply));
    }
}

#[tokio::test]
async fn a_slow_reader_loses_its_oldest_and_knows_how_many() {
    for bus in backends().await {
        let mut slow = bus.subscribe(subject::wakes("plan")).await.unwrap();
        for n in 0..20_000u32 {
            bus.publish(&subject::wake("plan", PlanId::new(n.into())), n.to_be_bytes()).await.unwrap();
        }
        let first = slow.try_next().unwrap();
        let lost = u32::from_be_bytes(first.body.to_vec().try_into().unwrap());
        assert!(lost > 0 && slow.dropped() == u64::from(lost), "{lost} {}", slow.dropped());
        let big = bus.publish(&subject::enrol(), vec![0; BODY_BYTES_MAX + 1]).await;
        assert_eq!(big, Err(BusError::TooLarge(BODY_BYTES_MAX + 1)));
    }
}

#[tokio::test]
async fn a_dropped_subscription_is_gone() {
    for bus in backends().await {
        let listening = bus.subscribe(subject::enrol()).await.unwrap();
        let pattern = bus.subscribe(subject::turns()).await.unwrap();
        drop((listening, pattern));
        assert!(matches!(bus.request(&subject::enrol(), b"", LONG).await, Err(BusError::NoResponder(_))));
        assert!(matches!(bus.request(&subject::turn(None), b"", LONG).await, Err(BusError::NoResponder(_))));
    }
    eprintln!("bus: 5 cases over {} backend(s)", backends().await.len());
}
