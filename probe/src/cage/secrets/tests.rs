//! Tests of the list of secrets: found through links, by inode, and refused when it is not meant.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use super::*;
use std::fs;
use std::os::unix::fs::symlink;

struct Host {
    dir: tempfile::TempDir,
    secrets: Secrets,
}

fn host() -> Host {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("state")).unwrap();
    fs::create_dir_all(root.join("tokens/deep")).unwrap();
    fs::write(root.join("state/probe.key"), "key").unwrap();
    fs::write(root.join("tokens/deep/one"), "token").unwrap();
    fs::write(root.join("plain"), "plain").unwrap();
    let secrets = Secrets::new(&root.join("state"), &[root.join("tok*")]).unwrap();
    Host { dir, secrets }
}

#[test]
fn a_secret_is_hidden_by_every_name_it_has() {
    let host = host();
    let root = host.dir.path();
    symlink(root.join("state"), root.join("link")).unwrap();
    fs::hard_link(root.join("state/probe.key"), root.join("hard")).unwrap();
    let secrets =
        Secrets::new(&root.join("state"), &[root.join("state/probe.key"), root.join("tok*")]).unwrap();
    for name in
        ["state", "state/probe.key", "link/probe.key", "tokens/deep/one", "hard", "tokens/deep/../deep/one"]
    {
        assert!(secrets.hides(&root.join(name)), "{name}");
    }
    for name in ["link/probe.key", "hard", "tokens/deep/one"] {
        assert!(secrets.hides_file(&File::open(root.join(name)).unwrap()), "{name}");
    }
}

#[test]
fn a_hard_link_to_a_file_in_a_secret_folder_is_hidden_and_noticed() {
    let host = host();
    let root = host.dir.path();
    let noticed = || {
        let found = host.secrets.found().unwrap();
        let own = found.iter().filter(|secret| secret.path.starts_with(root));
        own.flat_map(|secret| host.secrets.linked(secret)).next()
    };
    assert_eq!(noticed(), None);
    for (secret, other) in [("state/probe.key", "one"), ("tokens/deep/one", "two")] {
        let (secret, other) = (root.join(secret), root.join(other));
        fs::hard_link(&secret, &other).unwrap();
        assert!(host.secrets.hides(&other));
        assert!(host.secrets.hides_file(&File::open(&other).unwrap()));
        let linked = noticed().unwrap();
        assert_eq!((&linked.path, linked.names), (&secret.canonicalize().unwrap(), 2));
        assert!(linked.all_of(std::slice::from_ref(&other)).is_none(), "one of two names is not all");
        assert_eq!(linked.all_of(&[secret, other.clone()]).unwrap().len(), 2);
        fs::remove_file(&other).unwrap();
    }
    fs::write(root.join("free"), "x").unwrap();
    fs::hard_link(root.join("free"), root.join("free-too")).unwrap();
    assert!(!host.secrets.hides(&root.join("free-too")));
    assert_eq!(noticed(), None);
}

#[test]
fn what_is_no_secret_stays_readable() {
    let host = host();
    let plain = host.dir.path().join("plain");
    assert!(!host.secrets.hides(&plain));
    assert!(!host.secrets.hides_file(&File::open(&plain).unwrap()));
    assert!(!host.secrets.hides(&host.dir.path().join("not-there")));
}

#[test]
fn what_does_not_exist_yet_below_a_secret_is_hidden() {
    let host = host();
    assert!(host.secrets.hides(&host.dir.path().join("state/new")));
}

#[test]
fn a_list_that_cannot_be_meant_is_refused() {
    for bad in ["relative", "", "/a/../b", "/"] {
        assert!(Secrets::new(Path::new("/state"), &[PathBuf::from(bad)]).is_err(), "{bad:?}");
        assert!(Secrets::new(Path::new(bad), &[]).is_err(), "{bad:?}");
    }
}

#[test]
fn shadow_is_on_the_list() {
    let host = host();
    assert!(host.secrets.hides(Path::new("/etc/shadow")));
    assert!(!host.secrets.hides(Path::new("/etc/passwd")));
}

#[test]
fn many_keys_in_one_folder_hide_the_folder_and_not_less() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..200 {
        fs::write(dir.path().join(format!("id_{number}")), "key").unwrap();
    }
    let secrets = Secrets::new(Path::new("/none"), &[dir.path().join("id_*")]).unwrap();
    assert!((0..200).all(|number| secrets.hides(&dir.path().join(format!("id_{number}")))));
    assert!(secrets.hides(&dir.path().join("other")));
    assert!(secrets.found().unwrap().len() < 200);
    let deeper = Secrets::new(Path::new("/none"), &[dir.path().join("id_*/none/*.key")]).unwrap();
    assert!(deeper.hides(&dir.path().join("id_7")), "a pattern that goes on below takes the folder too");
}
