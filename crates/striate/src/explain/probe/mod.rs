//! Probes: what a twin answers to gratings, and what can be read off that, as laboratories do it with animals.
//!
//! Behaviour is held at its mean over the training trials, and so is where the animal looks. All numbers stand beside those of the same model
//! with the weights that its fit began with (`papers/xu2023.md#probes`).

mod decoders;
mod gratings;
mod spectrum;
mod tuning;

use std::fmt::Write;

use burn::prelude::*;
use nalgebra::DMatrix;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::error::{Error, Result, in_range, read, unknown};
use crate::explain::Known;
use crate::explain::statistics::quantile;
use crate::random::{Draws, permutation};
use crate::recording::{Session, Stream, Tier};
use crate::run::RunFolder;
use crate::twin::{State, Twin};

use decoders::FOLDS;
use gratings::{CONTRASTS, Grating, ORIENTATIONS, Screen};

pub use decoders::Decoded;
pub use spectrum::Spectrum;
pub use tuning::Tuning;

/// Clips that are shown at once.
const AT_ONCE: usize = 64;
/// Frames that a model looks at, from which on gratings drift, too.
const MOVING: usize = 4;

/// Options by name, and what they mean.
pub const KEYS: [(&str, &str); 4] = [
    ("frequencies", "spatial frequencies in cycles per pixel [0.0125,0.025,0.05,0.1,0.2]"),
    ("frames", "recorded frames for the spectra, of the test tier, else of all [2000]"),
    ("units", "most units of the core that are decoded from, drawn at random [400]"),
    ("seed", "seed of draws and shuffles [1]"),
];

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Spatial frequencies in cycles per pixel.
    pub frequencies: Vec<f64>,
    /// Recorded frames.
    pub frames: usize,
    /// Most units of the core.
    pub units: usize,
    /// Seed.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { frequencies: vec![0.0125, 0.025, 0.05, 0.1, 0.2], frames: 2000, units: 400, seed: 1 }
    }
}

impl Options {
    /// Sets one of [`KEYS`] from text.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) for an unknown key, and for a value that cannot be used.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "frequencies" => {
                let list = value.trim_matches(['[', ']']).split(',');
                self.frequencies = list.map(|text| read(key, text.trim())).collect::<Result<_>>()?;
            }
            "frames" => self.frames = read(key, value)?,
            "units" => self.units = read(key, value)?,
            "seed" => self.seed = read(key, value)?,
            _ => return Err(unknown("option", key, &KEYS.map(|(name, _)| name))),
        }
        for frequency in &self.frequencies {
            in_range("frequencies", *frequency, 1e-4..=0.5)?;
        }
        if !self.frequencies.is_sorted_by(|a, b| a < b) {
            return Err(Error::config("must rise from one to the next").key("frequencies"));
        }
        in_range("frames", self.frames as f64, 2.0..=100_000.0)?;
        in_range("units", self.units as f64, 1.0..=2000.0)
    }
}

/// One neuron.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Identifier in the recording.
    pub unit_id: i64,
    /// What it is tuned to.
    pub tuning: Tuning,
    /// Mean response over phases at full contrast and its best frequency, by orientation.
    pub curve: Vec<f64>,
    /// Preferred orientation of the true filters of a simulated neuron.
    pub truth_deg: Option<f64>,
}

/// What is said of one population: the neurons, or the units of the core.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Population {
    /// Its name.
    pub name: String,
    /// What can be decoded from it.
    pub decoded: Vec<Decoded>,
    /// Its geometry over recorded frames.
    pub spectrum: Spectrum,
    /// Medians over its units, of those that have one: selectivity, frequency, c50 and F1/F0.
    pub medians: [Option<f64>; 4],
}

/// How preferred orientations agree with those of the true filters of a simulation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Neurons with both, and a selectivity of at least 0.3.
    pub neurons: usize,
    /// Median difference in degrees, at most 90.
    pub median_deg: f64,
    /// The same with the truth of the next neuron; by chance 45.
    pub null_deg: f64,
}

/// `explain/probe/probe.json`.
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
    /// Gratings that stood still, and that drifted; none drift for a model that looks at fewer than four frames.
    pub gratings: [usize; 2],
    /// Grey and amplitude of full contrast, in recorded units.
    pub screen: [f32; 2],
    /// The neurons and the units of the core.
    pub populations: Vec<Population>,
    /// The same of the model before its fit.
    pub untrained: Vec<Population>,
    /// Agreement with the truth of a simulation.
    pub agreement: Option<Agreement>,
    /// One per neuron.
    pub neurons: Vec<Row>,
}

/// Probes `twin`, with `known` of each neuron where it is simulated.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
pub fn explain(
    twin: &Twin,
    session: &Session,
    known: &dyn Fn(usize) -> Option<Known>,
    options: &Options,
    device: &Device,
) -> Result<Explanation> {
    let screen = screen(twin, options);
    let probe = Probe { session, screen: &screen, options, device };
    let untrained = probe.populations(&twin.untrained(options.seed, device)?)?.0;
    let (populations, responses, grey) = probe.populations(twin)?;
    let row = |neuron: usize| {
        let own: Vec<f64> = responses.column(neuron).iter().copied().collect();
        let tuning = tuning::tuning(&own, &options.frequencies, grey[neuron]);
        let truth_deg = known(neuron).and_then(|known| true_orientation(&known, &screen));
        Row { unit_id: twin.card.unit_ids[neuron], curve: curve(&own, options), tuning, truth_deg }
    };
    let neurons: Vec<Row> = (0..twin.card.neurons.len()).map(row).collect();
    Ok(Explanation {
        format: 1,
        striate: env!("CARGO_PKG_VERSION").into(),
        model: twin.digest().to_owned(),
        options: options.clone(),
        gratings: [gratings::still(options.frequencies.len()).len(), probe.drifting(twin).len()],
        screen: [screen.mean, screen.most],
        populations,
        untrained,
        agreement: agreement(&neurons),
        neurons,
    })
}

/// Grey in the middle of the range of the training images, and as much contrast as that has room for.
fn screen(twin: &Twin, options: &Options) -> Screen {
    let normalisation = &twin.card.normalisation;
    let usual = (normalisation.image_mean[0], 1.0 / normalisation.image_scale[0]);
    let [low, high] = normalisation.image_range.unwrap_or([usual.0 - 2.0 * usual.1, usual.0 + 2.0 * usual.1]);
    Screen {
        shape: twin.card.image_shape,
        mean: (low + high) / 2.0,
        most: (high - low) / 2.0,
        frequencies: options.frequencies.clone(),
    }
}

/// Who is shown what.
struct Probe<'a> {
    session: &'a Session,
    screen: &'a Screen,
    options: &'a Options,
    device: &'a Device,
}

impl Probe<'_> {
    /// Gratings that drift, for a model that looks at enough frames.
    fn drifting(&self, twin: &Twin) -> Vec<Grating> {
        let looks_at = twin.card.model.lost() + 1 - twin.card.model.lag;
        match self.session.stimulus.rate_hz {
            Some(rate_hz) if looks_at >= MOVING => {
                gratings::drifting(self.options.frequencies.len(), rate_hz)
            }
            _ => Vec::new(),
        }
    }

    /// What is said of the neurons and of the core; responses of the neurons to gratings that stand still, and to grey.
    fn populations(&self, twin: &Twin) -> Result<(Vec<Population>, DMatrix<f64>, Vec<f64>)> {
        let mut random = Draws::Part(0).generator(self.options.seed);
        let samples = twin.card.model.lost() + 1;
        let still = gratings::still(self.options.frequencies.len());
        let frames = |of: &Grating| self.screen.frames(of, samples);
        let [responses, core] =
            self.shown(twin, still.len(), &|at| Ok(frames(&still[at])), &mut random.clone())?;
        let grey = vec![self.screen.mean; samples * self.screen.shape.iter().product::<usize>()];
        let greys = self.shown(twin, 1, &|_| Ok(grey.clone()), &mut random.clone())?;
        let drifting = self.drifting(twin);
        let moving =
            self.shown(twin, drifting.len(), &|at| Ok(frames(&drifting[at])), &mut random.clone())?;
        let places = self.places(samples)?;
        let recorded = |at: usize| {
            let (trial, start) = places[at];
            self.session.read_samples(Stream::Images, trial, start..start + samples)
        };
        let natural = self.shown(twin, places.len(), &recorded, &mut random.clone())?;
        let mut population = |name: &str, at: usize, still_of: &DMatrix<f64>| {
            let mut decoded = decode_still(still_of, &still, self.options, &mut random);
            decoded.extend(decode_moving(&moving[at], &drifting, &mut random));
            let grey: Vec<f64> = greys[at].row(0).iter().copied().collect();
            Population {
                name: name.to_owned(),
                decoded,
                spectrum: spectrum::spectrum(&natural[at]),
                medians: medians(still_of, &grey, self.options),
            }
        };
        let populations =
            vec![population("neurons", 0, &responses), population("units of the core", 1, &core)];
        let grey = greys[0].row(0).iter().copied().collect();
        Ok((populations, responses, grey))
    }

    /// Responses of the neurons and some units of the core to the last sample of so many clips, `[clip][unit]`.
    fn shown(
        &self,
        twin: &Twin,
        count: usize,
        clip: &dyn Fn(usize) -> Result<Vec<f32>>,
        random: &mut ChaCha8Rng,
    ) -> Result<[DMatrix<f64>; 2]> {
        let (samples, neurons) = (twin.card.model.lost() + 1, twin.card.neurons.len());
        let (mut responses, mut maps, mut chosen) = (Vec::new(), Vec::new(), Vec::new());
        for first in (0..count).step_by(AT_ONCE) {
            let clips = (first..count.min(first + AT_ONCE)).map(clip).collect::<Result<Vec<_>>>()?;
            let frames = clips.concat();
            responses.extend(twin.respond(&frames, samples, &State::default(), self.device)?);
            let seen = twin.maps(&frames, samples, &State::default(), self.device)?;
            let of_clip = seen.values.len() / clips.len();
            let units: usize = seen.shape[1..].iter().product();
            if chosen.is_empty() {
                chosen = permutation(random, units);
                chosen.truncate(self.options.units);
            }
            // Of a clip of several maps the last is that of the response.
            let last = |values: &[f32]| {
                chosen.iter().map(|&unit| values[of_clip - units + unit]).collect::<Vec<f32>>()
            };
            maps.extend(seen.values.chunks_exact(of_clip).flat_map(last));
        }
        let matrix = |values: Vec<f32>, width: usize| {
            DMatrix::from_row_iterator(count, width, values.into_iter().map(f64::from))
        };
        Ok([matrix(responses, neurons), matrix(maps, chosen.len())])
    }

    /// Trial and first sample of recorded clips, evenly over the test tier, or without one over all trials.
    fn places(&self, samples: usize) -> Result<Vec<(usize, usize)>> {
        let tier = self.session.trials_of(&Tier::Test);
        let trials = if tier.is_empty() { (0..self.session.trials.len()).collect() } else { tier };
        let shown = |&trial: &usize| {
            let of = &self.session.trials[trial];
            let starts = if of.has_stimulus { (of.samples + 1).saturating_sub(samples) } else { 0 };
            (0..starts).map(move |start| (trial, start))
        };
        let all: Vec<(usize, usize)> = trials.iter().flat_map(shown).collect();
        if all.len() < 2 {
            let message = format!("no two clips of {samples} frames are there to look at");
            return Err(Error::data(message).file(&self.session.path));
        }
        let count = self.options.frames.min(all.len());
        Ok((0..count).map(|at| all[at * all.len() / count]).collect())
    }
}

/// Orientation, spatial frequency and contrast, at phases that were not seen.
fn decode_still(
    features: &DMatrix<f64>,
    gratings: &[Grating],
    options: &Options,
    random: &mut ChaCha8Rng,
) -> Vec<Decoded> {
    let folds: Vec<usize> = gratings.iter().map(|of| of.phase % FOLDS).collect();
    let mut decode = |what: &str, count: usize, class: fn(&Grating) -> usize| {
        let classes: Vec<usize> = gratings.iter().map(class).collect();
        decoders::decode(what, features, (&classes, count), &folds, random)
    };
    vec![
        decode("orientation", ORIENTATIONS, |of| of.orientation),
        decode("spatial frequency", options.frequencies.len(), |of| of.frequency),
        decode("contrast", CONTRASTS.len(), |of| of.contrast),
    ]
}

/// Which of the directions a grating drifts to.
fn decode_moving(features: &DMatrix<f64>, gratings: &[Grating], random: &mut ChaCha8Rng) -> Option<Decoded> {
    let folds: Vec<usize> = gratings.iter().map(|of| of.phase % FOLDS).collect();
    let classes: Vec<usize> =
        gratings.iter().map(|of| 2 * of.orientation + usize::from(of.drift > 0.0)).collect();
    let all = 2 * ORIENTATIONS;
    (!gratings.is_empty()).then(|| decoders::decode("direction", features, (&classes, all), &folds, random))
}

fn medians(responses: &DMatrix<f64>, grey: &[f64], options: &Options) -> [Option<f64>; 4] {
    let of = |unit: usize| {
        let own: Vec<f64> = responses.column(unit).iter().copied().collect();
        tuning::tuning(&own, &options.frequencies, grey[unit])
    };
    let all: Vec<Tuning> = (0..responses.ncols()).map(of).collect();
    let median = |value: fn(&Tuning) -> Option<f64>| quantile(all.iter().filter_map(value).collect(), 0.5);
    [median(|of| of.osi), median(|of| of.frequency), median(|of| of.c50), median(|of| of.f1_f0)]
}

/// Mean response over phases at full contrast, at the frequency that drives most, by orientation.
fn curve(responses: &[f64], options: &Options) -> Vec<f64> {
    let (frequencies, full) = (options.frequencies.len(), CONTRASTS.len() - 1);
    let mean = |orientation: usize, frequency: usize| {
        let first = ((orientation * frequencies + frequency) * CONTRASTS.len() + full) * gratings::PHASES;
        responses[first..first + gratings::PHASES].iter().sum::<f64>() / gratings::PHASES as f64
    };
    let of = |frequency: usize| (0..ORIENTATIONS).map(|at| mean(at, frequency)).collect::<Vec<f64>>();
    let most = |curve: &[f64]| curve.iter().copied().fold(f64::MIN, f64::max);
    (0..frequencies).map(of).max_by(|a, b| most(a).total_cmp(&most(b))).unwrap_or_default()
}

/// Preferred orientation of known filters: of the amplitudes with which gratings of any phase drive their strongest frames.
fn true_orientation(known: &Known, screen: &Screen) -> Option<f64> {
    let [_, height, width] = screen.shape;
    let strongest = |filter: &Vec<f32>| {
        let energy = |frame: &&[f32]| frame.iter().map(|value| value * value).sum::<f32>();
        filter
            .chunks_exact(height * width)
            .max_by(|a, b| energy(a).total_cmp(&energy(b)))
            .map(<[f32]>::to_vec)
    };
    let frames: Vec<Vec<f32>> = known.filters.iter().filter_map(strongest).collect();
    let amplitude = |orientation: usize, frequency: usize| {
        let squares = [0.0, std::f64::consts::FRAC_PI_2].into_iter().flat_map(|phase| {
            let wave = screen.wave(orientation, frequency, phase);
            let product =
                |frame: &Vec<f32>| frame.iter().zip(&wave).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            frames.iter().map(|frame| product(frame).powi(2)).collect::<Vec<_>>()
        });
        squares.sum::<f64>().sqrt()
    };
    let curve = |frequency: usize| (0..ORIENTATIONS).map(|at| amplitude(at, frequency)).collect::<Vec<f64>>();
    let most = |curve: &[f64]| curve.iter().copied().fold(f64::MIN, f64::max);
    let curves = (0..screen.frequencies.len()).map(curve);
    tuning::orientation(&curves.max_by(|a, b| most(a).total_cmp(&most(b)))?).1
}

fn agreement(rows: &[Row]) -> Option<Agreement> {
    const SELECTIVE: f64 = 0.3;
    let pair = |row: &Row| {
        let selective = row.tuning.osi.is_some_and(|osi| osi >= SELECTIVE);
        row.tuning.orientation_deg.zip(row.truth_deg).filter(|_| selective)
    };
    let pairs: Vec<(f64, f64)> = rows.iter().filter_map(pair).collect();
    let apart = |a: f64, b: f64| ((a - b + 90.0).rem_euclid(180.0) - 90.0).abs();
    let next = |at: usize| pairs[(at + 1) % pairs.len()].1;
    let median_deg = quantile(pairs.iter().map(|(a, b)| apart(*a, *b)).collect(), 0.5)?;
    let null_deg = quantile((0..pairs.len()).map(|at| apart(pairs[at].0, next(at))).collect(), 0.5)?;
    Some(Agreement { neurons: pairs.len(), median_deg, null_deg })
}

impl Explanation {
    /// Writes `explain/probe/` of a run: `probe.json` and `probe.csv`, both or none.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io) when they cannot be written.
    pub fn write(&self, run: &RunFolder) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::data(e.to_string()))?;
        disk::replace_folder(&run.explain("probe"), |folder| {
            disk::write_bytes(&folder.join("probe.csv"), self.table().as_bytes())?;
            disk::write_bytes(&folder.join("probe.json"), &text)
        })
    }

    fn table(&self) -> String {
        let mut text = String::from("unit_id,osi,orientation_deg,frequency,c50,exponent,f1_f0,truth_deg\n");
        for Row { unit_id, tuning, truth_deg, .. } in &self.neurons {
            let Tuning { osi, orientation_deg, frequency, c50, exponent, f1_f0 } = tuning;
            let cells = [osi, orientation_deg, frequency, c50, exponent, f1_f0, truth_deg]
                .map(|value| value.map_or(String::new(), |value| format!("{value:.6}")));
            let _ = writeln!(text, "{unit_id},{}", cells.join(","));
        }
        text
    }
}
