//! The mice: recorded ones, or simulated ones whose answers are known.

use crate::error::{Error, Result};
use crate::fit::FitConfig;
use crate::recording::{self, Session, Stream, Tier};
use crate::reproduce::Work;
use crate::reproduce::work::{Run, average};
use crate::score::{Evaluation, Preset, Settings, score};
use crate::simulate::{FreelyMoving, Truth, write_freely_moving};

/// What can be set for every item.
pub(super) const KEYS: [(&str, &str); 3] = [
    ("mice", "simulated mice, 3 by default"),
    ("seeds", "seeds of each fit, whose scores are averaged; 0 by default"),
    (
        "max_steps",
        "steps after which a fit stops; 1000 on simulated mice, as published (100 or 50 epochs) on recordings",
    ),
];

/// The same with other networks.
pub(super) const WITH_BASELINES: [(&str, &str); 4] = [
    KEYS[0],
    KEYS[1],
    KEYS[2],
    ("baselines", "1: other networks too (default on recordings), 0: not (default on simulated mice)"),
];

/// Names of the published mice.
const PUBLISHED: [&str; 3] = ["070921_J553RT", "110421_J569LT", "101521_J559NC"];
/// The metric of the paper.
const METRIC: &str = "smoothed_correlation";

/// One mouse.
#[derive(Debug)]
pub(super) struct Mouse {
    pub session: Session,
    /// Which of the published ones it is, counted from 0.
    pub published: Option<usize>,
    truth: Option<Truth>,
    /// Its seed, where it was simulated here.
    seed: Option<usize>,
}

/// Those of the recording that was named, else simulated ones below the output folder.
pub(super) fn all(work: &Work<'_>) -> Result<Vec<Mouse>> {
    let Some(path) = work.data() else { return simulated(work) };
    let sessions = recording::open(path)?.sessions;
    if let Some(other) = sessions.iter().find(|session| !session.has_clips()) {
        let message = "holds images, and the paper is of mice that move freely";
        return Err(Error::data(message).file(&other.path).hint("leave `--data` out for simulated mice"));
    }
    let mouse = |session: Session| -> Result<Mouse> {
        let published = PUBLISHED.iter().position(|id| *id == session.id);
        Ok(Mouse { published, truth: Truth::open(&session)?, seed: None, session })
    };
    sessions.into_iter().map(mouse).collect()
}

fn simulated(work: &Work<'_>) -> Result<Vec<Mouse>> {
    let count = if work.quick() { 1 } else { work.count("mice", 3)? };
    let mouse = |seed: usize| -> Result<Mouse> {
        let folder = work.out().join("mice").join(format!("seed{seed}"));
        if !folder.is_dir() {
            write_freely_moving(&parameters(seed as u64, work.quick()), &folder)?;
        }
        let session = recording::open(&folder)?.sessions.remove(0);
        Ok(Mouse { published: None, truth: Truth::open(&session)?, seed: Some(seed), session })
    };
    (1..=count).map(mouse).collect()
}

/// A mouse with as many bins as the shortest published recording, and with frames that two cores see often enough.
fn parameters(seed: u64, quick: bool) -> FreelyMoving {
    let small = FreelyMoving { seed, conjunctions: true, ..FreelyMoving::small() };
    match quick {
        true => FreelyMoving { neurons: 8, segments: 2, bins: 150, ..small },
        false => FreelyMoving { neurons: 64, segments: 10, bins: 3000, ..small },
    }
}

impl Mouse {
    /// Whether it is simulated.
    pub fn is_simulated(&self) -> bool {
        self.truth.is_some()
    }

    /// What is known of it, where it is simulated.
    pub fn truth(&self) -> Option<&Truth> {
        self.truth.as_ref()
    }

    /// What its run folders begin with.
    pub fn folder(&self) -> String {
        self.name().replace([' ', ','], "")
    }

    /// What it is called in a row.
    pub fn name(&self) -> String {
        match (self.published, self.seed) {
            (Some(at), _) => format!("mouse {}", at + 1),
            (None, Some(seed)) => format!("simulated mouse, seed{seed}"),
            (None, None) => self.session.id.clone(),
        }
    }

    /// A preset of the paper with changes, made smaller for frames that are too small for its network.
    pub fn config(&self, work: &Work<'_>, preset: &str, changes: &[&str]) -> Result<FitConfig> {
        let mut all: Vec<String> = Vec::new();
        if self.is_simulated() {
            all.extend(smaller(preset).into_iter().map(String::from));
        }
        all.extend(changes.iter().copied().map(String::from));
        // So that the runs can be asked by other verbs, too.
        all.push(format!("data.path={}", self.session.path.display()));
        let mut config = FitConfig::preset(preset)?.with(&all)?;
        let most = match (work.quick(), self.is_simulated()) {
            (true, _) => 10,
            (false, true) => 1000,
            (false, false) => 0,
        };
        config.schedule.max_steps = match most {
            0 => work.list("max_steps", &[0.0])[0] as u64,
            most => work.count("max_steps", most)? as u64,
        };
        Ok(config)
    }

    /// The full model over one bin, whose gaze correction starts still: the fit that tables 2 and 3 and figure 3 make with seed 0.
    pub fn full(&self, work: &mut Work<'_>) -> Result<Run> {
        let config = self.config(work, "xu2023", &["model.shifter.starts_still=true"])?;
        work.fit(&format!("{}-all_prod-seed0", self.folder()), &config, &self.session)
    }

    /// The metric of the paper for each neuron, of one fit for each seed.
    pub fn fitted(&self, work: &mut Work<'_>, name: &str, config: &FitConfig) -> Result<Vec<f64>> {
        let seeds = work.list("seeds", &[0.0]);
        let mut sums: Vec<f64> = Vec::new();
        for &seed in &seeds {
            let folder = format!("{}-{name}-seed{seed}", self.folder());
            let run = work.fit(&folder, &FitConfig { seed: seed as u64, ..config.clone() }, &self.session)?;
            let values = work.scores(&run, &self.session, None, Tier::Test, settings())?;
            let values = values.metric(METRIC).unwrap_or_default().to_vec();
            sums.resize(values.len(), 0.0);
            // A neuron whose prediction is constant says nothing of the mouse.
            sums.iter_mut().zip(values).for_each(|(sum, r)| *sum += if r.is_finite() { r } else { 0.0 });
        }
        Ok(sums.into_iter().map(|sum| sum / seeds.len() as f64).collect())
    }

    /// The same metric of what its neurons would do without noise: the most that a model can reach.
    pub fn ceiling(&self) -> Result<Option<f64>> {
        let Some(truth) = &self.truth else { return Ok(None) };
        self.of(&|trial| truth.responses(trial))
    }

    /// The same metric of a prediction that never changes, which is not 0: what lies beyond both ends counts as 0, for the recorded
    /// spikes as well.
    pub fn floor(&self) -> Result<Option<f64>> {
        self.of(&|trial| Ok(vec![1.0; self.session.trials[trial].samples * self.session.neurons.len()]))
    }

    fn of(&self, predicted: &dyn Fn(usize) -> Result<Vec<f32>>) -> Result<Option<f64>> {
        let (mut recorded, mut expected, mut samples) = (Vec::new(), Vec::new(), Vec::new());
        for trial in self.session.trials_of(&Tier::Test) {
            recorded.extend(self.session.read(Stream::Responses, trial)?);
            expected.extend(predicted(trial)?);
            samples.push(self.session.trials[trial].samples);
        }
        let stimulus: Vec<usize> = (0..samples.iter().sum()).collect();
        let rate = self.session.stimulus.rate_hz.unwrap_or_default();
        let width = Preset::Xu2023.smoothed_samples(rate).unwrap_or(1);
        let evaluation = Evaluation::new(self.session.neurons.len(), &recorded, &stimulus)?
            .with_predictions(&expected)?
            .in_time(&samples, width);
        Ok(score(&evaluation, &settings()).summaries.get(METRIC).and_then(|summary| summary.mean))
    }
}

fn settings() -> Settings {
    Settings { preset: Preset::Xu2023, ..Settings::default() }
}

/// What the simulated mice change: networks for frames of 24 × 32, and a faster rate for fewer steps.
fn smaller(preset: &str) -> Vec<&'static str> {
    let mut changes = vec!["schedule.check_every=100", "data.images=scalar"];
    if ["xu2023-cnn", "xu2023"].contains(&preset) {
        changes.extend([
            "fit.learning_rate=5e-4",
            "model.core.kernels=[7,5,3]",
            "model.core.strides=[2,1,1]",
            "model.core.channels=[32,16,16]",
            "model.core.dropout=0.2",
            "model.readout.dropout=0.3",
        ]);
    }
    if preset == "xu2023" {
        changes.push("model.modulator.hidden=128");
    }
    changes
}

/// Mean over neurons of what one adds to the other, and half its 95 % interval.
pub(super) fn gain(before: &[f64], after: &[f64]) -> (f64, f64) {
    let gains: Vec<f64> = before.iter().zip(after).map(|(before, after)| after - before).collect();
    let mean = average(&gains);
    let squares: f64 = gains.iter().map(|gain| (gain - mean).powi(2)).sum();
    let n = gains.len() as f64;
    (mean, 1.96 * (squares / (n - 1.0).max(1.0) / n).sqrt())
}
