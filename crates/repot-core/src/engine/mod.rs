//! Database systems. Sibling engines share file names.

pub mod mysql;
pub mod postgres;
pub mod sqlite;
