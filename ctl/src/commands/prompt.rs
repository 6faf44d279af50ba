//! Questions to a person at a terminal.
//!
//! Invariant: where nobody is there to ask, nothing is taken as a yes; a script has to say it.

use crate::exit::Fault;
use crate::out;
use std::io::IsTerminal as _;

/// Asks; whether the answer is this word. Where nothing comes from standard input it is a fault that names `--yes`.
pub async fn confirmed(question: &str, word: &str) -> Result<bool, Fault> {
    if somebody_is_there() {
        out::ask(question);
    }
    match line().await?.as_str() {
        "" if !somebody_is_there() => {
            Err(Fault::usage("nobody is there to ask").hint("look at it, then repeat with --yes"))
        }
        answer => Ok(answer == word),
    }
}

/// Whether a person sits before standard input.
pub fn somebody_is_there() -> bool {
    std::io::stdin().is_terminal()
}

/// One line from standard input, without blanks around it.
pub async fn line() -> Result<String, Fault> {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line.trim().to_owned())
    });
    Ok(read.await.map_err(|error| Fault::failed(error.to_string()))??)
}
