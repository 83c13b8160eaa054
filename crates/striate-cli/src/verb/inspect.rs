//! `striate inspect`

use crate::Common;
use crate::outcome::{DONE, Outcome};

/// inspect
#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: &Args, _common: &Common) -> Outcome {
    Ok(DONE)
}
