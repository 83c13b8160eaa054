//! A simulated experiment whose every trial can be computed on its own.

use std::ops::Range;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::design::Design;
use super::dog::DogNeuron;
use super::parameters::Parameters;
use super::world::{Neuron, World, normal};
use crate::error::{Error, Result};
use crate::random::Draws;
use crate::recording::Tier;

/// Neurons whose right answer is known, and trials computed when asked for.
///
/// Trials are ordered train, validation, test. A trial depends only on the seed and its index, so
/// that any part of an experiment of any length can be had without the rest.
#[derive(Debug, Clone)]
pub struct Simulation {
    parameters: Parameters,
    design: Design,
    neurons: Vec<Neuron>,
    world: Arc<dyn World>,
}

/// Consecutive trials, C order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Block {
    /// Images, `[trial, channel, row, column]`.
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
    /// As [`Parameters::check`], and for parameters of movies, which [`write_movies`](super::write_movies) writes trial by trial.
    pub fn new(parameters: impl Into<Parameters>) -> Result<Self> {
        let parameters: Parameters = parameters.into();
        parameters.check()?;
        let parameters = parameters.resolved();
        let of_movies = || Error::config("is of movies, not of images").key("generator");
        let images = parameters.images().ok_or_else(of_movies)?;
        let (design, world): (Design, Arc<dyn World>) = (images.design(), images.build().into());
        Ok(Self { design, neurons: world.neurons(), world, parameters })
    }

    /// What it was made from, defaults filled in.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Neurons, trials and images.
    pub fn design(&self) -> &Design {
        &self.design
    }

    /// The neurons, type after type.
    pub fn neurons(&self) -> &[Neuron] {
        &self.neurons
    }

    /// The neurons with their receptive fields; none when they are not linear.
    pub fn linear(&self) -> &[DogNeuron] {
        self.world.linear()
    }

    /// Number of trials of all tiers.
    pub fn trials(&self) -> usize {
        self.design.trials()
    }

    /// Trials of `tier`; empty for a tier that a simulation does not have.
    pub fn trials_of(&self, tier: &Tier) -> Range<usize> {
        self.design.trials_of(tier)
    }

    /// Tier of `trial`.
    pub fn tier(&self, trial: usize) -> Tier {
        self.design.tier(trial)
    }

    /// Number of the image shown in `trial`; repeats share it.
    pub fn stimulus(&self, trial: usize) -> usize {
        self.design.stimulus(trial)
    }

    /// Image shown in `trial`, `[channel, row, column]`.
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
        let (pixels, neurons) = (self.design.pixels(), self.neurons.len());
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
            let mut shown = vec![0.0; self.design.pixels()];
            self.world.show(&mut random, &mut shown);
            let noise: Vec<f32> = normal(&mut random).take(self.neurons.len()).collect();
            // The mean of 30 noise draws of variance |y*| is one draw of variance |y*| / 30.
            let noisy = |y: f64, z: f32| y + (y.abs() / REPEATS).sqrt() * f64::from(z);
            self.world.respond(&shown).into_iter().zip(noise).map(|(y, z)| noisy(y, z)).collect()
        };
        let responses: Vec<Vec<f64>> = (0..IMAGES).into_par_iter().map(mean_responses).collect();
        let column = |neuron: usize| responses.iter().map(move |image| image[neuron]);
        (0..self.neurons.len()).map(|neuron| standard_deviation(column(neuron))).collect()
    }

    fn show(&self, trial: usize, image: &mut [f32]) {
        self.world.show(&mut self.random(Draws::Image(self.stimulus(trial) as u64)), image);
    }

    fn record(&self, trial: usize, image: &[f32], truth: &mut [f32], responses: &mut [f32]) {
        let noisy = self.design.is_noisy(trial);
        let mut random = self.random(Draws::Noise(trial as u64));
        let answers = self.world.respond(image).into_iter().zip(normal(&mut random));
        for ((y, z), (truth, response)) in answers.zip(truth.iter_mut().zip(responses)) {
            let error = if noisy { y.abs().sqrt() * f64::from(z) } else { 0.0 };
            (*truth, *response) = (y as f32, (y + error) as f32);
        }
    }

    fn random(&self, draws: Draws) -> ChaCha8Rng {
        draws.generator(self.design.stimulus_seed)
    }
}

fn standard_deviation(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    (values.map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::KlindtLinear;

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
