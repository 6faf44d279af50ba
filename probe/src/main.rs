//! The `legator-probe` program.
//!
//! Owns the choice between the helper of the cage and the probe itself. Never starts a thread before that choice.
//! Invariant: a process started as the cage's helper has one thread.

fn main() {
    legator_probe::cage::helper::main_if_asked();
}
