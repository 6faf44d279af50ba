//! Opening the database: where it is, its connections, its schema.
//!
//! Owns the settings of SQLite: write-ahead log, full synchronisation, one connection that writes, a pool that reads.
//! Invariant: a database with a step that this binary does not know is not touched.

use crate::{StoreError, sql};
use legator_core::clock::Clock;
use legator_core::ids::Ids;
use legator_migrations::{Migrator, MigratorTrait};
use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Connections that read at the same time.
const READERS: u32 = 4;
/// How long a statement waits for another process that holds the database.
const BUSY_MS: u64 = 10_000;

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file, made when it is missing.
    File(PathBuf),
    /// Nowhere lasting: a private file in memory-backed storage, removed when the store is dropped.
    Memory,
}

/// What a store needs.
#[derive(Clone)]
pub struct Options {
    /// Where the database is.
    pub place: Place,
    /// The key that seals rows; never in the database.
    pub seal_key: [u8; 32],
    /// Keys that sealed rows before; they still verify.
    pub older_seal_keys: Vec<[u8; 32]>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of ids.
    pub ids: Arc<dyn Ids>,
}

impl Options {
    /// A store in a file, with the real clock and ids.
    pub fn file(path: impl Into<PathBuf>, seal_key: [u8; 32]) -> Self {
        Self::at(Place::File(path.into()), seal_key)
    }

    /// A store that lasts as long as the process, with the real clock and ids.
    pub fn memory(seal_key: [u8; 32]) -> Self {
        Self::at(Place::Memory, seal_key)
    }

    fn at(place: Place, seal_key: [u8; 32]) -> Self {
        let clock = Arc::new(crate::system::SystemClock);
        let ids = Arc::new(crate::system::RandomIds);
        Self { place, seal_key, older_seal_keys: Vec::new(), clock, ids }
    }
}

/// The connections, and what is removed with them.
pub(crate) struct Connections {
    pub writer: DatabaseConnection,
    pub reader: DatabaseConnection,
    pub scratch: Option<Scratch>,
}

/// A file that goes when this is dropped.
pub(crate) struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        for ending in ["", "-wal", "-shm"] {
            let mut name = self.0.clone().into_os_string();
            name.push(ending);
            let _ = std::fs::remove_file(name);
        }
    }
}

fn scratch_path(ids: &dyn Ids) -> PathBuf {
    let shared = Path::new("/dev/shm");
    let folder = if shared.is_dir() { shared.to_path_buf() } else { std::env::temp_dir() };
    folder.join(format!("legator-{}-{:032x}.db", std::process::id(), ids.fresh()))
}

async fn connect(
    path: &Path,
    connections: u32,
    synchronous: &'static str,
) -> Result<DatabaseConnection, StoreError> {
    let failed = |why: String| StoreError::Open { place: path.display().to_string(), why };
    let text = path.to_str().ok_or_else(|| failed("the path is not UTF-8".into()))?;
    if text.contains(['?', '#', '%']) {
        return Err(failed("the path holds one of ? # %".into()));
    }
    let mut options = ConnectOptions::new(format!("sqlite://{text}?mode=rwc"));
    options
        .max_connections(connections)
        .min_connections(1)
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .acquire_timeout(Duration::from_secs(60))
        .test_before_acquire(false)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                .foreign_keys(true)
                .busy_timeout(Duration::from_millis(BUSY_MS))
                .pragma("journal_mode", "WAL")
                .pragma("synchronous", synchronous)
                .pragma("temp_store", "MEMORY")
                .statement_cache_capacity(500)
        });
    Database::connect(options).await.map_err(|error| failed(error.to_string()))
}

/// Opens the connections.
pub(crate) async fn connections(options: &Options) -> Result<Connections, StoreError> {
    let (path, scratch, synchronous) = match &options.place {
        Place::File(path) => (path.clone(), None, "FULL"),
        Place::Memory => {
            let path = scratch_path(options.ids.as_ref());
            (path.clone(), Some(Scratch(path)), "OFF")
        }
    };
    let writer = connect(&path, 1, synchronous).await?;
    let reader = connect(&path, READERS, synchronous).await?;
    Ok(Connections { writer, reader, scratch })
}

/// Brings the schema up to this binary's; refuses a newer one.
pub(crate) async fn migrate(on: &DatabaseConnection) -> Result<(), StoreError> {
    let table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'seaql_migrations'";
    if sql::one(on, table, vec![]).await?.is_some() {
        let known = legator_migrations::names();
        for row in sql::all(on, "SELECT version FROM seaql_migrations ORDER BY version", vec![]).await? {
            let step: String = sql::column(&row, 0)?;
            if !known.contains(&step) {
                return Err(StoreError::Newer { step });
            }
        }
    }
    Migrator::up(on, None).await?;
    Ok(())
}
