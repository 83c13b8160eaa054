//! The passes of a convolution in pieces, a block of tiles at a time.

use std::ops::Range;

use super::super::Conv2d;
use super::{Piece, Pieces, Scratch, TILE, Tiles};
use crate::lanes::Lanes;
use crate::tile::Left;
use crate::winograd::seven::{Outputs, OutputsAdjoint, Pixels, PixelsAdjoint, Taps, TapsAdjoint};
use crate::winograd::taps::{Layout, gather_taps, spread_taps};
use crate::winograd::tiles::{Stack, Target, from_points, product, to_points, window};

/// Some consecutive tiles, as many as a [`Scratch`] holds.
struct Block<'a> {
    pieces: &'a Pieces,
    tiles: Tiles,
    range: Range<usize>,
}

impl Block<'_> {
    /// Pixels under a tile that a piece meets, those outside the image being `outside`.
    #[inline(always)]
    fn pixels<const F: usize, const G: usize>(
        &self,
        piece: &Piece,
        tile: usize,
        images: *const f32,
        outside: *const f32,
    ) -> [[*const f32; G]; F] {
        let conv = &self.pieces.conv;
        let Conv2d { inputs, height, width, stride, pad_h, pad_w, .. } = *conv;
        let (image, [row, column]) = self.tiles.place(tile);
        let y = ((self.tiles.first + row) * stride + piece.first[0]).wrapping_sub(pad_h);
        let x = (column * stride + piece.first[1]).wrapping_sub(pad_w);
        let image = images.wrapping_add(image * conv.image_size() + piece.channels.start);
        window((y, x), stride, (height, width, inputs), image, outside)
    }

    /// Outputs of a tile, those outside being `outside`.
    #[inline(always)]
    fn outputs(&self, tile: usize, out: *const f32, outside: *const f32) -> [[*const f32; TILE]; TILE] {
        let pass = &self.pieces.pass;
        let (image, [row, column]) = self.tiles.place(tile);
        let out = out.wrapping_add(image * pass.image);
        window((row, column), 1, (self.tiles.rows, pass.columns, pass.outputs), out, outside)
    }

    /// Floats of the images whose first tile is in the block.
    fn begun(&self) -> Range<usize> {
        let start = |tile: usize| tile.div_ceil(self.tiles.count()) * self.pieces.conv.image_size();
        start(self.range.start)..start(self.range.end)
    }
}

/// The outputs of some tiles.
///
/// # Safety
/// The instruction set of `L` is available; the images, the kernel and `out` are those of the pieces and tiles.
#[inline(always)]
pub(super) unsafe fn forward<L: Lanes>(
    pieces: &Pieces,
    kernel: &Stack,
    tiles: Tiles,
    images: &[f32],
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    for range in tiles.blocks() {
        let block = Block { pieces, tiles, range };
        for index in 0..pieces.pieces.len() {
            // SAFETY: as the caller vouches.
            unsafe {
                load::<L>(&block, index, images.as_ptr(), scratch);
                to_outputs::<L>(&block, index, kernel, scratch);
            }
        }
        let (to, sink) = (out.as_mut_ptr(), scratch.sink.as_mut_ptr());
        for (at, tile) in block.range.clone().enumerate() {
            let (to, channels) = (block.outputs(tile, to, sink), pieces.conv.outputs);
            // SAFETY: windows clip what lies outside the rows of `out`.
            unsafe { from_points::<L, Outputs, 7, 7, _, _>(&scratch.outputs, at, &to, channels, false) };
        }
    }
}

/// Adds the gradient to the kernel at the points to `total`, and writes that to the images, given the kernel.
///
/// # Safety
/// As [`forward`], with all rows.
#[inline(always)]
pub(super) unsafe fn backward<L: Lanes>(
    pieces: &Pieces,
    tiles: Tiles,
    images: &[f32],
    grads: &[f32],
    scratch: &mut Scratch,
    mut to: Option<(&Stack, &mut [f32])>,
    mut total: Option<&mut Stack>,
) {
    for range in tiles.blocks() {
        let block = Block { pieces, tiles, range };
        for (at, tile) in block.range.clone().enumerate() {
            let from = block.outputs(tile, grads.as_ptr(), scratch.zeros.as_ptr());
            let (channels, to) = (pieces.conv.outputs, &mut scratch.outputs);
            // SAFETY: windows clip what lies outside the images.
            unsafe { to_points::<L, OutputsAdjoint, _, _, 7, 7>(&from, channels, to, at) };
        }
        if let Some((_, onto)) = &mut to {
            onto[block.begun()].fill(0.0);
        }
        for index in 0..pieces.pieces.len() {
            // SAFETY: as the caller vouches.
            unsafe {
                if let Some(total) = &mut total {
                    load::<L>(&block, index, images.as_ptr(), scratch);
                    to_kernel::<L>(&block, index, scratch, total);
                }
                if let Some((kernel, onto)) = &mut to {
                    to_pixels::<L>(&block, index, kernel, scratch);
                    store::<L>(&block, index, onto.as_mut_ptr(), scratch);
                }
            }
        }
    }
}

/// The products of pixels and a piece of the kernel, added to those of the pieces before.
///
/// # Safety
/// As [`forward`].
#[inline(always)]
unsafe fn to_outputs<L: Lanes>(block: &Block<'_>, index: usize, kernel: &Stack, scratch: &mut Scratch) {
    let (pieces, pixels) = (block.pieces, &scratch.pixels);
    let piece = &pieces.pieces[index];
    for point in piece.points() {
        let left = Left { from: pixels.at(point), row: pixels.row, step: 1 };
        // SAFETY: `kernel` has `width` rows for each piece, as wide as those of the outputs.
        unsafe {
            let b = kernel.at(point).add(index * pieces.width * kernel.row);
            let c = Target { to: scratch.outputs.at_mut(point), row: kernel.row, add: index > 0 };
            product::<L>(left, block.range.len(), b, piece.channels.len(), kernel.width, c);
        }
    }
}

/// Adds the products of pixels and gradients to that of a piece of the kernel.
///
/// # Safety
/// As [`backward`].
#[inline(always)]
unsafe fn to_kernel<L: Lanes>(block: &Block<'_>, index: usize, scratch: &mut Scratch, total: &mut Stack) {
    let (pieces, pixels, grads) = (block.pieces, &scratch.pixels, &scratch.outputs);
    let piece = &pieces.pieces[index];
    for point in piece.points() {
        let left = Left { from: pixels.at(point), row: 1, step: pixels.row };
        // SAFETY: `total` has `width` rows for each piece, as wide as those of the gradients.
        unsafe {
            let to = total.at_mut(point).add(index * pieces.width * total.row);
            let c = Target { to, row: total.row, add: true };
            product::<L>(left, piece.channels.len(), grads.at(point), block.range.len(), grads.width, c);
        }
    }
}

/// The products of gradients and a piece of the kernel.
///
/// # Safety
/// As [`backward`].
#[inline(always)]
unsafe fn to_pixels<L: Lanes>(block: &Block<'_>, index: usize, kernel: &Stack, scratch: &mut Scratch) {
    let (outputs, grads) = (block.pieces.conv.outputs, &scratch.outputs);
    for point in block.pieces.pieces[index].points() {
        let left = Left { from: grads.at(point), row: grads.row, step: 1 };
        // SAFETY: `kernel` has a row per output for each piece, as wide as those of the pixels.
        unsafe {
            let b = kernel.at(point).add(index * outputs * kernel.row);
            let c = Target { to: scratch.pixels.at_mut(point), row: scratch.pixels.row, add: false };
            product::<L>(left, block.range.len(), b, outputs, kernel.width, c);
        }
    }
}

/// Brings the pixels of a piece to the points.
///
/// # Safety
/// As [`forward`].
#[inline(always)]
unsafe fn load<L: Lanes>(block: &Block<'_>, index: usize, images: *const f32, scratch: &mut Scratch) {
    let (piece, zeros) = (&block.pieces.pieces[index], scratch.zeros.as_ptr());
    for (at, tile) in block.range.clone().enumerate() {
        macro_rules! load {
            ($down:literal $across:literal) => {{
                let from = block.pixels::<$down, $across>(piece, tile, images, zeros);
                let (channels, to) = (piece.channels.len(), &mut scratch.pixels);
                // SAFETY: every pixel of the window has the channels of the piece.
                unsafe { to_points::<L, Pixels, _, _, $down, $across>(&from, channels, to, at) }
            }};
        }
        match piece.sides() {
            [7, 7] => load!(7 7),
            [7, _] => load!(7 6),
            [_, 7] => load!(6 7),
            _ => load!(6 6),
        }
    }
}

/// Adds the points of a piece to its pixels.
///
/// # Safety
/// As [`backward`].
#[inline(always)]
unsafe fn store<L: Lanes>(block: &Block<'_>, index: usize, images: *mut f32, scratch: &mut Scratch) {
    let (piece, sink) = (&block.pieces.pieces[index], scratch.sink.as_mut_ptr());
    for (at, tile) in block.range.clone().enumerate() {
        macro_rules! store {
            ($down:literal $across:literal) => {{
                let to = block.pixels::<$down, $across>(piece, tile, images, sink);
                let (channels, from) = (piece.channels.len(), &scratch.pixels);
                // SAFETY: every pixel of the window has the channels of the piece.
                unsafe {
                    from_points::<L, PixelsAdjoint, $down, $across, _, _>(from, at, &to, channels, true)
                }
            }};
        }
        match piece.sides() {
            [7, 7] => store!(7 7),
            [7, _] => store!(7 6),
            [_, 7] => store!(6 7),
            _ => store!(6 6),
        }
    }
}

/// # Safety
/// As [`spread_taps`].
#[inline(always)]
pub(super) unsafe fn spread<L: Lanes>(weights: &[f32], layout: &Layout<4>, first: usize, to: &mut Stack) {
    // SAFETY: as the caller vouches.
    unsafe { spread_taps::<L, Taps, 4, 7>(weights, layout, first, to) };
}

/// # Safety
/// As [`gather_taps`].
#[inline(always)]
pub(super) unsafe fn gather<L: Lanes>(total: &Stack, first: usize, layout: &Layout<4>, to: &mut [f32]) {
    // SAFETY: as the caller vouches.
    unsafe { gather_taps::<L, TapsAdjoint, 4, 7>(total, first, layout, to) };
}
