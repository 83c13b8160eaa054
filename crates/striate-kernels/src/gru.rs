//! Gated recurrent unit over a sequence (Cho et al. 2014), in PyTorch's variant:
//!
//! ```text
//! r = σ(W_ir x + b_ir + W_hr h + b_hr)        n  = tanh(W_in x + b_in + r ∘ (W_hn h + b_hn))
//! z = σ(W_iz x + b_iz + W_hz h + b_hz)        h' = (1 − z) ∘ n + z ∘ h
//! ```
//!
//! The inputs of all time steps are projected in one product and so are the gradients to weights; a task
//! then carries some sequences of the batch through time by itself.

use rayon::prelude::*;

use crate::activation::Functions;
use crate::epilogue::channel_sums;
use crate::lanes::{Lanes, dispatch};
use crate::matrix::{Matrix, Packed, Start, multiply};
use crate::memory::unfilled;

/// Most sequences per task.
const SEQUENCES: usize = 64;

/// Sizes of a recurrent unit over sequences `[batch, time, inputs]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gru {
    /// Sequences.
    pub batch: usize,
    /// Time steps.
    pub time: usize,
    /// Input channels.
    pub inputs: usize,
    /// Hidden units.
    pub hidden: usize,
}

/// Parameters; rows are those of the gates r, z and n in turn.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// `[3 · hidden, inputs]`.
    pub input: &'a [f32],
    /// `[3 · hidden, hidden]`.
    pub hidden: &'a [f32],
    /// `[3 · hidden]`.
    pub input_bias: &'a [f32],
    /// `[3 · hidden]`.
    pub hidden_bias: &'a [f32],
}

/// What the backward pass needs of the forward pass.
#[derive(Debug, Clone)]
pub struct Tape {
    /// r, z and n, `[batch, time, 3 · hidden]`.
    gates: Vec<f32>,
    /// `W_hn h + b_hn`, `[batch, time, hidden]`.
    recurrent: Vec<f32>,
}

/// Gradients of [`Gru::forward`], shaped as what they are gradients to.
#[derive(Debug, Clone)]
pub struct Gradients {
    /// To the inputs, `[batch, time, inputs]`.
    pub x: Vec<f32>,
    /// To the first state, `[batch, hidden]`, where one was given.
    pub first: Option<Vec<f32>>,
    /// To [`Weights::input`].
    pub input: Vec<f32>,
    /// To [`Weights::hidden`].
    pub hidden: Vec<f32>,
    /// To [`Weights::input_bias`].
    pub input_bias: Vec<f32>,
    /// To [`Weights::hidden_bias`].
    pub hidden_bias: Vec<f32>,
}

/// Weights from state to gates, packed for products from the right: r and z side by side, and n.
struct Recurrence {
    gates: Packed,
    candidate: Packed,
}

impl Gru {
    fn check(&self, x: &[f32], first: Option<&[f32]>, weights: &Weights<'_>, states: &[f32]) {
        let Self { batch, time, inputs, hidden } = *self;
        assert!(batch > 0 && time > 0 && inputs > 0 && hidden > 0, "an empty recurrent unit");
        assert_eq!(x.len(), batch * time * inputs);
        assert_eq!(states.len(), batch * time * hidden);
        assert!(first.is_none_or(|first| first.len() == batch * hidden));
        assert_eq!(weights.input.len(), 3 * hidden * inputs);
        assert_eq!(weights.hidden.len(), 3 * hidden * hidden);
        assert!(weights.input_bias.len() == 3 * hidden && weights.hidden_bias.len() == 3 * hidden);
    }

    /// Sequences per task: fixed by the batch alone.
    fn sequences(&self) -> usize {
        self.batch.div_ceil(2 * self.batch.div_ceil(2 * SEQUENCES))
    }

    /// Weights `[gates, hidden]` of r and z, and of n.
    fn split<'a>(&self, weights: &Weights<'a>) -> (Matrix<'a>, Matrix<'a>) {
        let (gates, candidate) = weights.hidden.split_at(2 * self.hidden * self.hidden);
        (Matrix::new(gates, 2 * self.hidden, self.hidden), Matrix::new(candidate, self.hidden, self.hidden))
    }

    /// Whether a step has a state before it, which is zero without `first`.
    fn recurs(step: usize, first: Option<&[f32]>) -> bool {
        step > 0 || first.is_some()
    }

    /// Hidden states `[batch, time, hidden]` of inputs `x` `[batch, time, inputs]`, starting from `first`
    /// `[batch, hidden]` or zero.
    ///
    /// # Panics
    /// When a size is zero or a slice does not have the length its shape demands.
    pub fn forward(
        &self,
        x: &[f32],
        first: Option<&[f32]>,
        weights: &Weights<'_>,
        states: &mut [f32],
    ) -> Tape {
        self.check(x, first, weights, states);
        let Self { batch, time, inputs, hidden } = *self;
        let mut bias = weights.input_bias.to_vec();
        bias[..2 * hidden].iter_mut().zip(weights.hidden_bias).for_each(|(sum, bias)| *sum += bias);
        let mut gates = unfilled(batch * time * 3 * hidden);
        let w = Matrix::new(weights.input, 3 * hidden, inputs).transposed();
        multiply(Matrix::new(x, batch * time, inputs), w, &mut gates, 3 * hidden, Start::Bias(&bias));
        let recurrence = Self::recurs(time - 1, first).then(|| {
            let (gates, candidate) = self.split(weights);
            Recurrence {
                gates: Packed::new(gates.transposed()),
                candidate: Packed::new(candidate.transposed()),
            }
        });
        let mut recurrent = vec![0.0; batch * time * hidden];
        let rows = self.sequences();
        let span = rows * time * hidden;
        (gates.par_chunks_mut(3 * span), recurrent.par_chunks_mut(span), states.par_chunks_mut(span))
            .into_par_iter()
            .enumerate()
            .for_each_init(Vec::new, |scratch, (task, (gates, recurrent, states))| {
                let first = first.map(|first| &first[task * rows * hidden..]);
                for step in 0..time {
                    let bias = &weights.hidden_bias[2 * hidden..];
                    self.project(step, recurrence.as_ref(), bias, first, states, gates, recurrent, scratch);
                    self.step(step, first, gates, recurrent, states);
                }
            });
        Tape { gates, recurrent }
    }

    /// Adds what the state before `step` gives to the gates, for the sequences of one task.
    fn project(
        &self,
        step: usize,
        recurrence: Option<&Recurrence>,
        bias: &[f32],
        first: Option<&[f32]>,
        states: &[f32],
        gates: &mut [f32],
        recurrent: &mut [f32],
        scratch: &mut Vec<f32>,
    ) {
        let Self { time, hidden, .. } = *self;
        let rows = states.len() / (time * hidden);
        let before = match (step, first) {
            (0, None) => None,
            (0, Some(first)) => Some(Matrix::new(first, rows, hidden)),
            _ => Some(Matrix::with_pitch(&states[(step - 1) * hidden..], rows, hidden, time * hidden)),
        };
        let recurrent = &mut recurrent[step * hidden..];
        if let (Some(before), Some(weights)) = (before, recurrence) {
            let gates = &mut gates[step * 3 * hidden..];
            weights.gates.multiply(before, gates, time * 3 * hidden, Start::Held, scratch);
            weights.candidate.multiply(before, recurrent, time * hidden, Start::Bias(bias), scratch);
        } else {
            recurrent.chunks_mut(time * hidden).for_each(|row| row[..hidden].copy_from_slice(bias));
        }
    }

    /// Gates and states of one step from their sums, for the sequences of one task.
    fn step(
        &self,
        step: usize,
        first: Option<&[f32]>,
        gates: &mut [f32],
        recurrent: &[f32],
        states: &mut [f32],
    ) {
        let Self { time, hidden, .. } = *self;
        let zeros = if Self::recurs(step, first) { Vec::new() } else { vec![0.0; hidden] };
        let rows = gates
            .chunks_mut(time * 3 * hidden)
            .zip(recurrent.chunks(time * hidden))
            .zip(states.chunks_mut(time * hidden));
        for (row, ((gates, recurrent), states)) in rows.enumerate() {
            let gates = &mut gates[step * 3 * hidden..][..3 * hidden];
            let recurrent = &recurrent[step * hidden..][..hidden];
            let (past, state) = states.split_at_mut(step * hidden);
            let state = &mut state[..hidden];
            let before = match (step, first) {
                (0, None) => &zeros[..],
                (0, Some(first)) => &first[row * hidden..][..hidden],
                _ => &past[(step - 1) * hidden..],
            };
            dispatch!(open(gates: &mut [f32], recurrent: &[f32], before: &[f32], state: &mut [f32]));
        }
    }

    /// Gradients of [`Gru::forward`] from the gradient `g` `[batch, time, hidden]` to its `states`.
    ///
    /// # Panics
    /// As [`Gru::forward`], or when the tape is another shape's.
    pub fn backward(
        &self,
        x: &[f32],
        first: Option<&[f32]>,
        weights: &Weights<'_>,
        states: &[f32],
        tape: Tape,
        g: &[f32],
    ) -> Gradients {
        self.check(x, first, weights, states);
        assert_eq!(g.len(), states.len());
        assert!(tape.recurrent.len() == states.len() && tape.gates.len() == 3 * states.len());
        let Self { batch, time, inputs, hidden } = *self;
        let (tape, to_first) = self.through_time(first, weights, states, tape, g);
        let gates = Matrix::new(&tape.gates, batch * time, 3 * hidden);
        let mut to_x = vec![0.0; x.len()];
        multiply(gates, Matrix::new(weights.input, 3 * hidden, inputs), &mut to_x, inputs, Start::Zero);
        let mut to_input = vec![0.0; weights.input.len()];
        let x = Matrix::new(x, batch * time, inputs);
        multiply(gates.transposed(), x, &mut to_input, inputs, Start::Zero);
        let input_bias = channel_sums(3 * hidden, &tape.gates);
        let mut hidden_bias = input_bias[..2 * hidden].to_vec();
        hidden_bias.extend(channel_sums(hidden, &tape.recurrent));
        let hidden = self.recurrent_gradient(first, states, &tape);
        Gradients {
            x: to_x,
            first: first.map(|_| to_first),
            input: to_input,
            hidden,
            input_bias,
            hidden_bias,
        }
    }

    /// Turns the tape into the gradients to the sums of the gates and to `W_hn h + b_hn`; also the gradient
    /// to the first state.
    fn through_time(
        &self,
        first: Option<&[f32]>,
        weights: &Weights<'_>,
        states: &[f32],
        mut tape: Tape,
        g: &[f32],
    ) -> (Tape, Vec<f32>) {
        let Self { batch, time, hidden, .. } = *self;
        let (gates, candidate) = self.split(weights);
        let recurs = Self::recurs(time - 1, first);
        let recurrence =
            recurs.then(|| Recurrence { gates: Packed::new(gates), candidate: Packed::new(candidate) });
        let mut carried = vec![0.0; batch * hidden];
        let rows = self.sequences();
        let span = rows * time * hidden;
        (
            tape.gates.par_chunks_mut(3 * span),
            tape.recurrent.par_chunks_mut(span),
            carried.par_chunks_mut(rows * hidden),
        )
            .into_par_iter()
            .enumerate()
            .for_each_init(Vec::new, |scratch, (task, (gates, recurrent, carried))| {
                let first = first.map(|first| &first[task * rows * hidden..]);
                let (states, g) = (&states[task * span..], &g[task * span..]);
                for step in (0..time).rev() {
                    self.step_back(step, first, states, g, gates, recurrent, carried);
                    let Some(weights) = recurrence.as_ref().filter(|_| Self::recurs(step, first)) else {
                        continue;
                    };
                    let rows = carried.len() / hidden;
                    let gates = &gates[step * 3 * hidden..];
                    let gates = Matrix::with_pitch(gates, rows, 2 * hidden, time * 3 * hidden);
                    let recurrent = &recurrent[step * hidden..];
                    let recurrent = Matrix::with_pitch(recurrent, rows, hidden, time * hidden);
                    weights.gates.multiply(gates, carried, hidden, Start::Held, scratch);
                    weights.candidate.multiply(recurrent, carried, hidden, Start::Held, scratch);
                }
            });
        (tape, carried)
    }

    /// One step of [`Gru::through_time`] up to the products, for the sequences of one task.
    fn step_back(
        &self,
        step: usize,
        first: Option<&[f32]>,
        states: &[f32],
        g: &[f32],
        gates: &mut [f32],
        recurrent: &mut [f32],
        carried: &mut [f32],
    ) {
        let Self { time, hidden, .. } = *self;
        let zeros = if Self::recurs(step, first) { Vec::new() } else { vec![0.0; hidden] };
        for (row, carried) in carried.chunks_mut(hidden).enumerate() {
            let at = (row * time + step) * hidden;
            let before = match (step, first) {
                (0, None) => &zeros[..],
                (0, Some(first)) => &first[row * hidden..][..hidden],
                _ => &states[at - hidden..at],
            };
            let (g, gates) = (&g[at..at + hidden], &mut gates[3 * at..3 * (at + hidden)]);
            let recurrent = &mut recurrent[at..at + hidden];
            dispatch!(close(
                g: &[f32], before: &[f32], gates: &mut [f32], recurrent: &mut [f32], carried: &mut [f32]
            ));
        }
    }

    /// Gradient to the weights from state to gates: products of each step's gradients with the state before.
    fn recurrent_gradient(&self, first: Option<&[f32]>, states: &[f32], tape: &Tape) -> Vec<f32> {
        let Self { batch, time, hidden, .. } = *self;
        let mut to = vec![0.0; 3 * hidden * hidden];
        let (gates, candidate) = to.split_at_mut(2 * hidden * hidden);
        let later = |values, columns: usize, pitch: usize| {
            Matrix::grouped(values, batch, time - 1, columns, pitch, time * pitch)
        };
        if time > 1 {
            let before = later(states, hidden, hidden);
            let from = later(&tape.gates[3 * hidden..], 2 * hidden, 3 * hidden).transposed();
            multiply(from, before, gates, hidden, Start::Zero);
            let from = later(&tape.recurrent[hidden..], hidden, hidden).transposed();
            multiply(from, before, candidate, hidden, Start::Zero);
        }
        if let Some(first) = first {
            let before = Matrix::new(first, batch, hidden);
            let from = Matrix::with_pitch(&tape.gates, batch, 2 * hidden, time * 3 * hidden).transposed();
            multiply(from, before, gates, hidden, Start::Held);
            let from = Matrix::with_pitch(&tape.recurrent, batch, hidden, time * hidden).transposed();
            multiply(from, before, candidate, hidden, Start::Held);
        }
        to
    }
}

/// One sequence's gates from their sums, and its next state. Short loops over few slices vectorise.
///
/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn open<L: Lanes>(gates: &mut [f32], recurrent: &[f32], before: &[f32], state: &mut [f32]) {
    let (open, n) = gates.split_at_mut(2 * state.len());
    open.iter_mut().for_each(|gate| *gate = L::sigmoid(*gate));
    let (r, z) = open.split_at(state.len());
    for ((n, r), recurrent) in n.iter_mut().zip(r).zip(recurrent) {
        *n = L::tanh(*n + r * recurrent);
    }
    for (((state, n), z), before) in state.iter_mut().zip(n).zip(z).zip(before) {
        *state = *n + z * (before - *n);
    }
}

/// Gradients to one sequence's sums in place of its gates, to `W_hn h + b_hn` in place of it, and in
/// `carried` the part of the gradient to the state before that passes by the gates.
///
/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn close<L: Lanes>(
    g: &[f32],
    before: &[f32],
    gates: &mut [f32],
    recurrent: &mut [f32],
    carried: &mut [f32],
) {
    let (r, rest) = gates.split_at_mut(g.len());
    let (z, n) = rest.split_at_mut(g.len());
    carried.iter_mut().zip(g).for_each(|(carried, g)| *carried += g);
    for (((n, z), before), carried) in n.iter_mut().zip(z).zip(before).zip(carried) {
        let (total, open, new) = (*carried, *z, *n);
        *carried = total * open;
        *z = total * (before - new) * open * (1.0 - open);
        *n = total * (1.0 - open) * (1.0 - new * new);
    }
    for ((r, recurrent), n) in r.iter_mut().zip(recurrent).zip(n) {
        let open = *r;
        *r = *n * *recurrent * open * (1.0 - open);
        *recurrent = *n * open;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(n: usize, seed: u32) -> Vec<f32> {
        (0..n as u32)
            .map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0)
            .collect()
    }

    /// Inputs, first state, weights and biases in turn.
    #[derive(Clone)]
    struct Case {
        gru: Gru,
        values: [Vec<f32>; 6],
        with_first: bool,
    }

    impl Case {
        fn new(gru: Gru, with_first: bool, seed: u32) -> Self {
            let Gru { batch, time, inputs, hidden } = gru;
            let sizes = [
                batch * time * inputs,
                batch * hidden,
                3 * hidden * inputs,
                3 * hidden * hidden,
                3 * hidden,
                3 * hidden,
            ];
            let mut values: [Vec<f32>; 6] = std::array::from_fn(|i| noise(sizes[i], seed ^ i as u32));
            if !with_first {
                values[1].fill(0.0);
            }
            Self { gru, values, with_first }
        }

        fn weights(&self) -> Weights<'_> {
            let [_, _, input, hidden, input_bias, hidden_bias] = &self.values;
            Weights { input, hidden, input_bias, hidden_bias }
        }

        fn first(&self) -> Option<&[f32]> {
            self.with_first.then_some(&self.values[1][..])
        }

        fn forward(&self) -> (Vec<f32>, Tape) {
            let mut states = vec![f32::NAN; self.gru.batch * self.gru.time * self.gru.hidden];
            let tape = self.gru.forward(&self.values[0], self.first(), &self.weights(), &mut states);
            (states, tape)
        }

        fn backward(&self, g: &[f32]) -> [Vec<f32>; 6] {
            let (states, tape) = self.forward();
            let to = self.gru.backward(&self.values[0], self.first(), &self.weights(), &states, tape, g);
            [to.x, to.first.unwrap_or_default(), to.input, to.hidden, to.input_bias, to.hidden_bias]
        }
    }

    /// The safe twin: the definition in `f64`.
    fn definition(gru: &Gru, [x, first, wi, wh, bi, bh]: &[Vec<f64>; 6]) -> Vec<f64> {
        let Gru { batch, time, inputs, hidden } = *gru;
        let row = |w: &[f64], b: &[f64], x: &[f64], row: usize| {
            x.iter().zip(&w[row * x.len()..]).fold(b[row], |sum, (x, w)| sum + x * w)
        };
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut states = Vec::new();
        for b in 0..batch {
            let mut h = first[b * hidden..(b + 1) * hidden].to_vec();
            for t in 0..time {
                let x = &x[(b * time + t) * inputs..][..inputs];
                h = (0..hidden)
                    .map(|i| {
                        let r = sigmoid(row(wi, bi, x, i) + row(wh, bh, &h, i));
                        let z = sigmoid(row(wi, bi, x, hidden + i) + row(wh, bh, &h, hidden + i));
                        let n = (row(wi, bi, x, 2 * hidden + i) + r * row(wh, bh, &h, 2 * hidden + i)).tanh();
                        (1.0 - z) * n + z * h[i]
                    })
                    .collect();
                states.extend(&h);
            }
        }
        states
    }

    fn wide(values: &[Vec<f32>; 6]) -> [Vec<f64>; 6] {
        std::array::from_fn(|i| values[i].iter().map(|v| f64::from(*v)).collect())
    }

    fn sizes() -> impl Strategy<Value = Gru> {
        (1usize..7, 1usize..5, 1usize..10, prop_oneof![Just(1), Just(16), 2usize..12])
            .prop_map(|(batch, time, inputs, hidden)| Gru { batch, time, inputs, hidden })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn forward_is_the_definition(gru in sizes(), with_first in any::<bool>(), seed in any::<u32>()) {
            let case = Case::new(gru, with_first, seed);
            for (ours, exact) in case.forward().0.iter().zip(definition(&gru, &wide(&case.values))) {
                prop_assert!((f64::from(*ours) - exact).abs() < 1e-5, "{ours} {exact}");
            }
        }

        /// Along a random direction, for each of the six arguments.
        #[test]
        fn backward_follows_finite_differences(gru in sizes(), with_first in any::<bool>(), seed in any::<u32>()) {
            let case = Case::new(gru, with_first, seed);
            let g = noise(gru.batch * gru.time * gru.hidden, seed ^ 77);
            for (argument, ours) in case.backward(&g).iter().enumerate() {
                let along = noise(ours.len(), seed ^ 55);
                let objective = |size: f64| {
                    let mut values = wide(&case.values);
                    values[argument].iter_mut().zip(&along).for_each(|(v, d)| *v += size * f64::from(*d));
                    let states = definition(&gru, &values);
                    states.iter().zip(&g).map(|(s, g)| s * f64::from(*g)).sum::<f64>()
                };
                let exact = (objective(1e-5) - objective(-1e-5)) / 2e-5;
                let slope: f64 = ours.iter().zip(&along).map(|(o, d)| f64::from(*o) * f64::from(*d)).sum();
                prop_assert!((slope - exact).abs() < 1e-4 * (1.0 + exact.abs()), "{argument}: {slope} {exact}");
            }
        }
    }

    #[test]
    fn the_same_bits_on_one_thread_and_on_many() {
        let case = Case::new(Gru { batch: 150, time: 3, inputs: 7, hidden: 20 }, true, 5);
        let g = noise(150 * 3 * 20, 9);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| (case.forward().0, case.backward(&g)))
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn what_is_not_a_number_stays_in_its_sequence() {
        let gru = Gru { batch: 2, time: 2, inputs: 3, hidden: 5 };
        let mut case = Case::new(gru, false, 1);
        case.values[0][0] = f32::NAN;
        let states = case.forward().0;
        assert!(states[..10].iter().all(|s| s.is_nan()) && states[10..].iter().all(|s| s.is_finite()));
    }
}
