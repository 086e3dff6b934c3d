//! SQLite: the online backup of a live file, its facts and fingerprint, and a restored file's way into its place.
//!
//! Invariants: a live file is read through SQLite's own locks, never copied as bytes; what is fingerprinted is the very
//! copy that goes into the set; a file takes a live one's name by one atomic rename, and the live one is kept.

mod copy;
mod facts;
mod fingerprint;
mod place;
pub mod session;

pub use copy::Copy;
pub use facts::{version, version_num};
pub use fingerprint::take;
pub use place::{Swap, aside_path};
