//! `repot demo`.

use repot_core::{Error, Result};

use crate::cli::DemoArgs;

pub fn run(_args: &DemoArgs) -> Result<()> {
    Err(Error::failed("not-yet", "the demo is not there yet"))
}
