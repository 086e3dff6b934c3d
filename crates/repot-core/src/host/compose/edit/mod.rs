//! Temporary: replaced by the whole module.
mod diff;
mod dotenv;
mod image;
#[allow(dead_code)] mod interpolate;
#[allow(dead_code)] mod yaml;
pub use diff::diff;
pub use dotenv::{DotenvEntry, parse_dotenv, resolve_dotenv, set_dotenv};
pub use image::ImageRef;
