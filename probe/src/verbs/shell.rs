//! `shell.run` and `shell.script`: a program of somebody's choice, held by the cage as its level says.
//!
//! Owns the choice of the cage. Never builds a command line for a shell. Invariant: below remediate it is confined, always.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use legator_core::level::Level;
use legator_core::task::Outcome;
use legator_core::verbs::{ENV_PREFIX, ShellRun, ShellScript};
use legator_wire::refusal::Refusal;
use tokio::sync::watch;

use super::told::Told;
use super::{Done, Step, Stop, Work};
use crate::cage::hint::{Hint, hint};
use crate::cage::{BelowFull, CageError, Confine, Exit, Limits, NAMED_TWICE, Order};

pub(super) async fn run(
    work: &Work<'_>,
    args: &ShellRun,
    told: &mut Told,
    cancel: watch::Receiver<bool>,
) -> Step<Done> {
    let order = order(work, args.argv.clone(), args.cwd.as_ref().map(PathBuf::from));
    let caged = order.confine != Confine::Unconfined;
    let run = work.host.cage.run_with(order, &variables(work), told.sender(), cancel).await;
    let instead = run.as_ref().ok().filter(|_| caged).and_then(|exit| hint(&args.argv, exit));
    let done = finish(run)?;
    let Some(Hint { verb, why }) = instead else { return Ok(done) };
    let so_far = done.detail.clone().map(|detail| format!("{detail}; ")).unwrap_or_default();
    Ok(done.detail(format!("{so_far}{why}: use {verb}")))
}

pub(super) async fn script(
    work: &Work<'_>,
    args: &ShellScript,
    told: &mut Told,
    cancel: watch::Receiver<bool>,
) -> Step<Done> {
    let file =
        ScriptFile::create(work, &args.script).map_err(|error| Stop::failed("keeping the script", error))?;
    let argv = vec![args.interpreter.clone(), file.path.to_string_lossy().into_owned()];
    let order = order(work, argv, None);
    finish(work.host.cage.run_with(order, &variables(work), told.sender(), cancel).await)
}

/// Secret values as the program finds them. The prefix keeps them from steering a loader or an interpreter.
fn variables(work: &Work<'_>) -> Vec<(String, String)> {
    work.secrets.iter().map(|(name, known)| (format!("{ENV_PREFIX}{name}"), known.value.clone())).collect()
}

fn confine(work: &Work<'_>) -> Confine {
    match work.call.level {
        Level::Observe => Confine::Observe,
        Level::Diagnose => Confine::Diagnose,
        Level::Remediate if work.call.effects.unconfined => Confine::Unconfined,
        Level::Remediate => Confine::Change(work.call.effects.clone()),
    }
}

fn order(work: &Work<'_>, argv: Vec<String>, cwd: Option<PathBuf>) -> Order {
    let below_full = match work.call.level {
        Level::Remediate => BelowFull::Refuse,
        _ => work.host.shell_below_full,
    };
    Order {
        argv,
        cwd,
        confine: confine(work),
        timeout: work.call.timeout.duration(),
        secrets: Arc::clone(&work.host.secrets),
        limits: Limits { below_full, ..Limits::default() },
    }
}

/// What the end of one program means for the task whose whole it was.
pub(super) fn ended(exit: &Exit) -> Done {
    let outcome = if exit.success() { Outcome::Succeeded } else { Outcome::Failed };
    let done = Done { exit_code: exit.code, signal: exit.signal, ..Done::of(outcome) };
    match (exit.cancelled, exit.timed_out, exit.code, exit.signal) {
        (true, ..) => done.detail("cancelled: it and all that it started was killed"),
        (_, true, ..) => done.detail("its time was over: it and all that it started was killed"),
        (_, _, Some(0), _) => done,
        (_, _, Some(code), _) => done.detail(format!("it exited with code {code}")),
        (_, _, None, Some(signal)) => done.detail(format!("signal {signal} ended it")),
        (_, _, None, None) => done.detail("how it ended is not known"),
    }
}

fn finish(run: Result<Exit, CageError>) -> Step<Done> {
    match run {
        Ok(exit) => Ok(ended(&exit)),
        // Begun perhaps, and nobody saw the end.
        Err(error @ CageError::Helper(_)) => Ok(Done::of(Outcome::Unknown).detail(error.to_string())),
        Err(error) => Err(not_run(error)),
    }
}

/// Why the cage ran nothing.
pub(super) fn not_run(error: CageError) -> Stop {
    match error {
        CageError::Incomplete(_) => Stop::Refused(Refusal::CageNotFull, error.to_string()),
        CageError::BadOrder(_) => Stop::Refused(Refusal::BadArguments, error.to_string()),
        CageError::Setup { step, detail } if step == NAMED_TWICE => Stop::Refused(Refusal::Secret, detail),
        CageError::NotFound(_) | CageError::Start { .. } | CageError::Setup { .. } | CageError::Helper(_) => {
            Stop::Failed(error.to_string())
        }
    }
}

/// The script on disk for as long as it runs. The program that reads it must find it by name, also inside the cage, which hides
/// `/tmp` and the probe's own folder.
struct ScriptFile {
    path: PathBuf,
}

impl ScriptFile {
    fn create(work: &Work<'_>, script: &str) -> std::io::Result<Self> {
        let confined = !work.call.effects.unconfined;
        let dir = match rustix::process::geteuid().is_root() || confined {
            true => PathBuf::from("/run/legator-scripts"),
            false => work.host.state_dir.join("scripts"),
        };
        private_dir(&dir)?;
        let path = dir.join(work.task.to_string());
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
        let kept = Self { path };
        file.write_all(script.as_bytes())?;
        Ok(kept)
    }
}

impl Drop for ScriptFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A folder that is this user's alone; one that is there and is not so is refused.
fn private_dir(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let meta = fs::symlink_metadata(dir)?;
    let ours = meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o077 == 0;
    match ours {
        true => Ok(()),
        false => Err(std::io::Error::other(format!("{} is not a folder of the probe alone", dir.display()))),
    }
}
