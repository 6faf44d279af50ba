//! Waves as tables.
