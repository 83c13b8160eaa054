//! `striate sweep`: one fit for each point of a grid.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use striate::disk;
use striate::error::{Error, Kind};
use striate::sweep::{self, Fitted, Point, Sweep, Swept};

use super::fit;
use crate::outcome::{DONE, NO, Outcome};
use crate::print::{Label, labelled};
use crate::{Common, signals};

/// Fit a grid of configurations, and say which did best on the validation tier.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  striate sweep sweeps/klindt2017-fig3.toml --data recording --out runs/fig3
  striate sweep sweep.toml --data mouse.zip --out runs/grid schedule.max_steps=500
  striate sweep sweep.toml --data mouse.zip --out runs/grid --only $SLURM_ARRAY_TASK_ID

A sweep file names a preset or a configuration file and the values to try:
  base = \"whatwhere\"
  [[grid]]
  \"model.penalty.readout_l1\" = [0.001, 0.003, 0.01]
  \"seed\" = [1, 2]")]
pub struct Args {
    /// The sweep file.
    #[arg(value_name = "SWEEP")]
    sweep: PathBuf,
    /// Overrides for every fit.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The recording; short for `data.path=DATA`.
    #[arg(long, value_name = "DATA")]
    data: Option<String>,
    /// Folder for the runs; those that are there go on, finished ones stay.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only this point, counted from 0: one task of a cluster's job array.
    #[arg(long, value_name = "N")]
    only: Option<usize>,
}

pub fn run(args: &Args, common: &Common) -> Outcome {
    let data = args.data.iter().map(|path| format!("data.path={path}"));
    let overrides: Vec<String> = args.overrides.iter().cloned().chain(data).collect();
    let mut points = Sweep::read(&args.sweep)?.points(&overrides)?;
    let count = points.len();
    if let Some(only) = args.only {
        points = vec![point(points, only)?];
    }
    if let Some(point) = points.iter().find(|point| point.config.data.path.is_empty()) {
        let error = Error::config("no recording is named").key("data.path").hint("add --data DATA");
        return Err(error.file(&point.name).into());
    }
    sweep::check_folder(&args.out)?;
    let stop = signals::watch()?;
    let Swept { fitted, busy } = sweep::run(&points, &args.out, &mut |point, out| {
        if !common.quiet {
            let number = point.name.parse().map_or(0, |index: usize| index + 1);
            tell!("{} ({number} of {count}): {}", point.name, point.values.join(" "));
        }
        fit::train(&point.config, &out, common, &stop).inspect_err(|error| {
            if matches!(error.kind(), Kind::Busy | Kind::Interrupted) {
                return;
            }
            labelled(Label::Error, &format!("{}: {error}", point.name));
            error.advice().into_iter().for_each(|hint| labelled(Label::Hint, hint));
        })
    });
    let table = sweep::table(&fitted);
    say!("{table}");
    // Of the tasks of a job array, each knows its own point; the whole sweep run once more collects them.
    let whole = fitted.len() == count;
    if whole {
        disk::write_bytes(&args.out.join(sweep::TABLE), table.as_bytes())?;
    }
    if stop.load(Ordering::Relaxed) {
        tell!("stopped; the same command goes on");
        return Ok(signals::code());
    }
    if !busy.is_empty() {
        tell!("left to another process: {}; run again when it is done for the whole table", busy.join(", "));
    }
    if let Some(Fitted { name, values, .. }) = sweep::best(&fitted).filter(|_| whole) {
        tell!("best: {} ({})", args.out.join(name).display(), values.join(" "));
    }
    Ok(if fitted.iter().any(|one| one.failure.is_some()) { NO } else { DONE })
}

fn point(points: Vec<Point>, only: usize) -> Result<Point, Error> {
    let count = points.len();
    let missing = || Error::config(format!("there is no point {only}, the sweep has {count}")).key("--only");
    points.into_iter().nth(only).ok_or_else(missing)
}
