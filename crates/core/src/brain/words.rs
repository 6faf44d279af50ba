//! A model's words on their way to people.
//!
//! Owns what is taken out of them and what is marked. Invariant: a citation that stays is of evidence of this turn, and no line that a
//! model wrote looks like one of the server's.

use super::TEXT_BYTES_MAX;
use super::cites::citations;
use crate::text;

/// An answer as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The words.
    pub text: String,
    /// The evidence that it cites, each once, in the order of the words.
    pub cited: Vec<String>,
    /// How many citations were dropped.
    pub dropped: u32,
}

/// What a line of the server's own begins with; a model's line that begins so is marked.
const SERVER_WORDS: [&str; 8] =
    ["[legator]", "[plan", "[approval", "[outcome", "[coverage]", "[server", "[policy", "legator:"];
const MARK: &str = "(the model's words) ";

/// A model's words, safe to show: controls visible, credentials out, addresses unlinked unless a person said them, bounded.
pub fn model_text(words: &str, said: &str) -> String {
    let safe = text::shown(&text::ends(words, TEXT_BYTES_MAX));
    let safe = text::unlinked(&text::redact(&safe), said);
    let lines: Vec<String> = safe.split('\n').map(marked).collect();
    lines.join("\n")
}

fn marked(line: &str) -> String {
    let bare = line.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '[').to_lowercase();
    match SERVER_WORDS.iter().any(|word| bare.starts_with(word)) {
        true => format!("{MARK}{line}"),
        false => line.to_owned(),
    }
}

/// A model's answer: its words as [`model_text`] has them, with the citations of `known` evidence alone.
pub fn answer(words: &str, said: &str, known: &[String]) -> Answer {
    let (words, cited, dropped) = citations(words, known);
    Answer { text: model_text(&words, said), cited, dropped }
}
