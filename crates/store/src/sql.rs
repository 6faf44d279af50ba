//! Statements as text with values, over a connection or a transaction.
//!
//! Owns the few lines that every module of this crate would repeat. Limits are written into the text as numbers:
//! SQLite prepares a statement anew for each bound limit.

use crate::StoreError;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, TryGetable, Value};
use std::sync::atomic::{AtomicU64, Ordering};

static STATEMENTS: AtomicU64 = AtomicU64::new(0);

/// Statements of this process so far, with begins and commits: what a test bounds.
pub fn statements() -> u64 {
    STATEMENTS.load(Ordering::Relaxed)
}

/// One more statement is about to run.
pub(crate) fn count() {
    STATEMENTS.fetch_add(1, Ordering::Relaxed);
}

/// A statement with its values.
pub fn statement(sql: &str, values: Vec<Value>) -> Statement {
    count();
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}

/// Runs it and says how many rows it touched.
pub async fn execute<C: ConnectionTrait>(on: &C, sql: &str, values: Vec<Value>) -> Result<u64, StoreError> {
    Ok(on.execute_raw(statement(sql, values)).await?.rows_affected())
}

/// Its first row.
pub async fn one<C: ConnectionTrait>(
    on: &C,
    sql: &str,
    values: Vec<Value>,
) -> Result<Option<QueryResult>, StoreError> {
    Ok(on.query_one_raw(statement(sql, values)).await?)
}

/// All its rows.
pub async fn all<C: ConnectionTrait>(
    on: &C,
    sql: &str,
    values: Vec<Value>,
) -> Result<Vec<QueryResult>, StoreError> {
    Ok(on.query_all_raw(statement(sql, values)).await?)
}

/// The column at this place of a row.
pub fn column<T: TryGetable>(row: &QueryResult, place: usize) -> Result<T, StoreError> {
    Ok(row.try_get_by_index(place)?)
}

/// The column at this place, parsed from its text.
pub fn parsed<T>(row: &QueryResult, place: usize, what: &'static str) -> Result<T, StoreError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let text: String = column(row, place)?;
    text.parse().map_err(|why| StoreError::corrupt(what, why))
}

/// The column at this place, parsed from its text; nothing where it is null.
pub fn maybe<T>(row: &QueryResult, place: usize, what: &'static str) -> Result<Option<T>, StoreError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let text: Option<String> = column(row, place)?;
    text.map(|text| text.parse().map_err(|why| StoreError::corrupt(what, why))).transpose()
}
