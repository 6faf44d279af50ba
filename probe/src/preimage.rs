//! States to go back to: what a change found, kept on this host for `task.undo`.
//!
//! Owns the folder `preimages` of the probe's state. Never sends one away.
//! Invariant: at most 8 MiB each, 256 MiB in all and 30 days old; readable by the probe's user alone; the oldest go first.

mod attributes;
#[cfg(test)]
mod tests;

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use legator_core::digest::Digest;
use legator_core::ids::TaskId;
use legator_core::span::Span;
use legator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

pub use attributes::Attributes;

/// The most bytes of one content.
pub const CONTENT_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The most bytes in all.
pub const TOTAL_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How long one is kept.
pub const KEPT_FOR: Span = Span::from_secs(30 * 86_400);

/// What a task found, and what it left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Past {
    /// A file.
    File {
        /// Where.
        path: PathBuf,
        /// Owner, mode and extended attributes.
        attributes: Attributes,
        /// The digest of the content before; of 32 zero bytes where there was no file.
        before: Digest,
        /// The digest after.
        after: Digest,
    },
    /// Whether a service ran, or was started at boot.
    Service {
        /// Which.
        name: String,
        /// Whether this is about boot; else about now.
        boot: bool,
        /// Before.
        before: bool,
        /// After.
        after: bool,
    },
    /// A kernel setting.
    Sysctl {
        /// Which.
        key: String,
        /// Before.
        before: String,
        /// After.
        after: String,
    },
    /// A package that was not installed.
    Package {
        /// Which.
        name: String,
        /// The version that was installed.
        after: String,
    },
}

/// A state to go back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The task that changed it.
    pub task: TaskId,
    /// When.
    pub made_at: Timestamp,
    /// What was found.
    pub past: Past,
    /// The content of a file; stands in a file of its own.
    #[serde(skip)]
    pub content: Vec<u8>,
}

/// The folder of pre-images. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    dir: Arc<PathBuf>,
    // Two tasks must not make room at the same time.
    writing: Arc<Mutex<()>>,
    total_bytes_max: u64,
}

impl Store {
    /// The store of a probe that keeps its state in this folder.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let dir = state_dir.join("preimages");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self { dir: Arc::new(dir), writing: Arc::default(), total_bytes_max: TOTAL_BYTES_MAX })
    }

    /// Keeps an image, on disk before it returns. False when its content of `size` bytes is too large to be kept.
    ///
    /// # Errors
    /// The disk.
    pub fn save(&self, image: &Image, size: u64) -> io::Result<bool> {
        if size > CONTENT_BYTES_MAX {
            return Ok(false);
        }
        let _writing = self.writing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let facts = serde_json::to_vec(image)?;
        self.make_room(image.made_at, size + facts.len() as u64)?;
        self.put(&self.content_path(image.task), &image.content)?;
        self.put(&self.facts_path(image.task), &facts)?;
        fs::File::open(&*self.dir)?.sync_all()?;
        Ok(true)
    }

    /// The image of a task; nothing when it is gone, too old or damaged.
    pub fn load(&self, task: TaskId, now: Timestamp) -> Option<Image> {
        let facts = fs::read(self.facts_path(task)).ok()?;
        let mut image: Image = serde_json::from_slice(&facts).ok()?;
        image.content = fs::read(self.content_path(task)).ok()?;
        let whole = match &image.past {
            Past::File { before, .. } if *before != legator_core::verbs::ABSENT => {
                *before == Digest::of(&image.content)
            }
            _ => image.content.is_empty(),
        };
        (whole && image.task == task && now.since(image.made_at) <= KEPT_FOR).then_some(image)
    }

    fn facts_path(&self, task: TaskId) -> PathBuf {
        self.dir.join(format!("{task}.json"))
    }

    fn content_path(&self, task: TaskId) -> PathBuf {
        self.dir.join(format!("{task}.bin"))
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let beside = path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    }

    /// Removes what is too old, then the oldest until `bytes` more fit.
    fn make_room(&self, now: Timestamp, bytes: u64) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&*self.dir)? {
            let entry = entry?;
            let task = entry.path().file_stem().and_then(|stem| stem.to_str()?.parse::<TaskId>().ok());
            let Some(task) = task.filter(|_| entry.path().extension().is_some_and(|ext| ext == "json"))
            else {
                continue;
            };
            let made_at =
                fs::read(entry.path()).ok().and_then(|facts| serde_json::from_slice::<Image>(&facts).ok());
            kept.push((made_at.map_or(Timestamp::EPOCH, |image| image.made_at), task, self.size(task)));
        }
        kept.sort();
        let mut total: u64 = kept.iter().map(|(_, _, size)| size).sum::<u64>() + bytes;
        for (made_at, task, size) in kept {
            if now.since(made_at) <= KEPT_FOR && total <= self.total_bytes_max {
                break;
            }
            fs::remove_file(self.facts_path(task))?;
            let _ = fs::remove_file(self.content_path(task));
            total -= size;
        }
        Ok(())
    }

    fn size(&self, task: TaskId) -> u64 {
        let size = |path: PathBuf| fs::metadata(path).map_or(0, |meta| meta.len());
        size(self.facts_path(task)) + size(self.content_path(task))
    }
}
