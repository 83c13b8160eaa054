//! The attention readout: a factorised readout whose masks depend on the image.

use std::ops::Range;

use burn::module::Param;
use burn::prelude::*;
use burn::tensor::activation::softmax;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Options, Part, Start, add_bias, biases};
use crate::error::{Result, in_range};
use crate::model::Pass;
use crate::model::weights::{fixed, trainable};
use crate::ops;
use crate::random::normal;

/// Options of the attention readout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionConfig {
    /// S.d. of the starting feature weights.
    pub feature_init_sd: f64,
    /// Whether each neuron has a bias, started so that the output is its mean rate.
    pub bias: bool,
}

/// As in the Sensorium toolkit (`papers/sensorium.md#readouts`).
impl Default for AttentionConfig {
    fn default() -> Self {
        Self { feature_init_sd: 1e-3, bias: true }
    }
}

/// `y_n = Σ_c f_cn Σ_p a_pn φ_pc + b_n` with `a_n = softmax_p(Σ_c w_cn φ_pc + v_n)`.
///
/// # Source
/// AttentionReadout of the Sensorium toolkit with one attention layer, its default kernel of one pixel (`papers/sensorium.md#readouts`).
#[derive(Module, Debug)]
pub struct Attention {
    /// From features to the attention of each neuron, `[neuron, channel]`.
    query: Param<Tensor<2>>,
    /// `[neuron]`; cancels in the softmax and is kept for the peers' weights.
    query_bias: Param<Tensor<1>>,
    /// Feature weights, `[channel, neuron]`.
    features: Param<Tensor<2>>,
    /// `[neuron]`.
    bias: Param<Tensor<1>>,
    #[module(skip)]
    config: AttentionConfig,
}

impl Options for AttentionConfig {
    fn check(&self, _: [usize; 3]) -> Result<()> {
        in_range("model.readout.feature_init_sd", self.feature_init_sd, 0.0..=1e6)
    }

    fn size(&self, [channels, _, _]: [f64; 3], neurons: f64, _: f64) -> f64 {
        (2.0 * channels + 2.0) * neurons
    }
}

impl AttentionConfig {
    /// A readout from features `[channel, height, width]` for one neuron per element of `start`.
    pub fn init(
        &self,
        [channels, _, _]: [usize; 3],
        start: &[Start],
        rng: &mut ChaCha8Rng,
        device: &Device,
    ) -> Attention {
        let neurons = start.len();
        let xavier = (2.0 / (channels + neurons) as f64).sqrt();
        Attention {
            query: trainable(normal(rng, neurons * channels, 0.0, xavier), [neurons, channels], device),
            query_bias: fixed(vec![0.0; neurons], [neurons], device),
            features: trainable(
                normal(rng, channels * neurons, 0.0, self.feature_init_sd),
                [channels, neurons],
                device,
            ),
            bias: biases(self.bias, start, device),
            config: self.clone(),
        }
    }
}

/// Numbers in an array of image × pixel × neuron, of which several are needed at a time.
const AT_ONCE: usize = 1 << 25;

impl Attention {
    /// Drive `[batch, neuron]` of some neurons, without their bias, from features `[batch, pixel, channel]`.
    fn drive(&self, features: Tensor<3>, neurons: Range<usize>) -> Tensor<2> {
        let [batch, pixels, channels] = features.dims();
        let features = features.reshape([batch * pixels, channels]);
        let query = self.query.val().slice([neurons.clone(), 0..channels]);
        let bias = self.query_bias.val().slice([neurons.clone()]);
        let weights = self.features.val().slice([0..channels, neurons.clone()]).transpose();
        let none = bias.zeros_like();
        let per_pixel = |x: Tensor<2>| x.reshape([batch, pixels, neurons.len()]);
        let attention = per_pixel(ops::linear(features.clone(), query, bias));
        // The sums over channels and pixels change places: nothing of size channel × neuron is made per image.
        let seen = per_pixel(ops::linear(features, weights, none));
        (softmax(attention, 1) * seen).sum_dim(1).reshape([batch, neurons.len()])
    }
}

impl Part for Attention {
    fn forward(&self, features: Tensor<4>, _: Pass, shift: Option<Tensor<2>>) -> Tensor<2> {
        let features = shift.into_iter().fold(features, ops::translate);
        let [batch, height, width, channels] = features.dims();
        let neurons = self.features.val().dims()[1];
        let pixels = features.reshape([batch, height * width, channels]);
        let block = (AT_ONCE / (batch * height * width)).clamp(1, neurons);
        let firsts = (0..neurons).step_by(block);
        let drives = firsts.map(|first| self.drive(pixels.clone(), first..(first + block).min(neurons)));
        add_bias(Tensor::cat(drives.collect(), 1), self.config.bias, &self.bias)
    }

    fn features(&self) -> Option<Tensor<2>> {
        Some(self.features.val())
    }

    fn location(&self, _: [usize; 2]) -> Option<Tensor<2>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::generator;

    #[test]
    fn blocks_of_neurons_answer_as_all_at_once() {
        let device = Device::flex();
        let (mut rng, start) = (generator(1, 0), vec![Start::default(); 5]);
        let config = AttentionConfig { feature_init_sd: 1.0, bias: false };
        let readout = config.init([3, 4, 2], &start, &mut rng, &device);
        let maps =
            Tensor::from_data(TensorData::new(normal(&mut rng, 2 * 8 * 3, 0.0, 1.0), [2, 8, 3]), &device);
        let parts = [0..2, 2..3, 3..5].map(|neurons| readout.drive(maps.clone(), neurons));
        let whole = readout.forward(maps.reshape([2, 4, 2, 3]), Pass::Evaluate, None);
        let same = burn::tensor::Tolerance::absolute(1e-6);
        Tensor::cat(parts.to_vec(), 1).into_data().assert_approx_eq::<f32>(&whole.into_data(), same);
    }
}
