//! Drive, behaviour and their product, side by side through a recurrent unit.

use burn::module::Param;
use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::batch::cut;
use crate::error::{Result, in_range};
use crate::model::Pass;
use crate::model::affine::{Affine, NormedAffine};
use crate::model::norm::{BatchNormConfig, Norm};
use crate::model::weights::trainable;
use crate::ops::{self, Moments};
use crate::random::uniform;

/// Options of the recurrent modulator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecurrentConfig {
    /// Units of the state.
    pub hidden: usize,
    /// Samples that each prediction looks at, from a state of zeros.
    pub steps: usize,
}

/// As in Xu et al. 2023 with one sample (`papers/xu2023.md#fusion`).
impl Default for RecurrentConfig {
    fn default() -> Self {
        Self { hidden: 512, steps: 1 }
    }
}

/// Streams that are normalised together: drive, behaviour, product.
const STREAMS: usize = 3;

/// `W h_last + b` of a gated recurrent unit over the normalised drive v, behaviour `b = W_b norm(behaviour) + b_b`, and
/// product `v ⊙ b` of each sample, `[v…, b…, p…]`.
///
/// In training every sample of the clips is normalised by its own statistics, and moves the running ones in turn.
///
/// # Source
/// Behaviour encoder, fusion, recurrence and readout of Xu et al. 2023 (`papers/xu2023.md#fusion`).
#[derive(Module, Debug)]
pub struct Recurrent {
    behaviour: NormedAffine,
    fusion: Fusion,
    unit: Unit,
    out: Affine,
    #[module(skip)]
    config: RecurrentConfig,
}

/// One mean and one variance for each stream, over rows and neurons.
#[derive(Module, Debug)]
struct Fusion {
    norm: Norm,
}

/// Weights of a gated recurrent unit, as [`ops::Gru`].
#[derive(Module, Debug)]
struct Unit {
    weight_ih: Param<Tensor<2>>,
    weight_hh: Param<Tensor<2>>,
    bias_ih: Param<Tensor<1>>,
    bias_hh: Param<Tensor<1>>,
}

impl Unit {
    /// All uniform within `±1/√hidden`, as PyTorch draws them.
    fn init(inputs: usize, hidden: usize, rng: &mut ChaCha8Rng, device: &Device) -> Self {
        let (bound, gates) = (1.0 / (hidden as f64).sqrt(), 3 * hidden);
        Self {
            weight_ih: trainable(uniform(rng, gates * inputs, bound), [gates, inputs], device),
            weight_hh: trainable(uniform(rng, gates * hidden, bound), [gates, hidden], device),
            bias_ih: trainable(uniform(rng, gates, bound), [gates], device),
            bias_hh: trainable(uniform(rng, gates, bound), [gates], device),
        }
    }

    /// The last state `[row, hidden]` of sequences `[row, sample, in]`.
    fn last(&self, sequences: Tensor<3>) -> Tensor<2> {
        let [rows, samples, _] = sequences.dims();
        let unit = ops::Gru {
            weight_ih: self.weight_ih.val(),
            weight_hh: self.weight_hh.val(),
            bias_ih: self.bias_ih.val(),
            bias_hh: self.bias_hh.val(),
        };
        let states = ops::gru(sequences, unit);
        let hidden = states.dims()[2];
        states.slice([0..rows, samples - 1..samples, 0..hidden]).reshape([rows, hidden])
    }
}

impl RecurrentConfig {
    /// Checks that all numbers can be used.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key.
    pub fn check(&self) -> Result<()> {
        in_range("model.modulator.hidden", self.hidden as f64, 1.0..=16_384.0)?;
        in_range("model.modulator.steps", self.steps as f64, 1.0..=1024.0)
    }

    /// Number of weights for `neurons` and `variables` of behaviour, statistics included.
    pub fn size(&self, variables: usize, neurons: usize) -> f64 {
        let (neurons, hidden) = (neurons as f64, self.hidden as f64);
        let unit = 3.0 * hidden * (STREAMS as f64 * neurons + hidden + 2.0);
        NormedAffine::size(variables, neurons as usize) + 12.0 + unit + (hidden + 1.0) * neurons
    }

    /// A modulator by `variables` of behaviour with freshly drawn weights.
    pub fn init(&self, variables: usize, neurons: usize, rng: &mut ChaCha8Rng, device: &Device) -> Recurrent {
        Recurrent {
            behaviour: NormedAffine::init(variables, neurons, rng, device),
            fusion: Fusion { norm: Norm::init(STREAMS, true, true, device) },
            unit: Unit::init(STREAMS * neurons, self.hidden, rng, device),
            out: Affine::init(self.hidden, neurons, rng, device),
            config: self.clone(),
        }
    }
}

impl Recurrent {
    /// As [`super::Modulator::forward`].
    pub fn forward(
        &self,
        drive: Tensor<2>,
        behaviour: Tensor<2>,
        samples: usize,
        pass: Pass,
    ) -> (Tensor<2>, Vec<Moments>) {
        let mut moments = Vec::new();
        let fused = if pass.is_of_batch() {
            let each = at_each_sample(drive, samples).into_iter().zip(at_each_sample(behaviour, samples));
            let each = each.map(|(drive, behaviour)| self.fused(drive, behaviour, pass, &mut moments));
            let fused: Tensor<3> = Tensor::stack(each.collect(), 1);
            let [batch, _, width] = fused.dims();
            fused.reshape([batch * samples, width])
        } else {
            self.fused(drive, behaviour, pass, &mut moments)
        };
        (self.out.forward(self.unit.last(windows(fused, samples, self.config.steps))), moments)
    }

    /// What the unit sees of rows: `[row, 3 · neuron]` of drive `[row, neuron]` and behaviour `[row, variable]`.
    fn fused(
        &self,
        drive: Tensor<2>,
        behaviour: Tensor<2>,
        pass: Pass,
        moments: &mut Vec<Moments>,
    ) -> Tensor<2> {
        let [rows, neurons] = drive.dims();
        let behaviour = self.behaviour.forward(behaviour, pass, |x| x, moments);
        let product = drive.clone() * behaviour.clone();
        let streams: Tensor<3> = Tensor::stack(vec![drive, behaviour, product], 2);
        let streams = streams.reshape([rows * neurons, STREAMS]);
        let (streams, own) = self.fusion.norm.rows(&BatchNormConfig::default(), streams, pass);
        moments.extend(own);
        streams.reshape([rows, neurons, STREAMS]).permute([0, 2, 1]).reshape([rows, STREAMS * neurons])
    }

    /// `mean |W_b|` over the weights of behaviour (`papers/xu2023.md#training`).
    pub fn l1(&self) -> Tensor<1> {
        self.behaviour.weight.val().abs().mean()
    }

    /// Moves the running statistics towards the moments of each sample of one training batch.
    #[must_use]
    pub fn keep_moments(mut self, moments: &[Moments]) -> Self {
        for both in moments.chunks_exact(2) {
            self.behaviour.keep(&both[0]);
            self.fusion.norm.keep(&both[1], &BatchNormConfig::default());
        }
        self
    }
}

/// Rows `[batch · sample, value]` of clips of `samples`, sample by sample.
fn at_each_sample(rows: Tensor<2>, samples: usize) -> Vec<Tensor<2>> {
    (0..samples).map(|sample| cut(rows.clone(), samples, sample..sample + 1)).collect()
}

/// All stretches of `steps` of clips of `samples` rows, `[batch · stretch, step, value]`.
fn windows(rows: Tensor<2>, samples: usize, steps: usize) -> Tensor<3> {
    let [all, values] = rows.dims();
    let (batch, stretches) = (all / samples, samples + 1 - steps);
    let at = |start| cut(rows.clone(), samples, start..start + steps).reshape([batch, steps, values]);
    let stretched: Tensor<4> = Tensor::stack((0..stretches).map(at).collect(), 1);
    stretched.reshape([batch * stretches, steps, values])
}
