//! Convolution with 3 × 3 kernels, stride 1, channel-last, with a quarter of the multiplications.
//!
//! Winograd's minimal filtering F(4 × 4, 3 × 3), as laid out by Lavin & Gray 2016 ("Fast algorithms for
//! convolutional neural networks", section 4): a tile of 4 × 4 outputs needs 6 × 6 products per pair of
//! channels instead of 144. Tiles of the image and kernels are each brought to 36 points; at every point the
//! convolution is a product of matrices, `M[tile, out] = V[tile, in] · U[in, out]`; `M` is brought back to
//! pixels. All steps are linear, so the gradients are the transposed steps in reverse order.
//!
//! Rounding errors stay below 1e-5 of the largest sum of absolute products, in all passes and shapes (tested);
//! with tens of channels below 1e-6.
//!
//! Working set: a block of `TILES` tiles, so that `V` and `M` stay in the second-level cache.

pub mod points;

use rayon::prelude::*;

use crate::epilogue::Epilogue;
use crate::lanes::{Lanes, dispatch};
use crate::tile::{Left, accumulate, by_rows, lanes, whole_registers};
use points::{Axis, Outputs, OutputsAdjoint, Pixels, PixelsAdjoint, Taps, TapsAdjoint, both};

/// Points of a tile.
const POINTS: usize = 36;
/// Tiles per block.
pub(crate) const TILES: usize = 32;
/// Partial sums of the weight gradient: fixed, so that sums do not depend on threads.
const SUMS: usize = 16;

/// Shape of a convolution with 3 × 3 kernels and stride 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Winograd {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Image height in pixels.
    pub height: usize,
    /// Image width in pixels.
    pub width: usize,
    /// Zeros added on every side: 0 (valid) or 1 (same).
    pub pad: usize,
}

impl Winograd {
    /// Height of the output.
    pub fn out_height(&self) -> usize {
        self.height + 2 * self.pad - 2
    }

    /// Width of the output.
    pub fn out_width(&self) -> usize {
        self.width + 2 * self.pad - 2
    }

    /// `out[b, y, x, o] = Σ weights[o, i, ky, kx] · images[b, y + ky − pad, x + kx − pad, i]`, then the epilogue.
    ///
    /// `images` is `[batch, height, width, in]`, `weights` `[out, in, 3, 3]`, `out`
    /// `[batch, out_height, out_width, out]`. A value that is not finite spoils the whole tiles it is seen by.
    ///
    /// # Panics
    /// When a length does not fit, the padding is above 1, or the image is smaller than the kernel.
    pub fn forward(&self, images: &[f32], weights: &[f32], epilogue: Epilogue<'_>, out: &mut [f32]) {
        self.check(images, weights, out);
        assert!(epilogue.bias.is_none_or(|bias| bias.len() == self.outputs));
        let kernel = self.kernel(weights);
        let rows = (TILES / self.tiles_across()).max(1);
        let (image, band) = (self.image(), 4 * rows * self.out_width() * self.outputs);
        let mut bands: Vec<_> = (out.chunks_mut(self.out_image()).zip(images.chunks(image)))
            .flat_map(|(out, image)| {
                out.chunks_mut(band).enumerate().map(move |(i, out)| (image, i * rows, out))
            })
            .collect();
        bands.par_iter_mut().for_each_init(
            || Scratch::new(self),
            |scratch, (image, top, out)| {
                let (shape, kernel, top) = (self, &kernel, *top);
                dispatch!(forward_band(
                    shape: &Winograd, kernel: &Stack, image: &[f32], top: usize, scratch: &mut Scratch, out: &mut [f32]
                ));
                epilogue.apply(self.outputs, out);
            },
        );
    }

    /// Gradient to the weights of [`Winograd::forward`] without epilogue, from the gradient to its output; that to
    /// the images is written if there is a place for it.
    ///
    /// # Panics
    /// As [`Winograd::forward`].
    pub fn backward(
        &self,
        images: &[f32],
        weights: &[f32],
        grad_out: &[f32],
        grad_images: Option<&mut [f32]>,
    ) -> Vec<f32> {
        self.check(images, weights, grad_out);
        assert!(grad_images.as_ref().is_none_or(|grad| grad.len() == images.len()));
        let kernel = grad_images.is_some().then(|| self.transposed_kernel(weights));
        let count = (images.len() / self.image()).div_ceil(SUMS).max(1);
        let (chunk, out_chunk) = (count * self.image(), count * self.out_image());
        let mut grads: Vec<Option<&mut [f32]>> = match grad_images {
            Some(grad) => grad.chunks_mut(chunk).map(Some).collect(),
            None => images.chunks(chunk).map(|_| None).collect(),
        };
        let sums: Vec<Stack> = (images.par_chunks(chunk).zip(grad_out.par_chunks(out_chunk)))
            .zip(&mut grads)
            .map(|((images, grad_out), grad)| self.backward_chunk(images, kernel.as_ref(), grad_out, grad))
            .collect();
        self.taps(&Stack::sum(sums, || Stack::new(self.inputs, self.outputs)))
    }

    /// Gradient to the weights from that to the kernels at the points.
    pub fn taps(&self, total: &Stack) -> Vec<f32> {
        let (shape, mut weights) = (self, vec![0.0; 9 * self.inputs * self.outputs]);
        let to = &mut weights[..];
        dispatch!(weight_gradient(shape: &Winograd, total: &Stack, to: &mut [f32]));
        weights
    }

    /// Gradient at the points of the kernel, summed over a few images.
    fn backward_chunk(
        &self,
        images: &[f32],
        kernel: Option<&Stack>,
        grad_out: &[f32],
        grad_images: &mut Option<&mut [f32]>,
    ) -> Stack {
        let mut total = Stack::new(self.inputs, self.outputs);
        let mut scratch = Scratch::new(self);
        for (i, (image, grad)) in
            images.chunks(self.image()).zip(grad_out.chunks(self.out_image())).enumerate()
        {
            let onto = grad_images.as_mut().map(|all| &mut all[i * self.image()..][..self.image()]);
            let to = kernel.zip(onto);
            let (shape, total, scratch) = (self, &mut total, &mut scratch);
            dispatch!(backward_image(
                shape: &Winograd, image: &[f32], grad: &[f32], scratch: &mut Scratch,
                to: Option<(&Stack, &mut [f32])>, total: &mut Stack
            ));
        }
        total
    }

    fn check(&self, images: &[f32], weights: &[f32], out: &[f32]) {
        assert!(self.pad <= 1, "padding {} of a 3 × 3 kernel", self.pad);
        assert!(self.inputs > 0 && self.outputs > 0, "no channels");
        assert!(
            self.height + 2 * self.pad > 2 && self.width + 2 * self.pad > 2,
            "image smaller than the kernel"
        );
        assert_eq!(images.len() % self.image(), 0);
        assert_eq!(out.len(), images.len() / self.image() * self.out_image());
        assert_eq!(weights.len(), self.outputs * self.inputs * 9);
    }

    fn image(&self) -> usize {
        self.height * self.width * self.inputs
    }

    fn out_image(&self) -> usize {
        self.out_height() * self.out_width() * self.outputs
    }

    fn tiles_across(&self) -> usize {
        self.out_width().div_ceil(4)
    }

    fn tiles(&self) -> usize {
        self.tiles_across() * self.out_height().div_ceil(4)
    }

    /// Kernels at the points, `[point, in, out]`.
    pub fn kernel(&self, weights: &[f32]) -> Stack {
        let mut stack = Stack::new(self.inputs, self.outputs);
        let (to, strides) = (&mut stack, [9, self.inputs * 9]);
        dispatch!(spread_taps(weights: &[f32], strides: [usize; 2], to: &mut Stack));
        stack
    }

    /// Kernels at the points, `[point, out, in]`.
    fn transposed_kernel(&self, weights: &[f32]) -> Stack {
        let mut stack = Stack::new(self.outputs, self.inputs);
        let (to, strides) = (&mut stack, [self.inputs * 9, 9]);
        dispatch!(spread_taps(weights: &[f32], strides: [usize; 2], to: &mut Stack));
        stack
    }

    /// Pixels read by a tile, those outside the image being `outside`.
    #[inline(always)]
    fn window(&self, tile: usize, image: *const f32, outside: *const f32) -> [[*const f32; 6]; 6] {
        let (y, x) = (tile / self.tiles_across() * 4, tile % self.tiles_across() * 4);
        let corner = (y.wrapping_sub(self.pad), x.wrapping_sub(self.pad));
        window(corner, (self.height, self.width, self.inputs), image, outside)
    }

    /// Outputs of a tile among the first `rows` rows, the others being `outside`.
    #[inline(always)]
    fn target(&self, tile: usize, rows: usize, out: *const f32, outside: *const f32) -> [[*const f32; 4]; 4] {
        let corner = (tile / self.tiles_across() * 4, tile % self.tiles_across() * 4);
        window(corner, (rows, self.out_width(), self.outputs), out, outside)
    }
}

/// Addresses of `K × K` pixels of an image `(height, width, channels)`, or `outside`.
#[inline(always)]
pub(crate) fn window<const K: usize>(
    corner: (usize, usize),
    (height, width, channels): (usize, usize, usize),
    image: *const f32,
    outside: *const f32,
) -> [[*const f32; K]; K] {
    let mut pixels = [[outside; K]; K];
    for (row, pixels) in pixels.iter_mut().enumerate() {
        let y = corner.0.wrapping_add(row);
        let line = image.wrapping_add(y.wrapping_mul(width * channels));
        for (column, pixel) in pixels.iter_mut().enumerate() {
            let x = corner.1.wrapping_add(column);
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
    pub rows: usize,
    columns: usize,
    /// Floats between rows.
    pub row: usize,
    /// Floats between points: an odd number of cache lines, so that points do not compete for the same ones.
    point: usize,
}

impl Stack {
    pub fn new(rows: usize, columns: usize) -> Self {
        let row = columns.next_multiple_of(lanes());
        let lines = (rows * row).div_ceil(16) | 1;
        Self { lines: vec![Line([0.0; 16]); POINTS * lines], rows, columns, row, point: 16 * lines }
    }

    pub fn at(&self, point: usize) -> *const f32 {
        debug_assert!(point < POINTS);
        self.lines.as_ptr().cast::<f32>().wrapping_add(point * self.point)
    }

    pub fn at_mut(&mut self, point: usize) -> *mut f32 {
        debug_assert!(point < POINTS);
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

/// Buffers of a task.
struct Scratch {
    /// A block of tiles at the points, `[point, tile, in]`.
    pixels: Stack,
    /// Their outputs at the points, `[point, tile, out]`.
    outputs: Stack,
    /// What lies outside an image when read.
    zeros: Vec<f32>,
    /// What lies outside an image when written.
    sink: Vec<f32>,
}

impl Scratch {
    fn new(shape: &Winograd) -> Self {
        let widest = shape.inputs.max(shape.outputs);
        Self {
            pixels: Stack::new(TILES, shape.inputs),
            outputs: Stack::new(TILES, shape.outputs),
            zeros: vec![0.0; widest],
            sink: vec![0.0; widest],
        }
    }
}

/// Outputs of the tile rows from `top` on, as many as `out` holds.
///
/// # Safety
/// The instruction set of `L` is available; the lengths are those of `shape`.
#[inline(always)]
unsafe fn forward_band<L: Lanes>(
    shape: &Winograd,
    kernel: &Stack,
    image: &[f32],
    top: usize,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let rows = out.len() / (shape.out_width() * shape.outputs);
    let tiles = rows.div_ceil(4) * shape.tiles_across();
    let before = top * shape.tiles_across();
    for start in (0..tiles).step_by(TILES) {
        let count = TILES.min(tiles - start);
        // SAFETY: blocks hold at most TILES tiles; windows clip what lies outside the image and the band.
        unsafe {
            for i in 0..count {
                let from = shape.window(before + start + i, image.as_ptr(), scratch.zeros.as_ptr());
                to_points::<L, Pixels, 6>(&from, &mut scratch.pixels, i);
            }
            for point in 0..POINTS {
                let left = Left { from: scratch.pixels.at(point), row: scratch.pixels.row, step: 1 };
                let to = scratch.outputs.at_mut(point);
                product::<L>(left, count, kernel.at(point), shape.inputs, to, kernel.row, false);
            }
            let (out, sink) = (out.as_mut_ptr(), scratch.sink.as_mut_ptr());
            for i in 0..count {
                let to = shape.target(start + i, rows, out, sink);
                from_points::<L, Outputs, 4>(&scratch.outputs, i, &to, false);
            }
        }
    }
}

/// Adds the gradient to the kernel at the points to `total`, and writes the gradient to the image.
///
/// # Safety
/// The instruction set of `L` is available; the lengths are those of `shape`.
#[inline(always)]
unsafe fn backward_image<L: Lanes>(
    shape: &Winograd,
    image: &[f32],
    grad: &[f32],
    scratch: &mut Scratch,
    mut to: Option<(&Stack, &mut [f32])>,
    total: &mut Stack,
) {
    if let Some((_, onto)) = &mut to {
        onto.fill(0.0);
    }
    for start in (0..shape.tiles()).step_by(TILES) {
        let count = TILES.min(shape.tiles() - start);
        // SAFETY: blocks hold at most TILES tiles; windows clip what lies outside the images.
        unsafe {
            for i in 0..count {
                let from = shape.window(start + i, image.as_ptr(), scratch.zeros.as_ptr());
                to_points::<L, Pixels, 6>(&from, &mut scratch.pixels, i);
                let from = shape.target(start + i, shape.out_height(), grad.as_ptr(), scratch.zeros.as_ptr());
                to_points::<L, OutputsAdjoint, 4>(&from, &mut scratch.outputs, i);
            }
            backward_points::<L>(scratch, count, to.as_ref().map(|to| to.0), total);
            if let Some((_, onto)) = &mut to {
                let (onto, sink) = (onto.as_mut_ptr(), scratch.sink.as_mut_ptr());
                for i in 0..count {
                    let to = shape.window(start + i, onto, sink);
                    from_points::<L, PixelsAdjoint, 6>(&scratch.pixels, i, &to, true);
                }
            }
        }
    }
}

/// Adds `Vᵀ · G` to `total` and, given the kernel, puts the gradient `G · Uᵀ` in the place of `V`.
///
/// # Safety
/// The instruction set of `L` is available; `scratch` holds `count` tiles.
#[inline(always)]
unsafe fn backward_points<L: Lanes>(
    scratch: &mut Scratch,
    count: usize,
    kernel: Option<&Stack>,
    total: &mut Stack,
) {
    let (pixels, grads) = (&mut scratch.pixels, &scratch.outputs);
    for point in 0..POINTS {
        // SAFETY: `total` is `[in, out]` and the kernel `[out, in]` at every point.
        unsafe {
            let left = Left { from: pixels.at(point), row: 1, step: pixels.row };
            product::<L>(left, total.rows, grads.at(point), count, total.at_mut(point), grads.row, true);
            if let Some(kernel) = kernel {
                let left = Left { from: grads.at(point), row: grads.row, step: 1 };
                let to = pixels.at_mut(point);
                product::<L>(left, count, kernel.at(point), kernel.rows, to, kernel.row, false);
            }
        }
    }
}

/// `C[rows, width] = A[rows, depth] · B[depth, width]`, or `+=` with `add`; `width` is whole registers.
///
/// # Safety
/// The instruction set of `L` is available and the matrices have these sizes.
#[inline(always)]
pub(crate) unsafe fn product<L: Lanes>(
    a: Left,
    rows: usize,
    b: *const f32,
    depth: usize,
    c: *mut f32,
    width: usize,
    add: bool,
) {
    let registers = whole_registers::<L>(width);
    for column in (0..width).step_by(registers * L::N) {
        // SAFETY: the caller vouches for the sizes.
        unsafe {
            let (b, c) = (b.add(column), c.add(column));
            by_rows!(rows, registers, product_block::<L>(a, b, depth, c, width, add));
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
    c: *mut f32,
    width: usize,
    add: bool,
    row: usize,
) {
    // SAFETY: the caller vouches for every address.
    unsafe {
        let mut sums = [[L::zero(); R]; P];
        accumulate(&mut sums, a.at(row), b, width, depth);
        for (p, sums) in sums.iter().enumerate() {
            for (r, sum) in sums.iter().enumerate() {
                let to = c.add((row + p) * width + r * L::N);
                let sum = if add { L::load(to).add(*sum) } else { *sum };
                sum.store(to);
            }
        }
    }
}

/// Brings `K × K` pixels to the points of tile `tile`.
///
/// # Safety
/// The instruction set of `L` is available; each pixel holds `to.columns` floats.
#[inline(always)]
pub(crate) unsafe fn to_points<L: Lanes, M: Axis<K, 6>, const K: usize>(
    from: &[[*const f32; K]; K],
    to: &mut Stack,
    tile: usize,
) {
    let (point, columns) = (to.point, to.columns);
    for channel in (0..columns).step_by(L::N) {
        let count = L::N.min(columns - channel);
        // SAFETY: only the first `count` floats are touched; rows of `to` are whole registers.
        unsafe {
            let to = to.at_mut(0).add(tile * to.row + channel);
            let store = |row, column, value: L| value.store(to.add((6 * row + column) * point));
            if count == L::N {
                both::<L, M, K, 6>(|row, column| L::load(from[row][column].add(channel)), store);
            } else {
                both::<L, M, K, 6>(|row, column| L::load_part(from[row][column].add(channel), count), store);
            }
        }
    }
}

/// Brings tile `tile` back to `K × K` pixels, or adds it to them with `add`.
///
/// # Safety
/// The instruction set of `L` is available; each pixel holds `from.columns` writable floats.
#[inline(always)]
pub(crate) unsafe fn from_points<L: Lanes, M: Axis<6, K>, const K: usize>(
    from: &Stack,
    tile: usize,
    to: &[[*const f32; K]; K],
    add: bool,
) {
    for channel in (0..from.columns).step_by(L::N) {
        let count = L::N.min(from.columns - channel);
        // SAFETY: only the first `count` floats are touched; rows of `from` are whole registers.
        unsafe {
            let start = from.at(0).add(tile * from.row + channel);
            let load = |row, column| L::load(start.add((6 * row + column) * from.point));
            if count == L::N {
                both::<L, M, 6, K>(load, |row, column, pixel| {
                    let to = to[row][column].cast_mut().add(channel);
                    let pixel = if add { L::load(to).add(pixel) } else { pixel };
                    pixel.store(to);
                });
            } else {
                both::<L, M, 6, K>(load, |row, column, pixel| {
                    let to = to[row][column].cast_mut().add(channel);
                    let pixel = if add { L::load_part(to, count).add(pixel) } else { pixel };
                    pixel.store_part(to, count);
                });
            }
        }
    }
}

/// Kernels at the points; weight `(row, column)` of `to` starts at `row · strides[0] + column · strides[1]`.
///
/// # Safety
/// The instruction set of `L` is available; every weight has nine taps.
#[inline(always)]
unsafe fn spread_taps<L: Lanes>(weights: &[f32], strides: [usize; 2], to: &mut Stack) {
    for (row, column) in blocks::<L>(to) {
        let count = L::N.min(to.columns - column);
        let mut taps = [[0.0; 16]; 9];
        for lane in 0..count {
            let start = row * strides[0] + (column + lane) * strides[1];
            for (tap, weight) in taps.iter_mut().zip(&weights[start..start + 9]) {
                tap[lane] = *weight;
            }
        }
        // SAFETY: rows of `to` are whole registers, and registers have at most 16 lanes.
        unsafe {
            let start = row * to.row + column;
            both::<L, Taps, 3, 6>(
                |y, x| L::load(taps[3 * y + x].as_ptr()),
                |y, x, value| value.store(to.at_mut(6 * y + x).add(start)),
            );
        }
    }
}

/// The gradient at the points, `[in, out]`, brought back to the taps of `[out, in, 3, 3]`.
///
/// # Safety
/// The instruction set of `L` is available.
#[inline(always)]
unsafe fn weight_gradient<L: Lanes>(shape: &Winograd, total: &Stack, grad_weights: &mut [f32]) {
    for (row, column) in blocks::<L>(total) {
        let mut taps = [[0.0f32; 16]; 9];
        // SAFETY: rows of `total` are whole registers, and registers have at most 16 lanes.
        unsafe {
            let start = row * total.row + column;
            both::<L, TapsAdjoint, 6, 3>(
                |y, x| L::load(total.at(6 * y + x).add(start)),
                |y, x, value| value.store(taps[3 * y + x].as_mut_ptr()),
            );
        }
        for lane in 0..L::N.min(total.columns - column) {
            let start = ((column + lane) * shape.inputs + row) * 9;
            for (weight, tap) in grad_weights[start..start + 9].iter_mut().zip(&taps) {
                *weight = tap[lane];
            }
        }
    }
}

/// Row and first column of every register of a matrix.
#[inline(always)]
fn blocks<L: Lanes>(stack: &Stack) -> impl Iterator<Item = (usize, usize)> + use<L> {
    let columns = stack.columns;
    (0..stack.rows).flat_map(move |row| (0..columns).step_by(L::N).map(move |column| (row, column)))
}

#[cfg(test)]
mod tests;
