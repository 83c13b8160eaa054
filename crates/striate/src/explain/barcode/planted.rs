//! Barcodes of known types, for tests.

use rand_distr::{Distribution, StandardNormal};

use super::barcodes::{Barcodes, Norm, normalise};
use crate::random::generator;

/// Types that read one channel each, neurons of random scale; weights are never negative.
pub struct Planted {
    pub types: usize,
    pub per_type: usize,
    pub channels: usize,
    /// S.d. of every weight, before it is rectified, where the type's own channel has 1.
    pub jitter: f64,
}

impl Planted {
    /// Weights `[neuron, channel]` and types of the neurons, type by type.
    pub fn weights(&self, seed: u64) -> (Vec<f32>, Vec<usize>) {
        let mut rng = generator(seed, 77);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let types: Vec<usize> = (0..self.types * self.per_type).map(|i| i / self.per_type).collect();
        let mut weights = Vec::new();
        for &kind in &types {
            let scale = (0.5 * normal()).exp();
            let own = |c| f64::from(u8::from(c == kind));
            let mut weight = |c| (scale * (own(c) + self.jitter * normal()).max(0.0)) as f32;
            weights.extend((0..self.channels).map(&mut weight));
        }
        (weights, types)
    }

    pub fn barcodes(&self, seed: u64) -> (Barcodes, Vec<usize>) {
        let (weights, types) = self.weights(seed);
        (normalise(&weights, self.channels, Norm::L2).expect("weights are not all 0"), types)
    }
}
