//! Writes the good examples of every target into `fuzz/seeds/<target>/`, each named by the digest of its bytes.
//!
//! Owns the names of seeds. Never removes a file: what a fuzzer found stays.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use legator_core::digest::Digest;
use std::fs;
use std::path::Path;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let mut files = 0;
    for target in legator_fuzz::targets::ALL {
        let folder = root.join(target.name);
        fs::create_dir_all(&folder).unwrap();
        for example in (target.examples)() {
            let name: String = Digest::of(&example).hex().chars().take(16).collect();
            fs::write(folder.join(name), example).unwrap();
            files += 1;
        }
    }
    println!("{files} seeds of {} targets", legator_fuzz::targets::ALL.len());
}
