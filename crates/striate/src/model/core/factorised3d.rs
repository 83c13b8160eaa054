//! Convolution layers for clips of video, each factorised into space, then time.
//!
//! # Source
//! The factorised 3-D core of the Sensorium 2023 competition (`papers/sensorium.md#cores`): a layer convolves each frame, then each pixel
//! along time, with nothing between the two, then normalises and bends.
//!
//! Differs in the biases, of which a published layer has one after either convolution. Batch normalisation takes away
//! whatever constant a channel has before it, so there they change no feature, and are left out. A published layer with
//! biases b after space and d after time (`[out]`) and the running mean m becomes one of ours with the same kernels,
//! gain, offset and running variance, and the running mean `m − d − Σ_{in,t} time[.., in, t] · b[in]`. Without batch
//! normalisation a layer has one bias, for the spatial one adds nothing that the temporal one cannot learn.

use burn::module::Param;
use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::extent::{Extent, alike, convolved, planes};
use super::stacked::{
    Nonlinearity, Padding, check_dropout, check_lengths, check_maps, check_weights, convolve, dropout,
    glorot_sd, shrunk,
};
use super::{Options, Part};
use crate::error::{Error, Result};
use crate::model::Pass;
use crate::model::norm::{BatchNormConfig, Norm};
use crate::model::penalty::PenaltyConfig;
use crate::model::weights::trainable;
use crate::ops::{self, Activation, Moments};
use crate::random::normal;

/// Layers of the core.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factorised3dConfig {
    /// Side of each layer's kernel in space, in pixels.
    pub spatial_kernels: Vec<usize>,
    /// Length of each layer's kernel in time, in frames; time is never padded.
    pub temporal_kernels: Vec<usize>,
    /// Output channels of each layer.
    pub channels: Vec<usize>,
    /// Padding of each layer in space.
    pub padding: Vec<Padding>,
    /// Nonlinearity of every layer but the last.
    pub nonlinearity: Nonlinearity,
    /// Nonlinearity of the last layer.
    pub final_nonlinearity: Nonlinearity,
    /// Normalisation before the nonlinearity, over batch, time and space; none gives each layer a bias instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_norm: Option<BatchNormConfig>,
    /// Rate of dropout on the input of each layer, training only.
    #[serde(default)]
    pub dropout: f64,
}

/// A stack of factorised layers.
#[derive(Module, Debug)]
pub struct Factorised3d {
    layers: Vec<Layer>,
    #[module(skip)]
    config: Factorised3dConfig,
}

/// One layer.
#[derive(Module, Debug)]
struct Layer {
    /// `[out, in, kernel, kernel]`.
    space: Param<Tensor<4>>,
    /// `[out, out, time]`.
    time: Param<Tensor<3>>,
    norm: Norm,
}

impl Factorised3dConfig {
    fn check_lists(&self) -> Result<()> {
        let layers = self.spatial_kernels.len();
        if layers == 0 {
            return Err(Error::config("needs at least one layer").key("model.core.spatial_kernels"));
        }
        let lists = [
            ("temporal_kernels", self.temporal_kernels.len()),
            ("channels", self.channels.len()),
            ("padding", self.padding.len()),
        ];
        check_lengths(("spatial_kernels", layers), &lists)?;
        let sizes = [&self.spatial_kernels, &self.temporal_kernels, &self.channels];
        if sizes.iter().any(|list| list.contains(&0)) {
            return Err(Error::config("kernels and channels must be at least 1").key("model.core"));
        }
        Ok(())
    }

    fn check_numbers(&self, inputs: usize) -> Result<()> {
        check_dropout(self.dropout)?;
        self.batch_norm.as_ref().map_or(Ok(()), BatchNormConfig::check_of_clips)?;
        let weights = self.shapes(inputs).flat_map(|([outputs, inputs, side, _], time)| {
            let [outputs, inputs, side, time] = [outputs, inputs, side, time].map(|size| size as f64);
            [outputs * inputs * side * side, outputs * outputs * time]
        });
        check_weights(weights)
    }

    /// `[out, in, kernel, kernel]` and length in time of each layer's kernels.
    fn shapes(&self, inputs: usize) -> impl Iterator<Item = ([usize; 4], usize)> {
        let before = std::iter::once(inputs).chain(self.channels.iter().copied());
        let sides = self.spatial_kernels.iter().zip(&self.temporal_kernels);
        (self.channels.iter().zip(before).zip(sides))
            .map(|((&outputs, inputs), (&side, &time))| ([outputs, inputs, side, side], time))
    }

    /// `[channel, time, height, width]` of the features for clips `[channel, time, height, width]`. The last frame of
    /// the features belongs to the last frame of the clip.
    pub fn clip_shape(&self, [channels, frames, height, width]: [usize; 4]) -> [usize; 4] {
        let [channels, height, width] = self.out_shape([channels, height, width]);
        [channels, frames + 1 - self.receptive_frames(), height, width]
    }

    /// A core for clips of frames `[channel, height, width]`, with kernels drawn as by Glorot & Bengio 2010.
    pub fn init(&self, [inputs, ..]: [usize; 3], rng: &mut ChaCha8Rng, device: &Device) -> Factorised3d {
        let layers = self.shapes(inputs).map(|(shape, time)| self.init_layer(shape, time, rng, device));
        Factorised3d { layers: layers.collect(), config: self.clone() }
    }

    fn init_layer(&self, shape: [usize; 4], time: usize, rng: &mut ChaCha8Rng, device: &Device) -> Layer {
        let [outputs, inputs, side, _] = shape;
        let mut draw =
            |inputs, taps| normal(rng, outputs * inputs * taps, 0.0, glorot_sd(inputs, outputs, taps));
        let norm = self.batch_norm.as_ref();
        Layer {
            space: trainable(draw(inputs, side * side), shape, device),
            time: trainable(draw(outputs, time), [outputs, outputs, time], device),
            norm: Norm::init(
                outputs,
                norm.is_none_or(|norm| norm.offset),
                norm.is_some_and(|norm| norm.gain),
                device,
            ),
        }
    }
}

/// The core of the Sensorium 2023 baseline.
impl Default for Factorised3dConfig {
    fn default() -> Self {
        Self::sensorium2023()
    }
}

impl Options for Factorised3dConfig {
    /// Whether the lists agree and the frames are large enough.
    fn check(&self, [inputs, height, width]: [usize; 3]) -> Result<()> {
        self.check_lists()?;
        self.check_numbers(inputs)?;
        check_maps("spatial_kernels", &self.spatial_kernels, &self.padding, [height, width], |_| 1).map(drop)
    }

    fn size(&self, [inputs, ..]: [usize; 3]) -> f64 {
        let layer = |([outputs, inputs, side, _], time): ([usize; 4], usize)| {
            let [outputs, inputs, side, time] = [outputs, inputs, side, time].map(|size| size as f64);
            outputs * (inputs * side * side + outputs * time + 4.0)
        };
        self.shapes(inputs).map(layer).sum()
    }

    fn out_shape(&self, [_, height, width]: [usize; 3]) -> [usize; 3] {
        let layers = || self.spatial_kernels.iter().zip(&self.padding);
        let side = |side| layers().fold(side, |side, (kernel, padding)| shrunk(side, *kernel, *padding, 1));
        [*self.channels.last().unwrap_or(&0), side(height), side(width)]
    }

    fn receptive_frames(&self) -> usize {
        1 + self.temporal_kernels.iter().map(|time| time.saturating_sub(1)).sum::<usize>()
    }

    fn has_kernels_in_time(&self) -> bool {
        true
    }
}

impl Part for Factorised3d {
    fn forward(&self, rows: Tensor<4>, samples: usize, pass: Pass) -> (Tensor<4>, Vec<Moments>) {
        let [rows_in, channels, height, width] = rows.dims();
        let clips = rows.reshape([rows_in / samples, samples, channels, height, width]);
        let (features, moments) = self.convolve(clips.permute([0, 1, 3, 4, 2]), pass);
        let [batch, kept, height, width, channels] = features.dims();
        (features.reshape([batch * kept, height, width, channels]), moments)
    }

    /// As of a stack of the kernels in space; the first in time have a strength of their own.
    fn penalty(&self, strengths: &PenaltyConfig) -> Option<Tensor<1>> {
        let spatial: Vec<Tensor<4>> =
            (0..self.layers.len()).map(|layer| self.spatial_kernel(layer)).collect();
        let first = self.layers.first().map(|first| first.time.val());
        let in_time = first.and_then(|first| strengths.kernels_in_time(first));
        strengths.kernels(&spatial).into_iter().chain(in_time).reduce(|a, b| a + b)
    }

    fn first_kernels(&self) -> Option<Tensor<4>> {
        (!self.layers.is_empty()).then(|| self.spatial_kernel(0))
    }

    fn extents(&self, channels: usize, seen: usize) -> Vec<Extent> {
        let mut of = planes(channels, seen);
        for (layer, &padding) in self.layers.iter().zip(&self.config.padding) {
            // Of a kernel in time only its size tells here.
            let mixed = layer.time.val().square().sum_dim(2).sqrt().unsqueeze_dim::<4>(3);
            of = convolved(mixed, Padding::Valid, 1.0, &convolved(layer.space.val(), padding, 1.0, &of));
            of = if self.config.batch_norm.is_some() { alike(of) } else { of };
        }
        of
    }
}

impl Factorised3d {
    /// Features `[batch, time', height', width', channel]` of clips `[batch, channel, time, height, width]`, and in
    /// training the moments of each layer for [`Factorised3d::keep_moments`].
    pub fn forward(&self, clips: Tensor<5>, pass: Pass) -> (Tensor<5>, Vec<Moments>) {
        self.convolve(clips.permute([0, 2, 3, 4, 1]), pass)
    }

    /// Features of clips `[batch, time, height, width, channel]`.
    fn convolve(&self, clips: Tensor<5>, pass: Pass) -> (Tensor<5>, Vec<Moments>) {
        let mut moments = Vec::new();
        let mut features = clips;
        for (index, layer) in self.layers.iter().enumerate() {
            let seen = dropout(features, self.config.dropout, index, pass);
            let (bent, statistics) = self.layer(layer, index, seen, pass);
            features = bent;
            moments.extend(statistics);
        }
        (features, moments)
    }

    fn layer(
        &self,
        layer: &Layer,
        index: usize,
        input: Tensor<5>,
        pass: Pass,
    ) -> (Tensor<5>, Option<Moments>) {
        let config = &self.config;
        let last = index + 1 == self.layers.len();
        let activation = if last { config.final_nonlinearity } else { config.nonlinearity }.into();
        let drive = each_frame(input, layer.space.val(), config.padding[index]);
        let along_time = |kernel: Tensor<4>, bias, activation| {
            ops::temporal(drive, kernel.squeeze_dim(3), bias, activation)
        };
        let kernel = layer.time.val().unsqueeze_dim::<4>(3);
        match &config.batch_norm {
            Some(norm) => layer.norm.convolve(norm, kernel, activation, pass, along_time),
            None => (along_time(kernel, Some(layer.norm.offset()), activation), None),
        }
    }

    /// Spatial kernels `[out, in, kernel, kernel]` of a layer.
    pub fn spatial_kernel(&self, layer: usize) -> Tensor<4> {
        self.layers[layer].space.val()
    }

    /// Temporal kernels `[out, out, time]` of a layer, the earliest frame first.
    pub fn temporal_kernel(&self, layer: usize) -> Tensor<3> {
        self.layers[layer].time.val()
    }

    /// Moves the running statistics towards the moments of one training batch.
    #[must_use]
    pub fn keep_moments(mut self, moments: &[Moments]) -> Self {
        let Some(norm) = &self.config.batch_norm else { return self };
        for (layer, moments) in self.layers.iter_mut().zip(moments) {
            layer.norm.keep(moments, norm);
        }
        self
    }
}

/// Convolution of each frame of clips `[batch, time, height, width, in]` by itself.
fn each_frame(clips: Tensor<5>, kernel: Tensor<4>, padding: Padding) -> Tensor<5> {
    let [batch, time, height, width, inputs] = clips.dims();
    let frames = clips.reshape([batch * time, height, width, inputs]);
    let out = convolve(frames, kernel, None, (padding, 1), Activation::Identity);
    let [_, height, width, outputs] = out.dims();
    out.reshape([batch, time, height, width, outputs])
}
