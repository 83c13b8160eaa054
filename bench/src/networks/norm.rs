//! Batch normalisation with running statistics.

use burn::module::Param;
use burn::prelude::*;
use striate::error::Result;
use striate::model::weights::replace;
use striate::ops::{Activation, Conv2dOptions, Moments, Normalise, conv2d, folded, moments, normalise};

use crate::source::Source;

/// How much of a batch enters the running statistics.
const MOMENTUM: f64 = 0.1;

/// One forward pass.
pub struct Pass {
    /// Whether it normalises with the statistics of the batch.
    pub training: bool,
    seen: Vec<Seen>,
}

/// Moments of one batch, and of how many values.
struct Seen {
    norm: usize,
    moments: Moments,
    count: usize,
}

impl Pass {
    /// A pass that has seen nothing.
    pub fn new(training: bool) -> Self {
        Self { training, seen: Vec::new() }
    }

    /// Moves the running statistics of `norms` towards what the pass has seen.
    pub fn keep(self, norms: &mut [Norm]) {
        for Seen { norm, moments, count } in self.seen {
            norms[norm].blend(moments, count);
        }
    }
}

/// Parameters and running statistics, all `[channel]`.
#[derive(Module, Debug)]
pub struct Norm {
    offset: Param<Tensor<1>>,
    gain: Option<Param<Tensor<1>>>,
    mean: Param<Tensor<1>>,
    variance: Param<Tensor<1>>,
    #[module(skip)]
    epsilon: f64,
    #[module(skip)]
    number: usize,
}

impl Norm {
    /// The normalisations `offset0`, `offset1`, … with their gains, if they have any.
    pub fn layers(source: &Source, epsilon: f64) -> Result<Vec<Self>> {
        let count = (0..).take_while(|i| source.has(&format!("offset{i}"))).count();
        let names = |i| (format!("offset{i}"), format!("gain{i}"));
        (0..count).map(|i| Self::load(source, &names(i).0, &names(i).1, epsilon, i)).collect()
    }

    /// The one whose arrays are `offset` and `gain`; `number` is its place in [`super::Network::norms`].
    pub fn load(source: &Source, offset: &str, gain: &str, epsilon: f64, number: usize) -> Result<Self> {
        let offset = source.weight::<1>(offset)?;
        let channels = offset.val().dims()[0];
        Ok(Self {
            offset,
            gain: source.optional(gain)?,
            mean: source.constant(0.0, channels),
            variance: source.constant(1.0, channels),
            epsilon,
            number,
        })
    }

    /// A convolution without bias, normalised, then the nonlinearity of `options`.
    pub fn convolve(
        &self,
        x: Tensor<4>,
        weight: Tensor<4>,
        options: Conv2dOptions,
        pass: &mut Pass,
    ) -> Tensor<4> {
        if pass.training {
            let drive =
                conv2d(x, weight, None, Conv2dOptions { activation: Activation::Identity, ..options });
            return self.apply(drive, options.activation, pass);
        }
        let (weight, bias) = folded(weight, &self.running(), self.options(options.activation, pass));
        conv2d(x, weight, Some(bias), options)
    }

    /// Normalises `x` `[.., channel]`, then applies the nonlinearity.
    pub fn apply<const D: usize>(&self, x: Tensor<D>, activation: Activation, pass: &mut Pass) -> Tensor<D> {
        let statistics = if pass.training {
            let count = x.dims()[..D - 1].iter().product();
            let seen = moments(x.clone());
            pass.seen.push(Seen { norm: self.number, moments: seen.clone(), count });
            seen
        } else {
            self.running()
        };
        normalise(x, &statistics, self.options(activation, pass))
    }

    fn running(&self) -> Moments {
        Moments { mean: self.mean.val(), variance: self.variance.val() }
    }

    fn options(&self, activation: Activation, pass: &Pass) -> Normalise {
        Normalise {
            gain: self.gain.as_ref().map(Param::val),
            offset: self.offset.val(),
            epsilon: self.epsilon,
            activation,
            batch_statistics: pass.training,
        }
    }

    fn blend(&mut self, moments: Moments, count: usize) {
        let unbiased = count as f64 / (count as f64 - 1.0);
        let blend = |param: &Param<Tensor<1>>, new: Tensor<1>| {
            replace(param.clone(), |old| {
                let old = old.clone().inner().mul_scalar(1.0 - MOMENTUM);
                Tensor::from_inner(old + new.inner().mul_scalar(MOMENTUM))
            })
        };
        self.mean = blend(&self.mean, moments.mean);
        self.variance = blend(&self.variance, moments.variance.mul_scalar(unbiased));
    }
}
