//! Every reader of foreign bytes in the probe, by name: what a fuzzer and its replay drive.
//!
//! Owns the list over all modules. Never opens anything: the bytes are a parameter. Invariant: a reader gives text, whatever comes.

use crate::journal::record::Record;
use crate::verbs::foreign::Reader;
use crate::{enrol, inventory, metrics, verbs};

const OWN: &[Reader] = &[
    ("proc-mounts", |bytes| format!("{:?}", metrics::parse_mounts(&String::from_utf8_lossy(bytes)))),
    ("problem-body", enrol::problem),
    ("journal-line", |bytes| match Record::parse(bytes) {
        // What parses is written again as it was read.
        Some(record) => String::from_utf8_lossy(&record.line()).into_owned(),
        None => String::new(),
    }),
];

/// All readers.
pub fn readers() -> impl Iterator<Item = &'static Reader> {
    OWN.iter().chain(verbs::foreign::READERS).chain(inventory::foreign::READERS)
}
