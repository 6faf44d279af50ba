//! Used ids, receipts and crashes, over a real file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use super::*;
use legator_core::ids::{HostId, PlanId};
use legator_core::span::Span;
use legator_core::task::Outcome;

fn key() -> ProbeKey {
    ProbeKey::from_secret(&[7; 32])
}

fn content(n: u8) -> Content {
    Content { plan: Digest::of(&[n]), leaf: Digest::of(&[n, n]) }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::EPOCH + Span::from_secs(seconds)
}

fn begun(n: u8) -> Begun {
    Begun {
        task: TaskId::new(u128::from(n)),
        content: content(n),
        plan: PlanId::new(1),
        grant: Digest::of(b"grant"),
        verb: "file.read".into(),
        expires_at: at(1_000),
        at: at(100),
        sealed_at: at(u64::from(n)),
        quorum: Vec::new(),
    }
}

fn sent(n: u8, output: usize) -> Sent {
    let stdout = vec![n; output];
    let of = (TaskId::new(u128::from(n)), content(n).plan, Digest::of(b"grant"));
    let mut receipt = Receipt::bare(("here".into(), HostId::new(1)), of, Outcome::Succeeded, at(200));
    receipt.stdout = Kept::whole(&stdout);
    Sent { receipt: Envelope::seal(&receipt, &key()), stdout, stderr: Vec::new() }
}

async fn run(journal: &Journal, n: u8, output: usize) -> Sent {
    journal.begin(begun(n)).await.unwrap();
    let task = TaskId::new(u128::from(n));
    journal.end((task, content(n)), at(1_000), sent(n, output)).await.unwrap()
}

#[tokio::test]
async fn an_id_is_used_once_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let task = |n: u8| TaskId::new(u128::from(n));
    {
        let journal = Journal::open(folder.path(), key()).unwrap();
        assert_eq!(journal.known(task(1), &content(1)), Known::New);
        journal.begin(begun(1)).await.unwrap();
        assert_eq!(journal.known(task(1), &content(1)), Known::Running);
        run(&journal, 2, 10).await;
        run(&journal, 3, 10).await;
        assert!(!journal.settle(task(3), Digest::of(b"another")).await);
        assert!(journal.settle(task(3), sent(3, 10).receipt.digest()).await);
        journal.cancel(task(4), at(1_000)).await.unwrap();
        journal.raise(at(500)).await;
    }
    for _ in 0..2 {
        let journal = Journal::open(folder.path(), key()).unwrap();
        assert_eq!(journal.known(task(1), &content(1)), Known::Running);
        assert_eq!(journal.known(task(1), &content(9)), Known::Other);
        assert_eq!(journal.known(task(2), &content(2)), Known::Ended(Box::new(sent(2, 10))));
        assert_eq!(journal.known(task(3), &content(3)), Known::Settled(sent(3, 10).receipt.digest()));
        assert_eq!(journal.known(task(3), &content(2)), Known::Other);
        assert_eq!(journal.known(task(4), &content(4)), Known::Cancelled);
        assert_eq!((journal.high_water(), journal.waiting()), (at(500), vec![task(2)]));
        assert_eq!(journal.unfinished(), vec![(begun(1), None)]);
    }
    let journal = Journal::open(folder.path(), key()).unwrap();
    journal.raise(at(2_000)).await;
    drop(journal);
    let journal = Journal::open(folder.path(), key()).unwrap();
    assert_eq!(journal.known(task(3), &content(3)), Known::New, "time alone refuses it by now");
    assert_eq!(journal.waiting(), vec![task(2)], "a receipt that waits is never forgotten");
}

#[tokio::test]
async fn a_torn_end_is_cut_off_and_any_other_damage_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.log");
    let journal = Journal::open(folder.path(), key()).unwrap();
    for n in 1..=3 {
        run(&journal, n, 100).await;
    }
    drop(journal);
    let whole = std::fs::read(&path).unwrap();
    let lines: Vec<usize> =
        whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
    let last = lines[lines.len() - 2];
    for cut in (last..whole.len()).step_by(37) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let shared = Shared::open(&path).unwrap();
        assert_eq!(shared.length, last as u64);
    }
    let mut cases = 0;
    for place in (0..last).step_by(53) {
        let mut bad = whole.clone();
        bad[place] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        assert!(Shared::open(&path).is_err(), "byte {place}");
        cases += 1;
    }
    eprintln!("journal: {cases} damaged files refused");
}

#[tokio::test]
async fn a_file_torn_at_any_byte_gives_back_every_whole_record_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.log");
    let journal = Journal::open(folder.path(), key()).unwrap();
    run(&journal, 1, 20).await;
    journal.begin(begun(2)).await.unwrap();
    journal.cancel(TaskId::new(3), at(1_000)).await.unwrap();
    drop(journal);
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let shared = Shared::open(&path).unwrap_or_else(|error| panic!("byte {cut}: {error}"));
        let kept = whole[..cut].iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        assert_eq!(shared.length, kept as u64, "byte {cut}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), kept as u64, "what was torn is cut off");
        // An id whose first record was whole is used, whatever was torn after it.
        let records = whole[..kept]
            .split(|byte| *byte == b'\n')
            .filter_map(|line| Record::parse(&[line, b"\n"].concat()));
        let used =
            records.filter(|record| matches!(record, Record::Begun(_) | Record::Cancelled { .. })).count();
        assert_eq!(shared.index.entries.len(), used, "byte {cut}");
    }
    eprintln!("journal: {} torn files recovered", whole.len() + 1);
}

#[tokio::test]
async fn the_oldest_output_goes_first_and_no_receipt_ever() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open_with(folder.path(), key(), 1024 * 1024).unwrap();
    for n in 1..=10 {
        run(&journal, n, 150_000).await;
    }
    assert_eq!(journal.waiting().len(), 10);
    let output = |n: u8| journal.receipt(TaskId::new(u128::from(n))).unwrap();
    let (first, last) = (output(1), output(10));
    assert!(first.stdout.is_empty() && last.stdout.len() == 150_000);
    let receipt: Receipt = first.receipt.open(&key().public()).unwrap();
    assert!(first.is_proven_by(&receipt) && receipt.stdout.truncated && receipt.stdout.bytes == 150_000);
    assert!(receipt.detail.unwrap().contains("dropped"));
    assert!(
        journal.settle(TaskId::new(1), sent(1, 150_000).receipt.digest()).await,
        "sent before it was dropped"
    );
}

#[tokio::test]
async fn without_room_nothing_may_begin() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open_with(folder.path(), key(), 600 * 1024).unwrap();
    assert!(journal.has_room(1_000));
    assert!(!journal.has_room(512 * 1024));
}

#[tokio::test]
async fn the_file_stays_small_when_receipts_are_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), key()).unwrap();
    for n in 1..=40 {
        let kept = run(&journal, n, 200_000).await;
        assert!(journal.settle(TaskId::new(u128::from(n)), kept.receipt.digest()).await);
    }
    let bytes = std::fs::metadata(folder.path().join("journal.log")).unwrap().len();
    assert!(bytes < 6 * 1024 * 1024, "{bytes}");
    assert_eq!(journal.known(TaskId::new(1), &content(1)), Known::Settled(sent(1, 200_000).receipt.digest()));
}
