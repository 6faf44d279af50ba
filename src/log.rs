//! What is logged.
//!
//! Owns the filter: what a setting asks for, with the chatter of libraries turned down.

use tracing_subscriber::EnvFilter;

/// The filter that a text asks for.
pub fn filter(text: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::try_new(format!("sqlx=warn,sea_orm=warn,hyper=error,{text}"))
}
