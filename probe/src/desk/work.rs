//! A task at work: the last look, the verb, its output, its receipt.
//!
//! Owns what happens between "started" on disk and the receipt on disk. Invariant: whatever the verb does, exactly one receipt is made.

use legator_core::ids::{PlanId, TaskId};
use legator_core::level::Level;
use legator_core::task::Outcome;
use legator_core::verbs::{Call, Secrets};
use legator_wire::frame::{self, OUTPUT_FRAME_BYTES_MAX, Output, Up};
use legator_wire::grant::Checked;
use legator_wire::receipt::Kept;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

use super::{Case, account};
use crate::cage::{Chunk, Stream};
use crate::config::Settings;
use crate::journal::{Begun, Expected};
use crate::keep::{self, Keeper};
use crate::mask;
use crate::probe::{Probe, Reserved};
use crate::verbs::{self, Done, HostServices, Work};

/// Pieces of output between the verb and the keeper.
const PIECES_MAX: usize = 16;

/// A task at work.
pub(super) struct Job {
    pub(super) case: Case,
    pub(super) checked: Checked,
    pub(super) call: Call,
    pub(super) secrets: Secrets,
    pub(super) settings: Settings,
    pub(super) begun: Begun,
    pub(super) cap: usize,
}

impl Job {
    /// Runs it to its receipt.
    pub(super) async fn run(self, reserved: Reserved) {
        let clock = Instant::now();
        let (done, kept) = self.done(&reserved).await;
        let probe = &self.case.probe;
        let mut receipt = account::of_begun(&self.case.identity, &self.begun, done, probe.clock.now());
        receipt.duration_ms = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        let sent = account::with_output(probe, receipt, kept);
        let of = (self.case.task, self.case.content);
        match probe.journal.end(of, self.begun.expires_at, sent).await {
            Ok(sent) => {
                let told = probe.say(Up::Receipt(Box::new(sent)));
                drop(reserved);
                if !told {
                    probe.receipts.notify_one();
                }
            }
            // It stays "started" on disk: the next start says that its end is unknown.
            Err(error) => tracing::error!(%error, task = %self.case.task, "a receipt could not be kept"),
        }
    }

    async fn done(&self, reserved: &Reserved) -> (Done, [(Kept, Vec<u8>); 2]) {
        if *reserved.cancelled.borrow() {
            let detail = Some("it was cancelled before it started".to_owned());
            return (Done { detail, ..blank(Outcome::Cancelled) }, nothing());
        }
        if let Some(refused) = self.last_look() {
            return (refused, nothing());
        }
        let host = match self.case.probe.services(&self.settings) {
            Ok(host) => host,
            Err(error) => return (failed(error.to_string()), nothing()),
        };
        let (pieces, output) = mpsc::channel(PIECES_MAX);
        let output = mask::over(output, &self.secrets);
        let keeping = tokio::spawn(keep_and_tell(Arc::clone(&self.case.probe), self.at(), output));
        let shown = self.checked.leaf.shown;
        let work =
            Work { task: self.case.task, call: &self.call, secrets: &self.secrets, shown, host: &host };
        let done = verbs::run(work, pieces, reserved.cancelled.clone()).await;
        let done = self.masked(ended(done, *reserved.cancelled.borrow()));
        let kept = keeping.await.map_or_else(|_| nothing(), |(out, err)| keep::finish(out, err, self.cap));
        match done.pending_boot.clone() {
            Some(boot) => (self.reboot(&host, done, boot).await, kept),
            None => (done, kept),
        }
    }

    fn masked(&self, done: Done) -> Done {
        if self.secrets.is_empty() {
            return done;
        }
        Done {
            detail: done.detail.map(|text| mask::text(&text, &self.secrets)),
            before: done.before.map(|state| mask::value(state, &self.secrets)),
            after: done.after.map(|state| mask::value(state, &self.secrets)),
            ..done
        }
    }

    fn at(&self) -> (PlanId, TaskId, usize) {
        (self.begun.plan, self.case.task, self.cap)
    }

    /// A freeze, a lowered level or a cancel that came after the check still counts: changes are looked at once more.
    fn last_look(&self) -> Option<Done> {
        if self.call.level == Level::Observe {
            return None;
        }
        let settings = self.case.probe.source.now();
        let refusal = match settings {
            Err(_) => legator_wire::refusal::Refusal::AboveMaxLevel,
            Ok(settings) => self.case.check(&settings).err()?,
        };
        Some(Done { refusal: Some(refusal), ..blank(Outcome::Refused) })
    }

    /// Puts what the next boot has to show on disk, then reboots. What returns from here was not taken up.
    async fn reboot(&self, host: &HostServices, done: Done, boot: String) -> Done {
        let expected = Expected { boot, before: done.before.clone() };
        if let Err(error) = self.case.probe.journal.expect(self.case.task, expected).await {
            return Done { before: done.before, ..failed(error.to_string()) };
        }
        match verbs::reboot::go(host).await {
            Err(detail) => Done { before: done.before, ..failed(detail) },
            Ok(()) => {
                // The machine goes down now; this process is ended with it.
                tokio::time::sleep(REBOOT_WAIT).await;
                Done {
                    before: done.before,
                    ..failed("the reboot was taken up and did not happen within 10 minutes".into())
                }
            }
        }
    }
}

const REBOOT_WAIT: std::time::Duration = std::time::Duration::from_secs(600);

/// What was killed since it was taken back was cancelled; what came to its end all the same ends as it did.
fn ended(done: Done, cancelled: bool) -> Done {
    match cancelled && done.outcome == Outcome::Failed && done.verified.is_none() {
        true => Done { outcome: Outcome::Cancelled, ..done },
        false => done,
    }
}

fn nothing() -> [(Kept, Vec<u8>); 2] {
    [(Kept::nothing(), Vec::new()), (Kept::nothing(), Vec::new())]
}

pub(super) fn blank(outcome: Outcome) -> Done {
    Done {
        outcome,
        refusal: None,
        exit_code: None,
        signal: None,
        before: None,
        after: None,
        verified: None,
        detail: None,
        result: None,
        pending_boot: None,
    }
}

pub(super) fn failed(detail: String) -> Done {
    Done { detail: Some(detail), ..blank(Outcome::Failed) }
}

/// Keeps the output, and tells whoever watches; a watcher that is slow loses pieces, never the receipt.
async fn keep_and_tell(
    probe: Arc<Probe>,
    (plan, task, cap): (PlanId, TaskId, usize),
    mut output: mpsc::Receiver<Chunk>,
) -> (Keeper, Keeper) {
    let (mut out, mut err) = (Keeper::new(cap), Keeper::new(cap));
    while let Some(chunk) = output.recv().await {
        let stream = match chunk.stream {
            Stream::Stdout => frame::Stream::Stdout,
            Stream::Stderr => frame::Stream::Stderr,
        };
        match chunk.stream {
            Stream::Stdout => out.push_at(chunk.offset, &chunk.bytes),
            Stream::Stderr => err.push_at(chunk.offset, &chunk.bytes),
        }
        let mut offset = chunk.offset;
        for piece in chunk.bytes.chunks(OUTPUT_FRAME_BYTES_MAX) {
            let frame = Output { plan, task, stream, offset, bytes: piece.to_vec() };
            probe.say(Up::Output(frame));
            offset += piece.len() as u64;
        }
    }
    (out, err)
}
