//! File verbs: what they read, what they refuse, and that a change is whole, kept and taken back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use crate::bench::Bench;
use legator_core::digest::Digest;
use legator_core::task::Outcome;
use legator_core::verbs;
use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

fn mkfifo(path: &str) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[tokio::test]
async fn a_file_is_read_whole_and_in_parts() {
    let bench = Bench::new();
    let path = bench.write("a", b"hello\xff world");
    let whole = bench.run("file.read", json!({ "path": path })).await;
    assert_eq!(
        (whole.done.outcome, whole.stdout.as_slice()),
        (Outcome::Succeeded, b"hello\xff world".as_slice())
    );
    assert_eq!(whole.done.result.unwrap()["digest"], json!(Digest::of(b"hello\xff world")));
    let part = bench.run("file.read", json!({ "path": path, "offset": 2, "bytes": 3 })).await;
    assert_eq!(part.stdout, b"llo");
    assert_eq!(part.done.result.unwrap()["more"], json!(true));
    symlink(&path, bench.path("link")).unwrap();
    let linked = bench.run("file.read", json!({ "path": bench.path("link") })).await;
    assert_eq!(linked.stdout, b"hello\xff world", "reading follows links");
    let stat = bench.run("file.stat", json!({ "path": bench.path("link") })).await.done.result.unwrap();
    assert_eq!((&stat["kind"], &stat["target"]), (&json!("link"), &json!(path)));
    let list = bench.run("file.list", json!({ "path": bench.work_dir })).await.done.result.unwrap();
    assert_eq!(list["entries"].as_array().unwrap().len(), 2);
    let cut =
        bench.run("file.list", json!({ "path": bench.work_dir, "limit": 1 })).await.done.result.unwrap();
    assert_eq!(cut["left_out"], json!(1), "what is left out is said");
}

#[tokio::test]
async fn what_is_no_regular_file_is_not_opened() {
    let bench = Bench::new();
    let fifo = bench.path("fifo");
    mkfifo(&fifo);
    symlink(&fifo, bench.path("to-fifo")).unwrap();
    let rows = [
        fifo.as_str(),
        &bench.path("to-fifo"),
        "/dev/null",
        "/dev/zero",
        "/dev",
        "/proc/self/fd/0",
        "/nothing",
    ];
    for path in rows {
        let did = bench.run("file.read", json!({ "path": path })).await;
        assert_eq!((did.done.outcome, did.refusal()), (Outcome::Refused, "not-applicable"), "{path}");
        assert!(did.stdout.is_empty());
    }
    eprintln!("verbs: {} kinds of files not opened", rows.len());
}

#[tokio::test]
async fn secrets_are_not_read_however_they_are_reached() {
    let bench = Bench::with_secrets(&["secret", "vault"]);
    let secret = bench.write("secret", b"canary");
    fs::create_dir(bench.path("vault")).unwrap();
    let inner = bench.write("vault/key", b"canary");
    symlink(&secret, bench.path("soft")).unwrap();
    symlink("soft", bench.path("soft2")).unwrap();
    symlink(bench.path("vault"), bench.path("dir")).unwrap();
    fs::hard_link(&secret, bench.path("hard")).unwrap();
    let state = bench.host.state_dir.join("probe.key");
    fs::write(&state, b"canary").unwrap();
    let mut rows =
        vec![secret.clone(), inner, bench.path("soft"), bench.path("soft2"), bench.path("dir/key")];
    rows.extend([bench.path("hard"), state.to_string_lossy().into_owned(), "/etc/shadow".into()]);
    rows.extend(["/proc/self/environ", "/proc/1/environ", "/proc/kcore", "/proc/self/mem"].map(String::from));
    rows.retain(|path| Path::new(path).exists());
    let root = format!("/proc/self/root{secret}");
    for path in rows.iter().chain([&root]) {
        for args in [json!({ "path": path }), json!({ "path": path, "state": true })] {
            let did = bench.run("file.read", args).await;
            assert_eq!(did.done.outcome, Outcome::Refused, "{path}: {:?}", did.done.detail);
            assert!(did.stdout.is_empty() && did.done.before.is_none(), "{path}");
        }
        let write = bench.run_as(
            "file.write",
            json!({ "path": path, "content": "x" }),
            None,
            Some(Digest::of(b"canary")),
        );
        assert_eq!(write.await.done.outcome, Outcome::Refused, "{path}");
    }
    assert_eq!(fs::read(&secret).unwrap(), b"canary");
    let found = bench.run("file.search", json!({ "path": bench.work_dir, "contains": "canary" })).await;
    assert_eq!(found.done.result.unwrap()["found"], json!([]), "a search does not look into them");
    let log = bench.run("log.read", json!({ "path": bench.path("hard") })).await;
    assert_eq!(log.refusal(), "secret-path");
    eprintln!("verbs: {} ways to a secret closed", rows.len() + 1);
}

#[tokio::test]
async fn a_write_keeps_owner_mode_and_attributes_and_is_undone() {
    let bench = Bench::new();
    let path = bench.write("conf", b"old\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let root = rustix::process::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(&path, Some(12_345), Some(23_456)).unwrap();
    }
    let file = fs::File::open(&path).unwrap();
    let tagged = rustix::fs::fsetxattr(&file, "user.tag", b"kept", rustix::fs::XattrFlags::empty()).is_ok();
    let (before, inode) = (fs::metadata(&path).unwrap(), fs::metadata(&path).unwrap().ino());
    let did = bench.run_shown("file.write", json!({ "path": path, "content": "new\n" })).await;
    assert_eq!(
        (did.done.outcome, did.done.verified),
        (Outcome::Succeeded, Some(true)),
        "{:?}",
        did.done.detail
    );
    let after = fs::metadata(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new\n");
    assert_ne!(after.ino(), inode, "another file came in its place");
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    let tag = || {
        let mut value = [0_u8; 16];
        let file = fs::File::open(&path).unwrap();
        let length = rustix::fs::fgetxattr(&file, "user.tag", value.as_mut_slice()).unwrap_or(0);
        value[..length].to_vec()
    };
    assert!(!tagged || tag() == b"kept");
    assert_eq!(fs::read_dir(&bench.work_dir).unwrap().count(), 1, "nothing is left beside it");

    let shown = verbs::shown(did.done.after.as_ref().unwrap());
    let undo = bench.run_as("task.undo", json!({ "task": did.task }), None, shown).await;
    assert_eq!(
        (undo.done.outcome, undo.done.verified),
        (Outcome::Succeeded, Some(true)),
        "{:?}",
        undo.done.detail
    );
    let back = fs::metadata(&path).unwrap();
    assert_eq!(
        (fs::read(&path).unwrap().as_slice(), back.mode(), back.uid()),
        (b"old\n".as_slice(), before.mode(), before.uid())
    );
    assert!(!tagged || tag() == b"kept");
    let again = bench.run("task.undo", json!({ "task": did.task })).await;
    assert_eq!(again.refusal(), "changed-pre-image", "what was undone is not undone again");
}

#[tokio::test]
async fn a_new_file_and_a_deletion_are_undone() {
    let bench = Bench::new();
    let path = bench.path("fresh");
    let did = bench
        .run_shown(
            "file.write",
            json!({ "path": path, "content": "AP8=", "encoding": "base64", "mode": "0600" }),
        )
        .await;
    assert_eq!(did.done.outcome, Outcome::Succeeded, "{:?}", did.done.detail);
    assert_eq!(fs::read(&path).unwrap(), b"\x00\xff");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    let delete = bench.run_shown("file.delete", json!({ "path": path })).await;
    assert_eq!((delete.done.outcome, delete.done.verified), (Outcome::Succeeded, Some(true)));
    assert!(!Path::new(&path).exists());
    assert_eq!(delete.done.after.as_ref().unwrap()["kind"], json!("absent"));
    let undo = bench.run("task.undo", json!({ "task": delete.task })).await;
    assert_eq!(undo.done.outcome, Outcome::Succeeded, "{:?}", undo.done.detail);
    assert_eq!(
        (fs::read(&path).unwrap().as_slice(), fs::metadata(&path).unwrap().mode() & 0o7777),
        (b"\x00\xff".as_slice(), 0o600)
    );
    let undo = bench.run("task.undo", json!({ "task": did.task })).await;
    assert_eq!(undo.done.outcome, Outcome::Succeeded);
    assert!(!Path::new(&path).exists(), "the file that the first task made is gone again");
    let gone = bench.run_as("file.delete", json!({ "path": path }), None, Some(verbs::ABSENT)).await;
    assert_eq!(gone.refusal(), "not-applicable");
}

#[tokio::test]
async fn a_changed_pre_image_is_refused_and_nothing_is_touched() {
    let bench = Bench::new();
    let path = bench.write("conf", b"shown\n");
    let shown = Some(Digest::of(b"shown\n"));
    let args = json!({ "path": path, "content": "new\n" });
    fs::write(&path, b"another\n").unwrap();
    let rows = [
        ("file.write", args.clone(), shown),
        ("file.write", args.clone(), None),
        ("file.write", args.clone(), Some(verbs::ABSENT)),
        ("file.delete", json!({ "path": path }), shown),
        ("file.delete", json!({ "path": path }), None),
        ("file.write", json!({ "path": bench.path("none"), "content": "x" }), shown),
    ];
    for (verb, args, shown) in rows.clone() {
        let did = bench.run_as(verb, args.clone(), None, shown).await;
        assert_eq!(
            (did.done.outcome, did.refusal()),
            (Outcome::Refused, "changed-pre-image"),
            "{verb} {args} {shown:?}"
        );
    }
    assert_eq!(fs::read(&path).unwrap(), b"another\n");
    assert_eq!(fs::read_dir(&bench.work_dir).unwrap().count(), 1);

    let did = bench.run_shown("file.write", args).await;
    fs::write(&path, b"newer\n").unwrap();
    let undo = bench.run("task.undo", json!({ "task": did.task })).await;
    assert_eq!(undo.refusal(), "changed-pre-image", "an undo does not go over something newer");
    assert_eq!(fs::read(&path).unwrap(), b"newer\n");
    fs::write(&path, b"new\n").unwrap();
    bench.pass_days(31);
    let undo = bench.run("task.undo", json!({ "task": did.task })).await;
    assert_eq!(undo.refusal(), "no-undo", "a copy older than 30 days is gone");
    assert_eq!(
        bench.run("task.undo", json!({ "task": legator_core::ids::TaskId::new(999) })).await.refusal(),
        "no-undo"
    );
    eprintln!("verbs: {} changed pre-images refused", rows.len() + 3);
}

#[tokio::test]
async fn a_change_follows_no_link_and_parts_no_names() {
    let bench = Bench::new();
    let path = bench.write("real", b"old\n");
    symlink(&path, bench.path("link")).unwrap();
    fs::create_dir(bench.path("dir")).unwrap();
    bench.write("dir/file", b"old\n");
    symlink(bench.path("dir"), bench.path("dirlink")).unwrap();
    bench.write("two", b"old\n");
    fs::hard_link(bench.path("two"), bench.path("three")).unwrap();
    mkfifo(&bench.path("fifo"));
    let shown = Some(Digest::of(b"old\n"));
    let names = ["link", "dirlink/file", "two", "fifo", "dir", "missing/file"];
    for name in names {
        for (verb, args) in [
            ("file.write", json!({ "path": bench.path(name), "content": "new\n" })),
            ("file.delete", json!({ "path": bench.path(name) })),
        ] {
            let did = bench.run_as(verb, args, None, shown).await;
            assert_eq!(
                (did.done.outcome, did.refusal()),
                (Outcome::Refused, "not-applicable"),
                "{verb} {name}"
            );
        }
    }
    for name in ["real", "dir/file", "two", "three"] {
        assert_eq!(fs::read(bench.path(name)).unwrap(), b"old\n", "{name}");
    }
    for path in ["/proc/sys/kernel/domainname", "/sys/kernel/mm/ksm/run"]
        .map(Path::new)
        .iter()
        .filter(|path| path.exists())
    {
        let shown = Some(Digest::of(&fs::read(path).unwrap()));
        let did = bench.run_as("file.write", json!({ "path": path, "content": "x" }), None, shown).await;
        assert_eq!(did.done.outcome, Outcome::Refused, "{}", path.display());
    }
    eprintln!("verbs: {} targets of changes refused", names.len() * 2);
}

#[tokio::test]
async fn a_search_finds_by_name_and_content() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path("a/b")).unwrap();
    bench.write("a/b/x.conf", b"listen 80;");
    bench.write("a/y.conf", b"nothing");
    bench.write("a/z.txt", b"listen 81;");
    symlink("/etc", bench.path("a/etc")).unwrap();
    let args = json!({ "path": bench.work_dir, "name": "*.conf", "contains": "listen" });
    let found = bench.run("file.search", args).await.done.result.unwrap();
    assert_eq!(found["found"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["found"][0]["path"], json!(bench.path("a/b/x.conf")));
    let cut = bench
        .run("file.search", json!({ "path": bench.work_dir, "name": "*", "limit": 1 }))
        .await
        .done
        .result
        .unwrap();
    assert_eq!(cut["cut_short"], json!(true));
}

#[tokio::test]
async fn readers_see_the_old_or_the_new_file_and_never_half_of_one() {
    let bench = Bench::new();
    let (old, new) = ("o".repeat(300_000), "n".repeat(300_000));
    let path = bench.write("big", old.as_bytes());
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (seen, flag, place) =
        (std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0)), stop.clone(), path.clone());
    let count = seen.clone();
    let reader = std::thread::spawn(move || {
        while !flag.load(std::sync::atomic::Ordering::Relaxed) {
            let content = fs::read(&place).unwrap();
            assert!(
                content.len() == 300_000 && content.iter().all(|byte| *byte == content[0]),
                "half a file"
            );
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    for content in [&new, &old, &new, &old, &new] {
        let did = bench.run_shown("file.write", json!({ "path": path, "content": content })).await;
        assert_eq!(did.done.outcome, Outcome::Succeeded, "{:?}", did.done.detail);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    reader.join().unwrap();
    eprintln!("verbs: {} whole reads during five writes", seen.load(std::sync::atomic::Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_of_somebody_else_is_lost_in_a_race() {
    let bench = Bench::new();
    let path = bench.write("raced", b"shown");
    let (stop, place) = (std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)), path.clone());
    let (flag, beside) = (stop.clone(), bench.path("beside"));
    let racer = std::thread::spawn(move || {
        let mut rests = [0, 3, 10, 30, 100, 300].into_iter().cycle();
        while !flag.load(std::sync::atomic::Ordering::Relaxed) {
            for content in ["shown", "other"] {
                fs::write(&beside, content).unwrap();
                fs::rename(&beside, &place).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(rests.next().unwrap()));
            }
        }
    });
    let began = std::time::Instant::now();
    let (mut done, mut refused) = (0, 0);
    while (done + refused < 600 || done == 0 || refused == 0) && began.elapsed().as_secs() < 40 {
        let args = json!({ "path": path, "content": "new" });
        let did = bench.run_as("file.write", args, None, Some(Digest::of(b"shown"))).await;
        match (did.done.outcome, did.refusal()) {
            // The racer may come over it again before it is looked at: that is told as not verified.
            (Outcome::Succeeded | Outcome::Failed, "") => {
                let before = did.done.before.unwrap();
                assert_eq!(
                    before["digest"],
                    json!(Digest::of(b"shown")),
                    "what was replaced is what was shown"
                );
                done += 1;
            }
            (Outcome::Refused, "changed-pre-image") => refused += 1,
            other => panic!("{other:?} {:?}", did.done.detail),
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    racer.join().unwrap();
    let left: Vec<_> =
        fs::read_dir(&bench.work_dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["raced"], "nothing is left beside it");
    assert!(done > 0 && refused > 0, "{done} done, {refused} refused");
    eprintln!("verbs: {} raced writes: {done} done, {refused} refused", done + refused);
}
