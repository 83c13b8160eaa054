//! Convolution layers one after another, each with batch normalisation and a nonlinearity.

mod extent;

use burn::module::Param;
use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::lgn::{Lgn, LgnConfig};
use super::{Extent, Options, Part};
use crate::batch::cut;
use crate::error::{Error, Result, in_range};
pub use crate::model::norm::BatchNormConfig;
use crate::model::norm::Norm;
use crate::model::pass::Pass;
use crate::model::penalty::PenaltyConfig;
use crate::model::weights::trainable;
use crate::ops::{self, Activation, Conv2dOptions, Moments};
use crate::random::{Draws, dropout_mask, normal, truncated_normal, uniform};

/// Layers of the core; without any, the features are what it sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackedConfig {
    /// Centre-surround units before the first layer, which then sees a map of one pixel with a channel for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lgn: Option<LgnConfig>,
    /// Kernel side of each layer, in pixels.
    pub kernels: Vec<usize>,
    /// Output channels of each layer.
    pub channels: Vec<usize>,
    /// Padding of each layer.
    pub padding: Vec<Padding>,
    /// Pixels from one output of each layer to the next; none for 1 everywhere.
    #[serde(default)]
    pub strides: Vec<usize>,
    /// Nonlinearity of every layer but the last.
    pub nonlinearity: Nonlinearity,
    /// Nonlinearity of the last layer.
    pub final_nonlinearity: Nonlinearity,
    /// Normalisation before the nonlinearity; none makes each layer convolution and nonlinearity only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_norm: Option<BatchNormConfig>,
    /// Whether each channel has a bias; a batch norm has its offset instead.
    #[serde(default)]
    pub bias: bool,
    /// Reparametrisation of the kernels.
    #[serde(default)]
    pub kernel_constraint: KernelConstraint,
    /// Whether every layer but the first is a 1 × 1 convolution, one kernel per channel, and a 1 × 1 convolution
    /// (Sensorium; `papers/sensorium.md#cores`).
    #[serde(default)]
    pub separable: bool,
    /// Standard deviation of the starting kernels; 0 means that of Glorot & Bengio 2010, `√(2 / (in + out))` with
    /// the connections of an input and of an output.
    pub init_sd: f64,
    /// Whether starting kernels are truncated at two standard deviations.
    #[serde(default)]
    pub init_truncated: bool,
    /// Whether starting kernels are uniform within `±1/√connections` of an output instead, as PyTorch draws them.
    #[serde(default)]
    pub init_uniform: bool,
    /// Rate of dropout on the input of each layer, training only.
    #[serde(default)]
    pub dropout: f64,
    /// Whether dropout leaves out the input of the first layer, the image.
    #[serde(default)]
    pub image_kept: bool,
    /// Side of the average pooling after the last layer, in pixels; 1 means none.
    #[serde(default = "one")]
    pub pool: usize,
}

/// Kernel weights of one layer beyond which a configuration is a slip of the pen (1 GiB).
const MOST_WEIGHTS: f64 = (1 << 28) as f64;

fn one() -> usize {
    1
}

/// How a layer treats the border.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Only where the kernel fits: the map shrinks by kernel − 1.
    Valid,
    /// Zeros around, so that the map keeps its size.
    Same,
}

/// Nonlinearity of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nonlinearity {
    /// None.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `log(1 + eˣ)`.
    Softplus,
    /// `x` above 0, `eˣ − 1` below.
    Elu,
}

/// Reparametrisation of the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelConstraint {
    /// None.
    #[default]
    None,
    /// Each kernel slice divided by 1e-5 + its Euclidean norm (Klindt et al. 2017, figure 4).
    UnitNorm,
}

/// A stack of convolution layers.
#[derive(Module, Debug)]
pub struct Stacked {
    lgn: Option<Lgn>,
    layers: Vec<Layer>,
    #[module(skip)]
    config: StackedConfig,
}

/// One layer.
#[derive(Module, Debug)]
struct Layer {
    /// `[out, in, kernel, kernel]`; the first 1 × 1 convolution of a separable layer.
    weight: Param<Tensor<4>>,
    separable: Option<Separable>,
    norm: Norm,
}

/// What follows the first 1 × 1 convolution of a separable layer.
#[derive(Module, Debug)]
struct Separable {
    /// A kernel for each channel, `[out, kernel, kernel]`.
    depthwise: Param<Tensor<3>>,
    /// `[out, out, 1, 1]`.
    pointwise: Param<Tensor<4>>,
}

/// As in figures 3 to 5 of Klindt et al. 2017, with one layer of eight channels.
impl Default for StackedConfig {
    fn default() -> Self {
        Self {
            lgn: None,
            kernels: vec![9],
            channels: vec![8],
            padding: vec![Padding::Valid],
            strides: Vec::new(),
            nonlinearity: Nonlinearity::Elu,
            final_nonlinearity: Nonlinearity::Elu,
            batch_norm: Some(BatchNormConfig::default()),
            bias: false,
            kernel_constraint: KernelConstraint::None,
            separable: false,
            init_sd: 0.0,
            init_truncated: false,
            init_uniform: false,
            dropout: 0.0,
            image_kept: false,
            pool: 1,
        }
    }
}

impl Options for StackedConfig {
    /// Whether the lists agree and the image is large enough.
    fn check(&self, shape: [usize; 3]) -> Result<()> {
        self.check_numbers()?;
        let layers = self.kernels.len();
        let others = [("channels", self.channels.len()), ("padding", self.padding.len())];
        check_lengths(("kernels", layers), &others)?;
        self.check_strides(layers)?;
        if self.kernels.contains(&0) || self.channels.contains(&0) || self.pool == 0 {
            return Err(Error::config("kernels, channels and pool must be at least 1").key("model.core"));
        }
        if self.separable && self.kernels.iter().zip(&self.padding).skip(1).any(|(k, p)| even_same(*k, *p)) {
            let message = "separable layers with `same` padding need odd kernels";
            return Err(Error::config(message).key("model.core.kernels"));
        }
        check_dropout(self.dropout)?;
        self.lgn.as_ref().map_or(Ok(()), |lgn| lgn.check(shape))?;
        let [_, height, width] = self.seen(shape);
        check_maps("kernels", &self.kernels, &self.padding, [height, width], |layer| self.stride(layer))?;
        let [_, height, width] = self.before_pool(shape);
        if height < self.pool || width < self.pool {
            let message = format!("pooling {} pixels of a map of {height}×{width}", self.pool);
            return Err(Error::config(message).key("model.core.pool"));
        }
        Ok(())
    }

    fn out_shape(&self, shape: [usize; 3]) -> [usize; 3] {
        let [channels, height, width] = self.before_pool(shape);
        [channels, height / self.pool, width / self.pool]
    }

    fn unpooled_shape(&self, shape: [usize; 3]) -> [usize; 3] {
        Self { strides: Vec::new(), ..self.clone() }.before_pool(shape)
    }

    fn size(&self, image: [usize; 3]) -> f64 {
        let mut inputs = self.seen(image)[0] as f64;
        let layers = self.kernels.iter().zip(&self.channels).enumerate();
        let size = |(index, (&kernel, &channels)): (usize, (&usize, &usize))| {
            let (taps, outputs) = ((kernel as f64).powi(2), channels as f64);
            let mixed = std::mem::replace(&mut inputs, outputs) * outputs;
            let separable = self.separable && index > 0;
            4.0 * outputs + if separable { mixed + outputs * (taps + outputs) } else { mixed * taps }
        };
        layers.map(size).sum::<f64>() + self.lgn.as_ref().map_or(0.0, LgnConfig::size)
    }

    fn is_strided(&self) -> bool {
        self.strides.iter().any(|stride| *stride > 1)
    }

    fn step(&self) -> usize {
        self.pool * self.strides.iter().product::<usize>()
    }
}

impl StackedConfig {
    /// Pixels from one output of a layer to the next.
    fn stride(&self, layer: usize) -> usize {
        self.strides.get(layer).copied().unwrap_or(1)
    }

    /// `[channel, height, width]` of the last layer for images `[channel, height, width]`.
    fn before_pool(&self, shape: [usize; 3]) -> [usize; 3] {
        let [channels, height, width] = self.seen(shape);
        let layers = self.kernels.iter().zip(&self.padding).enumerate();
        let shrink = |side, (at, (k, p)): (usize, (&usize, &Padding))| shrunk(side, *k, *p, self.stride(at));
        let side = |side: usize| layers.clone().fold(side, shrink);
        [*self.channels.last().unwrap_or(&channels), side(height), side(width)]
    }

    fn check_strides(&self, layers: usize) -> Result<()> {
        let refuse = |why: &str| Err(Error::config(why).key("model.core.strides"));
        match () {
            () if self.strides.is_empty() => Ok(()),
            () if self.strides.len() != layers => {
                check_lengths(("kernels", layers), &[("strides", self.strides.len())])
            }
            () if self.strides.contains(&0) => refuse("must be at least 1"),
            () if self.separable && self.strides[1..].iter().any(|stride| *stride > 1) => {
                refuse("separable layers have none")
            }
            () if self.even_and_strided() => refuse("need odd kernels where the padding is `same`"),
            () if self.step() > 4096 => refuse("are larger than any image together"),
            () => Ok(()),
        }
    }

    fn even_and_strided(&self) -> bool {
        let mut layers = self.kernels.iter().zip(&self.padding).zip(&self.strides);
        layers.any(|((kernel, padding), stride)| *stride > 1 && even_same(*kernel, *padding))
    }

    fn check_numbers(&self) -> Result<()> {
        in_range("model.core.init_sd", self.init_sd, 0.0..=1e6)?;
        self.batch_norm.as_ref().map_or(Ok(()), BatchNormConfig::check)?;
        let sides = self.kernels.iter().map(|&kernel| kernel as f64);
        check_weights(sides.zip(&self.channels).map(|(kernel, &c)| kernel * kernel * c as f64 * c as f64))
    }

    /// What the first layer sees of images `[channel, height, width]`.
    fn seen(&self, shape: [usize; 3]) -> [usize; 3] {
        self.lgn.as_ref().map_or(shape, |lgn| [lgn.units, 1, 1])
    }

    /// A core with freshly drawn kernels for images `[channel, height, width]`.
    pub fn init(&self, image: [usize; 3], rng: &mut ChaCha8Rng, device: &Device) -> Stacked {
        let lgn = self.lgn.as_ref().map(|lgn| lgn.init([image[1], image[2]], rng, device));
        let [mut inputs, _, _] = self.seen(image);
        let layers =
            (self.kernels.iter().zip(&self.channels).enumerate()).map(|(index, (&kernel, &channels))| {
                let shape = [channels, inputs, kernel, kernel];
                inputs = channels;
                self.init_layer(shape, self.separable && index > 0, rng, device)
            });
        Stacked { layers: layers.collect(), lgn, config: self.clone() }
    }

    fn init_layer(&self, shape: [usize; 4], separable: bool, rng: &mut ChaCha8Rng, device: &Device) -> Layer {
        let [channels, inputs, side, _] = shape;
        let norm = self.batch_norm.as_ref();
        let first = if separable { [channels, inputs, 1, 1] } else { shape };
        Layer {
            weight: trainable(self.draw(first, rng), first, device),
            separable: separable.then(|| Separable {
                depthwise: trainable(
                    self.draw([channels, 1, side, side], rng),
                    [channels, side, side],
                    device,
                ),
                pointwise: trainable(
                    self.draw([channels, channels, 1, 1], rng),
                    [channels, channels, 1, 1],
                    device,
                ),
            }),
            norm: Norm::init(
                channels,
                norm.map_or(self.bias, |norm| norm.offset),
                norm.is_some_and(|norm| norm.gain),
                device,
            ),
        }
    }

    /// Starting values of kernels `[out, in, kernel, kernel]`.
    fn draw(&self, [outputs, inputs, height, width]: [usize; 4], rng: &mut ChaCha8Rng) -> Vec<f32> {
        let count = outputs * inputs * height * width;
        if self.init_uniform {
            return uniform(rng, count, 1.0 / ((inputs * height * width) as f64).sqrt());
        }
        let draw = if self.init_truncated { truncated_normal } else { normal };
        let sd = if self.init_sd > 0.0 { self.init_sd } else { glorot_sd(inputs, outputs, height * width) };
        draw(rng, count, 0.0, sd)
    }
}

/// Standard deviation of Glorot & Bengio 2010 (Xavier) for kernels of `taps` weights.
pub(super) fn glorot_sd(inputs: usize, outputs: usize, taps: usize) -> f64 {
    (2.0 / ((inputs + outputs) * taps) as f64).sqrt()
}

/// That the lists `others` have as many layers as the list `first`.
pub(super) fn check_lengths(first: (&str, usize), others: &[(&str, usize)]) -> Result<()> {
    let Some((key, length)) = others.iter().find(|(_, length)| *length != first.1) else { return Ok(()) };
    let message = format!("lists {length} layers, `{}` lists {}", first.0, first.1);
    Err(Error::config(message).key(format!("model.core.{key}")))
}

pub(super) fn check_dropout(rate: f64) -> Result<()> {
    if (0.0..1.0).contains(&rate) {
        return Ok(());
    }
    Err(Error::config("must be at least 0 and below 1").key("model.core.dropout"))
}

/// That each layer has a credible number of kernel weights.
pub(super) fn check_weights(layers: impl Iterator<Item = f64>) -> Result<()> {
    in_range("model.core", layers.fold(0.0, f64::max), 0.0..=MOST_WEIGHTS)
        .map_err(|e| e.hint("this is the number of kernel weights of one layer"))
}

/// `[height, width]` after all layers for maps `[height, width]` that are large enough; `key` lists the kernels.
pub(super) fn check_maps(
    key: &str,
    kernels: &[usize],
    padding: &[Padding],
    [mut height, mut width]: [usize; 2],
    stride: impl Fn(usize) -> usize,
) -> Result<[usize; 2]> {
    for (layer, (&kernel, &padding)) in kernels.iter().zip(padding).enumerate() {
        if padding == Padding::Valid && (height < kernel || width < kernel) {
            let message = format!("a kernel of {kernel} pixels does not fit a map of {height}×{width}");
            return Err(Error::config(message).key(format!("model.core.{key}")));
        }
        let side = |side| shrunk(side, kernel, padding, stride(layer));
        (height, width) = (side(height), side(width));
    }
    Ok([height, width])
}

fn even_same(kernel: usize, padding: Padding) -> bool {
    padding == Padding::Same && kernel.is_multiple_of(2)
}

/// Side of the map after a layer.
pub(super) fn shrunk(side: usize, kernel: usize, padding: Padding, stride: usize) -> usize {
    match padding {
        Padding::Valid => (side - kernel) / stride + 1,
        Padding::Same => side.div_ceil(stride),
    }
}

/// Convolution that keeps to the padding rule; an even kernel with `same` padding has one zero less
/// above and to the left than below and to the right, as in TensorFlow.
pub(super) fn convolve(
    input: Tensor<4>,
    kernel: Tensor<4>,
    bias: Option<Tensor<1>>,
    (padding, stride): (Padding, usize),
    activation: Activation,
) -> Tensor<4> {
    let side = kernel.dims()[2];
    let zeros = pad(side, padding);
    let options = Conv2dOptions { pad: [zeros, zeros], activation, stride };
    let out = ops::conv2d(input, kernel, bias, options);
    if padding == Padding::Valid || side % 2 == 1 {
        return out;
    }
    let [batch, height, width, channels] = out.dims();
    out.slice([0..batch, 1..height, 1..width, 0..channels])
}

fn pad(kernel: usize, padding: Padding) -> usize {
    match padding {
        Padding::Valid => 0,
        Padding::Same => kernel / 2,
    }
}

impl From<Nonlinearity> for Activation {
    fn from(nonlinearity: Nonlinearity) -> Self {
        match nonlinearity {
            Nonlinearity::Identity => Self::Identity,
            Nonlinearity::Relu => Self::Relu,
            Nonlinearity::Softplus => Self::Softplus,
            Nonlinearity::Elu => Self::Elu,
        }
    }
}

impl Stacked {
    /// Features `[batch, height', width', channel]` of images `[batch, channel, height, width]`, and in
    /// training the moments of each layer for [`Stacked::keep_moments`].
    pub fn forward(&self, images: Tensor<4>, pass: Pass) -> (Tensor<4>, Vec<Moments>) {
        let mut moments = Vec::new();
        (self.features(images, 0, pass, &mut moments), moments)
    }

    /// As [`Stacked::forward`], of the images at one `sample` of all clips.
    fn features(
        &self,
        images: Tensor<4>,
        sample: usize,
        pass: Pass,
        moments: &mut Vec<Moments>,
    ) -> Tensor<4> {
        let mut features = images.permute([0, 2, 3, 1]);
        if let Some(lgn) = &self.lgn {
            features = lgn.forward(features);
        }
        for (index, layer) in self.layers.iter().enumerate() {
            if index > 0 || !self.config.image_kept {
                features = dropout(features, self.config.dropout, sample * self.layers.len() + index, pass);
            }
            features = self.layer(layer, index, features, pass, moments);
        }
        pool(features, self.config.pool)
    }

    /// As [`Stacked::forward`], of clips of `samples` rows, the images of each sample by their own statistics.
    fn each_sample(&self, rows: Tensor<4>, samples: usize, pass: Pass) -> (Tensor<4>, Vec<Moments>) {
        let all = rows.dims()[0];
        let mut moments = Vec::new();
        let of = |sample: usize| {
            let here = cut(rows.clone(), samples, sample..sample + 1);
            self.features(here, sample, pass, &mut moments)
        };
        let features: Tensor<5> = Tensor::stack((0..samples).map(of).collect(), 1);
        let [_, _, height, width, channels] = features.dims();
        (features.reshape([all, height, width, channels]), moments)
    }

    fn layer(
        &self,
        layer: &Layer,
        index: usize,
        input: Tensor<4>,
        pass: Pass,
        moments: &mut Vec<Moments>,
    ) -> Tensor<4> {
        let (input, kernel, padding) = self.last_convolution(layer, index, input);
        let last = index + 1 == self.layers.len();
        let activation: Activation =
            if last { self.config.final_nonlinearity } else { self.config.nonlinearity }.into();
        let rule = (padding, self.config.stride(index));
        let with = |kernel, bias, activation| convolve(input, kernel, bias, rule, activation);
        let Some(norm) = &self.config.batch_norm else {
            return with(kernel, self.config.bias.then(|| layer.norm.offset()), activation);
        };
        let (features, statistics) = layer.norm.convolve(norm, kernel, activation, pass, with);
        moments.extend(statistics);
        features
    }

    /// What the last convolution of a layer takes in, its kernel and its padding.
    fn last_convolution(
        &self,
        layer: &Layer,
        index: usize,
        input: Tensor<4>,
    ) -> (Tensor<4>, Tensor<4>, Padding) {
        let padding = self.config.padding[index];
        let Some(separable) = &layer.separable else { return (input, self.kernel(index), padding) };
        let mixed = convolve(input, layer.weight.val(), None, (Padding::Valid, 1), Activation::Identity);
        let zeros = pad(self.config.kernels[index], padding);
        let seen = ops::depthwise2d(mixed, separable.depthwise.val(), [zeros, zeros]);
        (seen, separable.pointwise.val(), Padding::Valid)
    }

    /// Kernels `[out, in, kernel, kernel]` of a layer after their constraint; `[out, 1, kernel, kernel]` of a
    /// separable one.
    pub fn kernel(&self, layer: usize) -> Tensor<4> {
        if let Some(separable) = &self.layers[layer].separable {
            return separable.depthwise.val().unsqueeze_dim(1);
        }
        let raw = self.layers[layer].weight.val();
        match self.config.kernel_constraint {
            KernelConstraint::None => raw,
            KernelConstraint::UnitNorm => {
                let norm = raw.clone().square().sum_dim(3).sum_dim(2).sqrt();
                raw / norm.add_scalar(1e-5)
            }
        }
    }

    /// Kernels of all layers, as [`Stacked::kernel`].
    pub fn kernels(&self) -> Vec<Tensor<4>> {
        (0..self.layers.len()).map(|layer| self.kernel(layer)).collect()
    }

    /// Moves the running statistics towards the moments of one training batch.
    #[must_use]
    pub fn keep_moments(mut self, moments: &[Moments]) -> Self {
        let Some(norm) = &self.config.batch_norm else { return self };
        for sample in moments.chunks(self.layers.len().max(1)) {
            for (layer, moments) in self.layers.iter_mut().zip(sample) {
                layer.norm.keep(moments, norm);
            }
        }
        self
    }
}

impl Part for Stacked {
    fn forward(&self, rows: Tensor<4>, samples: usize, pass: Pass) -> (Tensor<4>, Vec<Moments>) {
        let apart = self.config.batch_norm.as_ref().is_some_and(|norm| norm.each_sample);
        match pass {
            Pass::Train { .. } if apart && samples > 1 => self.each_sample(rows, samples, pass),
            _ => Self::forward(self, rows, pass),
        }
    }

    fn penalty(&self, strengths: &PenaltyConfig) -> Option<Tensor<1>> {
        strengths.kernels(&self.kernels())
    }

    /// Centre-surround filters, or the kernels of the first layer.
    fn first_kernels(&self) -> Option<Tensor<4>> {
        match &self.lgn {
            Some(lgn) => Some(lgn.pictures()),
            None => (!self.layers.is_empty()).then(|| self.kernel(0)),
        }
    }

    fn extents(&self, channels: usize, seen: usize) -> Vec<Extent> {
        self.looks(channels, seen)
    }
}

/// `x` with dropout at `rate` as the input of a layer; in evaluation as it is.
pub(super) fn dropout<const D: usize>(x: Tensor<D>, rate: f64, layer: usize, pass: Pass) -> Tensor<D> {
    let Some(seed) = pass.dropout() else { return x };
    if rate == 0.0 {
        return x;
    }
    let mask = dropout_mask(seed, Draws::Dropout(layer as u64), rate, x.dims().iter().product());
    let mask = Tensor::from_data(TensorData::new(mask, x.dims()), &x.device());
    x * mask
}

/// Average over squares of `side` pixels; a ragged border is left out.
pub(crate) fn pool(x: Tensor<4>, side: usize) -> Tensor<4> {
    if side == 1 {
        return x;
    }
    let [batch, height, width, channels] = x.dims();
    let (rows, columns) = (height / side, width / side);
    x.slice([0..batch, 0..rows * side, 0..columns * side, 0..channels])
        .reshape([batch * rows, side, columns, side, channels])
        .mean_dim(3)
        .mean_dim(1)
        .reshape([batch, rows, columns, channels])
}
