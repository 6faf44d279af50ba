//! The list of an export's files, so that damage to any of them shows, also where it changes nothing that is proven.
//!
//! Owns `manifest.json`. It is signed by nobody: who changes an export on purpose changes it too, and is found by the log itself.
//! Invariant: an export whose files are not byte for byte as they were written is not called intact.

use super::{LOG, PLANS};
use crate::exit::Fault;
use legator_core::digest::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The manifest within an exported folder.
pub const MANIFEST: &str = "manifest.json";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    files: BTreeMap<String, Digest>,
}

/// The manifest of these files.
pub fn of(log: &[u8], plans: &[u8]) -> String {
    let files = [(LOG, log), (PLANS, plans)].map(|(name, bytes)| (name.to_owned(), Digest::of(bytes)));
    let text = serde_json::to_string_pretty(&Manifest { files: files.into() }).unwrap_or_default();
    format!("{text}\n")
}

/// Checks the files of a folder against its manifest.
///
/// # Errors
/// Names the first file that is not as it was exported.
pub fn check(dir: &Path) -> Result<(), Fault> {
    let read = |name: &str| {
        std::fs::read(dir.join(name))
            .map_err(|error| Fault::failed(format!("the export is not whole: {name}: {error}")))
    };
    let manifest: Manifest = serde_json::from_slice(&read(MANIFEST)?)
        .map_err(|error| Fault::failed(format!("the export is not whole: {MANIFEST}: {error}")))?;
    if !manifest.files.keys().map(String::as_str).eq([LOG, PLANS]) {
        return Err(Fault::failed(format!("the export is not whole: {MANIFEST} names other files")));
    }
    for (name, digest) in &manifest.files {
        if Digest::of(&read(name)?) != *digest {
            return Err(Fault::failed(format!("{name} is not as it was exported")));
        }
    }
    match read(MANIFEST)? == of(&read(LOG)?, &read(PLANS)?).as_bytes() {
        true => Ok(()),
        false => Err(Fault::failed(format!("{MANIFEST} is not as it was exported"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stderr)]
    use super::*;

    #[test]
    fn every_changed_byte_and_every_missing_file_shows() {
        let dir = tempfile::tempdir().unwrap();
        let files =
            [(LOG, "a\nb\n".to_owned()), (PLANS, "c\n".to_owned()), (MANIFEST, of(b"a\nb\n", b"c\n"))];
        let fresh =
            || files.iter().for_each(|(name, text)| std::fs::write(dir.path().join(name), text).unwrap());
        fresh();
        assert!(check(dir.path()).is_ok());
        let mut cases = 0;
        for (name, text) in &files {
            for place in 0..text.len() {
                let mut bytes = text.clone().into_bytes();
                bytes[place] ^= 1;
                std::fs::write(dir.path().join(name), bytes).unwrap();
                assert!(check(dir.path()).is_err(), "{name} byte {place}");
                cases += 1;
            }
            std::fs::remove_file(dir.path().join(name)).unwrap();
            assert!(check(dir.path()).is_err(), "{name} is gone");
            fresh();
        }
        eprintln!("manifest: {cases} changed bytes found");
    }
}
