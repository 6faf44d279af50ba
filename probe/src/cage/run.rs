//! The probe's side of one program: starts the helper, streams, times, cancels, and learns the end.
//!
//! Owns the life of the helper process. Never forks the probe itself.
//! Invariant: when `run` returns or is dropped, the helper was told to kill whatever a confined order started.

use super::order::{Job, KILL, Missing, ORDER_BYTES_MAX, WORDS_BYTES_MAX, Word, Work};
use super::pump::{Shared, pump};
use super::secrets::aliases;
use super::{BelowFull, Cage, CageError, Chunk, Confine, Exit, Layer, Order, Stream, environment, helper};
use legator_core::level::Effects;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

/// After a kill, so long for the helper to report and for the reader to take what was written.
const AFTER_KILL: Duration = Duration::from_secs(10);
/// Most bytes that `capture` keeps of each stream.
const CAPTURE_BYTES_MAX: usize = 4 << 20;
/// Most arguments, and most bytes of one: the kernel's own limits.
const ARGUMENTS_MAX: usize = 4096;
const ARGUMENT_BYTES_MAX: usize = 128 << 10;

impl Cage {
    /// As [`super::run`], with this helper.
    ///
    /// # Errors
    /// As [`super::run`].
    pub async fn run(
        &self,
        order: Order,
        output: mpsc::Sender<Chunk>,
        cancel: watch::Receiver<bool>,
    ) -> Result<Exit, CageError> {
        self.run_with(order, &[], output, cancel).await
    }

    /// As `run`, with more variables in the program's environment than each has.
    ///
    /// # Errors
    /// As [`super::run`].
    pub async fn run_with(
        &self,
        order: Order,
        variables: &[(String, String)],
        output: mpsc::Sender<Chunk>,
        cancel: watch::Receiver<bool>,
    ) -> Result<Exit, CageError> {
        let began = Instant::now();
        let timeout = order.timeout;
        let mut work = self.work(order).await?;
        let stops = Stops { end: tokio::time::Instant::now() + timeout, cancel };
        let first = self.once(&work, variables, output.clone(), stops.clone()).await;
        let ended = match first {
            // Nothing was run. Where its other names are takes a while to find, so that is done only now.
            Err(CageError::Setup { step, .. }) if step == super::NAMED_TWICE => {
                work.aliases = Some(self.find_aliases(&work).await);
                self.once(&work, variables, output, stops).await
            }
            other => {
                drop(output);
                other
            }
        };
        let ((code, signal), stopped, denied) = ended?;
        let (timed_out, cancelled) =
            (stopped == Some(Stopped::TimedOut), stopped == Some(Stopped::Cancelled));
        Ok(Exit { code, signal, timed_out, cancelled, denied, duration: began.elapsed() })
    }

    async fn once(
        &self,
        work: &Work,
        variables: &[(String, String)],
        output: mpsc::Sender<Chunk>,
        stops: Stops,
    ) -> Result<((Option<i32>, Option<i32>), Option<Stopped>, bool), CageError> {
        let mut running = self.start(work, variables).await?;
        let (word, stopped, denied) = running.follow(output, work.limits.output_bytes, stops).await;
        Ok((ended(word, work)?, stopped, denied))
    }

    /// Searches for second names of secrets, and remembers them.
    async fn find_aliases(&self, work: &Work) -> Vec<PathBuf> {
        let secrets = Arc::clone(&work.secrets);
        let found = tokio::task::spawn_blocking(move || aliases::search(&secrets)).await.unwrap_or_default();
        if let Ok(mut known) = self.aliases.lock() {
            known.clone_from(&found);
        }
        found
    }

    /// As [`super::capture`], with this helper.
    ///
    /// # Errors
    /// As [`super::capture`].
    pub async fn capture(&self, order: Order) -> Result<(Exit, Vec<u8>, Vec<u8>), CageError> {
        let (send, mut chunks) = mpsc::channel::<Chunk>(4);
        let (_never, cancel) = watch::channel(false);
        let keep = async {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            while let Some(chunk) = chunks.recv().await {
                let kept = if chunk.stream == Stream::Stdout { &mut out } else { &mut err };
                let room = CAPTURE_BYTES_MAX.saturating_sub(kept.len());
                kept.extend(chunk.bytes.into_iter().take(room));
            }
            (out, err)
        };
        let (exit, (out, err)) = tokio::join!(self.run(order, send, cancel), keep);
        Ok((exit?, out, err))
    }

    /// Checks the order and decides the layers.
    async fn work(&self, order: Order) -> Result<Work, CageError> {
        check(&order.argv)?;
        let confine = match order.confine {
            Confine::Change(Effects { unconfined: true, .. }) => Confine::Unconfined,
            other => other,
        };
        let layers = if confine == Confine::Unconfined {
            Vec::new()
        } else {
            self.layers(&order.limits.below_full).await?
        };
        Ok(Work {
            argv: order.argv,
            cwd: order.cwd,
            confine,
            timeout_ms: u64::try_from(order.timeout.as_millis()).unwrap_or(u64::MAX).min(u64::from(u32::MAX)),
            secrets: order.secrets,
            limits: order.limits,
            aliases: Some(self.aliases.lock().map(|known| known.clone()).unwrap_or_default()),
            layers,
        })
    }

    async fn layers(&self, below_full: &BelowFull) -> Result<Vec<Layer>, CageError> {
        let cage = self.clone();
        let report = tokio::task::spawn_blocking(move || cage.report());
        let report = report.await.map_err(|error| not_started("report", &error))?;
        if !report.is_full() && *below_full == BelowFull::Refuse {
            return Err(CageError::Incomplete(report));
        }
        let lacks =
            |layer: &Layer| report.missing.iter().any(|line| line.split(':').next() == Some(layer.word()));
        Ok(Layer::ALL.into_iter().filter(|layer| !lacks(layer) && !self.off.contains(layer)).collect())
    }

    async fn start(&self, work: &Work, variables: &[(String, String)]) -> Result<Running, CageError> {
        let failed = |error: std::io::Error| not_started("helper", &error);
        let (ours, theirs) = StdStream::pair().map_err(failed)?;
        let uid = rustix::process::geteuid().as_raw();
        let child = Command::new(&self.helper)
            .arg(helper::WORD)
            .env_clear()
            .envs(environment::environment(&work.confine, uid))
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let leash = Leash(Some(ours.try_clone().map_err(failed)?));
        ours.set_nonblocking(true).map_err(failed)?;
        let mut channel = UnixStream::from_std(ours).map_err(failed)?;
        let order =
            serde_json::to_vec(&JobRef::Run(work)).map_err(|error| CageError::BadOrder(error.to_string()))?;
        let length = u32::try_from(order.len()).ok().filter(|length| *length as usize <= ORDER_BYTES_MAX);
        let Some(length) = length else { return Err(CageError::BadOrder("too long".into())) };
        channel.write_all(&length.to_le_bytes()).await.map_err(failed)?;
        channel.write_all(&order).await.map_err(failed)?;
        Ok(Running { child, channel, leash })
    }
}

/// The program was not run: the helper executes nothing before it has the whole order.
fn not_started(step: &str, error: &dyn std::error::Error) -> CageError {
    CageError::Setup { step: step.to_owned(), detail: error.to_string() }
}

/// [`Job`] without owning the work.
#[derive(serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum JobRef<'a> {
    Run(&'a Work),
}

fn check(argv: &[String]) -> Result<(), CageError> {
    let bad = |why: &str| Err(CageError::BadOrder(why.to_owned()));
    match argv.first() {
        None => return bad("no program"),
        Some(program) if program.is_empty() => return bad("an empty program name"),
        Some(_) => {}
    }
    if argv.len() > ARGUMENTS_MAX || argv.iter().any(|argument| argument.len() >= ARGUMENT_BYTES_MAX) {
        return bad("more or longer arguments than the kernel takes");
    }
    if argv.iter().any(|argument| argument.contains('\0')) {
        return bad("a NUL byte in an argument");
    }
    Ok(())
}

fn ended(word: Option<Word>, work: &Work) -> Result<(Option<i32>, Option<i32>), CageError> {
    match word {
        Some(Word::Ended { code, signal }) => Ok((code, signal)),
        Some(Word::Fault { step, detail }) => Err(CageError::Setup { step, detail }),
        Some(Word::NoStart { what, missing: Missing::Program, .. }) if Some(&what) == work.argv.first() => {
            Err(CageError::NotFound(what))
        }
        Some(Word::NoStart { what, detail, .. }) => Err(CageError::Start { what, detail }),
        Some(Word::Tried { .. } | Word::Whole { .. }) | None => {
            Err(CageError::Helper("it ended without saying how the program ended".into()))
        }
    }
}

/// Tells the helper to kill everything when it is dropped before it was taken off.
struct Leash(Option<StdStream>);

impl Drop for Leash {
    fn drop(&mut self) {
        if let Some(stream) = &mut self.0 {
            // One byte into an empty socket buffer; a helper that is gone needs no word.
            let _ = stream.write_all(&[KILL]);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    TimedOut,
    Cancelled,
}

#[derive(Clone)]
struct Stops {
    end: tokio::time::Instant,
    cancel: watch::Receiver<bool>,
}

impl Stops {
    /// Ends when the program has to.
    async fn wait(mut self) -> Stopped {
        let cancelled = async {
            if self.cancel.wait_for(|cancelled| *cancelled).await.is_err() {
                // Nobody is left who could cancel.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep_until(self.end) => Stopped::TimedOut,
            () = cancelled => Stopped::Cancelled,
        }
    }
}

struct Running {
    child: Child,
    channel: UnixStream,
    leash: Leash,
}

impl Running {
    /// Streams until the program has ended and its output is passed on.
    async fn follow(
        &mut self,
        output: mpsc::Sender<Chunk>,
        output_bytes: u64,
        stops: Stops,
    ) -> (Option<Word>, Option<Stopped>, bool) {
        let (told, ended) = watch::channel(false);
        let shared =
            Shared { output, left: AtomicU64::new(output_bytes), denied: AtomicBool::new(false), ended };
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let (mut reader, mut writer) = self.channel.split();
        let mut stopped = None;
        let word = {
            let pumps = async {
                let out = async {
                    if let Some(source) = stdout {
                        pump(source, Stream::Stdout, &shared).await
                    }
                };
                let err = async {
                    if let Some(source) = stderr {
                        pump(source, Stream::Stderr, &shared).await
                    }
                };
                tokio::join!(out, err);
            };
            let words = async {
                let word = last_word(&mut reader).await;
                told.send_replace(true);
                word
            };
            let both = async { tokio::join!(words, pumps).0 };
            tokio::pin!(both);
            tokio::select! {
                word = &mut both => word,
                why = stops.wait() => {
                    stopped = Some(why);
                    let _ = writer.write_all(&[KILL]).await;
                    tokio::time::timeout(AFTER_KILL, both).await.unwrap_or_default()
                }
            }
        };
        self.leash.0 = None;
        self.finish().await;
        (word, stopped, shared.denied.load(Ordering::Relaxed))
    }

    /// Collects the helper.
    async fn finish(&mut self) {
        if tokio::time::timeout(AFTER_KILL, self.child.wait()).await.is_err() {
            // Its death is the death of the namespace's init, and so of everything inside.
            let _ = self.child.kill().await;
        }
    }
}

/// The word that counts: a fault or a refusal to start before any end. Ends when the helper closes its side.
async fn last_word(reader: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<Word> {
    let mut bytes = Vec::new();
    // A helper that is killed or babbles is judged by what it said so far.
    let _ = reader.take(WORDS_BYTES_MAX).read_to_end(&mut bytes).await;
    let words: Vec<Word> =
        bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let ended = |word: &&Word| matches!(word, Word::Ended { .. });
    words.iter().find(|word| !ended(word)).or_else(|| words.iter().find(ended)).cloned()
}

/// The bytes of a trial order.
pub(super) fn trial_bytes() -> Result<Vec<u8>, serde_json::Error> {
    let order = serde_json::to_vec(&Job::Trial)?;
    let mut bytes = u32::try_from(order.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    bytes.extend(order);
    Ok(bytes)
}
