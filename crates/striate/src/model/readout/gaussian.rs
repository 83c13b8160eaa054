//! The Gaussian readout: each neuron reads the features at one learned point.

use burn::module::Param;
use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::shared::Shared;
use super::{Options, Part, Start, add_bias, biases, on_map, positions, windows};
use crate::error::{Result, in_range};
use crate::model::Pass;
use crate::model::perceptron::{self, Perceptron, Squash};
use crate::model::weights::{fixed, trainable};
use crate::ops;
use crate::random::{Draws, standard_normals, uniform};

/// Options of the Gaussian readout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianConfig {
    /// Shape of the distribution that positions are drawn from in training.
    pub spread: Spread,
    /// Its starting size: uniform within ± this for `full`, this for the others.
    pub init_sigma: f64,
    /// Starting means: uniform within ± this (−1 to 1 is the whole map).
    pub init_mu_range: f64,
    /// Predicts the means from cortical positions; none makes each mean a parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predictor: Option<PredictorConfig>,
    /// Whether means start at the peak of the spike-triggered average instead (ours, without a predictor).
    #[serde(default)]
    pub start_at_sta: bool,
    /// Whether neurons of one type (`data.types`) share feature weights but for a scale of their own.
    #[serde(default)]
    pub shared_features: bool,
    /// Whether each neuron has a bias, started so that the output is its mean rate.
    pub bias: bool,
}

/// As in the Sensorium baseline (`papers/sensorium.md#baselines`), but for its predictor.
impl Default for GaussianConfig {
    fn default() -> Self {
        Self {
            spread: Spread::Full,
            init_sigma: 0.1,
            init_mu_range: 0.3,
            predictor: None,
            start_at_sta: false,
            shared_features: false,
            bias: true,
        }
    }
}

/// Shape of the distribution of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// Any 2 × 2 matrix times normal noise.
    Full,
    /// A standard deviation along each axis.
    Uncorrelated,
    /// One standard deviation.
    Isotropic,
    /// None: the mean itself, in training too.
    None,
}

/// A small network from cortical position to the mean position of the readout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictorConfig {
    /// Hidden layers, each followed by ELU.
    pub layers: usize,
    /// Units of each.
    pub hidden: usize,
    /// Whether the result goes through tanh.
    pub tanh: bool,
}

/// As in the Sensorium baseline (`papers/sensorium.md#baselines`).
impl Default for PredictorConfig {
    fn default() -> Self {
        Self { layers: 1, hidden: 30, tanh: true }
    }
}

impl PredictorConfig {
    /// Units of all layers, inputs first.
    fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![self.hidden; self.layers + 2];
        (sizes[0], sizes[self.layers + 1]) = (2, 2);
        sizes
    }
}

/// `y_n = Σ_c f_cn φ_c(g_n + shift) + b_n`, in training with `g_n = clamp(Σ_n ε + μ_n, −1, 1)`, else `g_n = μ_n`.
///
/// # Source
/// Lurz et al. 2021, "Generalization in data-driven models of primary visual cortex" (`papers/sensorium.md#readouts`, FullGaussian2d).
#[derive(Module, Debug)]
pub struct Gaussian {
    /// Mean positions `[neuron, 2]` (x along the width, y along the height), or cortical positions `[neuron, 2]`
    /// under a predictor.
    mean: Param<Tensor<2>>,
    predictor: Option<Perceptron>,
    /// `[neuron, 4]` (row by row), `[neuron, 2]` or `[neuron, 1]`.
    sigma: Param<Tensor<2>>,
    /// Feature weights, `[channel, neuron]`; `[channel, group]` where they are shared.
    features: Param<Tensor<2>>,
    shared: Option<Shared>,
    /// `[neuron]`.
    bias: Param<Tensor<1>>,
    #[module(skip)]
    config: GaussianConfig,
}

impl Spread {
    fn numbers(self) -> usize {
        match self {
            Self::Full => 4,
            Self::Uncorrelated => 2,
            Self::Isotropic | Self::None => 1,
        }
    }
}

impl Options for GaussianConfig {
    fn check(&self, _: [usize; 3]) -> Result<()> {
        in_range("model.readout.init_sigma", self.init_sigma, 0.0..=1e3)?;
        in_range("model.readout.init_mu_range", self.init_mu_range, 0.0..=1.0)?;
        match &self.predictor {
            Some(predictor) => {
                in_range("model.readout.predictor.layers", predictor.layers as f64, 0.0..=16.0).and_then(
                    |()| in_range("model.readout.predictor.hidden", predictor.hidden as f64, 1.0..=4096.0),
                )
            }
            None => Ok(()),
        }
    }

    fn size(&self, [channels, _, _]: [f64; 3], neurons: f64, columns: f64) -> f64 {
        let predictor = self.predictor.as_ref().map_or(0.0, |predictor| perceptron::size(&predictor.sizes()));
        8.0 * neurons + channels * columns + predictor
    }

    fn needs_sta(&self) -> bool {
        self.start_at_sta && self.predictor.is_none()
    }

    fn needs_cortex(&self) -> bool {
        self.predictor.is_some()
    }

    fn shares_features(&self) -> bool {
        self.shared_features
    }
}

impl GaussianConfig {
    /// A readout from features `[channel, height, width]` for one neuron per element of `start`.
    pub fn init(
        &self,
        shape: [usize; 3],
        start: &[Start],
        rng: &mut ChaCha8Rng,
        device: &Device,
    ) -> Gaussian {
        let ([channels, height, width], neurons) = (shape, start.len());
        let predictor = self.predictor.as_ref().map(|predictor| {
            let last = if predictor.tanh { Squash::Tanh } else { Squash::Identity };
            Perceptron::new(&predictor.sizes(), Squash::Elu, last, rng, device)
        });
        let drawn = positions(self.start_at_sta, self.init_mu_range, start, [height, width], rng);
        let mean = if predictor.is_some() {
            fixed(start.iter().flat_map(|start| start.cortex).collect(), [neurons, 2], device)
        } else {
            trainable(drawn, [neurons, 2], device)
        };
        let numbers = self.spread.numbers();
        let sigma = match self.spread {
            Spread::Full => uniform(rng, 4 * neurons, self.init_sigma),
            _ => vec![self.init_sigma as f32; numbers * neurons],
        };
        let sigma_param = if self.spread == Spread::None { fixed } else { trainable };
        let shared = Shared::new(self.shared_features, start, device);
        let columns = Shared::columns(&shared, start);
        Gaussian {
            mean,
            predictor,
            sigma: sigma_param(sigma, [neurons, numbers], device),
            features: trainable(vec![1.0 / channels as f32; channels * columns], [channels, columns], device),
            shared,
            bias: biases(self.bias, start, device),
            config: self.clone(),
        }
    }
}

impl Part for Gaussian {
    /// In training, positions are drawn with the seed of the step.
    fn forward(&self, features: Tensor<4>, pass: Pass, shift: Option<Tensor<2>>) -> Tensor<2> {
        let batch = features.dims()[0];
        let mut points = match pass {
            Pass::Train { seed, .. } if self.config.spread != Spread::None => self.drawn(batch, seed),
            _ => self.mean().unsqueeze::<3>(),
        };
        if let Some(shift) = shift {
            points = points + shift.unsqueeze_dim::<3>(1);
        }
        let drive = ops::gaussian(features, points, self.weights());
        add_bias(drive, self.config.bias, &self.bias)
    }

    fn features(&self) -> Option<Tensor<2>> {
        Some(self.weights())
    }

    fn location(&self, shape: [usize; 2]) -> Option<Tensor<2>> {
        Some(windows(self.mean(), shape))
    }
}

impl Gaussian {
    /// Feature weights `[channel, neuron]`.
    fn weights(&self) -> Tensor<2> {
        Shared::spread(&self.shared, self.features.val())
    }

    /// Mean positions `[neuron, 2]`: within the map, unless they are predicted.
    pub fn mean(&self) -> Tensor<2> {
        match &self.predictor {
            Some(predictor) => predictor.forward(self.mean.val()),
            None => self.mean.val().clamp(-1.0, 1.0),
        }
    }

    /// Mean positions that a step moved off the map, put back on its border.
    pub fn keep_on_map(mut self) -> Self {
        if self.predictor.is_none() {
            self.mean = on_map(self.mean);
        }
        self
    }

    /// Positions `[batch, neuron, 2]` of one training step.
    fn drawn(&self, batch: usize, seed: u64) -> Tensor<3> {
        let device = self.sigma.val().device();
        let neurons = self.sigma.val().dims()[0];
        let noise = standard_normals(seed, Draws::Positions, batch * neurons * 2);
        let noise = Tensor::<3>::from_data(TensorData::new(noise, [batch, neurons, 2]), &device);
        let sigma = self.sigma.val();
        let row = |i: usize| sigma.clone().slice([0..neurons, i..i + 1]).reshape([1, neurons, 1]);
        let moved = match self.config.spread {
            Spread::Full => {
                let axis = |i: usize| noise.clone().slice([0..batch, 0..neurons, i..i + 1]);
                let (x, y) = (axis(0), axis(1));
                let line = |a: usize, b: usize| x.clone() * row(a) + y.clone() * row(b);
                Tensor::cat(vec![line(0, 1), line(2, 3)], 2)
            }
            Spread::Uncorrelated => noise * sigma.unsqueeze::<3>(),
            _ => noise * row(0),
        };
        (moved + self.mean().unsqueeze::<3>()).clamp(-1.0, 1.0)
    }
}
