//! Point nonlinearities without branches or library calls, so that loops over them vectorise.
//!
//! Errors against `f64`, tested over the whole range: [`exp`] 2 units in the last place (inputs below
//! −87 give 0 within 2e-38), [`softplus`], [`sigmoid`] and [`tanh`] 4e-7 relative.

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

/// `eˣ` for `x` clamped to ±87.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let (rest, scale) = exp_parts(x);
    (rest + 1.0) * scale
}

/// `(eʳ − 1, 2ⁿ)` with `eˣ = 2ⁿ eʳ` and `|r| ≤ log(2) / 2`, for `x` clamped to ±87.
#[inline(always)]
fn exp_parts(x: f32) -> (f32, f32) {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: adding it rounds to the nearest integer
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_2e-4;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + c;
    }
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    (p * r * r + r, scale)
}

/// Hyperbolic tangent, through `e^(−2|x|) − 1`, which keeps its digits near 0.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let (rest, scale) = exp_parts(-2.0 * x.abs());
    let less = rest * scale + (scale - 1.0);
    (-less / (2.0 + less)).copysign(x)
}

/// `log(1 + eˣ)`.
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    x.max(0.0) + log1p(exp(-x.abs()))
}

/// `log(1 + t)` for `0 ≤ t ≤ 1`: twice the area tangent of `t / (2 + t)`, at most 1/3.
#[inline(always)]
fn log1p(t: f32) -> f32 {
    let s = t / (2.0 + t);
    let s2 = s * s;
    let mut p = 1.0 / 13.0;
    for c in [1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0] {
        p = p * s2 + c;
    }
    2.0 * s * p
}

/// `1 / (1 + e⁻ˣ)`, the slope of [`softplus`].
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let small = exp(-x.abs());
    let numerator = if x < 0.0 { small } else { 1.0 };
    numerator / (1.0 + small)
}

impl Activation {
    /// Value at `x`.
    #[inline(always)]
    pub fn value(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            // Written so that NaN stays NaN, which `f32::max` would hide.
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::Softplus => softplus(x),
            Self::Elu => {
                if x < 0.0 {
                    exp(x) - 1.0
                } else {
                    x
                }
            }
        }
    }

    /// Slope at `x`.
    #[inline(always)]
    pub fn slope(self, x: f32) -> f32 {
        match self {
            Self::Identity => 1.0,
            Self::Relu => f32::from(u8::from(x > 0.0)),
            Self::Softplus => sigmoid(x),
            Self::Elu => exp(x.min(0.0)),
        }
    }

    /// Slope where the value is `y`.
    #[inline(always)]
    pub fn slope_of_value(self, y: f32) -> f32 {
        match self {
            Self::Identity => 1.0,
            Self::Relu => f32::from(u8::from(y > 0.0)),
            Self::Softplus => 1.0 - exp(-y),
            Self::Elu => y.min(0.0) + 1.0,
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

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        let worst = grid().map(|x| relative(exp(x), f64::from(x).exp())).fold(0.0, f64::max);
        assert!(worst < 2.4e-7, "{worst}");
        assert!(exp(-1e9) < 2e-38 && exp(-1e9) >= 0.0);
    }

    #[test]
    fn softplus_and_sigmoid_keep_their_relative_error() {
        let exact = |x: f32| f64::from(x).exp().ln_1p();
        let worst = grid().map(|x| relative(softplus(x), exact(x))).fold(0.0, f64::max);
        assert!(worst < 4e-7, "{worst}");
        let exact = |x: f32| 1.0 / (1.0 + (-f64::from(x)).exp());
        let worst = grid().map(|x| relative(sigmoid(x), exact(x))).fold(0.0, f64::max);
        assert!(worst < 4e-7, "{worst}");
    }

    #[test]
    fn tanh_keeps_its_relative_error() {
        let tiny = (1..100).flat_map(|i| [1e-3, 1e-8, 1e-30, -1e-5].map(|scale| scale * i as f32));
        let worst = grid().chain(tiny).filter(|x| *x != 0.0);
        let worst = worst.map(|x| relative(tanh(x), f64::from(x).tanh())).fold(0.0, f64::max);
        assert!(worst < 4e-7, "{worst}");
        assert!(tanh(0.0) == 0.0 && tanh(f32::INFINITY) == 1.0 && tanh(-1e9) == -1.0);
        assert!(tanh(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        for activation in [Activation::Identity, Activation::Relu, Activation::Elu] {
            assert!(activation.value(f32::NAN).is_nan(), "{activation:?}");
        }
    }

    #[test]
    fn slopes_are_derivatives() {
        for activation in [Activation::Identity, Activation::Relu, Activation::Softplus, Activation::Elu] {
            for x in [-3.0f32, -0.7, 0.3, 2.0] {
                let difference = (activation.value(x + 1e-2) - activation.value(x - 1e-2)) / 2e-2;
                assert!((difference - activation.slope(x)).abs() < 1e-3, "{activation:?} at {x}");
            }
        }
    }
}
