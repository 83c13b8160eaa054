//! The fully connected readout: each neuron weighs every feature at every pixel.

use burn::module::Param;
use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Options, Part, Start, biases};
use crate::error::{Error, Result, in_range};
use crate::model::Pass;
use crate::model::weights::trainable;
use crate::ops;
use crate::random::{Draws, dropout_mask, normal, truncated_normal};

/// Options of the fully connected readout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FullyConnectedConfig {
    /// S.d. of the starting weights.
    pub init_sd: f64,
    /// Whether starting weights are truncated at two standard deviations.
    #[serde(default)]
    pub init_truncated: bool,
    /// Rate of dropout on the features, training only.
    #[serde(default)]
    pub dropout: f64,
    /// Whether each neuron has a bias, started so that the output is its mean rate.
    pub bias: bool,
}

/// As in Klindt et al. 2017, figure 5 (`papers/klindt2017.md#baselines`), with a bias.
impl Default for FullyConnectedConfig {
    fn default() -> Self {
        Self { init_sd: 0.01, init_truncated: false, dropout: 0.0, bias: true }
    }
}

/// `y_n = Σ_p Σ_c T_pcn φ_pc + b_n`.
///
/// # Source
/// The baseline of Klindt et al. 2017 after McIntosh et al. 2016 (`papers/klindt2017.md#baselines`, `papers/klindt2017.md#model-of-table-1`).
#[derive(Module, Debug)]
pub struct FullyConnected {
    /// `[neuron, pixel · channel]`, channels of a pixel side by side.
    weight: Param<Tensor<2>>,
    /// `[neuron]`.
    bias: Param<Tensor<1>>,
    #[module(skip)]
    config: FullyConnectedConfig,
}

/// Weights of one neuron beyond which a configuration is a slip of the pen.
const MOST_WEIGHTS: usize = 1 << 20;

impl Options for FullyConnectedConfig {
    fn check(&self, features: [usize; 3]) -> Result<()> {
        in_range("model.readout.init_sd", self.init_sd, 0.0..=1e6)?;
        in_range("model.readout.dropout", self.dropout, 0.0..=0.99)?;
        if features.iter().product::<usize>() > MOST_WEIGHTS {
            let message = format!("would give each neuron {features:?} weights");
            return Err(Error::config(message).key("model.readout.kind").hint("pool more, or use masks"));
        }
        Ok(())
    }

    fn size(&self, features: [f64; 3], neurons: f64, _: f64) -> f64 {
        (features.iter().product::<f64>() + 1.0) * neurons
    }
}

impl FullyConnectedConfig {
    /// A readout from features `[channel, height, width]` for one neuron per element of `start`.
    pub fn init(
        &self,
        shape: [usize; 3],
        start: &[Start],
        rng: &mut ChaCha8Rng,
        device: &Device,
    ) -> FullyConnected {
        let shape = [start.len(), shape.iter().product()];
        let draw = if self.init_truncated { truncated_normal } else { normal };
        FullyConnected {
            weight: trainable(draw(rng, shape[0] * shape[1], 0.0, self.init_sd), shape, device),
            bias: biases(self.bias, start, device),
            config: self.clone(),
        }
    }
}

impl FullyConnected {
    fn dropped(&self, features: Tensor<2>, pass: Pass) -> Tensor<2> {
        let (rate, shape) = (self.config.dropout, features.dims());
        let Some(seed) = pass.dropout() else { return features };
        if rate == 0.0 {
            return features;
        }
        let mask = dropout_mask(seed, Draws::ReadoutDropout, rate, shape[0] * shape[1]);
        let mask = Tensor::from_data(TensorData::new(mask, shape), &features.device());
        features * mask
    }
}

impl Part for FullyConnected {
    fn forward(&self, features: Tensor<4>, pass: Pass, shift: Option<Tensor<2>>) -> Tensor<2> {
        let features = shift.into_iter().fold(features, ops::translate);
        let [batch, height, width, channels] = features.dims();
        let features = self.dropped(features.reshape([batch, height * width * channels]), pass);
        ops::linear(features, self.weight.val(), self.bias.val())
    }

    fn features(&self) -> Option<Tensor<2>> {
        None
    }

    /// Norm of the weights of each pixel.
    fn location(&self, [height, width]: [usize; 2]) -> Option<Tensor<2>> {
        let [neurons, weights] = self.weight.val().dims();
        let pixels = height * width;
        let weight = self.weight.val().reshape([neurons, pixels, weights / pixels]);
        Some(weight.square().sum_dim(2).sqrt().reshape([neurons, pixels]).transpose())
    }

    fn weight(&self) -> Option<Tensor<2>> {
        Some(self.weight.val())
    }
}
