//! The citations in a model's words: what it may lean on, and what nobody returned.
//!
//! Owns the forms in which a citation is written. Invariant: every reference to evidence that stays is of evidence that is known; the
//! others are replaced by words that say so.

/// What stands where a citation of nothing stood.
const NONE: &str = "[no such evidence]";
/// How long the inside of brackets may be to be a citation, in bytes.
const INSIDE_BYTES_MAX: usize = 200;
const PAIRS: [(char, char); 5] = [('[', ']'), ('(', ')'), ('【', '】'), ('［', '］'), ('〔', '〕')];
/// Words between two citations.
const JOINING: [&str; 7] = ["and", "to", "und", "bis", "or", "see", "cf"];

/// The words with the citations of known evidence alone; those, each once; and how many others there were.
pub(super) fn citations(words: &str, known: &[String]) -> (String, Vec<String>, u32) {
    let mut out = Cited { known, text: String::with_capacity(words.len()), cited: Vec::new(), dropped: 0 };
    let mut rest = words;
    while let Some((at, pair)) = rest.char_indices().find_map(|(at, c)| Some((at, pair_of(c)?))) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.bare(before);
        let after = from.get(pair.0.len_utf8()..).unwrap_or_default();
        let inside = after.split_once(pair.1).map(|(inside, _)| inside);
        match inside.and_then(|inside| Some((inside, ids(inside, pair.0)?))) {
            Some((inside, ids)) => {
                out.cite(&ids);
                rest = after.get(inside.len() + pair.1.len_utf8()..).unwrap_or_default();
            }
            None => {
                out.text.push(pair.0);
                rest = after;
            }
        }
    }
    out.bare(rest);
    (out.text, out.cited, out.dropped)
}

fn pair_of(c: char) -> Option<(char, char)> {
    PAIRS.into_iter().find(|(open, _)| *open == c)
}

struct Cited<'a> {
    known: &'a [String],
    text: String,
    cited: Vec<String>,
    dropped: u32,
}

impl Cited<'_> {
    fn cite(&mut self, ids: &[String]) {
        let (good, bad): (Vec<&String>, Vec<&String>) = ids.iter().partition(|id| self.known.contains(id));
        self.dropped = self.dropped.saturating_add(u32::try_from(bad.len()).unwrap_or(u32::MAX));
        let names: Vec<&str> = good.iter().map(|id| id.as_str()).collect();
        match names.is_empty() {
            true => self.text.push_str(NONE),
            false => self.text.push_str(&format!("[{}]", names.join(", "))),
        }
        for id in good {
            if !self.cited.contains(id) {
                self.cited.push(id.clone());
            }
        }
    }

    /// Words without brackets: `evidence e9` is a citation too.
    fn bare(&mut self, words: &str) {
        let mut evidence = false;
        for piece in words.split_inclusive([' ', '\n', '\t']) {
            let word = piece.trim_end_matches([' ', '\n', '\t']);
            let bare = word.trim_end_matches(['.', ',', ';', ':', '!', '?']);
            match number_of(bare).filter(|_| evidence) {
                Some(id) => {
                    self.cite(&[id]);
                    self.text.push_str(piece.get(bare.len()..).unwrap_or_default());
                }
                None => self.text.push_str(piece),
            }
            evidence = matches!(bare.to_ascii_lowercase().as_str(), "evidence" | "evidences");
        }
    }
}

/// `e7`, whatever its case.
fn number_of(word: &str) -> Option<String> {
    let digits = word.strip_prefix(['e', 'E'])?;
    let number = (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    number.then(|| format!("e{digits}"))
}

/// The references inside brackets, when they are a citation; in round ones only when they are nothing else.
fn ids(inside: &str, open: char) -> Option<Vec<String>> {
    if inside.len() > INSIDE_BYTES_MAX {
        return None;
    }
    let lower = inside.trim().trim_start_matches('^').to_lowercase();
    let named = lower.strip_prefix("evidence").filter(|rest| !rest.starts_with(char::is_alphanumeric));
    let separators: &[char] = match named {
        Some(_) => &[',', ' ', ';'],
        None => &[',', ' ', ';', '-', '–', '—', '/', '&', '+', '.'],
    };
    let tokens = named.unwrap_or(&lower).split(separators).map(|token| token.trim_matches(':'));
    let tokens: Vec<&str> = tokens.filter(|token| !token.is_empty() && !JOINING.contains(token)).collect();
    let first = tokens.first().is_some_and(|token| number_of(token).is_some());
    let all = tokens.iter().all(|token| number_of(token).is_some());
    let counts = match open {
        '(' => first && all,
        _ => first || (named.is_some() && !tokens.is_empty()),
    };
    counts.then(|| tokens.into_iter().map(str::to_owned).collect())
}
