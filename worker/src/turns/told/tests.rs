//! What the server says of a turn, and what it passes on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

use super::*;
use legator_core::ids::{PlanId, TaskId};
use serde_json::json;

fn line(host: u128, state: TaskState, verified: Option<bool>) -> TaskLine {
    TaskLine {
        task: TaskId::new(host),
        host: HostId::new(host),
        name: format!("web-{host}"),
        state,
        verified,
        exit_code: None,
        before: Value::Null,
        after: Value::Null,
        reason: None,
    }
}

fn evidence(number: u128, text: &str, state: TaskState) -> Step {
    Step::Evidence {
        call: "c01.0".into(),
        id: format!("e{number}"),
        plan: PlanId::new(1),
        task: TaskId::new(number),
        host: HostId::new(number),
        name: "web".into(),
        state,
        exit_code: Some(0),
        text: text.into(),
        bytes: 10,
        cut: false,
    }
}

fn tool(state: ToolState, reason: Option<&str>) -> Step {
    Step::Tool {
        round: 1,
        call: "c01.0".into(),
        tool: "log_read".into(),
        verb: Some("log.read".into()),
        args: json!({}),
        on: None,
        state,
        reason: reason.map(str::to_owned),
    }
}

#[test]
fn an_outcome_says_what_is_verified_and_what_is_not() {
    let tasks = [
        line(1, TaskState::Succeeded, Some(true)),
        line(2, TaskState::Failed, Some(false)),
        line(3, TaskState::Unknown, None),
    ];
    let text = outcome("service.restart", PlanState::Finished, &tasks);
    assert_eq!(
        text,
        "The plan service.restart has ended: 1 succeeded, 1 failed, 1 unknown; verified on 1, NOT verified on 1."
    );
    for state in [PlanState::Rejected, PlanState::Expired, PlanState::Cancelled, PlanState::Refused] {
        let text = outcome("x", state, &[]);
        assert!(!text.contains("succeeded") && !text.contains("verified"), "{text}");
    }
}

#[test]
fn rounds_are_put_together_from_steps() {
    let steps = [
        Step::Text { round: 1, text: "I look".into() },
        tool(ToolState::Reading, None),
        evidence(3, "data", TaskState::Succeeded),
        evidence(4, "", TaskState::Unreachable),
        tool(ToolState::Refused, Some("late")),
    ];
    let rounds = rounds(&steps);
    assert_eq!(rounds.len(), 1);
    assert_eq!(rounds[0].text, "I look");
    assert_eq!(rounds[0].calls.len(), 1);
    let result = &rounds[0].calls[0].result;
    assert_eq!(result.len(), 4, "{result:?}");
    assert!(matches!(&result[1], Piece::Host { evidence, .. } if evidence == "e3"));
    assert_eq!(coverage(&steps), Coverage { asked: 2, answered: 1 });
    assert_eq!(citable(&steps).len(), 2);
}

#[test]
fn evidence_is_clean_bounded_and_says_what_is_left_out() {
    let (text, cut) = evidence_text(b"ok \x1b[8mDB_PASSWORD=hunter2-x\xff", b"err", 1000);
    assert!(
        !cut && text.contains("␛") && text.contains("stderr:\nerr") && !text.contains("hunter2-x"),
        "{text}"
    );
    let (text, cut) = evidence_text(&[b'x'; 5000], b"", 100);
    assert!(cut && text.len() < 200 && text.contains("left out"));
    assert!(evidence_text(b"x", b"", 0).1);
}

#[test]
fn arguments_of_a_model_are_recorded_safely() {
    let args = json!({"a\u{1b}b": "\u{202e}x", "password": "password=hunter2x", "deep": {"a": {"b": {"c": {"d": {"e": {"f": {}}}}}}}});
    let safe = safe_args(&args, 6).to_string();
    assert!(!safe.contains('\u{1b}') && !safe.contains('\u{202e}') && !safe.contains("hunter2x"), "{safe}");
    assert!(safe.contains('…'));
}
