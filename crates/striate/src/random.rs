//! Seeded draws that do not depend on threads or devices.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal, StandardNormal};
use rayon::prelude::*;

/// A generator for one purpose: independent for each `(seed, stream)`.
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
pub fn dropout_mask(seed: u64, stream: u64, rate: f64, n: usize) -> Vec<f32> {
    let mut rng = generator(seed, stream);
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
pub fn standard_normals(seed: u64, stream: u64, n: usize) -> Vec<f32> {
    let mut values = vec![0.0; n];
    values.par_chunks_mut(STRETCH).enumerate().for_each(|(index, values)| {
        let mut rng = generator(seed, stream + index as u64);
        values.iter_mut().for_each(|value| *value = StandardNormal.sample(&mut rng));
    });
    values
}
