//! `striate report`

use crate::Common;
use crate::outcome::{DONE, Outcome};

/// report
#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: &Args, _common: &Common) -> Outcome {
    Ok(DONE)
}
