//! The factorised readout of Klindt et al. (2017): a spatial mask ("where") times feature weights
//! ("what") for every neuron, `out[b, n] = Σ_k w[k, n] Σ_p m[p, n] · x[b, p, k]`.
//!
//! Features `x` are `[batch, pixel, channel]`, masks `m` `[pixel, neuron]`, feature weights `w`
//! `[channel, neuron]` and responses `[batch, neuron]`. No pass stores the masked features of every image
//! and channel: they are weighted and summed as they leave the registers.
//!
//! Dense passes vectorise over neurons (or over channels, for the gradient to the features). Under an L1
//! penalty masks become mostly exact zeros; [`SparseMasks`] lists what is left, and the `…_sparse` passes
//! cost in proportion to it.

use std::ops::Range;

use rayon::prelude::*;

use crate::lanes::{Lanes, dispatch};
use crate::matrix::transpose;
use crate::memory::uninitialised;
use crate::sums::in_order;
use crate::tile::{Left, Panels, accumulate, by_rows, lanes, registers, store_row};

mod sparse;
#[cfg(test)]
mod tests;

pub use sparse::SparseMasks;

/// Fraction of non-zero mask entries below which the sparse passes need less time (from 8 channels on).
pub const SPARSE_BELOW: f32 = 0.45;

/// Pixels, or neurons, of a product kept in cache at a time.
const DEPTH: usize = 256;

/// Panels of neurons per task of the forward pass.
const PANELS: usize = 8;

/// Sizes of the readout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factorised {
    /// Images.
    pub batch: usize,
    /// Pixels of a feature map.
    pub pixels: usize,
    /// Feature maps.
    pub channels: usize,
    /// Neurons.
    pub neurons: usize,
}

/// A buffer that tasks write disjoint parts of.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

// SAFETY: every task writes elements that no other task touches, and the buffer outlives the tasks.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Factorised {
    /// Responses, `[batch, neuron]`.
    ///
    /// # Panics
    /// When a slice does not have the length of its shape.
    pub fn forward(&self, x: &[f32], mask: &[f32], weights: &[f32]) -> Vec<f32> {
        self.check(x, weights);
        self.check_mask(mask);
        let mut out = vec![0.0; self.batch * self.neurons];
        if self.is_empty() {
            return out;
        }
        let (mask, weights) = (columns(mask, self.neurons), columns(weights, self.neurons));
        let images = (96 / self.channels).clamp(2, 96);
        let job = Forward { shape: *self, x, mask, weights, out: Shared(out.as_mut_ptr()) };
        let groups = job.mask.len().div_ceil(PANELS);
        (0..self.batch.div_ceil(images) * groups).into_par_iter().for_each_init(Vec::new, |tile, task| {
            let images = block(task / groups, images, self.batch);
            let panels = block(task % groups, PANELS, job.mask.len());
            let job = &job;
            dispatch!(forward_task(job: &Forward<'_>, images: Range<usize>, panels: Range<usize>, tile: &mut Vec<f32>));
        });
        out
    }

    /// Gradients to features, masks and feature weights, those that are `wanted` and each shaped as what it is a
    /// gradient to, from the gradient `grad` `[batch, neuron]` to the responses.
    ///
    /// # Panics
    /// When a slice does not have the length of its shape.
    pub fn backward(
        &self,
        x: &[f32],
        mask: &[f32],
        weights: &[f32],
        grad: &[f32],
        wanted: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        self.check(x, weights);
        self.check_mask(mask);
        self.check_gradient(grad);
        if self.is_empty() {
            return self.no_gradients(wanted);
        }
        let features = wanted[0].then(|| self.to_features(mask, weights, grad));
        // Both come from the same products, which are the work.
        let parameters = (wanted[1] || wanted[2]).then(|| self.to_parameters(x, mask, weights, grad));
        let (mask, weights) = parameters.unzip();
        [features, mask.filter(|_| wanted[1]), weights.filter(|_| wanted[2])]
    }

    fn to_features(self, mask: &[f32], weights: &[f32], grad: &[f32]) -> Vec<f32> {
        // SAFETY: the tasks write every pixel of every image before they add to it, as there are neurons.
        let mut features = unsafe { uninitialised(self.batch * self.pixels * self.channels) };
        let images = (3 * lanes() / self.channels).max(1);
        let pixels = self.pixels.div_ceil(self.pixels.div_ceil(DEPTH)).next_multiple_of(8);
        let (groups, chunks) = (self.batch.div_ceil(images), self.pixels.div_ceil(pixels));
        let weights = &transpose(weights, self.channels, self.neurons);
        let job = Features { shape: self, mask, weights, grad, out: Shared(features.as_mut_ptr()) };
        (0..groups * chunks).into_par_iter().for_each_init(Vec::new, |panels, task| {
            let images = block(task / chunks, images, self.batch);
            let pixels = block(task % chunks, pixels, self.pixels);
            let job = &job;
            dispatch!(features_task(job: &Features<'_>, images: Range<usize>, pixels: Range<usize>, panels: &mut Vec<f32>));
        });
        features
    }

    /// Gradients to masks and to feature weights, both from `Σ_b x[b, p, k] · grad[b, n]`.
    fn to_parameters(self, x: &[f32], mask: &[f32], weights: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let mut to_mask = vec![0.0; mask.len()];
        let (weights, grad) = (&columns(weights, self.neurons), &columns(grad, self.neurons));
        let job = Parameters { shape: self, x, mask, weights, grad, out: Shared(to_mask.as_mut_ptr()) };
        let chunk = self.pixel_chunk();
        let partial: Vec<Vec<f32>> = (0..self.pixels.div_ceil(chunk))
            .into_par_iter()
            .map_init(Vec::new, |tile, task| {
                let mut sums = vec![0.0; weights.values.len()];
                let (job, pixels) = (&job, block(task, chunk, self.pixels));
                let to_weights = &mut sums[..];
                dispatch!(parameters_task(job: &Parameters<'_>, pixels: Range<usize>, tile: &mut Vec<f32>, to_weights: &mut [f32]));
                sums
            })
            .collect();
        let (sums, width) = (in_order(partial, 0), weights.width);
        let mut to_weights = vec![0.0; self.channels * self.neurons];
        for (k, row) in to_weights.chunks_exact_mut(self.neurons).enumerate() {
            for (panel, row) in row.chunks_mut(width).enumerate() {
                row.copy_from_slice(&sums[(panel * self.channels + k) * width..][..row.len()]);
            }
        }
        (to_mask, to_weights)
    }

    /// Pixels per task where each task holds a sum of its own of the gradient to the feature weights.
    fn pixel_chunk(&self) -> usize {
        self.pixels.div_ceil(32)
    }

    /// Whether nothing is read.
    fn is_empty(&self) -> bool {
        self.batch.min(self.pixels).min(self.channels).min(self.neurons) == 0
    }

    /// Gradients of a readout that reads nothing.
    fn no_gradients(&self, wanted: [bool; 3]) -> [Option<Vec<f32>>; 3] {
        let Self { batch, pixels, channels, neurons } = *self;
        let lengths = [batch * pixels * channels, pixels * neurons, channels * neurons];
        std::array::from_fn(|i| wanted[i].then(|| vec![0.0; lengths[i]]))
    }

    fn check(&self, x: &[f32], weights: &[f32]) {
        assert_eq!(x.len(), self.batch * self.pixels * self.channels, "features are [batch, pixel, channel]");
        assert_eq!(weights.len(), self.channels * self.neurons, "weights are [channel, neuron]");
    }

    fn check_mask(&self, mask: &[f32]) {
        assert_eq!(mask.len(), self.pixels * self.neurons, "mask is [pixel, neuron]");
    }

    fn check_gradient(&self, grad: &[f32]) {
        assert_eq!(grad.len(), self.batch * self.neurons, "the gradient is [batch, neuron]");
    }
}

/// The `index`-th block of `size` out of `total`.
fn block(index: usize, size: usize, total: usize) -> Range<usize> {
    (index * size).min(total)..((index + 1) * size).min(total)
}

/// Panels of the columns of a row-major matrix.
fn columns(matrix: &[f32], columns: usize) -> Panels {
    let registers = registers(columns, lanes());
    let (width, depth) = (registers * lanes(), matrix.len() / columns);
    let mut values = vec![0.0; columns.div_ceil(width) * depth * width];
    values.par_chunks_exact_mut(depth * width).enumerate().for_each(|(panel, block)| {
        let count = width.min(columns - panel * width);
        for (row, from) in block.chunks_exact_mut(width).zip(matrix.chunks_exact(columns)) {
            row[..count].copy_from_slice(&from[panel * width..][..count]);
        }
    });
    Panels { values, depth, columns, registers, width }
}

/// The first `count` floats of a row of registers, the others zero.
///
/// # Safety
/// The instruction set of `L` is available and `from` holds `count` floats.
#[inline(always)]
unsafe fn load_row<L: Lanes, const R: usize>(from: *const f32, count: usize) -> [L; R] {
    std::array::from_fn(|r| {
        let left = count.saturating_sub(r * L::N).min(L::N);
        // SAFETY: only the first `count` floats are touched.
        unsafe {
            match left {
                0 => L::zero(),
                _ if left == L::N => L::load(from.add(r * L::N)),
                _ => L::load_part(from.add(r * L::N), left),
            }
        }
    })
}

struct Forward<'a> {
    shape: Factorised,
    x: &'a [f32],
    mask: Panels,
    weights: Panels,
    out: Shared,
}

/// Responses of a few images by the neurons of a few panels.
///
/// # Safety
/// The instruction set of `L` is available, no size is zero and lengths are as [`Factorised::check`] demands.
#[inline(always)]
unsafe fn forward_task<L: Lanes>(
    job: &Forward<'_>,
    images: Range<usize>,
    panels: Range<usize>,
    tile: &mut Vec<f32>,
) {
    let Factorised { pixels, channels, .. } = job.shape;
    let size = pixels * channels;
    // Few channels do not fill the rows of a register block: those of several images do, side by side.
    let together = channels % 8 != 0 && channels < 48;
    if together {
        beside(&job.x[images.start * size..images.end * size], images.len(), channels, tile);
    }
    let step = if together { images.len() * channels } else { channels };
    for panel in panels {
        for start in (0..pixels).step_by(DEPTH) {
            let depth = DEPTH.min(pixels - start);
            for first in images.clone().step_by(step / channels) {
                let from = if together { &tile[..] } else { &job.x[first * size..] };
                let a = Left { from: from[start * step..].as_ptr(), row: 1, step };
                // SAFETY: rows and depth stay within the features of these images.
                unsafe {
                    by_rows!(
                        step,
                        job.mask.registers,
                        forward_block::<L>(job, first, panel, a, start, depth)
                    );
                }
            }
        }
    }
}

/// Images `[image, pixel, channel]` side by side, `[pixel, image, channel]`.
fn beside(x: &[f32], images: usize, channels: usize, tile: &mut Vec<f32>) {
    tile.resize(x.len(), 0.0);
    let size = x.len() / images;
    for (image, x) in x.chunks_exact(size).enumerate() {
        for (to, from) in tile.chunks_exact_mut(images * channels).zip(x.chunks_exact(channels)) {
            to[image * channels..][..channels].copy_from_slice(from);
        }
    }
}

/// Adds to the responses what `P` (image, channel) pairs contribute from `depth` pixels.
///
/// # Safety
/// As [`forward_task`].
#[inline(always)]
unsafe fn forward_block<L: Lanes, const P: usize, const R: usize>(
    job: &Forward<'_>,
    first: usize,
    panel: usize,
    a: Left,
    start: usize,
    depth: usize,
    row: usize,
) {
    let Factorised { channels, neurons, .. } = job.shape;
    let (width, count) = (job.mask.width, job.mask.count(panel));
    let weights = job.weights.panel(panel).as_ptr();
    // SAFETY: the caller vouches for `a`; every other address is within its panel or its `count` neurons.
    unsafe {
        let mut sums = [[L::zero(); R]; P];
        accumulate(&mut sums, a.at(row), job.mask.panel(panel)[start * width..].as_ptr(), width, depth);
        let to = |image: usize| job.out.0.add((first + image) * neurons + panel * width);
        let (mut image, mut total) = (row / channels, [L::zero(); R]);
        for (p, sums) in sums.iter().enumerate() {
            let (next, k) = ((row + p) / channels, (row + p) % channels);
            if next != image {
                store_row(&total, to(image), count, true);
                (image, total) = (next, [L::zero(); R]);
            }
            for r in 0..R {
                total[r] = total[r].add_product(L::load(weights.add(k * width + r * L::N)), sums[r]);
            }
        }
        store_row(&total, to(image), count, true);
    }
}

struct Features<'a> {
    shape: Factorised,
    mask: &'a [f32],
    /// `[neuron, channel]`.
    weights: &'a [f32],
    grad: &'a [f32],
    out: Shared,
}

/// Gradient to the features of a few images at a few pixels: the masks times `grad · weights`, whose columns
/// are the channels of the images.
///
/// # Safety
/// As [`forward_task`].
#[inline(always)]
unsafe fn features_task<L: Lanes>(
    job: &Features<'_>,
    images: Range<usize>,
    pixels: Range<usize>,
    panels: &mut Vec<f32>,
) {
    let Factorised { channels, neurons, .. } = job.shape;
    let registers = registers(images.len() * channels, L::N);
    let width = registers * L::N;
    for start in (0..neurons).step_by(DEPTH) {
        let some = start..neurons.min(start + DEPTH);
        for column in (0..images.len() * channels).step_by(width) {
            weighted(job, images.clone(), some.clone(), column, width, panels);
            let from = job.mask[pixels.start * neurons + start..].as_ptr();
            let a = Left { from, row: neurons, step: 1 };
            let to = Columns { first: images.start, images: images.len(), pixel: pixels.start, column };
            // SAFETY: rows and depth stay within the masks.
            unsafe {
                by_rows!(pixels.len(), registers, features_block::<L>(job, to, a, panels, start > 0));
            }
        }
    }
}

/// `grad[b, n] · weights[n, k]` as a panel `[neuron, width]` of (image, channel) pairs from `column` on; one
/// image has several panels or several images one.
#[inline(always)]
fn weighted(
    job: &Features<'_>,
    images: Range<usize>,
    some: Range<usize>,
    column: usize,
    width: usize,
    panel: &mut Vec<f32>,
) {
    let Factorised { channels, neurons, .. } = job.shape;
    let count = width.min(channels - column);
    panel.resize(some.len() * width, 0.0);
    for (n, row) in some.zip(panel.chunks_exact_mut(width)) {
        let weights = &job.weights[n * channels + column..][..count];
        for (image, row) in images.clone().zip(row.chunks_mut(channels)) {
            let scale = job.grad[image * neurons + n];
            row.iter_mut().zip(weights).for_each(|(to, weight)| *to = scale * weight);
        }
    }
}

/// Where the columns of a panel lie in the gradient to the features.
#[derive(Clone, Copy)]
struct Columns {
    first: usize,
    images: usize,
    pixel: usize,
    column: usize,
}

/// # Safety
/// As [`forward_task`].
#[inline(always)]
unsafe fn features_block<L: Lanes, const P: usize, const R: usize>(
    job: &Features<'_>,
    to: Columns,
    a: Left,
    panel: &[f32],
    add: bool,
    row: usize,
) {
    let Factorised { pixels, channels, .. } = job.shape;
    let width = R * L::N;
    let count = width.min(channels - to.column);
    // SAFETY: the caller vouches for `a`; stores touch the `count` channels of a pixel of this task.
    unsafe {
        let mut sums = [[L::zero(); R]; P];
        accumulate(&mut sums, a.at(row), panel.as_ptr(), width, panel.len() / width);
        for (p, sums) in sums.iter().enumerate() {
            let at = |image: usize| {
                job.out.0.add(((to.first + image) * pixels + to.pixel + row + p) * channels + to.column)
            };
            if to.images == 1 {
                store_row(sums, at(0), count, add);
                continue;
            }
            let mut values = [0.0f32; 64];
            store_row(sums, values.as_mut_ptr(), width, false);
            for (image, values) in values.chunks_exact(channels).take(to.images).enumerate() {
                for (k, value) in values.iter().enumerate() {
                    let to = at(image).add(k);
                    *to = if add { *to + value } else { *value };
                }
            }
        }
    }
}

struct Parameters<'a> {
    shape: Factorised,
    x: &'a [f32],
    mask: &'a [f32],
    weights: &'a Panels,
    grad: &'a Panels,
    /// Gradient to the masks.
    out: Shared,
}

/// Gradients to masks and feature weights from a few pixels; `to_weights` is laid out as the panels are.
///
/// # Safety
/// As [`forward_task`].
#[inline(always)]
unsafe fn parameters_task<L: Lanes>(
    job: &Parameters<'_>,
    pixels: Range<usize>,
    tile: &mut Vec<f32>,
    to_weights: &mut [f32],
) {
    let Factorised { channels, .. } = job.shape;
    let together = (384 / channels).clamp(1, pixels.len());
    for start in pixels.clone().step_by(together) {
        let rows = together.min(pixels.end - start) * channels;
        let step = gather(job, start * channels, rows, tile);
        let a = Left { from: tile.as_ptr(), row: 1, step };
        for panel in 0..job.grad.len() {
            let sums = to_weights[panel * channels * job.grad.width..].as_mut_ptr();
            // SAFETY: rows stay within the tile, and `sums` holds the panel's row of every channel.
            unsafe {
                by_rows!(rows, job.grad.registers, parameters_block::<L>(job, start, panel, a, sums));
            }
        }
    }
}

/// A few pixels of every image, `[image, pixel · channel]`, an odd number of cache lines apart so that the
/// images do not fall on the same sets of the cache. Returns the step from image to image.
#[inline(always)]
fn gather(job: &Parameters<'_>, from: usize, count: usize, tile: &mut Vec<f32>) -> usize {
    let step = count.next_multiple_of(16) | 16;
    tile.resize(job.shape.batch * step, 0.0);
    let size = job.shape.pixels * job.shape.channels;
    for (to, x) in tile.chunks_exact_mut(step).zip(job.x.chunks_exact(size)) {
        to[..count].copy_from_slice(&x[from..][..count]);
    }
    step
}

/// # Safety
/// As [`forward_task`].
#[inline(always)]
unsafe fn parameters_block<L: Lanes, const P: usize, const R: usize>(
    job: &Parameters<'_>,
    start: usize,
    panel: usize,
    a: Left,
    to_weights: *mut f32,
    row: usize,
) {
    let Factorised { channels, neurons, .. } = job.shape;
    let (width, count) = (R * L::N, job.grad.count(panel));
    let weights = job.weights.panel(panel).as_ptr();
    // SAFETY: the caller vouches for `a` and `to_weights`; the rest stays within panels or `count` neurons.
    unsafe {
        let mut sums = [[L::zero(); R]; P];
        accumulate(&mut sums, a.at(row), job.grad.panel(panel).as_ptr(), width, job.grad.depth);
        let at = |pixel: usize| (start + pixel) * neurons + panel * width;
        let mut pixel = row / channels;
        let mut mask: [L; R] = load_row(job.mask.as_ptr().add(at(pixel)), count);
        let mut to_mask = [L::zero(); R];
        for (p, sums) in sums.iter().enumerate() {
            let (next, k) = ((row + p) / channels, (row + p) % channels);
            if next != pixel {
                store_row(&to_mask, job.out.0.add(at(pixel)), count, true);
                (pixel, to_mask) = (next, [L::zero(); R]);
                mask = load_row(job.mask.as_ptr().add(at(pixel)), count);
            }
            for r in 0..R {
                let at = k * width + r * L::N;
                to_mask[r] = to_mask[r].add_product(L::load(weights.add(at)), sums[r]);
                L::load(to_weights.add(at)).add_product(mask[r], sums[r]).store(to_weights.add(at));
            }
        }
        store_row(&to_mask, job.out.0.add(at(pixel)), count, true);
    }
}
