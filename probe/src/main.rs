//! `legator-probe`: the command line of the agent.
//!
//! Owns arguments, the environment, logs and signals. Decides nothing. Invariant: the cage's helper is asked for before anything else.

use clap::{Args, Parser, Subcommand};
use legator_core::level::Level;
use legator_probe::error::ProbeError;
use legator_probe::init::service::Manager;
use legator_probe::init::{self, Leave, Plan, Start};
use legator_probe::run::Wanted;
use legator_probe::{config, run, status};
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Legator's agent: it verifies, runs and reports on this host.
#[derive(Parser)]
#[command(name = "legator-probe", version)]
struct Cli {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Run the probe; enrols first where that was not done yet
    Run(Common),
    /// Enrol, write /etc/legator/probe.toml and install the service
    Init(InitArgs),
    /// Say what this probe is
    Status {
        #[command(flatten)]
        common: Common,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Check that the configuration and the state can be read
    Check(Common),
    /// Stop and remove the service, the program and the configuration
    Uninstall {
        /// The folder that stands for /
        #[arg(long, default_value = "/")]
        root: PathBuf,
        /// The state folder, where probe.toml does not name it
        #[arg(long)]
        state_dir: Option<PathBuf>,
        /// Remove the state folder too: the host's key is gone then
        #[arg(long)]
        purge: bool,
    },
}

#[derive(Args, Clone)]
struct Common {
    /// The server, such as https://legator.example
    #[arg(long, env = "LEGATOR_SERVER")]
    server: Option<String>,
    /// The registration token; not needed once enrolled
    #[arg(long, env = "LEGATOR_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The host's name; its hostname when absent
    #[arg(long)]
    name: Option<String>,
    /// A label, k=v; may be repeated
    #[arg(long = "label", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Where key, journal and credential are kept
    #[arg(long, env = "LEGATOR_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// The configuration; /etc/legator/probe.toml when absent
    #[arg(long)]
    config: Option<PathBuf>,
    /// Certificates that TLS trusts instead of the system's
    #[arg(long)]
    ca: Option<PathBuf>,
}

#[derive(Args)]
struct InitArgs {
    #[command(flatten)]
    common: Common,
    /// The highest level that may ever run here
    #[arg(long, default_value = "remediate")]
    max_level: Level,
    /// The user that the service runs as
    #[arg(long, default_value = "root")]
    user: String,
    /// systemd, openrc or sysv; found when absent
    #[arg(long, value_parser = manager)]
    init: Option<Manager>,
    /// The folder that stands for /
    #[arg(long, default_value = "/")]
    root: PathBuf,
    /// Install only
    #[arg(long)]
    no_start: bool,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a label is k=v")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn manager(text: &str) -> Result<Manager, String> {
    Manager::named(text).ok_or_else(|| "systemd, openrc or sysv".to_owned())
}

impl Common {
    fn wanted(self) -> Wanted {
        Wanted {
            config: self.config,
            server: self.server,
            token: self.token,
            name: self.name,
            labels: self.labels.into_iter().collect::<BTreeMap<_, _>>(),
            state_dir: self.state_dir,
            ca: self.ca,
        }
    }
}

/// Root's probe keeps its state where the service does; a person's own in the home.
fn default_state() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from(init::STATE);
    }
    let home = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state")));
    home.unwrap_or_else(|| PathBuf::from("/var/tmp")).join("legator-probe")
}

fn main() -> ExitCode {
    legator_probe::cage::helper::main_if_asked();
    log_to_stderr();
    match act(Cli::parse().command) {
        Ok(text) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "legator-probe: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Logs what `LEGATOR_LOG` asks for, `info` where it says nothing or cannot be read.
fn log_to_stderr() {
    let asked = std::env::var("LEGATOR_LOG").ok().and_then(|text| text.parse().ok());
    let targets: Targets = asked.unwrap_or_else(|| Targets::new().with_default(tracing::Level::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    tracing_subscriber::registry().with(targets).with(lines).init();
}

fn act(what: What) -> Result<String, ProbeError> {
    match what {
        What::Run(common) => on_runtime(serve(common)).map(|()| String::new()),
        What::Init(args) => on_runtime(install(args)),
        What::Status { common, json } => {
            let state_dir = common.wanted().resolve(&default_state())?.state_dir;
            let report = status::report(&state_dir)?;
            Ok(if json { format!("{report}\n") } else { status::lines(&report) })
        }
        What::Check(common) => {
            let path = common.config.clone().unwrap_or_else(|| PathBuf::from(config::DEFAULT_PATH));
            let state_dir = common.wanted().resolve(&default_state())?.state_dir;
            init::check(&path, &state_dir).map(|()| "ok\n".to_owned())
        }
        What::Uninstall { root, state_dir, purge } => {
            let leave = if purge { Leave::Nothing } else { Leave::State };
            init::uninstall(&root, state_dir.as_deref(), leave).map(joined)
        }
    }
}

fn joined(lines: Vec<String>) -> String {
    lines.into_iter().map(|line| format!("{line}\n")).collect()
}

fn on_runtime<T>(work: impl Future<Output = Result<T, ProbeError>>) -> Result<T, ProbeError> {
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(24)
        .enable_all()
        .build();
    built.map_err(ProbeError::file("start", "the runtime"))?.block_on(work)
}

async fn serve(common: Common) -> Result<(), ProbeError> {
    let resolved = common.wanted().resolve(&default_state())?;
    let (stop, stopped) = watch::channel(false);
    let failed = |_| ProbeError::Journal("signals cannot be heard".into());
    let mut term = signal(SignalKind::terminate()).map_err(failed)?;
    let mut int = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        let _ = stop.send(true);
    });
    run::run(resolved, stopped).await
}

async fn install(args: InitArgs) -> Result<String, ProbeError> {
    let common = args.common;
    let whole = |path: PathBuf| std::path::absolute(&path).map_err(ProbeError::file("find", &path));
    let file = config::Settings::read(&init::below(&args.root, Path::new(config::DEFAULT_PATH)))?;
    let file = file.unwrap_or_else(config::Settings::without_file);
    let labels = file.labels.into_iter().chain(common.labels);
    let plan = Plan {
        server: common.server.or(file.server),
        token: common.token.as_deref().map(str::parse).transpose()?,
        name: common.name.or(file.name),
        labels: labels.collect(),
        state_dir: common.state_dir.or(file.state_dir).unwrap_or_else(|| PathBuf::from(init::STATE)),
        max_level: args.max_level,
        ca: common.ca.or(file.ca).map(whole).transpose()?,
        user: args.user,
        manager: args.init.unwrap_or_else(Manager::here),
        start: if args.no_start || args.root != Path::new("/") { Start::Later } else { Start::Now },
        root: args.root,
    };
    init::install(&plan).await.map(joined)
}
