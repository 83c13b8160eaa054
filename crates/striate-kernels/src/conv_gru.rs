//! Convolutional gated recurrent unit over maps (Ballas et al. 2016), zero padded, from a state of zeros:
//!
//! ```text
//! r = σ(W_r ⋆ x + b_r + U_r ⋆ h)        n  = tanh(W_n ⋆ x + b_n + U_n ⋆ (r ∘ h))
//! u = σ(W_u ⋆ x + b_u + U_u ⋆ h)        h' = (1 − u) ∘ h + u ∘ n
//! ```
//!
//! Maps of one time step lie together, so that a step is two convolutions of them; the maps of all steps are convolved
//! with W at once, and so are the gradients to all weights.

use rayon::prelude::*;

use crate::activation::Functions;
use crate::conv2d::Conv2d;
use crate::epilogue::{Epilogue, channel_sums};
use crate::lanes::{Lanes, dispatch};

/// Pixels per task of what is done value by value.
const PIXELS: usize = 128;

/// Sizes of a convolutional recurrent unit over maps `[time, batch, height, width, inputs]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvGru {
    /// Time steps.
    pub time: usize,
    /// Sequences.
    pub batch: usize,
    /// Height of the maps in pixels.
    pub height: usize,
    /// Width of the maps in pixels.
    pub width: usize,
    /// Input channels.
    pub inputs: usize,
    /// Channels of the state.
    pub hidden: usize,
    /// Side of the kernels on the input, odd.
    pub input_side: usize,
    /// Side of the kernels on the state, odd.
    pub state_side: usize,
}

/// Parameters; outputs are those of the gates r, u and of n in turn.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// W, `[3 · hidden, inputs, side, side]`.
    pub input: &'a [f32],
    /// b, `[3 · hidden]`.
    pub bias: &'a [f32],
    /// U of r and u, `[2 · hidden, hidden, side, side]`.
    pub gates: &'a [f32],
    /// U of n, `[hidden, hidden, side, side]`.
    pub candidate: &'a [f32],
}

/// What the backward pass needs of the forward pass: after it, the gradients to the sums in the same places.
#[derive(Debug, Clone)]
pub struct Tape {
    /// r and u, `[time, batch, height, width, 2 · hidden]`.
    gates: Vec<f32>,
    /// n, `[time, batch, height, width, hidden]`.
    candidate: Vec<f32>,
}

impl ConvGru {
    fn convolution(&self, inputs: usize, outputs: usize, side: usize) -> Conv2d {
        let Self { height, width, .. } = *self;
        let (kernel_h, kernel_w, pad_h, pad_w) = (side, side, side / 2, side / 2);
        Conv2d { inputs, outputs, height, width, kernel_h, kernel_w, stride: 1, pad_h, pad_w }
    }

    /// From the input to the gates, and to the candidate.
    fn on_input(&self) -> [Conv2d; 2] {
        [2, 1].map(|parts| self.convolution(self.inputs, parts * self.hidden, self.input_side))
    }

    /// From the state to the gates, and to the candidate.
    fn on_state(&self) -> [Conv2d; 2] {
        [2, 1].map(|parts| self.convolution(self.hidden, parts * self.hidden, self.state_side))
    }

    /// Floats of the state of all sequences.
    fn step(&self) -> usize {
        self.batch * self.height * self.width * self.hidden
    }

    /// Weights on the input of the gates.
    fn split(&self) -> usize {
        2 * self.hidden * self.inputs * self.input_side * self.input_side
    }

    fn check(&self, x: &[f32], weights: &Weights<'_>) {
        let Self { inputs, hidden, input_side, state_side, .. } = *self;
        let maps = self.time * self.batch * self.height * self.width;
        assert_eq!(x.len(), maps * inputs, "inputs are [time, batch, height, width, inputs]");
        assert!(input_side % 2 == 1 && state_side % 2 == 1, "sides of kernels are odd");
        assert_eq!(
            weights.input.len(),
            3 * hidden * inputs * input_side * input_side,
            "weights on the input"
        );
        assert_eq!(weights.bias.len(), 3 * hidden, "biases are [3 · hidden]");
        let recurrent = hidden * hidden * state_side * state_side;
        let found = [weights.gates.len(), weights.candidate.len()];
        assert_eq!(found, [2 * recurrent, recurrent], "weights on the state");
    }

    /// States `[time, batch, height, width, hidden]` of inputs `x` `[time, batch, height, width, inputs]`, and what the
    /// backward pass needs beside them.
    ///
    /// # Panics
    /// When a slice does not have the length its shape demands, or a kernel has an even side.
    pub fn forward(&self, x: &[f32], weights: &Weights<'_>) -> (Vec<f32>, Tape) {
        self.check(x, weights);
        let mut tape = self.driven(x, weights);
        let (step, [to_gates, to_candidate]) = (self.step(), self.on_state());
        let mut states = vec![0.0; self.time * step];
        if states.is_empty() {
            return (states, tape);
        }
        // Before the first step there is nothing to convolve.
        let (zeros, mut reset) = (vec![0.0; 2 * step], vec![0.0; step]);
        for at in 0..self.time {
            let (past, state) = states.split_at_mut(at * step);
            let before = past.rchunks(step).next();
            let along = |conv: &Conv2d, maps: &[f32], weights| conv.forward(maps, weights, Epilogue::NONE);
            let sums = before.map(|before| along(&to_gates, before, weights.gates));
            let gates = &mut tape.gates[2 * at * step..][..2 * step];
            let from = before.unwrap_or(&zeros[..step]);
            self.open_gates(sums.as_deref().unwrap_or(&zeros), from, gates, &mut reset);
            let sums = before.map(|_| along(&to_candidate, &reset, weights.candidate));
            let candidate = &mut tape.candidate[at * step..][..step];
            let sums = sums.as_deref().unwrap_or(&zeros[..step]);
            self.open_state(sums, from, gates, candidate, &mut state[..step]);
        }
        (states, tape)
    }

    /// What the input alone gives to gates and candidate.
    fn driven(&self, x: &[f32], weights: &Weights<'_>) -> Tape {
        if x.is_empty() {
            return Tape { gates: Vec::new(), candidate: Vec::new() };
        }
        let [to_gates, to_candidate] = self.on_input();
        let (gates, candidate) = weights.input.split_at(self.split());
        let (gate_bias, bias) = weights.bias.split_at(2 * self.hidden);
        let with = |bias| Epilogue { bias: Some(bias), ..Epilogue::NONE };
        Tape {
            gates: to_gates.forward(x, gates, with(gate_bias)),
            candidate: to_candidate.forward(x, candidate, with(bias)),
        }
    }

    /// Gates from their sums, and the state as far as it is not reset.
    fn open_gates(&self, sums: &[f32], before: &[f32], gates: &mut [f32], reset: &mut [f32]) {
        let (hidden, span) = (self.hidden, PIXELS * self.hidden);
        (gates.par_chunks_mut(2 * span), sums.par_chunks(2 * span))
            .into_par_iter()
            .zip((before.par_chunks(span), reset.par_chunks_mut(span)))
            .for_each(|((gates, sums), (before, reset))| {
                dispatch!(open_gates(
                    hidden: usize, sums: &[f32], before: &[f32], gates: &mut [f32], reset: &mut [f32]
                ));
            });
    }

    /// Candidate from its sum, and the next state.
    fn open_state(
        &self,
        sums: &[f32],
        before: &[f32],
        gates: &[f32],
        candidate: &mut [f32],
        state: &mut [f32],
    ) {
        let (hidden, span) = (self.hidden, PIXELS * self.hidden);
        (candidate.par_chunks_mut(span), state.par_chunks_mut(span))
            .into_par_iter()
            .zip((sums.par_chunks(span), before.par_chunks(span), gates.par_chunks(2 * span)))
            .for_each(|((candidate, state), (sums, before, gates))| {
                dispatch!(open_state(
                    hidden: usize, sums: &[f32], before: &[f32], gates: &[f32], candidate: &mut [f32],
                    state: &mut [f32]
                ));
            });
    }

    /// Gradients, from the gradient `g` `[time, batch, height, width, hidden]` to the `states`, to the inputs and in turn
    /// to the fields of [`Weights`]: those that are `wanted`, each shaped as what it is a gradient to.
    ///
    /// # Panics
    /// As [`ConvGru::forward`], or when states, tape or `g` are another shape's.
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
        let all = self.time * self.step();
        assert_eq!([states.len(), g.len()], [all; 2], "states and gradient are shaped alike");
        assert_eq!(
            [tape.gates.len(), tape.candidate.len()],
            [2 * all, all],
            "the tape is that of the forward"
        );
        if all == 0 {
            let Weights { input, bias, gates, candidate } = *weights;
            let lengths = [x, input, bias, gates, candidate].map(<[f32]>::len);
            return std::array::from_fn(|i| wanted[i].then(|| vec![0.0; lengths[i]]));
        }
        let (tape, reset) = self.through_time(weights, states, tape, g);
        let [to_x, to_input] = self.input_gradients(x, weights, &tape, [wanted[0], wanted[1]]);
        let bias =
            || [channel_sums(2 * self.hidden, &tape.gates), channel_sums(self.hidden, &tape.candidate)];
        let [to_gates, to_candidate] = self.on_state();
        let recurrent = |conv: Conv2d, maps, weights, sums| self.state_gradient(conv, maps, weights, sums);
        [
            to_x,
            to_input,
            wanted[2].then(|| bias().concat()),
            wanted[3].then(|| recurrent(to_gates, states, weights.gates, &tape.gates)),
            wanted[4].then(|| recurrent(to_candidate, &reset, weights.candidate, &tape.candidate)),
        ]
    }

    /// The gradients to all sums, and in the place of the step before each the state as far as it was not reset.
    fn through_time(
        &self,
        weights: &Weights<'_>,
        states: &[f32],
        mut tape: Tape,
        g: &[f32],
    ) -> (Tape, Vec<f32>) {
        let (step, [to_gates, to_candidate]) = (self.step(), self.on_state());
        let (mut carried, zeros) = (vec![0.0; step], vec![0.0; step]);
        let mut reset = vec![0.0; self.time * step];
        for at in (0..self.time).rev() {
            let now = at * step..(at + 1) * step;
            let gates = &mut tape.gates[2 * now.start..2 * now.end];
            let candidate = &mut tape.candidate[now.clone()];
            let Some(past) = at.checked_sub(1).map(|last| last * step..now.start) else {
                self.close_state(&g[now], &zeros, gates, candidate, &mut carried);
                let mut nothing = vec![0.0; step];
                self.close_reset(&zeros, &zeros, gates, &mut carried, &mut nothing);
                continue;
            };
            let before = &states[past.clone()];
            let through = |conv: &Conv2d, weights, sums: &[f32]| {
                let [to_maps, _] = conv.backward(before, weights, sums, [true, false]);
                to_maps.expect("it is wanted")
            };
            self.close_state(&g[now], before, gates, candidate, &mut carried);
            let to_reset = through(&to_candidate, weights.candidate, candidate);
            self.close_reset(&to_reset, before, gates, &mut carried, &mut reset[past]);
            let to_before = through(&to_gates, weights.gates, gates);
            carried.iter_mut().zip(&to_before).for_each(|(carried, more)| *carried += more);
        }
        (tape, reset)
    }

    /// Gradients to the sums of u and n in place of them, and in `carried` the part of the gradient to the state before
    /// that passes by both.
    fn close_state(
        &self,
        g: &[f32],
        before: &[f32],
        gates: &mut [f32],
        candidate: &mut [f32],
        carried: &mut [f32],
    ) {
        let (hidden, span) = (self.hidden, PIXELS * self.hidden);
        (gates.par_chunks_mut(2 * span), candidate.par_chunks_mut(span), carried.par_chunks_mut(span))
            .into_par_iter()
            .zip((g.par_chunks(span), before.par_chunks(span)))
            .for_each(|((gates, candidate, carried), (g, before))| {
                dispatch!(close_state(
                    hidden: usize, g: &[f32], before: &[f32], gates: &mut [f32], candidate: &mut [f32],
                    carried: &mut [f32]
                ));
            });
    }

    /// Gradients to the sums of r in place of it, and to `carried` what comes through the state as far as it was not
    /// reset, which is left in `reset`.
    fn close_reset(
        &self,
        to_reset: &[f32],
        before: &[f32],
        gates: &mut [f32],
        carried: &mut [f32],
        reset: &mut [f32],
    ) {
        let (hidden, span) = (self.hidden, PIXELS * self.hidden);
        (gates.par_chunks_mut(2 * span), carried.par_chunks_mut(span), reset.par_chunks_mut(span))
            .into_par_iter()
            .zip((to_reset.par_chunks(span), before.par_chunks(span)))
            .for_each(|((gates, carried, reset), (to_reset, before))| {
                dispatch!(close_reset(
                    hidden: usize, to_reset: &[f32], before: &[f32], gates: &mut [f32], carried: &mut [f32],
                    reset: &mut [f32]
                ));
            });
    }

    /// Gradients to the inputs and to the weights on them, those that are `wanted`.
    fn input_gradients(
        &self,
        x: &[f32],
        weights: &Weights<'_>,
        sums: &Tape,
        wanted: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let [to_gates, to_candidate] = self.on_input();
        let (gates, candidate) = weights.input.split_at(self.split());
        let [x_gates, w_gates] = to_gates.backward(x, gates, &sums.gates, wanted);
        let [x_candidate, w_candidate] = to_candidate.backward(x, candidate, &sums.candidate, wanted);
        let to_x = x_gates.zip(x_candidate).map(|(mut to, more)| {
            to.iter_mut().zip(&more).for_each(|(to, more)| *to += more);
            to
        });
        [to_x, w_gates.zip(w_candidate).map(|(gates, candidate)| [gates, candidate].concat())]
    }

    /// Gradient to weights on `maps` `[time, …]` of each step but the last, from that to the sums of the steps after.
    fn state_gradient(&self, conv: Conv2d, maps: &[f32], weights: &[f32], sums: &[f32]) -> Vec<f32> {
        let (maps, sums) =
            (&maps[..(self.time - 1) * maps.len() / self.time], &sums[sums.len() / self.time..]);
        if maps.is_empty() {
            return vec![0.0; weights.len()];
        }
        let [_, to_weights] = conv.backward(maps, weights, sums, [false, true]);
        to_weights.expect("it is wanted")
    }
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn open_gates<L: Lanes>(
    hidden: usize,
    sums: &[f32],
    before: &[f32],
    gates: &mut [f32],
    reset: &mut [f32],
) {
    gates.iter_mut().zip(sums).for_each(|(gate, sum)| *gate = L::sigmoid(*gate + sum));
    let pixels = gates.chunks(2 * hidden).zip(before.chunks(hidden)).zip(reset.chunks_mut(hidden));
    for ((gates, before), reset) in pixels {
        reset.iter_mut().zip(gates).zip(before).for_each(|((reset, r), before)| *reset = r * before);
    }
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn open_state<L: Lanes>(
    hidden: usize,
    sums: &[f32],
    before: &[f32],
    gates: &[f32],
    candidate: &mut [f32],
    state: &mut [f32],
) {
    candidate.iter_mut().zip(sums).for_each(|(n, sum)| *n = L::tanh(*n + sum));
    let pixels = gates.chunks(2 * hidden).zip(before.chunks(hidden)).zip(candidate.chunks(hidden));
    for (((gates, before), candidate), state) in pixels.zip(state.chunks_mut(hidden)) {
        let values = gates[hidden..].iter().zip(before).zip(candidate);
        state.iter_mut().zip(values).for_each(|(state, ((u, h), n))| *state = h + u * (n - h));
    }
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn close_state<L: Lanes>(
    hidden: usize,
    g: &[f32],
    before: &[f32],
    gates: &mut [f32],
    candidate: &mut [f32],
    carried: &mut [f32],
) {
    carried.iter_mut().zip(g).for_each(|(carried, g)| *carried += g);
    let pixels = gates.chunks_mut(2 * hidden).zip(candidate.chunks_mut(hidden)).zip(before.chunks(hidden));
    for (((gates, candidate), before), carried) in pixels.zip(carried.chunks_mut(hidden)) {
        let values = gates[hidden..].iter_mut().zip(candidate).zip(before).zip(carried);
        for (((u, n), before), carried) in values {
            let (total, open, new) = (*carried, *u, *n);
            *carried = total * (1.0 - open);
            *u = total * (new - before) * open * (1.0 - open);
            *n = total * open * (1.0 - new * new);
        }
    }
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn close_reset<L: Lanes>(
    hidden: usize,
    to_reset: &[f32],
    before: &[f32],
    gates: &mut [f32],
    carried: &mut [f32],
    reset: &mut [f32],
) {
    let pixels = gates.chunks_mut(2 * hidden).zip(to_reset.chunks(hidden)).zip(before.chunks(hidden));
    let kept = carried.chunks_mut(hidden).zip(reset.chunks_mut(hidden));
    for (((gates, to_reset), before), (carried, reset)) in pixels.zip(kept) {
        let values = gates.iter_mut().zip(to_reset).zip(before).zip(carried).zip(reset);
        for ((((r, to_reset), before), carried), reset) in values {
            let open = *r;
            *reset = open * before;
            *carried += to_reset * open;
            *r = to_reset * before * open * (1.0 - open);
        }
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

    /// Inputs, and weights in turn.
    #[derive(Clone)]
    struct Case {
        unit: ConvGru,
        values: [Vec<f32>; 5],
    }

    impl Case {
        fn new(unit: ConvGru, seed: u32) -> Self {
            let ConvGru { time, batch, height, width, inputs, hidden, input_side, state_side } = unit;
            let recurrent = hidden * hidden * state_side * state_side;
            let sizes = [
                time * batch * height * width * inputs,
                3 * hidden * inputs * input_side * input_side,
                3 * hidden,
                2 * recurrent,
                recurrent,
            ];
            Self { unit, values: std::array::from_fn(|i| noise(sizes[i], seed ^ i as u32)) }
        }

        fn weights(&self) -> Weights<'_> {
            let [_, input, bias, gates, candidate] = &self.values;
            Weights { input, bias, gates, candidate }
        }

        fn only(&self, g: &[f32], wanted: [bool; 5]) -> [Option<Vec<f32>>; 5] {
            let (states, tape) = self.unit.forward(&self.values[0], &self.weights());
            self.unit.backward(&self.values[0], &self.weights(), &states, tape, g, wanted)
        }
    }

    /// Zero-padded convolution of one map, in `f64`, at a pixel.
    fn sum(unit: &ConvGru, map: &[f64], weights: &[f64], side: usize, output: usize, at: usize) -> f64 {
        let channels = map.len() / (unit.height * unit.width);
        let (row, column) = (at / unit.width + side / 2, at % unit.width + side / 2);
        let tap = |tap: usize| {
            let (channel, y, x) = (tap / (side * side), tap / side % side, tap % side);
            let (y, x) = ((row + y).wrapping_sub(side - 1), (column + x).wrapping_sub(side - 1));
            let inside = y < unit.height && x < unit.width;
            if inside {
                map[(y * unit.width + x) * channels + channel]
                    * weights[output * channels * side * side + tap]
            } else {
                0.0
            }
        };
        (0..channels * side * side).map(tap).sum()
    }

    /// The safe twin: the definition in `f64`.
    fn definition(unit: &ConvGru, [x, input, bias, gates, candidate]: &[Vec<f64>; 5]) -> Vec<f64> {
        let ConvGru { time, batch, height, width, inputs, hidden, input_side, state_side } = *unit;
        let (pixels, sigmoid) = (height * width, |x: f64| 1.0 / (1.0 + (-x).exp()));
        let mut states = vec![0.0; time * batch * pixels * hidden];
        for sequence in 0..batch {
            let mut h = vec![0.0; pixels * hidden];
            for t in 0..time {
                let at = t * batch + sequence;
                let x = &x[at * pixels * inputs..][..pixels * inputs];
                let from_x = |o, p| bias[o] + sum(unit, x, input, input_side, o, p);
                let gate = |i: usize, which: usize| {
                    let (o, p) = (which * hidden + i % hidden, i / hidden);
                    sigmoid(from_x(o, p) + sum(unit, &h, gates, state_side, o, p))
                };
                let reset: Vec<f64> = (0..h.len()).map(|i| gate(i, 0) * h[i]).collect();
                let next = |i: usize| {
                    let (o, p) = (i % hidden, i / hidden);
                    let n = from_x(2 * hidden + o, p) + sum(unit, &reset, candidate, state_side, o, p);
                    let u = gate(i, 1);
                    (1.0 - u) * h[i] + u * n.tanh()
                };
                h = (0..h.len()).map(next).collect();
                states[at * pixels * hidden..][..pixels * hidden].copy_from_slice(&h);
            }
        }
        states
    }

    fn wide(values: &[Vec<f32>; 5]) -> [Vec<f64>; 5] {
        std::array::from_fn(|i| values[i].iter().map(|v| f64::from(*v)).collect())
    }

    fn sizes() -> impl Strategy<Value = ConvGru> {
        let sides = (prop_oneof![Just(1), Just(3), Just(5)], prop_oneof![Just(1), Just(3)]);
        ((0usize..5, 0usize..4, 1usize..6, 1usize..6), (1usize..4, 1usize..5), sides).prop_map(
            |((time, batch, height, width), (inputs, hidden), (input_side, state_side))| ConvGru {
                time,
                batch,
                height,
                width,
                inputs,
                hidden,
                input_side,
                state_side,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn forward_is_the_definition(unit in sizes(), seed in any::<u32>()) {
            let case = Case::new(unit, seed);
            let (states, _) = unit.forward(&case.values[0], &case.weights());
            let exact = definition(&unit, &wide(&case.values));
            prop_assert_eq!(states.len(), exact.len());
            for (ours, exact) in states.iter().zip(exact) {
                prop_assert!((f64::from(*ours) - exact).abs() < 1e-5, "{ours} {exact}");
            }
        }

        /// Along a random direction, for each of the five arguments, wanted alone or with the others.
        #[test]
        fn backward_follows_finite_differences(unit in sizes(), seed in any::<u32>()) {
            let case = Case::new(unit, seed);
            let g = noise(unit.time * unit.step(), seed ^ 77);
            let all = case.only(&g, [true; 5]);
            for (argument, ours) in all.iter().enumerate() {
                let ours = ours.as_ref().unwrap();
                prop_assert_eq!(ours.len(), case.values[argument].len());
                let along = noise(ours.len(), seed ^ 55);
                let objective = |size: f64| {
                    let mut values = wide(&case.values);
                    values[argument].iter_mut().zip(&along).for_each(|(v, d)| *v += size * f64::from(*d));
                    let states = definition(&unit, &values);
                    states.iter().zip(&g).map(|(s, g)| s * f64::from(*g)).sum::<f64>()
                };
                let exact = (objective(1e-5) - objective(-1e-5)) / 2e-5;
                let slope: f64 = ours.iter().zip(&along).map(|(o, d)| f64::from(*o) * f64::from(*d)).sum();
                prop_assert!((slope - exact).abs() < 1e-4 * (1.0 + exact.abs()), "{argument}: {slope} {exact}");
                let alone = case.only(&g, std::array::from_fn(|i| i == argument));
                prop_assert_eq!(alone.iter().flatten().count(), 1);
                prop_assert_eq!(alone[argument].as_ref(), Some(ours));
            }
        }
    }

    #[test]
    fn threads_do_not_change_bits() {
        let unit = ConvGru {
            time: 3,
            batch: 2,
            height: 20,
            width: 17,
            inputs: 3,
            hidden: 8,
            input_side: 5,
            state_side: 3,
        };
        let case = Case::new(unit, 3);
        let g = noise(unit.time * unit.step(), 4);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| (unit.forward(&case.values[0], &case.weights()).0, case.only(&g, [true; 5])))
        };
        assert!(on(1) == on(3));
    }
}
