//! The words of the command line, and which command they call.
//!
//! Owns the clap definitions and the global flags. Every command answers with an exit code of `exit::Exit`.

use crate::client::Client;
use crate::commands;
use crate::context::{self, Context, Wish};
use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, Format, word};
use clap::{Parser, Subcommand};
use legator_core::text::shown;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

const AFTER: &str = "Exit codes: 0 ok, 1 failed, 2 usage, 3 refused by policy, 4 sign in first, 5 waiting for approval, \
                     6 some hosts failed, 7 server unreachable, 130 interrupted.";

/// See, ask and change hosts through Legator.
#[derive(Debug, Parser)]
#[command(name = "legatorctl", version, after_help = AFTER, disable_help_subcommand = true)]
pub struct Cli {
    /// The server [default: the current context's, or http://127.0.0.1:8080]
    #[arg(long, global = true, env = "LEGATOR_SERVER", hide_env_values = true)]
    server: Option<String>,
    /// The stored context to use
    #[arg(long, global = true, env = "LEGATOR_CONTEXT")]
    context: Option<String>,
    /// A file that holds the API key; LEGATOR_KEY holds the key itself
    #[arg(long, global = true)]
    key_file: Option<PathBuf>,
    /// A PEM file with a private CA to trust
    #[arg(long, global = true, env = "LEGATOR_CA")]
    ca: Option<PathBuf>,
    /// How to show what was found
    #[arg(long, short, global = true, value_enum, default_value = "table")]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

/// The nouns and verbs.
#[derive(Debug, Subcommand)]
enum Command {
    /// Managed machines
    #[command(subcommand)]
    Hosts(commands::hosts::Hosts),
    /// Registration tokens for new probes
    #[command(subcommand)]
    Tokens(commands::tokens::Tokens),
    /// The verbs that plans can name
    Verbs(commands::verbs::Verbs),
    /// Run a command on hosts: exec SELECTOR -- argv…
    Exec(commands::exec::Exec),
    /// Do a verb on hosts: do VERB SELECTOR key=value…
    Do(commands::exec::Do),
    /// Plans and their tasks
    #[command(subcommand)]
    Plans(commands::plans::Plans),
    /// Why a plan was decided as it was, and what would change the answer
    Why {
        /// The plan
        plan: String,
    },
    /// Decide about plans that wait
    #[command(subcommand)]
    Approvals(commands::approvals::Approvals),
    /// Talk about a host, or about the fleet
    Chat(commands::chat::Chat),
    /// The audit log
    #[command(subcommand)]
    Audit(commands::audit::Audit),
    /// Policies
    #[command(subcommand)]
    Policies(commands::policies::Policies),
    /// Windows in which nothing but reads runs
    #[command(subcommand)]
    Freeze(commands::policies::Freeze),
    /// Persons and their API keys
    #[command(subcommand)]
    Persons(commands::people::Persons),
    /// Your own key for approvals
    #[command(subcommand)]
    Keys(commands::keys::Keys),
    /// Whether the rights in the database are as they were sealed
    #[command(subcommand)]
    Rights(commands::people::Rights),
    /// Store a server and a key
    Login(commands::login::Login),
    /// Stored servers
    #[command(subcommand)]
    Contexts(commands::login::ContextsCommand),
    /// A completion script for a shell
    Completion {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
    /// Versions of this program and of the server
    Version,
}

/// What commands get: where to ask and how to show.
pub struct Session {
    /// The server.
    pub client: Client,
    /// The context that names it.
    pub context: Context,
    /// What was wished on the command line.
    pub wish: Wish,
    /// How to show.
    pub format: Format,
}

/// Reads the arguments, runs the command, answers its exit code.
pub fn run() -> i32 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage as i32 } else { Exit::Ok as i32 };
        }
    };
    match start(cli) {
        Ok(exit) => exit as i32,
        Err(fault) => {
            out::note(&shown(&format!("legatorctl: {fault}")));
            fault.exit as i32
        }
    }
}

/// Runs what needs no server at once; nothing that only a connection needs is set up for it.
fn start(cli: Cli) -> Outcome {
    let wish = Wish { server: cli.server, key: key(cli.key_file)?, context: cli.context, ca: cli.ca };
    match cli.command {
        Command::Completion { shell } => Ok(completion(shell)),
        Command::Contexts(command) => commands::login::contexts(command, cli.output),
        Command::Verbs(verbs) => commands::verbs::run(&verbs, cli.output),
        Command::Audit(commands::audit::Audit::Verify(verify)) => {
            crate::verify::run(&verify, &wish, cli.output)
        }
        Command::Keys(commands::keys::Keys::New(new)) => commands::keys::new(&new, cli.output),
        Command::Keys(commands::keys::Keys::Show) => commands::keys::show(cli.output),
        Command::Login(login) => connected(commands::login::run(login, &wish, cli.output)),
        command => {
            let context = context::resolve(&wish)?;
            let client = context::client(&context)?;
            connected(online(command, Session { client, context, wish, format: cli.output }))
        }
    }
}

/// Runs a command that talks to a server, until it is done or interrupted. A command that has something to say when it is
/// interrupted waits for the same signal itself, and is heard first.
fn connected(command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::failed(format!("no runtime: {error}")))?;
    let done = runtime.block_on(async {
        // Listened for before anything is said, so that no Ctrl-C is lost.
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            biased;
            done = command => done,
            _ = interrupt.recv() => Ok(Exit::Interrupted),
        }
    });
    // A read of standard input may still be pending; it must not hold the exit.
    runtime.shutdown_background();
    done
}

async fn online(command: Command, session: Session) -> Outcome {
    let session = &session;
    match command {
        Command::Hosts(command) => commands::hosts::run(session, command).await,
        Command::Tokens(command) => commands::tokens::run(session, command).await,
        Command::Exec(exec) => commands::exec::exec(session, exec).await,
        Command::Do(act) => commands::exec::act(session, act).await,
        Command::Plans(command) => commands::plans::run(session, command).await,
        Command::Why { plan } => commands::plans::why(session, &plan).await,
        Command::Approvals(command) => commands::approvals::run(session, command).await,
        Command::Chat(chat) => commands::chat::run(session, chat).await,
        Command::Audit(command) => commands::audit::run(session, command).await,
        Command::Policies(command) => commands::policies::run(session, command).await,
        Command::Freeze(command) => commands::policies::freeze(session, command).await,
        Command::Persons(command) => commands::people::persons(session, command).await,
        Command::Keys(_) => commands::keys::register(session).await,
        Command::Rights(command) => commands::people::rights(session, command).await,
        Command::Version => version(session).await,
        Command::Completion { .. } | Command::Login(_) | Command::Contexts(_) | Command::Verbs(_) => {
            Ok(Exit::Ok)
        }
    }
}

fn key(file: Option<PathBuf>) -> Result<Option<String>, Fault> {
    let Some(path) = file else {
        return Ok(std::env::var("LEGATOR_KEY").ok().filter(|key| !key.is_empty()));
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Fault::usage(format!("{}: {error}", path.display())))?;
    Ok(Some(text.trim().to_owned()))
}

fn completion(shell: clap_complete::Shell) -> Exit {
    let mut command = <Cli as clap::CommandFactory>::command();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "legatorctl", &mut script);
    out::raw(&script);
    Exit::Ok
}

async fn version(session: &Session) -> Outcome {
    let server = session.client.get::<serde_json::Value>("/version").await;
    let own = env!("CARGO_PKG_VERSION");
    let told = server.as_ref().cloned().unwrap_or_default();
    let record = serde_json::json!({
        "version": own, "url": session.client.base(),
        "server": out::at(&told, "version"), "authority": out::at(&told, "fingerprint"),
    });
    out::record(session.format, &record, || {
        let pairs = [
            ("legatorctl", own.to_owned()),
            ("server", word(&told, "version")),
            ("at", session.client.base().to_owned()),
            ("authority", word(&told, "fingerprint")),
        ];
        out::pairs_text(&pairs)
    });
    server.map(|_| Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
