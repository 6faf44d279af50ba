//! Tables over the settings: precedence, and each setting of trust × absent, empty, wrong type.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use super::*;

fn layers(env: &[(&str, &str)], file: &str) -> Layers {
    Layers {
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        file: (!file.is_empty()).then(|| ("legator.toml".to_owned(), file.parse().unwrap())),
        default_dir: Some("/home/x/.local/share/legator".into()),
        ..Layers::default()
    }
}

fn refused(layers: &Layers) -> String {
    resolve(layers).expect_err("refused").to_string()
}

#[test]
fn without_any_setting_it_is_a_loopback_server_without_authentication() {
    let settings = resolve(&layers(&[], "")).unwrap();
    assert_eq!(settings.auth, Auth::Off);
    assert_eq!(settings.signing_key, KeySource::Made);
    assert!(settings.listen.iter().all(|at| at.ip().is_loopback() && at.port() == 8080));
    assert_eq!(settings.listen.len(), 2);
}

#[test]
fn flag_over_environment_over_file() {
    let mut both = layers(&[("LEGATOR_LISTEN", "127.0.0.1:2")], "listen = [\"127.0.0.1:3\"]\nlog = \"warn\"");
    assert_eq!(resolve(&both).unwrap().listen[0].port(), 2);
    assert_eq!(resolve(&both).unwrap().log, "warn");
    both.flags.insert("listen".into(), "127.0.0.1:1".into());
    assert_eq!(resolve(&both).unwrap().listen[0].port(), 1);
    both.env.clear();
    both.flags.clear();
    assert_eq!(resolve(&both).unwrap().listen[0].port(), 3);
}

#[test]
fn a_bad_value_above_is_not_made_good_by_one_below() {
    let text = refused(&layers(&[("LEGATOR_AUTH", "")], "auth = true"));
    assert!(text.contains("LEGATOR_AUTH"), "{text}");
}

#[test]
fn settings_of_trust_fail_closed() {
    let names = ["signing_key", "auth", "tls_cert", "tls_key", "data_dir", "listen", "public_url"];
    let mut cases = 0;
    for name in names {
        let variable = format!("LEGATOR_{}", name.to_ascii_uppercase());
        for empty in ["", " ", "\t"] {
            let text = refused(&layers(&[(&variable, empty)], ""));
            assert!(text.contains(name), "{name} {empty:?}: {text}");
            refused(&layers(&[], &format!("{name} = {:?}", empty)));
            cases += 2;
        }
        for wrong in ["1", "1.5", "{ a = 1 }", "1979-05-27", "[]", "[1]"] {
            let text = refused(&layers(&[], &format!("{name} = {wrong}")));
            assert!(text.contains(name), "{name} {wrong}: {text}");
            cases += 1;
        }
    }
    let others = [
        ("LEGATOR_SIGNING_KEY", "ab"),
        ("LEGATOR_SIGNING_KEY", "file:"),
        ("LEGATOR_SIGNING_KEY", &"0".repeat(64)),
        ("LEGATOR_SIGNING_KEY", &"g".repeat(64)),
        ("LEGATOR_SIGNING_KEY", &"A".repeat(64)),
        ("LEGATOR_AUTH", "yes"),
        ("LEGATOR_AUTH", "True"),
        ("LEGATOR_AUTH", "1"),
        ("LEGATOR_AUHT", "true"),
        ("LEGATOR_LISTEN", "0.0.0.0:8080"),
        ("LEGATOR_LISTEN", "127.0.0.1:8080,0.0.0.0:8081"),
        ("LEGATOR_LISTEN", "[::]:8080"),
        ("LEGATOR_LISTEN", "localhost"),
        ("LEGATOR_LISTEN", "127.0.0.1:99999"),
        ("LEGATOR_TLS_CERT", "/x"),
        ("LEGATOR_TLS_KEY", "/x"),
        ("LEGATOR_PUBLIC_URL", "legator.example"),
    ];
    for (name, value) in others {
        refused(&layers(&[(name, value)], ""));
        cases += 1;
    }
    refused(&layers(&[], "signingkey = \"x\""));
    eprintln!("settings refused: {} cases", cases + 1);
}

#[test]
fn what_listens_beyond_loopback_needs_authentication_and_the_text_says_so() {
    let text = refused(&layers(&[("LEGATOR_LISTEN", "0.0.0.0:8080")], ""));
    assert!(text.contains("--auth") && text.contains("bootstrap"), "{text}");
    let open = layers(&[("LEGATOR_LISTEN", "0.0.0.0:8080"), ("LEGATOR_AUTH", "true")], "");
    assert_eq!(resolve(&open).unwrap().auth, Auth::Required);
}

#[test]
fn secrets_are_not_shown() {
    let key = "ab".repeat(32);
    let settings =
        resolve(&layers(&[("LEGATOR_SIGNING_KEY", &key), ("LEGATOR_LLM_KEY", "hunter2")], "")).unwrap();
    let text = format!("{} {settings:?}", show(&settings));
    assert!(!show(&settings).contains("hunter2") && !text.contains(&key), "{text}");
}
