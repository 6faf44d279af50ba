//! The bounds of arguments: what a path, a name, an argument vector may look like.
//!
//! Owns the limits and the sentences that name them. Invariant: every check looks at all of the value.

use crate::digest::Digest;
use crate::error::Failure;
use crate::span::Span;

/// The largest content of `file.write`, in bytes once decoded.
pub const CONTENT_BYTES_MAX: usize = 1024 * 1024;
/// The largest script, in bytes.
pub const SCRIPT_BYTES_MAX: usize = 256 * 1024;
/// The shortest time that a program may be given.
pub const TIMEOUT_MIN: Span = Span::from_secs(1);
/// The longest time that a program may be given.
pub const TIMEOUT_MAX: Span = Span::from_secs(6 * 3600);
/// Stands for the state of a file that is not there.
pub const ABSENT: Digest = Digest::from_bytes([0; 32]);

const PATH_BYTES_MAX: usize = 4095;
const ARGV_MAX: usize = 1024;
const ARGV_BYTES_MAX: usize = 256 * 1024;
const WRITE_PATHS_MAX: usize = 64;

pub(super) type Checked = Result<(), Failure>;

/// The first `chars` characters, with what is not printable escaped.
pub(super) fn cut(text: &str, chars: usize) -> String {
    let mut out: String = text.chars().take(chars).flat_map(show).collect();
    if text.chars().nth(chars).is_some() {
        out.push('…');
    }
    out
}

fn show(c: char) -> Vec<char> {
    match c {
        '"' | '\'' | '\\' => vec![c],
        _ => c.escape_debug().collect(),
    }
}

pub(super) fn bad(detail: impl Into<String>) -> Failure {
    Failure::invalid("bad-arguments", detail)
}

/// An absolute path without `..`, NUL or control characters.
pub(super) fn path(field: &str, path: &str) -> Checked {
    if !path.starts_with('/') {
        let detail = format!("{field} must be an absolute path, not {:?}", cut(path, 80));
        return Err(bad(detail).hint("begin it with /"));
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(bad(format!("{field} is longer than {PATH_BYTES_MAX} bytes")));
    }
    if path.chars().any(char::is_control) {
        return Err(bad(format!("{field} holds a NUL or control character")));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(bad(format!("{field} holds `..`")).hint("write the path that is meant"));
    }
    Ok(())
}

/// One line of text, from `min` to `max` bytes.
pub(super) fn line(field: &str, text: &str, range: std::ops::RangeInclusive<usize>) -> Checked {
    if !range.contains(&text.len()) {
        return Err(bad(format!("{field} must have {} to {} bytes", range.start(), range.end())));
    }
    match text.chars().any(char::is_control) {
        true => Err(bad(format!("{field} holds a NUL or control character"))),
        false => Ok(()),
    }
}

/// A word of these characters besides letters and digits, which begins with a letter, a digit or `_`.
pub(super) fn word(field: &str, text: &str, also: &str) -> Checked {
    line(field, text, 1..=255)?;
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let fits = text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c));
    match begins && fits && !text.contains("..") {
        true => Ok(()),
        false => Err(bad(format!("{field} {:?} is not a name: letters, digits and {also}", cut(text, 80)))),
    }
}

/// A number in its range.
pub(super) fn number(field: &str, value: Option<u64>, range: std::ops::RangeInclusive<u64>) -> Checked {
    match value.is_none_or(|value| range.contains(&value)) {
        true => Ok(()),
        false => Err(bad(format!("{field} must lie between {} and {}", range.start(), range.end()))),
    }
}

/// A timeout in its range.
pub(super) fn timeout(timeout: Option<Span>) -> Checked {
    match timeout.is_none_or(|span| (TIMEOUT_MIN..=TIMEOUT_MAX).contains(&span)) {
        true => Ok(()),
        false => Err(bad(format!("timeout must lie between {TIMEOUT_MIN} and {TIMEOUT_MAX}"))),
    }
}

/// An argument vector: a program and its arguments.
pub(super) fn argv(argv: &[String]) -> Checked {
    let Some(program) = argv.first() else {
        return Err(bad("argv is empty").hint("the first element is the program"));
    };
    if program.is_empty() {
        return Err(bad("argv[0], the program, is empty"));
    }
    if argv.len() > ARGV_MAX {
        return Err(bad(format!("argv has more than {ARGV_MAX} elements")));
    }
    if argv.iter().map(|arg| arg.len() + 1).sum::<usize>() > ARGV_BYTES_MAX {
        return Err(bad(format!("argv is longer than {ARGV_BYTES_MAX} bytes")));
    }
    match argv.iter().any(|arg| arg.contains('\0')) {
        true => Err(bad("argv holds a NUL character")),
        false => Ok(()),
    }
}

/// The paths that a confined change may write.
pub(super) fn write_paths(paths: &[String]) -> Checked {
    if paths.len() > WRITE_PATHS_MAX {
        return Err(bad(format!("effects.write has more than {WRITE_PATHS_MAX} paths")));
    }
    paths.iter().try_for_each(|each| path("effects.write", each))
}

/// The permission bits that an octal text such as `0644` stands for.
pub(super) fn mode(text: &str) -> Option<u32> {
    let fits = (3..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    u32::from_str_radix(text, 8).ok().filter(|mode| fits && *mode <= 0o7777)
}
