//! What the worker counts, under the names that `docs/metrics.md` explains.
//!
//! Owns the names. Never a label from a host: labels come from closed lists.

use legator_wire::corridor::NotAdmitted;

pub(crate) fn joined(refused: Option<NotAdmitted>) {
    let code = refused.map_or("admitted", |why| why.failure().code);
    metrics::counter!("legator_worker_joins_total", "answer" => code).increment(1);
}

pub(crate) fn denied(code: &'static str) {
    metrics::counter!("legator_worker_hellos_denied_total", "code" => code).increment(1);
}

pub(crate) fn pulses(count: usize) {
    metrics::counter!("legator_worker_pulses_total").increment(count as u64);
}

pub(crate) fn inventory(what: &'static str) {
    metrics::counter!("legator_worker_inventories_total", "outcome" => what).increment(1);
}

pub(crate) fn receipts(what: &'static str, count: usize) {
    metrics::counter!("legator_worker_receipts_total", "outcome" => what).increment(count as u64);
}

pub(crate) fn grants(what: &'static str) {
    metrics::counter!("legator_worker_grants_total", "outcome" => what).increment(1);
}

pub(crate) fn batch(of: &'static str, size: usize) {
    metrics::histogram!("legator_worker_batch_size", "of" => of).record(size as f64);
}

pub(crate) fn failed(what: &'static str) {
    metrics::counter!("legator_worker_failures_total", "in" => what).increment(1);
}
