//! What this host's kernel can do, found by trying.
//!
//! Owns turning the helper's findings into a report. Never guesses from a version.
//! Invariant: a helper that cannot be asked, or does not answer for every layer, counts as no cage.

use super::order::{WORDS_BYTES_MAX, Word};
use super::run::trial_bytes;
use super::{Cage, Layer, helper};
use legator_core::cage::{CageReport, CageState};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A helper that takes longer than this is given up; a trial takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

impl Cage {
    /// As [`super::report`], with this helper.
    pub fn report(&self) -> CageReport {
        if let Some(known) = self.report.get() {
            return known.clone();
        }
        match self.ask() {
            Ok(words) => self.report.get_or_init(|| judge(&words)).clone(),
            // Not remembered: the machine may have been out of processes for a moment.
            Err(error) => CageReport::none(format!("helper: {error}")),
        }
    }

    fn ask(&self) -> io::Result<Vec<Word>> {
        let (mut ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        let mut child = Command::new(&self.helper)
            .arg(helper::WORD)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        ours.write_all(&trial_bytes()?)?;
        let mut bytes = Vec::new();
        let read = (&mut ours).take(WORDS_BYTES_MAX).read_to_end(&mut bytes);
        if read.is_err() {
            child.kill()?;
        }
        child.wait()?;
        read?;
        Ok(bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

/// The report over what a helper said.
fn judge(words: &[Word]) -> CageReport {
    let mut missing = Vec::new();
    for layer in Layer::ALL {
        let tried = words.iter().find_map(|word| match word {
            Word::Tried { layer: tried, fault } if *tried == layer => Some(fault.clone()),
            _ => None,
        });
        match tried {
            Some(None) => {}
            Some(Some(fault)) => missing.push(format!("{layer}: {fault}")),
            None => missing.push(format!("{layer}: not tried")),
        }
    }
    let lacks = |layer: Layer| missing.iter().any(|line| line.starts_with(layer.word()));
    let state = match () {
        () if lacks(Layer::Mounts) && lacks(Layer::Landlock) => CageState::None,
        () if !missing.is_empty() => CageState::Partial,
        () => CageState::Full,
    };
    if state != CageState::Full {
        return CageReport { state, missing };
    }
    // Each holds alone; they have to hold together as well.
    let whole = words.iter().find_map(|word| match word {
        Word::Whole { fault } => Some(fault.clone()),
        _ => None,
    });
    match whole {
        Some(None) => CageReport::full(),
        Some(Some(fault)) => {
            CageReport { state: CageState::Partial, missing: vec![format!("all together: {fault}")] }
        }
        None => CageReport { state: CageState::Partial, missing: vec!["all together: not tried".into()] },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(faulty: &[Layer]) -> Vec<Word> {
        let fault = |layer: &Layer| faulty.contains(layer).then(|| "no".to_owned());
        let mut words: Vec<_> =
            Layer::ALL.iter().map(|layer| Word::Tried { layer: *layer, fault: fault(layer) }).collect();
        words.push(Word::Whole { fault: None });
        words
    }

    #[test]
    fn silence_is_no_cage_and_one_missing_layer_is_not_full() {
        assert_eq!(judge(&[]).state, CageState::None);
        assert_eq!(judge(&words(&[])), CageReport::full());
        for layer in Layer::ALL {
            let report = judge(&words(&[layer]));
            assert_eq!((report.state, report.missing.len()), (CageState::Partial, 1), "{layer}");
        }
        assert_eq!(judge(&words(&[Layer::Mounts, Layer::Landlock])).state, CageState::None);
        let whole = words(&[]);
        assert_eq!(judge(whole.get(..7).unwrap_or_default()).state, CageState::Partial);
    }
}
