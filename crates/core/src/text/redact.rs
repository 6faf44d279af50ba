//! Credentials taken out of text before it leaves for a language model or into a record.
//!
//! Owns the shapes that credentials have. Never promises to find all: what a host says may hold a secret of a shape nobody knows.
//! Invariant: redacting twice gives the same as redacting once.

mod lines;

/// What stands in place of a credential.
pub const REDACTED: &str = "[redacted]";

/// Beginnings that only credentials have, with the fewest characters that follow.
const PREFIXES: [(&str, usize); 40] = [
    ("AKIA", 16),
    ("ASIA", 16),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("gldt-", 16),
    ("glsa_", 20),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("xoxa-", 10),
    ("xoxs-", 10),
    ("xapp-", 10),
    ("sk-", 20),
    ("sk_live_", 12),
    ("sk_test_", 12),
    ("rk_live_", 12),
    ("whsec_", 16),
    ("AIza", 30),
    ("ya29.", 20),
    ("npm_", 20),
    ("pypi-", 20),
    ("SG.", 20),
    ("hf_", 20),
    ("dop_v1_", 20),
    ("shpat_", 20),
    ("hvs.", 20),
    ("hvb.", 20),
    ("tskey-", 16),
    ("AGE-SECRET-KEY-1", 20),
    ("xkeysib-", 20),
    ("sq0csp-", 20),
    ("lin_api_", 20),
    ("dapi", 32),
    ("lk_", 40),
    ("lt_", 40),
    ("eyJ", 20),
];

/// Parts of a key's name that say that its value is a credential; compared in lower case without punctuation.
const NAME_PARTS: [&str; 17] = [
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "authkey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "accountkey",
    "sharedkey",
    "presharedkey",
];

/// Whole names that say so.
const NAMES: [&str; 10] = [
    "pwd",
    "pass",
    "auth",
    "authorization",
    "proxyauthorization",
    "cookie",
    "setcookie",
    "psk",
    "pgpass",
    "sessionid",
];

/// No credential that is known by how it begins is shorter.
const CREDENTIAL_BYTES_MIN: usize = 15;
/// A credential so long, found by its name, is taken out wherever else it stands in the text.
const REPEATED_BYTES_MIN: usize = 8;
/// How many of them are looked for elsewhere.
const REPEATED_MAX: usize = 64;

/// The text with every credential of a known shape replaced by [`REDACTED`], and every repetition of it.
pub fn redact(text: &str) -> String {
    let text = lines::across_lines(text);
    let mut found = Vec::new();
    let lines: Vec<String> = text.split('\n').map(|line| redact_line(line, &mut found)).collect();
    let repeated = |value: &&String| value.len() >= REPEATED_BYTES_MIN && !REDACTED.contains(value.as_str());
    let whole = lines.join("\n");
    found.iter().filter(repeated).take(REPEATED_MAX).fold(whole, |text, value| {
        match text.contains(value.as_str()) {
            true => text.replace(value.as_str(), REDACTED),
            false => text,
        }
    })
}

fn redact_line(line: &str, found: &mut Vec<String>) -> String {
    if line.len() < 4 {
        return line.to_owned();
    }
    let line = userinfo(line, found);
    let line = pgpass(&line).unwrap_or(line);
    let line = words(&line, found);
    let line = prefixed(&line);
    named(&line, found)
}

/// Remembers a credential, to find it elsewhere.
fn note(found: &mut Vec<String>, value: &str) {
    let value = value.trim();
    if !value.contains(REDACTED) && !value.contains(' ') && found.len() < REPEATED_MAX {
        found.push(value.to_owned());
    }
}

/// `scheme://user:password@host`.
fn userinfo(line: &str, found: &mut Vec<String>) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '?' | '#'));
        let authority = after.get(..end.unwrap_or(after.len())).unwrap_or_default();
        rest = after;
        if let Some((user, _)) = authority.rsplit_once('@') {
            let (name, secret) = user.split_once(':').unwrap_or(("", user));
            note(found, secret);
            out.push_str(if name.is_empty() { REDACTED } else { name });
            if !name.is_empty() {
                out.push(':');
                out.push_str(REDACTED);
            }
            rest = after.get(user.len()..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    out
}

/// `host:port:database:user:password`, the whole line.
fn pgpass(line: &str) -> Option<String> {
    let fields: Vec<&str> = line.split(':').collect();
    let [host, port, base, user, secret] = fields.as_slice() else { return None };
    let is_port =
        *port == "*" || (port.len() >= 2 && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()));
    let plain = [host, base, user].iter().all(|field| !field.is_empty() && !field.contains([' ', '/']));
    (is_port && plain && !secret.is_empty()).then(|| format!("{host}:{port}:{base}:{user}:{REDACTED}"))
}

/// `Bearer …`, `Basic …`, `password …` of a netrc, `-p…` of mysql, `-u user:password` of curl.
fn words(line: &str, found: &mut Vec<String>) -> String {
    let lower = line.to_ascii_lowercase();
    let netrc = lower.contains("machine ") || lower.contains("login ");
    let mysql = lower.contains("mysql") || lower.contains("mariadb");
    let curl = lower.contains("curl ") || lower.contains("wget ");
    let schemes = ["bearer", "basic", "digest", "negotiate", "--"].iter().any(|word| lower.contains(word));
    if !(netrc || mysql || curl || schemes) {
        return line.to_owned();
    }
    let mut previous = String::new();
    let mut out = String::with_capacity(line.len());
    for piece in line.split_inclusive([' ', '\t']) {
        let word = piece.trim_end_matches([' ', '\t']);
        let space = piece.get(word.len()..).unwrap_or_default();
        match secret_word(&previous, word, [netrc, mysql, curl]) {
            Some(clean) => {
                let whole = word.trim_end_matches(['"', '\'', ',', ';']);
                note(found, whole.strip_prefix("-p").unwrap_or(whole));
                out.push_str(&clean);
            }
            None => out.push_str(word),
        }
        out.push_str(space);
        if !word.is_empty() {
            previous = word.trim_start_matches(['"', '\'']).to_ascii_lowercase();
        }
    }
    out
}

fn secret_word(previous: &str, word: &str, [netrc, mysql, curl]: [bool; 3]) -> Option<String> {
    if word.len() >= 8 && ends_as_scheme(previous) && !word.contains("redacted") {
        let quote = word.rfind(|c: char| !matches!(c, '"' | '\'' | ',' | ';')).map_or(0, |last| last + 1);
        let end = word.get(quote..).filter(|end| end.is_ascii()).unwrap_or_default();
        return Some(format!("{REDACTED}{end}"));
    }
    if netrc && matches!(previous, "password" | "passwd") && !word.is_empty() {
        return Some(REDACTED.to_owned());
    }
    if mysql && word.starts_with("-p") && !word.starts_with("-p-") && word.len() > 2 && !word.contains('=') {
        return Some(format!("-p{REDACTED}"));
    }
    if curl && matches!(previous, "-u" | "--user" | "--proxy-user") {
        let (user, _) = word.split_once(':')?;
        return Some(format!("{user}:{REDACTED}"));
    }
    let option = previous.strip_prefix("--").filter(|option| !option.is_empty())?;
    let is_value = !word.starts_with('-') && !word.is_empty() && !is_plain(word);
    (is_value && !option.contains('=') && is_secret_name(option)).then(|| REDACTED.to_owned())
}

/// Whether a word ends with the name of a scheme of `Authorization`.
fn ends_as_scheme(previous: &str) -> bool {
    ["bearer", "basic", "digest", "negotiate"].iter().any(|scheme| {
        let before = previous.strip_suffix(scheme);
        before.is_some_and(|before| before.is_empty() || before.ends_with([':', '=', '"', '\'']))
    })
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+' | '=' | '$')
}

/// Words that begin as only credentials do, and password hashes (`$6$…`, `$y$…`, `$2b$…`, `$argon2…`).
fn prefixed(line: &str) -> String {
    if line.len() < CREDENTIAL_BYTES_MIN {
        return line.to_owned();
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !is_token_char(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        out.push_str(&credential_in(word).map_or_else(
            || word.to_owned(),
            |at| format!("{}{REDACTED}", word.get(..at).unwrap_or_default()),
        ));
        let next = after.chars().next().map_or(0, char::len_utf8);
        out.push_str(after.get(..next).unwrap_or_default());
        rest = after.get(next..).unwrap_or_default();
    }
    out
}

/// Where in a word a credential begins: at its start or after `=`, `/` or `.`-free punctuation.
fn credential_in(word: &str) -> Option<usize> {
    if word.len() < CREDENTIAL_BYTES_MIN {
        return None;
    }
    let starts = std::iter::once(0).chain(word.match_indices(['=', '/', '$']).map(|(at, _)| at + 1));
    starts.into_iter().find(|at| word.get(*at..).is_some_and(is_credential)).or_else(|| hash_in(word))
}

fn is_credential(word: &str) -> bool {
    let known = PREFIXES.iter().any(|(prefix, least)| {
        word.strip_prefix(prefix).is_some_and(|rest| rest.len() >= *least && varied(rest))
    });
    known && (!word.starts_with("eyJ") || word.matches('.').count() >= 2 || word.len() >= 80)
}

/// Whether a text has digits and letters as keys have, so that a long plain word is none.
fn varied(text: &str) -> bool {
    let head = text.get(..text.len().min(64)).unwrap_or(text);
    head.bytes().any(|b| b.is_ascii_digit()) && head.bytes().any(|b| b.is_ascii_alphabetic())
}

fn hash_in(word: &str) -> Option<usize> {
    let first = word.find('$')?;
    if word.len() - first < CREDENTIAL_BYTES_MIN {
        return None;
    }
    const KINDS: [&str; 9] = ["$1$", "$5$", "$6$", "$y$", "$7$", "$2a$", "$2b$", "$2y$", "$argon2"];
    let at = KINDS.iter().filter_map(|kind| word.find(kind)).min()?;
    (word.len() - at >= 16).then_some(at)
}

/// Whether a name is one whose value is a credential.
fn is_secret_name(name: &str) -> bool {
    if name.len() < 3 {
        return false;
    }
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let counts = ["tokens", "maxtoken", "passwordauthentication", "permitemptypasswords"];
    if counts.iter().any(|count| plain.ends_with(count)) {
        return false;
    }
    NAME_PARTS.iter().any(|part| plain.contains(part))
        || NAMES.contains(&plain.as_str())
        || (plain.len() > 4 && (plain.ends_with("pass") || plain.ends_with("pwd")))
}

/// Values that are no secret whatever their name says.
fn is_plain(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let word = ["true", "false", "yes", "no", "none", "null", "on", "off", "required", "optional"];
    value.is_empty()
        || word.contains(&lower.as_str())
        || value.starts_with(REDACTED)
        || (value.len() <= 2 && !value.chars().any(char::is_alphanumeric))
}

/// `NAME=value`, `name: value`, `"name": "value"`, `<name>value</name>`.
fn named(line: &str, found: &mut Vec<String>) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(['=', ':', '>']) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let (sign, after) = from.split_at_checked(1).unwrap_or((from, ""));
        out.push_str(before);
        out.push_str(sign);
        rest = after;
        if !is_secret_name(name_before(before)) || (sign == ":" && after.starts_with("//")) {
            continue;
        }
        let header = is_header(before, sign);
        let (lead, value, tail) = value_of(after, header);
        if is_plain(value) {
            continue;
        }
        note(found, value);
        out.push_str(lead);
        out.push_str(REDACTED);
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// `Cookie:` and `Authorization:` take the rest of their line.
fn is_header(before: &str, sign: &str) -> bool {
    let name = name_before(before).to_ascii_lowercase();
    sign == ":" && ["cookie", "set-cookie", "authorization", "proxy-authorization"].contains(&name.as_str())
}

fn name_before(before: &str) -> &str {
    let before = before.trim_end_matches(['"', '\'', ' ', '\t', '?', '+']);
    let start = before.rfind(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.'));
    start.and_then(|at| before.get(at..)).map_or(before, |rest| {
        let mut chars = rest.chars();
        chars.next();
        chars.as_str()
    })
}

/// What stands before a value (blanks, an opening quote), the value, and what follows it.
fn value_of(after: &str, header: bool) -> (&str, &str, &str) {
    let blank = after.len() - after.trim_start_matches([' ', '\t', '=', '>']).len();
    let quoted = after.get(blank..).and_then(|rest| rest.chars().next()).filter(|c| matches!(c, '"' | '\''));
    let start = blank + quoted.map_or(0, char::len_utf8);
    let (lead, rest) = after.split_at_checked(start).unwrap_or(("", after));
    let end = match (quoted, header) {
        (Some(quote), _) => closing(rest, quote),
        (None, true) => rest.find(['"', '\'']),
        (None, false) => rest
            .find(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '&' | '"' | '\'' | '<' | '}' | ')')),
    };
    let (value, tail) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, ""));
    (lead, value, tail)
}

fn closing(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    rest.char_indices().find_map(|(at, c)| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })
}
