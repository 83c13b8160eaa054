//! Dense products of row-major matrices, either factor possibly transposed.
//!
//! The right factor is packed in blocks of depth and columns that stay in the second-level cache; tasks
//! own rows of the result. The left factor's block is copied too: rows a power of two apart would evict
//! one another from the first-level cache. Block sizes depend on shapes alone, so results do not depend
//! on the number of threads.

use rayon::prelude::*;

use crate::lanes::{Lanes, dispatch};
use crate::memory::uninitialised;
use crate::tile::{self, Left, Panels};

/// Most rows of the right factor packed at a time.
const DEPTH: usize = 384;
/// Most columns of the right factor packed at a time, a multiple of every panel's width.
const COLUMNS: usize = 1152;
/// Most rows of the result per task.
const ROWS: usize = 96;
/// Added to the distance between rows of the left copy: keeps it from being a power of two.
const SKEW: usize = 16;

/// A matrix read from a slice of rows.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// Floats between rows of a group, rows of a group, floats between groups.
    pitch: usize,
    group: usize,
    group_pitch: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// `[rows, columns]`, dense.
    ///
    /// # Panics
    /// When `values` is shorter.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::with_pitch(values, rows, columns, columns)
    }

    /// `[rows, columns]` with rows `pitch` floats apart.
    ///
    /// # Panics
    /// When rows overlap or `values` is too short.
    pub(crate) fn with_pitch(values: &'a [f32], rows: usize, columns: usize, pitch: usize) -> Self {
        Self::grouped(values, 1, rows, columns, pitch, 0)
    }

    /// `[groups · rows, columns]`: groups `group_pitch` floats apart of rows `pitch` floats apart, as the
    /// first or last time steps of every sequence of a batch.
    ///
    /// # Panics
    /// When rows overlap or `values` is too short.
    pub(crate) fn grouped(
        values: &'a [f32],
        groups: usize,
        rows: usize,
        columns: usize,
        pitch: usize,
        group_pitch: usize,
    ) -> Self {
        assert!(rows <= 1 || pitch >= columns, "rows overlap");
        let (total, group) = (groups * rows, rows.max(1));
        let matrix = Self { values, rows: total, columns, pitch, group, group_pitch, transposed: false };
        assert!(total == 0 || values.len() >= matrix.start(total - 1) + columns, "matrix beyond its slice");
        matrix
    }

    /// The same values with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// `(rows, columns)`, after any transposition.
    pub fn shape(&self) -> (usize, usize) {
        if self.transposed { (self.columns, self.rows) } else { (self.rows, self.columns) }
    }

    fn start(&self, row: usize) -> usize {
        (row / self.group) * self.group_pitch + (row % self.group) * self.pitch
    }

    /// `count` values of a stored row.
    fn run(&self, row: usize, column: usize, count: usize) -> &'a [f32] {
        &self.values[self.start(row) + column..][..count]
    }

    /// Copies rows `rows` and columns `depths` (after transposition) in stored order.
    ///
    /// Returns the strides of a row and of a column of the copy.
    fn copy(&self, rows: &Span, depths: &Span, to: &mut Vec<f32>) -> (usize, usize) {
        let (outer, inner) = if self.transposed { (depths, rows) } else { (rows, depths) };
        let pitch = inner.count + SKEW;
        to.resize(to.len().max(outer.count * pitch), 0.0);
        for (i, line) in to.chunks_exact_mut(pitch).take(outer.count).enumerate() {
            line[..inner.count].copy_from_slice(self.run(outer.start + i, inner.start, inner.count));
        }
        if self.transposed { (1, pitch) } else { (pitch, 1) }
    }
}

/// What the product is added to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start<'a> {
    /// Nothing.
    Zero,
    /// What the result holds.
    Held,
    /// One value per column, in every row.
    Bias(&'a [f32]),
}

/// `count` indices from `start`.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    count: usize,
}

/// `length` cut into the fewest nearly equal spans of at most `most`, each but the last a multiple of `unit`.
fn spans(length: usize, most: usize, unit: usize) -> impl Iterator<Item = Span> {
    let size = length.div_ceil(length.div_ceil(most).max(1)).next_multiple_of(unit).max(1);
    (0..length).step_by(size).map(move |start| Span { start, count: size.min(length - start) })
}

/// A packed right factor, for several products with it.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    blocks: Vec<Block>,
    depth: usize,
    columns: usize,
}

/// A block of depths and columns of the right factor.
#[derive(Debug, Clone)]
struct Block {
    depths: Span,
    first: usize,
    panels: Panels,
}

impl Packed {
    pub fn new(b: Matrix<'_>) -> Self {
        let (depth, columns) = b.shape();
        Self {
            blocks: blocks(&b).map(|(depths, columns)| Block::new(&b, depths, columns, Vec::new())).collect(),
            depth,
            columns,
        }
    }

    /// `c = a · b` on this thread; `c` has rows `c_pitch` floats apart, `scratch` is reused between calls.
    pub fn multiply(
        &self,
        a: Matrix<'_>,
        c: &mut [f32],
        c_pitch: usize,
        start: Start<'_>,
        scratch: &mut Vec<f32>,
    ) {
        let rows = a.shape().0;
        assert_eq!(a.shape().1, self.depth, "inner sizes differ");
        check(rows, self.columns, c, c_pitch, start);
        if self.depth == 0 {
            return fill(rows, self.columns, c, c_pitch, start);
        }
        for rows in spans(rows, ROWS, 1) {
            let c = &mut c[rows.start * c_pitch..];
            self.blocks.iter().for_each(|block| block.multiply(&a, &rows, c, c_pitch, start, scratch));
        }
    }
}

/// Blocks of a right factor: depth moves fastest, so that a block of the result is finished before the next.
fn blocks(b: &Matrix<'_>) -> impl Iterator<Item = (Span, Span)> + use<> {
    let (depth, columns) = b.shape();
    let depths = move || spans(depth, DEPTH, 1);
    spans(columns, COLUMNS, 192).flat_map(move |columns| depths().map(move |depths| (depths, columns)))
}

impl Block {
    /// Packs into `values`, whatever it held.
    fn new(b: &Matrix<'_>, depths: Span, columns: Span, mut values: Vec<f32>) -> Self {
        let lanes = tile::lanes();
        let registers = tile::registers(columns.count, lanes);
        let width = registers * lanes;
        values.resize(columns.count.div_ceil(width) * depths.count * width, 0.0);
        values.par_chunks_mut(depths.count * width).enumerate().for_each(|(panel, to)| {
            let start = panel * width;
            let columns = Span { start: columns.start + start, count: width.min(columns.count - start) };
            pack(b, &depths, &columns, to, width);
        });
        let panels = Panels { values, depth: depths.count, columns: columns.count, registers, width };
        Self { depths, first: columns.start, panels }
    }

    /// Adds this block's part to rows `rows`, of which `c` holds the first first.
    fn multiply(
        &self,
        a: &Matrix<'_>,
        rows: &Span,
        c: &mut [f32],
        c_pitch: usize,
        start: Start<'_>,
        scratch: &mut Vec<f32>,
    ) {
        let (first, columns) = (self.first, self.panels.columns);
        let mut add = self.depths.start > 0;
        match start {
            Start::Zero => {}
            Start::Held => add = true,
            Start::Bias(bias) => {
                if !add {
                    let bias = &bias[first..first + columns];
                    (0..rows.count).for_each(|m| c[m * c_pitch + first..][..columns].copy_from_slice(bias));
                }
                add = true;
            }
        }
        let (row, step) = a.copy(rows, &self.depths, scratch);
        let left = Left { from: scratch.as_ptr(), row, step };
        let (count, panels) = (rows.count, &self.panels);
        assert!(c.len() >= (count - 1) * c_pitch + first + columns);
        let to = c[first..].as_mut_ptr();
        // `left` reads the copy made above, which holds `count × depth` floats; `c` was checked here.
        dispatch!(block(left: Left, count: usize, panels: &Panels, to: *mut f32, c_pitch: usize, add: bool));
    }
}

/// # Safety
/// As [`tile::multiply`].
#[inline(always)]
unsafe fn block<L: Lanes>(a: Left, rows: usize, b: &Panels, c: *mut f32, c_pitch: usize, add: bool) {
    // SAFETY: the caller vouches for the same.
    unsafe { tile::multiply::<L>(a, rows, b, c, c_pitch, add) }
}

/// Copies columns `columns` at depths `depths` of `b` into rows of `width` floats.
fn pack(b: &Matrix<'_>, depths: &Span, columns: &Span, to: &mut [f32], width: usize) {
    if columns.count < width {
        to.fill(0.0);
    }
    if !b.transposed {
        for (i, row) in to.chunks_exact_mut(width).enumerate() {
            row[..columns.count].copy_from_slice(b.run(depths.start + i, columns.start, columns.count));
        }
        return;
    }
    // Eight stored rows at a time, whose lines stay in the first-level cache.
    for first in (0..columns.count).step_by(8) {
        let count = 8.min(columns.count - first);
        let runs: [&[f32]; 8] = std::array::from_fn(|n| {
            b.run(columns.start + first + n.min(count - 1), depths.start, depths.count)
        });
        let whole = if count == 8 { depths.count / 8 * 8 } else { 0 };
        for at in (0..whole).step_by(8) {
            let block: [[f32; 8]; 8] = std::array::from_fn(|n| *runs[n][at..].first_chunk().unwrap());
            for (i, row) in to[at * width..].chunks_mut(width).take(8).enumerate() {
                *row[first..].first_chunk_mut().unwrap() = block.map(|run| run[i]);
            }
        }
        for (i, row) in to.chunks_exact_mut(width).enumerate().skip(whole) {
            row[first..first + count].iter_mut().zip(runs).for_each(|(value, run)| *value = run[i]);
        }
    }
}

fn check(rows: usize, columns: usize, c: &[f32], c_pitch: usize, start: Start<'_>) {
    assert!(rows <= 1 || c_pitch >= columns, "rows of the result overlap");
    assert!(rows == 0 || c.len() >= (rows - 1) * c_pitch + columns, "result beyond its slice");
    if let Start::Bias(bias) = start {
        assert_eq!(bias.len(), columns, "one bias per column");
    }
}

/// What a product over no depth leaves.
fn fill(rows: usize, columns: usize, c: &mut [f32], c_pitch: usize, start: Start<'_>) {
    for m in 0..rows {
        let row = &mut c[m * c_pitch..][..columns];
        match start {
            Start::Zero => row.fill(0.0),
            Start::Held => {}
            Start::Bias(bias) => row.copy_from_slice(bias),
        }
    }
}

/// `[rows, columns]` as `[columns, rows]`.
pub(crate) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut to = vec![0.0; values.len()];
    if values.is_empty() {
        return to;
    }
    // Sixteen columns at a time: whole cache lines are read.
    to.par_chunks_mut(16 * rows).enumerate().for_each(|(block, to)| {
        for (row, from) in values.chunks_exact(columns).enumerate() {
            let from = &from[16 * block..columns.min(16 * block + 16)];
            from.iter().enumerate().for_each(|(column, value)| to[column * rows + row] = *value);
        }
    });
    to
}

/// `a · b`, plus one value per column of `bias`: `[a.rows, b.columns]`.
///
/// # Panics
/// When the inner sizes differ, or the bias is not one per column.
pub fn product(a: Matrix<'_>, b: Matrix<'_>, bias: Option<&[f32]>) -> Vec<f32> {
    let (rows, columns) = (a.shape().0, b.shape().1);
    // SAFETY: dense rows from a start that is not held are written whole before they are added to.
    let mut c = unsafe { uninitialised(rows * columns) };
    multiply(a, b, &mut c, columns, bias.map_or(Start::Zero, Start::Bias));
    c
}

/// `c = a · b`, plus what `start` says; `c` is `[a.rows, b.columns]` with rows `c_pitch` floats apart.
///
/// # Panics
/// When the inner sizes differ, `c` is too short, its rows overlap, or the bias is not one per column.
pub(crate) fn multiply(a: Matrix<'_>, b: Matrix<'_>, c: &mut [f32], c_pitch: usize, start: Start<'_>) {
    let ((rows, depth), (b_rows, columns)) = (a.shape(), b.shape());
    assert_eq!(depth, b_rows, "inner sizes differ");
    check(rows, columns, c, c_pitch, start);
    if rows == 0 || columns == 0 || depth == 0 {
        return fill(rows, columns, c, c_pitch, start);
    }
    // A single row may have any pitch.
    let c_pitch = c_pitch.max(columns);
    let c = &mut c[..(rows - 1) * c_pitch + columns];
    // An even number of tasks of equal size.
    let rows_per_task = rows.div_ceil(2 * rows.div_ceil(2 * ROWS));
    let mut values = Vec::new();
    for (depths, columns) in blocks(&b) {
        let block = Block::new(&b, depths, columns, values);
        c.par_chunks_mut(rows_per_task * c_pitch).enumerate().for_each_init(
            Vec::new,
            |scratch, (task, c)| {
                let start_row = task * rows_per_task;
                let rows = Span { start: start_row, count: rows_per_task.min(rows - start_row) };
                block.multiply(&a, &rows, c, c_pitch, start, scratch);
            },
        );
        values = block.panels.values;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(n: usize, seed: u32) -> Vec<f32> {
        (0..n as u32)
            .map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0)
            .collect()
    }

    fn element(a: &Matrix<'_>, row: usize, column: usize) -> f64 {
        let (row, column) = if a.transposed { (column, row) } else { (row, column) };
        f64::from(a.values[(row / a.group) * a.group_pitch + (row % a.group) * a.pitch + column])
    }

    /// The safe twin: the definition in `f64`.
    fn definition(a: &Matrix<'_>, b: &Matrix<'_>, m: usize, n: usize, start: f64) -> f64 {
        (0..a.shape().1).fold(start, |sum, i| sum + element(a, m, i) * element(b, i, n))
    }

    fn sizes() -> impl Strategy<Value = (usize, usize, usize)> {
        prop_oneof![
            (0usize..70, 0usize..40, 0usize..150),
            (1usize..6, 380usize..800, 1usize..20),
            (90usize..210, 1usize..5, 1usize..20),
            (1usize..5, 1usize..5, 1140usize..1400),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn products_are_the_definition(
            (rows, depth, columns) in sizes(), ta in any::<bool>(), tb in any::<bool>(),
            gap in 0usize..5, start in 0usize..3, seed in any::<u32>(),
        ) {
            let view = |values, rows: usize, columns: usize, t: bool| {
                let (r, c) = if t { (columns, rows) } else { (rows, columns) };
                let view = Matrix::with_pitch(values, r, c, c + gap);
                if t { view.transposed() } else { view }
            };
            let size = |rows: usize, columns: usize, gap: usize| rows * columns + rows.max(columns) * gap;
            let (a, b) = (noise(size(rows, depth, gap), seed), noise(size(depth, columns, gap), !seed));
            let (a, b) = (view(&a, rows, depth, ta), view(&b, depth, columns, tb));
            let (before, bias) = (noise(size(rows, columns, gap), seed ^ 5), noise(columns, seed ^ 9));
            let (mut c, pitch) = (before.clone(), columns + gap);
            multiply(a, b, &mut c, pitch, [Start::Zero, Start::Held, Start::Bias(&bias)][start]);
            let mut packed = before.clone();
            Packed::new(b).multiply(a, &mut packed, pitch, [Start::Zero, Start::Held, Start::Bias(&bias)][start], &mut vec![]);
            // Rounding grows with the sum of absolute products, each at most 1.
            let most = 1e-6 * depth.max(100) as f64;
            for (at, ours) in c.iter().enumerate() {
                let (m, n) = (at / pitch, at % pitch);
                let exact = if m < rows && n < columns {
                    let first = [0.0, before[at], bias[n]][start];
                    definition(&a, &b, m, n, f64::from(first))
                } else {
                    f64::from(before[at])
                };
                prop_assert!((f64::from(*ours) - exact).abs() < most, "{ours} {exact} at {m} {n}");
                prop_assert!((f64::from(packed[at]) - exact).abs() < most, "packed {} {exact}", packed[at]);
            }
        }

        #[test]
        fn transposing_exchanges_rows_and_columns(rows in 0usize..40, columns in 0usize..40, seed in any::<u32>()) {
            let a = noise(rows * columns, seed);
            let turned = transpose(&a, rows, columns);
            prop_assert!((0..a.len()).all(|at| turned[at % columns * rows + at / columns] == a[at]));
        }

        /// Time steps but the last of every sequence.
        #[test]
        fn groups_skip_rows(batch in 1usize..5, time in 1usize..6, columns in 1usize..20, seed in any::<u32>()) {
            let (x, g) = (noise(batch * time * columns, seed), noise(batch * time * 3, !seed));
            let steps = time - 1;
            let x = Matrix::grouped(&x, batch, steps, columns, columns, time * columns);
            let g = Matrix::grouped(&g, batch, steps, 3, 3, time * 3).transposed();
            let mut c = vec![f32::NAN; 3 * columns];
            multiply(g, x, &mut c, columns, Start::Zero);
            for (at, ours) in c.iter().enumerate() {
                let exact = definition(&g, &x, at / columns, at % columns, 0.0);
                prop_assert!((f64::from(*ours) - exact).abs() < 1e-4, "{ours} {exact}");
            }
        }
    }

    #[test]
    fn the_same_bits_on_one_thread_and_on_many() {
        let (rows, depth, columns) = (200, 500, 1300);
        let (a, b) = (noise(rows * depth, 1), noise(depth * columns, 2));
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (a, b) = (Matrix::new(&a, rows, depth), Matrix::new(&b, depth, columns));
            pool.install(|| product(a, b, None))
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    #[should_panic(expected = "beyond its slice")]
    fn short_slices_are_refused() {
        Matrix::new(&[0.0; 5], 2, 3);
    }
}
