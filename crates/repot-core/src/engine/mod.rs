//! Database systems. Sibling engines share file names.

pub mod postgres;
