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
use crate::matrix::{Matrix, Packed, Start, multiply, product};
use crate::memory::uninitialised;

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

/// Weights from state to gates, packed for products from the right: r and z side by side, and n.
struct Recurrence {
    gates: Packed,
    candidate: Packed,
}

impl Gru {
    fn check(&self, x: &[f32], weights: &Weights<'_>) {
        let Self { batch, time, inputs, hidden } = *self;
        assert_eq!(x.len(), batch * time * inputs, "inputs are [batch, time, inputs]");
        assert_eq!(weights.input.len(), 3 * hidden * inputs, "input weights are [3 · hidden, inputs]");
        assert_eq!(weights.hidden.len(), 3 * hidden * hidden, "hidden weights are [3 · hidden, hidden]");
        let biases = [weights.input_bias.len(), weights.hidden_bias.len()];
        assert_eq!(biases, [3 * hidden; 2], "both biases are [3 · hidden]");
    }

    /// Number of all hidden states.
    fn states(&self) -> usize {
        self.batch * self.time * self.hidden
    }

    /// Sequences per task: fixed by the batch alone.
    fn sequences(&self) -> usize {
        self.batch.div_ceil(2 * self.batch.div_ceil(2 * SEQUENCES))
    }

    /// Weights `[gates, hidden]` of r and z, and of n, as `pack` wants them; none where no state precedes another.
    fn recurrence(&self, weights: &Weights<'_>, pack: impl Fn(Matrix<'_>) -> Packed) -> Option<Recurrence> {
        let hidden = self.hidden;
        let (gates, candidate) = weights.hidden.split_at(2 * hidden * hidden);
        (self.time > 1).then(|| Recurrence {
            gates: pack(Matrix::new(gates, 2 * hidden, hidden)),
            candidate: pack(Matrix::new(candidate, hidden, hidden)),
        })
    }

    /// Hidden states `[batch, time, hidden]` of inputs `x` `[batch, time, inputs]`, starting from zero, and what
    /// the backward pass needs beside them.
    ///
    /// # Panics
    /// When a slice does not have the length its shape demands.
    pub fn forward(&self, x: &[f32], weights: &Weights<'_>) -> (Vec<f32>, Tape) {
        self.check(x, weights);
        let Self { batch, time, inputs, hidden } = *self;
        let mut bias = weights.input_bias.to_vec();
        bias[..2 * hidden].iter_mut().zip(weights.hidden_bias).for_each(|(sum, bias)| *sum += bias);
        let w = Matrix::new(weights.input, 3 * hidden, inputs).transposed();
        let mut gates = product(Matrix::new(x, batch * time, inputs), w, Some(&bias));
        // SAFETY: each step writes both whole, and reads only what it or the step before has written.
        let [mut recurrent, mut states] = [(); 2].map(|()| unsafe { uninitialised(self.states()) });
        if states.is_empty() {
            return (states, Tape { gates, recurrent });
        }
        let recurrence = self.recurrence(weights, |weights| Packed::new(weights.transposed()));
        let bias = &weights.hidden_bias[2 * hidden..];
        let span = self.sequences() * time * hidden;
        (gates.par_chunks_mut(3 * span), recurrent.par_chunks_mut(span), states.par_chunks_mut(span))
            .into_par_iter()
            .for_each_init(Vec::new, |scratch, (gates, recurrent, states)| {
                for step in 0..time {
                    self.project(step, recurrence.as_ref(), bias, states, gates, recurrent, scratch);
                    self.step(step, gates, recurrent, states);
                }
            });
        (states, Tape { gates, recurrent })
    }

    /// Adds what the state before `step` gives to the gates, for the sequences of one task.
    fn project(
        &self,
        step: usize,
        recurrence: Option<&Recurrence>,
        bias: &[f32],
        states: &[f32],
        gates: &mut [f32],
        recurrent: &mut [f32],
        scratch: &mut Vec<f32>,
    ) {
        let Self { time, hidden, .. } = *self;
        let rows = states.len() / (time * hidden);
        let recurrent = &mut recurrent[step * hidden..];
        let Some(weights) = recurrence.filter(|_| step > 0) else {
            return recurrent.chunks_mut(time * hidden).for_each(|row| row[..hidden].copy_from_slice(bias));
        };
        let before = Matrix::with_pitch(&states[(step - 1) * hidden..], rows, hidden, time * hidden);
        let gates = &mut gates[step * 3 * hidden..];
        weights.gates.multiply(before, gates, time * 3 * hidden, Start::Held, scratch);
        weights.candidate.multiply(before, recurrent, time * hidden, Start::Bias(bias), scratch);
    }

    /// Gates and states of one step from their sums, for the sequences of one task.
    fn step(&self, step: usize, gates: &mut [f32], recurrent: &[f32], states: &mut [f32]) {
        let Self { time, hidden, .. } = *self;
        let zeros = self.zeros(step);
        let rows = gates
            .chunks_mut(time * 3 * hidden)
            .zip(recurrent.chunks(time * hidden))
            .zip(states.chunks_mut(time * hidden));
        for ((gates, recurrent), states) in rows {
            let gates = &mut gates[step * 3 * hidden..][..3 * hidden];
            let recurrent = &recurrent[step * hidden..][..hidden];
            let (past, state) = states.split_at_mut(step * hidden);
            let state = &mut state[..hidden];
            let before = if step == 0 { &zeros[..] } else { &past[(step - 1) * hidden..] };
            dispatch!(open(gates: &mut [f32], recurrent: &[f32], before: &[f32], state: &mut [f32]));
        }
    }

    /// The state before the first step; nothing for the others.
    fn zeros(&self, step: usize) -> Vec<f32> {
        vec![0.0; if step == 0 { self.hidden } else { 0 }]
    }

    /// Gradients, from the gradient `g` `[batch, time, hidden]` to the `states`, to the inputs and in turn to the
    /// fields of [`Weights`]: those that are `wanted`, each shaped as what it is a gradient to.
    ///
    /// # Panics
    /// As [`Gru::forward`], or when states, tape or `g` are another shape's.
    pub fn backward(
        &self,
        x: &[f32],
        weights: &Weights<'_>,
        states: &[f32],
        tape: Tape,
        g: &[f32],
        wanted: [bool; 5],
    ) -> [Option<Vec<f32>>; 5] {
        self.check(x, weights);
        assert_eq!(
            [states.len(), g.len()],
            [self.states(); 2],
            "states and gradient are [batch, time, hidden]"
        );
        let kept = [tape.recurrent.len(), tape.gates.len()];
        assert_eq!(kept, [self.states(), 3 * self.states()], "the tape is that of the forward pass");
        let Self { batch, time, inputs, hidden } = *self;
        if states.is_empty() {
            let lengths = [x.len(), 3 * hidden * inputs, 3 * hidden * hidden, 3 * hidden, 3 * hidden];
            return std::array::from_fn(|i| wanted[i].then(|| vec![0.0; lengths[i]]));
        }
        let tape = self.through_time(weights, states, tape, g);
        let gates = Matrix::new(&tape.gates, batch * time, 3 * hidden);
        let input = Matrix::new(weights.input, 3 * hidden, inputs);
        let x = Matrix::new(x, batch * time, inputs);
        let [input_bias, hidden_bias] = tape.biases(hidden, [wanted[3], wanted[4]]);
        [
            wanted[0].then(|| product(gates, input, None)),
            wanted[1].then(|| product(gates.transposed(), x, None)),
            wanted[2].then(|| self.recurrent_gradient(states, &tape)),
            input_bias,
            hidden_bias,
        ]
    }

    /// Turns the tape into the gradients to the sums of the gates and to `W_hn h + b_hn`.
    fn through_time(&self, weights: &Weights<'_>, states: &[f32], mut tape: Tape, g: &[f32]) -> Tape {
        let Self { time, hidden, .. } = *self;
        let recurrence = self.recurrence(weights, Packed::new);
        let span = self.sequences() * time * hidden;
        (tape.gates.par_chunks_mut(3 * span), tape.recurrent.par_chunks_mut(span))
            .into_par_iter()
            .zip(states.par_chunks(span).zip(g.par_chunks(span)))
            .for_each_init(Vec::new, |scratch, ((gates, recurrent), (states, g))| {
                let mut carried = vec![0.0; states.len() / time];
                for step in (0..time).rev() {
                    self.step_back(step, states, g, gates, recurrent, &mut carried);
                    if let Some(weights) = recurrence.as_ref().filter(|_| step > 0) {
                        self.project_back(step, weights, gates, recurrent, &mut carried, scratch);
                    }
                }
            });
        tape
    }

    /// One step of [`Gru::through_time`] up to the products, for the sequences of one task.
    fn step_back(
        &self,
        step: usize,
        states: &[f32],
        g: &[f32],
        gates: &mut [f32],
        recurrent: &mut [f32],
        carried: &mut [f32],
    ) {
        let Self { time, hidden, .. } = *self;
        let zeros = self.zeros(step);
        for (row, carried) in carried.chunks_mut(hidden).enumerate() {
            let at = (row * time + step) * hidden;
            let before = if step == 0 { &zeros[..] } else { &states[at - hidden..at] };
            let (g, gates) = (&g[at..at + hidden], &mut gates[3 * at..3 * (at + hidden)]);
            let recurrent = &mut recurrent[at..at + hidden];
            dispatch!(close(
                g: &[f32], before: &[f32], gates: &mut [f32], recurrent: &mut [f32], carried: &mut [f32]
            ));
        }
    }

    /// Adds to the gradient to the state before `step` what comes through the gates, for the sequences of one task.
    fn project_back(
        &self,
        step: usize,
        weights: &Recurrence,
        gates: &[f32],
        recurrent: &[f32],
        carried: &mut [f32],
        scratch: &mut Vec<f32>,
    ) {
        let Self { time, hidden, .. } = *self;
        let rows = carried.len() / hidden;
        let gates = Matrix::with_pitch(&gates[step * 3 * hidden..], rows, 2 * hidden, time * 3 * hidden);
        let recurrent = Matrix::with_pitch(&recurrent[step * hidden..], rows, hidden, time * hidden);
        weights.gates.multiply(gates, carried, hidden, Start::Held, scratch);
        weights.candidate.multiply(recurrent, carried, hidden, Start::Held, scratch);
    }

    /// Gradient to the weights from state to gates: products of each step's gradients with the state before.
    fn recurrent_gradient(&self, states: &[f32], tape: &Tape) -> Vec<f32> {
        let Self { batch, time, hidden, .. } = *self;
        let mut to = vec![0.0; 3 * hidden * hidden];
        if time == 1 {
            return to;
        }
        let (gates, candidate) = to.split_at_mut(2 * hidden * hidden);
        let later = |values, columns: usize, pitch: usize| {
            Matrix::grouped(values, batch, time - 1, columns, pitch, time * pitch)
        };
        let before = later(states, hidden, hidden);
        let from = later(&tape.gates[3 * hidden..], 2 * hidden, 3 * hidden).transposed();
        multiply(from, before, gates, hidden, Start::Zero);
        let from = later(&tape.recurrent[hidden..], hidden, hidden).transposed();
        multiply(from, before, candidate, hidden, Start::Zero);
        to
    }
}

impl Tape {
    /// Once it holds gradients: those to both biases, where wanted, which are the same for r and z.
    fn biases(&self, hidden: usize, wanted: [bool; 2]) -> [Option<Vec<f32>>; 2] {
        if wanted == [false; 2] {
            return [None, None];
        }
        let input = channel_sums(3 * hidden, &self.gates);
        let recurrent = wanted[1].then(|| {
            let candidate = channel_sums(hidden, &self.recurrent);
            [&input[..2 * hidden], &candidate].concat()
        });
        [wanted[0].then_some(input), recurrent]
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

    /// Inputs, weights and biases in turn.
    #[derive(Clone)]
    struct Case {
        gru: Gru,
        values: [Vec<f32>; 5],
    }

    impl Case {
        fn new(gru: Gru, seed: u32) -> Self {
            let Gru { batch, time, inputs, hidden } = gru;
            let sizes =
                [batch * time * inputs, 3 * hidden * inputs, 3 * hidden * hidden, 3 * hidden, 3 * hidden];
            Self { gru, values: std::array::from_fn(|i| noise(sizes[i], seed ^ i as u32)) }
        }

        fn weights(&self) -> Weights<'_> {
            let [_, input, hidden, input_bias, hidden_bias] = &self.values;
            Weights { input, hidden, input_bias, hidden_bias }
        }

        fn forward(&self) -> (Vec<f32>, Tape) {
            self.gru.forward(&self.values[0], &self.weights())
        }

        fn only(&self, g: &[f32], wanted: [bool; 5]) -> [Option<Vec<f32>>; 5] {
            let (states, tape) = self.forward();
            self.gru.backward(&self.values[0], &self.weights(), &states, tape, g, wanted)
        }

        fn backward(&self, g: &[f32]) -> [Vec<f32>; 5] {
            self.only(g, [true; 5]).map(Option::unwrap)
        }
    }

    /// The safe twin: the definition in `f64`.
    fn definition(gru: &Gru, [x, wi, wh, bi, bh]: &[Vec<f64>; 5]) -> Vec<f64> {
        let Gru { batch, time, inputs, hidden } = *gru;
        let row = |w: &[f64], b: &[f64], x: &[f64], row: usize| {
            x.iter().zip(&w[row * x.len()..]).fold(b[row], |sum, (x, w)| sum + x * w)
        };
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let mut states = Vec::new();
        for b in 0..batch {
            let mut h = vec![0.0; hidden];
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

    fn wide(values: &[Vec<f32>; 5]) -> [Vec<f64>; 5] {
        std::array::from_fn(|i| values[i].iter().map(|v| f64::from(*v)).collect())
    }

    fn sizes() -> impl Strategy<Value = Gru> {
        (0usize..7, 0usize..5, 0usize..10, prop_oneof![Just(1), Just(16), 0usize..12])
            .prop_map(|(batch, time, inputs, hidden)| Gru { batch, time, inputs, hidden })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn forward_is_the_definition(gru in sizes(), seed in any::<u32>()) {
            let case = Case::new(gru, seed);
            for (ours, exact) in case.forward().0.iter().zip(definition(&gru, &wide(&case.values))) {
                prop_assert!((f64::from(*ours) - exact).abs() < 1e-5, "{ours} {exact}");
            }
        }

        /// Along a random direction, for each of the five arguments.
        #[test]
        fn backward_follows_finite_differences(gru in sizes(), seed in any::<u32>()) {
            let case = Case::new(gru, seed);
            let g = noise(gru.batch * gru.time * gru.hidden, seed ^ 77);
            for (argument, ours) in case.backward(&g).iter().enumerate() {
                prop_assert_eq!(ours.len(), case.values[argument].len());
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
    fn what_is_not_wanted_changes_nothing_else() {
        let case = Case::new(Gru { batch: 3, time: 4, inputs: 5, hidden: 6 }, 2);
        let g = noise(3 * 4 * 6, 8);
        let all = case.backward(&g);
        for wanted in (0..32).map(|bits| std::array::from_fn(|i| bits >> i & 1 == 1)) {
            let expected: [_; 5] = std::array::from_fn(|i| wanted[i].then(|| all[i].clone()));
            assert_eq!(case.only(&g, wanted), expected);
        }
    }

    #[test]
    fn the_same_bits_on_one_thread_and_on_many() {
        let case = Case::new(Gru { batch: 150, time: 3, inputs: 7, hidden: 20 }, 5);
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
        let mut case = Case::new(gru, 1);
        case.values[0][0] = f32::NAN;
        let states = case.forward().0;
        assert!(states[..10].iter().all(|s| s.is_nan()) && states[10..].iter().all(|s| s.is_finite()));
    }
}
