//! The seven points of F(4, 4) and what they do along one axis: four outputs of a four-tap correlation.
//!
//! As for [`points`](super::points), but the points are ±a, ±b, ±c and ∞. Without 0 they come in pairs, whose even
//! and odd parts are shared. What three taps bring to ∞ is zero, so that they need six pixels and six points.

use super::points::Axis;
use crate::lanes::Lanes;

/// The finite points come as `p` and `-p`.
///
/// All matrices for pixels and outputs are exact in `f32` for these; rounding errors are the smallest among eighths,
/// and 1.5 times those of F(4, 3) (normal images and kernels, 32 channels).
const PAIRS: [f32; 3] = [0.25, 0.875, 2.0];
/// Squares of the points.
const SQUARES: [f32; 3] = [PAIRS[0] * PAIRS[0], PAIRS[1] * PAIRS[1], PAIRS[2] * PAIRS[2]];
/// Coefficients of `(x - a²)(x - b²)(x - c²)`, from the constant one on; that of x³ is 1.
const ALL: [f32; 3] = [
    -SQUARES[0] * SQUARES[1] * SQUARES[2],
    SQUARES[0] * SQUARES[1] + SQUARES[1] * SQUARES[2] + SQUARES[2] * SQUARES[0],
    -SQUARES[0] - SQUARES[1] - SQUARES[2],
];

/// Coefficients of the same without the factor of one pair; that of x² is 1.
const fn others(pair: usize) -> [f32; 2] {
    let (q, r) = (SQUARES[(pair + 1) % 3], SQUARES[(pair + 2) % 3]);
    [q * r, -q - r]
}

/// The denominator of the interpolation at `p`; at `-p` it has the other sign.
const fn denominator(pair: usize) -> f32 {
    let (p, q, r) = (SQUARES[pair], SQUARES[(pair + 1) % 3], SQUARES[(pair + 2) % 3]);
    2.0 * PAIRS[pair] * (p - q) * (p - r)
}

/// Pixels to points, `Bᵀ`.
pub(crate) struct Pixels;
/// Points to the gradient of the pixels, `B`.
pub(crate) struct PixelsAdjoint;
/// Points to outputs, `Aᵀ`.
pub(crate) struct Outputs;
/// Gradient of the outputs to points, `A`.
pub(crate) struct OutputsAdjoint;
/// Kernel taps to points, `G`.
pub(crate) struct Taps;
/// Points to the gradient of the taps, `Gᵀ`.
pub(crate) struct TapsAdjoint;

impl Axis<6, 6> for Pixels {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(x: [L; 6]) -> [L; 6] {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let mut points = [L::zero(); 6];
            for (pair, p) in PAIRS.into_iter().enumerate() {
                let [low, high] = others(pair).map(|c| L::splat(c));
                let even = x[4].add_product(high, x[2]).add_product(low, x[0]);
                let odd = x[5].add_product(high, x[3]).add_product(low, x[1]);
                points[2 * pair] = odd.add_product(L::splat(p), even);
                points[2 * pair + 1] = odd.add_product(L::splat(-p), even);
            }
            points
        }
    }
}

impl Axis<7, 7> for Pixels {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(x: [L; 7]) -> [L; 7] {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let [a, b, c, d, e, f] = <Self as Axis<6, 6>>::apply([x[0], x[1], x[2], x[3], x[4], x[5]]);
            let all = ALL.map(|c| L::splat(c));
            let last = x[6].add_product(all[2], x[4]).add_product(all[1], x[2]).add_product(all[0], x[0]);
            [a, b, c, d, e, f, last]
        }
    }
}

impl Axis<6, 6> for PixelsAdjoint {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(v: [L; 6]) -> [L; 6] {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let mut x = [L::zero(); 6];
            for (pair, p) in PAIRS.into_iter().enumerate() {
                let [low, high] = others(pair).map(|c| L::splat(c));
                let (plus, minus) = (v[2 * pair], v[2 * pair + 1]);
                let (even, odd) = (plus.sub(minus).mul(L::splat(p)), plus.add(minus));
                for (i, part) in [even, odd].into_iter().enumerate() {
                    x[i] = x[i].add_product(low, part);
                    x[i + 2] = x[i + 2].add_product(high, part);
                    x[i + 4] = x[i + 4].add(part);
                }
            }
            x
        }
    }
}

impl Axis<7, 7> for PixelsAdjoint {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(v: [L; 7]) -> [L; 7] {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let x = <Self as Axis<6, 6>>::apply([v[0], v[1], v[2], v[3], v[4], v[5]]);
            let [a, c, e] = std::array::from_fn(|i| x[2 * i].add_product(L::splat(ALL[i]), v[6]));
            [a, x[1], c, x[3], e, x[5], v[6]]
        }
    }
}

impl Axis<7, 4> for Outputs {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(m: [L; 7]) -> [L; 4] {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let mut outputs = [L::zero(), L::zero(), L::zero(), m[6]];
            for (pair, p) in PAIRS.into_iter().enumerate() {
                let (plus, minus) = (m[2 * pair], m[2 * pair + 1]);
                let (even, odd) = (plus.add(minus), plus.sub(minus).mul(L::splat(p)));
                let square = L::splat(SQUARES[pair]);
                for (i, part) in [even, odd].into_iter().enumerate() {
                    outputs[i] = outputs[i].add(part);
                    outputs[i + 2] = outputs[i + 2].add_product(square, part);
                }
            }
            outputs
        }
    }
}

impl Axis<4, 7> for OutputsAdjoint {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(g: [L; 4]) -> [L; 7] {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let mut points = [g[3]; 7];
            for (pair, p) in PAIRS.into_iter().enumerate() {
                let square = L::splat(SQUARES[pair]);
                let (even, odd) = (g[0].add_product(square, g[2]), g[1].add_product(square, g[3]));
                points[2 * pair] = even.add_product(L::splat(p), odd);
                points[2 * pair + 1] = even.add_product(L::splat(-p), odd);
            }
            points
        }
    }
}

impl Axis<4, 7> for Taps {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(w: [L; 4]) -> [L; 7] {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let mut points = [w[3]; 7];
            for (pair, p) in PAIRS.into_iter().enumerate() {
                let (square, scale) = (L::splat(SQUARES[pair]), 1.0 / denominator(pair));
                let even = w[0].add_product(square, w[2]).mul(L::splat(scale));
                let odd = w[1].add_product(square, w[3]).mul(L::splat(p * scale));
                points[2 * pair] = odd.add(even);
                points[2 * pair + 1] = odd.sub(even);
            }
            points
        }
    }
}

impl Axis<7, 4> for TapsAdjoint {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(u: [L; 7]) -> [L; 4] {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let mut taps = [L::zero(), L::zero(), L::zero(), u[6]];
            for (pair, p) in PAIRS.into_iter().enumerate() {
                let (square, scale) = (L::splat(SQUARES[pair]), 1.0 / denominator(pair));
                let (plus, minus) = (u[2 * pair], u[2 * pair + 1]);
                let even = plus.sub(minus).mul(L::splat(scale));
                let odd = plus.add(minus).mul(L::splat(p * scale));
                for (i, part) in [even, odd].into_iter().enumerate() {
                    taps[i] = taps[i].add(part);
                    taps[i + 2] = taps[i + 2].add_product(square, part);
                }
            }
            taps
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::points::matrix;
    use super::*;

    #[test]
    fn products_at_the_points_are_a_correlation() {
        let (pixels, taps, outputs) =
            (matrix::<Pixels, 7, 7>(), matrix::<Taps, 4, 7>(), matrix::<Outputs, 7, 4>());
        for (pixel, tap, output) in (0..7 * 4 * 4).map(|i| (i / 16, i / 4 % 4, i % 4)) {
            let product =
                |p: usize| f64::from(pixels[pixel][p] * outputs[p][output]) * f64::from(taps[tap][p]);
            let sum: f64 = (0..7).map(product).sum();
            assert!((sum - f64::from(u8::from(pixel == tap + output))).abs() < 1e-6, "{sum}");
        }
    }

    #[test]
    fn three_taps_need_neither_the_last_pixel_nor_the_last_point() {
        let (six, seven) = (matrix::<Pixels, 6, 6>(), matrix::<Pixels, 7, 7>());
        assert!((0..3).all(|tap| matrix::<Taps, 4, 7>()[tap][6] == 0.0));
        assert!(six.iter().zip(seven).all(|(six, seven)| six[..] == seven[..6]));
        assert_eq!(seven[6], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    }

    fn transposed<const F: usize, const T: usize>(map: [[f32; T]; F], adjoint: [[f32; F]; T]) {
        for (i, j) in (0..F * T).map(|at| (at / T, at % T)) {
            assert!((map[i][j] - adjoint[j][i]).abs() <= 1e-6 * map[i][j].abs(), "{i} {j}");
        }
    }

    #[test]
    fn adjoints_are_transposed() {
        transposed(matrix::<Pixels, 6, 6>(), matrix::<PixelsAdjoint, 6, 6>());
        transposed(matrix::<Pixels, 7, 7>(), matrix::<PixelsAdjoint, 7, 7>());
        transposed(matrix::<Outputs, 7, 4>(), matrix::<OutputsAdjoint, 4, 7>());
        transposed(matrix::<Taps, 4, 7>(), matrix::<TapsAdjoint, 7, 4>());
    }
}
