//! `freely-moving`: mice with a camera on their head, in the layout of Xu et al. 2023. What the camera sees falls on a retina that is
//! shifted and turned by eye and head, and the responses of most neurons are multiplied by what the animal does.

mod body;
mod world;
mod write;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::keys::{bounded, require, unknown_key};
use super::movies::cell::{MARGIN, Population, side};
use super::movies::{Kind, range};
use super::world::Options;
use crate::error::{Result, in_range, read};
use crate::random;
use crate::recording::xu2023::BIN_S;
pub use write::write;

/// Parameters that can be set by name, and what they mean.
const KEYS: [(&str, &str); 17] = [
    ("animals", "number of mice, each in a world of its own"),
    ("neurons", "neurons of each mouse"),
    ("height", "rows of a frame"),
    ("width", "columns of a frame"),
    ("segments", "segments that the recording is cut into"),
    ("bins", "bins of 48 ms in each of them, of which 70 % are to train on"),
    ("kinds", "kinds of neurons, in turn: separable,directional,energy,motion-energy"),
    ("orientations", "number of preferred orientations; 0: any"),
    ("size_px", "s.d. of receptive fields in pixels"),
    ("latency_ms", "shortest and longest latency"),
    ("rate_hz", "median firing rate"),
    (
        "gain",
        "most of the share by which modulated neurons are modulated, on average over neurons, below 0.5",
    ),
    ("conjunctions", "whether what modulates with others does so by their product, in place of their sum"),
    ("shift_px", "s.d. of the shift of the retina by eye and head, about"),
    ("turn_deg", "s.d. of its rotation, about"),
    ("dropout", "share of samples in which the eye camera loses the eye"),
    ("seed", "seed of everything"),
];

/// Mice that move freely, with neurons whose filters in space and time, gains and selectivity are known
/// (`papers/simulations.md#freely-moving`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreelyMoving {
    /// Number of mice.
    pub animals: usize,
    /// Neurons of each.
    pub neurons: usize,
    /// Rows of a frame.
    pub height: usize,
    /// Columns of a frame.
    pub width: usize,
    /// Segments of the recording.
    pub segments: usize,
    /// Bins of each.
    pub bins: usize,
    /// Kinds of neurons, in turn.
    pub kinds: Vec<Kind>,
    /// Number of preferred orientations; 0 for any.
    pub orientations: usize,
    /// S.d. of receptive fields in pixels.
    pub size_px: f64,
    /// Shortest and longest latency.
    pub latency_ms: [f64; 2],
    /// Median firing rate.
    pub rate_hz: f64,
    /// Mean over neurons of the largest share by which responses change with behaviour.
    pub gain: f64,
    /// Whether signals that modulate a neuron together do so by their product.
    #[serde(default)]
    pub conjunctions: bool,
    /// S.d. of the shift of the retina.
    pub shift_px: f64,
    /// S.d. of its rotation.
    pub turn_deg: f64,
    /// Share of samples without eye tracking.
    pub dropout: f64,
    /// Seed of everything.
    pub seed: u64,
}

impl FreelyMoving {
    /// One mouse of 24 neurons, two and a half minutes of small frames: written in seconds.
    pub fn small() -> Self {
        Self {
            animals: 1,
            neurons: 24,
            height: 24,
            width: 32,
            segments: 4,
            bins: 800,
            kinds: vec![Kind::Separable, Kind::Energy],
            orientations: 0,
            size_px: 2.5,
            latency_ms: [0.0, 30.0],
            rate_hz: 10.0,
            gain: 0.4,
            conjunctions: false,
            shift_px: 2.0,
            turn_deg: 8.0,
            dropout: 0.02,
            seed: 1,
        }
    }

    /// As large as the first mouse of the paper.
    pub fn full() -> Self {
        let small = Self::small();
        Self {
            neurons: 68,
            height: 60,
            width: 80,
            segments: 10,
            bins: 5382,
            size_px: 6.0,
            shift_px: 6.0,
            ..small
        }
    }

    /// Parts of all segments: to train on, and to test on.
    pub fn trials(&self) -> usize {
        self.segments.saturating_mul(2)
    }

    /// Bins of a part.
    fn samples(&self, is_test: bool) -> usize {
        let train = self.bins * 7 / 10;
        if is_test { self.bins - train } else { train }
    }

    /// Bins of the recording.
    fn all(&self) -> usize {
        self.segments * self.bins
    }

    /// What neurons are drawn from.
    pub(super) fn population(&self) -> Population {
        let Self { height, width, orientations, size_px, latency_ms, gain, .. } = *self;
        Population { shape: [height, width], orientations, size_px, latency_ms, gain, rate_hz: 1.0 / BIN_S }
    }

    fn random(&self, draws: Draws, animal: usize) -> ChaCha8Rng {
        random::Draws::Moving(draws as u64, animal as u64).generator(self.seed)
    }
}

/// Independent random streams of one seed, of an animal.
#[derive(Debug, Clone, Copy)]
enum Draws {
    Cells,
    World,
    Body,
    Spikes,
}

impl Options for FreelyMoving {
    fn keys(&self) -> &'static [(&'static str, &'static str)] {
        &KEYS
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "animals" => self.animals = read(key, value)?,
            "neurons" => self.neurons = read(key, value)?,
            "height" => self.height = read(key, value)?,
            "width" => self.width = read(key, value)?,
            "segments" => self.segments = read(key, value)?,
            "bins" => self.bins = read(key, value)?,
            "kinds" => self.kinds = Kind::list(key, value)?,
            "orientations" => self.orientations = read(key, value)?,
            "size_px" => self.size_px = read(key, value)?,
            "latency_ms" => self.latency_ms = range(key, value)?,
            "rate_hz" => self.rate_hz = read(key, value)?,
            "gain" => self.gain = read(key, value)?,
            "conjunctions" => self.conjunctions = read(key, value)?,
            "shift_px" => self.shift_px = read(key, value)?,
            "turn_deg" => self.turn_deg = read(key, value)?,
            "dropout" => self.dropout = read(key, value)?,
            "seed" => self.seed = read(key, value)?,
            _ => return Err(unknown_key(key, &KEYS)),
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let within =
            |key, value: usize, least: f64, most: usize| in_range(key, value as f64, least..=most as f64);
        within("animals", self.animals, 1.0, 1000)?;
        within("neurons", self.neurons, 1.0, 1 << 16)?;
        within("segments", self.segments, 1.0, 1000)?;
        within("bins", self.bins, 20.0, 1 << 17)?;
        within("height", self.height, 1.0, 1000)?;
        within("width", self.width, 1.0, 1000)?;
        require(self.orientations <= 360, "orientations", "must be at most 360")?;
        in_range("size_px", self.size_px, 0.3..=10.0)?;
        in_range("rate_hz", self.rate_hz, 0.01..=200.0)?;
        in_range("gain", self.gain, 0.0..=0.49)?;
        in_range("shift_px", self.shift_px, 0.0..=100.0)?;
        in_range("turn_deg", self.turn_deg, 0.0..=90.0)?;
        in_range("dropout", self.dropout, 0.0..=0.5)?;
        let [first, last] = self.latency_ms;
        in_range("latency_ms", first, 0.0..=500.0)?;
        in_range("latency_ms", last, first..=500.0)?;
        require(!self.kinds.is_empty(), "kinds", "must name one kind at least")?;
        let field = side(self.size_px) + 2 * MARGIN;
        for (key, side) in [("height", self.height), ("width", self.width)] {
            let message = format!("must be at least {field}, for fields of size_px={}", self.size_px);
            require(side >= field, key, message)?;
        }
        bounded("bins", &[self.height, self.width, self.bins])?;
        bounded("neurons", &[self.neurons, self.segments, self.bins, 2])
    }

    fn words(&self) -> [String; 2] {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        let Self { animals, neurons, height, width, .. } = self;
        let mice = if *animals == 1 { "1 mouse".to_owned() } else { format!("each of {animals} mice") };
        [
            format!("{neurons} in {mice}: {}", kinds.join(", ")),
            format!("{height} × {width} pixels of a world of dead leaves, through a camera on the head"),
        ]
    }

    fn notes(&self) -> &'static [&'static str] {
        &NOTES
    }
}

const NOTES: [&str; 12] = [
    "trials are the parts of segments in the order of time: train 0, test 0, train 1, …; what a filter looks back at goes on over them",
    "gaze/TRIAL.npy [sample, 3]: dx, dy (pixels), a (degrees); a pixel (x, y) of the retina is the point of the frame at cx + cos a (x - cx - dx) + sin a (y - cy - dy), cy - sin a (x - cx - dx) + cos a (y - cy - dy), linear between pixels, 0 contrast outside; (cx, cy) the middle",
    "signals/TRIAL.npy [sample, 6]: speed, pitch, roll, phi, th, eyerad, also where the recording lost the eye",
    "contrast: (pixel - 128) / 50",
    "drive: sum over both components, the patch and lag of space x time x contrast of the retina",
    "y*: ln(1 + exp(2 drive)) of linear kinds; 1.2 sqrt((drive 0 ^ 2 + drive 1 ^ 2) / 2) of energy kinds",
    "modulation.npy [neuron, signal]: -1, 0 or 1; a neuron with k of them is multiplied by 1 + gain tanh(sum of sign z / sqrt(k)), z the signal minus its mean, divided by its s.d., both in closed form",
    "with conjunctions=true a neuron with k > 1 of them is multiplied by 1 + gain tanh(product of sign z)",
    "responses/TRIAL.npy [neuron, sample]: expected spikes of a bin, y* times that, scaled to rate_hz.npy; spikes are Poisson",
    "space.npy [neuron, component, row, column] of a patch of the retina whose first pixel is corner.npy [neuron, (row, column)]",
    "time.npy [neuron, filter, component, lag], lag 0 the frame of the response; linear kinds have one filter, the other is 0",
    "locations.npy [neuron, (row, column)]: centre in pixels of the retina; latency_ms.npy, gain.npy [neuron]; type.npy: index into kinds",
];

#[cfg(test)]
mod tests;
