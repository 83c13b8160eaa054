//! What follows a convolution while its outputs are still in registers: bias and nonlinearity.

use rayon::prelude::*;

use crate::activation::Activation;
use crate::lanes::{Lanes, dispatch};
use crate::memory::uninitialised;

/// Values per task.
const CHUNK: usize = 1 << 14;
/// Pixels whose bias is laid out in a row.
const PIXELS: usize = 16;

/// `a(x + bias)` per output channel.
#[derive(Debug, Clone, Copy)]
pub struct Epilogue<'a> {
    /// Bias of each output channel.
    pub bias: Option<&'a [f32]>,
    /// Nonlinearity.
    pub activation: Activation,
}

impl Epilogue<'_> {
    /// Neither bias nor nonlinearity.
    pub const NONE: Self = Self { bias: None, activation: Activation::Identity };

    /// Applies it in place to `[pixel, channel]`.
    pub(crate) fn apply(&self, channels: usize, values: &mut [f32]) {
        let (bias, activation) = (self.bias, self.activation);
        dispatch!(apply_to(bias: Option<&[f32]>, activation: Activation, channels: usize, values: &mut [f32]));
    }
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn apply_to<L: Lanes>(
    bias: Option<&[f32]>,
    activation: Activation,
    channels: usize,
    values: &mut [f32],
) {
    let Some(bias) = bias else { return activate::<L>(activation, values) };
    // One long loop vectorises best: the bias of several pixels in a row.
    let bias = bias.repeat(PIXELS);
    macro_rules! each {
        ($kind:expr) => {
            values.chunks_mut(PIXELS * channels).for_each(|values| {
                let pairs = values.iter_mut().zip(&bias);
                pairs.for_each(|(value, bias)| *value = $kind.value_in::<L>(*value + bias));
            })
        };
    }
    match activation {
        Activation::Identity => each!(Activation::Identity),
        Activation::Relu => each!(Activation::Relu),
        Activation::Softplus => each!(Activation::Softplus),
        Activation::Elu => each!(Activation::Elu),
    }
}

/// Replaces values by their nonlinearity, one loop per kind so that each is compiled to vectors.
#[inline(always)]
pub(crate) fn activate<L: Lanes>(activation: Activation, values: &mut [f32]) {
    macro_rules! each {
        ($kind:expr) => {
            values.iter_mut().for_each(|value| *value = $kind.value_in::<L>(*value))
        };
    }
    match activation {
        Activation::Identity => {}
        Activation::Relu => each!(Activation::Relu),
        Activation::Softplus => each!(Activation::Softplus),
        Activation::Elu => each!(Activation::Elu),
    }
}

/// `a(x)` of each value.
pub fn forward(activation: Activation, x: &[f32]) -> Vec<f32> {
    // SAFETY: the chunks fill all of it before it is read.
    let mut y = unsafe { uninitialised(x.len()) };
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
        y.copy_from_slice(x);
        Epilogue { bias: None, activation }.apply(1, y);
    });
    y
}

/// Gradient before the nonlinearity, from its output `y` and the gradient `grad` to that.
///
/// # Panics
/// When the slices differ in length.
pub fn backward(activation: Activation, y: &[f32], grad: &[f32]) -> Vec<f32> {
    assert_eq!(y.len(), grad.len(), "values (left) and gradients (right)");
    // SAFETY: the chunks write all of it.
    let mut before = unsafe { uninitialised(y.len()) };
    before.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK).zip(grad.par_chunks(CHUNK))).for_each(
        |(before, (y, grad))| {
            dispatch!(backward_chunk(activation: Activation, y: &[f32], grad: &[f32], before: &mut [f32]));
        },
    );
    before
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn backward_chunk<L: Lanes>(activation: Activation, y: &[f32], grad: &[f32], before: &mut [f32]) {
    // One loop per nonlinearity: a match inside the loop would keep it scalar.
    macro_rules! each {
        ($kind:expr) => {
            for ((before, y), grad) in before.iter_mut().zip(y).zip(grad) {
                *before = grad * $kind.slope_of_value_in::<L>(*y);
            }
        };
    }
    match activation {
        Activation::Identity => each!(Activation::Identity),
        Activation::Relu => each!(Activation::Relu),
        Activation::Softplus => each!(Activation::Softplus),
        Activation::Elu => each!(Activation::Elu),
    }
}

/// Sum of each channel of values `[.., channel]`, in fixed chunks added in order.
///
/// # Panics
/// When the length is not a multiple of `channels`.
pub fn channel_sums(channels: usize, values: &[f32]) -> Vec<f32> {
    let length = values.len();
    assert!(length.is_multiple_of(channels), "{length} values are not whole rows of {channels} channels");
    let rows = (CHUNK / channels.max(1)).max(1);
    let parts: Vec<Vec<f32>> = values
        .par_chunks((rows * channels).max(1))
        .map(|chunk| {
            let mut sums = vec![0.0; channels];
            for row in chunk.chunks_exact(channels) {
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            sums
        })
        .collect();
    let total = |channel: usize| parts.iter().map(|part| f64::from(part[channel])).sum::<f64>() as f32;
    (0..channels).map(total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_from_the_value_is_the_slope() {
        for activation in [Activation::Identity, Activation::Relu, Activation::Softplus, Activation::Elu] {
            let x: Vec<f32> = (-80..80).map(|i| i as f32 * 0.1 + 0.05).collect();
            let y = forward(activation, &x);
            assert!(x.iter().zip(&y).all(|(x, y)| (activation.value(*x) - y).abs() < 1e-6), "{activation:?}");
            let found = backward(activation, &y, &vec![2.0; x.len()]);
            for (x, found) in x.iter().zip(found) {
                assert!((found - 2.0 * activation.slope(*x)).abs() < 1e-5, "{activation:?} {x}");
            }
        }
    }

    #[test]
    fn channels_are_summed_over_all_rows() {
        let values: Vec<f32> = (0..3 * 40_000).map(|i| (i % 3) as f32).collect();
        assert_eq!(channel_sums(3, &values), [0.0, 40_000.0, 80_000.0]);
        assert_eq!(channel_sums(3, &[]), [0.0; 3]);
        assert_eq!(channel_sums(0, &[]), []);
    }
}
