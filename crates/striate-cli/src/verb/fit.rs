//! `striate fit`: train a model; resume it when the run folder exists.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use striate::error::{Error, pasted};
use striate::fit::schedule::End;
use striate::fit::{self, Event, FitConfig, Outcome as Fitted};
use striate::recording::{self, Interrupt, Session};
use striate::run::RunFolder;
use striate::scoring::Known;
use striate::simulate::Truth;
use striate::twin::Ensemble;
use striate::{ops, scoring};

use super::{command_line, sessions_of};
use crate::outcome::{DONE, Outcome};
use crate::progress::Progress;
use crate::{Common, signals};

/// Fit a model to a recording, or go on with a run that was stopped.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  striate fit whatwhere --data mouse.zip data.neurons=1000 --out runs/first
  striate fit my.toml --data mouse.zip fit.learning_rate=0.001 --out runs/second
  striate fit --out runs/first                 go on with an interrupted run
  striate fit --out runs/first schedule.max_steps=20000    more steps for one that ended by its max_steps")]
pub struct Args {
    /// A configuration file or the name of a preset (see `striate config`), then overrides `key=value`.
    /// Without a name, those of the existing run.
    #[arg(value_name = "CONFIG|PRESET [key=value …]")]
    what: Vec<String>,
    /// The recording; short for `data.path=DATA`.
    #[arg(long, value_name = "DATA")]
    data: Option<String>,
    /// The run folder; made if it does not exist, resumed if it does.
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
}

pub fn run(args: &Args, common: &Common) -> Outcome {
    let fitted = fit_into(args, common)?;
    if !fitted.finished {
        tell!("stopped at step {}; resume with: striate fit --out {}", fitted.steps, pasted(&args.out));
        return Ok(signals::code());
    }
    if let (Some(end), false) = (fitted.end, common.quiet) {
        tell!("{}", end_in_words(end, fitted.steps));
        next_in_words(end, &fitted, &args.out)?.into_iter().for_each(|next| tell!("{next}"));
    }
    if let Some(best) = &fitted.best {
        let alpha = best.alpha.map_or(String::new(), |alpha| format!(", alpha {alpha}"));
        tell!("best {} {:.4} at step {}{alpha}", best.metric, best.value, best.step);
    }
    say!("{}\n", args.out.display());
    Ok(DONE)
}

fn fit_into(args: &Args, common: &Common) -> anyhow::Result<Fitted> {
    let stop = signals::watch()?;
    let config = resolve(args)?;
    Ok(train(&config, &args.out, common, &stop)?)
}

/// The command for those who want more.
fn next_in_words(end: End, fitted: &Fitted, out: &Path) -> striate::error::Result<Option<String>> {
    let run = RunFolder::open(out)?;
    Ok(match end {
        End::Steps if !fitted.between_checks => {
            Some(format!("more steps: {} schedule.max_steps={}", run.resume_command(), 2 * fitted.steps))
        }
        End::Solved => None,
        End::Steps | End::Checks | End::Patience | End::Rounds => {
            Some(format!("to go on differently, from these weights: {}", run.restart_command(Some(out))))
        }
    })
}

fn end_in_words(end: End, steps: u64) -> String {
    let why = match end {
        End::Steps => "that was its number of steps (schedule.max_steps)",
        End::Checks => "that was its number of checks (schedule.max_checks)",
        End::Patience => "it became no better (schedule.patience)",
        End::Rounds => "its rounds are over (schedule.rounds)",
        End::Solved => "it is solved",
    };
    format!("finished at step {steps}: {why}")
}

/// Fits `config` into the run folder `out`, showing progress.
pub fn train(
    config: &FitConfig,
    out: &Path,
    common: &Common,
    stop: &Arc<AtomicBool>,
) -> striate::error::Result<Fitted> {
    let device = ops::device(&common.device)?;
    let mut recording = recording::open(Path::new(&config.data.path))?;
    let reading = Interrupt::at(stop.clone());
    recording.sessions.iter_mut().for_each(|session| session.interrupt_by(&reading));
    let sessions = sessions_of(&recording, &config.data.session)?;
    let run = fit::run_folder(config, &sessions, out, &common.device, &command_line())?;
    let mut progress = Progress::new(common, &run.log());
    let fitted = fit::fit(config, &sessions, &run, &device, stop, &mut |event| {
        progress.show(event);
        if let Event::Started { .. } = event {
            // From here on the fit itself looks at the flag, and saves.
            reading.lift();
            progress.line(&format!(
                "{} saves and stops it; go on with: striate fit --out {}",
                signals::names(),
                pasted(out)
            ));
        }
    })?;
    if fitted.best.is_some() && fitted.finished {
        for (part, session) in run.sessions()?.iter().zip(&sessions) {
            describe(part, session, common)?;
        }
    }
    Ok(fitted)
}

/// Writes what can be said of the model of one session, where that is not there yet.
fn describe(run: &RunFolder, session: &Session, common: &Common) -> striate::error::Result<()> {
    if scoring::is_described(run) {
        return Ok(());
    }
    let truth = Truth::open(session).unwrap_or_else(|error| {
        tracing::warn!("{error}: the fit is described without it");
        None
    });
    let centres = truth.as_ref().map(Truth::centres).unwrap_or_default();
    let known = truth.as_ref().map(|truth| Known { types: &truth.types, centres: &centres });
    scoring::describe(&Ensemble::load(run, &ops::device(&common.device)?)?, run, session, known)
}

/// The configuration asked for: that of a file, a preset or, where none is named, the existing run.
fn resolve(args: &Args) -> striate::error::Result<FitConfig> {
    let (named, overrides) = match args.what.split_first() {
        Some((what, overrides)) if !is_override(what) => (Some(what), overrides),
        _ => (None, args.what.as_slice()),
    };
    let mut config = match named {
        Some(what) => FitConfig::named(what, overrides)?,
        // Whether they ask for the same fit is decided with the folder.
        None if RunFolder::exists(&args.out) => {
            let run = RunFolder::open(&args.out)?;
            run.require_single()?;
            FitConfig::read(&run.config(), overrides)?
        }
        None => {
            return Err(
                Error::config("name a configuration file or a preset").hint("`striate config` lists presets")
            );
        }
    };
    if let Some(data) = &args.data {
        config.data.path.clone_from(data);
    }
    if config.data.path.is_empty() {
        return Err(Error::config("no recording is named").key("data.path").hint("add --data DATA"));
    }
    Ok(config)
}

fn is_override(what: &str) -> bool {
    what.contains('=') && !Path::new(what).is_file()
}
