//! Placeholder of the interleavings.
