//! Addresses that nothing can fetch or follow.
//!
//! Owns the breaking of addresses in a model's words: whole ones, those without a scheme, and the link and image forms of Markdown.
//! Invariant: what a person said word for word stays as it is.

/// Web addresses made unclickable (`hxxps[:]//…`), save those that `allowed` says word for word.
///
/// A model can put what it read into an address: nothing that shows its text may fetch one.
pub fn unlinked(text: &str, allowed: &str) -> String {
    bare(&plain_markdown(&schemes(text, allowed)), allowed)
}

fn schemes(text: &str, allowed: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let start = scheme_start(rest, at);
        let (before, from) = rest.split_at_checked(start).unwrap_or((rest, ""));
        let end = from.find(|c: char| c.is_whitespace() || matches!(c, ')' | ']' | '>' | '"' | '\'' | '`'));
        let (address, after) = from.split_at_checked(end.unwrap_or(from.len())).unwrap_or((from, ""));
        out.push_str(before);
        match address.len() > 8 && said(address, allowed) {
            true => out.push_str(address),
            false => out.push_str(&broken(address)),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Whether the allowed text says this address whole, and not only as the beginning of a longer one.
fn said(address: &str, allowed: &str) -> bool {
    let address = address.trim_end_matches(['.', ',', ';', ':', '!', '?']);
    allowed.match_indices(address).any(|(at, _)| {
        let next = allowed.get(at + address.len()..).and_then(|rest| rest.chars().next());
        !next.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '/' | '&' | '=' | '%'))
    })
}

fn scheme_start(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before.rfind(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '.' | '-')).map_or(0, |last| {
        last + before.get(last..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
    })
}

fn broken(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or((address, ""));
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => "hxxp".to_owned(),
        "https" => "hxxps".to_owned(),
        _ => scheme.to_owned(),
    };
    // An address may hold another one in its query.
    format!("{scheme}[:]//{}", rest.replace("://", "[:]//"))
}

/// Markdown's links and images as plain words: they lose what makes them one.
fn plain_markdown(text: &str) -> String {
    text.replace("](", "] (")
}

/// `//host/…` and `www.…`, which a viewer may complete by itself.
fn bare(text: &str, allowed: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut before, mut skip) = (None, 0u8);
    for (at, c) in text.char_indices() {
        if skip > 0 {
            skip -= 1;
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        let word = rest.split(char::is_whitespace).next().unwrap_or_default();
        let starts = !before.is_some_and(|c: char| c.is_alphanumeric() || ":]/.-".contains(c));
        let named =
            |prefix: usize| word.get(prefix..).is_some_and(|host| host.starts_with(char::is_alphanumeric));
        if starts && word.starts_with("//") && named(2) && word.contains('.') {
            out.push_str("[/]");
        } else if starts && starts_with_www(word) && named(4) && !said(word, allowed) {
            out.push_str("[www]");
            skip = 2;
        } else {
            out.push(c);
        }
        before = Some(c);
    }
    out
}

fn starts_with_www(text: &str) -> bool {
    text.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("www."))
}
