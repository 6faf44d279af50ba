//! `host.reboot`: the verb that ends the probe.
//!
//! Owns the boot id and the command. Never reboots before the caller has put the expected state on disk: `run` only says what is
//! expected, [`go`] does it. Invariant: a task that rebooted is judged by the boot id alone.

use std::time::Duration;

use legator_core::task::Outcome;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::program;
use super::told::Told;
use super::{Done, HostServices, Step, Stop};

const TAKEN_UP: Duration = Duration::from_secs(60);

/// The id of this boot, which the kernel makes anew at each start.
pub fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| id.len() == 36)
}

/// The command that reboots this host, where one is found.
pub(super) fn command() -> Vec<String> {
    let systemd = std::path::Path::new("/run/systemd/system").is_dir();
    let systemctl = program::first_of(&["/usr/bin/systemctl", "/bin/systemctl"]).filter(|_| systemd);
    match systemctl {
        Some(systemctl) => vec![systemctl, "--no-ask-password".into(), "reboot".into()],
        None => program::first_of(&["/sbin/reboot", "/usr/sbin/reboot", "/bin/reboot"]).into_iter().collect(),
    }
}

/// What is expected of the next start. Nothing is done yet.
pub(super) fn pending() -> Step<Done> {
    let id = boot_id()
        .ok_or_else(|| Stop::not_applicable("the kernel tells no boot id: a reboot could not be verified"))?;
    let before = Some(json!({ "boot_id": id }));
    Ok(Done { before, pending_boot: Some(id), ..Done::of(Outcome::Unknown) }.detail("the host reboots"))
}

/// Reboots. To be called once what [`Done::pending_boot`] says is on disk. Returns only when it was not taken up.
///
/// # Errors
/// A sentence: the command failed, or is not there.
pub async fn go(host: &HostServices) -> Result<(), String> {
    if host.reboot.is_empty() {
        return Err("this host has no command to reboot it".into());
    }
    let (output, mut nobody) = mpsc::channel(16);
    let drain = tokio::spawn(async move { while nobody.recv().await.is_some() {} });
    let (_keep, cancel) = watch::channel(false);
    let end = program::run(&host.reboot, TAKEN_UP, &mut Told::new(output), cancel).await;
    drain.abort();
    match end {
        Ok(end) => end.fault("the reboot command").map_or(Ok(()), Err),
        Err(Stop::Refused(_, detail) | Stop::Failed(detail)) => Err(detail),
    }
}

/// Judges a task that expected another boot id, at the next start of the probe.
pub fn judge(expected_other_than: &str) -> Done {
    let before = json!({ "boot_id": expected_other_than });
    match boot_id() {
        Some(id) => {
            let verified = id != expected_other_than;
            let done = Done::changed(before, json!({ "boot_id": id }), verified);
            if verified { done } else { done.detail("the host is still in the same boot") }
        }
        None => {
            Done { before: Some(before), ..Done::of(Outcome::Unknown) }.detail("the kernel tells no boot id")
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn another_boot_id_alone_is_success() {
        let own = boot_id().unwrap();
        assert_eq!(judge(&own).outcome, Outcome::Failed);
        let done = judge("00000000-0000-0000-0000-000000000000");
        assert_eq!((done.outcome, done.verified), (Outcome::Succeeded, Some(true)));
    }
}
