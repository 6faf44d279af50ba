//! Reads a selector's text, character by character.
//!
//! Owns the cursor and the errors. Invariant: every loop ends with the text, and every list in the result is within its bound.

use super::{
    BadSelector, CLAUSES_MAX, Clause, Key, SELECTOR_BYTES_MAX, VALUES_MAX, WORD_BYTES_MAX, Wanted, Which,
};
use crate::ids::HostId;

/// Whether a character may stand in a word without quotes.
pub(super) fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || "._-/:@+".contains(c)
}

struct Cursor<'a> {
    text: &'a str,
    /// Bytes read so far.
    at: usize,
}

pub(super) fn parse(text: &str) -> Result<Which, BadSelector> {
    let mut cursor = Cursor { text, at: 0 };
    if text.len() > SELECTOR_BYTES_MAX {
        return Err(cursor.wrong(format!("{} bytes are more than {SELECTOR_BYTES_MAX}", text.len())));
    }
    cursor.blanks();
    if cursor.peek().is_none() {
        return Ok(Which::None);
    }
    if cursor.eat('*') {
        cursor.blanks();
        return match cursor.peek() {
            None => Ok(Which::All),
            Some(_) => Err(cursor.wrong("* stands alone: there are no wildcards")),
        };
    }
    clauses(&mut cursor).map(Which::Where)
}

fn clauses(cursor: &mut Cursor<'_>) -> Result<Vec<Clause>, BadSelector> {
    let mut found = Vec::new();
    loop {
        if found.len() == CLAUSES_MAX {
            return Err(cursor.wrong(format!("more than {CLAUSES_MAX} clauses")));
        }
        cursor.blanks();
        let start = cursor.at;
        let (clause, is_name) = clause(cursor)?;
        found.push(clause);
        cursor.blanks();
        let ended = cursor.peek().is_none();
        if is_name && (found.len() > 1 || cursor.peek() == Some(',')) {
            cursor.at = start;
            return Err(cursor.wrong("a word without = is a host's name and stands alone; for several write name in (a,b), for a label has(label)"));
        }
        if ended {
            return Ok(found);
        }
        if !cursor.eat(',') {
            return Err(cursor.wrong(format!("a comma belongs here, not {}", cursor.shown())));
        }
    }
}

/// A clause, and whether it is a bare name.
fn clause(cursor: &mut Cursor<'_>) -> Result<(Clause, bool), BadSelector> {
    let start = cursor.at;
    if cursor.peek() == Some('"') {
        let name = cursor.quoted()?;
        return Ok((compare(Key::Name, Wanted::Among, vec![name]), true));
    }
    let word = cursor.bare("a key or a name")?;
    if word == "has" && cursor.eat('(') {
        return has(cursor).map(|clause| (clause, false));
    }
    cursor.blanks();
    let wanted = match cursor.peek() {
        Some('=') => Wanted::Among,
        Some('!') => Wanted::NotAmong,
        Some(c) if is_bare(c) => return listed(cursor, key(&word)).map(|clause| (clause, false)),
        _ => return Ok((bare(word), true)),
    };
    cursor.eat('!');
    if !cursor.eat('=') {
        return Err(cursor.wrong("= belongs after !"));
    }
    cursor.eat('=');
    let key = key(&word);
    let value = value(cursor, &key)?;
    if key == Key::Label(String::new()) {
        cursor.at = start;
        return Err(cursor.wrong("a label has a name"));
    }
    Ok((compare(key, wanted, vec![value]), false))
}

/// A word on its own: a host's id where it has the form of one, else its name.
fn bare(word: String) -> Clause {
    let key = if word.parse::<HostId>().is_ok() { Key::Id } else { Key::Name };
    compare(key, Wanted::Among, vec![word])
}

fn compare(key: Key, wanted: Wanted, values: Vec<String>) -> Clause {
    Clause::Compare { key, wanted, values }
}

fn key(word: &str) -> Key {
    let fact = Key::WORDS.iter().find(|(known, _)| *known == word);
    match fact {
        Some((_, key)) => key.clone(),
        None => Key::Label(word.strip_prefix("labels.").unwrap_or(word).to_owned()),
    }
}

fn has(cursor: &mut Cursor<'_>) -> Result<Clause, BadSelector> {
    cursor.blanks();
    let label = cursor.bare("a label")?;
    cursor.blanks();
    match cursor.eat(')') {
        true => Ok(Clause::Has(label)),
        false => Err(cursor.wrong(format!(") belongs here, not {}", cursor.shown()))),
    }
}

/// `in (…)` or `notin (…)`.
fn listed(cursor: &mut Cursor<'_>, key: Key) -> Result<Clause, BadSelector> {
    let start = cursor.at;
    let wanted = match cursor.bare("in or notin")?.as_str() {
        "in" => Wanted::Among,
        "notin" => Wanted::NotAmong,
        _ => {
            cursor.at = start;
            return Err(cursor.wrong(format!("=, !=, in or notin belongs after {key}")));
        }
    };
    cursor.blanks();
    if !cursor.eat('(') {
        return Err(cursor.wrong(format!("( belongs here, not {}", cursor.shown())));
    }
    let mut values = Vec::new();
    loop {
        if values.len() == VALUES_MAX {
            return Err(cursor.wrong(format!("more than {VALUES_MAX} values")));
        }
        values.push(value(cursor, &key)?);
        cursor.blanks();
        if cursor.eat(')') {
            return Ok(compare(key, wanted, values));
        }
        if !cursor.eat(',') {
            return Err(cursor.wrong(format!(", or ) belongs here, not {}", cursor.shown())));
        }
    }
}

/// A value that the key can have.
fn value(cursor: &mut Cursor<'_>, key: &Key) -> Result<String, BadSelector> {
    cursor.blanks();
    let start = cursor.at;
    let value = match cursor.peek() {
        Some('"') => cursor.quoted()?,
        _ => cursor.bare("a value")?,
    };
    let problem = match key.choices() {
        Some(choices) if !choices.contains(&value.as_str()) => {
            Some(format!("{key} is one of {}", choices.join(", ")))
        }
        _ if *key == Key::Id => value.parse::<HostId>().err().map(|bad| bad.to_string()),
        _ => None,
    };
    match problem {
        None => Ok(value),
        Some(problem) => {
            cursor.at = start;
            Err(cursor.wrong(problem))
        }
    }
}

impl Cursor<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.at += wanted.len_utf8();
        }
        there
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    fn shown(&self) -> String {
        self.peek().map_or_else(|| "the end".to_owned(), |c| format!("{c:?}"))
    }

    fn wrong(&self, problem: impl Into<String>) -> BadSelector {
        let before = self.text.get(..self.at).unwrap_or_default();
        BadSelector { at: before.chars().count() + 1, problem: problem.into() }
    }

    fn bounded(&self, word: &str, what: &str) -> Result<String, BadSelector> {
        match word.len() {
            0 => Err(self.wrong(format!("{what} belongs here, not {}", self.shown()))),
            1..=WORD_BYTES_MAX => Ok(word.to_owned()),
            long => Err(self.wrong(format!("{long} bytes are more than {WORD_BYTES_MAX}"))),
        }
    }

    fn bare(&mut self, what: &str) -> Result<String, BadSelector> {
        let rest = self.rest();
        let end = rest.find(|c| !is_bare(c)).unwrap_or(rest.len());
        let word = self.bounded(rest.get(..end).unwrap_or_default(), what)?;
        self.at += end;
        Ok(word)
    }

    fn quoted(&mut self) -> Result<String, BadSelector> {
        let start = self.at;
        self.eat('"');
        let mut word = String::new();
        loop {
            let Some(c) = self.peek() else {
                self.at = start;
                return Err(self.wrong("a quote is not closed"));
            };
            self.at += c.len_utf8();
            match c {
                '"' if word.is_empty() => return Err(self.wrong("an empty value")),
                '"' => return self.bounded(&word, "a value"),
                '\\' => match self.peek() {
                    Some(escaped @ ('"' | '\\')) => {
                        self.at += 1;
                        word.push(escaped);
                    }
                    _ => return Err(self.wrong("only \\\" and \\\\ are escapes")),
                },
                c if c.is_control() => return Err(self.wrong("a control character")),
                c => word.push(c),
            }
        }
    }
}
