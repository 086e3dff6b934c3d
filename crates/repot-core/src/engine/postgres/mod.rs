//! PostgreSQL.

pub mod session;
pub mod facts;
