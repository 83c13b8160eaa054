//! The register block under every dense kernel: broadcasts of one matrix times vectors of another.
//!
//! `C[m, n] += A[m, depth] · B[depth, n]`, with `P` rows and `R` registers of columns kept in registers
//! over the whole depth. `A` is read one float at a time through two strides, so it may be transposed,
//! shifted or strided in place; `B` is read a register at a time and is best packed by [`Panels`].

use std::ops::Range;

use crate::lanes::Lanes;

/// A matrix read through two strides: element `(m, i)` lies at `from + m · row + i · step`.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    pub from: *const f32,
    pub row: usize,
    pub step: usize,
}

impl Left {
    /// The same matrix from another row on.
    #[inline(always)]
    pub unsafe fn at(self, row: usize) -> Self {
        // SAFETY: the caller stays within the matrix.
        Self { from: unsafe { self.from.add(row * self.row) }, ..self }
    }
}

/// `sums[p][r] += Σ_i a(p, i) · b[i · b_step + r · N ..]` for `i < depth`.
///
/// # Safety
/// The instruction set of `L` is available, `a` holds `P × depth` floats, and `b` `R · N` floats at each of
/// its `depth` steps.
#[inline(always)]
pub(crate) unsafe fn accumulate<L: Lanes, const P: usize, const R: usize>(
    sums: &mut [[L; R]; P],
    a: Left,
    b: *const f32,
    b_step: usize,
    depth: usize,
) {
    // SAFETY: the caller vouches for every address.
    unsafe {
        let (mut left, mut right) = (a.from, b);
        // A copy that nothing else points at stays in registers, whatever the caller does with `sums`.
        let mut local = *sums;
        for _ in 0..depth {
            let columns: [L; R] = std::array::from_fn(|r| L::load(right.add(r * L::N)));
            for (p, sums) in local.iter_mut().enumerate() {
                let scale = L::splat(*left.add(p * a.row));
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = sum.add_product(scale, column);
                }
            }
            left = left.add(a.step);
            right = right.add(b_step);
        }
        *sums = local;
    }
}

/// Calls `$body::<L, P, R>($arguments, row)` over `$rows` rows in blocks that fill the register file,
/// then in smaller ones, `R` registers wide (1 to 4).
macro_rules! by_rows {
    ($rows:expr, $registers:expr, $body:ident::<$lanes:ident>($($argument:expr),* $(,)?)) => {{
        let rows: usize = $rows;
        let mut row = 0usize;
        macro_rules! blocks {
            ($registers_:literal: $p:literal $q:literal $s:literal) => {{
                // The widest block must fit the register file; AVX2 holds half of AVX-512's.
                if $lanes::SUMS >= 24 {
                    while rows - row >= $p {
                        $body::<$lanes, $p, $registers_>($($argument,)* row);
                        row += $p;
                    }
                }
                while rows - row >= $q {
                    $body::<$lanes, $q, $registers_>($($argument,)* row);
                    row += $q;
                }
                if rows - row >= $s {
                    $body::<$lanes, $s, $registers_>($($argument,)* row);
                    row += $s;
                }
                while row < rows {
                    $body::<$lanes, 1, $registers_>($($argument,)* row);
                    row += 1;
                }
            }};
        }
        match $registers {
            1 => blocks!(1: 16 8 4),
            2 => blocks!(2: 12 6 3),
            3 => blocks!(3: 8 4 2),
            _ => blocks!(4: 6 3 2),
        }
    }};
}
pub(crate) use by_rows;

/// A matrix `[depth, columns]` packed as panels of whole registers, `[panel][depth][R · N]`; the columns of
/// the last panel that do not exist are zero.
#[derive(Debug, Clone)]
pub(crate) struct Panels {
    pub values: Vec<f32>,
    pub depth: usize,
    pub columns: usize,
    /// Registers of a panel.
    pub registers: usize,
    /// Floats of a panel's row.
    pub width: usize,
}

impl Panels {
    /// Packs `b(i, n)` for lanes of `lanes` floats.
    pub fn new(depth: usize, columns: usize, lanes: usize, b: impl Fn(usize, usize) -> f32) -> Self {
        let registers = registers(columns, lanes);
        let width = registers * lanes;
        let mut values = vec![0.0; columns.div_ceil(width) * depth * width];
        for (panel, block) in values.chunks_exact_mut((depth * width).max(1)).enumerate() {
            let count = width.min(columns - panel * width);
            for (i, row) in block.chunks_exact_mut(width).enumerate() {
                row[..count].iter_mut().enumerate().for_each(|(n, value)| *value = b(i, panel * width + n));
            }
        }
        Self { values, depth, columns, registers, width }
    }

    /// First row of a panel.
    pub fn panel(&self, index: usize) -> &[f32] {
        &self.values[index * self.depth * self.width..]
    }

    /// Columns of a panel that exist.
    pub fn count(&self, index: usize) -> usize {
        self.width.min(self.columns - index * self.width)
    }

    /// Number of panels.
    pub fn len(&self) -> usize {
        self.columns.div_ceil(self.width)
    }
}

/// Registers per panel that waste the fewest columns, the widest among equals.
pub(crate) fn registers(columns: usize, lanes: usize) -> usize {
    // Four registers of eight floats with three rows of sums would not fit AVX2's sixteen.
    let most = if lanes > 8 { 4 } else { 3 };
    (1..=most).min_by_key(|r| (columns.div_ceil(r * lanes) * r, 4 - r)).unwrap_or(1)
}

/// [`registers`] of a `width` that is whole registers, which some number of them always divides.
#[inline(always)]
pub(crate) fn whole_registers<L: Lanes>(width: usize) -> usize {
    let count = width / L::N;
    match (L::N > 8, count % 4, count % 3, count % 2) {
        (true, 0, _, _) => 4,
        (_, _, 0, _) => 3,
        (_, _, _, 0) => 2,
        _ => 1,
    }
}

/// Floats of a register at the current level.
pub(crate) fn lanes() -> usize {
    match crate::lanes::level() {
        crate::lanes::Level::Avx512 => 16,
        _ => 8,
    }
}

/// `c[m, n] = A · B`, or `+=` with `add`, on one thread; `c` has rows `c_row` floats apart.
///
/// # Safety
/// The instruction set of `L` is available, `b` was packed for its lanes, `a` holds `rows × b.depth` floats
/// and `c` `rows` rows of `b.columns` floats.
#[inline(always)]
pub(crate) unsafe fn multiply<L: Lanes>(
    a: Left,
    rows: usize,
    b: &Panels,
    c: *mut f32,
    c_row: usize,
    add: bool,
) {
    // SAFETY: as the caller vouches.
    unsafe { multiply_part::<L>(a, rows, b, 0..b.depth, c, c_row, add) };
}

/// [`multiply`] with a part of the rows of `b` only.
///
/// # Safety
/// As [`multiply`], but `a` holds `rows × part.len()` floats; `part` is within the depth of `b`.
#[inline(always)]
pub(crate) unsafe fn multiply_part<L: Lanes>(
    a: Left,
    rows: usize,
    b: &Panels,
    part: Range<usize>,
    c: *mut f32,
    c_row: usize,
    add: bool,
) {
    for panel in 0..b.len() {
        let (from, count) = (b.panel(panel)[part.start * b.width..].as_ptr(), b.count(panel));
        // SAFETY: the caller vouches for `a` and `c`; blocks stay below `rows` and `count`.
        unsafe {
            let to = c.add(panel * b.width);
            by_rows!(rows, b.registers, multiply_block::<L>(a, from, part.len(), count, to, c_row, add));
        }
    }
}

/// # Safety
/// As [`multiply`].
#[inline(always)]
unsafe fn multiply_block<L: Lanes, const P: usize, const R: usize>(
    a: Left,
    b: *const f32,
    depth: usize,
    count: usize,
    c: *mut f32,
    c_row: usize,
    add: bool,
    row: usize,
) {
    // SAFETY: the caller vouches for every address.
    unsafe {
        let mut sums = [[L::zero(); R]; P];
        accumulate(&mut sums, a.at(row), b, R * L::N, depth);
        for (p, sums) in sums.iter().enumerate() {
            store_row(sums, c.add((row + p) * c_row), count, add);
        }
    }
}

/// Stores, or adds, the first `count` floats of a row of registers.
///
/// # Safety
/// The instruction set of `L` is available and `to` holds `count` floats.
#[inline(always)]
pub(crate) unsafe fn store_row<L: Lanes, const R: usize>(
    sums: &[L; R],
    to: *mut f32,
    count: usize,
    add: bool,
) {
    for (r, sum) in sums.iter().enumerate() {
        let left = count.saturating_sub(r * L::N).min(L::N);
        // SAFETY: only the first `count` floats are touched.
        unsafe {
            let to = to.add(r * L::N);
            if left == L::N {
                let sum = if add { L::load(to).add(*sum) } else { *sum };
                sum.store(to);
            } else if left > 0 {
                let sum = if add { L::load_part(to, left).add(*sum) } else { *sum };
                sum.store_part(to, left);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lanes::dispatch;

    fn product(a: &[f32], transposed: bool, rows: usize, b: &Panels, c: &mut [f32], add: bool) {
        let (row, step) = if transposed { (1, rows) } else { (b.depth, 1) };
        let left = Left { from: a.as_ptr(), row, step };
        let (c, c_row) = (c.as_mut_ptr(), b.columns);
        dispatch!(multiply(left: Left, rows: usize, b: &Panels, c: *mut f32, c_row: usize, add: bool));
    }

    fn noise(n: usize, seed: u32) -> Vec<f32> {
        (0..n as u32)
            .map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0)
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn multiply_is_the_definition(
            rows in 1usize..40, depth in 0usize..20, columns in 1usize..150,
            transposed in any::<bool>(), add in any::<bool>(), seed in any::<u32>(),
        ) {
            let (a, b, before) = (noise(rows * depth, seed), noise(depth * columns, !seed), noise(rows * columns, seed ^ 5));
            let panels = Panels::new(depth, columns, lanes(), |i, n| b[i * columns + n]);
            let mut c = before.clone();
            product(&a, transposed, rows, &panels, &mut c, add);
            for (at, ours) in c.iter().enumerate() {
                let (m, n) = (at / columns, at % columns);
                let element = |i| if transposed { a[i * rows + m] } else { a[m * depth + i] };
                let start = if add { f64::from(before[at]) } else { 0.0 };
                let exact = (0..depth).fold(start, |sum, i| sum + f64::from(element(i)) * f64::from(b[i * columns + n]));
                prop_assert!((f64::from(*ours) - exact).abs() < 1e-5, "{ours} {exact}");
            }
        }
    }

    #[test]
    fn panels_waste_little() {
        assert_eq!([48, 64, 32, 1000, 5].map(|n| registers(n, 16)), [3, 4, 2, 3, 1]);
    }
}
