//! Hostile text made safe for people: what a host, a file name or a model says is shown, never obeyed by a terminal.
//!
//! Owns the making visible of controls, of direction marks and of invisible characters, and the cutting to a bound.
//! Never drops anything silently: what is cut is said. Invariant: what [`shown`] returns holds no control but newline and tab.

mod redact;
mod unlinked;

#[cfg(test)]
mod tests;

pub use redact::{REDACTED, redact};
pub use unlinked::unlinked;

use std::fmt::Write as _;

/// Whether a character is one that people do not see, or that changes how others are seen.
pub fn is_hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text with every hidden character made visible; newlines and tabs stay, `\r\n` becomes a newline.
///
/// Controls become their pictures (ESC is `␛`), the rest becomes `\u{…}`.
pub fn shown(text: &str) -> String {
    show(&text.replace("\r\n", "\n"), &['\n', '\t'])
}

/// The same on one line: newlines and tabs become visible too.
pub fn shown_line(text: &str) -> String {
    show(text, &[])
}

/// Bytes as text for people: what is no UTF-8 becomes `\u{fffd}`, hidden characters become visible.
pub fn shown_bytes(bytes: &[u8]) -> String {
    shown(&String::from_utf8_lossy(bytes))
}

fn show(text: &str, kept: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if kept.contains(&c) || !is_hidden(c) => out.push(c),
            '\0'..='\u{1f}' => out.extend(char::from_u32(0x2400 + u32::from(c))),
            '\u{7f}' => out.push('\u{2421}'),
            // Writing to a String cannot fail.
            _ => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
        }
    }
    out
}

/// The first bytes of a text, at most so many, ending between two characters.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// The last bytes of a text, at most so many, beginning between two characters.
pub fn tail(text: &str, bytes_max: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes_max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..).unwrap_or_default()
}

/// The text when it is short enough, else its beginning with `…`, at most so many bytes altogether.
pub fn brief(text: &str, bytes_max: usize) -> String {
    match text.len() <= bytes_max {
        true => text.to_owned(),
        false => format!("{}…", cut(text, bytes_max.saturating_sub('…'.len_utf8()))),
    }
}

/// The text when it is short enough, else head and tail with a line between that says how many bytes were left out.
///
/// The bound is for what is kept of the text; the line is added to it.
pub fn ends(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let (head, end) = (cut(text, bytes_max / 2), tail(text, bytes_max / 2));
    let left_out = text.len() - head.len() - end.len();
    format!("{head}\n[… {left_out} bytes are left out here …]\n{end}")
}
