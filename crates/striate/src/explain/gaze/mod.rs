//! Gaze: how a twin turns and moves what the camera sees, by where head and eyes point, and what it makes of a few seconds.
//!
//! Of a simulation the true motions are known; what was learned is held against them, and against copies that are shifted in time.

mod agreement;
mod film;

use std::fmt::Write;

use burn::prelude::*;
use serde::{Deserialize, Serialize};

use crate::array;
use crate::disk;
use crate::error::{Error, Result, in_range, read, unknown};
use crate::recording::{Session, Stream, npy};
use crate::run::RunFolder;
use crate::twin::Twin;

pub use agreement::{Agreement, agreement};
pub use film::{Film, Trace};

/// Options by name, and what they mean.
pub const KEYS: [(&str, &str); 6] = [
    ("seconds", "length of the film in the report, at most 12 [4]"),
    ("trial", "trial that it is taken from, by its number [the first of tier test, else the first]"),
    ("start", "its first sample [where the image moves as much as in all of it]"),
    ("neurons", "neurons below it, the best predicted of that trial, at most 12 [4]"),
    ("shifts", "shifted copies that the agreement with a known gaze is held against [99]"),
    ("seed", "seed of the shifts [1]"),
];

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Length of the film.
    pub seconds: f64,
    /// Trial that it is taken from.
    pub trial: Option<usize>,
    /// Its first sample.
    pub start: Option<usize>,
    /// Neurons that are shown below it.
    pub neurons: usize,
    /// Shifted copies of the motions.
    pub shifts: usize,
    /// Seed of the shifts.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: 4.0, trial: None, start: None, neurons: 4, shifts: 99, seed: 1 }
    }
}

impl Options {
    /// Sets one of [`KEYS`] from text.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) for an unknown key, and for a value that cannot be used.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "seconds" => self.seconds = read(key, value)?,
            "trial" => self.trial = Some(read(key, value)?),
            "start" => self.start = Some(read(key, value)?),
            "neurons" => self.neurons = read(key, value)?,
            "shifts" => self.shifts = read(key, value)?,
            "seed" => self.seed = read(key, value)?,
            _ => return Err(unknown("option", key, &KEYS.map(|(name, _)| name))),
        }
        in_range("seconds", self.seconds, 0.1..=12.0)?;
        in_range("neurons", self.neurons as f64, 0.0..=12.0)?;
        in_range("shifts", self.shifts as f64, 1.0..=10_000.0)
    }
}

/// A line of `gaze.csv`: the motions of a trial, right and down in pixels and clockwise in degrees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its number.
    pub trial: usize,
    /// What it is called.
    pub id: String,
    /// Its tier.
    pub tier: String,
    /// Samples.
    pub samples: usize,
    /// Mean motion.
    pub mean: [f64; 3],
    /// Its s.d.
    pub sd: [f64; 3],
    /// Correlation with the true motions, of a simulation, turned back as [`Agreement::turned_deg`] says.
    pub correlation: Option<[Option<f64>; 3]>,
}

/// `explain/gaze/gaze.json`, with the motions and the film beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Version of the file.
    pub format: u64,
    /// Version of striate that wrote it.
    pub striate: String,
    /// SHA-256 of the weights of the model that is explained.
    pub model: String,
    /// What was asked.
    pub options: Options,
    /// One per trial.
    pub trials: Vec<Row>,
    /// Agreement with the true motions of a simulation, by tier.
    pub agreement: Vec<Agreement>,
    /// What a few seconds look like.
    pub film: Film,
    #[serde(skip)]
    motions: Vec<Vec<[f32; 3]>>,
    #[serde(skip)]
    frames: [array::Array; 2],
}

/// True motions of a trial, `[sample][3]`, of a simulation.
pub type Known<'a> = &'a dyn Fn(usize) -> Result<Vec<[f32; 3]>>;

/// What `twin` makes of where head and eyes of `session` point.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) when it does not correct gaze, or a trial is asked for that there is not;
/// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
pub fn explain(
    twin: &Twin,
    session: &Session,
    known: Option<Known<'_>>,
    options: &Options,
    device: &Device,
) -> Result<Explanation> {
    twin.require_gaze()?;
    let all = 0..session.trials.len();
    let of = |trial| twin.motions(&session.read(Stream::PupilCenter, trial)?, device);
    let motions: Vec<Vec<[f32; 3]>> = all.clone().map(of).collect::<Result<_>>()?;
    let truth = known.map(|known| all.clone().map(known).collect::<Result<Vec<_>>>()).transpose()?;
    let agreement = truth.as_ref().map(|truth| agreement::by_tier(session, &motions, truth, options));
    let (film, frames) = film::film(twin, session, &motions, truth.as_deref(), options, device)?;
    let agreement = agreement.unwrap_or_default();
    let row = |trial: usize| {
        let (of, [mean, sd]) = (&session.trials[trial], moments(&motions[trial]));
        let turned = agreement.iter().find(|agreement| agreement.tier == of.tier.to_string());
        let correlation = truth.as_ref().zip(turned).map(|(truth, turned)| {
            agreement::correlations(
                &agreement::turned_back(&motions[trial], turned.turned_deg),
                &truth[trial],
            )
        });
        let (id, tier) = (of.id.clone(), of.tier.to_string());
        Row { trial, id, tier, samples: of.samples, mean, sd, correlation }
    };
    Ok(Explanation {
        format: 1,
        striate: env!("CARGO_PKG_VERSION").into(),
        model: twin.digest().to_owned(),
        options: options.clone(),
        trials: all.map(row).collect(),
        agreement,
        film,
        motions,
        frames,
    })
}

/// Mean and s.d. of each part of the motions.
pub fn moments(motions: &[[f32; 3]]) -> [[f64; 3]; 2] {
    let n = motions.len().max(1) as f64;
    let mean = [0, 1, 2].map(|at| motions.iter().map(|of| f64::from(of[at])).sum::<f64>() / n);
    let sd = [0, 1, 2].map(|at| {
        let squares = motions.iter().map(|of| (f64::from(of[at]) - mean[at]).powi(2));
        (squares.sum::<f64>() / n).sqrt()
    });
    [mean, sd]
}

impl Explanation {
    /// Writes `explain/gaze/` of a run: `gaze.json`, `gaze.csv`, `film.safetensors` and `motions/TRIAL.npy` `[sample, 3]`, all or none.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io) when they cannot be written.
    pub fn write(&self, run: &RunFolder) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::data(e.to_string()))?;
        let [camera, corrected] = self.frames.clone();
        let film = [("camera".to_owned(), camera), ("corrected".to_owned(), corrected)].into();
        disk::replace_folder(&run.explain("gaze"), |folder| {
            disk::write_bytes(&folder.join("gaze.csv"), self.table().as_bytes())?;
            array::save(&folder.join("film.safetensors"), &film)?;
            for (trial, motions) in self.motions.iter().enumerate() {
                let bytes = npy::write_f32(&[motions.len(), 3], motions.as_flattened());
                disk::write_bytes(&folder.join(format!("motions/{trial}.npy")), &bytes)?;
            }
            disk::write_bytes(&folder.join("gaze.json"), &text)
        })
    }

    fn table(&self) -> String {
        let parts = ["dx_px", "dy_px", "turn_deg"];
        let columns =
            ["mean", "sd", "r"].map(|of| parts.map(|part| format!("{of}_{part}")).join(",")).join(",");
        let mut text = format!("trial,id,tier,samples,{columns}\n");
        for Row { trial, id, tier, samples, mean, sd, correlation } in &self.trials {
            let r = correlation.unwrap_or_default();
            let cell = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.6}"));
            let cells = mean.iter().chain(sd).map(|value| cell(Some(*value))).chain(r.map(cell));
            let id = if id.contains([',', '"', '\n']) {
                format!("\"{}\"", id.replace('"', "\"\""))
            } else {
                id.clone()
            };
            let _ = writeln!(text, "{trial},{id},{tier},{samples},{}", cells.collect::<Vec<_>>().join(","));
        }
        text
    }
}
