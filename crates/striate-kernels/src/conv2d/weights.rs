//! Gradient to the weights: for every tap, products of input and output gradient summed over the pixels.

use rayon::prelude::*;

use super::Conv2d;
use super::pass::{Pass, Window};
use crate::lanes::{Lanes, dispatch};
use crate::sums::in_order;
use crate::tile::{Left, accumulate, by_rows, lanes, registers, store_row};

/// Parts of the batch summed apart, at most: fixed, so that their order does not depend on threads.
const PARTS: usize = 16;
/// Floats of all their sums together, which bounds the memory.
const SUMS: usize = 4 << 20;
/// Floats of output gradient per strip: its strip is read once for every few taps.
const STRIP: usize = 16 * 1024;
/// Floats read, but not used, beyond a kernel row.
const SLACK: usize = 64;

/// Which matrix is read in registers: the left one is read one float at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Along {
    /// `[kernel column · input]` × `[output]`.
    Outputs,
    /// `[output]` × `[kernel column · input]`, for few outputs.
    Taps,
}

/// One kernel row's sums are a matrix `[left][right]`, right in whole registers.
struct Sums {
    pass: Pass,
    along: Along,
    left: usize,
    right: usize,
    registers: usize,
    width: usize,
}

pub(super) fn gradient(conv: &Conv2d, images: &[f32], grad_out: &[f32]) -> Vec<f32> {
    let sums = Sums::new(conv.forward_pass());
    let (image, batch) = (conv.image_size(), images.len() / conv.image_size());
    let rows = sums.strip_rows(batch);
    let strips = sums.pass.rows.div_ceil(rows);
    let group = sums.group(batch);
    let tasks: Vec<usize> = (0..batch.div_ceil(group) * strips).collect();
    let count = (SUMS / sums.len()).clamp(2, PARTS);
    let part = |tasks: &[usize]| {
        let (mut total, mut scratch) = (vec![0.0; sums.len()], [Vec::new(), Vec::new()]);
        for task in tasks {
            let (b, first) = (task / strips * group, task % strips * rows);
            let (count, group) = (rows.min(sums.pass.rows - first), group.min(batch - b));
            let grad = &grad_out[b * sums.pass.image + first * sums.pass.row..];
            let (images, grad) = (&images[b * image..], &grad[..group * count * sums.pass.row]);
            sums.add(&images[..group * image], grad, [first, count], &mut scratch, &mut total);
        }
        total
    };
    let parts = tasks.par_chunks(tasks.len().div_ceil(count).max(1)).map(part).collect();
    sums.unpack(conv, &in_order(parts, sums.len()))
}

impl Sums {
    fn new(pass: Pass) -> Self {
        let (taps, outputs) = (pass.kernel_w * pass.inputs, pass.outputs);
        let along = if outputs <= lanes() / 2 && taps > outputs { Along::Taps } else { Along::Outputs };
        let (left, right) = if along == Along::Taps { (outputs, taps) } else { (taps, outputs) };
        let registers = registers(right, lanes());
        Self { pass, along, left, right, registers, width: registers * lanes() }
    }

    fn panels(&self) -> usize {
        self.right.div_ceil(self.width)
    }

    fn len(&self) -> usize {
        self.pass.kernel_h * self.left * self.panels() * self.width
    }

    /// Position of a weight among the sums, `[panel][kernel row][left][right of the panel]`.
    fn place(&self, output: usize, y: usize, tap: usize) -> usize {
        let (left, right) = if self.along == Along::Taps { (output, tap) } else { (tap, output) };
        let panel = right / self.width;
        ((panel * self.pass.kernel_h + y) * self.left + left) * self.width + right % self.width
    }

    /// The sums in the order of the weights, `[outputs, inputs, kernel_h, kernel_w]`.
    fn unpack(&self, conv: &Conv2d, total: &[f32]) -> Vec<f32> {
        let mut weights = Vec::with_capacity(conv.weight(conv.outputs, 0, 0, 0));
        for (o, c) in (0..conv.outputs).flat_map(|o| (0..conv.inputs).map(move |c| (o, c))) {
            for y in 0..conv.kernel_h {
                weights.extend((0..conv.kernel_w).map(|x| total[self.place(o, y, x * conv.inputs + c)]));
            }
        }
        weights
    }

    fn strip_rows(&self, batch: usize) -> usize {
        self.pass.strip_rows(batch).min((STRIP / self.pass.row).max(1))
    }

    /// Images whose products are summed before they are added to the sums: several small ones read in place.
    fn group(&self, batch: usize) -> usize {
        let whole = self.strip_rows(batch) == self.pass.rows;
        if self.along == Along::Taps || !whole || !self.pass.fits() {
            return 1;
        }
        (STRIP / self.pass.image).min(batch / PARTS).max(1)
    }

    /// Adds the products of `rows` output rows from `first` on, or of all rows of several images.
    fn add(
        &self,
        image: &[f32],
        grad: &[f32],
        [first, rows]: [usize; 2],
        scratch: &mut [Vec<f32>; 2],
        total: &mut [f32],
    ) {
        let [input, output] = scratch;
        let images = grad.len() / (rows * self.pass.row);
        let (window, grad, pixel) = match self.along {
            Along::Taps => (self.pass.copy(image, first, rows, SLACK, input), grad, self.pass.outputs),
            Along::Outputs => {
                let (grad, pixel) = self.whole_registers(grad, output);
                (self.pass.window(image, first, rows, input), grad, pixel)
            }
        };
        let strip = Strip { sums: self, window, grad, pixel, images, first, rows };
        let strip = &strip;
        dispatch!(strip_of(strip: &Strip<'_>, total: &mut [f32]));
    }

    /// The gradient with its channels in whole registers: as it is, or copied.
    fn whole_registers<'a>(&self, grad: &'a [f32], scratch: &'a mut Vec<f32>) -> (&'a [f32], usize) {
        let (channels, pixel) = (self.right, self.panels() * self.width);
        if channels == pixel {
            return (grad, pixel);
        }
        scratch.resize((grad.len() / channels * pixel).max(scratch.len()), 0.0);
        for (to, from) in scratch.chunks_exact_mut(pixel).zip(grad.chunks_exact(channels)) {
            to[..channels].copy_from_slice(from);
        }
        (scratch, pixel)
    }
}

struct Strip<'a> {
    sums: &'a Sums,
    window: Window<'a>,
    /// Output gradient of the strip, pixels `pixel` floats apart.
    grad: &'a [f32],
    pixel: usize,
    images: usize,
    first: usize,
    rows: usize,
}

/// # Safety
/// The instruction set of `L` is available, the strip's slices reach its last pixel with whole registers, and
/// `total` has the length of the sums.
#[inline(always)]
unsafe fn strip_of<L: Lanes>(strip: &Strip<'_>, total: &mut [f32]) {
    let sums = strip.sums;
    let lines = sums.pass.kernel_h * sums.panels();
    for (line, to) in total.chunks_exact_mut(sums.left * sums.width).enumerate().take(lines) {
        let (panel, tap) = (line / sums.pass.kernel_h, line % sums.pass.kernel_h);
        let (to, panel) = (to.as_mut_ptr(), panel * sums.width);
        // SAFETY: blocks stay below `left`; `to` holds `left` rows.
        unsafe { by_rows!(sums.left, sums.registers, block_of::<L>(strip, tap, panel, to)) };
    }
}

/// `P` rows of the left matrix from `left` on times `R` registers of the right one from `right` on.
///
/// # Safety
/// As [`strip_of`].
#[inline(always)]
unsafe fn block_of<L: Lanes, const P: usize, const R: usize>(
    strip: &Strip<'_>,
    tap: usize,
    right: usize,
    to: *mut f32,
    left: usize,
) {
    let (sums, pass, window) = (strip.sums, &strip.sums.pass, &strip.window);
    let (low, high) = match sums.along {
        Along::Outputs => (left, left + P - 1),
        Along::Taps => (right, (right + R * L::N).min(sums.right) - 1),
    };
    let columns = pass.columns_under(low / pass.inputs, high / pass.inputs);
    let down = pass.rows_under(tap);
    let (step, depth) = (pass.stride * pass.inputs, columns.len());
    // SAFETY: `columns_under` and `rows_under` keep every read within the window.
    unsafe {
        let mut block = [[L::zero(); R]; P];
        let size = pass.height * pass.width * pass.inputs;
        let rows = down.start.max(strip.first)..down.end.min(strip.first + strip.rows);
        for image in 0..strip.images {
            for row in rows.clone() {
                let line = (pass.top + (row * pass.stride + tap) as isize) as usize - window.first;
                let pixels = image * size + line * window.pitch + columns.start * step;
                let pixels = window.values.as_ptr().offset(window.offset + pixels as isize);
                let grad = (image * strip.rows + row - strip.first) * pass.columns + columns.start;
                let grad = strip.grad.as_ptr().add(grad * strip.pixel);
                let ((from, row, step), (b, b_step)) = match sums.along {
                    Along::Outputs => ((pixels.add(left), 1, step), (grad.add(right), strip.pixel)),
                    Along::Taps => ((grad.add(left), 1, strip.pixel), (pixels.add(right), step)),
                };
                accumulate(&mut block, Left { from, row, step }, b, b_step, depth);
            }
        }
        // A copy, so that indexing it does not keep the running sums in memory.
        let done = block;
        for (p, block) in done.iter().enumerate() {
            store_row(block, to.add((left + p) * sums.width), sums.width, true);
        }
    }
}
