//! What is installed, as the package databases on disk say.
//!
//! Owns the reading of dpkg's and apk's files. Invariant: a package that is only half there does not count as installed.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use crate::verbs::{Step, Stop};

const DPKG: &str = "/var/lib/dpkg/status";
const APK: &str = "/lib/apk/db/installed";
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Which database this host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Database {
    Dpkg,
    Rpm,
    Apk,
}

impl Database {
    pub(super) fn here() -> Option<Self> {
        let rpm = ["/var/lib/rpm", "/usr/lib/sysimage/rpm"].iter().any(|dir| Path::new(dir).is_dir());
        if Path::new(DPKG).is_file() {
            Some(Self::Dpkg)
        } else if Path::new(APK).is_file() {
            Some(Self::Apk)
        } else {
            rpm.then_some(Self::Rpm)
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Dpkg => "dpkg",
            Self::Rpm => "rpm",
            Self::Apk => "apk",
        }
    }

    /// Names and versions, from its file. Nothing for rpm, whose database is no text.
    pub(super) fn read(self) -> Step<Vec<(String, String)>> {
        let path = match self {
            Self::Dpkg => DPKG,
            Self::Apk => APK,
            Self::Rpm => return Ok(Vec::new()),
        };
        let mut bytes = Vec::new();
        let read = fs::File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes));
        read.map_err(|error| Stop::failed(&format!("reading {path}"), error))?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(if self == Self::Dpkg { dpkg(&text) } else { apk(&text) })
    }
}

fn field<'a>(paragraph: &'a str, name: &str) -> Option<&'a str> {
    paragraph.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Paragraphs of `/var/lib/dpkg/status`.
pub(in crate::verbs) fn dpkg(text: &str) -> Vec<(String, String)> {
    let paragraphs = text.split("\n\n");
    let installed = paragraphs
        .filter(|each| field(each, "Status:").is_some_and(|status| status.ends_with(" ok installed")));
    installed
        .filter_map(|each| Some((field(each, "Package:")?.to_owned(), field(each, "Version:")?.to_owned())))
        .collect()
}

/// Paragraphs of apk's `installed`: `P:` is the name, `V:` the version.
pub(in crate::verbs) fn apk(text: &str) -> Vec<(String, String)> {
    text.split("\n\n")
        .filter_map(|each| Some((field(each, "P:")?.to_owned(), field(each, "V:")?.to_owned())))
        .collect()
}

/// Lines of a name and a version.
pub(in crate::verbs) fn pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(name, version)| (name.to_owned(), version.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_installed_packages_do_not_count() {
        let text = "Package: a\nStatus: install ok installed\nVersion: 1:2-3\n\n\
                    Package: b\nStatus: deinstall ok config-files\nVersion: 1\n\n\
                    Package: c\nStatus: install ok half-configured\nVersion: 1\n\n";
        assert_eq!(dpkg(text), [("a".to_owned(), "1:2-3".to_owned())]);
        assert_eq!(apk("C:x\nP:musl\nV:1.2\n\nP:b\nV:3\n").len(), 2);
        assert_eq!(pairs("bash 5.1-2\nodd\n"), [("bash".to_owned(), "5.1-2".to_owned())]);
    }
}
