//! Selectors: which hosts are meant.
//!
//! Owns the grammar, its text and the match over [`HostFacts`]. Never looks hosts up.
//! Invariant: an empty selector selects nothing, and only `*`, written out, selects all.
//!
//! ```text
//! selector = "*" | clause { "," clause }          every clause has to hold
//! clause   = word                                  name=word, or id=word for a host's id; only on its own
//!          | "has(" label ")"                      the label is there, whatever its value
//!          | key "=" value | key "!=" value
//!          | key "in (" value { "," value } ")" | key "notin (" … ")"
//! key      = "id" | "name" | "status" | "level" | "os" | "cage" | label | "labels." label
//! value    = bare word, or "quoted" with \" and \\
//! ```
//!
//! A host without a label satisfies `label!=value` and `label notin (…)`, as in Kubernetes.

mod parser;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::rights::HostFacts;

/// The longest selector, in bytes.
pub const SELECTOR_BYTES_MAX: usize = 8 * 1024;
/// Clauses of one selector, at most.
pub const CLAUSES_MAX: usize = 32;
/// Values of one clause, at most.
pub const VALUES_MAX: usize = 256;
/// The longest key or value, in bytes.
pub const WORD_BYTES_MAX: usize = 256;

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {at} of the selector: {problem}")]
pub struct BadSelector {
    /// The character at which it goes wrong, from one.
    pub at: usize,
    /// What is wrong.
    pub problem: String,
}

impl From<BadSelector> for Failure {
    fn from(bad: BadSelector) -> Failure {
        Failure::invalid("bad-selector", bad.to_string())
            .hint("such as name=web-03, or env=prod,role in (web,api); * means every host")
    }
}

/// What a clause asks about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Id,
    Name,
    Status,
    Level,
    Os,
    Cage,
    Label(String),
}

/// Whether the value has to be among those of the clause, or must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Among,
    NotAmong,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Clause {
    Has(String),
    Compare { key: Key, wanted: Wanted, values: Vec<String> },
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Which {
    #[default]
    None,
    All,
    Where(Vec<Clause>),
}

/// Which hosts are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Selector(Which);

impl Selector {
    /// The selector that this text is.
    ///
    /// # Errors
    /// Says at which character it goes wrong, and why.
    pub fn parse(text: &str) -> Result<Self, BadSelector> {
        parser::parse(text).map(Self)
    }

    /// Every host.
    pub fn all() -> Self {
        Self(Which::All)
    }

    /// Whether it was empty, and so selects nothing.
    pub fn is_empty(&self) -> bool {
        self.0 == Which::None
    }

    /// Whether it selects this host.
    pub fn matches(&self, host: &HostFacts) -> bool {
        match &self.0 {
            Which::None => false,
            Which::All => true,
            Which::Where(clauses) => clauses.iter().all(|clause| clause.holds(host)),
        }
    }
}

impl Clause {
    fn holds(&self, host: &HostFacts) -> bool {
        match self {
            Self::Has(label) => host.labels.contains_key(label),
            Self::Compare { key, wanted, values } => {
                let found = key.of(host);
                let among = found.is_some_and(|found| values.iter().any(|value| value == found));
                among == (*wanted == Wanted::Among)
            }
        }
    }
}

impl Key {
    const WORDS: [(&'static str, Self); 6] = [
        ("id", Self::Id),
        ("name", Self::Name),
        ("status", Self::Status),
        ("level", Self::Level),
        ("os", Self::Os),
        ("cage", Self::Cage),
    ];

    fn of<'a>(&self, host: &'a HostFacts) -> Option<&'a str> {
        match self {
            Self::Id => Some(&host.id),
            Self::Name => Some(&host.name),
            Self::Status => Some(&host.status),
            Self::Level => Some(host.level.word()),
            Self::Os => Some(&host.os),
            Self::Cage => Some(&host.cage),
            Self::Label(label) => host.labels.get(label).map(String::as_str),
        }
    }

    /// The values that the key can have, where they are a closed list.
    fn choices(&self) -> Option<&'static [&'static str]> {
        match self {
            Self::Status => Some(&["online", "stale", "offline", "revoked"]),
            Self::Level => Some(&["observe", "diagnose", "remediate"]),
            Self::Cage => Some(&["full", "partial", "none"]),
            Self::Id | Self::Name | Self::Os | Self::Label(_) => None,
        }
    }
}

/// A word as it is written in a selector: bare where it can be.
fn write_word(f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
    if !word.is_empty() && word.chars().all(parser::is_bare) {
        return f.write_str(word);
    }
    f.write_str("\"")?;
    for c in word.chars() {
        if c == '"' || c == '\\' {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => {
                let reserved = Self::WORDS.iter().any(|(word, _)| word == label);
                if reserved || label.starts_with("labels.") {
                    f.write_str("labels.")?;
                }
                f.write_str(label)
            }
            fact => {
                let word = Self::WORDS.iter().find(|(_, key)| key == fact).map_or("", |(word, _)| word);
                f.write_str(word)
            }
        }
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, wanted, values) = match self {
            Self::Has(label) => return write!(f, "has({label})"),
            Self::Compare { key, wanted, values } => (key, wanted, values),
        };
        if let [only] = values.as_slice() {
            let sign = if *wanted == Wanted::Among { "=" } else { "!=" };
            write!(f, "{key}{sign}")?;
            return write_word(f, only);
        }
        let word = if *wanted == Wanted::Among { "in" } else { "notin" };
        write!(f, "{key} {word} (")?;
        for (place, value) in values.iter().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            write_word(f, value)?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clauses = match &self.0 {
            Which::None => return Ok(()),
            Which::All => return f.write_str("*"),
            Which::Where(clauses) => clauses,
        };
        for (place, clause) in clauses.iter().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            write!(f, "{clause}")?;
        }
        Ok(())
    }
}

impl FromStr for Selector {
    type Err = BadSelector;
    fn from_str(text: &str) -> Result<Self, BadSelector> {
        Self::parse(text)
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> String {
        selector.to_string()
    }
}

impl TryFrom<String> for Selector {
    type Error = BadSelector;
    fn try_from(text: String) -> Result<Self, BadSelector> {
        Self::parse(&text)
    }
}
