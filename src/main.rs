//! The command `legator`: parses words, reads the environment, and hands over.
//!
//! Owns flags and exit codes. Nothing else lives here: what runs stands in the library of the same name.

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use legator::config::{self, Layers, Settings};
use legator::{bootstrap, up};
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// A self-hosted control plane for fleets of machines.
#[derive(Parser)]
#[command(name = "legator", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the whole server in this process.
    Up(Flags),
    /// Brings the database up to this version, and ends.
    Migrate(Flags),
    /// Looks at the settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// What only who owns the data folder may do.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Prints the version.
    Version,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Prints the settings as they were resolved, without secrets; fails when they cannot be used.
    Check(Flags),
}

#[derive(Subcommand)]
enum AdminCommand {
    /// Makes the first admin and prints an API key, once. The server on the folder may run or not.
    Bootstrap(BootstrapFlags),
}

/// Each is also a variable LEGATOR_… and a line of the configuration file; a flag wins over both.
#[derive(Args, Default)]
struct Flags {
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// The folder for data, or :memory:.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The authority key: 64 hex digits, or file:PATH. Made on the first start when absent.
    #[arg(long, value_name = "KEY")]
    signing_key: Option<String>,
    /// People have to show an API key.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    auth: Option<String>,
    /// Addresses to listen on, parted by commas: 127.0.0.1:8080,[::1]:8080.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// The TLS certificate, PEM.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// The TLS key, PEM.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// Addresses under which people reach this server: https://legator.example.org.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// What is logged: info, debug, or a filter as of RUST_LOG.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Args, Default)]
struct BootstrapFlags {
    #[command(flatten)]
    settings: Flags,
    /// Take this key (`lk_…`, or file:PATH that holds one) instead of making one.
    #[arg(long, value_name = "KEY", env = "LEGATOR_ADMIN_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The admin's name.
    #[arg(long, default_value = "admin")]
    name: String,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "legator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Up(flags) => serve(settings(flags)?),
        Command::Migrate(flags) => block_on(up::migrate(settings(flags)?))?.map_err(Into::into),
        Command::Config(ConfigCommand::Check(flags)) => {
            let settings = settings(flags)?;
            up::check(&settings)?;
            print(&config::show(&settings))
        }
        Command::Admin(AdminCommand::Bootstrap(flags)) => {
            let settings = settings(flags.settings)?;
            let key = block_on(bootstrap::first_admin(settings, flags.name, flags.key))??;
            print(&key)
        }
        Command::Version => print(&format!("legator {}", env!("CARGO_PKG_VERSION"))),
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}").context("printing")
}

fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    Ok(runtime.block_on(work))
}

fn settings(flags: Flags) -> anyhow::Result<Settings> {
    let env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with("LEGATOR_"))
        .map(|(name, value)| {
            value
                .into_string()
                .map(|value| (name.clone(), value))
                .map_err(|_| anyhow::anyhow!("{name} is not UTF-8"))
        })
        .collect::<Result<_, _>>()?;
    let path = flags.config.clone().or_else(|| env.get("LEGATOR_CONFIG").cloned());
    let file = path.map(|path| config::read_file(&path)).transpose()?;
    let layers = Layers { flags: flags.given(), env, file, default_dir: default_dir() };
    config::resolve(&layers).map_err(Into::into)
}

impl Flags {
    fn given(self) -> BTreeMap<String, String> {
        let all = [
            ("data_dir", self.data_dir),
            ("signing_key", self.signing_key),
            ("auth", self.auth),
            ("listen", self.listen),
            ("tls_cert", self.tls_cert),
            ("tls_key", self.tls_key),
            ("public_url", self.public_url),
            ("log", self.log),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// `$XDG_DATA_HOME/legator` or `~/.local/share/legator`; for root `/var/lib/legator`, where services keep data.
fn default_dir() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("legator"))
}

fn serve(settings: Settings) -> anyhow::Result<()> {
    let filter = legator::log::filter(&settings.log)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    block_on(async {
        let mut stop = up::Signals::listen().context("listening for signals")?;
        let running = up::start(settings).await?;
        for line in running.greeting() {
            print(&line)?;
        }
        stop.wait().await;
        running.shutdown().await;
        Ok(())
    })?
}
