//! Convolution layers of each frame, then a recurrent unit of maps over the clip.
//!
//! # Source
//! The convolutional GRU of the Sensorium 2023 competition (`papers/sensorium.md#cores`). Its layers before the unit are
//! rotation-equivariant there; here they are those of a stack. A published unit has a bias on the input and one on the
//! state of each gate, which are always added, so ours has their sum.
//!
//! The state begins at zero, and what it is after a few samples still shows that. The first `warm_up` samples of a clip
//! therefore have no features. All others depend on everything since the start of their clip: the longer what was seen,
//! the longer the memory that is used.

use burn::module::Param;
use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::extent::{Extent, convolved};
use super::stacked::{Nonlinearity, Padding, Stacked, StackedConfig, check_weights, glorot_sd};
use super::{Options, Part};
use crate::error::{Error, Result, in_range};
use crate::model::Pass;
use crate::model::norm::BatchNormConfig;
use crate::model::penalty::PenaltyConfig;
use crate::model::weights::trainable;
use crate::ops::{self, Moments};
use crate::random::normal;

/// Layers of each frame, and the recurrent unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvGruConfig {
    /// Kernel side of each layer, in pixels.
    pub kernels: Vec<usize>,
    /// Output channels of each layer.
    pub channels: Vec<usize>,
    /// Padding of each layer.
    pub padding: Vec<Padding>,
    /// Nonlinearity of every layer but the last.
    pub nonlinearity: Nonlinearity,
    /// Nonlinearity of the last layer.
    pub final_nonlinearity: Nonlinearity,
    /// As of a stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_norm: Option<BatchNormConfig>,
    /// As of a stack.
    #[serde(default)]
    pub separable: bool,
    /// Rate of dropout on the input of each layer, training only.
    #[serde(default)]
    pub dropout: f64,
    /// Channels of the state, which are the features.
    pub hidden: usize,
    /// Side of the unit's kernels on the layers, in pixels; odd, zero padded.
    pub input_kernel: usize,
    /// Side of the unit's kernels on its state, in pixels; odd, zero padded.
    pub state_kernel: usize,
    /// Samples at the start of a clip that only move the state.
    pub warm_up: usize,
}

/// The layers and the unit.
#[derive(Module, Debug)]
pub struct ConvGru {
    frames: Stacked,
    unit: Unit,
    #[module(skip)]
    config: ConvGruConfig,
}

/// Weights of the unit; outputs are stacked as reset, update, candidate.
#[derive(Module, Debug)]
struct Unit {
    /// `[3 · hidden, in, kernel, kernel]`.
    input: Param<Tensor<4>>,
    /// `[3 · hidden]`.
    bias: Param<Tensor<1>>,
    /// `[2 · hidden, hidden, kernel, kernel]`.
    gates: Param<Tensor<4>>,
    /// `[hidden, hidden, kernel, kernel]`.
    candidate: Param<Tensor<4>>,
}

/// Small enough for a CPU: the stack and the unit do about as many products for a pixel as the factorised baseline. The warm-up
/// is as long as what that loses, so that scores of both are of the same samples.
impl Default for ConvGruConfig {
    fn default() -> Self {
        Self {
            kernels: vec![9, 7],
            channels: vec![32, 32],
            padding: vec![Padding::Valid, Padding::Same],
            nonlinearity: Nonlinearity::Elu,
            final_nonlinearity: Nonlinearity::Elu,
            batch_norm: Some(BatchNormConfig::default()),
            separable: true,
            dropout: 0.0,
            hidden: 32,
            input_kernel: 5,
            state_kernel: 5,
            warm_up: 18,
        }
    }
}

impl ConvGruConfig {
    /// The layers of each frame.
    fn frames(&self) -> StackedConfig {
        StackedConfig {
            kernels: self.kernels.clone(),
            channels: self.channels.clone(),
            padding: self.padding.clone(),
            nonlinearity: self.nonlinearity,
            final_nonlinearity: self.final_nonlinearity,
            batch_norm: self.batch_norm.clone(),
            bias: self.batch_norm.is_none(),
            separable: self.separable,
            dropout: self.dropout,
            ..StackedConfig::default()
        }
    }

    /// Shapes of the unit's kernels on what the layers make of `[channel, height, width]`, and on the state for the
    /// gates and for the candidate.
    fn unit_shapes(&self, shape: [usize; 3]) -> [[usize; 4]; 3] {
        let ([inputs, ..], hidden) = (self.frames().out_shape(shape), self.hidden);
        let (input, state) = (self.input_kernel, self.state_kernel);
        [
            [hidden.saturating_mul(3), inputs, input, input],
            [hidden.saturating_mul(2), hidden, state, state],
            [hidden, hidden, state, state],
        ]
    }

    /// A core for clips of frames `[channel, height, width]`, with kernels drawn as by Glorot & Bengio 2010.
    pub fn init(&self, image: [usize; 3], rng: &mut ChaCha8Rng, device: &Device) -> ConvGru {
        let frames = self.frames().init(image, rng, device);
        let [input, gates, candidate] = self.unit_shapes(image).map(|shape| {
            let [outputs, inputs, side, _] = shape;
            // Each gate by itself, as if the others were not there.
            let sd = glorot_sd(inputs, self.hidden, side * side);
            trainable(normal(rng, outputs * inputs * side * side, 0.0, sd), shape, device)
        });
        let bias = trainable(vec![0.0; 3 * self.hidden], [3 * self.hidden], device);
        ConvGru { frames, unit: Unit { input, bias, gates, candidate }, config: self.clone() }
    }
}

impl Options for ConvGruConfig {
    fn check(&self, shape: [usize; 3]) -> Result<()> {
        self.frames().check(shape)?;
        let sides = [("input_kernel", self.input_kernel), ("state_kernel", self.state_kernel)];
        if let Some((key, side)) = sides.into_iter().find(|(_, side)| side % 2 == 0) {
            return Err(Error::config(format!("is {side}, must be odd")).key(format!("model.core.{key}")));
        }
        in_range("model.core.hidden", self.hidden as f64, 1.0..=1e6)?;
        in_range("model.core.warm_up", self.warm_up as f64, 0.0..=1e6)?;
        check_weights(
            self.unit_shapes(shape).into_iter().map(|shape| shape.map(|n| n as f64).iter().product()),
        )
    }

    fn size(&self, shape: [usize; 3]) -> f64 {
        let kernels = self.unit_shapes(shape).map(|shape| shape.map(|n| n as f64).iter().product::<f64>());
        self.frames().size(shape) + kernels.iter().sum::<f64>() + 3.0 * self.hidden as f64
    }

    fn out_shape(&self, shape: [usize; 3]) -> [usize; 3] {
        let [_, height, width] = self.frames().out_shape(shape);
        [self.hidden, height, width]
    }

    fn receptive_frames(&self) -> usize {
        1 + self.warm_up
    }
}

impl Part for ConvGru {
    fn forward(&self, rows: Tensor<4>, samples: usize, pass: Pass) -> (Tensor<4>, Vec<Moments>) {
        let ([all, channels, height, width], warm_up) = (rows.dims(), self.config.warm_up);
        let (clips, kept) = (all / samples, samples.saturating_sub(warm_up));
        // The unit takes all clips of one sample together.
        let by_sample = rows.reshape([clips, samples, channels, height, width]).swap_dims(0, 1);
        let (maps, moments) = self.frames.forward(by_sample.reshape([all, channels, height, width]), pass);
        let states = ops::conv_gru(maps, samples, self.unit.weights());
        let [_, height, width, hidden] = states.dims();
        let states = states.slice(s![(samples - kept) * clips.., .., .., ..]);
        let by_clip = states.reshape([kept, clips, height, width, hidden]).swap_dims(0, 1);
        (by_clip.reshape([clips * kept, height, width, hidden]), moments)
    }

    /// As of a stack, with the unit's kernels on the layers and on its state (those of the gates, then of the candidate)
    /// as three layers more.
    fn penalty(&self, strengths: &PenaltyConfig) -> Option<Tensor<1>> {
        let ops::ConvGru { input, gates, candidate, .. } = self.unit.weights();
        strengths.kernels(&[self.frames.kernels(), vec![input, gates, candidate]].concat())
    }

    fn first_kernels(&self) -> Option<Tensor<4>> {
        self.frames.first_kernels()
    }

    /// Where the candidate of each channel looks; what its state takes from its neighbours is not counted.
    fn extents(&self, channels: usize, seen: usize) -> Vec<Extent> {
        let hidden = self.config.hidden;
        let candidate = self.unit.input.val().slice(s![2 * hidden.., .., .., ..]);
        convolved(candidate, Padding::Same, 1.0, &self.frames.extents(channels, seen))
    }
}

impl ConvGru {
    /// Moves the running statistics towards the moments of one training batch.
    #[must_use]
    pub fn keep_moments(mut self, moments: &[Moments]) -> Self {
        self.frames = self.frames.keep_moments(moments);
        self
    }
}

impl Unit {
    fn weights(&self) -> ops::ConvGru {
        ops::ConvGru {
            input: self.input.val(),
            bias: self.bias.val(),
            gates: self.gates.val(),
            candidate: self.candidate.val(),
        }
    }
}
