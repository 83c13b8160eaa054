//! A convolution and the batch norm behind it: what deep cores are made of, and what their libraries call it.

use burn::module::Param;
use burn::prelude::*;
use rand_chacha::ChaCha8Rng;

use super::Extent;
use crate::model::norm::{BatchNormConfig, Norm};
use crate::model::pass::Pass;
use crate::model::weights::trainable;
use crate::ops::{self, Activation, Conv2dOptions, Moments};
use crate::random::{normal, uniform};

/// Shape of a convolution without bias that keeps the size of the map, but for its stride; kernels are odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub outputs: usize,
    pub inputs: usize,
    pub side: usize,
    pub stride: usize,
    /// Whether each channel is convolved by itself.
    pub apart: bool,
}

impl Shape {
    /// Kernels of `side` pixels from `inputs` to `outputs` channels.
    pub fn new(inputs: usize, outputs: usize, side: usize, stride: usize) -> Self {
        Self { outputs, inputs, side, stride, apart: false }
    }

    /// A kernel of `side` pixels for each channel.
    pub fn apart(channels: usize, side: usize, stride: usize) -> Self {
        Self { apart: true, ..Self::new(channels, channels, side, stride) }
    }

    fn axes(self) -> [usize; 4] {
        [self.outputs, if self.apart { 1 } else { self.inputs }, self.side, self.side]
    }

    /// Number of weights, those of the batch norm and its statistics included.
    pub fn size(self) -> f64 {
        self.axes().map(|side| side as f64).iter().product::<f64>() + 4.0 * self.outputs as f64
    }

    /// With kernels drawn as by He et al. 2015, by the connections of an input.
    pub fn init(self, rng: &mut ChaCha8Rng, device: &Device) -> NormedConv {
        let outputs = if self.apart { 1 } else { self.outputs };
        let sd = (2.0 / (self.side * self.side * outputs) as f64).sqrt();
        self.with(normal(rng, self.axes().iter().product(), 0.0, sd), device)
    }

    /// With kernels uniform within `±1/√connections` of an output, as PyTorch draws them.
    pub fn init_uniform(self, rng: &mut ChaCha8Rng, device: &Device) -> NormedConv {
        let axes = self.axes();
        let bound = 1.0 / (axes[1..].iter().product::<usize>() as f64).sqrt();
        self.with(uniform(rng, axes.iter().product(), bound), device)
    }

    fn with(self, kernels: Vec<f32>, device: &Device) -> NormedConv {
        NormedConv {
            weight: trainable(kernels, self.axes(), device),
            norm: Norm::init(self.outputs, true, true, device),
            shape: self,
        }
    }

    /// Where channels look that see a map whose channels look as `before`, at pixels `step` pixels of the image apart: as if
    /// all weights were alike.
    pub fn looks(self, step: f64, before: Extent) -> Extent {
        let spread = step * step * ((self.side * self.side - 1) as f64) / 12.0;
        Extent { energy: 1.0, variance: before.variance.map(|variance| variance + spread), ..before }
    }
}

/// A convolution, and the batch norm behind it.
#[derive(Module, Debug)]
pub(super) struct NormedConv {
    /// `[out, in, kernel, kernel]`, or `[channel, 1, kernel, kernel]`.
    weight: Param<Tensor<4>>,
    norm: Norm,
    #[module(skip)]
    shape: Shape,
}

impl NormedConv {
    /// Maps `[row, height, width, out]` of maps `[row, height, width, in]`, whose moments are kept in training.
    pub fn forward(
        &self,
        maps: Tensor<4>,
        activation: Activation,
        pass: Pass,
        moments: &mut Vec<Moments>,
    ) -> Tensor<4> {
        let Shape { side, stride, apart, .. } = self.shape;
        let pad = [side / 2; 2];
        let convolve = |kernel, bias, activation| match apart {
            true => each(maps, kernel, bias, (stride, activation)),
            false => ops::conv2d(maps, kernel, bias, Conv2dOptions { stride, pad, activation }),
        };
        let config = BatchNormConfig::default();
        let (maps, own) = self.norm.convolve(&config, self.weight.val(), activation, pass, convolve);
        moments.extend(own);
        maps
    }

    /// Moves the running statistics towards the moments of one training batch.
    pub fn keep(&mut self, moments: &Moments) {
        self.norm.keep(moments, &BatchNormConfig::default());
    }

    /// Its kernels.
    pub fn weight(&self) -> Tensor<4> {
        self.weight.val()
    }
}

/// Each channel of `maps` by its own kernel of `[channel, 1, kernel, kernel]`.
fn each(
    maps: Tensor<4>,
    kernel: Tensor<4>,
    bias: Option<Tensor<1>>,
    (stride, activation): (usize, Activation),
) -> Tensor<4> {
    let [channels, _, side, _] = kernel.dims();
    let dense = ops::depthwise2d(maps, kernel.reshape([channels, side, side]), [side / 2; 2]);
    let maps = if stride == 1 { dense } else { dense.slice(s![.., ..;stride, ..;stride, ..]) };
    let biased = bias.into_iter().fold(maps, |maps, bias| maps + bias.reshape([1, 1, 1, channels]));
    ops::activate(biased, activation)
}

/// Moves the running statistics of layers towards their moments, both in the order of the forward pass.
pub(super) fn keep_all(layers: Vec<&mut NormedConv>, moments: &[Moments]) {
    layers.into_iter().zip(moments).for_each(|(layer, moments)| layer.keep(moments));
}

/// Mean over the map, `[row, 1, 1, channel]`.
pub(super) fn over_map(maps: Tensor<4>) -> Tensor<4> {
    maps.mean_dim(1).mean_dim(2)
}

/// What a library calls the kernels and the batch norm of a layer, each beside our name.
pub(super) fn named(convolution: &str, norm: &str, ours: &str) -> [(String, String); 5] {
    let of_norm = |theirs: &str, part: &str| (format!("{norm}.{theirs}"), format!("core.{ours}.{part}"));
    [
        (format!("{convolution}.weight"), format!("core.{ours}.weight")),
        of_norm("weight", "gain"),
        of_norm("bias", "offset"),
        of_norm("running_mean", "running_mean"),
        of_norm("running_var", "running_variance"),
    ]
}
