//! Simulating, fitting and scoring for reproductions, with everything kept that took long.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::prelude::Device;

use crate::error::{Error, Result, nearest};
use crate::fit::{FitConfig, fit, run_folder};
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

/// The hands of a reproduction.
pub struct Work<'a> {
    task: &'a Task<'a>,
    settings: BTreeMap<String, Vec<f64>>,
    tell: &'a mut dyn FnMut(&str),
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
    pub fn mean_as_prediction(&self, neurons: &[usize]) -> Result<(Vec<f64>, Vec<f64>)> {
        let recorded =
            |tier: &Tier| self.columns(tier, neurons, |trial| self.session.read(Stream::Responses, trial));
        let width = self.session.neurons.len();
        let truth = |trial: usize| Ok(self.truth[trial * width..][..width].to_vec());
        let mean: Vec<f64> = recorded(&Tier::Train)?.iter().map(|column| average(column)).collect();
        let errors = |columns: Vec<Vec<f64>>| -> Vec<f64> {
            let squared = |(column, mean): (&Vec<f64>, &f64)| {
                average(&column.iter().map(|y| (y - mean).powi(2)).collect::<Vec<_>>())
            };
            columns.iter().zip(&mean).map(squared).collect()
        };
        let test = self.columns(&Tier::Test, neurons, truth)?;
        let variance: Vec<f64> = test.iter().map(|column| variance(column)).collect();
        let fev = errors(test).iter().zip(&variance).map(|(mse, variance)| 1.0 - mse / variance).collect();
        Ok((errors(recorded(&Tier::Validation)?), fev))
    }

    /// Values of `neurons` in all trials of a tier, `[neuron][trial]`.
    fn columns(
        &self,
        tier: &Tier,
        neurons: &[usize],
        row: impl Fn(usize) -> Result<Vec<f32>>,
    ) -> Result<Vec<Vec<f64>>> {
        let mut columns = vec![Vec::new(); neurons.len()];
        for trial in self.session.trials_of(tier) {
            let row = row(trial)?;
            columns.iter_mut().zip(neurons).for_each(|(column, &n)| column.push(f64::from(row[n])));
        }
        Ok(columns)
    }
}

impl<'a> Work<'a> {
    /// Refuses settings that `keys` does not list, or that are no numbers.
    pub(super) fn new(
        task: &'a Task<'a>,
        keys: &[(&str, &str)],
        tell: &'a mut dyn FnMut(&str),
    ) -> Result<Self> {
        let mut settings = BTreeMap::new();
        for text in task.settings {
            let Some((key, value)) = text.split_once('=') else {
                return Err(Error::config(format!("`{text}` sets nothing")).hint("write key=value"));
            };
            if !keys.iter().any(|(known, _)| *known == key) {
                let error = Error::config(format!("there is nothing called `{key}` to set"));
                let near = nearest(key, keys.iter().map(|(known, _)| *known));
                let known: Vec<&str> = keys.iter().map(|(known, _)| *known).collect();
                return Err(error.hint(match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are: {}", known.join(", ")),
                }));
            }
            settings.insert(key.to_owned(), numbers(key, value)?);
        }
        Ok(Self { task, settings, tell })
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

    /// A setting of one whole number above 0, or the default.
    pub fn count(&self, key: &str, default: usize) -> usize {
        self.settings.get(key).and_then(|list| list.first()).map_or(default, |&n| (n as usize).max(1))
    }

    /// As [`Work::list`], of whole numbers.
    pub fn counts(&self, key: &str, default: &[usize]) -> Vec<usize> {
        let default: Vec<f64> = default.iter().map(|&n| n as f64).collect();
        self.list(key, &default).into_iter().map(|n| n as usize).collect()
    }

    /// Says how far it is.
    pub fn tell(&mut self, words: &str) {
        (self.tell)(words);
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
        let folder = run_folder(config, session, &out, "cpu", &format!("striate reproduce ({name})"))?;
        same_configuration(config, &folder)?;
        let outcome = fit(config, session, &folder, self.task.device, self.task.stop, &mut |_| {})?;
        if self.task.stop.load(Ordering::Relaxed) {
            return Err(Error::config("was stopped").file(&out).hint("the same command goes on"));
        }
        let best = outcome.best.as_ref().map_or(f64::NAN, |best| best.value);
        self.tell(&format!("{name}: {} steps, best {best:.5}", outcome.steps));
        Ok(Run { twin: Twin::load(&folder, self.task.device)?.into(), best })
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
        let settings = Settings::default();
        let task = scoring::Task { name: "reproduction", tier, nulls: &[], truth, settings };
        let scores = scoring::score(&run.twin, session, &task, self.task.device)?;
        let values = scores.metric(id).map(<[f64]>::to_vec);
        values.ok_or_else(|| Error::data(format!("`{id}` is undefined on this tier")).file(&session.path))
    }

    /// FEV of each neuron against noise-free test responses.
    ///
    /// # Errors
    /// As [`Work::metric`].
    pub fn fev(&self, run: &Run, world: &World) -> Result<Vec<f64>> {
        self.metric("fev", run, &world.session, Some(&world.truth), Tier::Test)
    }
}

/// A folder of another fit would give the answer to another question.
fn same_configuration(config: &FitConfig, folder: &RunFolder) -> Result<()> {
    let path = folder.config();
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io("cannot read", &path, e))?;
    match text == config.to_toml() {
        true => Ok(()),
        false => Err(Error::config("holds a fit with other settings")
            .file(folder.path())
            .hint("choose another folder with --out, or delete this one")),
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
