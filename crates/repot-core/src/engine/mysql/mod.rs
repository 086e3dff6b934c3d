//! MariaDB and MySQL: sessions through their own client program, facts, fingerprint, dumps and loads.
//!
//! Invariants: rows are hashed inside the server; a dump and its fingerprint read one snapshot, or it is proved that
//! they read the same; a password travels in the environment of a child only.

pub mod clients;
pub mod dump;
pub mod events;
pub mod facts;
mod fingerprint;
pub mod session;
mod views;

pub use fingerprint::{Content, take};
