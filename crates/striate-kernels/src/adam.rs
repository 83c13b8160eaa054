//! One step of Adam over a parameter, in one pass over memory, with a proximal L1 penalty if asked.

use rayon::prelude::*;

use crate::lanes::{Lanes, dispatch};

/// Values per task: fixed, and small enough to stay in cache.
const CHUNK: usize = 1 << 14;

/// Decay rates and step size of Adam (Kingma & Ba 2015, algorithm 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Step size.
    pub rate: f32,
    /// Decay of the first moment.
    pub beta_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Number of this step, from 1.
    pub time: u32,
    /// Strength λ of an L1 penalty applied as a proximal step: in the metric of Adam's step the threshold of a
    /// value is `rate · λ / (√v̂ + ε)`, so that a value rests at exactly zero while its mean gradient is below λ
    /// (Yun et al. 2021, ProxGen, for diagonal preconditioners).
    pub l1: f32,
    /// Whether values at exactly zero stay there, because their gradient was not computed.
    ///
    /// Their moments keep what they say once corrected for bias (m̂ and v̂), as if the gradient had been the mean so
    /// far. Were the moments themselves kept, the correction by the common `time` would take a value that rested
    /// for steps with a gradient of zero: it would find its way back late, and then in steps several times too long.
    pub keep_zeros: bool,
}

impl Default for Adam {
    /// β₁ 0.9, β₂ 0.999, ε 1e-8; the first step, of size 1e-3, without penalty.
    fn default() -> Self {
        Self { rate: 1e-3, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, time: 1, l1: 0.0, keep_zeros: false }
    }
}

impl Adam {
    /// Moves `values` against `gradient · scale` and updates both moments.
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn step(
        &self,
        values: &mut [f32],
        gradient: &[f32],
        scale: f32,
        first: &mut [f32],
        second: &mut [f32],
    ) {
        assert!([gradient.len(), first.len(), second.len()] == [values.len(); 3]);
        let biases =
            &Biases { first: Bias::new(self.beta_1, self.time), second: Bias::new(self.beta_2, self.time) };
        let each = values.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
        each.zip(first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK))).for_each(
            |((values, gradient), (first, second))| {
                let adam = self;
                dispatch!(step_chunk(
                    adam: &Adam, biases: &Biases, scale: f32, values: &mut [f32], gradient: &[f32],
                    first: &mut [f32], second: &mut [f32]
                ));
            },
        );
    }
}

/// What a moment that began at zero is multiplied with.
#[derive(Debug, Clone, Copy)]
struct Bias {
    /// To be unbiased.
    correct: f32,
    /// To say in this step, once corrected, what it said in the last one.
    keep: f32,
}

impl Bias {
    fn new(beta: f32, time: u32) -> Self {
        let share = |time: u32| 1.0 - f64::from(beta).powi(time as i32);
        let (now, before) = (share(time), share(time.saturating_sub(1)));
        // Before the first step a moment says nothing.
        let keep = if before > 0.0 { now / before } else { 1.0 };
        Self { correct: (1.0 / now) as f32, keep: keep as f32 }
    }
}

/// Of both moments.
struct Biases {
    first: Bias,
    second: Bias,
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn step_chunk<L: Lanes>(
    adam: &Adam,
    biases: &Biases,
    scale: f32,
    values: &mut [f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
) {
    let (keep_1, keep_2) = (adam.beta_1, adam.beta_2);
    let Biases { first: bias_1, second: bias_2 } = *biases;
    for ((value, g), (m, v)) in values.iter_mut().zip(gradient).zip(first.iter_mut().zip(second)) {
        let g = g * scale;
        let new_m = keep_1 * *m + (1.0 - keep_1) * g;
        let new_v = keep_2 * *v + (1.0 - keep_2) * g * g;
        let step = adam.rate / ((new_v * bias_2.correct).sqrt() + adam.epsilon);
        let moved = *value - step * bias_1.correct * new_m;
        // Soft threshold; with a threshold of zero the value passes unchanged, NaN included.
        let threshold = step * adam.l1;
        let shrunk = if moved.abs() <= threshold { 0.0 } else { moved - threshold.copysign(moved) };
        let keep = adam.keep_zeros & (*value == 0.0);
        *m = if keep { *m * bias_1.keep } else { new_m };
        *v = if keep { *v * bias_2.keep } else { new_v };
        *value = if keep { *value } else { shrunk };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two steps by hand: with corrected moments, the first step is the rate whatever the gradient's size.
    #[test]
    fn the_first_step_is_the_rate_and_the_second_follows_the_moments() {
        let adam = |time| Adam { rate: 0.1, time, ..Adam::default() };
        let (mut values, mut first, mut second) = ([1.0f32, -2.0], [0.0; 2], [0.0; 2]);
        adam(1).step(&mut values, &[1e-3, -4.0], 1.0, &mut first, &mut second);
        assert!((values[0] - 0.9).abs() < 1e-4 && (values[1] + 1.9).abs() < 1e-6, "{values:?}");
        adam(2).step(&mut values, &[1e-3, 4.0], 1.0, &mut first, &mut second);
        // m̂ = (0.9·0.1 − 0.1)·4 / 0.19 in units of the gradient, v̂ = 16.
        let exact = -1.9 - 0.1 * (-0.9 * 0.1 + 0.1) / 0.19;
        assert!((f64::from(values[1]) - exact).abs() < 1e-6, "{values:?} {exact}");
    }

    #[test]
    fn long_parameters_are_stepped_to_their_end() {
        let adam = Adam { rate: 0.1, ..Adam::default() };
        let length = 3 * CHUNK + 5;
        let (mut values, mut first, mut second) = (vec![0.0; length], vec![0.0; length], vec![0.0; length]);
        adam.step(&mut values, &vec![2.0; length], 0.5, &mut first, &mut second);
        assert!(values.iter().all(|value| (value + 0.1).abs() < 1e-6));
        assert!(first.iter().all(|m| (m - 0.1).abs() < 1e-7));
    }

    /// With a steady gradient g the value comes to rest at zero if |g| < λ, whatever the size of both.
    #[test]
    fn a_gradient_below_the_penalty_ends_at_exactly_zero() {
        for scale in [1e-6f32, 1.0, 1e4] {
            let gradient = [0.9 * scale, -0.9 * scale, 1.1 * scale, -1.1 * scale];
            let (mut values, mut first, mut second) = ([0.05f32; 4], [0.0; 4], [0.0; 4]);
            for time in 1..200 {
                let adam = Adam { rate: 0.01, time, l1: scale, ..Adam::default() };
                adam.step(&mut values, &gradient, 1.0, &mut first, &mut second);
            }
            assert_eq!(values[..2], [0.0, 0.0], "{scale}");
            assert!(values[2] < -0.01 && values[3] > 0.01, "{values:?}");
        }
    }

    #[test]
    fn zeros_stay_and_their_corrected_moments_too() {
        let (mut values, mut first, mut second) = ([0.0f32, 1.0], [0.1, 0.5], [0.001, 0.25]);
        // What the moments of a first gradient of 1 say: 1.
        for time in 2..50 {
            let adam = Adam { keep_zeros: true, time, ..Adam::default() };
            adam.step(&mut values, &[0.0, 0.0], 1.0, &mut first, &mut second);
            let said = [(first[0], adam.beta_1), (second[0], adam.beta_2)]
                .map(|(moment, beta)| f64::from(moment) / (1.0 - f64::from(beta).powi(time as i32)));
            assert!(values[0] == 0.0 && said.iter().all(|said| (said - 1.0).abs() < 1e-4), "{said:?}");
        }
        assert!(values[1] < 1.0 && first[1] < 0.5 && second[1] < 0.25);
    }

    /// A value that rests between dense steps goes back at the pace of one that never rested.
    #[test]
    fn a_rest_at_zero_neither_delays_nor_lengthens_the_way_back() {
        let path = |rests: bool| {
            let (mut values, mut first, mut second) = ([0.0f32], [0.0], [0.0]);
            for time in 1..=301 {
                let adam =
                    Adam { rate: 0.1, time, l1: 1.0, keep_zeros: rests && time % 10 != 1, ..Adam::default() };
                // Below the penalty, and in the last step far above it.
                let gradient = if time == 301 { -20.0 } else { -0.9 };
                adam.step(&mut values, &[gradient], 1.0, &mut first, &mut second);
                assert!(time == 301 || values[0] == 0.0);
            }
            values[0]
        };
        let (rested, steady) = (path(true), path(false));
        assert!(steady > 0.05 && (rested / steady - 1.0).abs() < 1e-3, "{rested} {steady}");
    }
}
