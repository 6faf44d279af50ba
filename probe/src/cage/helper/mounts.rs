//! The view of the files inside the cage.
//!
//! Owns the mounts: all read-only, private scratch space, a minimal `/dev`, open write paths, masks over secrets.
//! Never changes a mount of the host: everything happens in a namespace of its own that propagates nothing.
//! Invariant: after `build`, a mount that is writable is scratch space or was named in the order.

mod aliases;

use super::super::Layer;
use super::super::NAMED_TWICE;
use super::super::order::Work;
use super::super::secrets::Found;
use super::super::sys::{MountChange, Reach, mount_setattr};
use super::Fault;
use aliases::Mounts;
use rustix::fs::CWD;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount, mount_bind, move_mount, open_tree};
use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The device nodes that a program gets.
const NODES: &[&str] = &["null", "zero", "full", "random", "urandom"];
/// What is mounted over a secret.
const EMPTY_FILE: &str = "/dev/.empty";
const EMPTY_FOLDER: &str = "/dev/.none";

/// Scratch space of the program.
pub(super) const SCRATCH: &[&str] = &["/tmp", "/dev/shm"];

/// Builds the view that was ordered. The process has to be in a mount namespace of its own.
pub(super) fn build(work: &Work) -> Result<(), Fault> {
    let private = MountChange { set: 0, propagation: libc::MS_PRIVATE };
    mount_setattr(c"/", Reach::All, private).map_err(Fault::at("mounts: own propagation"))?;
    if work.has(Layer::Mounts) {
        read_only(work)?;
    }
    if work.has(Layer::Masks) {
        mask(work)?;
    }
    Ok(())
}

fn read_only(work: &Work) -> Result<(), Fault> {
    let nodes = NODES.iter().map(|name| Ok((*name, copy(&format!("/dev/{name}"), OpenTreeFlags::empty())?)));
    let nodes = nodes.collect::<Result<Vec<_>, Fault>>()?;
    let open = work.write().iter().map(|path| Ok((path.as_str(), writable(path)?)));
    let open = open.collect::<Result<Vec<_>, Fault>>()?;
    let set = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    let change = MountChange { set, propagation: 0 };
    mount_setattr(c"/", Reach::All, change).map_err(Fault::at("mounts: read-only"))?;
    if !opens(work, "/tmp") {
        scratch("/tmp", work.limits.scratch_bytes)?;
    }
    if !opens(work, "/dev") {
        devices(&nodes, work.limits.scratch_bytes)?;
    }
    for (path, tree) in &open {
        place(tree, path)?;
    }
    Ok(())
}

/// Whether a write path covers this place of the cage's own.
fn opens(work: &Work, place: &str) -> bool {
    work.write().iter().any(|path| Path::new(place).starts_with(path))
}

/// A detached copy of the mount at a path.
fn copy(path: &str, more: OpenTreeFlags) -> Result<OwnedFd, Fault> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | more;
    open_tree(CWD, path, flags).map_err(|error| Fault::new(format!("mounts: {path}"), error))
}

/// A detached copy of a path that may be written. The approver approved this path, so no link may lead elsewhere.
fn writable(path: &str) -> Result<OwnedFd, Fault> {
    let step = || format!("write path {path}");
    let real = fs::canonicalize(path).map_err(|error| Fault::new(step(), error))?;
    if real != Path::new(path) {
        return Err(Fault::new(step(), format!("a link leads to {}: name that", real.display())));
    }
    copy(path, OpenTreeFlags::AT_RECURSIVE)
}

fn place(tree: &OwnedFd, path: &str) -> Result<(), Fault> {
    move_mount(tree, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(|error| Fault::new(format!("mounts: {path}"), error))
}

fn scratch(path: &str, bytes: u64) -> Result<(), Fault> {
    let options = CString::new(format!("mode=1777,size={bytes},nr_inodes=16384"));
    tmpfs(path, &options.map_err(Fault::at("mounts"))?)
}

fn tmpfs(path: &str, options: &CStr) -> Result<(), Fault> {
    mount("tmpfs", path, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, options)
        .map_err(|error| Fault::new(format!("mounts: {path}"), error))
}

/// A `/dev` with the harmless nodes only; no terminals, disks, kernel log, queues or log socket.
fn devices(nodes: &[(&str, OwnedFd)], bytes: u64) -> Result<(), Fault> {
    tmpfs("/dev", c"mode=755,size=64k,nr_inodes=64")?;
    for (name, node) in nodes {
        let path = format!("/dev/{name}");
        fs::File::create(&path).map_err(Fault::at("mounts: /dev"))?;
        place(node, &path)?;
    }
    let links = [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")];
    for (name, end) in links {
        symlink(format!("/proc/self/fd{end}"), format!("/dev/{name}")).map_err(Fault::at("mounts: /dev"))?;
    }
    fs::create_dir("/dev/shm").map_err(Fault::at("mounts: /dev/shm"))?;
    scratch("/dev/shm", bytes)?;
    fs::File::create(EMPTY_FILE).map_err(Fault::at("mounts: /dev"))?;
    fs::create_dir(EMPTY_FOLDER).map_err(Fault::at("mounts: /dev"))?;
    close(c"/dev")
}

fn close(path: &CStr) -> Result<(), Fault> {
    let change = MountChange { set: libc::MOUNT_ATTR_RDONLY, propagation: 0 };
    mount_setattr(path, Reach::One, change).map_err(Fault::at("mounts: read-only /dev"))
}

/// Empty files and folders over every secret that is there, under each name that a mount gives it.
fn mask(work: &Work) -> Result<(), Fault> {
    let own_dev = work.has(Layer::Mounts) && !opens(work, "/dev");
    let stage = if own_dev { None } else { Some(stage()?) };
    let (file, folder) = match &stage {
        None => (PathBuf::from(EMPTY_FILE), PathBuf::from(EMPTY_FOLDER)),
        Some(stage) => (stage.join("file"), stage.join("folder")),
    };
    let mounts = Mounts::read().map_err(Fault::at("masks: mounts"))?;
    let mut found = work.secrets.found().map_err(Fault::at("masks"))?;
    // A change that was approved to write there works on the real file; the probe's own stays hidden from it too.
    let opened = |path: &Path| work.write().iter().any(|open| path.starts_with(open));
    found.retain(|secret| !opened(&secret.path) || work.secrets.is_own(&secret.path));
    // Before anything is covered, while every name can still be looked at.
    let aliases = aliases(work, &found)?;
    for secret in &found {
        let cover = if secret.is_folder() { &folder } else { &file };
        for path in mounts.names_of(&secret.path, secret.inode) {
            cover_with(cover, &path)?;
        }
    }
    aliases.iter().try_for_each(|path| cover_with(&file, path))
}

/// The second names of these secrets; a fault when one of them is not known.
fn aliases<'a>(work: &'a Work, found: &[Found]) -> Result<Vec<&'a Path>, Fault> {
    let Some(known) = &work.aliases else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for linked in found.iter().flat_map(|secret| work.secrets.linked(secret)) {
        let names = linked.all_of(known).ok_or_else(|| {
            let path = linked.path.display();
            Fault::new(
                NAMED_TWICE,
                format!("{path} has another name (a hard link) that cannot be found to hide it"),
            )
        })?;
        all.extend(names.into_iter().filter(|name| *name != linked.path));
    }
    Ok(all)
}

fn cover_with(cover: &Path, path: &Path) -> Result<(), Fault> {
    let step = || format!("masks: {}", path.display());
    match mount_bind(cover, path).map_err(io::Error::from) {
        Ok(()) => {}
        // Gone since it was found.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Fault::new(step(), error)),
    }
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|error| Fault::new(step(), error))?;
    let change = MountChange { set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID, propagation: 0 };
    mount_setattr(&path, Reach::One, change).map_err(|error| Fault::new(step(), error))
}

/// Where the empty file and folder come from when `/dev` is the host's own: a file system that covers `/dev/shm`.
fn stage() -> Result<PathBuf, Fault> {
    let place = PathBuf::from("/dev/shm");
    tmpfs("/dev/shm", c"mode=1777,size=64m,nr_inodes=1024")?;
    let inside = place.join(".legator");
    fs::create_dir(&inside).map_err(Fault::at("masks"))?;
    fs::File::create(inside.join("file")).map_err(Fault::at("masks"))?;
    fs::create_dir(inside.join("folder")).map_err(Fault::at("masks"))?;
    Ok(inside)
}
