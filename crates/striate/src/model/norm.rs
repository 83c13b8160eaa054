//! Batch normalisation by the statistics of the batch; after a convolution folded into the kernel once they rest.

use burn::module::Param;
use burn::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, in_range};
use crate::model::Pass;
use crate::model::weights::{fixed, replace, trainable};
use crate::ops::{self, Activation, Moments, Normalise};

/// Batch normalisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNormConfig {
    /// Share of the running statistics kept at each step (the TensorFlow convention).
    pub decay: f64,
    /// Added to the variance.
    pub epsilon: f64,
    /// Whether an offset is learned.
    pub offset: bool,
    /// Whether a gain is learned.
    #[serde(default)]
    pub gain: bool,
    /// Whether in training each sample of the clips is normalised by its own statistics, and moves the running ones in turn
    /// (Xu et al. 2023; `papers/xu2023.md#training`).
    #[serde(default)]
    pub each_sample: bool,
}

/// As PyTorch's, which calls the decay a momentum of 0.1.
impl Default for BatchNormConfig {
    fn default() -> Self {
        Self { decay: 0.9, epsilon: 1e-5, offset: true, gain: true, each_sample: false }
    }
}

impl BatchNormConfig {
    /// Refuses what a core cannot do that sees whole clips.
    pub(super) fn check_of_clips(&self) -> Result<()> {
        match self.each_sample {
            true => Err(Error::config("is for cores that see each sample by itself, `stacked`")
                .key("model.core.batch_norm.each_sample")
                .hint("set it to false")),
            false => self.check(),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        in_range("model.core.batch_norm.decay", self.decay, 0.0..=1.0)?;
        in_range("model.core.batch_norm.epsilon", self.epsilon, 1e-12..=1e6)
    }
}

/// Learned parameters and running statistics of one layer, all `[channel]`. As the field `norm` of its layer it adds
/// nothing to their names.
#[derive(Module, Debug)]
pub(super) struct Norm {
    gain: Option<Param<Tensor<1>>>,
    offset: Param<Tensor<1>>,
    running_mean: Param<Tensor<1>>,
    running_variance: Param<Tensor<1>>,
}

impl Norm {
    /// Offsets of 0, learned or not, gains of 1 where they are learned, and statistics of white noise.
    pub fn init(channels: usize, offset: bool, gain: bool, device: &Device) -> Self {
        let all = |value| vec![value; channels];
        let at_zero = if offset { trainable } else { fixed };
        Self {
            gain: gain.then(|| trainable(all(1.0), [channels], device)),
            offset: at_zero(all(0.0), [channels], device),
            running_mean: fixed(all(0.0), [channels], device),
            running_variance: fixed(all(1.0), [channels], device),
        }
    }

    /// Rows `[.., channel]` normalised; in training also their moments.
    pub fn rows<const D: usize>(
        &self,
        config: &BatchNormConfig,
        rows: Tensor<D>,
        pass: Pass,
    ) -> (Tensor<D>, Option<Moments>) {
        let normalise = self.normalise(config, Activation::Identity, pass);
        if !pass.is_of_batch() {
            return (ops::normalise(rows, &self.running(), normalise), None);
        }
        let statistics = ops::moments(rows.clone());
        (ops::normalise(rows, &statistics, normalise), Some(statistics))
    }

    /// The offset.
    pub fn offset(&self) -> Tensor<1> {
        self.offset.val()
    }

    /// What `convolve` makes of a kernel `[out, in, kernel_h, kernel_w]`, a bias and a nonlinearity, `[.., channel]`,
    /// but normalised before the nonlinearity; in training also the moments.
    pub fn convolve<const D: usize>(
        &self,
        config: &BatchNormConfig,
        kernel: Tensor<4>,
        activation: Activation,
        pass: Pass,
        convolve: impl FnOnce(Tensor<4>, Option<Tensor<1>>, Activation) -> Tensor<D>,
    ) -> (Tensor<D>, Option<Moments>) {
        let normalise = self.normalise(config, activation, pass);
        if !pass.is_of_batch() {
            let (kernel, bias) = ops::folded(kernel, &self.running(), normalise);
            return (convolve(kernel, Some(bias), activation), None);
        }
        let drive = convolve(kernel, None, Activation::Identity);
        let statistics = ops::moments(drive.clone());
        (ops::normalise(drive, &statistics, normalise), Some(statistics))
    }

    fn normalise(&self, config: &BatchNormConfig, activation: Activation, pass: Pass) -> Normalise {
        Normalise {
            gain: self.gain.as_ref().map(Param::val),
            offset: self.offset.val(),
            epsilon: config.epsilon,
            activation,
            batch_statistics: pass.is_of_batch(),
        }
    }

    fn running(&self) -> Moments {
        Moments { mean: self.running_mean.val(), variance: self.running_variance.val() }
    }

    /// Moves the running statistics towards the moments of one training batch.
    pub fn keep(&mut self, moments: &Moments, config: &BatchNormConfig) {
        let blend = |param: &Param<Tensor<1>>, new: &Tensor<1>| {
            replace(param.clone(), |old| {
                let new = new.clone().inner().mul_scalar(1.0 - config.decay);
                let mixed = old.clone().inner().mul_scalar(config.decay) + new;
                Tensor::from_data(mixed.into_data(), &old.device())
            })
        };
        self.running_mean = blend(&self.running_mean, &moments.mean);
        self.running_variance = blend(&self.running_variance, &moments.variance);
    }
}
