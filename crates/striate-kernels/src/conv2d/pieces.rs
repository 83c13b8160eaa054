//! Convolution of any stride, its kernel cut into pieces of at most 4 × 4 taps, by Winograd's method.
//!
//! Taps a stride apart meet pixels a stride apart: those alone are a convolution of stride one. A tile of 4 × 4
//! outputs takes it 7 × 7 products per pair of channels, and an axis of at most three taps needs one point less. At
//! stride two, 7 × 7 taps are four pieces that cost (7 + 6)² / 16 = 10.6 products per output, not 49.
//!
//! The products of all pieces add up at the points, so outputs are brought back once. A piece takes only some of the
//! input channels, so that its pixels stay in the second-level cache. Blocks of tiles reach across images.
//! Gradients are the transposed steps in reverse order and share the transform of the gradient to the output.

mod passes;

use std::cmp::Reverse;
use std::ops::Range;

use rayon::prelude::*;

use super::Conv2d;
use super::pass::{Pass, Strip};
use crate::epilogue::Epilogue;
use crate::lanes::dispatch;
use crate::memory::uninitialised;
use crate::tile::lanes;
use crate::winograd::taps::Layout;
use crate::winograd::tiles::Stack;
use passes::{backward, forward, gather, spread};

/// Points along one axis.
const POINTS: usize = 7;
/// Outputs of a tile along one axis, and taps of a piece.
const TILE: usize = 4;
/// Tiles of a block: whole blocks of registers.
const BLOCK: usize = 24;
/// Input channels of a piece, at most.
const CHANNELS: usize = 64;
/// Partial sums of the weight gradient, at most: fixed, so that sums do not depend on threads. A power of two
/// occupies most machines evenly.
const SUMS: usize = 8;
/// Floats of all partial sums together, which bounds the memory.
const FLOATS: usize = 8 << 20;

/// Some taps of a kernel, a stride apart, over some of the input channels.
#[derive(Debug)]
struct Piece {
    /// Row and column of the first tap.
    first: [usize; 2],
    /// Number of taps down and across.
    taps: [usize; 2],
    channels: Range<usize>,
}

impl Piece {
    /// Points down and across that are not zero: three taps bring nothing to the last one.
    fn sides(&self) -> [usize; 2] {
        self.taps.map(|taps| if taps == TILE { POINTS } else { POINTS - 1 })
    }

    #[inline(always)]
    fn points(&self) -> impl Iterator<Item = usize> + use<> {
        let [down, across] = self.sides();
        (0..down * across).map(move |i| i / across * POINTS + i % across)
    }
}

/// Along one axis, the first tap and the number of taps of every run, the longest first.
fn runs(kernel: usize, stride: usize) -> Vec<(usize, usize)> {
    let mut runs = Vec::new();
    for residue in 0..stride.min(kernel) {
        let taps = (kernel - residue).div_ceil(stride);
        let count = taps.div_ceil(TILE);
        let starts: Vec<usize> = (0..=count).map(|i| (i * taps).div_ceil(count)).collect();
        runs.extend(starts.windows(2).map(|s| (residue + s[0] * stride, s[1] - s[0])));
    }
    runs.sort_by_key(|run| Reverse(run.1));
    runs
}

/// A convolution in pieces.
pub(super) struct Pieces {
    conv: Conv2d,
    pass: Pass,
    /// The first one has every point that any has.
    pieces: Vec<Piece>,
    /// Channels of a piece, at most.
    width: usize,
}

/// The tiles of output rows from `first` on, of each of several images.
#[derive(Clone, Copy)]
struct Tiles {
    images: usize,
    first: usize,
    rows: usize,
    across: usize,
}

impl Tiles {
    /// Tiles of an image.
    fn count(&self) -> usize {
        self.rows.div_ceil(TILE) * self.across
    }

    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let all = self.images * self.count();
        (0..all).step_by(BLOCK).map(move |start| start..all.min(start + BLOCK))
    }

    /// Image of a tile, and row (from `first` on) and column of its first output.
    #[inline(always)]
    fn place(&self, tile: usize) -> (usize, [usize; 2]) {
        let (image, tile) = (tile / self.count(), tile % self.count());
        (image, [tile / self.across * TILE, tile % self.across * TILE])
    }
}

/// Buffers of a task.
struct Scratch {
    /// A piece of a block of tiles at the points, `[tile, point, in]`: written a tile at a time.
    pixels: Stack,
    /// Their outputs at the points, `[point, tile, out]`.
    outputs: Stack,
    /// What lies outside an image when read.
    zeros: Vec<f32>,
    /// What lies outside an image when written.
    sink: Vec<f32>,
}

impl Pieces {
    /// The pieces of a convolution of larger stride, if they are faster than the direct method.
    pub fn suited(conv: &Conv2d) -> Option<Self> {
        let deep = conv.inputs.min(conv.outputs) >= lanes();
        (conv.stride > 1 && deep).then(|| Self::new(conv)).filter(Self::pay)
    }

    /// Whether the products saved outweigh the transforms.
    fn pay(&self) -> bool {
        let Conv2d { inputs, outputs, kernel_h, kernel_w, .. } = self.conv;
        let direct = self.pass.rows * self.pass.columns * kernel_h * kernel_w * inputs * outputs;
        let points: usize =
            self.pieces.iter().map(|piece| piece.points().count() * piece.channels.len()).sum();
        // Bringing a pixel to a point takes as long as 24 products there; the margin is measured, too.
        let ours = self.tiles(1, 0, self.pass.rows).count() * points * (outputs + 24);
        5 * direct > 6 * ours
    }

    fn new(conv: &Conv2d) -> Self {
        let inputs = conv.inputs;
        let width = inputs.div_ceil(inputs.div_ceil(CHANNELS)).next_multiple_of(lanes());
        let mut pieces = Vec::new();
        for (y, down) in runs(conv.kernel_h, conv.stride) {
            for (x, across) in runs(conv.kernel_w, conv.stride) {
                pieces.extend((0..inputs).step_by(width).map(|channel| Piece {
                    first: [y, x],
                    taps: [down, across],
                    channels: channel..inputs.min(channel + width),
                }));
            }
        }
        Self { conv: *conv, pass: conv.forward_pass(), pieces, width }
    }

    /// As [`Conv2d::forward`].
    pub fn forward(&self, images: &[f32], weights: &[f32], epilogue: Epilogue<'_>, out: &mut [f32]) {
        let (kernel, image) = (&self.kernel(weights), self.conv.image_size());
        let rows = self.pass.strip_rows(out.len() / self.pass.image).next_multiple_of(TILE);
        self.pass.groups(rows, out).into_par_iter().for_each_init(
            || self.scratch(),
            |scratch, Strip { image: at, images: count, first, rows, out }| {
                let tiles = self.tiles(count, first, rows);
                let (pieces, images) = (self, &images[at * image..][..count * image]);
                dispatch!(forward(
                    pieces: &Pieces, kernel: &Stack, tiles: Tiles, images: &[f32], scratch: &mut Scratch, out: &mut [f32]
                ));
                epilogue.apply(self.conv.outputs, out);
            },
        );
    }

    /// As [`Conv2d::backward`].
    pub fn backward(
        &self,
        images: &[f32],
        weights: &[f32],
        grad_out: &[f32],
        wanted: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let (image, out) = (self.conv.image_size(), self.pass.image);
        let kernel = wanted[0].then(|| self.transposed_kernel(weights));
        // SAFETY: every image is filled before products are added to it.
        let mut to_images = wanted[0].then(|| unsafe { uninitialised(images.len()) });
        let floats = POINTS * POINTS * self.pieces.len() * self.width * self.conv.outputs;
        let sums = 1 << (FLOATS / floats).clamp(2, SUMS).ilog2();
        let count = (images.len() / image).div_ceil(sums).max(1);
        let mut onto: Vec<Option<&mut [f32]>> = match &mut to_images {
            Some(all) => all.chunks_mut(count * image).map(Some).collect(),
            None => images.chunks(count * image).map(|_| None).collect(),
        };
        let chunks = images.par_chunks(count * image).zip(grad_out.par_chunks(count * out));
        let parts: Vec<Option<Stack>> = (chunks.zip(&mut onto))
            .map(|((images, grads), onto)| {
                let to = kernel.as_ref().zip(onto.as_deref_mut());
                self.backward_chunk(images, grads, to, wanted[1].then(|| self.zero()))
            })
            .collect();
        let parts = parts.into_iter().flatten().collect();
        [to_images, wanted[1].then(|| self.weights(&Stack::sum(parts, || self.zero())))]
    }

    /// Gradient at the points of the kernel, summed over a few images, if there is a place for it.
    fn backward_chunk(
        &self,
        images: &[f32],
        grads: &[f32],
        to: Option<(&Stack, &mut [f32])>,
        mut total: Option<Stack>,
    ) -> Option<Stack> {
        let tiles = self.tiles(images.len() / self.conv.image_size(), 0, self.pass.rows);
        let (pieces, scratch, sum) = (self, &mut self.scratch(), total.as_mut());
        dispatch!(backward(
            pieces: &Pieces, tiles: Tiles, images: &[f32], grads: &[f32], scratch: &mut Scratch,
            to: Option<(&Stack, &mut [f32])>, sum: Option<&mut Stack>
        ));
        total
    }

    /// Kernels at the points, `[point, (piece, in), out]`.
    fn kernel(&self, weights: &[f32]) -> Stack {
        let mut stack = self.zero();
        for (i, piece) in self.pieces.iter().enumerate() {
            let (layout, first, to) = (&self.layout(piece), i * self.width, &mut stack);
            dispatch!(spread(weights: &[f32], layout: &Layout<4>, first: usize, to: &mut Stack));
        }
        stack
    }

    /// Kernels at the points, `[point, (piece, out), in]`.
    fn transposed_kernel(&self, weights: &[f32]) -> Stack {
        let mut stack = Stack::new(POINTS, self.pieces.len() * self.conv.outputs, self.width);
        for (i, piece) in self.pieces.iter().enumerate() {
            let (layout, first, to) = (&self.layout(piece).transposed(), i * self.conv.outputs, &mut stack);
            dispatch!(spread(weights: &[f32], layout: &Layout<4>, first: usize, to: &mut Stack));
        }
        stack
    }

    /// Gradient to the weights from that to the kernels at the points.
    fn weights(&self, total: &Stack) -> Vec<f32> {
        let mut weights = vec![0.0; self.conv.weight(self.conv.outputs, 0, 0, 0)];
        for (i, piece) in self.pieces.iter().enumerate() {
            let (first, layout, to) = (i * self.width, &self.layout(piece), &mut weights[..]);
            dispatch!(gather(total: &Stack, first: usize, layout: &Layout<4>, to: &mut [f32]));
        }
        weights
    }

    /// Zeros in the shape of the kernels at the points.
    fn zero(&self) -> Stack {
        Stack::new(POINTS, self.pieces.len() * self.width, self.conv.outputs)
    }

    /// The weights of a piece as a matrix `[in, out]`.
    fn layout(&self, piece: &Piece) -> Layout<4> {
        let Conv2d { inputs, outputs, kernel_h, kernel_w, stride, .. } = self.conv;
        let [down, across] = piece.taps;
        let tap = |y, x| (y < down && x < across).then_some((y * kernel_w + x) * stride);
        Layout {
            first: self.conv.weight(0, piece.channels.start, piece.first[0], piece.first[1]),
            strides: [kernel_h * kernel_w, inputs * kernel_h * kernel_w],
            size: [piece.channels.len(), outputs],
            taps: std::array::from_fn(|y| std::array::from_fn(|x| tap(y, x))),
        }
    }

    fn scratch(&self) -> Scratch {
        let widest = self.width.max(self.conv.outputs);
        Scratch {
            pixels: Stack::by_rows(POINTS, BLOCK, self.width),
            outputs: Stack::new(POINTS, BLOCK, self.conv.outputs),
            zeros: vec![0.0; widest],
            sink: vec![0.0; widest],
        }
    }

    fn tiles(&self, images: usize, first: usize, rows: usize) -> Tiles {
        Tiles { images, first, rows, across: self.pass.columns.div_ceil(TILE) }
    }
}
