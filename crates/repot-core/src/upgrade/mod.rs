//! An upgrade: check, plan, run, go back.

pub mod check;
pub mod cleanup;
mod doubt;
pub mod failpoint;
pub mod files;
pub mod plan;
pub mod planner;
pub mod prove;
pub mod report;
pub mod run;
pub(crate) mod steps;
