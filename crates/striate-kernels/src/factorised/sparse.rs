//! The readout of masks that are mostly zero: at each pixel, dense products over the neurons that see it.

use std::ops::Range;

use rayon::prelude::*;

use super::{Factorised, Gradients, Shared, block, columns, total};
use crate::lanes::{Lanes, dispatch, prefetch};
use crate::matrix::transpose;
use crate::memory::zeros;
use crate::tile::{Left, Panels, accumulate, by_rows, lanes, multiply, registers, store_row};

/// Chunks of pixels whose responses are summed apart.
const CHUNKS: usize = 8;

/// The non-zero entries of a matrix `[row, column]`, row by row.
#[derive(Debug, Clone, PartialEq)]
struct Entries {
    /// First entry of each row, and the number of all.
    starts: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl Entries {
    /// Column and value of the entries of a row.
    #[inline(always)]
    fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.starts[row]..self.starts[row + 1];
        (&self.columns[range.clone()], &self.values[range])
    }

    /// With room for `counts[row]` entries in each row.
    fn with(counts: impl Iterator<Item = usize>) -> Self {
        let running = |total: &mut usize, count: usize| {
            *total += count;
            Some(*total)
        };
        let starts: Vec<usize> = std::iter::once(0).chain(counts.scan(0, running)).collect();
        let total = starts[starts.len() - 1];
        Self { starts, columns: vec![0; total], values: vec![0.0; total] }
    }

    /// Of a dense matrix with rows of `columns`.
    fn of(matrix: &[f32], columns: usize) -> Self {
        let rows = || matrix.par_chunks_exact(columns);
        let counts: Vec<usize> =
            rows().map(|row| row.iter().filter(|value| **value != 0.0).count()).collect();
        let mut entries = Self::with(counts.iter().copied());
        let (mut at, mut value) = (&mut entries.columns[..], &mut entries.values[..]);
        let mut places = Vec::with_capacity(counts.len());
        for count in counts {
            places.push((
                at.split_off_mut(..count).unwrap_or_default(),
                value.split_off_mut(..count).unwrap_or_default(),
            ));
        }
        places.into_par_iter().zip(rows()).for_each(|((at, value), row)| {
            let stored = row.iter().enumerate().filter(|(_, value)| **value != 0.0);
            for ((at, to), (column, value)) in at.iter_mut().zip(value).zip(stored) {
                (*at, *to) = (column as u32, *value);
            }
        });
        entries
    }
}

/// Masks without their exact zeros.
#[derive(Debug, Clone, PartialEq)]
pub struct SparseMasks {
    /// `[pixel, neuron]`.
    entries: Entries,
    neurons: usize,
}

impl SparseMasks {
    /// Of masks `[pixel, neuron]`.
    ///
    /// # Panics
    /// When `mask` is not a number of rows of `neurons`, or these are more than 2³².
    pub fn new(mask: &[f32], neurons: usize) -> Self {
        assert!(neurons > 0 && mask.len().is_multiple_of(neurons), "mask is [pixel, neuron]");
        assert!(u32::try_from(neurons).is_ok(), "less than 2³² neurons");
        Self { entries: Entries::of(mask, neurons), neurons }
    }
}

impl Factorised {
    /// [`forward`](Self::forward) at a cost in proportion to the stored entries; features that are not
    /// numbers stay unseen where a mask is zero.
    ///
    /// # Panics
    /// When a slice, or `masks`, does not have the sizes of its shape.
    pub fn forward_sparse(&self, x: &[f32], masks: &SparseMasks, weights: &[f32], out: &mut [f32]) {
        self.check(x, weights, out);
        self.check_sparse(masks);
        let weights = &columns(&transpose(weights, self.channels, self.neurons), self.channels);
        let registers = registers(self.batch, lanes());
        let (width, chunk) = (registers * lanes(), self.pixels.div_ceil(CHUNKS));
        let job = Forward { shape: *self, x, masks: &masks.entries, weights, registers };
        let (groups, chunks) = (self.batch.div_ceil(width), self.pixels.div_ceil(chunk));
        let sums = |group: usize| {
            let partial = (0..chunks).into_par_iter().map_init(Scratch::default, |scratch, task| {
                let mut sums = vec![0.0; self.neurons * width];
                let (job, images) = (&job, block(group, width, self.batch));
                let (pixels, to) = (block(task, chunk, self.pixels), &mut sums[..]);
                dispatch!(forward_task(job: &Forward<'_>, images: Range<usize>, pixels: Range<usize>, scratch: &mut Scratch, to: &mut [f32]));
                sums
            });
            total(partial.collect())
        };
        let sums: Vec<Vec<f32>> = (0..groups).into_par_iter().map(sums).collect();
        out.par_chunks_exact_mut(self.neurons).enumerate().for_each(|(image, out)| {
            let sums = &sums[image / width][image % width..];
            out.iter_mut().zip(sums.iter().step_by(width)).for_each(|(out, sum)| *out = *sum);
        });
    }

    /// [`backward`](Self::backward) at a cost in proportion to the stored entries; the gradient to the masks
    /// is zero elsewhere.
    ///
    /// # Panics
    /// When a slice, or `masks`, does not have the sizes of its shape.
    pub fn backward_sparse(
        &self,
        x: &[f32],
        masks: &SparseMasks,
        weights: &[f32],
        grad: &[f32],
        with_features: bool,
    ) -> Gradients {
        self.check(x, weights, grad);
        self.check_sparse(masks);
        let mut mask = zeros(self.pixels * self.neurons);
        let mut features = with_features.then(|| zeros(x.len()));
        let weights = &columns(&transpose(weights, self.channels, self.neurons), self.channels);
        let grad = &transpose(grad, self.batch, self.neurons);
        let to_features = features.as_mut().map(|features| Shared(features.as_mut_ptr()));
        let job = Backward { shape: *self, x, masks: &masks.entries, weights, grad, to_features };
        let chunk = self.pixel_chunk();
        let partial: Vec<Vec<f32>> = mask
            .par_chunks_mut(chunk * self.neurons)
            .enumerate()
            .map_init(Scratch::default, |scratch, (task, to_mask)| {
                let mut sums = vec![0.0; weights.values.len()];
                let (job, pixels, to_weights) = (&job, block(task, chunk, self.pixels), &mut sums[..]);
                dispatch!(backward_task(job: &Backward<'_>, pixels: Range<usize>, scratch: &mut Scratch, to_mask: &mut [f32], to_weights: &mut [f32]));
                sums
            })
            .collect();
        let (sums, width) = (total(partial), weights.width);
        let mut to_weights = vec![0.0; self.channels * self.neurons];
        for (k, to) in to_weights.chunks_exact_mut(self.neurons).enumerate() {
            let from = &sums[k / width * width * self.neurons + k % width..];
            to.iter_mut().zip(from.iter().step_by(width)).for_each(|(to, from)| *to = *from);
        }
        Gradients { features, mask, weights: to_weights }
    }

    fn check_sparse(&self, masks: &SparseMasks) {
        let pixels = masks.entries.starts.len() - 1;
        assert_eq!((pixels, masks.neurons), (self.pixels, self.neurons), "pixels and neurons of the masks");
    }
}

struct Forward<'a> {
    shape: Factorised,
    x: &'a [f32],
    masks: &'a Entries,
    /// `[panel of channels][neuron][width]`.
    weights: &'a Panels,
    /// Registers of images.
    registers: usize,
}

/// Responses to a few images, one per lane, from a few pixels: `[neuron, image]`.
///
/// # Safety
/// The instruction set of `L` is available, lengths are as [`Factorised::check`] demands and the neurons of
/// the masks exist.
#[inline(always)]
unsafe fn forward_task<L: Lanes>(
    job: &Forward<'_>,
    images: Range<usize>,
    pixels: Range<usize>,
    scratch: &mut Scratch,
    to: &mut [f32],
) {
    let (channels, width) = (job.shape.channels, job.registers * L::N);
    scratch.x.resize(channels * width, 0.0);
    for pixel in pixels {
        let (seen, masks) = job.masks.row(pixel);
        if seen.is_empty() {
            continue;
        }
        for first in images.clone().step_by(8) {
            // Eight images at a time, so that rows of the tile are written eight floats at a time.
            let row = |i: usize| {
                &job.x[((first + i).min(images.end - 1) * job.shape.pixels + pixel) * channels..][..channels]
            };
            let rows: [&[f32]; 8] = std::array::from_fn(row);
            // The next pixel of so many images is beyond what the processor foresees.
            for row in rows {
                (0..channels).step_by(16).for_each(|k| prefetch(row.as_ptr().wrapping_add(channels + k)));
            }
            for (k, to) in scratch.x[first - images.start..].chunks_mut(width).enumerate().take(channels) {
                to[..8].copy_from_slice(&rows.map(|row| row[k]));
            }
        }
        let weights = masked_weights(job.weights, seen, masks, std::mem::take(&mut scratch.weights));
        for panel in 0..weights.len() {
            let a = Left { from: weights.panel(panel).as_ptr(), row: weights.width, step: 1 };
            let x = &scratch.x[panel * weights.width * width..][..weights.count(panel) * width];
            // SAFETY: rows and depth stay within the panel, `to` holds a row for every neuron.
            unsafe {
                let to = to.as_mut_ptr();
                by_rows!(seen.len(), job.registers, forward_block::<L>(a, x, seen, to));
            }
        }
        scratch.weights = weights.values;
    }
}

/// # Safety
/// As [`forward_task`].
#[inline(always)]
unsafe fn forward_block<L: Lanes, const P: usize, const R: usize>(
    a: Left,
    x: &[f32],
    seen: &[u32],
    to: *mut f32,
    row: usize,
) {
    let width = R * L::N;
    // SAFETY: the caller vouches for `a` and for a row of `to` for every neuron.
    unsafe {
        let mut sums = [[L::zero(); R]; P];
        accumulate(&mut sums, a.at(row), x.as_ptr(), width, x.len() / width);
        for (p, sums) in sums.iter().enumerate() {
            store_row(sums, to.add(seen[row + p] as usize * width), width, true);
        }
    }
}

struct Backward<'a> {
    shape: Factorised,
    x: &'a [f32],
    /// By pixel.
    masks: &'a Entries,
    /// `[panel of channels][neuron][width]`.
    weights: &'a Panels,
    /// `[neuron, batch]`.
    grad: &'a [f32],
    to_features: Option<Shared>,
}

/// What a task keeps from pixel to pixel.
#[derive(Default)]
struct Scratch {
    /// Features of one pixel, `[panel][batch][width]`.
    x: Vec<f32>,
    /// Gradients of the neurons that see it, `[neuron, batch]`.
    grad: Vec<f32>,
    /// Their masks times their feature weights, `[panel][neuron][width]`.
    weights: Vec<f32>,
}

/// All gradients at a few pixels: at each, dense products over the neurons that see it.
///
/// # Safety
/// As [`forward_task`], with neurons for pixels.
#[inline(always)]
unsafe fn backward_task<L: Lanes>(
    job: &Backward<'_>,
    pixels: Range<usize>,
    scratch: &mut Scratch,
    to_mask: &mut [f32],
    to_weights: &mut [f32],
) {
    let Factorised { batch, pixels: all, channels, neurons } = job.shape;
    let step = batch.next_multiple_of(16) | 16;
    for (pixel, to_mask) in pixels.zip(to_mask.chunks_exact_mut(neurons)) {
        let (seen, masks) = job.masks.row(pixel);
        scratch.grad.resize(seen.len() * step, 0.0);
        for (to, n) in scratch.grad.chunks_exact_mut(step).zip(seen) {
            to[..batch].copy_from_slice(&job.grad[*n as usize * batch..][..batch]);
        }
        pack_pixel(job, pixel, &mut scratch.x);
        for panel in 0..job.weights.len() {
            let a = Left { from: scratch.grad.as_ptr(), row: step, step: 1 };
            let to = Seen {
                panel,
                seen,
                masks,
                to_mask: to_mask.as_mut_ptr(),
                to_weights: to_weights.as_mut_ptr(),
            };
            let (x, rows) = (&scratch.x[panel * batch * job.weights.width..], seen.len());
            // SAFETY: rows and depth stay within the gathered gradients, neurons exist.
            unsafe {
                by_rows!(rows, job.weights.registers, parameters_block::<L>(job, a, x, to));
            }
        }
        if let Some(features) = job.to_features {
            let weights = masked_weights(job.weights, seen, masks, std::mem::take(&mut scratch.weights));
            let a = Left { from: scratch.grad.as_ptr(), row: 1, step };
            // SAFETY: this task alone writes this pixel of every image.
            unsafe {
                let to = features.0.add(pixel * channels);
                multiply::<L>(a, batch, &weights, to, all * channels, false);
            }
            scratch.weights = weights.values;
        }
    }
}

/// Features of one pixel, `[panel][batch][width]`.
#[inline(always)]
fn pack_pixel(job: &Backward<'_>, pixel: usize, to: &mut Vec<f32>) {
    let Factorised { batch, pixels, channels, .. } = job.shape;
    let width = job.weights.width;
    to.resize(job.weights.len() * batch * width, 0.0);
    for (panel, to) in to.chunks_exact_mut(batch * width).enumerate() {
        let count = job.weights.count(panel);
        for (row, x) in to.chunks_exact_mut(width).zip(job.x.chunks_exact(pixels * channels)) {
            row[..count].copy_from_slice(&x[pixel * channels + panel * width..][..count]);
        }
    }
}

/// `mask · weights` of the neurons that see a pixel.
#[inline(always)]
fn masked_weights(weights: &Panels, seen: &[u32], masks: &[f32], mut values: Vec<f32>) -> Panels {
    let Panels { columns, registers, width, .. } = *weights;
    values.resize(weights.len() * seen.len() * width, 0.0);
    for (panel, values) in values.chunks_exact_mut((seen.len() * width).max(1)).enumerate() {
        let from = weights.panel(panel);
        for ((row, n), mask) in values.chunks_exact_mut(width).zip(seen).zip(masks) {
            let weights = &from[*n as usize * width..][..width];
            row.iter_mut().zip(weights).for_each(|(to, weight)| *to = mask * weight);
        }
    }
    Panels { values, depth: seen.len(), columns, registers, width }
}

/// The neurons that see a pixel, and where their gradients go.
#[derive(Clone, Copy)]
struct Seen<'a> {
    panel: usize,
    seen: &'a [u32],
    masks: &'a [f32],
    to_mask: *mut f32,
    to_weights: *mut f32,
}

/// # Safety
/// As [`backward_task`].
#[inline(always)]
unsafe fn parameters_block<L: Lanes, const P: usize, const R: usize>(
    job: &Backward<'_>,
    a: Left,
    x: &[f32],
    to: Seen<'_>,
    row: usize,
) {
    let width = R * L::N;
    // SAFETY: the caller vouches for `a` and `x`; the neurons exist in the panels and in the mask's row.
    unsafe {
        let mut sums = [[L::zero(); R]; P];
        accumulate(&mut sums, a.at(row), x.as_ptr(), width, job.shape.batch);
        for (p, sums) in sums.iter().enumerate() {
            let (n, mask) = (to.seen[row + p] as usize, L::splat(to.masks[row + p]));
            let weights = job.weights.panel(to.panel)[n * width..].as_ptr();
            let to_weights = to.to_weights.add((to.panel * job.shape.neurons + n) * width);
            let mut product = L::zero();
            for (r, sum) in sums.iter().enumerate() {
                let to = to_weights.add(r * L::N);
                product = product.add_product(*sum, L::load(weights.add(r * L::N)));
                L::load(to).add_product(mask, *sum).store(to);
            }
            *to.to_mask.add(n) += product.sum();
        }
    }
}
