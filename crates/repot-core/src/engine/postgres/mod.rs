//! PostgreSQL.

pub mod facts;
pub mod session;
pub mod settings;
