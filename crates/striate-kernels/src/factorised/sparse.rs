//! The readout of masks that are mostly zero: at each pixel, dense products over the neurons that see it.

use std::ops::Range;

use rayon::prelude::*;

use super::{Factorised, Shared, block, columns};
use crate::lanes::{Lanes, dispatch, prefetch};
use crate::matrix::transpose;
use crate::memory::zeros;
use crate::sums::{in_order, pieces};
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
    pub fn forward_sparse(&self, x: &[f32], masks: &SparseMasks, weights: &[f32]) -> Vec<f32> {
        self.check(x, weights);
        self.check_sparse(masks);
        let mut out = vec![0.0; self.batch * self.neurons];
        if self.is_empty() {
            return out;
        }
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
            in_order(partial.collect(), 0)
        };
        let sums: Vec<Vec<f32>> = (0..groups).into_par_iter().map(sums).collect();
        out.par_chunks_exact_mut(self.neurons).enumerate().for_each(|(image, out)| {
            let sums = &sums[image / width][image % width..];
            out.iter_mut().zip(sums.iter().step_by(width)).for_each(|(out, sum)| *out = *sum);
        });
        out
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
        wanted: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        self.check(x, weights);
        self.check_sparse(masks);
        self.check_gradient(grad);
        if self.is_empty() {
            return self.no_gradients(wanted);
        }
        let weights = &columns(&transpose(weights, self.channels, self.neurons), self.channels);
        let grad = &transpose(grad, self.batch, self.neurons);
        let mut features = wanted[0].then(|| zeros(x.len()));
        let to_features = features.as_mut().map(|features| Shared(features.as_mut_ptr()));
        // Both come from the same products.
        let parameters = wanted[1] || wanted[2];
        let job = Backward { shape: *self, x, masks: &masks.entries, weights, grad, to_features, parameters };
        let (mask, sums) = job.run();
        let to_weights = wanted[2].then(|| {
            let mut to_weights = vec![0.0; self.channels * self.neurons];
            for (k, to) in to_weights.chunks_exact_mut(self.neurons).enumerate() {
                let from = &sums[k / weights.width * weights.width * self.neurons + k % weights.width..];
                to.iter_mut().zip(from.iter().step_by(weights.width)).for_each(|(to, from)| *to = *from);
            }
            to_weights
        });
        [features, mask.filter(|_| wanted[1]), to_weights]
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
    /// Whether gradients to masks and feature weights are wanted.
    parameters: bool,
}

impl Backward<'_> {
    /// Gradients to the masks, and to the feature weights laid out as the panels are, where asked for.
    fn run(&self) -> (Option<Vec<f32>>, Vec<f32>) {
        let Factorised { pixels, neurons, .. } = self.shape;
        let mut mask = self.parameters.then(|| zeros(pixels * neurons));
        let chunk = self.shape.pixel_chunk();
        let pieces = pieces(mask.as_deref_mut(), chunk * neurons, pixels.div_ceil(chunk));
        let length = if self.parameters { self.weights.values.len() } else { 0 };
        let partial: Vec<Vec<f32>> = pieces
            .into_par_iter()
            .enumerate()
            .map_init(Scratch::default, |scratch, (task, to_mask)| {
                let mut sums = vec![0.0; length];
                let (job, pixels, to_weights) = (self, block(task, chunk, pixels), &mut sums[..]);
                dispatch!(backward_task(job: &Backward<'_>, pixels: Range<usize>, scratch: &mut Scratch, to_mask: &mut [f32], to_weights: &mut [f32]));
                sums
            })
            .collect();
        (mask, in_order(partial, 0))
    }
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

/// The gradients asked for at a few pixels: at each, dense products over the neurons that see it.
///
/// # Safety
/// As [`forward_task`], with neurons for pixels; `to_mask` and `to_weights` are whole if `job.parameters`.
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
    let mut to_mask = to_mask.chunks_exact_mut(neurons);
    for pixel in pixels {
        let (seen, masks) = job.masks.row(pixel);
        scratch.grad.resize(seen.len() * step, 0.0);
        for (to, n) in scratch.grad.chunks_exact_mut(step).zip(seen) {
            to[..batch].copy_from_slice(&job.grad[*n as usize * batch..][..batch]);
        }
        if let Some(to_mask) = to_mask.next() {
            let to = Seen { seen, masks, to_mask: to_mask.as_mut_ptr(), to_weights: to_weights.as_mut_ptr() };
            // SAFETY: the neurons exist in `to_mask` and, as it is not empty, in `to_weights`.
            unsafe { parameters_at::<L>(job, pixel, scratch, to) };
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

/// Gradients to masks and feature weights at one pixel, from the gradients gathered in `scratch`.
///
/// # Safety
/// As [`forward_task`], and the neurons that see the pixel exist behind both pointers.
#[inline(always)]
unsafe fn parameters_at<L: Lanes>(job: &Backward<'_>, pixel: usize, scratch: &mut Scratch, to: Seen<'_>) {
    let batch = job.shape.batch;
    pack_pixel(job, pixel, &mut scratch.x);
    let a = Left { from: scratch.grad.as_ptr(), row: batch.next_multiple_of(16) | 16, step: 1 };
    for panel in 0..job.weights.len() {
        let (x, rows) = (&scratch.x[panel * batch * job.weights.width..], to.seen.len());
        // SAFETY: rows and depth stay within the gathered gradients, neurons exist.
        unsafe {
            by_rows!(rows, job.weights.registers, parameters_block::<L>(job, panel, a, x, to));
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
    panel: usize,
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
            let weights = job.weights.panel(panel)[n * width..].as_ptr();
            let to_weights = to.to_weights.add((panel * job.shape.neurons + n) * width);
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
