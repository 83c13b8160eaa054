//! `striate config`: presets as files to start from.

use striate::fit::{FitConfig, PRESETS};

use crate::Common;
use crate::outcome::{DONE, Outcome};

/// Print a preset or a configuration as a complete, commented file to edit, or list the presets.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  striate config                           list the presets
  striate config whatwhere > my.toml
  striate config my.toml seed=3 > other.toml
  striate config sensorium2022 model.readout.kind=attention")]
pub struct Args {
    /// Name of a preset or a configuration file; without one the presets are listed.
    #[arg(value_name = "CONFIG|PRESET")]
    what: Option<String>,
    /// Overrides, e.g. `model.readout.kind=attention`: another kind of a part brings its own options.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

pub fn run(args: &Args, _common: &Common) -> Outcome {
    match &args.what {
        Some(name) => answer!("{}", FitConfig::named(name, &args.overrides)?.commented())?,
        None => {
            let width = PRESETS.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, purpose) in PRESETS {
                answer!("{name:<width$}  {purpose}\n")?;
            }
        }
    }
    Ok(DONE)
}
