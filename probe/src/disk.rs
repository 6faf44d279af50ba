//! Files of the state folder: written whole or not at all, read up to a limit.
//!
//! Owns fsync and rename. Invariant: after `replace` returns, the new content survives a crash; before, the old one does.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::error::ProbeError;

/// Makes a folder that only its owner enters; those above it are made as usual, so that another owner can reach it.
pub fn private_folder(path: &Path) -> Result<(), ProbeError> {
    if !path.is_dir() {
        if let Some(above) = path.parent() {
            fs::create_dir_all(above).map_err(ProbeError::file("make", above))?;
        }
        fs::DirBuilder::new().mode(0o700).create(path).map_err(ProbeError::file("make", path))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(ProbeError::file("close", path))
}

/// Replaces a file's content, durably.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), ProbeError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let fresh = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        sync_folder(path)
    };
    write().map_err(ProbeError::file("write", path))
}

/// Makes a rename in this file's folder durable.
pub fn sync_folder(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// A file's content, if there is such a file; an error when it is larger than `bytes_max` or cannot be read.
pub fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, ProbeError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ProbeError::file("read", path)(error)),
    };
    let mut content = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut content).map_err(ProbeError::file("read", path))?;
    if content.len() as u64 > bytes_max {
        let detail = format!("larger than {bytes_max} bytes");
        return Err(ProbeError::State { path: path.to_path_buf(), detail });
    }
    Ok(Some(content))
}

/// A text file's first bytes, lossy; nothing when it cannot be read. For files of the system.
pub fn glimpse(path: impl AsRef<Path>, bytes_max: u64) -> Option<String> {
    let mut content = Vec::new();
    File::open(path).ok()?.take(bytes_max).read_to_end(&mut content).ok()?;
    Some(String::from_utf8_lossy(&content).into_owned())
}

/// Bytes that are available where this path is; what cannot be asked counts as none.
pub fn available(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}
