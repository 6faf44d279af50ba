//! The brain alone against a scripted model over real HTTP: both dialects, each misbehaviour, every bound.
//!
//! Proves that whatever a provider does, a turn gets one clear step in time and nothing hangs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use std::time::{Duration, Instant};

use legator_brain::{Brain, Settings, think};
use legator_bus::{Bus, subject};
use legator_core::brain::{
    BrainStep, Called, Piece, Round, Scope, StepSent, StepTaken, TurnSent, Usage, tools,
};
use legator_core::ids::{ChatId, HostId, TurnId};
use legator_testkit::model::{Model, Play};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

fn turn(question: &str) -> TurnSent {
    let scope = Scope::Host(HostId::new(7));
    TurnSent {
        chat: ChatId::new(1),
        turn: TurnId::new(2),
        scope,
        fence: 5,
        number: 1,
        asker: "alice".into(),
        question: question.into(),
        hosts: vec![],
        past: vec![],
        rounds: vec![],
        tools: tools(scope),
        used: Usage::default(),
    }
}

fn settings(model: &Model, more: &[(&str, &str)]) -> Settings {
    let base = model.settings();
    Settings::from_map(|name| {
        let own = more.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        own.or_else(|| base(name)).or_else(|| (name == "LEGATOR_LLM_STALL").then(|| "1s".to_owned()))
    })
    .unwrap()
}

async fn step(plays: Vec<Play>, more: &[(&str, &str)]) -> (BrainStep, Usage, String, Model) {
    let model = Model::scripted(plays).await.unwrap();
    let settings = settings(&model, more);
    let llm = settings.model.as_ref().unwrap().connect().unwrap();
    let mut text = String::new();
    let (step, used) =
        think(&turn("restart nginx"), llm.as_ref(), &settings.bounds, &mut |piece| text.push_str(piece))
            .await;
    (step, used, text, model)
}

fn code(step: &BrainStep) -> &str {
    match step {
        BrainStep::Failed { code, detail, hint } => {
            assert!(!detail.is_empty() && hint.as_ref().is_some_and(|hint| !hint.is_empty()), "{step:?}");
            code
        }
        _ => "",
    }
}

#[tokio::test]
async fn both_dialects_stream_text_and_calls() {
    let long = "Grüße, nginx läuft seit drei Tagen ohne Fehler und hört auf Port 443 [e3].";
    for dialect in ["openai", "anthropic", "ollama"] {
        let plays = vec![
            Play::say(long),
            Play::Calls(
                String::new(),
                vec![("service_status".into(), json!({"name": "ngünx"})), ("disk_usage".into(), json!({}))],
            ),
        ];
        let model = Model::scripted(plays).await.unwrap();
        let url = if dialect == "anthropic" { model.anthropic_url() } else { model.openai_url() };
        let settings = settings(
            &model,
            &[("LEGATOR_LLM_PROVIDER", dialect), ("LEGATOR_LLM_URL", &url), ("LEGATOR_LLM_KEY", "k-secret")],
        );
        let llm = settings.model.as_ref().unwrap().connect().unwrap();
        let mut pieces = Vec::new();
        let (first, used) =
            think(&turn("q"), llm.as_ref(), &settings.bounds, &mut |piece| pieces.push(piece.to_owned()))
                .await;
        assert_eq!(first, BrainStep::Answer { text: long.into() }, "{dialect}");
        assert!(pieces.len() > 1 && pieces.concat() == long);
        assert_eq!((used.tokens_in, used.tokens_out, used.rounds), (100, 10, 1));
        let (second, _) = think(&turn("q"), llm.as_ref(), &settings.bounds, &mut |_| ()).await;
        let BrainStep::Calls { calls, .. } = second else { panic!("{second:?}") };
        assert_eq!(calls.len(), 2);
        assert_eq!((calls[0].tool.as_str(), &calls[0].args), ("service_status", &json!({"name": "ngünx"})));
        assert!(
            model
                .asked()
                .iter()
                .all(|asked| asked.credential.as_ref().is_some_and(|key| key.ends_with("k-secret")))
        );
    }
}

#[tokio::test]
async fn every_misbehaviour_is_a_clear_step_in_time() {
    let call = |args: &str| vec![Play::RawCall("service_status".into(), args.into())];
    let key = [("LEGATOR_LLM_STALL", "1s")];
    let cases: Vec<(&str, Vec<Play>, &str)> = vec![
        ("malformed arguments", call("{\"name\": \"ngi"), "model-bad-call"),
        ("arguments that are a list", call("[1]"), "model-bad-call"),
        ("a call without a name", vec![Play::RawCall(String::new(), "{}".into())], "model-bad-call"),
        ("an event that is no JSON", vec![Play::RawEvent("{\"choices\": [".into())], "model-unreadable"),
        (
            "an error in the stream",
            vec![Play::RawEvent("{\"error\": {\"message\": \"overloaded\"}}".into())],
            "model-refused",
        ),
        ("an empty reply", vec![Play::say("")], "model-unreadable"),
        ("silence after some words", vec![Play::Stall("I am looking".into())], "model-stalled"),
        ("silence from the start", vec![Play::Silence], "model-stalled"),
        ("a cut connection", vec![Play::CutOff("Everything is fi".into())], "model-cut-off"),
        ("a stream that ends early", vec![Play::RawEvent("{\"choices\": []}".into())], "model-cut-off"),
        ("429 for ever", vec![Play::TooMany(Some(0))], "model-rate-limited"),
        ("429 for an hour", vec![Play::TooMany(Some(3600))], "model-rate-limited"),
        (
            "401",
            vec![Play::Status(
                401,
                "{\"error\": {\"message\": \"bad key sk-abcdefghij0123456789xyz\"}}".into(),
            )],
            "model-refused",
        ),
        ("404", vec![Play::Status(404, "no".into())], "model-refused"),
        ("500", vec![Play::Status(500, "<html>".into())], "model-refused"),
        ("a redirect", vec![Play::Status(302, String::new())], "model-refused"),
        ("words without end", vec![Play::Endless], "model-too-long"),
        ("a huge event", vec![Play::RawEvent("x".repeat(600_000))], "model-too-long"),
        (
            "too many calls",
            vec![Play::Calls(String::new(), vec![("disk_usage".into(), json!({})); 9])],
            "model-unreadable",
        ),
        ("huge arguments", call(&format!("{{\"name\": \"{}\"}}", "x".repeat(200_000))), "model-too-long"),
    ];
    for (what, plays, wanted) in &cases {
        let began = Instant::now();
        let (step, used, _, _model) = step(plays.clone(), &key).await;
        assert_eq!(code(&step), *wanted, "{what}: {step:?}");
        assert!(!format!("{step:?}").contains("abcdefghij0123456789"), "a key is told");
        assert_eq!(used.rounds, 1);
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
    }
    eprintln!("{} misbehaviours of a provider", cases.len());
}

#[tokio::test]
async fn nobody_there_is_said() {
    let model = Model::scripted(vec![]).await.unwrap();
    let settings = settings(&model, &[("LEGATOR_LLM_URL", "http://127.0.0.1:1/v1")]);
    let llm = settings.model.as_ref().unwrap().connect().unwrap();
    let (step, _) = think(&turn("q"), llm.as_ref(), &settings.bounds, &mut |_| ()).await;
    assert_eq!(code(&step), "model-unreachable");
}

#[tokio::test]
async fn after_a_429_it_is_asked_again_when_it_said() {
    let (step, _, _, model) =
        step(vec![Play::TooMany(Some(0)), Play::TooMany(None), Play::say("here")], &[]).await;
    assert_eq!(step, BrainStep::Answer { text: "here".into() });
    assert_eq!(model.asked().len(), 3);
}

#[tokio::test]
async fn each_bound_of_a_turn_ends_it_without_asking() {
    let model = Model::scripted(vec![Play::say("never")]).await.unwrap();
    let settings = settings(
        &model,
        &[
            ("LEGATOR_LLM_TURN_COST", "0.01"),
            ("LEGATOR_LLM_TURN_TOKENS", "1000"),
            ("LEGATOR_LLM_TURN_STEPS", "3"),
        ],
    );
    let llm = settings.model.as_ref().unwrap().connect().unwrap();
    let none = Usage::default();
    let cases = [
        (Usage { rounds: 3, ..none }, "turn-steps"),
        (Usage { tokens_in: 990, tokens_out: 10, ..none }, "turn-tokens"),
        (Usage { cost_micros: 10_000, ..none }, "turn-cost"),
        (Usage { model_ms: 300_000, ..none }, "turn-time"),
    ];
    for (used, wanted) in cases {
        let turn = TurnSent { used, ..turn("q") };
        let (step, cost) = think(&turn, llm.as_ref(), &settings.bounds, &mut |_| ()).await;
        assert_eq!((code(&step), cost), (wanted, none));
    }
    assert!(model.asked().is_empty());
    let priced = Settings {
        bounds: legator_brain::Bounds {
            price_in_micros: 3_000_000,
            price_out_micros: 15_000_000,
            ..settings.bounds
        },
        ..settings
    };
    let (_, used) = think(&turn("q"), llm.as_ref(), &priced.bounds, &mut |_| ()).await;
    assert_eq!(used.cost_micros, 450);
    eprintln!("{} bounds of a turn", cases.len());
}

#[tokio::test]
async fn no_credential_leaves_for_the_provider() {
    let secrets = [
        "AKIAIOSFODNN7EXAMPLE",
        "fictional-hunter2",
        "ghp_Zk3v9Qw7Lm2Xc8Vb5Nn1Zk3v9Q",
        "MIIEowIBAAKCAQEAx1",
        "opensesame1",
    ];
    let said = "aws AKIAIOSFODNN7EXAMPLE\nDB_PASSWORD=fictional-hunter2\nghp_Zk3v9Qw7Lm2Xc8Vb5Nn1Zk3v9Q\n-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAx1\n-----END RSA PRIVATE KEY-----\nhttp://admin:opensesame1@h/";
    let model = Model::scripted(vec![Play::say("ok")]).await.unwrap();
    let settings = settings(&model, &[]);
    let llm = settings.model.as_ref().unwrap().connect().unwrap();
    let piece =
        Piece::Host { evidence: "e2".into(), host: "web".into(), text: said.into(), bytes: 9, cut: false };
    let called = Called {
        id: "c".into(),
        tool: "file_read".into(),
        args: json!({"path": said}),
        result: vec![piece, Piece::Server { text: said.into() }],
    };
    let turn = TurnSent { rounds: vec![Round { text: said.into(), calls: vec![called] }], ..turn(said) };
    think(&turn, llm.as_ref(), &settings.bounds, &mut |_| ()).await;
    let sent = model.asked()[0].body.to_string();
    for secret in secrets {
        assert!(!sent.contains(secret), "{secret} left");
    }
    assert!(sent.contains("| DB_PASSWORD=[redacted]"));
}

fn step_of(body: &[u8]) -> StepSent {
    serde_json::from_slice(body).unwrap()
}

#[tokio::test]
async fn on_the_bus_each_turn_gets_one_step_and_a_stale_one_is_given_up() {
    let bus = Bus::in_process();
    let plays = vec![Play::say("It runs [e1]."), Play::Stall("slow".into())];
    let model = Model::scripted(plays).await.unwrap();
    let shutdown = CancellationToken::new();
    let mut steps = bus.queue_subscribe(subject::steps(), "worker").await.unwrap();
    let mut said = bus.subscribe(subject::say(Some(HostId::new(7)), TurnId::new(2))).await.unwrap();
    let settings = settings(&model, &[("LEGATOR_LLM_STALL", "1m")]);
    let running = tokio::spawn(legator_brain::run(settings, bus.clone(), shutdown.clone()));
    let wait = Duration::from_secs(20);
    let status = loop {
        match bus.request(&subject::brain(), vec![], wait).await {
            Ok(status) => break status,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    assert_eq!(serde_json::from_slice::<Value>(&status).unwrap()["model"], "scripted");
    bus.publish(&subject::turn(Some(HostId::new(7))), b"no turn".to_vec()).await.unwrap();
    bus.publish(&subject::turn(Some(HostId::new(7))), serde_json::to_vec(&turn("q")).unwrap()).await.unwrap();
    let message = tokio::time::timeout(wait, steps.next()).await.unwrap().unwrap();
    let step = step_of(&message.body);
    assert_eq!((step.fence, step.number), (5, 1));
    assert_eq!(step.step, BrainStep::Answer { text: "It runs [e1].".into() });
    bus.reply(&message, serde_json::to_vec(&StepTaken::Taken).unwrap()).await.unwrap();
    bus.publish(&subject::turn(Some(HostId::new(7))), serde_json::to_vec(&turn("q")).unwrap()).await.unwrap();
    let message = tokio::time::timeout(wait, steps.next()).await.unwrap().unwrap();
    let step = step_of(&message.body);
    assert_eq!(step.step, BrainStep::Working { text: "slow".into() });
    assert!(tokio::time::timeout(wait, said.next()).await.unwrap().is_some());
    bus.reply(&message, serde_json::to_vec(&StepTaken::Stale).unwrap()).await.unwrap();
    shutdown.cancel();
    tokio::time::timeout(wait, running).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn without_a_model_nobody_answers() {
    let bus = Bus::in_process();
    let settings = Settings::from_map(|_| None).unwrap();
    legator_brain::run(settings, bus.clone(), CancellationToken::new()).await.unwrap();
    assert!(bus.request(&subject::brain(), vec![], Duration::from_secs(1)).await.is_err());
    let _ = std::any::type_name::<Brain>();
}
