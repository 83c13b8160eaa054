//! Batch normalisation with running statistics.

use burn::module::Param;
use burn::prelude::*;
use striate::error::Result;
use striate::model::weights::replace;
use striate::ops::Activation;

use crate::source::Source;
use crate::todo_ops::{Moments, moments, normalise};

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

    /// Normalises `x` `[.., channel]`, then applies the nonlinearity.
    pub fn apply(&self, x: Tensor<4>, activation: Activation, pass: &mut Pass) -> Tensor<4> {
        let statistics = if pass.training {
            let [batch, height, width, _] = x.dims();
            let seen = moments(x.clone());
            pass.seen.push(Seen { norm: self.number, moments: seen.clone(), count: batch * height * width });
            seen
        } else {
            Moments { mean: self.mean.val(), variance: self.variance.val() }
        };
        let gain = self.gain.as_ref().map(Param::val);
        normalise(x, &statistics, gain, self.offset.val(), self.epsilon, activation, pass.training)
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
