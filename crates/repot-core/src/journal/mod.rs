//! Runs and what became of their steps.
//!
//! Docker and PostgreSQL cannot join a transaction of ours, so the journal writes the intent before a step and
//! the result after it; the dangerous gap is between the two, and resume probes a step that was caught in it.

pub mod catalog;
pub mod lock;
pub mod operations;
pub mod sqlite;
