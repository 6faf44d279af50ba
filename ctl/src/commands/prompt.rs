//! Questions to a person at a terminal.
//!
//! Invariant: where nobody is there to ask, nothing is taken as a yes; a script has to say it.

use crate::exit::Fault;
use crate::out;
use std::io::IsTerminal as _;

/// Asks; whether the answer is this word. Without a terminal it is a fault that names `--yes`.
pub async fn confirmed(question: &str, word: &str) -> Result<bool, Fault> {
    if !std::io::stdin().is_terminal() {
        return Err(Fault::usage("nobody is there to ask").hint("look at it, then repeat with --yes"));
    }
    out::ask(question);
    Ok(line().await? == word)
}

/// One line from standard input, without blanks around it.
pub async fn line() -> Result<String, Fault> {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line.trim().to_owned())
    });
    Ok(read.await.map_err(|error| Fault::failed(error.to_string()))??)
}
