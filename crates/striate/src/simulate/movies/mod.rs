//! `movies`: animals with known space-time filters that see movies, in the layout of Sensorium 2023.

mod animal;
pub(super) mod body;
pub(super) mod cell;
mod scene;
pub(super) mod write;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::keys::{bounded, read_list, require, unknown_key};
use super::world::Options;
use crate::error::{Result, in_range, read};
use crate::random;
use crate::recording::Stream;
pub use cell::Kind;

/// Samples per second of all streams.
const RATE_HZ: f64 = 30.0;
/// Tiers that models are judged on, in the order of the competition.
const JUDGED: [&str; 5] =
    ["oracle", "live_test_main", "live_test_bonus", "final_test_main", "final_test_bonus"];

/// Least noise but none.
const LEAST_NOISE: f64 = 1e-3;

/// Parameters that can be set by name, and what they mean.
const KEYS: [(&str, &str); 19] = [
    ("animals", "number of animals; 1 and 2, 3 and 4, … share movies"),
    ("neurons", "neurons of each animal"),
    ("height", "rows of a frame"),
    ("width", "columns of a frame"),
    ("train", "training movies of each animal, each shown once"),
    ("shared", "share of the training movies that the other of a pair sees, too"),
    ("test", "movies in each of the five other tiers, the same for both of a pair"),
    ("repeats", "presentations of each of these"),
    ("frames", "samples of the shortest trial; others last up to 8 % longer"),
    ("kinds", "kinds of neurons, in turn: separable,directional,energy,motion-energy"),
    ("orientations", "number of preferred orientations; 0: any"),
    ("size_px", "s.d. of receptive fields in pixels"),
    ("latency_ms", "shortest and longest latency"),
    ("gain", "share of the mean that running adds to responses, on average over neurons"),
    ("eye_px", "s.d. of the shift of the image by eye movements"),
    ("noise", "variance of responses divided by their mean, from 0.001; 0: noise-free"),
    ("delayed", "stream of the last animal that lags behind: responses, behavior, pupil_center, images"),
    ("delay", "samples by which it does"),
    ("seed", "seed of everything"),
];

/// Animals that see movies of moving dead leaves, with neurons whose filters in space and time are known.
///
/// Responses are y* (1 + g · running speed) with y* a function of one filter, or of the energy of two
/// (`papers/simulations.md#movies`), with the noise of deconvolved two-photon traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Movies {
    /// Number of animals.
    pub animals: usize,
    /// Neurons of each.
    pub neurons: usize,
    /// Rows of a frame.
    pub height: usize,
    /// Columns of a frame.
    pub width: usize,
    /// Training movies of each animal.
    pub train: usize,
    /// Share of them that the other animal of a pair sees, too.
    pub shared: f64,
    /// Movies in each of the judged tiers.
    pub test: usize,
    /// Presentations of each of these.
    pub repeats: usize,
    /// Samples of the shortest trial.
    pub frames: usize,
    /// Kinds of neurons, in turn.
    pub kinds: Vec<Kind>,
    /// Number of preferred orientations; 0 for any.
    pub orientations: usize,
    /// S.d. of receptive fields in pixels.
    pub size_px: f64,
    /// Shortest and longest latency.
    pub latency_ms: [f64; 2],
    /// Share of the mean that running adds to responses.
    pub gain: f64,
    /// S.d. of the shift of the image by eye movements.
    pub eye_px: f64,
    /// Variance of responses divided by their mean.
    pub noise: f64,
    /// Stream of the last animal that lags behind.
    pub delayed: Stream,
    /// Samples by which it does.
    pub delay: usize,
    /// Seed of everything.
    pub seed: u64,
}

impl Movies {
    /// Two animals of 60 neurons, small movies: written in a second.
    pub fn small() -> Self {
        Self {
            animals: 2,
            neurons: 60,
            height: 18,
            width: 32,
            train: 24,
            shared: 0.5,
            test: 1,
            repeats: 4,
            frames: 150,
            kinds: Kind::ALL.to_vec(),
            orientations: 4,
            size_px: 1.2,
            latency_ms: [30.0, 60.0],
            gain: 0.2,
            eye_px: 0.5,
            noise: 0.5,
            delayed: Stream::Responses,
            delay: 0,
            seed: 1,
        }
    }

    /// As large as the recordings of the competition: 10 animals, 60 trials of 10 s each.
    pub fn full() -> Self {
        let small = Self::small();
        Self {
            animals: 10,
            neurons: 7800,
            height: 36,
            width: 64,
            train: 40,
            repeats: 4,
            frames: 300,
            orientations: 0,
            size_px: 2.5,
            latency_ms: [30.0, 100.0],
            ..small
        }
    }

    /// Trials of each animal.
    pub fn trials(&self) -> usize {
        let judged = self.test.saturating_mul(self.repeats).saturating_mul(JUDGED.len());
        self.train.saturating_add(judged)
    }

    /// Samples by which the longest trial may be longer than the shortest: the competition stores 324 of 300.
    fn spare(&self) -> usize {
        self.frames / 100 * 8 + self.frames % 100 * 8 / 100
    }

    /// Samples in the files, NaN behind the end of a trial.
    fn stored(&self) -> usize {
        self.frames.saturating_add(self.spare())
    }

    /// What the neurons of an animal are drawn from.
    pub(super) fn population(&self) -> cell::Population {
        let Self { height, width, orientations, size_px, latency_ms, gain, .. } = *self;
        cell::Population { shape: [height, width], orientations, size_px, latency_ms, gain, rate_hz: RATE_HZ }
    }

    fn random(&self, draws: Draws) -> ChaCha8Rng {
        draws.numbered().generator(self.seed)
    }
}

/// Independent random streams of one seed.
#[derive(Debug, Clone, Copy)]
enum Draws {
    /// Of an animal.
    Cells(usize),
    /// Of an animal.
    Cortex(usize),
    /// Of an animal.
    Order(usize),
    /// Of a pair: which.
    SharedMovie(usize, usize),
    /// Of an animal: which.
    OwnMovie(usize, usize),
    /// Of an animal in a trial.
    Body(usize, usize),
    /// Of an animal in a trial.
    Noise(usize, usize),
    /// Movies that no animal sees.
    Calibration(usize),
}

impl Draws {
    fn numbered(self) -> random::Draws {
        let (purpose, owner, index) = match self {
            Self::Cells(animal) => (0, animal, 0),
            Self::Order(animal) => (1, animal, 0),
            Self::SharedMovie(pair, index) => (2, pair, index),
            Self::OwnMovie(animal, index) => (3, animal, index),
            Self::Body(animal, trial) => (4, animal, trial),
            Self::Noise(animal, trial) => (5, animal, trial),
            Self::Calibration(index) => (6, 0, index),
            Self::Cortex(animal) => (7, animal, 0),
        };
        random::Draws::Movies(purpose, owner as u64, index as u64)
    }
}

impl Options for Movies {
    fn keys(&self) -> &'static [(&'static str, &'static str)] {
        &KEYS
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "animals" => self.animals = read(key, value)?,
            "neurons" => self.neurons = read(key, value)?,
            "height" => self.height = read(key, value)?,
            "width" => self.width = read(key, value)?,
            "train" => self.train = read(key, value)?,
            "shared" => self.shared = read(key, value)?,
            "test" => self.test = read(key, value)?,
            "repeats" => self.repeats = read(key, value)?,
            "frames" => self.frames = read(key, value)?,
            "kinds" => self.kinds = Kind::list(key, value)?,
            "orientations" => self.orientations = read(key, value)?,
            "size_px" => self.size_px = read(key, value)?,
            "latency_ms" => self.latency_ms = range(key, value)?,
            "gain" => self.gain = read(key, value)?,
            "eye_px" => self.eye_px = read(key, value)?,
            "noise" => self.noise = read(key, value)?,
            "delayed" => self.delayed = stream(key, value)?,
            "delay" => self.delay = read(key, value)?,
            "seed" => self.seed = read(key, value)?,
            _ => return Err(unknown_key(key, &KEYS)),
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let within = |key, value: usize, most: usize| in_range(key, value as f64, 1.0..=most as f64);
        within("animals", self.animals, 1000)?;
        within("neurons", self.neurons, 1 << 20)?;
        within("train", self.train, 1 << 20)?;
        within("test", self.test, 1 << 10)?;
        within("repeats", self.repeats, 1 << 10)?;
        in_range("frames", self.frames as f64, 20.0..=1e5)?;
        require(self.orientations <= 360, "orientations", "must be at most 360")?;
        in_range("shared", self.shared, 0.0..=1.0)?;
        in_range("size_px", self.size_px, 0.3..=10.0)?;
        in_range("gain", self.gain, 0.0..=10.0)?;
        in_range("eye_px", self.eye_px, 0.0..=10.0)?;
        // Events become more without end as they become smaller.
        in_range("noise", self.noise, if self.noise == 0.0 { 0.0 } else { LEAST_NOISE }..=100.0)?;
        let [first, last] = self.latency_ms;
        in_range("latency_ms", first, 0.0..=500.0)?;
        in_range("latency_ms", last, first..=500.0)?;
        require(!self.kinds.is_empty(), "kinds", "must name one kind at least")?;
        require(self.delay < self.frames, "delay", format!("must be below frames, {}", self.frames))?;
        let field = cell::side(self.size_px) + 2 * cell::MARGIN;
        for (key, side) in [("height", self.height), ("width", self.width)] {
            let message = format!("must be at least {field}, for fields of size_px={}", self.size_px);
            require(side >= field, key, message)?;
        }
        in_range("height", self.height as f64, 1.0..=1000.0)?;
        in_range("width", self.width as f64, 1.0..=1000.0)?;
        bounded("frames", &[self.height, self.width, self.stored()])?;
        bounded("neurons", &[self.neurons, self.stored()])
    }

    fn words(&self) -> [String; 2] {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        let Self { animals, neurons, height, width, .. } = self;
        [
            format!("{neurons} in each of {animals} animals: {}", kinds.join(", ")),
            format!("{height} × {width} pixels of moving dead leaves, {RATE_HZ} Hz"),
        ]
    }

    fn notes(&self) -> &'static [&'static str] {
        &NOTES
    }
}

const NOTES: [&str; 8] = [
    "contrast: (pixel - 128) / 50 of the frame as seen from eye_px (pupil centre - (320, 240)) / 10 pixels further right and down",
    "drive: sum over both components, the patch and lag of space x time x contrast; before the first frame contrast is 0",
    "y*: ln(1 + exp(2 drive)) of linear kinds; 1.2 sqrt((drive 0 ^ 2 + drive 1 ^ 2) / 2) of energy kinds; times 1 + gain x speed / 10",
    "responses: y* is their mean; as many events as Poisson's law gives, of exponential size with mean noise / 2",
    "space.npy [neuron, component, row, column] of a patch whose first pixel is corner.npy [neuron, (row, column)]",
    "time.npy [neuron, filter, component, lag], lag 0 the frame of the response; linear kinds have one filter, the other is 0",
    "locations.npy [neuron, (row, column)]: centre in pixels; latency_ms.npy, gain.npy [neuron]; type.npy: index into kinds",
    "responses/TRIAL.npy [neuron, sample]: y*, on the clock of the movie, also where a stream of the recording lags behind",
];

pub(super) fn range(key: &str, value: &str) -> Result<[f64; 2]> {
    let list = read_list(key, value)?;
    let both = <[f64; 2]>::try_from(list);
    both.map_err(|_| crate::error::Error::config("must be two numbers, e.g. 30,60").key(key))
}

fn stream(key: &str, value: &str) -> Result<Stream> {
    const ALL: [Stream; 4] = [Stream::Responses, Stream::Behavior, Stream::PupilCenter, Stream::Images];
    let named = ALL.into_iter().find(|stream| stream.name() == value.trim());
    let names = ALL.map(Stream::name);
    named.ok_or_else(|| crate::error::unknown("stream", value, &names).key(key))
}

#[cfg(test)]
mod tests;
