//! Kernels between their taps and the points.

use super::points::{Axis, both};
use super::tiles::Stack;
use crate::lanes::Lanes;

/// Where weights lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<const K: usize> {
    /// The place of the first weight, and the steps from row to row and column to column of the matrix at a point.
    pub first: usize,
    pub strides: [usize; 2],
    /// Rows and columns that exist.
    pub size: [usize; 2],
    /// From the place of a weight to each of its taps that exists.
    pub taps: [[Option<usize>; K]; K],
}

/// Weights at the points, in the rows from `first` on.
///
/// # Safety
/// The instruction set of `L` is available; the layout has no more rows and columns than `to` from `first` on.
#[inline(always)]
pub(crate) unsafe fn spread_taps<L: Lanes, M: Axis<K, P>, const K: usize, const P: usize>(
    weights: &[f32],
    layout: &Layout<K>,
    first: usize,
    to: &mut Stack,
) {
    for (row, column) in layout.blocks::<L>() {
        let mut taps = [[[0.0; 16]; K]; K];
        layout.each(row, column, L::N, |y, x, lane, place| taps[y][x][lane] = weights[place]);
        // SAFETY: rows of `to` are whole registers, and registers have at most 16 lanes.
        unsafe {
            let start = (first + row) * to.row + column;
            both::<L, M, K, K, P, P>(
                |y, x| L::load(taps[y][x].as_ptr()),
                |y, x, value| value.store(to.at_mut(P * y + x).add(start)),
            );
        }
    }
}

/// The gradient at the points, rows from `first` on, brought back to the weights.
///
/// # Safety
/// As [`spread_taps`].
#[inline(always)]
pub(crate) unsafe fn gather_taps<L: Lanes, M: Axis<P, K>, const K: usize, const P: usize>(
    total: &Stack,
    first: usize,
    layout: &Layout<K>,
    weights: &mut [f32],
) {
    for (row, column) in layout.blocks::<L>() {
        let mut taps = [[[0.0f32; 16]; K]; K];
        // SAFETY: rows of `total` are whole registers, and registers have at most 16 lanes.
        unsafe {
            let start = (first + row) * total.row + column;
            both::<L, M, P, P, K, K>(
                |y, x| L::load(total.at(P * y + x).add(start)),
                |y, x, value| value.store(taps[y][x].as_mut_ptr()),
            );
        }
        layout.each(row, column, L::N, |y, x, lane, place| weights[place] = taps[y][x][lane]);
    }
}

impl<const K: usize> Layout<K> {
    /// The same weights with rows as columns.
    pub fn transposed(self) -> Self {
        let ([row, column], [rows, columns]) = (self.strides, self.size);
        Self { strides: [column, row], size: [columns, rows], ..self }
    }

    /// Row and first column of every register of the matrix.
    #[inline(always)]
    fn blocks<L: Lanes>(&self) -> impl Iterator<Item = (usize, usize)> + use<L, K> {
        let [rows, columns] = self.size;
        (0..rows).flat_map(move |row| (0..columns).step_by(L::N).map(move |column| (row, column)))
    }

    /// Calls `visit(tap down, tap across, lane, place)` for every tap of the weights of a register.
    #[inline(always)]
    fn each(
        &self,
        row: usize,
        column: usize,
        lanes: usize,
        mut visit: impl FnMut(usize, usize, usize, usize),
    ) {
        let start = self.first + row * self.strides[0] + column * self.strides[1];
        for (i, tap) in self.taps.as_flattened().iter().enumerate() {
            let Some(tap) = tap else { continue };
            for lane in 0..lanes.min(self.size[1] - column) {
                visit(i / K, i % K, lane, start + tap + lane * self.strides[1]);
            }
        }
    }
}
