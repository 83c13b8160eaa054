//! What every kind of ground truth provides.

use std::fmt::Debug;

use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::design::Design;
use super::dog::DogNeuron;
use crate::error::Result;

/// What the parameters of every kind of simulation can be asked.
pub(super) trait Options {
    /// Names of the parameters that can be set, and what they mean.
    fn keys(&self) -> &'static [(&'static str, &'static str)];
    /// Sets one of the keys from text.
    fn set(&mut self, key: &str, value: &str) -> Result<()>;
    /// Refuses parameters that cannot be simulated; of images [`Design::check`] does the common ones.
    fn check(&self) -> Result<()>;
    /// Neurons, and images or movies, in words.
    fn words(&self) -> [String; 2];
    /// What the reader of `truth.json` has to know.
    fn notes(&self) -> &'static [&'static str];
}

/// A kind of ground truth for images as its parameters, before it is built.
pub(super) trait GroundTruth: Options {
    /// Neurons, trials and images; must not panic on unchecked parameters.
    fn design(&self) -> Design;
    /// Fills in every default, so that it can be written down.
    fn resolve(&mut self);
    /// Side of the kernels in pixels, where neurons have one.
    fn kernel(&self) -> Option<usize> {
        None
    }
    /// Draws the neurons.
    fn build(&self) -> Box<dyn World>;
}

/// Neurons and the images they see. Trials and noise are added by [`Simulation`](super::Simulation).
pub(super) trait World: Debug + Send + Sync {
    /// The neurons, type after type.
    fn neurons(&self) -> Vec<Neuron>;
    /// The neurons with their receptive fields, when they are linear.
    fn linear(&self) -> &[DogNeuron] {
        &[]
    }
    /// Draws one image, `[channel, height, width]`.
    fn show(&self, random: &mut ChaCha8Rng, image: &mut [f32]);
    /// Noise-free response of each neuron to one image.
    fn respond(&self, image: &[f32]) -> Vec<f64>;
}

/// A neuron with known answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neuron {
    /// Index of its type.
    pub kind: usize,
    /// Row and column of its centre in a mask after valid convolutions.
    pub location: [f64; 2],
}

/// Standard normal draws without end.
pub(super) fn normal(random: &mut ChaCha8Rng) -> impl Iterator<Item = f32> {
    std::iter::repeat_with(|| StandardNormal.sample(random))
}
