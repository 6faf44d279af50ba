//! Shapes of the document that belong to types of other crates.
//!
//! Owns their description only: nothing here is ever made. A test compares them with what is really answered.

#![allow(dead_code, reason = "these types exist to be described")]

use utoipa::ToSchema;

/// The ceiling of what may run on a host.
#[derive(ToSchema)]
#[schema(as = Level, rename_all = "lowercase")]
pub(crate) enum LevelWord {
    Observe,
    Diagnose,
    Remediate,
}

/// A set of permissions with a name.
#[derive(ToSchema)]
#[schema(as = Role, rename_all = "lowercase")]
pub(crate) enum RoleWord {
    Viewer,
    Operator,
    Approver,
    Admin,
    Auditor,
}

/// A role, on all hosts or on those that a selector selects.
#[derive(ToSchema)]
#[schema(as = RoleOn)]
pub(crate) struct RoleShape {
    role: RoleWord,
    /// The hosts it is for; all when absent.
    #[schema(nullable = false)]
    selector: Option<String>,
}

/// A role as it is asked for: its word, or with a selector.
#[derive(ToSchema)]
#[schema(as = RoleAsk)]
#[serde(untagged)]
pub(crate) enum RoleAskShape {
    Word(RoleWord),
    On(RoleOnAskShape),
}

/// A role, on all hosts or on those that a selector selects.
#[derive(ToSchema)]
#[schema(as = RoleOnAsk)]
pub(crate) struct RoleOnAskShape {
    role: RoleWord,
    /// The hosts it is for; all when absent.
    #[schema(max_length = 8192)]
    selector: Option<String>,
}

/// A signature of a DSSE envelope.
#[derive(ToSchema)]
#[schema(as = Signature)]
pub(crate) struct SignatureShape {
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    keyid: String,
    /// Base64.
    #[schema(pattern = "^[A-Za-z0-9+/]{86}==$")]
    sig: String,
}

/// A DSSE envelope.
#[derive(ToSchema)]
#[schema(as = Envelope)]
pub(crate) struct EnvelopeShape {
    #[schema(rename = "payloadType")]
    payload_type: String,
    /// Base64.
    payload: String,
    #[schema(min_items = 1, max_items = 1)]
    signatures: Vec<SignatureShape>,
}

/// What a probe needs from then on.
#[derive(ToSchema)]
#[schema(as = Admission)]
pub(crate) struct AdmissionShape {
    installation: String,
    authority: String,
    host: String,
    name: String,
    credential: String,
    #[schema(format = DateTime)]
    expires_at: String,
    level: LevelWord,
}

/// Why a score or a level is not the best.
#[derive(ToSchema)]
#[schema(as = Reason)]
pub(crate) struct ReasonShape {
    code: String,
    text: String,
    weight: u8,
}

/// How well a host is.
#[derive(ToSchema)]
#[schema(as = Health)]
pub(crate) struct HealthShape {
    #[schema(minimum = 0, maximum = 100)]
    score: u8,
    reasons: Vec<ReasonShape>,
}

/// How much could go wrong on a host.
#[derive(ToSchema)]
#[schema(as = Risk)]
pub(crate) struct RiskShape {
    level: RiskWord,
    reasons: Vec<ReasonShape>,
}

/// A level of risk.
#[derive(ToSchema)]
#[schema(as = RiskLevel, rename_all = "lowercase")]
pub(crate) enum RiskWord {
    Low,
    Medium,
    High,
    Critical,
}

/// Yes or no.
#[derive(ToSchema)]
#[schema(as = Vote, rename_all = "lowercase")]
pub(crate) enum VoteWord {
    Approve,
    Reject,
}

/// Where a plan stands.
#[derive(ToSchema)]
#[schema(as = PlanState, rename_all = "lowercase")]
pub(crate) enum PlanStateWord {
    Preparing,
    Pending,
    Approved,
    Running,
    Finished,
    Rejected,
    Expired,
    Cancelled,
    Refused,
}

/// Where a task stands.
#[derive(ToSchema)]
#[schema(as = TaskState, rename_all = "lowercase")]
pub(crate) enum TaskStateWord {
    Waiting,
    Sent,
    Running,
    Succeeded,
    Failed,
    Refused,
    Expired,
    Unreachable,
    Cancelled,
    Unknown,
}

/// How a plan goes through its hosts; what is absent has a default.
#[derive(ToSchema)]
#[schema(as = Rollout)]
pub(crate) struct RolloutShape {
    /// Hosts of one wave.
    #[schema(minimum = 1, maximum = 100_000, nullable = false)]
    batch: Option<u32>,
    /// Hosts at work at the same time.
    #[schema(minimum = 1, maximum = 100_000, nullable = false)]
    max_parallel: Option<u32>,
    /// After so many failed hosts no further one is started.
    #[schema(minimum = 1, maximum = 100_000)]
    stop_after_failures: Option<u32>,
    /// Rest between two waves, such as `30s`.
    #[schema(nullable = false)]
    pause: Option<String>,
}

/// What the policy says of a plan.
#[derive(ToSchema)]
#[schema(as = PolicyDecision)]
pub(crate) struct DecisionShape {
    effect: EffectWord,
    /// The rule that decided.
    rule: String,
    approvals_needed: u8,
    reason: String,
}

/// The policy's answer.
#[derive(ToSchema)]
#[schema(as = Effect, rename_all = "snake_case")]
pub(crate) enum EffectWord {
    Allow,
    NeedsApproval,
    Refuse,
}

/// A plan.
#[derive(ToSchema)]
#[schema(as = Plan)]
pub(crate) struct PlanShape {
    id: String,
    /// SHA-256 of the plan's bytes: what an approval names. Null while it is preparing.
    digest: Option<String>,
    verb: String,
    #[schema(value_type = Object)]
    args: (),
    level: LevelWord,
    #[schema(value_type = Vec<Object>)]
    hosts: Vec<()>,
    decision: DecisionShape,
    state: PlanStateWord,
    #[schema(format = DateTime)]
    decide_by: String,
    #[schema(format = DateTime)]
    expires_at: String,
    tasks: Vec<TaskShape>,
}

/// One host's share of a plan.
#[derive(ToSchema)]
#[schema(as = Task)]
pub(crate) struct TaskShape {
    id: String,
    host: String,
    state: TaskStateWord,
    exit_code: Option<i32>,
    #[schema(value_type = Option<Object>)]
    output: (),
    /// The state before the act, as the verb tells it.
    #[schema(value_type = Value)]
    before: (),
    /// The state after it.
    #[schema(value_type = Value)]
    after: (),
    /// Whether the post-condition held; null where the verb has none.
    verified: Option<bool>,
    duration_ms: Option<u64>,
    /// What the host signed, once it has.
    #[schema(value_type = Value)]
    receipt: (),
}

/// A plan's own bytes and all that proves what became of it.
#[derive(ToSchema)]
#[schema(as = PlanBytes)]
pub(crate) struct PlanBytesShape {
    /// The bytes, base64.
    plan: String,
    #[schema(value_type = Vec<Object>)]
    leaves: Vec<()>,
}
