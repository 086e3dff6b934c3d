//! PostgreSQL.

pub mod facts;
pub mod hba;
pub mod session;
pub mod settings;
