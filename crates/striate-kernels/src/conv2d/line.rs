//! Convolution of stride 1 with vectors along the pixels, for few output channels.
//!
//! A padded image plane is one long line: moving a kernel tap by (row, column) is moving by
//! `row · pitch + column` floats, so every tap is a plain offset. Columns that straddle two rows are computed
//! and dropped.

use super::pass::{Pass, Strip, inside};
use crate::activation::Activation;
use crate::epilogue::Epilogue;
use crate::lanes::{Lanes, dispatch};

/// Widest overrun of a register block beyond the last output, in floats.
const SLACK: usize = 128;

/// A pass with its weights packed as `[tap][output]`.
pub(super) struct Lines {
    pass: Pass,
    weights: Vec<f32>,
    bias: Vec<f32>,
    activation: Activation,
}

impl Lines {
    pub fn new(
        pass: Pass,
        weight: impl Fn(usize, usize, usize, usize) -> f32,
        epilogue: Epilogue<'_>,
    ) -> Self {
        let mut weights = Vec::with_capacity(pass.inputs * pass.kernel_h * pass.kernel_w * pass.outputs);
        for c in 0..pass.inputs {
            for (y, x) in (0..pass.kernel_h).flat_map(|y| (0..pass.kernel_w).map(move |x| (y, x))) {
                weights.extend((0..pass.outputs).map(|o| weight(o, c, y, x)));
            }
        }
        let bias = epilogue.bias.map_or(vec![0.0; pass.outputs], <[f32]>::to_vec);
        Self { pass, weights, bias, activation: epilogue.activation }
    }

    /// Floats from row to row of a plane.
    fn pitch(&self) -> usize {
        self.pass.columns + self.pass.kernel_w.max(1) - 1
    }

    /// Floats from the first to the last output of a strip.
    fn line(&self, rows: usize) -> usize {
        (rows - 1) * self.pitch() + self.pass.columns
    }

    /// Computes one strip; `scratch` is zero or from an earlier strip of this pass.
    pub fn run(&self, image: &[f32], strip: Strip<'_>, scratch: &mut Vec<f32>) {
        let (pass, line) = (&self.pass, self.line(strip.rows));
        let plane = (strip.rows + pass.kernel_h.max(1) - 1) * self.pitch() + SLACK;
        let (planes, lines) = (pass.inputs * plane, pass.outputs * (line + SLACK));
        if scratch.len() != planes + lines {
            scratch.clear();
            scratch.resize(planes + lines, 0.0);
        }
        let (planes, lines) = scratch.split_at_mut(planes);
        self.spread(image, strip.first, planes, plane);
        let job = Job { lines: self, planes, plane, length: line, stride: line + SLACK };
        let job = &job;
        dispatch!(correlate(job: &Job<'_>, lines: &mut [f32]));
        self.gather(lines, line + SLACK, strip);
    }

    /// Takes the input rows under a strip apart into channels, zeros where there is no image.
    fn spread(&self, image: &[f32], first: usize, planes: &mut [f32], plane: usize) {
        let (pass, pitch) = (&self.pass, self.pitch());
        let columns = inside(pass.left, pitch, pass.width);
        let start = (pass.left + columns.start as isize).max(0) as usize * pass.inputs;
        let size = pass.width * pass.inputs;
        for (c, values) in planes.chunks_exact_mut(plane).enumerate() {
            for (row, to) in values[..plane - SLACK].chunks_exact_mut(pitch).enumerate() {
                let from = pass.top + (first + row) as isize;
                if !(0..pass.height as isize).contains(&from) {
                    to.fill(0.0);
                } else if !columns.is_empty() {
                    let from = image[from as usize * size..][start..size].iter().skip(c).step_by(pass.inputs);
                    to[columns.clone()].iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                }
            }
        }
    }

    /// Puts the output channels together again, without the columns between rows.
    fn gather(&self, lines: &[f32], stride: usize, strip: Strip<'_>) {
        let (pass, pitch) = (&self.pass, self.pitch());
        for (o, line) in lines.chunks_exact(stride).enumerate() {
            for (to, from) in strip.out.chunks_mut(pass.row).zip(line.chunks(pitch)).take(strip.rows) {
                let to = to[o..].iter_mut().step_by(pass.pixel);
                to.zip(&from[..pass.columns]).for_each(|(to, from)| *to = *from);
            }
        }
    }
}

struct Job<'a> {
    lines: &'a Lines,
    planes: &'a [f32],
    plane: usize,
    /// Floats of a line, and from line to line.
    length: usize,
    stride: usize,
}

/// `lines[o, q] = a(bias[o] + Σ_tap weights[tap, o] · planes[offset of tap + q])` for `q < length`.
///
/// # Safety
/// The instruction set of `L` is available; every plane reaches `SLACK` floats beyond the last tap of the
/// last output and every line `SLACK` floats beyond `length`.
#[inline(always)]
unsafe fn correlate<L: Lanes>(job: &Job<'_>, lines: &mut [f32]) {
    let outputs = job.lines.pass.outputs;
    let group = if L::SUMS >= 24 { 8 } else { 4 };
    for first in (0..outputs).step_by(group) {
        // SAFETY: a block is at most `SLACK` floats wide.
        unsafe {
            match (outputs - first).min(group) {
                1 => along::<L, 1, 8>(job, first, lines),
                2 if L::SUMS >= 24 => along::<L, 2, 8>(job, first, lines),
                2 => along::<L, 2, 4>(job, first, lines),
                3 if L::SUMS >= 24 => along::<L, 3, 6>(job, first, lines),
                3 => along::<L, 3, 3>(job, first, lines),
                4 if L::SUMS >= 24 => along::<L, 4, 6>(job, first, lines),
                4 => along::<L, 4, 2>(job, first, lines),
                5 => along::<L, 5, 4>(job, first, lines),
                6 => along::<L, 6, 4>(job, first, lines),
                7 => along::<L, 7, 3>(job, first, lines),
                _ => along::<L, 8, 3>(job, first, lines),
            }
        }
    }
    crate::epilogue::activate::<L>(job.lines.activation, lines);
}

/// `R` output channels from `first` on, `C` registers of pixels at a time.
///
/// # Safety
/// As [`correlate`].
#[inline(always)]
unsafe fn along<L: Lanes, const R: usize, const C: usize>(job: &Job<'_>, first: usize, lines: &mut [f32]) {
    let (pass, bias) = (&job.lines.pass, &job.lines.bias[first..first + R]);
    let pitch = job.lines.pitch();
    for start in (0..job.length).step_by(C * L::N) {
        // SAFETY: the caller vouches for the planes and lines, `weights` holds `outputs` floats per tap.
        unsafe {
            let mut sums: [[L; C]; R] = std::array::from_fn(|r| [L::splat(bias[r]); C]);
            let mut weight = job.lines.weights.as_ptr().add(first);
            for c in 0..pass.inputs {
                for y in 0..pass.kernel_h {
                    let mut from = job.planes.as_ptr().add(c * job.plane + y * pitch + start);
                    for _ in 0..pass.kernel_w {
                        let pixels: [L; C] = std::array::from_fn(|i| L::load(from.add(i * L::N)));
                        for (r, sums) in sums.iter_mut().enumerate() {
                            let scale = L::splat(*weight.add(r));
                            sums.iter_mut().zip(pixels).for_each(|(sum, p)| *sum = sum.add_product(scale, p));
                        }
                        (from, weight) = (from.add(1), weight.add(pass.outputs));
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                let to = lines.as_mut_ptr().add((first + r) * job.stride + start);
                sums.iter().enumerate().for_each(|(i, sum)| sum.store(to.add(i * L::N)));
            }
        }
    }
}
