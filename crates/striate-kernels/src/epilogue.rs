//! What a convolution does to its sums before they leave the cache.

use crate::activation::Activation;
use crate::lanes::{Lanes, dispatch};

/// `a(x + bias)`, channel by channel.
#[derive(Debug, Clone, Copy)]
pub struct Epilogue<'a> {
    /// Offset of each output channel.
    pub bias: Option<&'a [f32]>,
    /// Nonlinearity after it.
    pub activation: Activation,
}

impl Epilogue<'_> {
    /// Leaves the sums as they are.
    pub const NONE: Self = Self { bias: None, activation: Activation::Identity };

    /// Applies it in place to `[pixel, channel]`.
    pub(crate) fn apply(&self, channels: usize, values: &mut [f32]) {
        let (bias, activation) = (self.bias, self.activation);
        if let Some(bias) = bias {
            dispatch!(add_bias(bias: &[f32], channels: usize, values: &mut [f32]));
        }
        if activation != Activation::Identity {
            dispatch!(activate(activation: Activation, values: &mut [f32]));
        }
    }
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn add_bias<L: Lanes>(bias: &[f32], channels: usize, values: &mut [f32]) {
    for pixel in values.chunks_exact_mut(channels) {
        pixel.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
    }
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn activate<L: Lanes>(activation: Activation, values: &mut [f32]) {
    // One loop per nonlinearity: a match inside the loop would keep it scalar.
    macro_rules! each {
        ($kind:expr) => {
            for value in values.iter_mut() {
                *value = $kind.value(*value);
            }
        };
    }
    match activation {
        Activation::Identity => {}
        Activation::Relu => each!(Activation::Relu),
        Activation::Softplus => each!(Activation::Softplus),
        Activation::Elu => each!(Activation::Elu),
    }
}
