//! A model's words as they come, made safe before anybody sees them.
//!
//! Owns what of an unfinished reply is told. Invariant: what is told is the beginning of the words as they would be recorded; a word that is not
//! whole yet, which may be half a credential or half an address, is held back, and what later words change is not told at all.

use legator_core::brain::model_text;

/// An unfinished reply.
#[derive(Debug, Default)]
pub(crate) struct Live {
    raw: String,
    told: String,
    /// What follows changed what was told: the recorded step says the rest.
    lost: bool,
}

impl Live {
    /// More of it.
    pub(crate) fn push(&mut self, piece: &str) {
        self.raw.push_str(piece);
    }

    /// What was told so far.
    pub(crate) fn shown(&self) -> &str {
        &self.told
    }

    /// What can be told now; addresses that stand in the question stay.
    pub(crate) fn fresh(&mut self, question: &str) -> Option<String> {
        let whole =
            self.raw.char_indices().rfind(|(_, c)| c.is_whitespace()).map(|(at, c)| at + c.len_utf8())?;
        if self.lost {
            return None;
        }
        let safe = model_text(self.raw.get(..whole)?, question);
        match safe.strip_prefix(self.told.as_str()).map(str::to_owned) {
            Some(fresh) if fresh.is_empty() => None,
            Some(fresh) => {
                self.told = safe;
                Some(fresh)
            }
            None => {
                self.lost = true;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_piece_holds_what_the_whole_would_not_show() {
        let cases = [
            ("the key AKIAIOSFODNN7EXAMPLE is there", "AKIA"),
            ("DB_PASSWORD=fictional-hunter2 is there", "hunter2"),
            ("postgres://app:pa55word@db/app is there", "pa55word"),
            ("see https://collector.example/?d=abc for more", "https://"),
            ("![x](https://collector.example/?d=abc) done", "]("),
            ("-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAx1\n-----END RSA PRIVATE KEY-----\nx", "MIIE"),
            ("token lk_0123456789abcdef0123456789abcdef_0123456789abcdef0123456789abcdef y", "lk_0123"),
            ("a \u{1b}[2Jb \u{202e}c d", "\u{1b}"),
        ];
        for (words, hidden) in cases {
            for size in 1..12 {
                let (mut live, mut told) = (Live::default(), String::new());
                let chars: Vec<char> = words.chars().collect();
                for piece in chars.chunks(size) {
                    live.push(&piece.iter().collect::<String>());
                    told.extend(live.fresh("what is up?"));
                }
                assert!(!told.contains(hidden), "{words:?} in pieces of {size}: {told:?}");
                assert_eq!(told, live.shown());
            }
        }
    }

    #[test]
    fn plain_words_are_told_as_they_come() {
        let mut live = Live::default();
        live.push("nginx is");
        assert_eq!(live.fresh("q"), Some("nginx ".to_owned()));
        assert_eq!(live.fresh("q"), None);
        live.push(" up [e3].\nAll well");
        assert_eq!(live.fresh("q"), Some("is up [e3].\nAll ".to_owned()));
    }
}
