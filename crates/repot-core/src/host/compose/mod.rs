//! A Compose project as a host.

mod beside;
pub mod data;
pub mod edit;
pub mod host;
pub mod project;
pub mod throw_away;
pub mod tree;
