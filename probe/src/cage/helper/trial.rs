//! Tries each layer of the cage in a process of its own, and all together, and says which hold.
//!
//! Owns the proof that a layer works on this kernel. Never believes a version number or a successful call alone: each
//! layer is looked at from inside.
//! Invariant: a layer is reported as holding only after its effect was seen.

use super::super::order::{Word, Work};
use super::super::{BelowFull, Confine, Layer, Limits, Secrets, sys};
use super::{Channel, Fault, confine, filter, landlock, program};
use rustix::process::{Resource, WaitOptions, getrlimit, waitpid};
use rustix::thread::CapabilitySet;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

/// What a mask is tried on: it is on every host, and it is not empty.
const MASKED: &str = "/etc/passwd";
/// Most bytes of a reason.
const REASON_MAX: u64 = 300;

pub(super) fn run(channel: &Channel) -> Result<(), Fault> {
    for layer in Layer::ALL {
        let fault = apart(|| one(layer))?;
        channel.say(&Word::Tried { layer, fault });
    }
    let fault = apart(whole)?;
    channel.say(&Word::Whole { fault });
    Ok(())
}

/// Runs a trial in a forked process and gives what it complained of.
fn apart(trial: impl FnOnce() -> Result<(), Fault>) -> Result<Option<String>, Fault> {
    let (mut read, mut write) = std::io::pipe().map_err(Fault::at("trial"))?;
    match sys::fork().map_err(Fault::at("trial"))? {
        sys::Forked::Child => {
            drop(read);
            let text = match trial() {
                Ok(()) => "held".to_owned(),
                Err(fault) => format!("{}: {}", fault.step, fault.detail),
            };
            let _ = write.write_all(text.as_bytes());
            std::process::exit(0)
        }
        sys::Forked::Parent(child) => {
            drop(write);
            let mut text = String::new();
            let read = (&mut read).take(REASON_MAX).read_to_string(&mut text);
            let _ = waitpid(Some(child), WaitOptions::empty());
            Ok(match read {
                Ok(_) if text == "held" => None,
                Ok(0) => Some("the kernel killed the trial".to_owned()),
                Ok(_) => Some(text),
                Err(error) => Some(error.to_string()),
            })
        }
    }
}

fn work(layers: &[Layer]) -> Result<Work, Fault> {
    let secrets = Secrets::new(Path::new(MASKED), &[]).map_err(Fault::at("trial"))?;
    Ok(Work {
        argv: vec!["true".to_owned()],
        cwd: None,
        confine: Confine::Observe,
        timeout_ms: 1000,
        secrets: Arc::new(secrets),
        limits: Limits { below_full: BelowFull::RunAnyway, ..Limits::default() },
        aliases: None,
        layers: layers.to_vec(),
    })
}

fn one(layer: Layer) -> Result<(), Fault> {
    let work = work(&[layer])?;
    confine::enter(&work)?;
    match layer {
        Layer::Isolation => inside(isolated),
        Layer::Mounts => read_only(),
        Layer::Masks => masked(),
        Layer::Limits | Layer::Rights => {
            program::give_up(&work)?;
            if layer == Layer::Limits { limited() } else { without_rights() }
        }
        Layer::Landlock => {
            program::give_up(&work)?;
            landlock::apply(&work)?;
            locked()
        }
        Layer::Seccomp => {
            program::give_up(&work)?;
            filter::apply(&work)?;
            filtered()
        }
    }
}

fn whole() -> Result<(), Fault> {
    let work = work(&Layer::ALL)?;
    confine::enter(&work)?;
    inside(|| {
        program::give_up(&work)?;
        landlock::apply(&work)?;
        filter::apply(&work)?;
        isolated()?;
        read_only()?;
        masked()?;
        limited()?;
        without_rights()?;
        locked()?;
        filtered()
    })
}

/// Goes on in a child, which is the first process of the new PID namespace.
fn inside(check: impl FnOnce() -> Result<(), Fault>) -> Result<(), Fault> {
    apart(check)?.map_or(Ok(()), |text| Err(Fault::new("inside", text)))
}

fn expect(held: bool, step: &'static str) -> Result<(), Fault> {
    if held { Ok(()) } else { Err(Fault::new(step, "set up, but without effect")) }
}

fn isolated() -> Result<(), Fault> {
    expect(rustix::process::getpid().is_init(), "own processes")
}

fn read_only() -> Result<(), Fault> {
    for path in ["/", "/proc", "/dev"] {
        let stat = rustix::fs::statvfs(path).map_err(Fault::at("read-only"))?;
        expect(stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY), "read-only")?;
    }
    fs::write("/tmp/trial", "x").map_err(Fault::at("scratch space"))
}

fn masked() -> Result<(), Fault> {
    expect(fs::read(MASKED).map_err(Fault::at("mask"))?.is_empty(), "mask")
}

fn limited() -> Result<(), Fault> {
    expect(getrlimit(Resource::Core).maximum == Some(1), "core files")
}

fn without_rights() -> Result<(), Fault> {
    let sets = rustix::thread::capabilities(None).map_err(Fault::at("rights"))?;
    let few = CapabilitySet::DAC_READ_SEARCH.contains(sets.permitted | sets.inheritable);
    let nothing_new = rustix::thread::no_new_privs().map_err(Fault::at("rights"))?;
    expect(few && nothing_new && !rustix::process::geteuid().is_root(), "rights")
}

fn locked() -> Result<(), Fault> {
    // A process may always write its own name, were it not for Landlock (or a read-only /proc).
    expect(fs::OpenOptions::new().write(true).open("/proc/self/comm").is_err(), "landlock")
}

fn filtered() -> Result<(), Fault> {
    use rustix::net::{AddressFamily, SocketType, socket};
    let refused = socket(AddressFamily::UNIX, SocketType::STREAM, None).is_err();
    expect(refused, "system call filter")
}
