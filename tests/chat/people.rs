//! People in chats: many at once, with rights of their own, without a provider, and over streams that begin anywhere.

use super::stage::{Follow, HOST, Stage, in_order, question, round};
use legator_testkit::model::Play;
use legator_testkit::process::Server;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[test]
fn without_a_provider_a_question_is_answered_503_with_what_to_set() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let chat = server.post("/api/v1/chats", &json!({}));
    let path = format!("/api/v1/chats/{}/turns", chat["id"].as_str().unwrap());
    let (status, problem) = server.call("POST", &path, Some(&json!({"text": "what is up?"})));
    assert_eq!((status, problem["code"].as_str()), (503, Some("no-model")), "{problem}");
    for setting in
        ["LEGATOR_LLM_PROVIDER", "LEGATOR_LLM_MODEL", "LEGATOR_LLM_URL", "LEGATOR_LLM_KEY", "ollama"]
    {
        assert!(problem["hint"].as_str().unwrap().contains(setting), "{problem}");
    }
    assert_eq!(server.get("/api/v1/chats")["items"].as_array().unwrap().len(), 1, "the rest works");
    let whole = server.get(&format!("/api/v1/chats/{}", chat["id"].as_str().unwrap()));
    assert_eq!(whole["turns"], json!([]), "nothing was asked");
}

/// Looks at the disks and says so; who asks with `restart` gets a proposal.
fn looks(asked: &Value) -> Play {
    let wants = question(asked).contains("restart");
    match round(asked) {
        0 if wants => Play::call("service_restart", json!({"name": "nginx"})),
        0 => Play::call("disk_usage", json!({})),
        _ => Play::say(&format!("Answered: {}", question(asked).split(" asks: ").nth(1).unwrap_or("?"))),
    }
}

/// Everything that a stream may do wrong, seen from several places at once.
#[test]
fn streams_begin_anywhere_without_loss_or_repeats_while_turns_run_side_by_side() {
    let stage = Stage::with_host(looks);
    let chat = stage.chat(Some(HOST));
    let first = stage.follow(&chat, None, None);
    let turns: Vec<String> =
        (0..6).map(|number| stage.ask(&chat, &format!("how full is disk {number}?"))).collect();
    turns.iter().for_each(|turn| drop(first.ended(turn)));
    let all = first.steps();
    in_order(&all, 1);
    for (number, turn) in turns.iter().enumerate() {
        let own: Vec<&str> = all
            .iter()
            .filter(|step| step.data["turn"] == turn.as_str())
            .map(|step| step.kind.as_str())
            .collect();
        assert_eq!(own, ["question", "tool", "evidence", "answer"], "turn {number}");
        let answer = first.ended(turn);
        assert_eq!(answer.data["text"], format!("Answered: how full is disk {number}?"));
    }
    let last = all.last().unwrap().id.unwrap();
    let streams: Vec<(u64, Follow)> =
        (0..=last).step_by(5).map(|seen| (seen, stage.follow(&chat, Some(seen), None))).collect();
    let more = stage.ask(&chat, "how full is disk 99?");
    for (seen, stream) in &streams {
        stream.ended(&more);
        let steps = stream.steps();
        in_order(&steps, seen + 1);
        assert_eq!(steps.len() as u64, last - seen + 4);
    }
    eprintln!("chat: {} streams from different steps, {} steps each once", streams.len(), last + 4);
}

/// A server with authentication, its first admin, a host, and some people with a key each.
struct People {
    stage: Stage,
    keys: BTreeMap<&'static str, String>,
}

impl People {
    fn new() -> Self {
        let mut stage = Stage::new(looks, &[("LEGATOR_AUTH", "true")]);
        let admin = bootstrap(&stage);
        stage.server.sign_in(&admin);
        stage.join();
        let mut keys = BTreeMap::new();
        for (name, roles) in [
            ("vera", json!(["viewer"])),
            ("olga", json!(["operator", "approver"])),
            ("otto", json!(["operator"])),
            ("anna", json!(["approver"])),
            ("elsa", json!([{"role": "operator", "selector": "name=elsewhere"}])),
        ] {
            let person = stage.server.post("/api/v1/persons", &json!({"name": name, "roles": roles}));
            let key = stage.server.post("/api/v1/keys", &json!({"person": person["id"]}));
            keys.insert(name, key["key"].as_str().unwrap().to_owned());
        }
        Self { stage, keys }
    }

    /// From now on requests are this person's.
    fn r#as(&mut self, who: &str) -> &Stage {
        let key = self.keys[who].clone();
        self.stage.server.sign_in(&key);
        &self.stage
    }

    fn vote(&mut self, who: &str, body: &Value) -> (u16, String) {
        let (status, problem) = self.r#as(who).server.call("POST", "/api/v1/approvals", Some(body));
        (status, problem["code"].as_str().unwrap_or_default().to_owned())
    }
}

fn bootstrap(stage: &Stage) -> String {
    let done = std::process::Command::new(legator_testkit::process::binary("legator"))
        .args(["admin", "bootstrap", "--data-dir"])
        .arg(&stage.server.data)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let key = text.split_whitespace().find(|word| word.starts_with("lk_"));
    key.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&done.stderr))).to_owned()
}

#[test]
fn many_people_talk_in_one_chat_each_with_their_own_rights() {
    let mut people = People::new();
    let vera = people.keys["vera"].clone();
    let chat = people.r#as("olga").chat(Some(HOST));
    let all = people.stage.follow(&chat, None, Some(&vera));
    let turn = people.r#as("olga").ask(&chat, "restart nginx on web-03");
    let (plan, digest) = all.asked(&turn);
    let second = people.r#as("otto").ask(&chat, "how full is the disk?");
    let answer = all.ended(&second);
    assert_eq!(
        answer.data["text"], "Answered: how full is the disk?",
        "another turn goes on while one waits"
    );

    // A viewer asks: the model may talk, and neither look nor propose in her name.
    for text in ["is it full?", "restart nginx on web-03"] {
        let turn = people.r#as("vera").ask(&chat, text);
        let answer = all.ended(&turn);
        assert_eq!((answer.kind.as_str(), &answer.data["coverage"]["asked"]), ("answer", &json!(0)));
        let own: Vec<Value> = all
            .steps()
            .into_iter()
            .filter(|step| step.data["turn"] == turn.as_str())
            .map(|step| step.data)
            .collect();
        assert!(own.iter().any(|step| step["kind"] == "tool" && step["state"] == "refused"), "{own:?}");
        assert!(!own.iter().any(|step| step["kind"] == "plan" || step["kind"] == "evidence"), "{own:?}");
    }
    let (status, _) = people.r#as("elsa").server.call("GET", &format!("/api/v1/chats/{chat}"), None);
    assert_eq!(status, 404, "a chat about a host that her role does not reach");
    let asks = json!({"text": "restart nginx on web-03"});
    let (status, _) =
        people.r#as("elsa").server.call("POST", &format!("/api/v1/chats/{chat}/turns"), Some(&asks));
    assert_eq!(status, 404);

    let vote = json!({"plan": plan, "digest": digest, "decision": "approve"});
    assert_eq!(people.vote("olga", &vote), (403, "own-plan".to_owned()), "who asked by chat may not approve");
    assert_eq!(people.vote("vera", &vote).0, 403);
    assert_eq!(people.vote("otto", &vote).0, 403);
    let other = json!({"plan": plan, "digest": format!("sha256:{}", "0".repeat(64)), "decision": "approve"});
    assert_eq!(people.vote("anna", &other), (409, "other-digest".to_owned()));
    let no = json!({"plan": plan, "digest": digest, "decision": "reject", "reason": "not now"});
    assert_eq!(people.vote("anna", &no).0 / 100, 2);
    let answer = all.ended(&turn);
    assert!(answer.data["facts"].as_str().unwrap().contains("rejected"), "{}", answer.data);

    let steps = all.steps();
    in_order(&steps, 1);
    let asked: Vec<&str> = steps
        .iter()
        .filter(|step| step.kind == "question")
        .map(|step| step.data["name"].as_str().unwrap())
        .collect();
    assert_eq!(asked, ["olga", "otto", "vera", "vera"]);
    eprintln!("chat: five people, {} turns, 6 votes that do not count, one that does", asked.len());
}
