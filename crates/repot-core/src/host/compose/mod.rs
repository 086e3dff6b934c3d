//! A Compose project as a host.

pub mod beside;
pub mod data;
pub mod edit;
pub mod host;
pub mod project;
pub mod throw_away;
pub mod throw_away_mysql;
pub mod tree;
