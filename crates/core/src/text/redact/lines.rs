//! Credentials that stand on more than one line: blocks of private keys, tokens that a terminal wrapped, values below their name.
//!
//! Owns what is looked for across lines. Invariant: what it takes out is replaced by [`REDACTED`]; a block without an end hides nothing
//! that does not look like a part of a key.

use super::{REDACTED, credential_in, is_secret_name, is_token_char, name_before, value_of, varied};

/// How far the end of a block is looked for, in lines.
const BLOCK_LINES_MAX: usize = 120;
/// How short a line of a key without its end may be.
const KEY_WORD_BYTES_MIN: usize = 8;
/// How short a rest of a wrapped token may be that stands alone on its line.
const REST_BYTES_MIN: usize = 8;

/// The text without blocks of private keys, wrapped tokens and values that stand below their name.
pub(super) fn across_lines(text: &str) -> String {
    let lines: Vec<&str> = text.split('\n').collect();
    let lines = below_names(wrapped(without_private_keys(&lines)));
    lines.join("\n")
}

fn begins(line: &str) -> bool {
    line.contains("-----BEGIN") && line.contains("PRIVATE KEY")
}

/// What follows the end of a block on its line.
fn after_end(line: &str) -> Option<&str> {
    let (_, end) = line.split_once("-----END")?;
    Some(end.split_once("-----").map_or("", |(_, after)| after))
}

fn without_private_keys(lines: &[&str]) -> Vec<String> {
    if !lines.iter().any(|line| line.contains("PRIVATE KEY")) {
        return lines.iter().map(|line| (*line).to_owned()).collect();
    }
    let mut out: Vec<String> = Vec::with_capacity(lines.len());
    let mut rest = lines;
    while let Some((line, after)) = rest.split_first() {
        rest = after;
        if begins(line) {
            let before = line.split("-----BEGIN").next().unwrap_or_default();
            let same = line.get(before.len()..).and_then(after_end);
            let (tail, skipped) = match same {
                Some(tail) => (tail, 0),
                None => block(after),
            };
            out.push(format!("{before}{REDACTED}{tail}"));
            rest = after.get(skipped..).unwrap_or_default();
        } else if line.contains("-----END") && line.contains("PRIVATE KEY") {
            // The beginning was cut off: what stands above and looks like a key is one.
            while out.last().is_some_and(|above| is_body(above)) {
                out.pop();
            }
            out.push(format!("{REDACTED}{}", after_end(line).unwrap_or_default()));
        } else {
            out.push((*line).to_owned());
        }
    }
    out
}

/// What follows a block that began above these lines, and how many of them belong to it.
fn block<'a>(lines: &[&'a str]) -> (&'a str, usize) {
    let near = lines.iter().take(BLOCK_LINES_MAX).take_while(|line| !begins(line));
    let end = near.enumerate().find_map(|(at, line)| after_end(line).map(|tail| (tail, at + 1)));
    end.unwrap_or_else(|| ("", lines.iter().take_while(|line| is_key_line(line)).count()))
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')
}

/// Whether a line could be a part of a key whose end is missing.
fn is_key_line(line: &str) -> bool {
    let word = line.split_whitespace().next_back().unwrap_or_default();
    word.is_empty()
        || line.contains("Proc-Type:")
        || line.contains("DEK-Info:")
        || (word.len() >= KEY_WORD_BYTES_MIN && word.chars().all(is_base64))
}

/// Whether a line is nothing but a part of a key.
fn is_body(line: &str) -> bool {
    let line = line.trim();
    line.len() >= KEY_WORD_BYTES_MIN && line.chars().all(is_base64)
}

/// Tokens that go on at the beginning of the next line.
fn wrapped(lines: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(lines.len());
    let mut goes_on = false;
    for line in lines {
        let head = line.find(|c: char| !is_token_char(c)).unwrap_or(line.len());
        let (word, rest) = line.split_at_checked(head).unwrap_or((line.as_str(), ""));
        if goes_on && rest.trim().is_empty() && word.len() >= REST_BYTES_MIN && varied(word) {
            out.push(format!("{REDACTED}{rest}"));
            continue;
        }
        goes_on = false;
        if let Some(above) = out.last_mut()
            && let Some(at) = joined_at(above, word)
        {
            above.truncate(at);
            above.push_str(REDACTED);
            goes_on = rest.trim().is_empty();
            out.push(format!("{REDACTED}{rest}"));
            continue;
        }
        out.push(line);
    }
    out
}

/// Where in the line above a credential begins that only the first word below completes.
fn joined_at(above: &str, word: &str) -> Option<usize> {
    let start = above
        .rfind(|c: char| !is_token_char(c))
        .map_or(0, |at| at + above.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
    let tail = above.get(start..).filter(|tail| !tail.is_empty() && !word.is_empty())?;
    let at = credential_in(&format!("{tail}{word}")).filter(|at| *at < tail.len())?;
    let alone = tail.get(at..).is_some_and(|own| credential_in(own) == Some(0));
    // A whole credential at the end of a line is found there; only a word that stands alone can be its rest.
    (!alone).then_some(start + at)
}

/// Where a value may stand below its name.
#[derive(Clone, Copy)]
enum Below {
    /// On a line that is deeper than this: all of it.
    Deeper(usize),
    /// Anywhere: the first word, which goes on after a `\`.
    FirstWord,
}

/// A value on the line below its name, deeper than it, or after a line that ends with `\`.
fn below_names(lines: Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(lines.len());
    let mut waits: Option<Below> = None;
    for line in lines {
        let depth = line.len() - line.trim_start().len();
        let goes_on = line.ends_with('\\');
        match waits.take() {
            Some(Below::Deeper(above)) if depth > above && !line.trim().is_empty() => {
                out.push(without_value(&line, depth));
                continue;
            }
            Some(Below::FirstWord) => {
                let end = line.get(depth..).and_then(|rest| rest.find([' ', '\t', '\\', '"', '\'']));
                let end = end.map_or(line.len(), |end| depth + end);
                let word = line.get(depth..end).filter(|word| !word.is_empty() && !word.starts_with('['));
                if let Some(rest) = word.and_then(|_| line.get(end..)) {
                    waits = (goes_on && rest == "\\").then_some(Below::FirstWord);
                    out.push(format!("{}{REDACTED}{rest}", line.get(..depth).unwrap_or_default()));
                    continue;
                }
            }
            _ => {}
        }
        waits = match (goes_on && value_goes_on(&line), waiting(&line)) {
            (true, _) => Some(Below::FirstWord),
            (false, true) => Some(Below::Deeper(depth)),
            (false, false) => None,
        };
        out.push(line);
    }
    out
}

fn without_value(line: &str, depth: usize) -> String {
    let (lead, value) = line.split_at_checked(depth).unwrap_or(("", line));
    let bare = value.trim_end_matches([',', ';', ' ', '\t']);
    let end = value.get(bare.len()..).unwrap_or_default();
    match bare.trim_matches(['"', '\'']).starts_with(REDACTED)
        || bare.len() < 3
        || bare.starts_with(['{', '['])
    {
        true => line.to_owned(),
        false => format!("{lead}{REDACTED}{end}"),
    }
}

/// Whether a line ends with the name of a credential and a sign that its value follows.
fn waiting(line: &str) -> bool {
    let line = line.trim_end_matches([' ', '\t', '\\', '|', '>', '-']);
    line.strip_suffix([':', '=']).is_some_and(|before| is_secret_name(name_before(before)))
}

/// Whether a line that ends with `\` ends within the value of a credential.
fn value_goes_on(line: &str) -> bool {
    let Some((before, after)) = line.split_once(['=', ':']) else { return false };
    is_secret_name(name_before(before)) && value_of(after, false).1.ends_with('\\')
}
