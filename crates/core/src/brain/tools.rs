//! The verbs as a model is offered them.
//!
//! Owns the names of tools and what of a schema a provider takes. Invariant: every tool is one verb at one level; none decides, approves or
//! touches a right.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::OnceLock;

use super::Scope;
use crate::level::Level;
use crate::verbs::{self, Spec};

/// What calling a tool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Use {
    /// It reads at observe, now.
    Read,
    /// It proposes a plan, which people decide about.
    Propose,
}

/// A verb at a level, as a model calls it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name: letters, digits and `_`.
    pub name: String,
    /// The verb.
    pub verb: String,
    /// The level.
    pub level: Level,
    /// What calling it does.
    #[serde(rename = "use")]
    pub usage: Use,
    /// One line for the model.
    pub summary: String,
    /// The JSON Schema of its arguments, an object.
    pub schema: Value,
}

/// The tools of a chat: every verb at each of its levels.
///
/// Above observe a tool only proposes, also where a policy would let the person do it at once: what a host asks the network could carry what
/// the model has read to somebody else.
pub fn tools(scope: Scope) -> Vec<Tool> {
    // Schemas are made of types and never change: they are made once.
    static OF_A_HOST: OnceLock<Vec<Tool>> = OnceLock::new();
    static OF_THE_FLEET: OnceLock<Vec<Tool>> = OnceLock::new();
    let made = match scope {
        Scope::Host(_) => &OF_A_HOST,
        Scope::Fleet => &OF_THE_FLEET,
    };
    made.get_or_init(|| make(scope)).clone()
}

fn make(scope: Scope) -> Vec<Tool> {
    let specs = verbs::all().iter();
    specs.flat_map(|spec| spec.levels.iter().map(move |level| tool(spec, *level, scope))).collect()
}

fn tool(spec: &Spec, level: Level, scope: Scope) -> Tool {
    let usage = match level {
        Level::Observe => Use::Read,
        Level::Diagnose | Level::Remediate => Use::Propose,
    };
    let lowest = spec.levels.first() == Some(&level);
    let plain = spec.name.replace('.', "_");
    let name = if lowest { plain } else { format!("{plain}_{level}") };
    let summary = match usage {
        Use::Read => format!("{}. Reads only.", spec.summary),
        Use::Propose => format!("PROPOSAL, runs only after people approve: {}.", spec.summary),
    };
    let schema = offered((spec.schema)(), scope);
    Tool { name, verb: spec.name.to_owned(), level, usage, summary, schema }
}

/// The schema without what providers do not take, with `on` for the fleet.
fn offered(schema: Value, scope: Scope) -> Value {
    let Value::Object(mut object) = schema else { return json!({"type": "object", "properties": {}}) };
    object.remove("$schema");
    object.remove("title");
    object.entry("type").or_insert_with(|| json!("object"));
    let properties = object.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    if let (Value::Object(properties), Scope::Fleet) = (properties, scope) {
        let text = "Which hosts: a selector such as name=web-03 or env=prod,role=web";
        properties.insert("on".to_owned(), json!({"type": "string", "description": text}));
        let required = object.entry("required").or_insert_with(|| json!([]));
        if let Value::Array(required) = required {
            required.push(json!("on"));
        }
    }
    Value::Object(object)
}
