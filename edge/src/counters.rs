//! What the edge counts, under the names that `docs/metrics.md` explains.
//!
//! Owns the names. Never a label from a host: labels come from closed lists.

use legator_wire::corridor::Heard;

pub(crate) fn admitted() {
    metrics::counter!("legator_edge_admitted_total").increment(1);
}

pub(crate) fn denied(code: &'static str) {
    metrics::counter!("legator_edge_denied_total", "code" => code).increment(1);
}

pub(crate) fn frame(kind: &'static str) {
    metrics::counter!("legator_edge_frames_total", "kind" => kind).increment(1);
}

pub(crate) fn closed(reason: &'static str) {
    metrics::counter!("legator_edge_closed_total", "reason" => reason).increment(1);
}

pub(crate) fn command(heard: Heard) {
    let heard = match heard {
        Heard::Queued => "queued",
        Heard::NotHere => "not-here",
        Heard::Full => "full",
    };
    metrics::counter!("legator_edge_commands_total", "heard" => heard).increment(1);
}

pub(crate) fn sessions(count: usize) {
    metrics::gauge!("legator_edge_sessions").set(count as f64);
}
