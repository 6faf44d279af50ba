//! The targets as libFuzzer drives them: one program, the target named by FUZZ_TARGET; `--targets` lists them, `--words NAME` its dictionary.
//!
//! Owns nothing but the entry: what is held to stands in `legator_fuzz`. A broken promise is a panic, which libFuzzer reports.
#![no_main]

use legator_fuzz::Target;
use std::sync::OnceLock;

/// The target that the environment names.
fn target() -> &'static Target {
    static TARGET: OnceLock<&'static Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        legator_fuzz::find(&name).unwrap_or_else(|| panic!("FUZZ_TARGET={name:?} is no target"))
    })
}

/// Before libFuzzer reads its arguments: the lists that scripts/fuzz.sh asks for.
fn listed() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("--targets") => legator_fuzz::targets::ALL.iter().for_each(|target| println!("{}", target.name)),
        Some("--words") => {
            let words = args.get(2).and_then(|name| legator_fuzz::find(name)).map_or(&[][..], |target| target.words);
            words.iter().for_each(|word| println!("\"{}\"", word.bytes().map(|b| format!("\\x{b:02x}")).collect::<String>()));
        }
        _ => return,
    }
    std::process::exit(0);
}

libfuzzer_sys::fuzz_target!(init: listed(), |bytes: &[u8]| (target().hold)(bytes));
