//! Applications: what repot knows of them (profiles), which one this is (detection).

pub mod detect;
pub mod others;
pub mod profile;
pub mod version;
pub(crate) mod yaml;
