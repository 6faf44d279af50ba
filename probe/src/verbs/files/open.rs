//! Opening files for the verbs, so that what was checked is what is used.
//!
//! Owns the refusals of what no verb reads. Invariant: a descriptor given out for reading is of a regular file, is not on the list
//! of secrets and was opened without an effect on anybody (no FIFO, no device, no change of the time of access where allowed).

use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use legator_wire::refusal::Refusal;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::cage::Secrets;
use crate::verbs::{Step, Stop};

/// Names below `/proc` and `/proc/<pid>` whose reading tells no secret and changes nothing.
const PROC_READABLE: &[&str] = &[
    "buddyinfo",
    "cgroup",
    "cgroups",
    "cmdline",
    "comm",
    "consoles",
    "cpuinfo",
    "devices",
    "diskstats",
    "filesystems",
    "interrupts",
    "io",
    "limits",
    "loadavg",
    "locks",
    "mdstat",
    "meminfo",
    "modules",
    "mountinfo",
    "mounts",
    "oom_score",
    "oom_score_adj",
    "partitions",
    "sched",
    "schedstat",
    "smaps_rollup",
    "softirqs",
    "stat",
    "statm",
    "status",
    "swaps",
    "uptime",
    "version",
    "vmstat",
    "zoneinfo",
];
const PROC_MAGIC: u64 = 0x9fa0;
const SYS_MAGIC: u64 = 0x6265_6572;
/// Kernel file systems on which reading can take data from others or show the kernel's insides: debugfs, tracefs, securityfs,
/// pstore, bpf, efivarfs, binfmt_misc, configfs, mqueue, FUSE control.
const CLOSED_MAGIC: &[u64] = &[
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x6165_676c,
    0xcafe_4a11,
    0xde5e_81e4,
    0x4249_4e4d,
    0x6265_6570,
    0x1980_0202,
    0x6573_5543,
];

pub(in crate::verbs) fn secret(path: &Path) -> Stop {
    Stop::Refused(Refusal::Secret, format!("{} is on this host's list of secrets", path.display()))
}

/// Opens a path; links are followed, but for those of `/proc` that lead out of it.
pub(in crate::verbs) fn by_path(path: &Path, flags: OFlags) -> Step<OwnedFd> {
    resolve(path, flags, ResolveFlags::NO_MAGICLINKS)
}

/// Opens a path in which no part may be a link.
pub(in crate::verbs) fn without_links(path: &Path, flags: OFlags) -> Step<OwnedFd> {
    resolve(path, flags, ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS)
}

fn resolve(path: &Path, flags: OFlags, how: ResolveFlags) -> Step<OwnedFd> {
    let opened = rustix::fs::openat2(CWD, path, flags | OFlags::CLOEXEC, Mode::empty(), how);
    opened.map_err(|error| cannot(path, error))
}

fn cannot(path: &Path, error: Errno) -> Stop {
    let shown = path.display();
    match error {
        Errno::LOOP => Stop::not_applicable(match path.canonicalize() {
            Ok(real) => format!("{shown} goes through a link; name the file itself: {}", real.display()),
            Err(_) => format!("{shown} goes through a link that this verb does not follow"),
        }),
        Errno::NOENT => Stop::not_applicable(format!("{shown}: there is no such file")),
        Errno::NOTDIR => Stop::not_applicable(format!("{shown}: a part of it is no directory")),
        Errno::NOSYS => {
            Stop::not_applicable("the kernel is older than 5.6 and cannot open files safely (openat2)")
        }
        error => Stop::failed(&format!("opening {shown}"), error),
    }
}

/// Opens a file to read it; links are followed.
pub(in crate::verbs) fn for_reading(path: &Path, secrets: &Secrets) -> Step<File> {
    let place = by_path(path, OFlags::PATH)?;
    reopen(place, path, secrets)
}

/// Opens for reading what a path descriptor stands for: the same inode, whatever its name leads to by now.
pub(in crate::verbs) fn reopen(place: OwnedFd, path: &Path, secrets: &Secrets) -> Step<File> {
    let place = File::from(place);
    check_kind(&place, path)?;
    if secrets.hides_file(&place) {
        return Err(secret(path));
    }
    read_only(&place, path)
}

/// Opens for reading the inode that a path descriptor stands for. The caller has looked, or looks, whether it may be told.
pub(in crate::verbs) fn read_only(place: &File, path: &Path) -> Step<File> {
    let own = format!("/proc/self/fd/{}", place.as_raw_fd());
    let open =
        |extra: OFlags| rustix::fs::open(&*own, OFlags::RDONLY | OFlags::CLOEXEC | extra, Mode::empty());
    // Not every file system, nor every user, can leave the time of access alone.
    let file = open(OFlags::NOATIME).or_else(|_| open(OFlags::empty()));
    file.map(File::from).map_err(|error| Stop::failed(&format!("opening {}", path.display()), error))
}

/// Refuses what is no regular file, and files of the kernel whose reading does more than read.
pub(in crate::verbs) fn check_kind(place: &File, path: &Path) -> Step<()> {
    let shown = path.display();
    let fault = |error: Errno| Stop::failed(&format!("looking at {shown}"), error);
    let stat = rustix::fs::fstat(place).map_err(fault)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::RegularFile {
        return Err(Stop::not_applicable(format!(
            "{shown} is no regular file but a {}",
            super::state::kind(kind)
        )));
    }
    let magic = file_system(place).map_err(fault)?;
    let readable = match magic {
        PROC_MAGIC => readable_in_proc(place),
        magic => !CLOSED_MAGIC.contains(&magic),
    };
    match readable {
        true => Ok(()),
        false => Err(Stop::Refused(
            Refusal::Secret,
            format!("{shown} is a file of the kernel that no file verb reads"),
        )),
    }
}

fn file_system(place: &File) -> rustix::io::Result<u64> {
    let magic = rustix::fs::fstatfs(place)?.f_type;
    // The field is signed on some architectures; the magic numbers have 32 bits.
    Ok(magic as u64 & 0xffff_ffff)
}

/// Whether the file lies on a file system of the kernel's own, on which nothing can be replaced.
pub(in crate::verbs) fn is_kernel_file_system(place: &File) -> bool {
    file_system(place)
        .is_ok_and(|magic| magic == PROC_MAGIC || magic == SYS_MAGIC || CLOSED_MAGIC.contains(&magic))
}

fn readable_in_proc(place: &File) -> bool {
    let Ok(real) = std::fs::read_link(format!("/proc/self/fd/{}", place.as_raw_fd())) else { return false };
    let text = real.to_string_lossy();
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    let setting = text.starts_with("/proc/sys/") && name != "stable_secret";
    let net = text.contains("/net/") && text.starts_with("/proc/") && !text.starts_with("/proc/sys/");
    setting || net || PROC_READABLE.contains(&&*name)
}
