//! The six points of F(4, 3) and what they do along one axis.
//!
//! Four outputs of a three-tap correlation are the product of two polynomials, evaluated at 0, ±a, ±b
//! and ∞, multiplied point by point, and interpolated back. Every matrix below and its transpose follow
//! from `a` and `b`. They act on registers, one channel per lane.

use std::mem::MaybeUninit;

use crate::lanes::{Lanes, Portable};

/// The inner pair of points.
///
/// All matrices stay exact in `f32` for these two, and rounding errors are half as large on average, and a
/// fifth at worst, as for the usual ±1 and ±2 (normal images and kernels, 48 channels).
const A: f32 = 0.625;
/// The outer pair of points.
const B: f32 = 1.5;

const A2: f32 = A * A;
const B2: f32 = B * B;
/// Denominators of the interpolation at 0, ±a and ±b.
const AT_ZERO: f32 = 1.0 / (A2 * B2);
const AT_A: f32 = 1.0 / (2.0 * A2 * (A2 - B2));
const AT_B: f32 = 1.0 / (2.0 * B2 * (B2 - A2));

/// A linear map along one axis of a tile.
pub(crate) trait Axis<const FROM: usize, const TO: usize> {
    /// # Safety
    /// The instruction set of `L` is available.
    unsafe fn apply<L: Lanes>(x: [L; FROM]) -> [L; TO];
}

/// Applies a map down the columns and then along the rows of registers, `F × G` of them to `T × U`.
///
/// What comes between stays in memory: a whole square is more than the register file.
///
/// # Safety
/// The instruction set of `L` is available.
#[inline(always)]
pub(crate) unsafe fn both<L, M, const F: usize, const G: usize, const T: usize, const U: usize>(
    from: impl Fn(usize, usize) -> L,
    mut to: impl FnMut(usize, usize, L),
) where
    L: Lanes,
    M: Axis<F, T> + Axis<G, U>,
{
    let mut half = MaybeUninit::<[[L; G]; T]>::uninit();
    let half = half.as_mut_ptr().cast::<L>();
    // SAFETY: the first loop writes every register that the second reads.
    unsafe {
        for column in 0..G {
            let mapped = <M as Axis<F, T>>::apply::<L>(std::array::from_fn(|row| from(row, column)));
            for (row, value) in mapped.into_iter().enumerate() {
                half.add(row * G + column).write(value);
            }
        }
        for row in 0..T {
            let across = std::array::from_fn(|column| half.add(row * G + column).read());
            let mapped = <M as Axis<G, U>>::apply::<L>(across);
            for (column, value) in mapped.into_iter().enumerate() {
                to(row, column, value);
            }
        }
    }
}

/// A map as a matrix, `[from][to]`.
pub(crate) fn matrix<M: Axis<F, T>, const F: usize, const T: usize>() -> [[f32; T]; F] {
    std::array::from_fn(|from| {
        let mut to = [[0.0; Portable::N]; T];
        // SAFETY: portable lanes need no instruction set; every row of `to` holds a register.
        unsafe {
            let unit = std::array::from_fn(|i| Portable::splat(if i == from { 1.0 } else { 0.0 }));
            for (to, value) in to.iter_mut().zip(M::apply::<Portable>(unit)) {
                value.store(to.as_mut_ptr());
            }
        }
        to.map(|to| to[0])
    })
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
            let (a, b) = (L::splat(A), L::splat(B));
            let (minus_a2, minus_b2) = (L::splat(-A2), L::splat(-B2));
            let (product, minus_sum) = (L::splat(A2 * B2), L::splat(-A2 - B2));
            let first = x[4].add_product(minus_sum, x[2]).add_product(product, x[0]);
            let last = x[5].add_product(minus_sum, x[3]).add_product(product, x[1]);
            let (even_a, odd_a) = (x[4].add_product(minus_b2, x[2]), x[3].add_product(minus_b2, x[1]).mul(a));
            let (even_b, odd_b) = (x[4].add_product(minus_a2, x[2]), x[3].add_product(minus_a2, x[1]).mul(b));
            [first, even_a.add(odd_a), even_a.sub(odd_a), even_b.add(odd_b), even_b.sub(odd_b), last]
        }
    }
}

impl Axis<6, 6> for PixelsAdjoint {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(v: [L; 6]) -> [L; 6] {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let (minus_a2, minus_b2) = (L::splat(-A2), L::splat(-B2));
            let (product, minus_sum) = (L::splat(A2 * B2), L::splat(-A2 - B2));
            let (even_a, odd_a) = (v[1].add(v[2]), v[1].sub(v[2]).mul(L::splat(A)));
            let (even_b, odd_b) = (v[3].add(v[4]), v[3].sub(v[4]).mul(L::splat(B)));
            [
                v[0].mul(product),
                v[5].mul(product).add_product(minus_b2, odd_a).add_product(minus_a2, odd_b),
                v[0].mul(minus_sum).add_product(minus_b2, even_a).add_product(minus_a2, even_b),
                odd_a.add(odd_b).add_product(minus_sum, v[5]),
                v[0].add(even_a).add(even_b),
                v[5],
            ]
        }
    }
}

impl Axis<6, 4> for Outputs {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(m: [L; 6]) -> [L; 4] {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let (even_a, odd_a) = (m[1].add(m[2]), m[1].sub(m[2]).mul(L::splat(A)));
            let (even_b, odd_b) = (m[3].add(m[4]), m[3].sub(m[4]).mul(L::splat(B)));
            let (a2, b2) = (L::splat(A2), L::splat(B2));
            [
                m[0].add(even_a).add(even_b),
                odd_a.add(odd_b),
                even_a.mul(a2).add_product(b2, even_b),
                m[5].add_product(a2, odd_a).add_product(b2, odd_b),
            ]
        }
    }
}

impl Axis<4, 6> for OutputsAdjoint {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(g: [L; 4]) -> [L; 6] {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let (a2, b2) = (L::splat(A2), L::splat(B2));
            let (even_a, odd_a) = (g[0].add_product(a2, g[2]), g[1].add_product(a2, g[3]).mul(L::splat(A)));
            let (even_b, odd_b) = (g[0].add_product(b2, g[2]), g[1].add_product(b2, g[3]).mul(L::splat(B)));
            [g[0], even_a.add(odd_a), even_a.sub(odd_a), even_b.add(odd_b), even_b.sub(odd_b), g[3]]
        }
    }
}

impl Axis<3, 6> for Taps {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(w: [L; 3]) -> [L; 6] {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let (at_a, at_b) = (L::splat(AT_A), L::splat(AT_B));
            let (even_a, odd_a) =
                (w[0].add_product(L::splat(A2), w[2]).mul(at_a), w[1].mul(L::splat(A * AT_A)));
            let (even_b, odd_b) =
                (w[0].add_product(L::splat(B2), w[2]).mul(at_b), w[1].mul(L::splat(B * AT_B)));
            [
                w[0].mul(L::splat(AT_ZERO)),
                even_a.add(odd_a),
                even_a.sub(odd_a),
                even_b.add(odd_b),
                even_b.sub(odd_b),
                w[2],
            ]
        }
    }
}

impl Axis<6, 3> for TapsAdjoint {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(u: [L; 6]) -> [L; 3] {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let (even_a, odd_a) =
                (u[1].add(u[2]).mul(L::splat(AT_A)), u[1].sub(u[2]).mul(L::splat(A * AT_A)));
            let (even_b, odd_b) =
                (u[3].add(u[4]).mul(L::splat(AT_B)), u[3].sub(u[4]).mul(L::splat(B * AT_B)));
            [
                u[0].mul(L::splat(AT_ZERO)).add(even_a).add(even_b),
                odd_a.add(odd_b),
                u[5].add_product(L::splat(A2), even_a).add_product(L::splat(B2), even_b),
            ]
        }
    }
}
