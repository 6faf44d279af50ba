//! Putting a new file, or none, in the place of one that is still as it was shown.
//!
//! Owns the one way in which a verb changes a file. Never writes into a file that is in use: it makes another one beside it and
//! swaps the two. Invariant: when it refuses, the file under that name is the one that was there; when the file that the swap took
//! out turns out not to be the one that was checked, the swap is taken back.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use legator_core::digest::Digest;
use legator_core::ids::TaskId;
use legator_core::time::Timestamp;
use legator_core::verbs::ABSENT;
use legator_wire::refusal::Refusal;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;

use super::open;
use super::state::{State, split};
use crate::cage::Secrets;
use crate::preimage::{Attributes, Image, Past, Store};
use crate::verbs::{Done, Step, Stop};

const NEW_MODE: u32 = 0o644;

/// Where, on whose behalf, and what must still be there.
pub(in crate::verbs) struct Target {
    pub(in crate::verbs) path: PathBuf,
    pub(in crate::verbs) task: TaskId,
    pub(in crate::verbs) expected: Digest,
    pub(in crate::verbs) now: Timestamp,
}

/// What is to be there.
pub(in crate::verbs) struct Content {
    pub(in crate::verbs) bytes: Vec<u8>,
    /// Owner, mode and extended attributes, where they are not those of the file before.
    pub(in crate::verbs) attributes: Attributes,
    /// The permission bits that were asked for.
    pub(in crate::verbs) mode: Option<u32>,
}

struct Place<'a> {
    dir: OwnedFd,
    name: &'a std::ffi::OsStr,
    beside: String,
    path: &'a Path,
}

fn io(doing: &str) -> impl Fn(Errno) -> Stop + '_ {
    move |error| Stop::failed(doing, error)
}

fn changed(path: &Path) -> Stop {
    Stop::Refused(
        Refusal::ChangedPreImage,
        format!("{} is not as it was shown to the approver", path.display()),
    )
}

/// Replaces a file by `content`, or deletes it.
pub(in crate::verbs) fn replace(
    target: &Target,
    content: Option<Content>,
    secrets: &Secrets,
    store: &Store,
) -> Step<Done> {
    let (dir, name) = split(&target.path)?;
    let dir = open::without_links(dir, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let place =
        Place { dir, name, beside: format!(".legator-{:032x}", target.task.bits()), path: &target.path };
    let (old_file, before) = look(&place, secrets)?;
    if before.digest != target.expected {
        return Err(changed(&target.path));
    }
    if content.is_none() && before.stat.is_none() {
        return Err(Stop::not_applicable(format!("{}: there is no such file", target.path.display())));
    }
    let attributes = match &old_file {
        Some(file) => Attributes::of(file).map_err(io("reading owner, mode and attributes"))?,
        None => Attributes::default(),
    };
    let after = content.as_ref().map_or(ABSENT, |content| Digest::of(&content.bytes));
    let past = Past::File {
        path: target.path.clone(),
        attributes: attributes.clone(),
        before: before.digest,
        after,
    };
    let image = Image { task: target.task, made_at: target.now, past, content: before.bytes.clone() };
    let kept = store.save(&image, before.stat.as_ref().map_or(0, |stat| stat.st_size as u64));
    let kept = kept.map_err(Stop::not_kept)?;
    let wanted = act(&place, &before, &attributes, content)?;
    rustix::fs::fsync(&place.dir).map_err(io("writing the directory to disk"))?;
    let (_, now) = look(&place, secrets)?;
    let verified = now.digest == after && wanted.is_none_or(|wanted| wanted.matches(&now));
    let done = Done::changed(before.brief(), now.brief(), verified);
    Ok(if kept { done } else { done.detail("the file was too large to keep a copy: it cannot be undone") })
}

/// Owner and mode that the new file must have.
struct Wanted {
    mode: u32,
    owner: Option<(u32, u32)>,
}

impl Wanted {
    fn matches(&self, state: &State) -> bool {
        state.stat.as_ref().is_some_and(|stat| {
            let owner = self.owner.is_none_or(|owner| owner == (stat.st_uid, stat.st_gid));
            stat.st_mode & 0o7777 == self.mode && owner
        })
    }
}

/// What is under the name now; a link or anything but a regular file with one name is refused.
fn look(place: &Place<'_>, secrets: &Secrets) -> Step<(Option<File>, State)> {
    if secrets.hides(place.path) {
        return Err(open::secret(place.path));
    }
    let dir =
        File::from(place.dir.try_clone().map_err(|error| Stop::failed("opening the directory", error))?);
    if open::is_kernel_file_system(&dir) {
        let hint = "is on a file system of the kernel; settings are changed by sysctl.set";
        return Err(Stop::not_applicable(format!("{} {hint}", place.path.display())));
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = match rustix::fs::openat(&place.dir, place.name, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok((None, State::absent(place.path))),
        Err(error) => return Err(Stop::failed(&format!("opening {}", place.path.display()), error)),
    };
    let mut file = open::reopen(fd, place.path, secrets)?;
    let state = State::of(&mut file, place.path)?;
    if state.stat.as_ref().is_some_and(|stat| stat.st_nlink > 1) {
        let why = "has more than one name (hard links): replacing it would part them";
        return Err(Stop::not_applicable(format!("{} {why}", place.path.display())));
    }
    Ok((Some(file), state))
}

fn act(
    place: &Place<'_>,
    before: &State,
    attributes: &Attributes,
    content: Option<Content>,
) -> Step<Option<Wanted>> {
    let Some(content) = content else {
        rename(place, Way::Out)?;
        return settle(place, before, Way::Out, None).map(|()| None);
    };
    let attributes = if content.attributes.is_empty() { attributes } else { &content.attributes };
    let mode = content.mode.or(attributes.mode).unwrap_or(NEW_MODE);
    let way = if before.stat.is_some() { Way::Swap } else { Way::In };
    let mut file = create(place)?;
    let swapped = fill(&mut file, &content.bytes, attributes, mode).and_then(|()| rename(place, way));
    if let Err(stop) = swapped {
        discard(place);
        return Err(stop);
    }
    settle(place, before, way, Some(file)).map(|()| Some(Wanted { mode, owner: attributes.owner }))
}

/// Removes the new file, which never came into its place.
fn discard(place: &Place<'_>) {
    let _ = rustix::fs::unlinkat(&place.dir, place.beside.as_str(), AtFlags::empty());
}

/// Makes the new file beside the old one. A file that is there already is somebody else's.
fn create(place: &Place<'_>) -> Step<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&place.dir, place.beside.as_str(), flags, Mode::RUSR | Mode::WUSR);
    fd.map(File::from).map_err(io("making the new file"))
}

/// Fills the new file and puts it on disk.
fn fill(file: &mut File, bytes: &[u8], attributes: &Attributes, mode: u32) -> Step<()> {
    file.write_all(bytes).map_err(|error| Stop::failed("writing the new file", error))?;
    if let Some((uid, gid)) = attributes.owner {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::fchown(&*file, uid, gid).map_err(io("setting the owner"))?;
    }
    attributes.put_xattrs(file).map_err(io("setting extended attributes"))?;
    rustix::fs::fchmod(&*file, Mode::from_raw_mode(mode)).map_err(io("setting the mode"))?;
    file.sync_all().map_err(|error| Stop::failed("writing the new file to disk", error))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A new name.
    In,
    /// The new file for the old one.
    Swap,
    /// The old file away.
    Out,
}

fn rename(place: &Place<'_>, way: Way) -> Step<()> {
    let (name, beside) = (Path::new(place.name), Path::new(&place.beside));
    let (from, to, flags) = match way {
        Way::In => (beside, name, RenameFlags::NOREPLACE),
        Way::Swap => (beside, name, RenameFlags::EXCHANGE),
        Way::Out => (name, beside, RenameFlags::NOREPLACE),
    };
    match rustix::fs::renameat_with(&place.dir, from, &place.dir, to, flags) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST | Errno::NOENT) => Err(changed(place.path)),
        Err(error) => Err(Stop::failed("putting the file in its place", error)),
    }
}

/// Looks at what the swap took out: it must be what was checked, else it is put back.
fn settle(place: &Place<'_>, before: &State, way: Way, ours: Option<File>) -> Step<()> {
    if way == Way::In {
        return Ok(());
    }
    if !is_same(place, before) {
        // The same swap again puts back what was there; moving out is taken back by moving in.
        rename(place, if way == Way::Out { Way::In } else { way })?;
        if let Some(ours) = ours {
            put_back(place, &ours);
        }
        return Err(changed(place.path));
    }
    rustix::fs::unlinkat(&place.dir, place.beside.as_str(), AtFlags::empty())
        .map_err(io("removing the old file"))
}

/// After the swap back, the new file lies beside again and goes. If it does not, somebody put a still newer one in its place
/// meanwhile: that one is what they want to be there.
fn put_back(place: &Place<'_>, ours: &File) {
    let beside = rustix::fs::statat(&place.dir, place.beside.as_str(), AtFlags::SYMLINK_NOFOLLOW);
    let own = rustix::fs::fstat(ours);
    match (beside, own) {
        (Ok(beside), Ok(own)) if (beside.st_dev, beside.st_ino) == (own.st_dev, own.st_ino) => discard(place),
        _ => {
            let _ = rustix::fs::renameat(&place.dir, place.beside.as_str(), &place.dir, place.name);
        }
    }
}

fn is_same(place: &Place<'_>, before: &State) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(fd) = rustix::fs::openat(&place.dir, place.beside.as_str(), flags, Mode::empty()) else {
        return false;
    };
    let Ok(now) = State::of(&mut File::from(fd), place.path) else { return false };
    let ids = |state: &State| state.stat.as_ref().map(|stat| (stat.st_dev, stat.st_ino));
    ids(&now) == ids(before) && now.digest == before.digest
}
