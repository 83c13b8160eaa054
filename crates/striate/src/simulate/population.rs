//! A simulated experiment whose every trial can be computed on its own.

use std::ops::Range;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::dog::DogNeuron;
use super::klindt::KlindtLinear;
use crate::error::Result;
use crate::recording::Tier;

/// Neurons with known receptive fields, and trials computed when asked for.
///
/// Trials are ordered train, validation, test. A trial depends only on the seed and its index, so
/// that any part of an experiment of any length can be had without the rest.
#[derive(Debug, Clone)]
pub struct Simulation {
    parameters: KlindtLinear,
    neurons: Vec<DogNeuron>,
}

/// Consecutive trials, C order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Block {
    /// Images, `[trial, row, column]`, standard normal pixels.
    pub images: Vec<f32>,
    /// Noise-free responses, `[trial, neuron]`.
    pub truth: Vec<f32>,
    /// Recorded responses, `[trial, neuron]`.
    pub responses: Vec<f32>,
}

impl Simulation {
    /// Draws the neurons.
    ///
    /// # Errors
    /// As [`KlindtLinear::check`].
    pub fn new(parameters: KlindtLinear) -> Result<Self> {
        parameters.check()?;
        let parameters = parameters.resolved();
        let neurons = parameters.draw_neurons();
        Ok(Self { parameters, neurons })
    }

    /// What it was made from, defaults filled in.
    pub fn parameters(&self) -> &KlindtLinear {
        &self.parameters
    }

    /// The neurons, type after type.
    pub fn neurons(&self) -> &[DogNeuron] {
        &self.neurons
    }

    /// Number of trials of all tiers.
    pub fn trials(&self) -> usize {
        self.parameters.trials()
    }

    /// Trials of `tier`; empty for a tier that a simulation does not have.
    pub fn trials_of(&self, tier: &Tier) -> Range<usize> {
        let samples = self.parameters.samples;
        let train = samples - self.parameters.validation_images();
        match tier {
            Tier::Train => 0..train,
            Tier::Validation => train..samples,
            Tier::Test => samples..self.trials(),
            _ => 0..0,
        }
    }

    /// Tier of `trial`.
    pub fn tier(&self, trial: usize) -> Tier {
        let is_in = |tier: &Tier| self.trials_of(tier).contains(&trial);
        [Tier::Train, Tier::Validation].into_iter().find(is_in).unwrap_or(Tier::Test)
    }

    /// Number of the image shown in `trial`; repeats share it.
    pub fn stimulus(&self, trial: usize) -> usize {
        let samples = self.parameters.samples;
        match trial.checked_sub(samples) {
            None => trial,
            Some(test) => samples + test / self.parameters.test_repeats.max(1),
        }
    }

    /// Image shown in `trial`, `[row, column]`.
    pub fn image(&self, trial: usize) -> Vec<f32> {
        self.block(trial..trial + 1).images
    }

    /// Noise-free response of every neuron in `trial`.
    pub fn truth(&self, trial: usize) -> Vec<f32> {
        self.block(trial..trial + 1).truth
    }

    /// Recorded response of every neuron in `trial`.
    pub fn responses(&self, trial: usize) -> Vec<f32> {
        self.block(trial..trial + 1).responses
    }

    /// Consecutive trials, computed in parallel.
    pub fn block(&self, trials: Range<usize>) -> Block {
        let (pixels, neurons) = (self.parameters.side.pow(2), self.neurons.len());
        let mut block = Block {
            images: vec![0.0; trials.len() * pixels],
            truth: vec![0.0; trials.len() * neurons],
            responses: vec![0.0; trials.len() * neurons],
        };
        let images = block.images.par_chunks_mut(pixels);
        let responses = block.truth.par_chunks_mut(neurons).zip(block.responses.par_chunks_mut(neurons));
        trials.into_par_iter().zip(images).zip(responses).for_each(|((trial, image), (truth, responses))| {
            self.show(trial, image);
            self.record(trial, image, truth, responses);
        });
        block
    }

    /// S.d. over 100 random images of the mean of 30 noisy responses, per neuron: the height from
    /// which the paper starts a neuron's mask.
    ///
    /// # Source
    /// Klindt et al. 2017, `noise_cancel` of the authors' generator.
    pub fn noise_cancel(&self) -> Vec<f64> {
        const IMAGES: u64 = 100;
        const REPEATS: f64 = 30.0;
        let mean_responses = |image: u64| -> Vec<f64> {
            let mut random = self.random(Draws::Calibration(image));
            let image: Vec<f32> = normal(&mut random).take(self.parameters.side.pow(2)).collect();
            let noise: Vec<f32> = normal(&mut random).take(self.neurons.len()).collect();
            // The mean of 30 noise draws of variance |y*| is one draw of variance |y*| / 30.
            let noisy = |y: f64, z: f32| y + (y.abs() / REPEATS).sqrt() * f64::from(z);
            self.noise_free(&image).zip(noise).map(|(y, z)| noisy(y, z)).collect()
        };
        let responses: Vec<Vec<f64>> = (0..IMAGES).into_par_iter().map(mean_responses).collect();
        let column = |neuron: usize| responses.iter().map(move |image| image[neuron]);
        (0..self.neurons.len()).map(|neuron| standard_deviation(column(neuron))).collect()
    }

    fn show(&self, trial: usize, image: &mut [f32]) {
        let mut random = self.random(Draws::Image(self.stimulus(trial) as u64));
        image.iter_mut().zip(normal(&mut random)).for_each(|(pixel, z)| *pixel = z);
    }

    fn record(&self, trial: usize, image: &[f32], truth: &mut [f32], responses: &mut [f32]) {
        let noisy = self.parameters.test_repeats > 0 || trial < self.parameters.samples;
        let mut random = self.random(Draws::Noise(trial as u64));
        let noise = normal(&mut random);
        for ((y, z), (truth, response)) in
            self.noise_free(image).zip(noise).zip(truth.iter_mut().zip(responses))
        {
            let error = if noisy { y.abs().sqrt() * f64::from(z) } else { 0.0 };
            (*truth, *response) = (y as f32, (y + error) as f32);
        }
    }

    fn noise_free(&self, image: &[f32]) -> impl Iterator<Item = f64> {
        self.neurons.iter().map(move |neuron| neuron.respond(image, self.parameters.side))
    }

    fn random(&self, draws: Draws) -> ChaCha8Rng {
        let seed = self.parameters.stimulus_seed.unwrap_or(self.parameters.seed.into());
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(draws.stream());
        random
    }
}

/// Independent random streams of one seed.
enum Draws {
    Image(u64),
    Noise(u64),
    Calibration(u64),
}

impl Draws {
    fn stream(&self) -> u64 {
        match self {
            Self::Image(image) => image * 3,
            Self::Noise(trial) => trial * 3 + 1,
            Self::Calibration(image) => image * 3 + 2,
        }
    }
}

fn normal(random: &mut ChaCha8Rng) -> impl Iterator<Item = f32> {
    std::iter::repeat_with(|| StandardNormal.sample(random))
}

fn standard_deviation(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    (values.map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> Simulation {
        Simulation::new(KlindtLinear::demo()).unwrap()
    }

    #[test]
    fn a_trial_does_not_depend_on_the_block_it_is_computed_in() {
        let simulation = demo();
        let block = simulation.block(10..14);
        assert_eq!(simulation.responses(12), block.responses[120..180]);
        assert_eq!(simulation.image(13), block.images[3 * 576..]);
        let longer = KlindtLinear { samples: 5000, ..KlindtLinear::demo() };
        assert_eq!(Simulation::new(longer).unwrap().block(10..14), block);
    }

    #[test]
    fn tiers_follow_each_other_and_repeats_share_image_and_truth() {
        let simulation = demo();
        let ranges = [Tier::Train, Tier::Validation, Tier::Test].map(|tier| simulation.trials_of(&tier));
        assert_eq!(ranges, [0..1200, 1200..1500, 1500..2100]);
        assert_eq!((simulation.tier(1199), simulation.tier(1200)), (Tier::Train, Tier::Validation));
        assert_eq!([1499, 1500, 1509, 1510].map(|t| simulation.stimulus(t)), [1499, 1500, 1500, 1501]);
        let block = simulation.block(1500..1502);
        assert_eq!((&block.images[..576], &block.truth[..60]), (&block.images[576..], &block.truth[60..]));
        assert_ne!(block.responses[..60], block.responses[60..]);
    }

    #[test]
    fn test_responses_are_noise_free_without_repeats() {
        let parameters = KlindtLinear { test_repeats: 0, ..KlindtLinear::demo() };
        let simulation = Simulation::new(parameters).unwrap();
        let block = simulation.block(1500..1510);
        assert_eq!(block.responses, block.truth);
        assert_eq!(simulation.trials(), 1560);
    }

    #[test]
    fn a_stimulus_seed_changes_the_images_but_not_the_neurons() {
        let other = KlindtLinear { stimulus_seed: Some(7), ..KlindtLinear::demo() };
        let (a, b) = (demo(), Simulation::new(other).unwrap());
        assert_eq!(a.neurons(), b.neurons());
        assert_ne!(a.image(0), b.image(0));
    }
}
