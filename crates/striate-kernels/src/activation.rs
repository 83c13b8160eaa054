//! Point nonlinearities without branches or library calls, so that loops over them vectorise.
//!
//! Errors against `f64`, tested over the whole range: [`exp`] 2 units in the last place (inputs below
//! −87 give 0 within 2e-38), [`softplus`], [`sigmoid`] and [`tanh`] 4e-7 relative.

use crate::lanes::{Lanes, Portable};

/// Nonlinearity applied to each value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x`.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `log(1 + eˣ)`.
    Softplus,
    /// `x` above 0, `eˣ − 1` below.
    Elu,
}

/// The functions for one instruction set, value by value: loops over them become its vectors.
///
/// Selections are written as comparisons that let NaN pass, which `f32::max` and `f32::min` would hide.
pub(crate) trait Functions: Lanes {
    /// `a · b + c`, rounded once where the instruction set fuses them.
    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        if Self::FUSED { a.mul_add(b, c) } else { a * b + c }
    }

    /// `…(c₀ t + c₁) t + …` from the highest coefficient down.
    #[inline(always)]
    fn polynomial<const N: usize>(t: f32, coefficients: [f32; N]) -> f32 {
        coefficients[1..].iter().fold(coefficients[0], |p, c| Self::fma(p, t, *c))
    }

    /// `(eʳ − 1, 2ⁿ)` with `eˣ = 2ⁿ eʳ` and `|r| ≤ log(2) / 2`, for `x ≤ 87`, raised to −87.
    #[inline(always)]
    fn exp_parts(x: f32) -> (f32, f32) {
        const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: adding it rounds to the nearest integer
        let x = if x < -87.0 { -87.0 } else { x };
        let shifted = Self::fma(x, std::f32::consts::LOG2_E, ROUND);
        let n = shifted - ROUND;
        let r = Self::fma(n, 2.121_944_4e-4, Self::fma(n, -0.693_359_4, x));
        let p = [1.987_569_2e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
        let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
        (Self::fma(Self::polynomial(r, p) * r, r, r), scale)
    }

    /// `eˣ` for `x ≤ 87`.
    #[inline(always)]
    fn exp_below(x: f32) -> f32 {
        let (rest, scale) = Self::exp_parts(x);
        Self::fma(rest, scale, scale)
    }

    /// [`exp`].
    #[inline(always)]
    fn exp(x: f32) -> f32 {
        Self::exp_below(if x > 87.0 { 87.0 } else { x })
    }

    /// `eˣ − 1` for `x ≤ 87`, keeping its digits near 0.
    #[inline(always)]
    fn exp_m1(x: f32) -> f32 {
        let (rest, scale) = Self::exp_parts(x);
        Self::fma(rest, scale, scale - 1.0)
    }

    /// [`tanh`].
    #[inline(always)]
    fn tanh(x: f32) -> f32 {
        let less = Self::exp_m1(-2.0 * x.abs());
        (-less / (2.0 + less)).copysign(x)
    }

    /// [`softplus`].
    #[inline(always)]
    fn softplus(x: f32) -> f32 {
        let t = Self::exp_below(-x.abs());
        Self::fma(t, Self::log1p_ratio(t), if x > 0.0 { x } else { 0.0 })
    }

    /// `log(1 + t) / t` for `0 ≤ t ≤ 1`: the polynomial of least relative error, 5e-9, that is 1 at 0.
    #[inline(always)]
    fn log1p_ratio(t: f32) -> f32 {
        let coefficients = [
            -0.003_318_474_6,
            0.020_204_594,
            -0.057_664_46,
            0.106_805_57,
            -0.153_553_98,
            0.196_954_01,
            -0.249_585_88,
            0.333_305_12,
            -0.499_999_3,
            1.0,
        ];
        Self::polynomial(t, coefficients)
    }

    /// [`sigmoid`].
    #[inline(always)]
    fn sigmoid(x: f32) -> f32 {
        1.0 / (1.0 + Self::exp(-x))
    }
}

impl<L: Lanes> Functions for L {}

/// `eˣ` for `x` clamped to ±87.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    Portable::exp(x)
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    Portable::tanh(x)
}

/// `log(1 + eˣ)`.
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    Portable::softplus(x)
}

/// `1 / (1 + e⁻ˣ)`, the slope of [`softplus`].
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    Portable::sigmoid(x)
}

impl Activation {
    /// Value at `x`.
    #[inline(always)]
    pub fn value(self, x: f32) -> f32 {
        self.value_in::<Portable>(x)
    }

    /// Slope at `x`.
    #[inline(always)]
    pub fn slope(self, x: f32) -> f32 {
        self.slope_in::<Portable>(x)
    }

    /// Slope where the value is `y`.
    #[inline(always)]
    pub fn slope_of_value(self, y: f32) -> f32 {
        self.slope_of_value_in::<Portable>(y)
    }

    /// [`Self::value`] for an instruction set.
    #[inline(always)]
    pub(crate) fn value_in<L: Lanes>(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::Softplus => L::softplus(x),
            Self::Elu => {
                // Computed on both sides, so that there is no branch; clamped for the sake of `exp_m1`.
                let below = L::exp_m1(if x > 0.0 { 0.0 } else { x });
                if x > 0.0 { x } else { below }
            }
        }
    }

    /// [`Self::slope`] for an instruction set.
    #[inline(always)]
    pub(crate) fn slope_in<L: Lanes>(self, x: f32) -> f32 {
        match self {
            Self::Identity => 1.0,
            Self::Relu => f32::from(u8::from(x > 0.0)),
            Self::Softplus => L::sigmoid(x),
            Self::Elu => L::exp_below(if x > 0.0 { 0.0 } else { x }),
        }
    }

    /// [`Self::slope_of_value`] for an instruction set.
    #[inline(always)]
    pub(crate) fn slope_of_value_in<L: Lanes>(self, y: f32) -> f32 {
        match self {
            Self::Identity => 1.0,
            Self::Relu => f32::from(u8::from(y > 0.0)),
            Self::Softplus => -L::exp_m1(-y),
            Self::Elu => (if y > 0.0 { 0.0 } else { y }) + 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> impl Iterator<Item = f32> {
        (-860_000..=860_000).map(|i| i as f32 * 1e-4)
    }

    fn relative(ours: f32, exact: f64) -> f64 {
        ((f64::from(ours) - exact) / exact).abs()
    }

    fn worst(grid: impl Iterator<Item = f32>, ours: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> f64 {
        let error = |x: f32| relative(ours(x), exact(f64::from(x)));
        grid.filter(|x| *x != 0.0).map(error).fold(0.0, f64::max)
    }

    fn exp_is_within_two_units_in_the_last_place<L: Lanes>() {
        let worst = worst(grid(), L::exp, f64::exp);
        assert!(worst < 2.4e-7, "{worst}");
        assert!(L::exp(-1e9) < 2e-38 && L::exp(-1e9) >= 0.0);
        assert!(L::exp(1e9).is_finite() && L::exp(0.0) == 1.0);
    }

    fn others_keep_their_relative_error<L: Lanes>() {
        let tiny = || (1..100).flat_map(|i| [1e-3, 1e-8, 1e-30, -1e-5].map(|scale| scale * i as f32));
        let found = [
            worst(grid(), L::softplus, |x| x.exp().ln_1p()),
            worst(grid(), L::sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
            worst(grid().chain(tiny()), L::tanh, f64::tanh),
            worst(grid().chain(tiny()), L::exp_m1, f64::exp_m1),
        ];
        assert!(found.iter().all(|worst| *worst < 4e-7), "{found:?}");
        assert!(L::softplus(0.0) == std::f32::consts::LN_2 && L::softplus(1e9) == 1e9);
        assert!(L::softplus(f32::INFINITY) == f32::INFINITY && L::softplus(f32::NEG_INFINITY) < 2e-38);
        assert!(L::sigmoid(f32::INFINITY) == 1.0 && L::sigmoid(f32::NEG_INFINITY) < 2e-38);
        assert!(L::tanh(0.0) == 0.0 && L::tanh(f32::INFINITY) == 1.0 && L::tanh(-1e9) == -1.0);
    }

    fn what_is_not_a_number_stays_so<L: Lanes>() {
        for function in [L::exp, L::exp_m1, L::tanh, L::softplus, L::sigmoid] {
            assert!(function(f32::NAN).is_nan());
        }
        for activation in ALL {
            assert!(activation.value_in::<L>(f32::NAN).is_nan(), "{activation:?}");
        }
        for activation in [Activation::Softplus, Activation::Elu] {
            assert!(activation.slope_in::<L>(f32::NAN).is_nan(), "{activation:?}");
            assert!(activation.slope_of_value_in::<L>(f32::NAN).is_nan(), "{activation:?}");
        }
    }

    fn slopes_are_derivatives<L: Lanes>() {
        for activation in ALL {
            for x in [-3.0f32, -0.7, 0.3, 2.0] {
                let value = |x| activation.value_in::<L>(x);
                let (difference, slope) =
                    ((value(x + 1e-2) - value(x - 1e-2)) / 2e-2, activation.slope_in::<L>(x));
                assert!((difference - slope).abs() < 1e-3, "{activation:?} at {x}");
                let of_value = activation.slope_of_value_in::<L>(value(x));
                assert!((of_value - slope).abs() < 1e-6, "{activation:?} at {x}");
            }
        }
    }

    const ALL: [Activation; 4] =
        [Activation::Identity, Activation::Relu, Activation::Softplus, Activation::Elu];

    /// Each test with products rounded and fused; the latter on any processor, through the library.
    macro_rules! in_both_forms {
        ($($test:ident),*) => {
            mod rounded {
                $(#[test] fn $test() { super::$test::<crate::lanes::Portable>(); })*
            }
            #[cfg(target_arch = "x86_64")]
            mod fused {
                $(#[test] fn $test() { super::$test::<crate::lanes::x86::Avx2>(); })*
            }
        };
    }
    in_both_forms!(
        exp_is_within_two_units_in_the_last_place,
        others_keep_their_relative_error,
        what_is_not_a_number_stays_so,
        slopes_are_derivatives
    );
}
