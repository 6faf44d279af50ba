//! The store of pre-images: kept, bounded, aged, damaged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use super::*;
use std::os::unix::fs::PermissionsExt as _;

fn image(task: u128, at: i64, content: &[u8]) -> Image {
    let past = Past::File {
        path: "/etc/a".into(),
        attributes: Attributes::default(),
        before: Digest::of(content),
        after: Digest::of(b"new"),
    };
    Image { task: TaskId::new(task), made_at: Timestamp::from_millis(at), past, content: content.to_vec() }
}

#[test]
fn what_is_kept_comes_back_and_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let image = image(1, 1000, b"old");
    assert!(store.save(&image, 3).unwrap());
    assert_eq!(store.load(image.task, image.made_at).unwrap(), image);
    assert!(store.load(TaskId::new(2), image.made_at).is_none());
    for entry in fs::read_dir(dir.path().join("preimages")).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let late = image.made_at + KEPT_FOR + Span::from_secs(1);
    assert!(store.load(image.task, late).is_none(), "older than 30 days");
}

#[test]
fn what_is_too_large_or_damaged_is_not_gone_back_to() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let image = image(1, 1000, b"old");
    assert!(!store.save(&image, CONTENT_BYTES_MAX + 1).unwrap());
    assert!(store.load(image.task, image.made_at).is_none());
    store.save(&image, 3).unwrap();
    fs::write(store.content_path(image.task), b"odd").unwrap();
    assert!(store.load(image.task, image.made_at).is_none(), "another content than the one that was kept");
    fs::write(store.facts_path(image.task), b"{").unwrap();
    assert!(store.load(image.task, image.made_at).is_none());
}

#[test]
fn the_oldest_go_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store.total_bytes_max = 5000;
    for number in 1..=10_u8 {
        store.save(&image(number.into(), i64::from(number) * 1000, &[number; 1000]), 1000).unwrap();
        let total: u64 =
            fs::read_dir(&*store.dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(total <= 5000, "{total}");
    }
    let now = Timestamp::from_millis(20_000);
    let left: Vec<u128> = (1..=10).filter(|task| store.load(TaskId::new(*task), now).is_some()).collect();
    assert!(!left.is_empty() && left.ends_with(&[10]) && !left.contains(&1), "{left:?}");
}
