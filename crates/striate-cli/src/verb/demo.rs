//! `striate demo`: simulate, fit, score and report on an embedded example.

use std::path::{Path, PathBuf};
use std::time::Instant;

use striate::error::{Error, pasted};
use striate::fit::FitConfig;
use striate::run::RunFolder;
use striate::score::{Null, Settings};
use striate::simulate::{self, KlindtLinear, Simulation};
use striate::{disk, report};

use super::{fit, score};
use crate::outcome::{DONE, NO, Outcome};
use crate::{Common, signals};

/// What the demo must recover: the same floor its end-to-end test holds it to.
const ENOUGH: f64 = 0.8;

/// Simulate neurons whose answer is known, fit them, score the fit and show it.
#[derive(clap::Args)]
#[command(after_help = "Example:
  striate demo --out demo")]
pub struct Args {
    /// Folder for the recording and the run; new, or what a demo left that was stopped.
    #[arg(long, default_value = "striate-demo", value_name = "DIR")]
    out: PathBuf,
}

/// Whether `out` holds what an earlier demo left before its end, and nothing else.
fn is_cut_off(out: &Path) -> bool {
    let is_ours = |name: &str| {
        ["recording", "run"].contains(&name) || disk::is_leftover(name) || disk::is_system_file(name)
    };
    let mut entries = std::fs::read_dir(out).into_iter().flatten().flatten();
    out.is_dir()
        && !out.join("run/report.html").exists()
        && entries.all(|entry| entry.file_name().to_str().is_some_and(is_ours))
}

pub fn run(args: &Args, common: &Common) -> Outcome {
    let clock = Instant::now();
    if args.out.exists() && !is_cut_off(&args.out) {
        return Err(Error::config("exists already, and the demo starts afresh")
            .file(&args.out)
            .hint(format!(
                "another folder is free: `striate demo --out {}`",
                pasted(disk::free_beside(&args.out))
            ))
            .into());
    }
    let data = args.out.join("recording");
    let mut config = FitConfig::preset("demo")?;
    config.data.path = data.to_str().map(str::to_owned).ok_or_else(|| {
        Error::config("is not UTF-8, as paths in a configuration must be").file(&args.out).key("--out")
    })?;
    let stop = signals::watch()?;
    // It appears whole or not at all.
    if !data.exists() {
        let simulation = Simulation::new(KlindtLinear::demo())?;
        if !common.quiet {
            tell!("simulating {} neurons of two types", simulation.neurons().len());
        }
        simulate::write(&simulation, &data)?;
    }

    let path = args.out.join("run");
    let fitted = fit::train(&config, &path, common, &stop)?;
    if !fitted.finished {
        tell!("stopped at step {}; the same command goes on", fitted.steps);
        return Ok(signals::code());
    }

    let run = RunFolder::open(&path)?;
    let scores = score::score_run(&run, None, "test", None, &Null::ALL, Settings::default(), common)?;
    disk::write_bytes(&run.report(), report::render(std::slice::from_ref(&run))?.as_bytes())?;
    let fev = scores.metrics.get("fev").and_then(|summary| summary.mean).unwrap_or(f64::NAN);
    let seconds = clock.elapsed().as_secs_f64();
    say!("recovered FEV {fev:.3} against ground truth (1 is perfect), in {seconds:.0} s\n");
    say!("report: {}\n", run.report().display());
    if fev >= ENOUGH {
        return Ok(DONE);
    }
    tell!("the neurons were not recovered: {ENOUGH} was expected");
    Ok(NO)
}
