//! `striate simulate`: recordings whose right answer is known.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use striate::error::Error;
use striate::simulate::{KEYS, KlindtLinear, Simulation, write};

use crate::Common;
use crate::outcome::{DONE, Outcome};

/// Make a recording whose right answer is known.
#[derive(clap::Args)]
#[command(after_help = after_help())]
pub struct Args {
    /// `klindt-linear` (small, two types), `klindt-fig3` or `klindt-fig4`.
    #[arg(value_name = "NAME")]
    name: String,
    /// Folder to write; an earlier simulation there is replaced, anything else refused.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Parameters to change, listed below.
    #[arg(value_name = "KEY=VALUE")]
    changes: Vec<String>,
}

fn after_help() -> String {
    let line = |(key, meaning): &(&str, &str)| format!("  {key:<14} {meaning}\n");
    let keys: String = KEYS.iter().map(line).collect();
    format!(
        "Parameters:\n{keys}\nExample:\n  striate simulate klindt-linear --out demo neurons=100 types=0.6,1.0 seed=7"
    )
}

pub fn run(args: &Args, _common: &Common) -> Outcome {
    let mut parameters = KlindtLinear::named(&args.name)?;
    for change in &args.changes {
        let (key, value) = split(change)?;
        parameters.set(key, value)?;
    }
    let simulation = Simulation::new(parameters)?;
    write(&simulation, &args.out)?;
    write!(stdout(), "{}", summary(simulation.parameters(), &args.out))?;
    Ok(DONE)
}

fn split(change: &str) -> Result<(&str, &str), Error> {
    let missing =
        || Error::config(format!("`{change}` sets nothing")).hint("write key=value, e.g. `neurons=100`");
    change.split_once('=').ok_or_else(missing)
}

fn summary(of: &KlindtLinear, out: &Path) -> String {
    let types: Vec<String> = of.types.iter().map(f64::to_string).collect();
    let validation = of.validation_images();
    let presentations = match of.test_repeats {
        0 => "noise-free".to_owned(),
        repeats => format!("{} images × {repeats}", of.test),
    };
    format!(
        "wrote {out}\n  \
         neurons   {neurons} of kernel size {types}, kernels {kernel} × {kernel}\n  \
         images    {side} × {side} pixels of white noise\n  \
         trials    {train} train, {validation} validation, {test} test ({presentations})\n  \
         truth/    receptive fields, locations, types, noise-free responses, parameters\n",
        out = out.display(),
        neurons = of.neurons,
        types = types.join(", "),
        kernel = of.kernel,
        side = of.side,
        train = of.samples - validation,
        test = of.test_trials(),
    )
}
