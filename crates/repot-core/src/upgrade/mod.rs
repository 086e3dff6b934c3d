//! An upgrade: check, plan, run.

pub mod check;
