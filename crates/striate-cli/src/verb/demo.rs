//! `striate demo`: simulate, fit, score and report on an embedded example.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use striate::error::Error;
use striate::fit::FitConfig;
use striate::run::RunFolder;
use striate::score::{Null, Settings};
use striate::simulate::{self, KlindtLinear, Simulation};
use striate::{disk, report};

use super::{fit, score};
use crate::Common;
use crate::outcome::{DONE, NO, Outcome, say};

/// What the demo must recover: the same floor its end-to-end test holds it to.
const ENOUGH: f64 = 0.8;

/// Simulate neurons whose answer is known, fit them, score the fit and show it.
#[derive(clap::Args)]
#[command(after_help = "Example:
  striate demo --out demo")]
pub struct Args {
    /// Folder for the recording and the run; must not exist yet.
    #[arg(long, default_value = "striate-demo", value_name = "DIR")]
    out: PathBuf,
}

pub fn run(args: &Args, common: &Common) -> Outcome {
    let clock = Instant::now();
    if args.out.exists() {
        return Err(Error::config("exists already, and the demo starts afresh")
            .file(&args.out)
            .hint("delete it, or choose another folder with --out")
            .into());
    }
    let data = args.out.join("recording");
    let simulation = Simulation::new(KlindtLinear::demo())?;
    if !common.quiet {
        eprintln!("simulating {} neurons of two types", simulation.neurons().len());
    }
    simulate::write(&simulation, &data)?;

    let path = args.out.join("run");
    let mut config = FitConfig::preset("demo")?;
    config.data.path = data.display().to_string();
    fit::train(&config, &path, common, &AtomicBool::new(false))?;

    let run = RunFolder::open(&path)?;
    let scores = score::score_run(&run, None, "test", &Null::ALL, Settings::default(), common)?;
    disk::write_bytes(&run.report(), report::render(std::slice::from_ref(&run))?.as_bytes())?;
    let fev = scores.metrics.get("fev").and_then(|summary| summary.mean).unwrap_or(f64::NAN);
    let seconds = clock.elapsed().as_secs_f64();
    say(format_args!("recovered FEV {fev:.3} against ground truth (1 is perfect), in {seconds:.0} s\n"))?;
    say(format_args!("report: {}\n", run.report().display()))?;
    if fev >= ENOUGH {
        return Ok(DONE);
    }
    eprintln!("the neurons were not recovered: {ENOUGH} was expected");
    Ok(NO)
}
