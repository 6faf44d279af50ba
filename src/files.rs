//! How many files this process may have open: each connection is one.
//!
//! Owns the raising of that limit to what the system allows.

/// Raises the limit to its hard maximum and says what it is then.
pub(crate) fn raise_limit() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum.or(limit.current);
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(65_536)
}
