//! Products and sums in double precision, for least squares.

use gemm::Parallelism;
use rayon::prelude::*;

/// Rows of a product that are the work of one thread. Fixed, so that bits do not depend on the number of threads.
const STRIP: usize = 96;

/// Values `[row, column]` with a stride along each axis: any slice in C order, or its transpose.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f64],
    shape: [usize; 2],
    strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// `values` `[row, column]` in C order.
    ///
    /// # Panics
    /// When their number is not that of the shape.
    pub fn new(values: &'a [f64], shape: [usize; 2]) -> Self {
        assert_eq!(values.len(), shape[0] * shape[1]);
        Self { values, shape, strides: [shape[1], 1] }
    }

    /// Rows become columns.
    #[must_use]
    pub fn transposed(self) -> Self {
        let ([rows, columns], [down, right]) = (self.shape, self.strides);
        Self { shape: [columns, rows], strides: [right, down], ..self }
    }
}

/// Adds `left · right` to `out` `[row, column]` in C order.
///
/// # Panics
/// When the shapes do not fit.
pub fn add_product(out: &mut [f64], left: Matrix<'_>, right: Matrix<'_>) {
    let ([rows, inner], [inner_too, columns]) = (left.shape, right.shape);
    assert_eq!((inner, out.len()), (inner_too, rows * columns));
    if inner == 0 || out.is_empty() {
        return;
    }
    out.par_chunks_mut(STRIP * columns).enumerate().for_each(|(strip, out)| {
        let left_values = &left.values[strip * STRIP * left.strides[0]..];
        let [left_down, left_right] = left.strides.map(|stride| stride as isize);
        let [down, right_] = right.strides.map(|stride| stride as isize);
        // SAFETY: `out` holds `out.len() / columns` whole rows. The rows of `left` from `strip · STRIP` on and all of
        // `right` lie in their slices: shape and strides were made together with them, and neither is empty.
        unsafe {
            gemm::gemm(
                out.len() / columns,
                columns,
                inner,
                out.as_mut_ptr(),
                1,
                columns as isize,
                true,
                left_values.as_ptr(),
                left_right,
                left_down,
                right.values.as_ptr(),
                right_,
                down,
                1.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    });
}

/// Adds `factor · values` to `sums`.
pub fn add(sums: &mut [f64], values: &[f64], factor: f64) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
}

/// `Σ a b`.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(out: &mut [f64], left: Matrix<'_>, right: Matrix<'_>) {
        let at =
            |m: Matrix<'_>, row: usize, column: usize| m.values[row * m.strides[0] + column * m.strides[1]];
        for row in 0..left.shape[0] {
            for column in 0..right.shape[1] {
                for inner in 0..left.shape[1] {
                    out[row * right.shape[1] + column] += at(left, row, inner) * at(right, inner, column);
                }
            }
        }
    }

    fn numbers(count: usize, seed: u64) -> Vec<f64> {
        let mut state = seed | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1u64 << 24) as f64 - 0.5
        };
        (0..count).map(|_| next()).collect()
    }

    proptest! {
        #[test]
        fn products_agree_with_the_definition(
            rows in 0..230usize, inner in 0..20usize, columns in 0..30usize, seed: u64, flip: [bool; 2]
        ) {
            let (a, b) = (numbers(rows * inner, seed), numbers(inner * columns, seed ^ 7));
            let of = |values, [rows, columns]: [usize; 2], flip| match flip {
                true => Matrix::new(values, [columns, rows]).transposed(),
                false => Matrix::new(values, [rows, columns]),
            };
            let (left, right) = (of(&a, [rows, inner], flip[0]), of(&b, [inner, columns], flip[1]));
            let mut ours = numbers(rows * columns, seed ^ 9);
            let mut theirs = ours.clone();
            add_product(&mut ours, left, right);
            plain(&mut theirs, left, right);
            prop_assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-12), "{:?}", ours);
        }
    }
}
