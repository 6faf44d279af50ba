//! The brain alone against a scripted model over real HTTP: every dialect, each misbehaviour, every bound.
//!
//! Proves that whatever a provider does, a turn gets one clear step in time and nothing hangs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use futures::StreamExt as _;
use std::time::{Duration, Instant};

use legator_brain::{Brain, Settings, think};
use legator_bus::{Bus, subject};
use legator_core::brain::{
    BrainStep, Called, Piece, Round, Scope, StepSent, StepTaken, TurnSent, Usage, tools,
};
use legator_core::ids::{ChatId, HostId, TurnId};
use legator_testkit::model::{Dialect, Model, Play};
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
    settings_in(Dialect::OpenAi, model, more)
}

fn settings_in(dialect: Dialect, model: &Model, more: &[(&str, &str)]) -> Settings {
    let base = model.settings_in(dialect);
    Settings::from_map(|name| {
        let own = more.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        own.or_else(|| base(name)).or_else(|| (name == "LEGATOR_LLM_STALL").then(|| "1s".to_owned()))
    })
    .unwrap()
}

async fn asked(dialect: Dialect, model: &Model, more: &[(&str, &str)]) -> (BrainStep, Usage, Vec<String>) {
    let settings = settings_in(dialect, model, more);
    let llm = settings.model.as_ref().unwrap().connect().unwrap();
    let mut pieces = Vec::new();
    let (step, used) = think(&turn("restart nginx"), llm.as_ref(), &settings.bounds, &mut |piece| {
        pieces.push(piece.to_owned());
    })
    .await;
    (step, used, pieces)
}

async fn step(plays: Vec<Play>, more: &[(&str, &str)]) -> (BrainStep, Model) {
    let model = Model::scripted(plays).await.unwrap();
    let (step, ..) = asked(Dialect::OpenAi, &model, more).await;
    (step, model)
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

const LONG: &str = "Grüße, nginx läuft seit drei Tagen ohne Fehler und hört auf Port 443 [e3].";

#[tokio::test]
async fn every_dialect_streams_text_and_calls() {
    for dialect in Dialect::ALL {
        let calls =
            vec![("service_status".into(), json!({"name": "ngünx"})), ("disk_usage".into(), json!({}))];
        let model =
            Model::scripted(vec![Play::say(LONG), Play::Calls("I look.".into(), calls)]).await.unwrap();
        let key = [("LEGATOR_LLM_KEY", "k-secret")];
        let (first, used, pieces) = asked(dialect, &model, &key).await;
        assert_eq!(first, BrainStep::Answer { text: LONG.into() }, "{dialect:?}");
        assert!(pieces.len() > 1 && pieces.concat() == LONG);
        assert_eq!((used.tokens_in, used.tokens_out, used.rounds), (100, 10, 1));
        let (second, ..) = asked(dialect, &model, &key).await;
        let BrainStep::Calls { calls, text } = second else { panic!("{second:?}") };
        assert_eq!((calls.len(), text.as_str()), (2, "I look."));
        assert_eq!((calls[0].tool.as_str(), &calls[0].args), ("service_status", &json!({"name": "ngünx"})));
        assert_eq!((calls[1].tool.as_str(), &calls[1].args), ("disk_usage", &json!({})));
        assert!(calls[0].id != calls[1].id && !calls[0].id.is_empty());
        let asked = model.asked();
        assert!(
            asked.iter().all(|asked| asked.credential.as_ref().is_some_and(|key| key.ends_with("k-secret")))
        );
        assert!(asked.iter().all(|asked| asked.body["tools"].as_array().unwrap().len() > 20));
    }
}

#[tokio::test]
async fn a_stream_may_be_cut_between_any_two_bytes() {
    let calls = vec![
        ("service_status".into(), json!({"name": "ngünx"})),
        ("file_read".into(), json!({"path": "/etc/\"quoted\" \\ path"})),
    ];
    let mut cases = 0;
    for dialect in Dialect::ALL {
        let model = Model::scripted(vec![Play::say(LONG)]).await.unwrap();
        let other = Model::scripted(vec![Play::Calls(LONG.into(), calls.clone())]).await.unwrap();
        for bytes in [1, 2, 3, 5, 7, 64] {
            model.in_pieces_of(bytes);
            other.in_pieces_of(bytes);
            let (said, _, pieces) = asked(dialect, &model, &[]).await;
            assert_eq!(said, BrainStep::Answer { text: LONG.into() }, "{dialect:?} {bytes}");
            assert_eq!(pieces.concat(), LONG);
            let (called, ..) = asked(dialect, &other, &[]).await;
            let BrainStep::Calls { calls: got, text } = called else { panic!("{called:?}") };
            let got: Vec<(String, Value)> = got.into_iter().map(|call| (call.tool, call.args)).collect();
            assert_eq!((got, text.as_str()), (calls.clone(), LONG), "{dialect:?} {bytes}");
            cases += 2;
        }
    }
    eprintln!("{cases} streams cut into pieces");
}

fn misbehaviours() -> Vec<(&'static str, Play, &'static str)> {
    let call = |args: &str| Play::RawCall("service_status".into(), args.into());
    let told = "{\"error\": {\"message\": \"bad key sk-abcdefghij0123456789xyz\"}}";
    let page = |kind: &str, body: &str| Play::Body(kind.into(), body.into());
    vec![
        ("malformed arguments", call("{\"name\": \"ngi"), "model-bad-call"),
        ("arguments that are a list", call("[1]"), "model-bad-call"),
        ("arguments that are a number", call("7"), "model-bad-call"),
        ("a call without a name", Play::RawCall(String::new(), "{}".into()), "model-bad-call"),
        ("an event that is no JSON", Play::RawEvent("{\"choices\": [".into()), "model-unreadable"),
        ("an event that is no object", Play::RawEvent("[[[[".into()), "model-unreadable"),
        (
            "an error in the stream",
            Play::RawEvent("{\"error\": {\"message\": \"overloaded\"}}".into()),
            "model-refused",
        ),
        (
            "an error that is a word",
            Play::RawEvent("{\"error\": \"model requires more memory\"}".into()),
            "model-refused",
        ),
        (
            "fields of other types",
            Play::RawEvent("{\"choices\": 7, \"message\": [], \"type\": {}}".into()),
            "model-cut-off",
        ),
        ("an empty reply", Play::say(""), "model-unreadable"),
        ("nothing but blanks", Play::say(" \n "), "model-unreadable"),
        ("silence after some words", Play::Stall("I am looking".into()), "model-stalled"),
        ("silence from the start", Play::Silence, "model-stalled"),
        ("a cut connection", Play::CutOff("Everything is fi".into()), "model-cut-off"),
        ("a stream that ends early", Play::RawEvent("{\"choices\": []}".into()), "model-cut-off"),
        ("429 for ever", Play::TooMany(Some(0)), "model-rate-limited"),
        ("429 for an hour", Play::TooMany(Some(3600)), "model-rate-limited"),
        ("401", Play::Status(401, told.into()), "model-refused"),
        ("404", Play::Status(404, "no".into()), "model-refused"),
        ("500", Play::Status(500, "<html>".into()), "model-refused"),
        ("204", Play::Status(204, String::new()), "model-refused"),
        ("words without end", Play::Endless, "model-too-long"),
        ("signs of life without end", Play::Pings, "turn-time"),
        ("a line without end", Play::Unbroken, "model-too-long"),
        ("a huge event", Play::RawEvent("x".repeat(600_000)), "model-too-long"),
        ("a page", page("text/html; charset=utf-8", "<html>Sign in</html>"), "model-unreadable"),
        ("an image", page("image/png", "data: {}\n\n"), "model-unreadable"),
        (
            "too many calls",
            Play::Calls(String::new(), vec![("disk_usage".into(), json!({})); 9]),
            "model-unreadable",
        ),
        ("huge arguments", call(&format!("{{\"name\": \"{}\"}}", "x".repeat(200_000))), "model-too-long"),
    ]
}

#[tokio::test]
async fn every_misbehaviour_is_a_clear_step_in_time() {
    let more = [("LEGATOR_LLM_STALL", "3s"), ("LEGATOR_LLM_TURN_TIME", "7s")];
    let cases = misbehaviours();
    let each = cases.iter().flat_map(|case| Dialect::ALL.map(|dialect| (dialect, case)));
    let all = each.map(|(dialect, (what, play, wanted))| async move {
        let began = Instant::now();
        let model = Model::scripted(vec![play.clone()]).await.unwrap();
        let (step, used, _) = asked(dialect, &model, &more).await;
        assert_eq!(code(&step), *wanted, "{dialect:?}, {what}: {step:?}");
        assert!(!format!("{step:?}").contains("abcdefghij0123456789"), "a key is told");
        assert_eq!(used.rounds, 1);
        assert!(began.elapsed() < Duration::from_secs(40), "{what}");
    });
    let count = futures::stream::iter(all).buffer_unordered(12).count().await;
    eprintln!(
        "{count} misbehaviours of a provider, {} in each of {} dialects",
        cases.len(),
        Dialect::ALL.len()
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_no_key_goes_elsewhere() {
    let elsewhere = Model::scripted(vec![Play::say("give me your key")]).await.unwrap();
    let mut cases = 0;
    for dialect in Dialect::ALL {
        for status in [301, 302, 303, 307, 308] {
            let to = format!("{}/x", elsewhere.url(dialect));
            let path = if dialect == Dialect::OpenAi { "/chat/completions" } else { "/api/chat" };
            for to in [to, format!("{}{path}", elsewhere.url(dialect))] {
                let model = Model::scripted(vec![Play::Redirect(status, to)]).await.unwrap();
                let (step, ..) = asked(dialect, &model, &[("LEGATOR_LLM_KEY", "k-secret")]).await;
                assert_eq!(code(&step), "model-refused", "{dialect:?} {status}");
                cases += 1;
            }
        }
    }
    assert!(elsewhere.asked().is_empty());
    eprintln!("{cases} redirects not followed");
}

#[tokio::test]
async fn a_whole_reply_counts_whatever_follows() {
    let whole = "data: {\"choices\": [{\"delta\": {\"content\": \"up\"}, \"finish_reason\": \"stop\"}]}\n\n";
    let (step, _) = step(vec![Play::Body("text/event-stream".into(), whole.into())], &[]).await;
    assert_eq!(step, BrainStep::Answer { text: "up".into() }, "without [DONE]");
    let line = "{\"message\": {\"content\": \"up\"}, \"done\": true}";
    let model = Model::scripted(vec![Play::Body("application/json".into(), line.into())]).await.unwrap();
    let (step, ..) = asked(Dialect::Ollama, &model, &[]).await;
    assert_eq!(step, BrainStep::Answer { text: "up".into() }, "without the last newline");
}

#[tokio::test]
async fn newer_names_of_the_bound_are_taken_when_the_provider_asks_for_them() {
    let no = "{\"error\": {\"message\": \"Unsupported parameter: use 'max_completion_tokens' instead\"}}";
    let (step, model) = step(vec![Play::Status(400, no.into()), Play::say("up")], &[]).await;
    assert_eq!(step, BrainStep::Answer { text: "up".into() });
    let asked = model.asked();
    assert!(asked[0].body["max_tokens"].is_number() && asked[0].body["max_completion_tokens"].is_null());
    assert!(asked[1].body["max_completion_tokens"].is_number() && asked[1].body["max_tokens"].is_null());
}

#[tokio::test]
async fn ollama_is_asked_for_a_context_that_holds_the_prompt() {
    let model = Model::scripted(vec![Play::say("up")]).await.unwrap();
    asked(Dialect::Ollama, &model, &[]).await;
    let body = model.asked()[0].body.clone();
    let context = body["options"]["num_ctx"].as_u64().unwrap();
    assert!(context >= (body.to_string().len() as u64) / 4, "{context}");
    assert!(body["options"]["num_predict"].is_number() && body["stream"] == true);
    let call = Called { id: "c1".into(), tool: "disk_usage".into(), args: json!({}), result: vec![] };
    let turn = TurnSent { rounds: vec![Round { text: String::new(), calls: vec![call] }], ..turn("q") };
    let settings = settings_in(Dialect::Ollama, &model, &[]);
    let llm = settings.model.as_ref().unwrap().connect().unwrap();
    think(&turn, llm.as_ref(), &settings.bounds, &mut |_| ()).await;
    let messages = model.asked()[1].body["messages"].as_array().unwrap().clone();
    let last = messages.last().unwrap();
    assert_eq!((last["role"].as_str(), last["tool_name"].as_str()), (Some("tool"), Some("disk_usage")));
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
    let (step, model) = step(vec![Play::TooMany(Some(0)), Play::TooMany(None), Play::say("here")], &[]).await;
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
            ("LEGATOR_LLM_TURN_TOKENS", "20000"),
            ("LEGATOR_LLM_TURN_STEPS", "3"),
        ],
    );
    let llm = settings.model.as_ref().unwrap().connect().unwrap();
    let none = Usage::default();
    let cases = [
        (Usage { rounds: 3, ..none }, "turn-steps"),
        (Usage { tokens_in: 19_990, tokens_out: 10, ..none }, "turn-tokens"),
        (Usage { tokens_in: 17_000, ..none }, "turn-tokens"),
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
    // The prompt alone costs more than the bound: it is not sent.
    let (step, cost) = think(&turn("q"), llm.as_ref(), &priced.bounds, &mut |_| ()).await;
    assert_eq!((code(&step), cost), ("turn-cost", none));
    assert!(model.asked().is_empty());
    let unbounded = legator_brain::Bounds { cost_micros: None, ..priced.bounds };
    let (_, used) = think(&turn("q"), llm.as_ref(), &unbounded, &mut |_| ()).await;
    assert_eq!(used.cost_micros, 450);
    eprintln!("{} bounds of a turn", cases.len() + 1);
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
    let plays = vec![Play::say("It runs [e1]."), Play::Stall("slow one".into())];
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
    assert_eq!(step.step, BrainStep::Working { text: "slow ".into() });
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
