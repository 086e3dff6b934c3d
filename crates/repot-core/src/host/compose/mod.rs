//! A Compose project as a host.

pub mod beside;
pub mod data;
pub mod edit;
pub mod host;
mod pipes;
pub mod project;
mod relay;
mod server;
pub mod throw_away;
pub mod throw_away_mysql;
pub mod tree;
