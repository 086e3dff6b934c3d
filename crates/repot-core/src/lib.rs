//! What repot does. The library takes and returns values; it never talks to a terminal, never reads the
//! environment, and knows no HTTP.

pub mod engine;
pub mod error;
pub mod exec;
pub mod interrupt;
pub mod verify;

pub use error::{Error, Kind, Result};
