//! Comparing what was with what is: schema and content, before an application is let back in.
//!
//! [`take`](take::take) reads a server and returns a [`ClusterFingerprint`], a plain value that fits in a backup's
//! manifest; [`compare`](compare::compare) tells two of them apart. Rows are hashed inside the server, so nothing
//! but digests crosses the network, and the two servers need not run at the same time.

mod cluster;
pub mod compare;
mod content;
pub mod fingerprint;
mod normalise;
mod schema;
pub mod take;

pub use compare::{Comparison, Difference, compare, compare_databases};
pub use fingerprint::{
    ClusterFingerprint, DatabaseFingerprint, Extension, LargeObjects, Method, SchemaObject,
    SequenceFingerprint, TableFingerprint,
};
pub use take::{Progress, TakeOptions, take};
