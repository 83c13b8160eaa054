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
pub mod seven;
pub mod taps;
pub mod tiles;

use rayon::prelude::*;

use crate::epilogue::Epilogue;
use crate::lanes::{Lanes, dispatch};
use crate::tile::Left;
use points::{Outputs, OutputsAdjoint, Pixels, PixelsAdjoint, Taps, TapsAdjoint};
use taps::{Layout, gather_taps, spread_taps};
use tiles::{Stack, Target, from_points, product, to_points, window};

/// Points along one axis.
const POINTS: usize = 6;
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
        self.taps(&Stack::sum(sums, || Stack::new(POINTS, self.inputs, self.outputs)))
    }

    /// Gradient to the weights from that to the kernels at the points.
    pub fn taps(&self, total: &Stack) -> Vec<f32> {
        let (layout, mut weights) = (&self.layout(), vec![0.0; 9 * self.inputs * self.outputs]);
        let to = &mut weights[..];
        dispatch!(gather_nine(total: &Stack, layout: &Layout<3>, to: &mut [f32]));
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
        let mut total = Stack::new(POINTS, self.inputs, self.outputs);
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
        let (mut stack, layout) = (Stack::new(POINTS, self.inputs, self.outputs), &self.layout());
        let to = &mut stack;
        dispatch!(spread_nine(weights: &[f32], layout: &Layout<3>, to: &mut Stack));
        stack
    }

    /// Kernels at the points, `[point, out, in]`.
    fn transposed_kernel(&self, weights: &[f32]) -> Stack {
        let (mut stack, layout) =
            (Stack::new(POINTS, self.outputs, self.inputs), &self.layout().transposed());
        let to = &mut stack;
        dispatch!(spread_nine(weights: &[f32], layout: &Layout<3>, to: &mut Stack));
        stack
    }

    /// The weights `[out, in, 3, 3]` of a matrix `[in, out]`.
    fn layout(&self) -> Layout<3> {
        let taps = std::array::from_fn(|y| std::array::from_fn(|x| Some(3 * y + x)));
        Layout { first: 0, strides: [9, 9 * self.inputs], size: [self.inputs, self.outputs], taps }
    }

    /// Pixels read by a tile, those outside the image being `outside`.
    #[inline(always)]
    fn window(&self, tile: usize, image: *const f32, outside: *const f32) -> [[*const f32; 6]; 6] {
        let (y, x) = (tile / self.tiles_across() * 4, tile % self.tiles_across() * 4);
        let corner = (y.wrapping_sub(self.pad), x.wrapping_sub(self.pad));
        window(corner, 1, (self.height, self.width, self.inputs), image, outside)
    }

    /// Outputs of a tile among the first `rows` rows, the others being `outside`.
    #[inline(always)]
    fn target(&self, tile: usize, rows: usize, out: *const f32, outside: *const f32) -> [[*const f32; 4]; 4] {
        let corner = (tile / self.tiles_across() * 4, tile % self.tiles_across() * 4);
        window(corner, 1, (rows, self.out_width(), self.outputs), out, outside)
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
            pixels: Stack::new(POINTS, TILES, shape.inputs),
            outputs: Stack::new(POINTS, TILES, shape.outputs),
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
                to_points::<L, Pixels, _, _, 6, 6>(&from, shape.inputs, &mut scratch.pixels, i);
            }
            for point in 0..POINTS * POINTS {
                let left = Left { from: scratch.pixels.at(point), row: scratch.pixels.row, step: 1 };
                let c = Target { to: scratch.outputs.at_mut(point), row: kernel.row, add: false };
                product::<L>(left, count, kernel.at(point), shape.inputs, kernel.width, c);
            }
            let (out, sink) = (out.as_mut_ptr(), scratch.sink.as_mut_ptr());
            for i in 0..count {
                let to = shape.target(start + i, rows, out, sink);
                from_points::<L, Outputs, 6, 6, _, _>(&scratch.outputs, i, &to, shape.outputs, false);
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
                to_points::<L, Pixels, _, _, 6, 6>(&from, shape.inputs, &mut scratch.pixels, i);
                let from = shape.target(start + i, shape.out_height(), grad.as_ptr(), scratch.zeros.as_ptr());
                to_points::<L, OutputsAdjoint, _, _, 6, 6>(&from, shape.outputs, &mut scratch.outputs, i);
            }
            backward_points::<L>(scratch, count, to.as_ref().map(|to| to.0), total);
            if let Some((_, onto)) = &mut to {
                let (onto, sink) = (onto.as_mut_ptr(), scratch.sink.as_mut_ptr());
                for i in 0..count {
                    let to = shape.window(start + i, onto, sink);
                    from_points::<L, PixelsAdjoint, 6, 6, _, _>(&scratch.pixels, i, &to, shape.inputs, true);
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
    for point in 0..POINTS * POINTS {
        // SAFETY: `total` is `[in, out]` and the kernel `[out, in]` at every point.
        unsafe {
            let left = Left { from: pixels.at(point), row: 1, step: pixels.row };
            let c = Target { to: total.at_mut(point), row: total.row, add: true };
            product::<L>(left, total.rows, grads.at(point), count, grads.width, c);
            if let Some(kernel) = kernel {
                let left = Left { from: grads.at(point), row: grads.row, step: 1 };
                let c = Target { to: pixels.at_mut(point), row: pixels.row, add: false };
                product::<L>(left, count, kernel.at(point), kernel.rows, kernel.width, c);
            }
        }
    }
}

/// # Safety
/// As [`spread_taps`].
#[inline(always)]
unsafe fn spread_nine<L: Lanes>(weights: &[f32], layout: &Layout<3>, to: &mut Stack) {
    // SAFETY: as the caller vouches.
    unsafe { spread_taps::<L, Taps, 3, 6>(weights, layout, 0, to) };
}

/// # Safety
/// As [`gather_taps`].
#[inline(always)]
unsafe fn gather_nine<L: Lanes>(total: &Stack, layout: &Layout<3>, to: &mut [f32]) {
    // SAFETY: as the caller vouches.
    unsafe { gather_taps::<L, TapsAdjoint, 3, 6>(total, 0, layout, to) };
}

#[cfg(test)]
mod tests;
