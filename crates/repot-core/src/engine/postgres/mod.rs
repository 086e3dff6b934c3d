//! PostgreSQL.

pub mod clients;
pub mod facts;
pub mod hba;
pub mod session;
pub mod settings;
