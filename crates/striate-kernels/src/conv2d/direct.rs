//! Convolution with vectors along the output channels.

use std::ops::Range;

use super::pass::{Pass, Strip, Window};
use crate::activation::Activation;
use crate::epilogue::Epilogue;
use crate::lanes::{Lanes, dispatch};
use crate::tile::{Left, Panels, accumulate, by_rows, store_row};

/// Floats of weights used at a time: they stay in the second-level cache while all pixels pass by.
const WEIGHTS_AT_A_TIME: usize = 96 * 1024;

/// Floats of input rows under the kernel up to which output is written row by row, which memory likes best;
/// beyond, blocks go down the columns so that the rows are met again while they are in the cache.
const ROWS_AT_A_TIME: usize = 64 * 1024;

/// A pass with its weights packed as `[panel][kernel row][kernel column · input][output]`.
pub(super) struct Direct {
    pass: Pass,
    weights: Panels,
    /// Offset of every column of the panels.
    bias: Vec<f32>,
    activation: Activation,
}

impl Direct {
    pub fn new(pass: Pass, weights: Panels, epilogue: Epilogue<'_>) -> Self {
        let mut bias = epilogue.bias.map_or(Vec::new(), <[f32]>::to_vec);
        bias.resize(weights.len() * weights.width, 0.0);
        Self { pass, weights, bias, activation: epilogue.activation }
    }

    /// Computes one strip; `scratch` is zero or from an earlier strip of this pass.
    pub fn run(&self, image: &[f32], strip: Strip<'_>, scratch: &mut Vec<f32>) {
        let pass = &self.pass;
        let window = match strip.images {
            1 => pass.window(image, strip.first, strip.rows, scratch),
            _ => pass.in_place(image),
        };
        let reach = (strip.images - 1) * pass.image
            + (strip.rows - 1) * pass.row
            + (pass.columns - 1) * pass.pixel
            + pass.outputs;
        assert!(strip.out.len() >= reach);
        let direct = self;
        dispatch!(strip_of(direct: &Direct, window: Window<'_>, strip: Strip<'_>));
    }
}

/// One panel of output channels and one group of kernel rows for a strip.
struct Part<'a> {
    pass: &'a Pass,
    window: Window<'a>,
    /// First output row of the strip, and the rows of the strip to compute.
    start: usize,
    rows: Range<usize>,
    taps: Range<usize>,
    weights: *const f32,
    width: usize,
    bias: *const f32,
    out: *mut f32,
    /// Output channels of this panel.
    count: usize,
    activation: Activation,
}

/// # Safety
/// The instruction set of `L` is available, the weights were packed for it, and `strip.out` reaches the last
/// output of the strip.
#[inline(always)]
unsafe fn strip_of<L: Lanes>(direct: &Direct, window: Window<'_>, strip: Strip<'_>) {
    let out = strip.out.as_mut_ptr();
    let (pass, weights) = (&direct.pass, &direct.weights);
    let group = WEIGHTS_AT_A_TIME / (pass.kernel_w * pass.inputs * weights.width).max(1);
    let groups = pass.kernel_h.div_ceil(group.max(1)).max(1);
    let group = pass.kernel_h.div_ceil(groups);
    let band = if pass.kernel_h * window.pitch > ROWS_AT_A_TIME { strip.rows } else { 1 };
    for panel in 0..weights.len() {
        for taps in (0..groups).map(|i| i * group..((i + 1) * group).min(pass.kernel_h)) {
            let last = taps.end == pass.kernel_h;
            let mut part = Part {
                pass,
                window,
                start: strip.first,
                rows: 0..0,
                taps,
                weights: weights.panel(panel).as_ptr(),
                width: weights.width,
                bias: direct.bias[panel * weights.width..].as_ptr(),
                // SAFETY: the panel starts at an existing channel of the first output.
                out: unsafe { out.add(panel * weights.width) },
                count: weights.count(panel),
                activation: if last { direct.activation } else { Activation::Identity },
            };
            if strip.images > 1 {
                part.rows = 0..strip.rows;
                // SAFETY: blocks stay within the images of the strip.
                unsafe { by_rows!(strip.images, weights.registers, images_of::<L>(&part,)) };
                continue;
            }
            for row in (0..strip.rows).step_by(band) {
                part.rows = row..(row + band).min(strip.rows);
                // SAFETY: blocks stay within the columns of the pass.
                unsafe { by_rows!(pass.columns, weights.registers, columns_of::<L>(&part,)) };
            }
        }
    }
}

/// `P` neighbouring output columns over some rows of a strip.
///
/// # Safety
/// As [`strip_of`]; output columns `column .. column + P` exist.
#[inline(always)]
unsafe fn columns_of<L: Lanes, const P: usize, const R: usize>(part: &Part<'_>, column: usize) {
    let pass = part.pass;
    let across = pass.taps_across(column, P);
    for row in part.rows.clone() {
        let block = Block {
            row,
            column,
            across: across.clone(),
            read: (0, pass.stride * pass.inputs),
            write: (0, pass.pixel),
        };
        // SAFETY: `taps_across` keeps every read within the window.
        unsafe { block_of::<L, P, R>(part, block) };
    }
}

/// The same pixel of `P` images, for every pixel: no tap of it falls outside for some of them only.
///
/// # Safety
/// As [`strip_of`]; images `image .. image + P` exist.
#[inline(always)]
unsafe fn images_of<L: Lanes, const P: usize, const R: usize>(part: &Part<'_>, image: usize) {
    let pass = part.pass;
    let size = pass.height * pass.width * pass.inputs;
    for row in part.rows.clone() {
        for column in 0..pass.columns {
            let block = Block {
                row,
                column,
                across: pass.taps_across(column, 1),
                read: (image * size, size),
                write: (image * pass.image, pass.image),
            };
            // SAFETY: `taps_across` keeps every read within its image.
            unsafe { block_of::<L, P, R>(part, block) };
        }
    }
}

/// Outputs computed together: the first one's place and the kernel columns to add up.
struct Block {
    row: usize,
    column: usize,
    across: Range<usize>,
    /// Floats from the strip's image to that of the first output, and from output to output.
    read: (usize, usize),
    write: (usize, usize),
}

/// # Safety
/// As [`strip_of`]; the block's outputs exist and the window holds what `across` reads for them.
#[inline(always)]
unsafe fn block_of<L: Lanes, const P: usize, const R: usize>(part: &Part<'_>, block: Block) {
    let (pass, Block { row, column, across, read, write }) = (part.pass, block);
    let (skip, depth) = (across.start * pass.inputs, across.len() * pass.inputs);
    let at = part.window.offset + (read.0 + column * pass.stride * pass.inputs + skip) as isize;
    let start = part.taps.start == 0;
    let down = pass.taps_down(part.start + row);
    // SAFETY: the caller and `taps_down` keep every read within the window, `strip_of` vouches for the rest.
    unsafe {
        let bias: [L; R] = std::array::from_fn(|r| L::load(part.bias.add(r * L::N)));
        let mut sums = if start { [bias; P] } else { [[L::zero(); R]; P] };
        for tap in down.start.max(part.taps.start)..down.end.min(part.taps.end) {
            let line = pass.top + ((part.start + row) * pass.stride + tap) as isize;
            let from = at + ((line as usize - part.window.first) * part.window.pitch) as isize;
            let left = Left { from: part.window.values.as_ptr().offset(from), row: read.1, step: 1 };
            let weights = part.weights.add((tap * pass.kernel_w * pass.inputs + skip) * part.width);
            accumulate(&mut sums, left, weights, R * L::N, depth);
        }
        let to = part.out.add(write.0 + row * pass.row + column * pass.pixel);
        // A copy, so that indexing it does not keep the running sums in memory.
        let done = sums;
        for (p, sums) in done.iter().enumerate() {
            store_row(sums, to.add(p * write.1), part.count, !start);
        }
        activate::<L, P>(part.activation, to, write.1, part.count);
    }
}

/// Applies the nonlinearity to `P` rows of `count` floats just stored, `step` apart.
///
/// # Safety
/// The rows belong to the caller alone.
#[inline(always)]
unsafe fn activate<L: Lanes, const P: usize>(
    activation: Activation,
    to: *mut f32,
    step: usize,
    count: usize,
) {
    if activation == Activation::Identity {
        return;
    }
    for p in 0..P {
        // SAFETY: the caller vouches for the rows.
        crate::epilogue::activate::<L>(activation, unsafe {
            std::slice::from_raw_parts_mut(to.add(p * step), count)
        });
    }
}
