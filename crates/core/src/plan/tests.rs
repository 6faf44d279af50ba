//! A plan's bytes, digest and states.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use proptest::prelude::*;

fn body() -> PlanBody {
    PlanBody {
        v: 1,
        installation: Digest::of(b"authority").to_string(),
        tenant: TenantId::DEFAULT,
        plan: PlanId::new(7),
        verb: "service.restart".into(),
        args: serde_json::json!({"name": "nginx"}),
        level: Level::Remediate,
        effects: Effects::unconfined(),
        rollout: Rollout {
            batch: 10,
            max_parallel: 10,
            stop_after_failures: Some(1),
            pause: Span::from_secs(0),
        },
        requester: PersonId::LOCAL,
        reason: Some("it hangs".into()),
        timeout: Span::from_secs(60),
        output_bytes_max: 65_536,
        made_at: Timestamp::from_millis(1_000),
        decide_by: Timestamp::from_millis(2_000),
        expires_at: Timestamp::from_millis(3_000),
        hosts: 1,
        root: Digest::of(b""),
        nonce: "00".into(),
    }
}

#[test]
fn a_plan_keeps_its_bytes_and_any_other_byte_is_another_plan() {
    let plan = Plan::make(body()).unwrap();
    assert_eq!(Plan::parse(plan.bytes().to_vec()).unwrap(), plan);
    let mut spaced = plan.bytes().to_vec();
    spaced.push(b' ');
    assert_ne!(Plan::parse(spaced).unwrap().digest(), plan.digest());
}

#[test]
fn unknown_fields_versions_and_ranges_are_no_plan() {
    let mut value = serde_json::to_value(body()).unwrap();
    value["extra"] = serde_json::json!(1);
    assert!(Plan::parse(serde_json::to_vec(&value).unwrap()).is_err());
    assert!(Plan::make(PlanBody { v: 2, ..body() }).is_err());
    let rollout = Rollout { batch: 0, ..body().rollout };
    assert!(Plan::make(PlanBody { rollout, ..body() }).is_err());
}

#[test]
fn a_final_state_stays() {
    let moves = [
        PlanMove::PreparedToPending,
        PlanMove::PreparedToApproved,
        PlanMove::Approve,
        PlanMove::Unapprove,
        PlanMove::Reject,
        PlanMove::Expire,
        PlanMove::Cancel,
        PlanMove::Refuse,
        PlanMove::Start,
        PlanMove::Finish,
    ];
    for state in PlanState::ALL {
        for by in moves {
            assert!(!(state.is_final() && state.after(by).is_ok()), "{state} {by:?}");
        }
        assert_eq!(state.word().parse::<PlanState>(), Ok(state));
    }
    assert!(PlanState::Pending.after(PlanMove::Start).is_err(), "nothing starts before its gate decided");
    assert!(PlanState::Running.after(PlanMove::Start).is_err(), "nothing starts twice");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Plan::parse(bytes);
    }
}
