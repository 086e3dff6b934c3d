//! PostgreSQL.

pub mod session;
