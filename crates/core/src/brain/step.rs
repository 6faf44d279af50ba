//! One step of a chat as it is stored, listed and streamed.
//!
//! Owns the JSON of steps: the `kind` is the name of the server-sent event. Steps are numbered through the chat from 1 without
//! gaps. Invariant: only `text` and `answer` hold a model's words; every other kind is written by the server from what it knows.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decision::Effect;
use crate::digest::Digest;
use crate::ids::{HostId, PersonId, PlanId, TaskId};
use crate::level::Level;
use crate::plan::PlanState;
use crate::task::TaskState;
use crate::time::Timestamp;

/// A step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Step {
    /// A person asked.
    Question {
        /// Who.
        person: PersonId,
        /// Their name.
        name: String,
        /// What.
        text: String,
    },
    /// A model said something while it works.
    Text {
        /// Which time the model was asked, from 1.
        round: u32,
        /// Its words, made safe to show.
        text: String,
    },
    /// A model called a tool: the card of a read, or of a proposal before its plan is made.
    Tool {
        /// Which time the model was asked.
        round: u32,
        /// The call, unique in the turn.
        call: String,
        /// The tool as the model named it, made safe to show.
        tool: String,
        /// The verb, where the tool is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verb: Option<String>,
        /// The arguments as the model gave them.
        args: Value,
        /// Which hosts: a selector.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        on: Option<String>,
        /// What became of it.
        state: ToolState,
        /// Why it was refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// What a host returned to a read, or that it did not.
    Evidence {
        /// The call.
        call: String,
        /// What an answer cites, such as `e7`.
        id: String,
        /// The plan that read.
        plan: PlanId,
        /// The host's task.
        task: TaskId,
        /// The host.
        host: HostId,
        /// Its name.
        name: String,
        /// How the task ended.
        state: TaskState,
        /// The program's exit code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// What it returned, safe to show, credentials taken out, cut to the bound.
        text: String,
        /// How much there was, in bytes.
        bytes: u64,
        /// Whether something was left out.
        cut: bool,
    },
    /// A plan was made from the turn's one proposal.
    Plan {
        /// The call.
        call: String,
        /// The plan.
        plan: PlanId,
        /// What an approval names.
        digest: Digest,
        /// The verb.
        verb: String,
        /// Its arguments as parsed.
        args: Value,
        /// At which level.
        level: Level,
        /// One line for people.
        text: String,
        /// The hosts, at most 50 of them.
        hosts: Vec<PlanHost>,
        /// How many hosts there are.
        hosts_count: u32,
        /// What the policy says.
        effect: Effect,
        /// The rule that said it.
        rule: String,
        /// How many persons have to approve.
        approvals_needed: u8,
        /// When approving ends.
        decide_by: Timestamp,
        /// The evidence that the model had read when it proposed this.
        after_reading: Vec<String>,
        /// The difference that the plan makes, where the verb shows one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        diff: Option<String>,
    },
    /// Where the plan's approval stands.
    Approval {
        /// The plan.
        plan: PlanId,
        /// What an approval names.
        digest: Digest,
        /// preparing, pending, approved, running, rejected, expired, cancelled, refused, finished.
        state: PlanState,
        /// How many persons have to approve.
        approvals_needed: u8,
        /// Who decided what.
        by: Vec<Approver>,
    },
    /// The plan has ended.
    Outcome {
        /// The call.
        call: String,
        /// What an answer cites.
        id: String,
        /// The plan.
        plan: PlanId,
        /// How it ended.
        state: PlanState,
        /// Each host's share, at most 50 of them.
        tasks: Vec<TaskLine>,
        /// One sentence by the server.
        text: String,
    },
    /// The turn is answered.
    Answer {
        /// The model's words, made safe to show; citations of anything else than the turn's evidence are taken out.
        text: String,
        /// What it cites.
        cites: Vec<Cite>,
        /// How many hosts were asked and answered, counted by the server.
        coverage: Coverage,
        /// How many citations were dropped since no host returned such a thing.
        dropped: u32,
        /// What really came of the turn, by the server, whatever the words say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        facts: Option<String>,
    },
    /// The turn ended without an answer.
    Error {
        /// A stable word, kebab-case.
        code: String,
        /// What happened.
        detail: String,
        /// What to do about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolState {
    /// It reads now.
    Reading,
    /// It is being made into a plan.
    Proposed,
    /// It was refused, for `reason`.
    Refused,
}

/// A person's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approver {
    /// Who.
    pub person: String,
    /// `approve` or `reject`.
    pub vote: String,
}

/// A host of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanHost {
    /// Its id.
    pub id: HostId,
    /// Its name.
    pub name: String,
}

/// One host's share of an ended plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskLine {
    /// The task.
    pub task: TaskId,
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// How it ended.
    pub state: TaskState,
    /// Whether what must hold afterwards holds; nothing where the verb has no such condition.
    pub verified: Option<bool>,
    /// The program's exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The state before.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub before: Value,
    /// The state after.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub after: Value,
    /// Why, where it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What an answer leans on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cite {
    /// The evidence, such as `e7`.
    pub id: String,
    /// The plan that returned it.
    pub plan: PlanId,
    /// The task, where it is one host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
}

/// How many hosts were asked in a turn and how many answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Hosts that a read or the plan was for, each counted once.
    pub asked: u32,
    /// Hosts of which at least one task succeeded or failed with a receipt.
    pub answered: u32,
}

impl Step {
    /// The name of the server-sent event.
    pub const fn event(&self) -> &'static str {
        match self {
            Self::Question { .. } => "question",
            Self::Text { .. } => "text",
            Self::Tool { .. } => "tool",
            Self::Evidence { .. } => "evidence",
            Self::Plan { .. } => "plan",
            Self::Approval { .. } => "approval",
            Self::Outcome { .. } => "outcome",
            Self::Answer { .. } => "answer",
            Self::Error { .. } => "error",
        }
    }

    /// Whether the turn has ended with this step.
    pub const fn ends(&self) -> bool {
        matches!(self, Self::Answer { .. } | Self::Error { .. })
    }
}
