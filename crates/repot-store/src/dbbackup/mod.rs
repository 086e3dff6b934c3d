//! Taking over from django-dbbackup: its names, its settings, its sidecars, and InvenTree's rules on them.
//!
//! Facts are of django-dbbackup 5.4.0 and of InvenTree 1.2 (`InvenTree/backup.py`, `InvenTree/config.py`). But for
//! `shelf`, which reads storages, nothing here reads a file or the environment: values come in, values go out.

pub mod date_format;
mod foreign;
pub mod metadata;
pub mod naming;
mod options;
mod python;
pub mod settings;
pub mod shelf;
mod template;

pub use options::{OptionValue, Options};
