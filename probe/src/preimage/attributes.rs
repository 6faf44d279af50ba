//! Owner, mode and extended attributes of a file.
//!
//! Owns reading and setting them by descriptor. Invariant: what was read is set again byte by byte.

use std::fs::File;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// Lists and values of attributes that are larger than the kernel's own limit do not exist.
const XATTR_BYTES_MAX: usize = 64 * 1024;

/// What stays when the content of a file changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attributes {
    /// Permission bits.
    #[serde(default)]
    pub mode: Option<u32>,
    /// User and group.
    #[serde(default)]
    pub owner: Option<(u32, u32)>,
    /// Extended attributes: names, and values in base64.
    #[serde(default)]
    pub xattrs: Vec<(String, String)>,
}

impl Attributes {
    /// Those of an open file.
    ///
    /// # Errors
    /// The kernel's.
    pub fn of(file: &File) -> Result<Self, Errno> {
        let stat = rustix::fs::fstat(file)?;
        let mut xattrs = Vec::new();
        for name in names(file)? {
            let mut value = vec![0; XATTR_BYTES_MAX];
            let length = rustix::fs::fgetxattr(file, name.as_str(), value.as_mut_slice())?;
            xattrs.push((name, STANDARD.encode(value.get(..length).unwrap_or_default())));
        }
        Ok(Self { mode: Some(stat.st_mode & 0o7777), owner: Some((stat.st_uid, stat.st_gid)), xattrs })
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Sets the extended attributes of an open file.
    ///
    /// # Errors
    /// The kernel's.
    pub fn put_xattrs(&self, file: &File) -> Result<(), Errno> {
        for (name, value) in &self.xattrs {
            let value = STANDARD.decode(value).map_err(|_| Errno::INVAL)?;
            rustix::fs::fsetxattr(file, name.as_str(), &value, XattrFlags::empty())?;
        }
        Ok(())
    }
}

fn names(file: &File) -> Result<Vec<String>, Errno> {
    let mut list = vec![0_u8; XATTR_BYTES_MAX];
    let length = match rustix::fs::flistxattr(file, list.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let names =
        list.get(..length).unwrap_or_default().split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}
