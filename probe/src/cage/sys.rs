//! The system calls of the cage that have no safe wrapper: fork, unshare, mount_setattr, close_range, prctl.
//!
//! Owns every `unsafe` block of the product, each with its proof. Never decides anything.
//! Invariant: `fork` is only called while the process has one thread, and checks that itself.

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::UnshareFlags;
use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::os::fd::OwnedFd;

/// Which side of a fork this is.
pub(super) enum Forked {
    /// The new process.
    Child,
    /// The old one, with the new one's id.
    Parent(Pid),
}

/// Splits the process in two.
pub(super) fn fork() -> io::Result<Forked> {
    if std::fs::read_dir("/proc/self/task")?.take(2).count() != 1 {
        return Err(io::Error::other("fork with more than one thread"));
    }
    // SAFETY: the process has one thread (checked above, and only a thread could start another), so no lock is held
    // by a thread that the child lacks, and the child may allocate and use std as the parent may.
    let pid = unsafe { libc::fork() };
    match pid {
        0 => Ok(Forked::Child),
        pid => {
            Pid::from_raw(pid).filter(|_| pid > 0).map(Forked::Parent).ok_or_else(io::Error::last_os_error)
        }
    }
}

/// Moves this process into new namespaces.
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    if flags.contains(UnshareFlags::FILES) {
        return Err(Errno::INVAL.into());
    }
    // SAFETY: the one hazard of unshare is a private descriptor table beside another thread's; FILES is refused above.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// What to change on a mount.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MountChange {
    /// `MOUNT_ATTR_…` to set.
    pub(super) set: u64,
    /// `MS_PRIVATE` or nothing.
    pub(super) propagation: u64,
}

/// How far a change of a mount reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The mount at the path.
    One,
    /// It and every mount below it.
    All,
}

/// `mount_setattr(2)` on the mount at a path.
pub(super) fn mount_setattr(path: &CStr, reach: Reach, change: MountChange) -> io::Result<()> {
    let attr =
        libc::mount_attr { attr_set: change.set, attr_clr: 0, propagation: change.propagation, userns_fd: 0 };
    let flags = if reach == Reach::All { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `path` is a NUL-terminated string and `attr` a fully initialised struct, both alive over the call; the
    // size passed is that of the struct, and the kernel only reads from both.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Marks every descriptor above the three standard ones to be closed by the next exec.
pub(super) fn close_on_exec_all() -> io::Result<()> {
    // SAFETY: with CLOSE_RANGE_CLOEXEC no descriptor is closed now, so none that Rust owns is closed under it; only
    // their close-on-exec flag changes, which no owner relies on being unset.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return Ok(());
    }
    mark_one_by_one()
}

/// The same for kernels before 5.11.
fn mark_one_by_one() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let Some(fd) = name.to_str().and_then(|name| name.parse::<i32>().ok()).filter(|fd| *fd > 2) else {
            continue;
        };
        // SAFETY: F_SETFD changes a flag of a descriptor number; a number that is closed meanwhile answers EBADF.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// Takes descriptor 0 away from the standard library: a copy that exec closes.
pub(super) fn take_stdin() -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 10)?)
}
