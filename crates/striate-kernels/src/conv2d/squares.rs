//! Convolution of stride 1 with large kernels, cut into squares of 3 × 3 taps, by Winograd's method.
//!
//! A kernel is a sum of shifted 3 × 3 kernels, zeros filling the last ones, and so one 3 × 3 kernel over the
//! channels (square, input) of `X'[y, x, (i, j, c)] = X[y + 3i, x + 3j, c]`. With the products of
//! [`winograd`](crate::winograd), 13 × 13 taps cost 25 · 36 / 16 = 56 products per output instead of 169.
//!
//! The shifted channels exist only at the points of a block of tiles. First the pixels of every column under a
//! row of tiles are brought to the points of all squares at once, a product with a small constant matrix. Then
//! registers run along (input, square down, point down), and each square across is six loads and six stores.

use rayon::prelude::*;

use super::Conv2d;
use super::pass::{Pass, Strip, inside};
use crate::epilogue::Epilogue;
use crate::lanes::{Lanes, dispatch};
use crate::tile::{Left, Panels, lanes, multiply_part};
use crate::winograd::points::{Axis, Outputs, OutputsAdjoint, Pixels, pixel_matrix};
use crate::winograd::{Stack, TILES, Winograd, from_points, product, to_points, window};

/// Points along one axis.
const POINTS: usize = 6;
/// Partial sums of the weight gradient, at most: fixed, so that sums do not depend on threads.
const SUMS: usize = 16;
/// Floats of all partial sums together, which bounds the memory.
const FLOATS: usize = 4 << 20;

/// Whether squares are faster than the direct method.
pub(super) fn suit(pass: &Pass) -> bool {
    // Products per tile and output: the direct method's, and ours with what bringing the outputs back costs.
    let direct = 16 * pass.kernel_h * pass.kernel_w * pass.inputs;
    let ours = 36 * pass.kernel_h.div_ceil(3) * pass.kernel_w.div_ceil(3) * pass.inputs + 450;
    let deep = pass.outputs >= lanes();
    // Small outputs do not repay bringing the kernel to the points.
    let wide = pass.rows.min(pass.columns) >= 4 && pass.rows * pass.columns >= 64;
    // The margin is for the transform of the inputs (measured).
    let repaid = deep && wide && 20 * direct > 33 * ours;
    // Of the gradient to images of a larger stride, a pass writes only every so many pixels.
    let packed = pass.image == pass.rows * pass.columns * pass.outputs;
    pass.stride == 1 && packed && repaid
}

/// A pass in squares and tiles.
struct Grid {
    pass: Pass,
    /// Squares of the kernel.
    down: usize,
    across: usize,
    /// Pixels of a column to the points of all squares down, `[pixel][square, point]`.
    lift: Panels,
}

/// Buffers of a task.
pub(super) struct Scratch {
    /// The columns under a row of tiles at the points down, `[column][input, square down, point down]`.
    columns: Vec<f32>,
    /// A block of tiles, `[point across][tile][square across, input, square down, point down]`.
    pixels: Vec<f32>,
    /// Their outputs at the points, `[point, tile, out]`.
    outputs: Stack,
    /// What lies outside an image when read or written.
    outside: Vec<f32>,
}

impl Grid {
    fn new(pass: Pass) -> Self {
        let (down, across) = (pass.kernel_h.div_ceil(3), pass.kernel_w.div_ceil(3));
        let matrix = pixel_matrix();
        let lift = |row: usize, at: usize| match row.checked_sub(at / POINTS * 3) {
            Some(pixel) if pixel < POINTS => matrix[pixel][at % POINTS],
            _ => 0.0,
        };
        Self { pass, down, across, lift: Panels::new(3 * down + 3, down * POINTS, lanes(), lift) }
    }

    fn scratch(&self) -> Scratch {
        Scratch {
            columns: vec![0.0; self.columns() * self.depth() + lanes()],
            pixels: vec![0.0; POINTS * TILES * self.tile()],
            outputs: Stack::new(TILES, self.pass.outputs),
            outside: vec![0.0; self.pass.outputs],
        }
    }

    /// The 3 × 3 convolution over squares and inputs; channels count squares across, inputs, squares down.
    fn winograd(&self) -> Winograd {
        let Pass { inputs, outputs, height, width, .. } = self.pass;
        Winograd { inputs: self.across * inputs * self.down, outputs, height, width, pad: 0 }
    }

    fn tiles_across(&self) -> usize {
        self.pass.columns.div_ceil(4)
    }

    /// Input columns under a row of tiles.
    fn columns(&self) -> usize {
        4 * self.tiles_across() + 3 * self.across - 1
    }

    /// Floats of a column under a row of tiles.
    fn depth(&self) -> usize {
        self.pass.inputs * self.down * POINTS
    }

    /// Floats between tiles, an odd number of cache lines; the last register may overrun.
    fn tile(&self) -> usize {
        16 * ((self.across * self.depth() + lanes()).div_ceil(16) | 1)
    }

    /// Input, kernel row and kernel column of each tap of each channel of the 3 × 3 kernels, where they exist.
    fn taps(&self) -> Vec<Option<(usize, usize, usize)>> {
        let Pass { inputs, kernel_h, kernel_w, .. } = self.pass;
        let tap = |i: usize| {
            let (channel, row, column) = (i / 9, i / 3 % 3, i % 3);
            let (across, down) = (channel / self.down / inputs, channel % self.down);
            let (y, x) = (3 * down + row, 3 * across + column);
            (y < kernel_h && x < kernel_w).then_some((channel / self.down % inputs, y, x))
        };
        (0..9 * self.winograd().inputs).map(tap).collect()
    }
}

/// A pass with its weights at the points.
pub(super) struct Squares<'a> {
    grid: Grid,
    kernel: Stack,
    epilogue: Epilogue<'a>,
}

impl<'a> Squares<'a> {
    pub fn new(
        pass: Pass,
        weight: impl Fn(usize, usize, usize, usize) -> f32,
        epilogue: Epilogue<'a>,
    ) -> Self {
        let grid = Grid::new(pass);
        let taps = grid.taps();
        let mut weights = Vec::with_capacity(pass.outputs * taps.len());
        for o in 0..pass.outputs {
            weights.extend(taps.iter().map(|tap| tap.map_or(0.0, |(c, y, x)| weight(o, c, y, x))));
        }
        Self { kernel: grid.winograd().kernel(&weights), grid, epilogue }
    }

    pub fn scratch(&self) -> Scratch {
        self.grid.scratch()
    }

    /// The batch cut into strips of whole tiles.
    pub fn strips<'b>(&self, out: &'b mut [f32]) -> Vec<Strip<'b>> {
        let pass = &self.grid.pass;
        pass.strips_of(pass.strip_rows(out.len() / pass.image).next_multiple_of(4), out)
    }

    /// Computes one strip.
    pub fn run(&self, image: &[f32], strip: Strip<'_>, scratch: &mut Scratch) {
        let (squares, first, out) = (self, strip.first, strip.out);
        dispatch!(forward(
            squares: &Squares<'_>, image: &[f32], first: usize, scratch: &mut Scratch, out: &mut [f32]
        ));
        self.epilogue.apply(self.grid.pass.outputs, out);
    }
}

/// Gradient to the weights, summed over the batch.
pub(super) fn gradient(conv: &Conv2d, images: &[f32], grad_out: &[f32]) -> Vec<f32> {
    let grid = Grid::new(conv.forward_pass());
    let winograd = grid.winograd();
    let zero = || Stack::new(winograd.inputs, winograd.outputs);
    let sums = (FLOATS / (36 * winograd.inputs * winograd.outputs)).clamp(2, SUMS);
    let count = (images.len() / conv.image_size()).div_ceil(sums).max(1);
    let chunks = images.par_chunks(count * conv.image_size());
    let parts: Vec<Stack> = (chunks.zip(grad_out.par_chunks(count * grid.pass.image)))
        .map(|(images, grads)| {
            let (mut total, mut scratch) = (zero(), grid.scratch());
            for (image, grad) in images.chunks(conv.image_size()).zip(grads.chunks(grid.pass.image)) {
                let (grid, total, scratch) = (&grid, &mut total, &mut scratch);
                dispatch!(backward(
                    grid: &Grid, image: &[f32], grad: &[f32], scratch: &mut Scratch, total: &mut Stack
                ));
            }
            total
        })
        .collect();
    let (squares, taps) = (winograd.taps(&Stack::sum(parts, zero)), grid.taps());
    let mut weights = vec![0.0; conv.weight(conv.outputs, 0, 0, 0)];
    for (o, squares) in squares.chunks(taps.len()).enumerate() {
        for (tap, gradient) in taps.iter().zip(squares) {
            if let Some((c, y, x)) = *tap {
                weights[conv.weight(o, c, y, x)] = *gradient;
            }
        }
    }
    weights
}

/// Output rows from `first` on, as many as `out` holds.
///
/// # Safety
/// The instruction set of `L` is available; the lengths are those of the pass.
#[inline(always)]
unsafe fn forward<L: Lanes>(
    squares: &Squares<'_>,
    image: &[f32],
    first: usize,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let (grid, kernel) = (&squares.grid, &squares.kernel);
    let size = (out.len() / grid.pass.row, grid.pass.columns, grid.pass.outputs);
    let tiles = size.0.div_ceil(4) * grid.tiles_across();
    for start in (0..tiles).step_by(TILES) {
        let count = TILES.min(tiles - start);
        // SAFETY: blocks hold at most TILES tiles; windows clip what lies outside the strip.
        unsafe {
            load_block::<L>(grid, image, first, start, count, scratch);
            for (point, from) in points(grid, &scratch.pixels) {
                let left = Left { from, row: grid.tile(), step: POINTS };
                let (b, c) = (kernel.at(point), scratch.outputs.at_mut(point));
                product::<L>(left, count, b, kernel.rows, c, kernel.row, false);
            }
            for i in 0..count {
                let corner = ((start + i) / grid.tiles_across() * 4, (start + i) % grid.tiles_across() * 4);
                let to = window(corner, size, out.as_mut_ptr(), scratch.outside.as_mut_ptr());
                from_points::<L, Outputs, 4>(&scratch.outputs, i, &to, false);
            }
        }
    }
}

/// Adds the gradient to the kernel at the points to `total`.
///
/// # Safety
/// The instruction set of `L` is available; the lengths are those of the pass.
#[inline(always)]
unsafe fn backward<L: Lanes>(
    grid: &Grid,
    image: &[f32],
    grad: &[f32],
    scratch: &mut Scratch,
    total: &mut Stack,
) {
    let size = (grid.pass.rows, grid.pass.columns, grid.pass.outputs);
    let tiles = size.0.div_ceil(4) * grid.tiles_across();
    for start in (0..tiles).step_by(TILES) {
        let count = TILES.min(tiles - start);
        // SAFETY: blocks hold at most TILES tiles; windows clip what lies outside the image.
        unsafe {
            load_block::<L>(grid, image, 0, start, count, scratch);
            for i in 0..count {
                let corner = ((start + i) / grid.tiles_across() * 4, (start + i) % grid.tiles_across() * 4);
                let from = window(corner, size, grad.as_ptr(), scratch.outside.as_ptr());
                to_points::<L, OutputsAdjoint, 4>(&from, &mut scratch.outputs, i);
            }
            for (point, from) in points(grid, &scratch.pixels) {
                let left = Left { from, row: POINTS, step: grid.tile() };
                let (b, c) = (scratch.outputs.at(point), total.at_mut(point));
                product::<L>(left, total.rows, b, count, c, total.row, true);
            }
        }
    }
}

/// Every point with the place of its first value among the pixels, those that share cache lines together.
#[inline(always)]
fn points(grid: &Grid, pixels: &[f32]) -> impl Iterator<Item = (usize, *const f32)> + use<> {
    let (from, size) = (pixels.as_ptr(), TILES * grid.tile());
    (0..POINTS * POINTS).map(move |i| {
        let (across, down) = (i / POINTS, i % POINTS);
        (POINTS * down + across, from.wrapping_add(across * size + down))
    })
}

/// Brings `count` tiles from `start` on to the points; tile 0 is the first of output row `first`.
///
/// # Safety
/// The instruction set of `L` is available; `scratch` is that of the grid and was used for the tiles before.
#[inline(always)]
unsafe fn load_block<L: Lanes>(
    grid: &Grid,
    image: &[f32],
    first: usize,
    start: usize,
    count: usize,
    scratch: &mut Scratch,
) {
    for i in 0..count {
        let (row, column) = ((start + i) / grid.tiles_across(), (start + i) % grid.tiles_across());
        // SAFETY: the buffers are those of the grid.
        unsafe {
            if column == 0 {
                load_columns::<L>(grid, image, first + 4 * row, &mut scratch.columns);
            }
            let from = scratch.columns.as_ptr().add(4 * column * grid.depth());
            load_tile::<L>(grid, from, scratch.pixels.as_mut_ptr().add(i * grid.tile()));
        }
    }
}

/// The columns under the tiles from output row `row` on, at the points down.
///
/// # Safety
/// The instruction set of `L` is available, and `to` holds the columns of the grid.
#[inline(always)]
unsafe fn load_columns<L: Lanes>(grid: &Grid, image: &[f32], row: usize, to: &mut [f32]) {
    let (pass, top) = (&grid.pass, grid.pass.top + row as isize);
    let down = inside(top, grid.lift.depth, pass.height);
    // Columns outside the image stay zero: every row of tiles writes the same ones.
    let across = inside(pass.left, grid.columns(), pass.width);
    let pixel = (top + down.start as isize) * pass.width as isize + pass.left + across.start as isize;
    let from = image.as_ptr().wrapping_offset(pixel * pass.inputs as isize);
    let left = Left { from, row: 1, step: pass.width * pass.inputs };
    // SAFETY: `inside` keeps every read within the image and every column within `to`.
    unsafe {
        let to = to.as_mut_ptr().add(across.start * grid.depth());
        multiply_part::<L>(left, across.len() * pass.inputs, &grid.lift, down, to, grid.down * POINTS, false);
    }
}

/// One tile at all points, from its first column.
///
/// # Safety
/// The instruction set of `L` is available; `from` holds the columns of a tile and `to` a tile at each of the
/// points across, each and a register more.
#[inline(always)]
unsafe fn load_tile<L: Lanes>(grid: &Grid, from: *const f32, to: *mut f32) {
    let (depth, point) = (grid.depth(), TILES * grid.tile());
    for square in 0..grid.across {
        // What the last register writes beyond its square, the next square overwrites.
        for at in (0..depth).step_by(L::N) {
            // SAFETY: the caller vouches for the columns and the tile.
            unsafe {
                let from = from.add(3 * square * depth + at);
                let values = Pixels::apply::<L>(std::array::from_fn(|i| L::load(from.add(i * depth))));
                for (i, value) in values.into_iter().enumerate() {
                    value.store(to.add(i * point + square * depth + at));
                }
            }
        }
    }
}
