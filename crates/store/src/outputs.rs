//! Kept output of tasks: the bytes that a receipt's digests prove.
//!
//! Owns the table `outputs`. Never judges: who writes has matched the bytes with the receipt.

use crate::{Store, StoreError, Tx, sql};
use legator_core::ids::{HostId, PlanId, TaskId};
use std::collections::HashMap;

/// The kept output of one task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// Output on its way into the store.
#[derive(Debug, Clone)]
pub struct NewOutput {
    /// The task.
    pub task: TaskId,
    /// Its plan.
    pub plan: PlanId,
    /// Its host.
    pub host: HostId,
    /// The bytes.
    pub output: Output,
}

/// Rows of one statement, at most: SQLite takes 32,766 values.
const BATCH: usize = 500;

/// Keeps outputs; those of a task that has some are replaced. Empty ones take no row.
pub async fn put(tx: &Tx, outputs: Vec<NewOutput>) -> Result<(), StoreError> {
    let mut rows: Vec<NewOutput> = outputs;
    rows.retain(|new| !new.output.stdout.is_empty() || !new.output.stderr.is_empty());
    for batch in rows.chunks(BATCH) {
        let places = vec!["(?, ?, ?, ?, ?, ?)"; batch.len()].join(", ");
        let text = format!(
            "INSERT INTO outputs (task, plan, host, stdout, stderr, kept_at) VALUES {places}
ON CONFLICT (task) DO UPDATE SET stdout = excluded.stdout, stderr = excluded.stderr, kept_at = excluded.kept_at"
        );
        let mut values: Vec<sea_orm::Value> = Vec::with_capacity(batch.len() * 6);
        for new in batch {
            values.extend([
                new.task.to_string().into(),
                new.plan.to_string().into(),
                new.host.to_string().into(),
                new.output.stdout.clone().into(),
                new.output.stderr.clone().into(),
                tx.now().millis().into(),
            ]);
        }
        tx.execute(&text, values).await?;
    }
    Ok(())
}

/// The outputs of these tasks; a task without any is not in it.
pub async fn of_tasks(store: &Store, tasks: &[TaskId]) -> Result<HashMap<TaskId, Output>, StoreError> {
    if tasks.is_empty() {
        return Ok(HashMap::new());
    }
    let text = "SELECT task, stdout, stderr FROM outputs WHERE task IN (SELECT value FROM json_each(?))";
    let list = serde_json::to_string(tasks).unwrap_or_default();
    let rows = sql::all(store.reader(), text, vec![list.into()]).await?;
    rows.iter()
        .map(|row| {
            let output = Output { stdout: sql::column(row, 1)?, stderr: sql::column(row, 2)? };
            Ok((sql::parsed(row, 0, "task")?, output))
        })
        .collect()
}
