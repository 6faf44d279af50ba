//! Facts about the database itself, by name.
//!
//! Owns the table `meta`: the remembered authority, alarms that were raised. Nothing in it gives a right.

use crate::{Keeping, Store, StoreError, sql};
use sea_orm::ConnectionTrait;

/// What is remembered under this name.
pub async fn get(store: &Store, name: &str) -> Result<Option<String>, StoreError> {
    read(store.reader(), name).await
}

pub(crate) async fn read<C: ConnectionTrait>(on: &C, name: &str) -> Result<Option<String>, StoreError> {
    let row = sql::one(on, "SELECT value FROM meta WHERE name = ?", vec![name.into()]).await?;
    row.map(|row| sql::column(&row, 0)).transpose()
}

pub(crate) async fn write<C: ConnectionTrait>(on: &C, name: &str, value: &str) -> Result<(), StoreError> {
    let text = "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    sql::execute(on, text, vec![name.into(), value.into()]).await?;
    Ok(())
}

/// Remembers a value under this name, in place of an older one.
pub async fn set(store: &Store, name: &str, value: &str) -> Result<(), StoreError> {
    store.keep(Keeping::Meta, async |tx| write(tx.conn(), name, value).await).await
}

/// Remembers a value if there is none yet; returns the one that is remembered then.
pub async fn set_once(store: &Store, name: &str, value: &str) -> Result<String, StoreError> {
    store
        .keep(Keeping::Meta, async |tx| {
            if let Some(there) = read(tx.conn(), name).await? {
                return Ok(there);
            }
            write(tx.conn(), name, value).await?;
            Ok(value.to_owned())
        })
        .await
}
