//! `verbs`: what a plan can name, with arguments.
//!
//! What this program knows is what it can render and check, so it lists its own; it asks no server.

use crate::exit::{Exit, Fault, Outcome};
use crate::out::{self, Format, col, wide};
use clap::Args;
use legator_core::verbs::{self, Spec};
use serde_json::{Value, json};

/// The verbs that plans can name.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  legatorctl verbs\n  legatorctl verbs file.write")]
pub struct Verbs {
    /// One verb, with its arguments
    verb: Option<String>,
}

/// Runs it.
pub fn run(wanted: &Verbs, format: Format) -> Outcome {
    let Some(name) = &wanted.verb else {
        let items: Vec<Value> = verbs::all().iter().map(record).collect();
        let columns = [
            col("VERB", "name"),
            col("LEVELS", "levels"),
            col("DOES", "summary"),
            wide("TOUCHES", "effects"),
            wide("UNDO", "undo"),
        ];
        out::records(format, &items, &columns);
        return Ok(Exit::Ok);
    };
    let spec = verbs::find(name)
        .ok_or_else(|| Fault::usage(format!("there is no verb {name:?}")).hint("legatorctl verbs"))?;
    let schema = (spec.schema)();
    let mut full = record(spec);
    if let Value::Object(fields) = &mut full {
        fields.insert("arguments".into(), schema.clone());
    }
    out::record(format, &full, || text(&full, &schema));
    Ok(Exit::Ok)
}

fn record(spec: &Spec) -> Value {
    let levels: Vec<&str> = spec.levels.iter().map(|level| level.word()).collect();
    json!({
        "name": spec.name, "levels": levels, "summary": spec.summary, "effects": spec.effects_text,
        "verified": spec.post_condition, "undo": spec.undo,
    })
}

fn text(record: &Value, schema: &Value) -> String {
    let mut text = out::fields(
        record,
        &[
            ("verb", "name"),
            ("levels", "levels"),
            ("does", "summary"),
            ("touches", "effects"),
            ("verified", "verified"),
            ("undo", "undo"),
        ],
    );
    text.push_str("arguments\n");
    let required = out::list(schema, "required");
    let fields = out::at(schema, "properties").as_object();
    let rows: Vec<(String, String)> = fields
        .into_iter()
        .flatten()
        .map(|(name, about)| {
            let optional = if required.contains(&json!(name)) { "" } else { " (optional)" };
            let about = out::word(about, "description");
            (name.clone(), format!("{}{optional}", about.trim_end_matches('.')))
        })
        .collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, about) in rows {
        text.push_str(&format!("  {name:width$}  {about}\n"));
    }
    text
}
