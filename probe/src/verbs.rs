//! Verbs on the host: what a checked grant may do here, and how it is proven afterwards.
//!
//! Owns the doing of every verb of `legator_core::verbs`. Never checks a grant and never keeps a journal: whoever calls has done so.
//! Invariant: `Succeeded` is said only when the verb's post-condition was looked at and held, or when it has none and nothing failed.

mod blocking;
mod certs;
mod containers;
mod files;
pub mod foreign;
mod host;
mod interfaces;
mod logs;
mod net;
mod packages;
pub mod proc;
mod program;
pub mod reboot;
mod service;
mod shell;
mod signal;
mod sysctl;
mod told;
mod undo;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use legator_core::clock::Clock;
use legator_core::digest::Digest;
use legator_core::ids::TaskId;
use legator_core::task::Outcome;
use legator_core::verbs::{Call, Secrets as SecretValues, Verb};
use legator_wire::refusal::Refusal;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::cage::{BelowFull, Cage, Chunk, Secrets};
use crate::preimage::Store;
use told::Told;

/// What verbs use on this host.
pub struct HostServices {
    /// Holds what is started.
    pub cage: Cage,
    /// What no verb reads or writes.
    pub secrets: Arc<Secrets>,
    /// The probe's own folder.
    pub state_dir: PathBuf,
    /// States to go back to.
    pub preimages: Store,
    /// The host's clock.
    pub clock: Arc<dyn Clock>,
    /// What `shell.run` below remediate does where the cage is not full: refused, unless an admin said otherwise.
    pub shell_below_full: BelowFull,
    /// How long a service is watched before its state counts as settled.
    pub settle: Duration,
    /// The command that reboots the host.
    pub reboot: Vec<String>,
}

impl HostServices {
    /// The services of a probe that keeps its state in this folder.
    ///
    /// # Errors
    /// The folder of pre-images cannot be made.
    pub fn new(
        cage: Cage,
        secrets: Arc<Secrets>,
        state_dir: PathBuf,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<Self> {
        let preimages = Store::open(&state_dir)?;
        let reboot = reboot::command();
        let (shell_below_full, settle) = (BelowFull::Refuse, Duration::from_secs(2));
        Ok(Self { cage, secrets, state_dir, preimages, clock, shell_below_full, settle, reboot })
    }
}

/// One task to do.
pub struct Work<'a> {
    /// The task.
    pub task: TaskId,
    /// What to do, as parsed from the plan.
    pub call: &'a Call,
    /// The values of its secret arguments.
    pub secrets: &'a SecretValues,
    /// The digest of the state that the approver was shown.
    pub shown: Option<Digest>,
    /// What to do it with.
    pub host: &'a HostServices,
}

/// How it went.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// How it ended.
    pub outcome: Outcome,
    /// Why it was refused.
    pub refusal: Option<Refusal>,
    /// The exit code, where one program was the whole of it.
    pub exit_code: Option<i32>,
    /// The signal that ended that program.
    pub signal: Option<i32>,
    /// The state before.
    pub before: Option<Value>,
    /// The state after.
    pub after: Option<Value>,
    /// Whether the post-condition held; none where the verb has none.
    pub verified: Option<bool>,
    /// A sentence for people.
    pub detail: Option<String>,
    /// The result of a typed read; it was written to standard output too.
    pub result: Option<Value>,
    /// The verb ends this boot: the boot id that must be another one afterwards. Nothing was done yet; whoever called puts
    /// this on disk, then calls [`reboot::go`], and judges the task at the next start.
    pub pending_boot: Option<String>,
}

impl Done {
    fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            refusal: None,
            exit_code: None,
            signal: None,
            before: None,
            after: None,
            verified: None,
            detail: None,
            result: None,
            pending_boot: None,
        }
    }

    /// A typed read that gave this.
    fn read(result: Value) -> Self {
        Self { result: Some(result), ..Self::of(Outcome::Succeeded) }
    }

    /// A change whose post-condition held or did not.
    fn changed(before: Value, after: Value, verified: bool) -> Self {
        let outcome = if verified { Outcome::Succeeded } else { Outcome::Failed };
        Self { before: Some(before), after: Some(after), verified: Some(verified), ..Self::of(outcome) }
    }

    fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// Why a verb did not come to its end.
#[derive(Debug, Clone, PartialEq)]
enum Stop {
    /// Nothing was done, for a named reason.
    Refused(Refusal, String),
    /// It was tried and did not work.
    Failed(String),
}

impl Stop {
    fn failed(doing: &str, error: impl std::fmt::Display) -> Self {
        Self::Failed(format!("{doing}: {error}"))
    }

    /// The state to go back to could not be kept: nothing was changed.
    fn not_kept(error: impl std::fmt::Display) -> Self {
        Self::Refused(Refusal::NoRoom, format!("keeping the state to go back to: {error}"))
    }

    fn not_applicable(detail: impl Into<String>) -> Self {
        Self::Refused(Refusal::NotApplicable, detail.into())
    }
}

impl From<Stop> for Done {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(refusal, detail) => {
                Self { refusal: Some(refusal), ..Self::of(Outcome::Refused) }.detail(detail)
            }
            Stop::Failed(detail) => Self::of(Outcome::Failed).detail(detail),
        }
    }
}

type Step<T> = Result<T, Stop>;

/// Does one task. Output goes out as it comes; `cancel` turning true ends what was started.
pub async fn run(work: Work<'_>, output: mpsc::Sender<Chunk>, cancel: watch::Receiver<bool>) -> Done {
    let mut told = Told::new(output);
    let done = match act(&work, &mut told, cancel).await {
        Ok(done) => done,
        Err(stop) => Done::from(stop),
    };
    if let Some(detail) = done.detail.as_ref().filter(|_| done.outcome != Outcome::Succeeded) {
        told.error(&format!("{detail}\n")).await;
    }
    done
}

async fn act(work: &Work<'_>, told: &mut Told, cancel: watch::Receiver<bool>) -> Step<Done> {
    match &work.call.verb {
        Verb::ShellRun(args) => shell::run(work, args, told, cancel).await,
        Verb::ShellScript(args) => shell::script(work, args, told, cancel).await,
        Verb::ServiceStart(args) => {
            service::act(work, service::Action::Start, &args.name, told, cancel).await
        }
        Verb::ServiceStop(args) => service::act(work, service::Action::Stop, &args.name, told, cancel).await,
        Verb::ServiceRestart(args) => {
            service::act(work, service::Action::Restart, &args.name, told, cancel).await
        }
        Verb::ServiceReload(args) => {
            service::act(work, service::Action::Reload, &args.name, told, cancel).await
        }
        Verb::ServiceEnable(args) => {
            service::act(work, service::Action::Enable, &args.name, told, cancel).await
        }
        Verb::ServiceDisable(args) => {
            service::act(work, service::Action::Disable, &args.name, told, cancel).await
        }
        Verb::FileWrite(args) => files::write(work, args).await,
        Verb::FileDelete(args) => files::delete(work, args).await,
        Verb::PackageInstall(args) => packages::install(work, args, told, cancel).await,
        Verb::PackageRemove(args) => packages::remove(work, args, told, cancel).await,
        Verb::PackageUpgrade(args) => packages::upgrade(work, args, told, cancel).await,
        Verb::ProcessSignal(args) => signal::send(args).await,
        Verb::SysctlSet(args) => sysctl::set(work, args),
        Verb::HostReboot(_) => reboot::pending(),
        Verb::TaskUndo(args) => undo::undo(work, args, told, cancel).await,
        Verb::LogFollow(args) => logs::follow(work, args, told, cancel).await,
        Verb::FileRead(args) => files::read(work, args, told).await,
        verb => look(work, verb, told, cancel).await,
    }
}

/// Verbs whose result is a value: it is returned, and written out for people.
async fn look(work: &Work<'_>, verb: &Verb, told: &mut Told, cancel: watch::Receiver<bool>) -> Step<Done> {
    let asked = async {
        match verb {
            Verb::FileList(args) => files::list(work, args).await,
            Verb::FileStat(args) => files::stat(work, args).await,
            Verb::FileSearch(args) => files::search(work, args, cancel.clone()).await,
            Verb::LogRead(args) => logs::read(work, args).await,
            Verb::ServiceStatus(args) => service::status(work, &args.name).await,
            Verb::ServiceList(_) => service::list(work).await,
            Verb::PackageList(args) => packages::list(work, args).await,
            Verb::ProcessList(args) => host::processes(work, args).await,
            Verb::HostFacts(_) => blocking::run(work.call, host::facts).await,
            Verb::NetworkSockets(_) => blocking::run(work.call, host::sockets).await,
            Verb::NetworkInterfaces(_) => blocking::run(work.call, interfaces::list).await,
            Verb::DiskUsage(_) => blocking::run(work.call, host::disks).await,
            Verb::UserList(_) => blocking::run(work.call, host::users).await,
            Verb::ContainerList(_) => blocking::run(work.call, containers::list).await,
            Verb::CertList(_) => certs::list(work).await,
            Verb::NetDns(args) => net::dns(args).await,
            Verb::NetTcp(args) => net::tcp(args, work.call.timeout.duration()).await,
            Verb::NetHttp(args) => net::http(args, work.call.timeout.duration()).await,
            other => Err(Stop::Refused(Refusal::UnknownVerb, format!("{} is not known here", other.name()))),
        }
    };
    let mut cancel = cancel.clone();
    let result = tokio::select! {
        result = tokio::time::timeout(work.call.timeout.duration(), asked) => {
            result.map_err(|_| Stop::Failed(format!("it took longer than {}", work.call.timeout)))??
        }
        () = told::cancelled(&mut cancel) => return Err(Stop::Failed("cancelled".into())),
    };
    told.json(&result).await;
    Ok(Done::read(result))
}
