//! What repot does. The library takes and returns values; it never talks to a terminal, never reads the
//! environment, and knows no HTTP.

pub mod app;
pub mod backup;
pub mod engine;
pub mod error;
pub mod exec;
pub mod host;
pub mod interrupt;
pub mod journal;
pub mod progress;
pub mod schedule;
pub mod upgrade;
pub mod verify;

pub use error::{Error, Kind, Result};
