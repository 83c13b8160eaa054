//! Simulating, fitting and scoring for reproductions, with everything kept that took long.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::prelude::Device;

use crate::error::{Error, Kind, Result, unknown};
use crate::fit::{Event, FitConfig, fit, run_folder};
use crate::recording::{Session, Stream, Tier};
use crate::run::RunFolder;
use crate::score::Settings;
use crate::scoring;
use crate::simulate::{Parameters, Simulation};
use crate::twin::{Ensemble, Twin};

/// What a reproduction is asked for.
#[derive(Debug)]
pub struct Task<'a> {
    /// Folder of its runs and results.
    pub out: &'a Path,
    /// A miniature that shows that everything works, in place of the paper's sizes.
    pub quick: bool,
    /// `key=value` with one number or a list of numbers.
    pub settings: &'a [String],
    /// The recording, for items that need one.
    pub data: Option<&'a Path>,
    /// Where it computes.
    pub device: &'a Device,
    /// Ends the fit that is running at its next step.
    pub stop: &'a AtomicBool,
}

/// How far a reproduction is.
#[derive(Debug)]
pub enum News<'a> {
    /// A fit begins in this folder, or goes on.
    Fitting(&'a RunFolder),
    /// The fit that began last is so far.
    Fit(&'a Event),
}

/// The hands of a reproduction.
pub struct Work<'a> {
    task: &'a Task<'a>,
    settings: BTreeMap<String, Vec<f64>>,
    tell: &'a mut dyn FnMut(&News<'_>),
    /// Names of fits that diverged.
    diverged: Vec<String>,
}

/// A simulated session with its answers.
#[derive(Debug)]
pub struct World {
    /// Neurons, trials and streams.
    pub session: Session,
    /// Noise-free responses `[trial, neuron]`.
    pub truth: Vec<f32>,
    /// Type of each neuron.
    pub types: Vec<usize>,
}

/// A finished fit.
#[derive(Debug)]
pub struct Run {
    /// Its twin at the best check, alone.
    pub twin: Ensemble,
    /// The monitored number at the best check; NaN when there is none.
    pub best: f64,
    /// Where it is kept.
    pub folder: RunFolder,
}

impl World {
    /// Simulates everything in memory.
    ///
    /// # Errors
    /// As [`Simulation::new`] and [`Simulation::session`].
    pub fn new(parameters: impl Into<Parameters>) -> Result<Self> {
        let simulation = Simulation::new(parameters)?;
        let (session, truth) = simulation.session()?;
        Ok(Self { session, truth, types: simulation.neurons().iter().map(|neuron| neuron.kind).collect() })
    }

    /// Error of each neuron's mean training response as its prediction: mean squared error on recorded validation
    /// trials, and FEV on noise-free test trials.
    ///
    /// # Errors
    /// None: everything is in memory.
    pub fn mean_as_prediction(&self) -> Result<(Vec<f64>, Vec<f64>)> {
        let recorded = |tier: &Tier| self.columns(tier, |trial| self.session.read(Stream::Responses, trial));
        let truth = |trial| Ok(self.answers(trial));
        let mean: Vec<f64> = recorded(&Tier::Train)?.iter().map(|column| average(column)).collect();
        let errors = |columns: Vec<Vec<f64>>| -> Vec<f64> {
            let squared = |(column, mean): (&Vec<f64>, &f64)| {
                average(&column.iter().map(|y| (y - mean).powi(2)).collect::<Vec<_>>())
            };
            columns.iter().zip(&mean).map(squared).collect()
        };
        let variance = self.test_variance()?;
        let test = self.columns(&Tier::Test, truth)?;
        let fev = errors(test).iter().zip(&variance).map(|(mse, variance)| 1.0 - mse / variance).collect();
        Ok((errors(recorded(&Tier::Validation)?), fev))
    }

    /// Variance of each neuron's noise-free responses over the test trials.
    ///
    /// # Errors
    /// None: everything is in memory.
    pub fn test_variance(&self) -> Result<Vec<f64>> {
        let test = self.columns(&Tier::Test, |trial| Ok(self.answers(trial)))?;
        Ok(test.iter().map(|column| variance(column)).collect())
    }

    /// Noise-free responses in one trial.
    fn answers(&self, trial: usize) -> Vec<f32> {
        let width = self.types.len();
        self.truth[trial * width..][..width].to_vec()
    }

    /// Values of each neuron in all trials of a tier, `[neuron][trial]`.
    fn columns(&self, tier: &Tier, row: impl Fn(usize) -> Result<Vec<f32>>) -> Result<Vec<Vec<f64>>> {
        let mut columns = vec![Vec::new(); self.types.len()];
        for trial in self.session.trials_of(tier) {
            let row = row(trial)?;
            columns.iter_mut().zip(row).for_each(|(column, value)| column.push(f64::from(value)));
        }
        Ok(columns)
    }
}

impl<'a> Work<'a> {
    /// Refuses settings that `keys` does not list, or that are no numbers.
    pub(super) fn new(
        task: &'a Task<'a>,
        keys: &[(&str, &str)],
        tell: &'a mut dyn FnMut(&News<'_>),
    ) -> Result<Self> {
        let mut settings = BTreeMap::new();
        for text in task.settings {
            let Some((key, value)) = text.split_once('=') else {
                return Err(Error::config(format!("`{text}` sets nothing")).hint("write key=value"));
            };
            let known: Vec<&str> = keys.iter().map(|(known, _)| *known).collect();
            if !known.contains(&key) {
                return Err(unknown("setting", key, &known));
            }
            if task.quick {
                return Err(Error::config("is not used by a miniature").key(key).hint("leave out --quick"));
            }
            settings.insert(key.to_owned(), numbers(key, value)?);
        }
        Ok(Self { task, settings, tell, diverged: Vec::new() })
    }

    /// Whether a miniature is asked for.
    pub fn quick(&self) -> bool {
        self.task.quick
    }

    /// The recording that was named.
    pub fn data(&self) -> Option<&'a Path> {
        self.task.data
    }

    /// A setting, or what stands in the paper.
    pub fn list(&self, key: &str, default: &[f64]) -> Vec<f64> {
        self.settings.get(key).cloned().unwrap_or_else(|| default.to_vec())
    }

    /// A setting of one whole number from 1 on, or the default.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key, for anything else.
    pub fn count(&self, key: &str, default: usize) -> Result<usize> {
        match self.counts(key, &[default])?[..] {
            [count] => Ok(count),
            _ => Err(Error::config("takes one number").key(key)),
        }
    }

    /// As [`Work::list`], of whole numbers from 1 on.
    ///
    /// # Errors
    /// As [`Work::count`].
    pub fn counts(&self, key: &str, default: &[usize]) -> Result<Vec<usize>> {
        let Some(list) = self.settings.get(key) else { return Ok(default.to_vec()) };
        match list.iter().all(|n| *n >= 1.0 && n.fract() == 0.0) {
            true => Ok(list.iter().map(|&n| n as usize).collect()),
            false => Err(Error::config("takes whole numbers from 1 on").key(key)),
        }
    }

    /// A setting that is 0 or 1, or the default.
    ///
    /// # Errors
    /// As [`Work::count`].
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.settings.get(key).map(Vec::as_slice) {
            None => Ok(default),
            Some([0.0]) => Ok(false),
            Some([1.0]) => Ok(true),
            _ => Err(Error::config("takes 0 or 1").key(key)),
        }
    }

    /// Where it computes.
    pub fn device(&self) -> &'a Device {
        self.task.device
    }

    /// Whether it was asked to end.
    pub fn is_stopped(&self) -> bool {
        self.task.stop.load(Ordering::Relaxed)
    }

    /// What to say then.
    pub(super) fn stopped(&self) -> Error {
        Error::interrupted("was stopped").hint("the same command goes on")
    }

    /// Folder of the runs.
    pub fn out(&self) -> &'a Path {
        self.task.out
    }

    /// Fits `config` in the run folder `runs/NAME`; one that is there goes on, or is taken as it is when finished.
    ///
    /// # Errors
    /// Those of [`fit`]; [`Kind::Config`](crate::error::Kind::Config) when the folder holds another fit.
    pub fn fit(&mut self, name: &str, config: &FitConfig, session: &Session) -> Result<Run> {
        let out = self.task.out.join("runs").join(name);
        let folder = run_folder(config, &[session], &out, "cpu", &format!("striate reproduce ({name})"))?;
        (self.tell)(&News::Fitting(&folder));
        let outcome = fit(config, &[session], &folder, self.task.device, self.task.stop, &mut |event| {
            (self.tell)(&News::Fit(event));
        })?;
        if self.is_stopped() {
            return Err(self.stopped().file(&out));
        }
        let best = outcome.best.as_ref().map_or(f64::NAN, |best| best.value);
        Ok(Run { twin: Twin::load(&folder, self.task.device)?.into(), best, folder })
    }

    /// [`Work::fit`] of one point of a grid; `None` when it diverges, so that the others can still be chosen from.
    ///
    /// # Errors
    /// As [`Work::fit`], for anything else.
    pub fn fit_point(&mut self, name: &str, config: &FitConfig, session: &Session) -> Result<Option<Run>> {
        match self.fit(name, config, session) {
            Err(error) if error.kind() == Kind::Diverged => {
                self.diverged.push(name.to_owned());
                Ok(None)
            }
            run => run.map(Some),
        }
    }

    /// A note on the points that were left out.
    pub(super) fn left_out(&self) -> Option<String> {
        let names = self.diverged.join(", ");
        (!names.is_empty())
            .then(|| format!("Left out, because their training loss was no longer a number: {names}."))
    }

    /// A metric of each neuron of `run` on one tier of `session`, against `truth` `[trial, neuron]` where it is known.
    ///
    /// # Errors
    /// As [`scoring::score`]; [`Kind::Data`](crate::error::Kind::Data) when the metric is undefined there.
    pub fn metric(
        &self,
        id: &str,
        run: &Run,
        session: &Session,
        truth: Option<&[f32]>,
        tier: Tier,
    ) -> Result<Vec<f64>> {
        let width = session.neurons.len();
        let of_trial = truth.map(|truth| move |trial: usize| Ok(truth[trial * width..][..width].to_vec()));
        let truth = of_trial.as_ref().map(|of| of as scoring::NoiseFree<'_>);
        let scores = self.scores(run, session, truth, tier, Settings::default())?;
        let values = scores.metric(id).map(<[f64]>::to_vec);
        values.ok_or_else(|| Error::data(format!("`{id}` is undefined on this tier")).file(&session.path))
    }

    /// All scores of `run` on one tier of `session`.
    ///
    /// # Errors
    /// As [`scoring::score`].
    pub fn scores(
        &self,
        run: &Run,
        session: &Session,
        truth: Option<scoring::NoiseFree<'_>>,
        tier: Tier,
        settings: Settings,
    ) -> Result<scoring::Scores> {
        let task = scoring::Task {
            name: "reproduction",
            tier,
            provenance: None,
            nulls: &[],
            truth,
            classes: None,
            settings,
        };
        scoring::score(&run.twin, session, &task, self.task.device)
    }

    /// FEV of each neuron against noise-free test responses.
    ///
    /// # Errors
    /// As [`Work::metric`].
    pub fn fev(&self, run: &Run, world: &World) -> Result<Vec<f64>> {
        self.metric("fev", run, &world.session, Some(&world.truth), Tier::Test)
    }
}

fn numbers(key: &str, value: &str) -> Result<Vec<f64>> {
    let inner = value.trim().trim_start_matches('[').trim_end_matches(']');
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|value| value.is_finite());
    let list: Option<Vec<f64>> = inner.split(',').map(number).collect();
    list.ok_or_else(|| {
        Error::config(format!("cannot use `{value}`")).key(key).hint("numbers with commas: 64,128")
    })
}

/// Mean.
pub fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance(values: &[f64]) -> f64 {
    let mean = average(values);
    average(&values.iter().map(|value| (value - mean).powi(2)).collect::<Vec<_>>())
}

/// Standard deviation, 0 for one value.
pub fn spread(values: &[f64]) -> f64 {
    variance(values).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::KlindtLinear;

    #[test]
    fn a_point_that_diverges_is_left_out_and_other_errors_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let (device, stop) = (Device::flex(), AtomicBool::new(false));
        let task =
            Task { out: dir.path(), quick: true, settings: &[], data: None, device: &device, stop: &stop };
        let mut tell = |_: &News<'_>| {};
        let mut work = Work::new(&task, &[], &mut tell).unwrap();
        let small =
            KlindtLinear { neurons: 4, side: 16, kernel: 9, samples: 64, test: 8, ..KlindtLinear::demo() };
        let world = World::new(small).unwrap();
        let wild =
            ["model.core.kernels=[5]", "schedule.max_steps=20", "fit.learning_rate=1e30"].map(String::from);
        let config = FitConfig::preset("demo").unwrap().with(&wild).unwrap();
        assert!(work.fit_point("wild", &config, &world.session).unwrap().is_none());
        let note = work.left_out().unwrap();
        assert!(note.contains("no longer a number: wild."), "{note}");
        let refused = config.with(&["model.core.kernels=[99]".into()]).unwrap();
        assert!(work.fit_point("refused", &refused, &world.session).is_err());
    }
}
