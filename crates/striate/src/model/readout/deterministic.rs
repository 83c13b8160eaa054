//! The deterministic Gaussian readout: masks that are round Gaussian bumps, two numbers each and a width.

use burn::module::Param;
use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Options, Part, Start, add_bias, biases, positions};
use crate::error::{Result, in_range};
use crate::model::Pass;
use crate::model::weights::trainable;
use crate::ops::{self, Masks};

/// Options of the deterministic Gaussian readout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeterministicConfig {
    /// Starting means: uniform within ± this (−1 to 1 is the whole map).
    pub init_mu_range: f64,
    /// Starting standard deviation, in the same unit.
    pub init_sigma: f64,
    /// Whether means start at the peak of the spike-triggered average instead (ours).
    #[serde(default)]
    pub start_at_sta: bool,
    /// Whether each neuron has a bias, started so that the output is its mean rate.
    pub bias: bool,
}

/// As in the Sensorium toolkit (`papers/sensorium.md#readouts`).
impl Default for DeterministicConfig {
    fn default() -> Self {
        Self { init_mu_range: 0.1, init_sigma: 1.0, start_at_sta: false, bias: true }
    }
}

/// `y_n = Σ_c f_cn Σ_p φ_pc G_pn + b_n` with `G_n` an isotropic Gaussian of the map's pixels, of sum 1.
///
/// # Source
/// DeterministicGaussian2d of the Sensorium toolkit (`papers/sensorium.md#readouts`).
#[derive(Module, Debug)]
pub struct Deterministic {
    /// Mean positions (x along the width, y along the height), `[neuron, 2]`.
    mean: Param<Tensor<2>>,
    /// Logarithm of the variance, `[1, neuron]`.
    log_variance: Param<Tensor<2>>,
    /// Feature weights, `[channel, neuron]`.
    features: Param<Tensor<2>>,
    /// `[neuron]`.
    bias: Param<Tensor<1>>,
    #[module(skip)]
    shape: [usize; 2],
    #[module(skip)]
    config: DeterministicConfig,
}

impl Options for DeterministicConfig {
    fn check(&self, _: [usize; 3]) -> Result<()> {
        in_range("model.readout.init_mu_range", self.init_mu_range, 0.0..=1.0)?;
        in_range("model.readout.init_sigma", self.init_sigma, 1e-3..=1e3)
    }

    fn size(&self, [channels, _, _]: [f64; 3], neurons: f64, _: f64) -> f64 {
        (channels + 4.0) * neurons
    }

    fn needs_sta(&self) -> bool {
        self.start_at_sta
    }
}

impl DeterministicConfig {
    /// A readout from features `[channel, height, width]` for one neuron per element of `start`.
    pub fn init(
        &self,
        [channels, height, width]: [usize; 3],
        start: &[Start],
        rng: &mut ChaCha8Rng,
        device: &Device,
    ) -> Deterministic {
        let neurons = start.len();
        let mean = positions(self.start_at_sta, self.init_mu_range, start, [height, width], rng);
        let features = vec![1.0 / channels as f32; channels * neurons];
        Deterministic {
            mean: trainable(mean, [neurons, 2], device),
            log_variance: trainable(vec![2.0 * self.init_sigma.ln() as f32; neurons], [1, neurons], device),
            features: trainable(features, [channels, neurons], device),
            bias: biases(self.bias, start, device),
            shape: [height, width],
            config: self.clone(),
        }
    }
}

impl Part for Deterministic {
    fn forward(&self, features: Tensor<4>, _: Pass, shift: Option<Tensor<2>>) -> Tensor<2> {
        let features = shift.into_iter().fold(features, ops::translate);
        let drive = ops::factorised(features, self.bumps(), self.features.val(), Masks::Dense);
        add_bias(drive, self.config.bias, &self.bias)
    }

    fn features(&self) -> Option<Tensor<2>> {
        Some(self.features.val())
    }

    fn location(&self, _: [usize; 2]) -> Option<Tensor<2>> {
        Some(self.bumps())
    }

    /// Spec §7.2.
    fn variance(&self) -> Option<Tensor<1>> {
        Some(self.log_variance.val().exp().sum())
    }
}

impl Deterministic {
    /// The bumps, `[pixel, neuron]`.
    fn bumps(&self) -> Tensor<2> {
        let device = self.mean.val().device();
        let [height, width] = self.shape;
        let neurons = self.mean.val().dims()[0];
        let place = |at: usize, side: usize| 2.0 * at as f32 / (side.max(2) - 1) as f32 - 1.0;
        let axis = |values: Vec<f32>, which: usize| {
            let pixels = Tensor::<2>::from_data(TensorData::new(values, [height * width, 1]), &device);
            let mean = self.mean.val().slice([0..neurons, which..which + 1]).reshape([1, neurons]);
            (pixels - mean).square()
        };
        let pixels = 0..height * width;
        let x = axis(pixels.clone().map(|p| place(p % width, width)).collect(), 0);
        let y = axis(pixels.map(|p| place(p / width, height)).collect(), 1);
        let log = (x + y) * self.log_variance.val().neg().exp().mul_scalar(-0.5);
        // Of exponentials of differences to the largest, none overflows.
        let peak = log.clone().detach().max_dim(0);
        let bump = (log - peak).exp();
        let sum = bump.clone().sum_dim(0);
        bump / sum
    }
}
