//! A gated recurrent unit over a sequence of maps, with convolutions in the place of products.

use std::sync::Mutex;

use burn::prelude::*;
use burn::tensor::activation::{sigmoid, tanh};
use striate_kernels::conv_gru as kernel;

use super::kernels::{Grad, Made, Op, View, apply};
use super::{Conv2dOptions, conv2d_reference};

/// Weights of a convolutional gated recurrent unit, with kernels of odd sides; outputs are stacked as reset, update,
/// candidate.
#[derive(Debug, Clone)]
pub struct ConvGru {
    /// From the input, `[3 · hidden, in, side, side]`.
    pub input: Tensor<4>,
    /// Bias, `[3 · hidden]`.
    pub bias: Tensor<1>,
    /// From the state to reset and update, `[2 · hidden, hidden, side, side]`.
    pub gates: Tensor<4>,
    /// From the state to the candidate, `[hidden, hidden, side, side]`.
    pub candidate: Tensor<4>,
}

/// States `[time · batch, height, width, hidden]` of the unit driven by `maps` `[time · batch, height, width, in]` of
/// `time` steps, the maps of one step together, from a state of zeros: `h' = (1 − u) h + u n`, with
/// `n = tanh(W_n ⋆ x + U_n ⋆ (r h) + b)`, all zero padded (`papers/sensorium.md#cores`).
pub fn conv_gru(maps: Tensor<4>, time: usize, unit: ConvGru) -> Tensor<4> {
    if !super::has_kernels(&maps) {
        return conv_gru_reference(maps, time, unit);
    }
    let ConvGru { input, bias, gates, candidate } = unit;
    let weights =
        [input.into_dispatch(), bias.into_dispatch(), gates.into_dispatch(), candidate.into_dispatch()];
    apply(Recur { time, tape: Mutex::default() }, [maps.into_dispatch()].into_iter().chain(weights).collect())
}

/// [`conv_gru`] in plain Burn operations.
pub fn conv_gru_reference(maps: Tensor<4>, time: usize, unit: ConvGru) -> Tensor<4> {
    let [rows, height, width, _] = maps.dims();
    let (batch, hidden) = (rows / time.max(1), unit.candidate.dims()[0]);
    let same = |maps: Tensor<4>, kernels: &Tensor<4>, bias: Option<Tensor<1>>| {
        let pad = [kernels.dims()[2] / 2, kernels.dims()[3] / 2];
        conv2d_reference(maps, kernels.clone(), bias, Conv2dOptions { pad, ..Conv2dOptions::default() })
    };
    let part = |of: &Tensor<4>, i: usize| of.clone().slice(s![.., .., .., i * hidden..(i + 1) * hidden]);
    let drive = same(maps, &unit.input, Some(unit.bias));
    let mut state = Tensor::zeros([batch, height, width, hidden], &drive.device());
    let mut states = Vec::with_capacity(time);
    for step in 0..time {
        let now = drive.clone().slice(s![step * batch..(step + 1) * batch, .., .., ..]);
        let recurrent = same(state.clone(), &unit.gates, None);
        let [reset, update] = [0, 1].map(|gate| sigmoid(part(&now, gate) + part(&recurrent, gate)));
        let candidate = tanh(part(&now, 2) + same(reset * state.clone(), &unit.candidate, None));
        state = state.clone() + update * (candidate - state);
        states.push(state.clone());
    }
    Tensor::cat(states, 0)
}

/// Inputs: maps, then weights in turn.
#[derive(Debug)]
struct Recur {
    time: usize,
    tape: Mutex<Option<kernel::Tape>>,
}

impl Recur {
    fn sizes(&self, inputs: &[View<'_>]) -> kernel::ConvGru {
        let [rows, height, width, count] = *inputs[0].shape else { unreachable!("maps have four axes") };
        kernel::ConvGru {
            time: self.time,
            batch: rows / self.time.max(1),
            height,
            width,
            inputs: count,
            hidden: inputs[4].shape[0],
            input_side: inputs[1].shape[2],
            state_side: inputs[4].shape[2],
        }
    }
}

fn weights<'a>(inputs: &[View<'a>]) -> kernel::Weights<'a> {
    let [input, bias, gates, candidate] = [1, 2, 3, 4].map(|i| inputs[i].values);
    kernel::Weights { input, bias, gates, candidate }
}

impl Op for Recur {
    fn forward(&self, inputs: &[View<'_>], tracked: bool) -> Made {
        let sizes = self.sizes(inputs);
        let (values, tape) = sizes.forward(inputs[0].values, &weights(inputs));
        *self.tape.lock().expect("no holder panics") = tracked.then_some(tape);
        Made { shape: vec![inputs[0].shape[0], sizes.height, sizes.width, sizes.hidden], values }
    }

    fn backward(
        &self,
        inputs: &[View<'_>],
        output: Option<View<'_>>,
        grad: Grad,
        wanted: &[bool],
    ) -> Vec<Option<Vec<f32>>> {
        let tape = self.tape.lock().expect("no holder panics").take().expect("one backward pass per forward");
        let states = output.expect("the output is kept").values;
        let wanted = std::array::from_fn(|i| wanted[i]);
        let sizes = self.sizes(inputs);
        sizes.backward(inputs[0].values, &weights(inputs), states, tape, grad.values(), wanted).into()
    }

    fn keeps_output(&self) -> bool {
        true
    }
}
