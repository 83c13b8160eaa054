//! Seeded draws that do not depend on threads or devices.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal, StandardNormal};
use rayon::prelude::*;

/// What is drawn: together with the seed it decides all random numbers.
///
/// Its number is part of every result that was made with it, so none may change. Some share a number: their seeds differ in
/// purpose, or in value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draws {
    /// Starting weights of the core.
    Core,
    /// Starting weights of the readout.
    Readout,
    /// Starting weights of the shifter.
    Shifter,
    /// Starting weights of the modulator.
    Modulator,
    /// Neurons that `data.neurons` takes.
    Neurons,
    /// Order of the trials of a session in an epoch, and the places of their clips.
    Epoch(u64, u64),
    /// Dropout before a layer of the core, in one step.
    Dropout(u64),
    /// Positions of a Gaussian readout, in one step: a number for each stretch from here on.
    Positions,
    /// Dropout before a fully connected readout, in one step.
    ReadoutDropout,
    /// A simulated image.
    Image(u64),
    /// The noise of a simulated trial.
    Noise(u64),
    /// A simulated image that belongs to no trial.
    Calibration(u64),
    /// Weights of the fixed network whose units are simulated neurons.
    Network,
    /// An image that the fixed network is scaled by.
    NetworkImage(u64),
    /// Places of the neurons of a simulated type.
    Places,
    /// Part of simulated movies, of an animal or a pair, by its number there.
    Movies(u64, u64, u64),
    /// Part of a simulated animal that moves freely, by its number there.
    Moving(u64, u64),
    /// Entries of a channel of barcodes, in another order.
    Channel(u64),
    /// Barcodes drawn with replacement.
    Resample,
    /// Barcodes of which a part is grouped.
    Part(u64),
    /// Where one search for clusters begins.
    Search(u64),
    /// A seed for one kind of draws of barcodes, and which of them.
    Seed(u64, u64),
    /// Clips at which a twin is asked for gradients.
    Clips,
    /// By how much a copy of a series is shifted in time.
    Shifts,
    /// Where the search for what a neuron prefers begins: a neuron of the recording, and which start.
    Stimulus(u64, u64),
    /// Recorded states in which stimuli are shown, in one step.
    States(u64),
}

impl Draws {
    /// Its generator: independent of those of other seeds and numbers.
    pub fn generator(self, seed: u64) -> ChaCha8Rng {
        generator(seed, self.number())
    }

    fn number(self) -> u64 {
        match self {
            Self::Network | Self::Resample | Self::Clips | Self::Shifts => 0,
            Self::Core => 1,
            Self::Readout => 2,
            Self::Neurons => 3,
            Self::Shifter => 4,
            Self::Modulator => 5,
            Self::Epoch(session, epoch) => session << 40 | 1 << 32 | epoch,
            Self::Dropout(layer) => 2 << 32 | layer,
            Self::Positions => 3 << 32,
            Self::ReadoutDropout => 4 << 32,
            Self::Image(image) => image * 3,
            Self::Noise(trial) => trial * 3 + 1,
            Self::Calibration(image) => image * 3 + 2,
            Self::NetworkImage(image) => 1 + image,
            Self::Places => u64::MAX,
            Self::Movies(part, owner, number) => part << 56 | owner << 32 | number,
            Self::Moving(part, animal) => 1 << 63 | part << 32 | animal,
            Self::Channel(number) | Self::Part(number) | Self::Search(number) => number,
            Self::Seed(kind, draw) => (kind + 1) << 32 | draw,
            Self::Stimulus(neuron, start) => neuron << 16 | start,
            Self::States(step) => 1 << 62 | step,
        }
    }
}

/// The seed of what is drawn for a session in one step of a fit.
pub fn seed_of_step(seed: u64, step: u64, session: usize) -> u64 {
    seed ^ (step << 20) ^ (session as u64) << 52
}

/// The seed of the starting weights of a session, but for those of the core.
pub fn seed_of_session(seed: u64, session: usize) -> u64 {
    seed ^ (session as u64) << 44
}

/// A generator, independent for each `(seed, stream)`. The numbers of the library are those of [`Draws`].
pub fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// `n` draws of a normal distribution.
pub fn normal(rng: &mut ChaCha8Rng, n: usize, mean: f64, sd: f64) -> Vec<f32> {
    let normal = Normal::new(mean, sd).expect("the standard deviation is finite");
    (0..n).map(|_| normal.sample(rng) as f32).collect()
}

/// `n` draws of a normal distribution, drawn again when further than two standard deviations from the mean.
pub fn truncated_normal(rng: &mut ChaCha8Rng, n: usize, mean: f64, sd: f64) -> Vec<f32> {
    let normal = Normal::new(0.0, 1.0).expect("a standard normal");
    let mut draw = || std::iter::repeat_with(|| normal.sample(rng)).find(|z: &f64| z.abs() <= 2.0);
    (0..n).map(|_| (mean + sd * draw().unwrap_or(0.0)) as f32).collect()
}

/// `0..n` in random order.
pub fn permutation(rng: &mut ChaCha8Rng, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(rng);
    order
}

/// Zeros at the given rate, `1 / (1 − rate)` elsewhere.
pub fn dropout_mask(seed: u64, draws: Draws, rate: f64, n: usize) -> Vec<f32> {
    let mut rng = draws.generator(seed);
    let keep = (1.0 / (1.0 - rate)) as f32;
    (0..n).map(|_| if rng.random::<f64>() < rate { 0.0 } else { keep }).collect()
}

/// `n` draws uniform within `±bound`.
pub fn uniform(rng: &mut ChaCha8Rng, n: usize, bound: f64) -> Vec<f32> {
    (0..n).map(|_| (bound * (2.0 * rng.random::<f64>() - 1.0)) as f32).collect()
}

/// Draws of a standard normal distribution that are drawn together, each stretch from a stream of its own.
const STRETCH: usize = 1 << 14;

/// `n` draws of a standard normal distribution: many, and on all threads.
pub fn standard_normals(seed: u64, draws: Draws, n: usize) -> Vec<f32> {
    let mut values = vec![0.0; n];
    values.par_chunks_mut(STRETCH).enumerate().for_each(|(index, values)| {
        let mut rng = generator(seed, draws.number() + index as u64);
        values.iter_mut().for_each(|value| *value = StandardNormal.sample(&mut rng));
    });
    values
}

#[cfg(test)]
mod tests {
    use super::Draws::*;
    use super::*;

    /// Another number would be another result of the same configuration and seed.
    #[test]
    fn numbers_of_draws_never_change() {
        let weights = [Core, Readout, Neurons, Shifter, Modulator].map(Draws::number);
        assert_eq!(weights, [1, 2, 3, 4, 5]);
        let of_a_fit = [Epoch(3, 7), Dropout(1), Positions, ReadoutDropout].map(Draws::number);
        assert_eq!(of_a_fit, [0x301_0000_0007, 0x2_0000_0001, 0x3_0000_0000, 0x4_0000_0000]);
        let simulated =
            [Image(5), Noise(5), Calibration(5), Network, NetworkImage(5), Places].map(Draws::number);
        assert_eq!(simulated, [15, 16, 17, 0, 6, u64::MAX]);
        let barcodes = [Channel(3), Resample, Part(3), Search(3), Seed(1, 3)].map(Draws::number);
        assert_eq!(barcodes, [3, 0, 3, 3, 0x2_0000_0003]);
        assert_eq!(Movies(2, 3, 4).number(), 0x0200_0003_0000_0004);
        assert_eq!(Moving(2, 3).number(), 0x8000_0002_0000_0003);
        assert_eq!([Stimulus(2, 3), States(4)].map(Draws::number), [0x2_0003, 0x4000_0000_0000_0004]);
        let seeds = [seed_of_step(5, 2, 0), seed_of_step(5, 2, 3), seed_of_session(5, 3)];
        assert_eq!(seeds, [0x20_0005, 0x30_0000_0020_0005, 0x3000_0000_0005]);
    }
}
