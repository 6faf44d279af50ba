//! A model's words on their way to people.
//!
//! Owns what is taken out of them and what is marked. Invariant: a citation that stays is of evidence of this turn, and no line that a
//! model wrote looks like one of the server's.

use super::TEXT_BYTES_MAX;
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

/// Takes out every `[e…]` that is not known, and every reference that looks like one of ours.
fn citations(words: &str, known: &[String]) -> (String, Vec<String>, u32) {
    let mut out = String::with_capacity(words.len());
    let (mut cited, mut dropped): (Vec<String>, u32) = (Vec::new(), 0);
    let mut rest = words;
    while let Some(at) = rest.find('[') {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(before);
        let inside = from.get(1..).and_then(|from| from.split_once(']')).map(|(inside, _)| inside);
        match inside.filter(|inside| looks_like_evidence(inside)) {
            Some(inside) => {
                let (good, bad) = sorted(inside, known);
                dropped += bad;
                out.push_str(&shown_citation(&good));
                cited.extend(good.into_iter().filter(|id| !cited.contains(id)).collect::<Vec<_>>());
                rest = from.get(inside.len() + 2..).unwrap_or_default();
            }
            None => {
                out.push('[');
                rest = from.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    (out, cited, dropped)
}

fn looks_like_evidence(inside: &str) -> bool {
    let first = inside.split([',', ' ', ';']).next().unwrap_or_default();
    let number = first.strip_prefix(['e', 'E']).unwrap_or_default();
    inside.len() <= 200
        && (inside.to_lowercase().starts_with("evidence")
            || (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())))
}

fn sorted(inside: &str, known: &[String]) -> (Vec<String>, u32) {
    let ids = inside.trim_start_matches("evidence").split([',', ' ', ';']);
    let ids = ids.map(|id| id.trim_matches(':')).filter(|id| !id.is_empty());
    let mut good = Vec::new();
    let mut bad = 0;
    for id in ids {
        let id = id.to_lowercase();
        match known.contains(&id) {
            true => good.push(id),
            false => bad += 1,
        }
    }
    (good, bad)
}

fn shown_citation(good: &[String]) -> String {
    match good.is_empty() {
        true => "[no such evidence]".to_owned(),
        false => format!("[{}]", good.join(", ")),
    }
}
