//! Settings that are wrong are refused; none means no chats.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use super::*;

fn from(pairs: &[(&str, &str)]) -> Result<Settings, BadSetting> {
    Settings::from_map(|name| {
        pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

const OPENAI: (&str, &str) = ("LEGATOR_LLM_PROVIDER", "openai");
const MODEL: (&str, &str) = ("LEGATOR_LLM_MODEL", "m");
const LOCAL: (&str, &str) = ("LEGATOR_LLM_URL", "http://127.0.0.1:9/v1");

#[test]
fn nothing_set_is_no_model_and_a_whole_set_is_one() {
    assert_eq!(from(&[]).unwrap().model, None);
    let model = from(&[OPENAI, MODEL, ("LEGATOR_LLM_KEY", "sk-x")]).unwrap().model.unwrap();
    assert_eq!((model.url.as_str(), model.name.as_str()), ("https://api.openai.com/v1", "m"));
    assert!(!format!("{model:?}").contains("sk-x"));
    assert!(from(&[("LEGATOR_LLM_PROVIDER", "ollama"), MODEL]).unwrap().model.is_some());
    let bounds = from(&[("LEGATOR_LLM_TURN_COST", "0.25"), ("LEGATOR_LLM_PRICE_IN", "3")]).unwrap().bounds;
    assert_eq!((bounds.cost_micros, bounds.price_in_micros), (Some(250_000), 3_000_000));
}

#[test]
fn what_cannot_be_right_is_refused() {
    let cases: Vec<Vec<(&str, &str)>> = vec![
        vec![("LEGATOR_LLM_PROVIDER", "")],
        vec![("LEGATOR_LLM_PROVIDER", "gpt"), MODEL],
        vec![OPENAI],
        vec![OPENAI, MODEL],
        vec![MODEL],
        vec![("LEGATOR_LLM_KEY", "k")],
        vec![OPENAI, ("LEGATOR_LLM_MODEL", " "), LOCAL],
        vec![OPENAI, MODEL, LOCAL, ("LEGATOR_LLM_KEY", "")],
        vec![OPENAI, MODEL, LOCAL, ("LEGATOR_LLM_KEY", "a b")],
        vec![OPENAI, MODEL, LOCAL, ("LEGATOR_LLM_KEY_FILE", "/nonexistent/key")],
        vec![OPENAI, MODEL, LOCAL, ("LEGATOR_LLM_KEY_FILE", "/dev/null")],
        vec![OPENAI, MODEL, LOCAL, ("LEGATOR_LLM_KEY", "k"), ("LEGATOR_LLM_KEY_FILE", "/dev/null")],
        vec![OPENAI, MODEL, ("LEGATOR_LLM_URL", "ftp://x/"), ("LEGATOR_LLM_KEY", "k")],
        vec![OPENAI, MODEL, ("LEGATOR_LLM_URL", "http://example.com/v1"), ("LEGATOR_LLM_KEY", "k")],
        vec![OPENAI, MODEL, ("LEGATOR_LLM_URL", "https://u:p@example.com/v1"), ("LEGATOR_LLM_KEY", "k")],
        vec![OPENAI, MODEL, ("LEGATOR_LLM_URL", "nonsense"), ("LEGATOR_LLM_KEY", "k")],
        vec![("LEGATOR_LLM_STALL", "10")],
        vec![("LEGATOR_LLM_STALL", "0s")],
        vec![("LEGATOR_LLM_TURN_TIME", "2d")],
        vec![("LEGATOR_LLM_TURN_TOKENS", "-1")],
        vec![("LEGATOR_LLM_TURN_STEPS", "17")],
        vec![("LEGATOR_LLM_TURN_COST", "1,5")],
        vec![("LEGATOR_LLM_PRICE_OUT", "")],
    ];
    for case in &cases {
        assert!(from(case).is_err(), "{case:?}");
    }
    assert!(from(&[OPENAI, MODEL, LOCAL]).is_ok());
    eprintln!("{} bad settings refused", cases.len());
}
