//! The nonlinear neurons' network: three layers of fixed weights, standing in for a network trained on natural images.

use std::f64::consts::PI;
use std::sync::OnceLock;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use striate_kernels::activation::Activation;
use striate_kernels::conv2d::Conv2d;
use striate_kernels::epilogue::Epilogue;

use super::leaves::{CHANNELS, paint};
use crate::random::{Draws, permutation};

/// Side of the images in pixels.
pub const SIDE: usize = 44;
/// Side of the kernels in pixels.
const KERNEL: usize = 5;
/// Rows, and columns, of the last layer.
pub const POSITIONS: usize = SIDE - 3 * (KERNEL - 1);
/// Units of the last layer: neurons of one type share one, each at a position of its own.
pub const TYPES: usize = 16;

/// Seed of weights and calibration images, far from those that are chosen by hand.
pub const SEED: u64 = 0x6b6c_696e_6474_3137;
/// Images that thresholds and gains are measured on; seen in no trial.
const CALIBRATION: u64 = 256;
/// Share of positions and images at which the units of each layer are active.
const ACTIVE: [f64; 3] = [0.5, 0.5, 0.2];

/// Unit `k` of the last layer at every position: the response of a neuron of type `k` there, with mean 1.
#[derive(Debug)]
pub struct Network {
    layers: [Layer; 3],
}

/// A convolution without padding, then rectification.
#[derive(Debug)]
struct Layer {
    shape: Conv2d,
    /// `[output, input, row, column]`.
    weights: Vec<f32>,
    /// One per output, minus its threshold.
    bias: Vec<f32>,
}

impl Network {
    /// The one network there is.
    ///
    /// The layers are 16 Gabor filters (12 of luminance, 4 of opponent colours), 32 units that combine these (16
    /// complex cells, 16 conjunctions of filters) and 16 units, the types, each of which combines two of these: of
    /// 64 drawn ones, those whose responses are least alike. The kernels of a unit have norm 1. Threshold and gain
    /// of each unit are then such that, over calibration images of their own and all positions, it is active in a
    /// fixed share and its mean response is 1. As images have the same statistics everywhere, that is the mean
    /// response of each neuron of the type.
    pub fn fixed() -> &'static Self {
        static NETWORK: OnceLock<Network> = OnceLock::new();
        // Built outside the lock: a worker that waits for the others there could meet itself.
        let built = NETWORK.get().is_none().then(Self::build);
        NETWORK.get_or_init(|| built.unwrap_or_else(Self::build))
    }

    fn build() -> Self {
        let mut random = Draws::Network.generator(SEED);
        let images = calibration_images();
        let first = Layer::new(CHANNELS, SIDE, filters()).calibrated(&images, ACTIVE[0]);
        let maps = first.forward(&images);
        let second = first.next(combinations(&mut random)).calibrated(&maps, ACTIVE[1]);
        let maps = second.forward(&maps);
        let third = second.next(candidates(&mut random)).calibrated(&maps, ACTIVE[2]);
        let third = third.with_units(&least_alike(&third.forward(&maps), CANDIDATES));
        Self { layers: [first, second, third] }
    }

    /// Responses `[row, column, type]` at every position to one image `[channel, row, column]`.
    pub fn respond(&self, image: &[f32]) -> Vec<f32> {
        self.layers.iter().fold(channels_last(image), |maps, layer| layer.forward(&maps))
    }
}

impl Layer {
    fn new(inputs: usize, side: usize, weights: Vec<f32>) -> Self {
        let outputs = weights.len() / (inputs * KERNEL * KERNEL);
        let shape = Conv2d {
            inputs,
            outputs,
            height: side,
            width: side,
            kernel_h: KERNEL,
            kernel_w: KERNEL,
            stride: 1,
            pad_h: 0,
            pad_w: 0,
        };
        Self { shape, weights, bias: vec![0.0; outputs] }
    }

    /// The layer after this one.
    fn next(&self, weights: Vec<f32>) -> Self {
        Self::new(self.shape.outputs, self.shape.out_height(), weights)
    }

    /// These of its units, in that order.
    fn with_units(&self, units: &[usize]) -> Self {
        let size = self.weights.len() / self.shape.outputs;
        let kernel = |&unit: &usize| &self.weights[unit * size..][..size];
        Self {
            shape: Conv2d { outputs: units.len(), ..self.shape },
            weights: units.iter().flat_map(kernel).copied().collect(),
            bias: units.iter().map(|&unit| self.bias[unit]).collect(),
        }
    }

    /// `[image, row, column, output]` of maps `[image, row, column, input]`.
    fn forward(&self, maps: &[f32]) -> Vec<f32> {
        let epilogue = Epilogue { bias: Some(&self.bias), activation: Activation::Relu };
        self.shape.forward(maps, &self.weights, epilogue)
    }

    /// With the threshold that leaves each unit active in the given share, and a mean response of 1.
    fn calibrated(mut self, maps: &[f32], active: f64) -> Self {
        let units = self.shape.outputs;
        let drive = self.shape.forward(maps, &self.weights, Epilogue::NONE);
        let measure = |unit: usize| {
            let mut drive: Vec<f32> = drive.iter().skip(unit).step_by(units).copied().collect();
            threshold_and_mean(&mut drive, active)
        };
        let measured: Vec<[f64; 2]> = (0..units).into_par_iter().map(measure).collect();
        let kernels = self.weights.chunks_exact_mut(self.shape.inputs * KERNEL * KERNEL);
        for ((kernel, bias), [threshold, mean]) in kernels.zip(&mut self.bias).zip(measured) {
            kernel.iter_mut().for_each(|weight| *weight /= mean as f32);
            *bias = (-threshold / mean) as f32;
        }
        self
    }
}

/// The value that the share `active` of `values` exceeds, and the mean of what they are above it, 0 elsewhere.
fn threshold_and_mean(values: &mut [f32], active: f64) -> [f64; 2] {
    let n = values.len() as f64;
    let below = (((1.0 - active) * n) as usize).min(values.len() - 1);
    let (_, &mut threshold, above) = values.select_nth_unstable_by(below, f32::total_cmp);
    let excess: f64 = above.iter().map(|&value| f64::from(value - threshold)).sum();
    [threshold.into(), excess / n]
}

/// [`TYPES`] of `units` by their responses `[.., unit]`: the first, then always the one whose largest correlation with
/// those before it is smallest.
fn least_alike(responses: &[f32], units: usize) -> Vec<usize> {
    // Neighbours respond alike, so a part of the positions says enough.
    let sample = |unit: usize| standardised(responses.iter().skip(unit).step_by(units * 37));
    let samples: Vec<Vec<f64>> = (0..units).into_par_iter().map(sample).collect();
    let alike =
        |a: usize, b: usize| samples[a].iter().zip(&samples[b]).map(|(y, z)| y * z).sum::<f64>().abs();
    let mut chosen = vec![0];
    let mut worst: Vec<f64> = (0..units).map(|unit| alike(0, unit)).collect();
    while chosen.len() < TYPES {
        let next = (0..units).min_by(|&a, &b| worst[a].total_cmp(&worst[b])).unwrap_or(0);
        chosen.push(next);
        (0..units).for_each(|unit| worst[unit] = worst[unit].max(alike(next, unit)));
    }
    chosen
}

/// Without their mean and divided by their norm, so that the correlation is the inner product.
fn standardised<'a>(values: impl Iterator<Item = &'a f32>) -> Vec<f64> {
    let values: Vec<f64> = values.map(|&value| value.into()).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let norm = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>().sqrt();
    values.iter().map(|value| (value - mean) / norm).collect()
}

/// `[image, row, column, channel]`.
fn calibration_images() -> Vec<f32> {
    let image = |number: u64| {
        let mut image = vec![0.0; CHANNELS * SIDE * SIDE];
        paint(&mut Draws::NetworkImage(number).generator(SEED), SIDE, &mut image);
        channels_last(&image)
    };
    (0..CALIBRATION).into_par_iter().map(image).collect::<Vec<_>>().concat()
}

/// `[row, column, channel]` from `[channel, row, column]`.
fn channels_last(image: &[f32]) -> Vec<f32> {
    let pixels = image.len() / CHANNELS;
    let pixel = |at: usize| (0..CHANNELS).map(move |channel| image[channel * pixels + at]);
    (0..pixels).flat_map(pixel).collect()
}

const ORIENTATIONS: usize = 4;
/// Rectified phases 120° apart: their sum hardly depends on the phase of the stimulus.
const PHASES: usize = 3;
/// Weights of red, green and blue.
const LUMINANCE: [f64; CHANNELS] = [1.0, 1.0, 1.0];
const RED_GREEN: [f64; CHANNELS] = [1.0, -1.0, 0.0];
const BLUE_YELLOW: [f64; CHANNELS] = [-0.5, -0.5, 1.0];

/// Weights `[filter, colour, row, column]`: luminance `[phase, orientation]`, then both signs of both opponent axes.
fn filters() -> Vec<f32> {
    let angle = |i: usize, n: usize| PI * i as f64 / n as f64;
    let luminance = |i: usize| {
        let phase = 2.0 * angle(i / ORIENTATIONS, PHASES);
        filter(LUMINANCE, &gabor(angle(i % ORIENTATIONS, ORIENTATIONS), phase, 4.0))
    };
    // Wide ones see areas of one colour rather than edges.
    let opponent = |i: usize| {
        let axis = if i < 2 { RED_GREEN } else { BLUE_YELLOW };
        filter(axis, &gabor(angle(i, 4), PI * (i % 2) as f64, 12.0))
    };
    (0..ORIENTATIONS * PHASES).flat_map(luminance).chain((0..4).flat_map(opponent)).collect()
}

/// A wave of that orientation, phase and wavelength in pixels, under a Gaussian; without mean unless it is wide.
fn gabor(orientation: f64, phase: f64, wavelength: f64) -> Vec<f64> {
    let pattern: Vec<f64> = taps()
        .map(|[row, column]| {
            let across = column * orientation.cos() + row * orientation.sin();
            let envelope = (-(row * row + column * column) / (2.0 * 1.2 * 1.2)).exp();
            envelope * (2.0 * PI * across / wavelength + phase).cos()
        })
        .collect();
    if wavelength > KERNEL as f64 {
        return pattern;
    }
    let mean = pattern.iter().sum::<f64>() / pattern.len() as f64;
    pattern.iter().map(|value| value - mean).collect()
}

fn filter(colour: [f64; CHANNELS], pattern: &[f64]) -> Vec<f32> {
    let of = |weight: f64| pattern.iter().map(move |value| weight * value);
    unit_norm(&colour.into_iter().flat_map(of).collect::<Vec<_>>())
}

const FILTERS: usize = ORIENTATIONS * PHASES + 4;
const COMBINATIONS: usize = 2 * FILTERS;

/// Weights `[unit, filter, row, column]`: complex cells of one group of filters or two, then conjunctions of filters.
fn combinations(random: &mut ChaCha8Rng) -> Vec<f32> {
    let orientation = |o: usize| (0..PHASES).map(|phase| phase * ORIENTATIONS + o).collect::<Vec<_>>();
    let colours = |first: usize| vec![first, first + 1];
    let luminance = ORIENTATIONS * PHASES;
    let groups: Vec<Vec<usize>> =
        (0..ORIENTATIONS).map(orientation).chain([colours(luminance), colours(luminance + 2)]).collect();
    let complex = |unit: usize, random: &mut ChaCha8Rng| {
        let (first, second) = (unit % groups.len(), (unit + unit / groups.len()) % groups.len());
        combine(random, FILTERS, &[&groups[first], &groups[second]])
    };
    let conjunction = |random: &mut ChaCha8Rng| {
        let order = permutation(random, FILTERS);
        combine(random, FILTERS, &[&order[..1], &order[1..2], &order[2..3]])
    };
    let unit = |unit: usize| if unit < FILTERS { complex(unit, random) } else { conjunction(random) };
    (0..COMBINATIONS).flat_map(unit).collect()
}

/// Units that the types are chosen from.
const CANDIDATES: usize = 64;

/// Weights `[unit, combination, row, column]`: a complex cell and a conjunction excite each.
fn candidates(random: &mut ChaCha8Rng) -> Vec<f32> {
    let unit = |_| {
        let [complex, conjunction] = [(); 2].map(|()| random.random_range(0..FILTERS));
        combine(random, COMBINATIONS, &[&[complex], &[FILTERS + conjunction]])
    };
    (0..CANDIDATES).flat_map(unit).collect()
}

/// Weights `[input, row, column]` of norm 1 that sum to zero: each group of inputs excites through a Gaussian patch at
/// a place of its own, all inputs inhibit alike, so that contrast alone does not drive the unit.
fn combine(random: &mut ChaCha8Rng, inputs: usize, groups: &[&[usize]]) -> Vec<f32> {
    const PATCH: f64 = 0.8;
    let taps: Vec<[f64; 2]> = taps().collect();
    let mut weights = vec![0.0; inputs * taps.len()];
    for group in groups {
        let centre = [(); 2].map(|()| random.random_range(-1.5..1.5));
        let patch = taps.iter().map(|[row, column]| {
            let squares: f64 = (row - centre[0]).powi(2) + (column - centre[1]).powi(2);
            (-squares / (2.0 * PATCH * PATCH)).exp()
        });
        for (tap, value) in patch.enumerate() {
            group.iter().for_each(|input| weights[input * taps.len() + tap] += value);
        }
    }
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    unit_norm(&weights.iter().map(|weight| weight - mean).collect::<Vec<_>>())
}

/// Row and column of each pixel of a kernel, from its middle.
fn taps() -> impl Iterator<Item = [f64; 2]> {
    let from_middle = |i: usize| i as f64 - (KERNEL / 2) as f64;
    (0..KERNEL * KERNEL).map(move |i| [from_middle(i / KERNEL), from_middle(i % KERNEL)])
}

fn unit_norm(weights: &[f64]) -> Vec<f32> {
    let norm = weights.iter().map(|weight| weight * weight).sum::<f64>().sqrt();
    weights.iter().map(|weight| (weight / norm) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Responses of every type at one position to images that calibration has not seen, `[image][type]`.
    fn responses(images: u64, position: usize) -> Vec<Vec<f64>> {
        let network = Network::fixed();
        let respond = |number: u64| {
            let mut image = vec![0.0; CHANNELS * SIDE * SIDE];
            paint(&mut crate::random::generator(9, number), SIDE, &mut image);
            let maps = network.respond(&image);
            maps[position * TYPES..][..TYPES].iter().map(|&value| f64::from(value)).collect()
        };
        (0..images).into_par_iter().map(respond).collect()
    }

    fn mean(values: impl Iterator<Item = f64>) -> f64 {
        let (n, sum) = values.fold((0.0, 0.0), |(n, sum), value| (n + 1.0, sum + value));
        sum / n
    }

    #[test]
    fn types_are_sparse_and_well_separated() {
        let responses = responses(2000, 17 * POSITIONS + 9);
        let of = |kind: usize| responses.iter().map(move |types| types[kind]);
        let moments: Vec<[f64; 2]> = (0..TYPES)
            .map(|kind| [mean(of(kind)), mean(of(kind).map(|y| y * y)) - mean(of(kind)).powi(2)])
            .collect();
        for (a, [mean_a, variance_a]) in moments.iter().enumerate() {
            let active = mean(of(a).map(|y| f64::from(u8::from(y > 0.0))));
            assert!((0.1..0.3).contains(&active), "type {a} is active in {active}");
            for (b, [mean_b, variance_b]) in moments.iter().enumerate().skip(a + 1) {
                let product = mean(of(a).zip(of(b)).map(|(y, z)| y * z));
                let correlation = (product - mean_a * mean_b) / (variance_a * variance_b).sqrt();
                assert!(correlation.abs() < 0.5, "types {a} and {b} correlate by {correlation}");
            }
        }
    }

    #[test]
    fn kernels_have_norm_one_and_the_papers_sizes() {
        let mut random = Draws::Network.generator(SEED);
        let layers = [
            (filters(), CHANNELS),
            (combinations(&mut random), FILTERS),
            (candidates(&mut random), COMBINATIONS),
        ];
        for ((weights, inputs), units) in layers.iter().zip([16, 32, 64]) {
            assert_eq!(weights.len(), units * inputs * 25);
            for kernel in weights.chunks_exact(inputs * 25) {
                let norm: f64 = kernel.iter().map(|&weight| f64::from(weight).powi(2)).sum();
                assert!((norm - 1.0).abs() < 1e-5);
            }
        }
        assert_eq!(Network::fixed().respond(&vec![0.0; 3 * 44 * 44]).len(), 32 * 32 * 16);
    }

    #[test]
    fn threshold_and_mean_are_those_of_the_share() {
        let mut values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(threshold_and_mean(&mut values, 0.4), [4.0, 0.2]);
    }
}
