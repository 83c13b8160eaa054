//! A gated recurrent unit over a sequence.

use std::sync::Mutex;

use burn::prelude::*;
use burn::tensor::activation::{sigmoid, tanh};
use striate_kernels::gru as kernel;

use super::kernels::{Grad, Made, Op, View, apply};

/// Weights of a gated recurrent unit; the gates are stacked as reset, update, candidate.
#[derive(Debug, Clone)]
pub struct Gru {
    /// From the input, `[3 · hidden, in]`.
    pub weight_ih: Tensor<2>,
    /// From the state, `[3 · hidden, hidden]`.
    pub weight_hh: Tensor<2>,
    /// Bias of the input part, `[3 · hidden]`.
    pub bias_ih: Tensor<1>,
    /// Bias of the state part, `[3 · hidden]`.
    pub bias_hh: Tensor<1>,
}

/// States `[batch, time, hidden]` of the unit driven by `x` `[batch, time, in]` from a state of zeros:
/// `h' = (1 − z) n + z h`, with `n = tanh(W_n x + b + r (U_n h + c))` (Cho et al. 2014 in PyTorch's form; used by
/// Xu et al. 2023, `papers/xu2023.md#recurrent-unit`).
pub fn gru(x: Tensor<3>, unit: Gru) -> Tensor<3> {
    if !super::has_kernels(&x) {
        return gru_reference(x, unit);
    }
    let weights = [unit.weight_ih.into_dispatch(), unit.weight_hh.into_dispatch()];
    let biases = [unit.bias_ih.into_dispatch(), unit.bias_hh.into_dispatch()];
    apply(Recur::default(), [x.into_dispatch()].into_iter().chain(weights).chain(biases).collect())
}

/// [`gru`] in plain Burn operations.
pub fn gru_reference(x: Tensor<3>, unit: Gru) -> Tensor<3> {
    let [batch, time, inputs] = x.dims();
    let hidden = unit.weight_hh.dims()[1];
    let mut state = Tensor::zeros([batch, hidden], &x.device());
    let mut states = Vec::with_capacity(time);
    for step in 0..time {
        let now = x.clone().slice([0..batch, step..step + 1, 0..inputs]).reshape([batch, inputs]);
        let drive = super::linear_reference(now, unit.weight_ih.clone(), unit.bias_ih.clone());
        let recurrent = super::linear_reference(state.clone(), unit.weight_hh.clone(), unit.bias_hh.clone());
        let gate = |of: &Tensor<2>, i: usize| of.clone().slice([0..batch, i * hidden..(i + 1) * hidden]);
        let reset = sigmoid(gate(&drive, 0) + gate(&recurrent, 0));
        let update = sigmoid(gate(&drive, 1) + gate(&recurrent, 1));
        let candidate = tanh(gate(&drive, 2) + reset * gate(&recurrent, 2));
        state = candidate.clone() + update * (state - candidate);
        states.push(state.clone());
    }
    Tensor::stack(states, 1)
}

/// Inputs: values, two weights and two biases.
#[derive(Debug, Default)]
struct Recur {
    tape: Mutex<Option<kernel::Tape>>,
}

fn sizes(inputs: &[View<'_>]) -> kernel::Gru {
    let [batch, time, count] = *inputs[0].shape else { unreachable!("sequences have three axes") };
    kernel::Gru { batch, time, inputs: count, hidden: inputs[2].shape[1] }
}

fn weights<'a>(inputs: &[View<'a>]) -> kernel::Weights<'a> {
    kernel::Weights {
        input: inputs[1].values,
        hidden: inputs[2].values,
        input_bias: inputs[3].values,
        hidden_bias: inputs[4].values,
    }
}

impl Op for Recur {
    fn forward(&self, inputs: &[View<'_>], tracked: bool) -> Made {
        let sizes = sizes(inputs);
        let (values, tape) = sizes.forward(inputs[0].values, &weights(inputs));
        *self.tape.lock().expect("no holder panics") = tracked.then_some(tape);
        Made { shape: vec![sizes.batch, sizes.time, sizes.hidden], values }
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
        let (x, weights) = (inputs[0].values, weights(inputs));
        let wanted = std::array::from_fn(|i| wanted[i]);
        sizes(inputs).backward(x, &weights, states, tape, grad.values(), wanted).into()
    }

    fn keeps_output(&self) -> bool {
        true
    }
}
