//! A change must be named by a person: what a model read on hosts never chooses what is changed or where.
//!
//! Owns the comparison of a proposal with the asking person's own words of the chat. Never understands language: it looks for names.
//! Invariant: a proposal whose object or hosts stand in no word of the person is refused before a plan is made.

use crate::verbs::{Call, Verb};

/// Words of every sentence and of every order. A host or a service may be called so; then it is named in quotes, by id or by selector.
const COMMON: &str = " a about after all also am an and any are at back be because been before but by can check could cpu delete did disable \
    disk disks do does down each enable error errors every everything file files find fleet for from full get give go going good has have \
    help here host hosts how i if in install into is it its just kill last list load log logs look machine machines make may me memory my \
    name need new no not note now of off ok old on one only or other our out package packages please port ports problem problems process \
    processes read reboot reload remove restart run running say see server servers service services set show slow so some space start \
    status stop tell than that the their them then there they things this time to today under up upgrade us use user users was way we well \
    what when where which who why will with word work write wrong yes you your ";

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unnamed {
    /// The object of the change stands nowhere in the person's words.
    #[error(
        "no word of the person names {0:?}: a change has to be asked for by its name, a common word in quotes"
    )]
    Object(String),
    /// A host stands nowhere in the person's words.
    #[error("no word of the person names the host {0:?}, nor the selector: say which hosts")]
    Host(String),
    /// A whole command or script stands nowhere in the person's words.
    #[error("a {0} of a chat has to be written out by the person, word for word")]
    Command(&'static str),
    /// A credential would be read.
    #[error("{0:?} holds credentials: it is never read for a model")]
    Secret(String),
}

/// Whether the person's words name what this change is about.
///
/// Services, packages, files, settings, processes and addresses by their name; commands and scripts word for word; `host.reboot` by the word
/// `reboot`; `task.undo` by the id of the task.
///
/// A host's name is no name of an object, unless one text says it twice: once for each. `hosts` are the hosts whose names are meant so:
/// those that are to be changed, and others whose names look like no service's.
pub fn names_object(call: &Call, words: &[&str], hosts: &[&str]) -> Result<(), Unnamed> {
    match &call.verb {
        Verb::ShellRun(run) => written_out("command", &run.argv.join(" "), words),
        Verb::ShellScript(script) => written_out("script", &script.script, words),
        Verb::NetHttp(http) => {
            let ends = |word: &str| word.trim_end_matches([',', '.', '?', ')', '"']) == http.url;
            let said = words.iter().any(|text| text.split_whitespace().any(ends));
            said.then_some(()).ok_or_else(|| Unnamed::Object(crate::text::brief(&http.url, 120)))
        }
        Verb::HostReboot(_) => {
            let said = words.iter().any(|text| has_word(text, "reboot"));
            said.then_some(()).ok_or_else(|| Unnamed::Object("reboot".to_owned()))
        }
        Verb::NetDns(dns) => {
            named(&dns.name, words)?;
            dns.server.iter().try_for_each(|server| named(server, words))
        }
        Verb::NetTcp(tcp) => named(&tcp.host, words),
        _ => {
            let words: Vec<String> = words.iter().map(|text| without_hosts(text, hosts)).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            names(call, &words)
        }
    }
}

fn names(call: &Call, words: &[&str]) -> Result<(), Unnamed> {
    match &call.verb {
        Verb::ProcessSignal(signal) => {
            let pid = signal.pid.to_string();
            let said = words.iter().any(|text| has_word(text, &pid));
            said.then_some(()).ok_or(Unnamed::Object(pid))
        }
        Verb::TaskUndo(undo) => named(&undo.task.to_string(), words),
        Verb::SysctlSet(set) => named(&set.key, words),
        Verb::LogFollow(follow) => {
            let (path, service) = (follow.path.as_deref(), follow.service.as_deref());
            named(path.or(service).unwrap_or_default(), words)
        }
        other => named_by_args(&other.args(), words),
    }
}

fn written_out(what: &'static str, line: &str, words: &[&str]) -> Result<(), Unnamed> {
    word_for_word(line, words).then_some(()).ok_or(Unnamed::Command(what))
}

/// The text in lower case without the mentions of hosts; of two mentions the second stays, as the name of something else.
fn without_hosts(text: &str, hosts: &[&str]) -> String {
    let mut rest = text.to_lowercase();
    for host in hosts.iter().filter(|host| !host.is_empty()).map(|host| host.to_lowercase()) {
        let places = word_places(&rest, &host);
        let gone = if places.len() == 2 { 1 } else { places.len() };
        for at in places.into_iter().take(gone).rev() {
            rest.replace_range(at..at + host.len(), " ");
        }
    }
    rest
}

/// The `name` or `path` that every other verb of a change has.
fn named_by_args(args: &serde_json::Value, words: &[&str]) -> Result<(), Unnamed> {
    if let Some(path) = args.get("path").and_then(|path| path.as_str()) {
        let last = path.rsplit('/').next().filter(|last| last.len() >= 3).unwrap_or(path);
        return named(path, words).or_else(|_| named(last, words));
    }
    match args.get("name").and_then(|name| name.as_str()) {
        Some(name) => named(name.strip_suffix(".service").unwrap_or(name), words),
        None => Err(Unnamed::Object(String::new())),
    }
}

fn named(name: &str, words: &[&str]) -> Result<(), Unnamed> {
    let found = !name.is_empty() && words.iter().any(|text| says(text, name));
    found.then_some(()).ok_or_else(|| Unnamed::Object(crate::text::brief(name, 120)))
}

/// Whether the person's words name these hosts: each by its name or id, or all by the selector as it stands.
pub fn names_hosts(selector: &str, hosts: &[(String, String)], words: &[&str]) -> Result<(), Unnamed> {
    let selector = selector.trim();
    if selector.contains('=') && words.iter().any(|text| has_selector(text, selector)) {
        return Ok(());
    }
    let missing =
        hosts.iter().find(|(id, name)| !words.iter().any(|text| has_word(text, id) || says(text, name)));
    match missing {
        Some((_, name)) => Err(Unnamed::Host(crate::text::brief(name, 120))),
        None => Ok(()),
    }
}

/// Whether a text names something: a word of every sentence, and a number, counts only in quotes.
fn says(text: &str, name: &str) -> bool {
    let name = name.to_lowercase();
    let weak = COMMON.contains(&format!(" {name} ")) || !name.chars().any(char::is_alphabetic);
    match weak {
        true => [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('„', '“')]
            .iter()
            .any(|(open, close)| text.to_lowercase().contains(&format!("{open}{name}{close}"))),
        false => has_word(text, &name),
    }
}

/// Whether a text holds a name that is not a part of a longer one, whatever the case.
fn has_word(text: &str, name: &str) -> bool {
    !word_places(&text.to_lowercase(), &name.to_lowercase()).is_empty()
}

/// Where a name stands in a text and is not a part of a longer one; both in lower case.
fn word_places(text: &str, name: &str) -> Vec<usize> {
    if name.is_empty() {
        return vec![];
    }
    let joins = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let stands_alone = |at: usize| {
        let before = text.get(..at).unwrap_or_default().chars().next_back();
        let mut after = text.get(at + name.len()..).unwrap_or_default().chars();
        let next = after.next();
        // A full stop ends a sentence, unless a name goes on after it.
        let goes_on = next == Some('.') && after.next().is_some_and(joins);
        !before.is_some_and(|c| joins(c) || c == '.' || c == '/') && !next.is_some_and(joins) && !goes_on
    };
    text.match_indices(name).map(|(at, _)| at).filter(|at| stands_alone(*at)).collect()
}

/// Whether a text holds this selector and not a longer one of which it is a part.
fn has_selector(text: &str, selector: &str) -> bool {
    let (text, selector) = (text.to_lowercase(), selector.to_lowercase());
    text.match_indices(&selector).any(|(at, found)| {
        let before = text.get(..at).unwrap_or_default();
        let after = text.get(at + found.len()..).unwrap_or_default();
        let starts = before.is_empty()
            || before.ends_with(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '('));
        let joined = before.trim_end().ends_with([',', '!', '=']);
        let rest = after.strip_prefix(',').unwrap_or_default().trim_start();
        let goes_on = rest.split_whitespace().next().is_some_and(|word| word.contains('='));
        let ends = after.is_empty()
            || after.starts_with(|c: char| !c.is_alphanumeric() && !matches!(c, '-' | '_' | '/'));
        starts && !joined && !goes_on && ends && !followed_by_name(after)
    })
}

/// A full stop ends a sentence, unless a name goes on after it.
fn followed_by_name(after: &str) -> bool {
    after.strip_prefix('.').is_some_and(|rest| rest.starts_with(char::is_alphanumeric))
}

fn word_for_word(line: &str, words: &[&str]) -> bool {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = plain(line);
    !line.is_empty() && words.iter().any(|text| plain(text).contains(&line))
}

/// Parts of paths that hold credentials; a read of them for a model is refused before a plan is made.
const SECRET_PATHS: [&str; 18] = [
    "/etc/shadow",
    "/etc/gshadow",
    "/.ssh/",
    "/etc/ssh/ssh_host",
    "/etc/ssl/private",
    "/etc/krb5.keytab",
    "/etc/legator",
    "/var/lib/legator",
    "/.aws/",
    "/.kube/",
    "/.docker/config.json",
    "/.netrc",
    "/.pgpass",
    "/.git-credentials",
    "/environ",
    "/proc/kcore",
    "/var/run/secrets/",
    "/run/secrets/",
];

/// Refuses a read of what holds credentials, whoever asked for it: its bytes would leave for a provider.
pub fn never_for_a_model(call: &Call) -> Result<(), Unnamed> {
    let mut texts = Vec::new();
    strings(&call.verb.args(), &mut texts);
    let secret =
        texts.iter().find(|text| SECRET_PATHS.iter().any(|path| text.contains(path) || ends_as(text, path)));
    match secret {
        Some(text) => Err(Unnamed::Secret(crate::text::brief(text, 120))),
        None => Ok(()),
    }
}

/// A directory named without its last slash.
fn ends_as(text: &str, path: &str) -> bool {
    path.strip_suffix('/').is_some_and(|path| text.ends_with(path))
}

fn strings(value: &serde_json::Value, into: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => into.push(text.clone()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, into)),
        serde_json::Value::Object(fields) => fields.values().for_each(|item| strings(item, into)),
        _ => {}
    }
}
