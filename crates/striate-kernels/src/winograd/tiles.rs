//! Blocks of tiles: matrices at the points, their products, and the ways between points and pixels.

use rayon::prelude::*;

use super::points::{Axis, both};
use crate::lanes::Lanes;
use crate::tile::{Left, accumulate, by_rows, lanes, whole_registers};

/// Addresses of `F × G` pixels, `step` apart, of an image `(height, width, channels)`, or `outside`.
#[inline(always)]
pub(crate) fn window<const F: usize, const G: usize>(
    corner: (usize, usize),
    step: usize,
    (height, width, channels): (usize, usize, usize),
    image: *const f32,
    outside: *const f32,
) -> [[*const f32; G]; F] {
    let mut pixels = [[outside; G]; F];
    for (row, pixels) in pixels.iter_mut().enumerate() {
        let y = corner.0.wrapping_add(row * step);
        let line = image.wrapping_add(y.wrapping_mul(width * channels));
        for (column, pixel) in pixels.iter_mut().enumerate() {
            let x = corner.1.wrapping_add(column * step);
            if y < height && x < width {
                *pixel = line.wrapping_add(x * channels);
            }
        }
    }
    pixels
}

/// A cache line, for the alignment.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line([f32; 16]);

/// One matrix `[row, column]` per point; rows are whole registers.
#[derive(Debug)]
pub(crate) struct Stack {
    lines: Vec<Line>,
    /// Points along one axis.
    points: usize,
    pub rows: usize,
    /// Floats of a row.
    pub width: usize,
    /// Floats between rows.
    pub row: usize,
    /// Floats between points.
    point: usize,
}

impl Stack {
    /// Zeros, point by point: an odd number of cache lines apart, so that points do not compete for the same ones.
    pub fn new(points: usize, rows: usize, columns: usize) -> Self {
        let width = columns.next_multiple_of(lanes());
        let point = 16 * ((rows * width).div_ceil(16) | 1);
        let lines = vec![Line([0.0; 16]); points * points * point / 16];
        Self { lines, points, rows, width, row: width, point }
    }

    /// Zeros, row by row: the points of a row lie together.
    pub fn by_rows(points: usize, rows: usize, columns: usize) -> Self {
        let width = columns.next_multiple_of(lanes());
        let row = 16 * ((points * points * width).div_ceil(16) | 1);
        let lines = vec![Line([0.0; 16]); rows * row / 16];
        Self { lines, points, rows, width, row, point: width }
    }

    pub fn at(&self, point: usize) -> *const f32 {
        debug_assert!(point < self.points * self.points);
        self.lines.as_ptr().cast::<f32>().wrapping_add(point * self.point)
    }

    pub fn at_mut(&mut self, point: usize) -> *mut f32 {
        debug_assert!(point < self.points * self.points);
        self.lines.as_mut_ptr().cast::<f32>().wrapping_add(point * self.point)
    }

    /// Sum in the order given.
    pub fn sum(stacks: Vec<Self>, zero: impl FnOnce() -> Self) -> Self {
        let mut stacks = stacks.into_iter();
        let mut total = stacks.next().unwrap_or_else(zero);
        let rest: Vec<Self> = stacks.collect();
        total.lines.par_chunks_mut(1024).enumerate().for_each(|(chunk, total)| {
            for part in &rest {
                for (total, part) in total.iter_mut().zip(&part.lines[chunk * 1024..]) {
                    total.0.iter_mut().zip(part.0).for_each(|(total, part)| *total += part);
                }
            }
        });
        total
    }
}

/// Brings `channels` channels of `F × G` pixels to `T × U` points of tile `tile`.
///
/// # Safety
/// The instruction set of `L` is available; each pixel holds `channels` floats, as a row of `to` does.
#[inline(always)]
pub(crate) unsafe fn to_points<L, M, const F: usize, const G: usize, const T: usize, const U: usize>(
    from: &[[*const f32; G]; F],
    channels: usize,
    to: &mut Stack,
    tile: usize,
) where
    L: Lanes,
    M: Axis<F, T> + Axis<G, U>,
{
    let (side, point) = (to.points, to.point);
    for channel in (0..channels).step_by(L::N) {
        let count = L::N.min(channels - channel);
        // SAFETY: only the first `count` floats are touched; rows of `to` are whole registers.
        unsafe {
            let to = to.at_mut(0).add(tile * to.row + channel);
            let store = |row, column, value: L| value.store(to.add((side * row + column) * point));
            if count == L::N {
                both::<L, M, F, G, T, U>(|row, column| L::load(from[row][column].add(channel)), store);
            } else {
                let load = |row: usize, column: usize| L::load_part(from[row][column].add(channel), count);
                both::<L, M, F, G, T, U>(load, store);
            }
        }
    }
}

/// Brings `F × G` points of tile `tile` back to `T × U` pixels, or adds them to these with `add`.
///
/// # Safety
/// The instruction set of `L` is available; each pixel holds `channels` writable floats, as a row of `from` does.
#[inline(always)]
pub(crate) unsafe fn from_points<L, M, const F: usize, const G: usize, const T: usize, const U: usize>(
    from: &Stack,
    tile: usize,
    to: &[[*const f32; U]; T],
    channels: usize,
    add: bool,
) where
    L: Lanes,
    M: Axis<F, T> + Axis<G, U>,
{
    for channel in (0..channels).step_by(L::N) {
        let count = L::N.min(channels - channel);
        // SAFETY: only the first `count` floats are touched; rows of `from` are whole registers.
        unsafe {
            let start = from.at(0).add(tile * from.row + channel);
            let load = |row, column| L::load(start.add((from.points * row + column) * from.point));
            if count == L::N {
                both::<L, M, F, G, T, U>(load, |row, column, pixel| {
                    let to = to[row][column].cast_mut().add(channel);
                    let pixel = if add { L::load(to).add(pixel) } else { pixel };
                    pixel.store(to);
                });
            } else {
                both::<L, M, F, G, T, U>(load, |row, column, pixel| {
                    let to = to[row][column].cast_mut().add(channel);
                    let pixel = if add { L::load_part(to, count).add(pixel) } else { pixel };
                    pixel.store_part(to, count);
                });
            }
        }
    }
}

/// Where a product goes: rows `row` floats apart, added to what is there with `add`.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub to: *mut f32,
    pub row: usize,
    pub add: bool,
}

/// `C[rows, width] = A[rows, depth] · B[depth, width]`, or `+=`; `width` is whole registers.
///
/// # Safety
/// The instruction set of `L` is available and the matrices have these sizes.
#[inline(always)]
pub(crate) unsafe fn product<L: Lanes>(
    a: Left,
    rows: usize,
    b: *const f32,
    depth: usize,
    width: usize,
    c: Target,
) {
    let registers = whole_registers::<L>(width);
    for column in (0..width).step_by(registers * L::N) {
        // SAFETY: the caller vouches for the sizes.
        unsafe {
            let (b, c) = (b.add(column), Target { to: c.to.add(column), ..c });
            by_rows!(rows, registers, product_block::<L>(a, b, depth, width, c));
        }
    }
}

/// # Safety
/// As [`product`].
#[inline(always)]
unsafe fn product_block<L: Lanes, const P: usize, const R: usize>(
    a: Left,
    b: *const f32,
    depth: usize,
    width: usize,
    c: Target,
    row: usize,
) {
    // SAFETY: the caller vouches for every address.
    unsafe {
        let mut sums = [[L::zero(); R]; P];
        accumulate(&mut sums, a.at(row), b, width, depth);
        for (p, sums) in sums.iter().enumerate() {
            for (r, sum) in sums.iter().enumerate() {
                let to = c.to.add((row + p) * c.row + r * L::N);
                let sum = if c.add { L::load(to).add(*sum) } else { *sum };
                sum.store(to);
            }
        }
    }
}
