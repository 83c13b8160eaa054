//! `striate simulate`

use crate::Common;
use crate::outcome::{DONE, Outcome};

/// simulate
#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: &Args, _common: &Common) -> Outcome {
    Ok(DONE)
}
