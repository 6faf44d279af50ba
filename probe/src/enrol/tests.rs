//! Tokens, addresses and roots that are not what they should be.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use super::*;

fn token() -> String {
    format!("lt_{}_{}_{}", "0".repeat(32), "ab".repeat(32), "cd".repeat(16))
}

#[test]
fn a_token_is_whole_or_none() {
    let good = token();
    assert!(format!(" {good}\n").parse::<Token>().unwrap().is_of(&Digest::from_bytes([0xcd; 32])));
    assert!(!good.parse::<Token>().unwrap().is_of(&Digest::from_bytes([0xce; 32])));
    let bad = [
        String::new(),
        "lt_".into(),
        good.replace("lt_", "lk_"),
        good.get(..good.len() - 1).unwrap().to_owned(),
        format!("{good}0"),
        format!("{good}_"),
        good.to_uppercase(),
        good.replace("_cdcd", "_"),
        good.rsplit_once('_').unwrap().0.to_owned(),
        format!("{}_", good.rsplit_once('_').unwrap().0),
    ];
    for text in &bad {
        assert!(text.parse::<Token>().is_err(), "{text}");
    }
    eprintln!("tokens: {} bad ones refused", bad.len());
}

#[test]
fn a_server_is_a_scheme_and_a_host() {
    let server = Server::new("http://127.0.0.1:8080/", None).unwrap();
    assert_eq!(server.socket(), "ws://127.0.0.1:8080/probe/v1/connect");
    for bad in [
        "",
        "http://",
        "ftp://a",
        "127.0.0.1",
        "http://a/b",
        "http://u:p@a",
        "file:///etc/passwd",
        "http://a?b",
    ] {
        assert!(Server::new(bad, None).is_err(), "{bad}");
    }
}

#[test]
fn roots_that_are_absent_empty_unreadable_or_no_certificates_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    assert!(Server::new("https://a", Some(&file)).is_err());
    assert!(Server::new("https://a", Some(folder.path())).is_err());
    for content in ["", "hello", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&file, content).unwrap();
        assert!(Server::new("https://a", Some(&file)).is_err(), "{content:?}");
        assert!(Server::new("http://a", Some(&file)).is_err(), "{content:?}");
    }
}
