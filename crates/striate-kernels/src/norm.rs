//! Batch normalisation followed by a nonlinearity, channel-last.
//!
//! Values are `[rows, channels]`, a row being a pixel of an image. Memory is walked in periods, common
//! multiples of the channels and of a register, so that a register of a period meets the same channels in
//! every period: parameters and sums are laid out once over a period, and the loops vectorise for any number
//! of channels. All of it is bound by memory; the backward pass therefore computes the slopes twice rather
//! than store them. Chunks of rows are fixed and added in order, so results do not depend on threads.

use rayon::prelude::*;

use crate::activation::{Activation, Functions};
use crate::lanes::{Lanes, dispatch};
use crate::memory::uninitialised;

/// Floats of a register here: the widest, so that results are laid out alike for every instruction set.
const WIDTH: usize = 16;
/// Registers of a period at least: hides the latency of sums that live in memory.
const REGISTERS: usize = 6;
/// Rows and floats of a chunk, at least.
const ROWS: usize = 256;
const FLOATS: usize = 1 << 14;

/// What each channel is shifted and scaled by: `a((x − mean) · scale · gain + offset)`.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// Mean of each channel.
    pub mean: &'a [f32],
    /// `1 / √(variance + ε)` of each channel.
    pub scale: &'a [f32],
    /// Learned gain of each channel; 1 without.
    pub gain: Option<&'a [f32]>,
    /// Learned offset of each channel.
    pub offset: &'a [f32],
}

/// Parameters and two sums of the channels of one register.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Register {
    mean: [f32; WIDTH],
    scale: [f32; WIDTH],
    gain: [f32; WIDTH],
    offset: [f32; WIDTH],
    /// Of the gradients behind the nonlinearity (backward), of the distances from `mean` (moments).
    sum: [f32; WIDTH],
    /// Of those gradients times the normalised values (backward), of the squared distances (moments).
    product: [f32; WIDTH],
}

impl Register {
    const ZERO: Self = {
        let zero = [0.0; WIDTH];
        Self { mean: zero, scale: zero, gain: zero, offset: zero, sum: zero, product: zero }
    };

    /// Normalised value, before gain and offset.
    #[inline(always)]
    fn normal(&self, i: usize, x: f32) -> f32 {
        (x - self.mean[i]) * self.scale[i]
    }

    /// What the nonlinearity is applied to.
    #[inline(always)]
    fn drive<L: Lanes>(&self, i: usize, normal: f32) -> f32 {
        L::fma(normal, self.gain[i], self.offset[i])
    }
}

/// Floats of a period.
fn period(channels: usize) -> usize {
    let common = channels << WIDTH.trailing_zeros().saturating_sub(channels.trailing_zeros());
    common * (REGISTERS * WIDTH).div_ceil(common)
}

/// Floats of a chunk, whole periods.
fn chunk(channels: usize) -> usize {
    FLOATS.max(ROWS * channels).next_multiple_of(period(channels))
}

/// The registers of a period: `set` writes lane `i` of a register for a channel.
fn registers(channels: usize, set: impl Fn(&mut Register, usize, usize)) -> Vec<Register> {
    let mut registers = vec![Register::ZERO; period(channels) / WIDTH];
    for at in 0..period(channels) {
        set(&mut registers[at / WIDTH], at % WIDTH, at % channels);
    }
    registers
}

/// The two sums of each channel.
fn sums(channels: usize, registers: &[Register]) -> Vec<[f64; 2]> {
    let mut sums = vec![[0.0; 2]; channels];
    for at in 0..registers.len() * WIDTH {
        let (register, i) = (&registers[at / WIDTH], at % WIDTH);
        let [sum, product] = &mut sums[at % channels];
        *sum += f64::from(register.sum[i]);
        *product += f64::from(register.product[i]);
    }
    sums
}

/// Keeps the compiler from vectorising across registers, which lie too far apart: the lanes of one register
/// are to be one vector.
#[inline(always)]
fn apart<T>(register: T) -> T {
    std::hint::black_box(register)
}

/// Runs `$step` for every register of `$x` and `$g`, with its parameters.
///
/// Here and in [`replace`] a macro: a closure called twice is not inlined, and loses the instruction set.
macro_rules! walk {
    ($registers:expr, $x:expr, $g:expr, |$register:ident, $x_lanes:ident, $g_lanes:ident| $step:block) => {
        let registers: &mut [Register] = $registers;
        let period = registers.len() * WIDTH;
        for (x, g) in $x.chunks(period).zip($g.chunks(period)) {
            let ((xs, x_rest), (gs, g_rest)) = (x.as_chunks::<WIDTH>(), g.as_chunks::<WIDTH>());
            for (($register, $x_lanes), $g_lanes) in registers.iter_mut().zip(xs).zip(gs) {
                let $register = apart($register);
                $step
            }
            if !x_rest.is_empty() {
                let $register = &mut registers[xs.len()];
                // Lanes without a value stand at the mean and have no gradient, so that they add nothing.
                let ($x_lanes, $g_lanes) =
                    (&completed(x_rest, $register.mean), &completed(g_rest, [0.0; WIDTH]));
                $step
            }
        }
    };
}

/// As [`walk`], replacing each register of `$out` by what `$step` makes of the register of `$x` and of itself.
macro_rules! replace {
    ($registers:expr, $x:expr, $out:expr, |$register:ident, $x_lanes:ident, $old:ident| $step:block) => {
        let registers: &[Register] = $registers;
        let period = registers.len() * WIDTH;
        for (x, out) in $x.chunks(period).zip($out.chunks_mut(period)) {
            let ((xs, x_rest), (outs, out_rest)) = (x.as_chunks::<WIDTH>(), out.as_chunks_mut::<WIDTH>());
            for (($register, $x_lanes), $old) in registers.iter().zip(xs).zip(outs) {
                let $register = apart($register);
                *$old = $step;
            }
            if !x_rest.is_empty() {
                let $register = &registers[xs.len()];
                let ($x_lanes, $old) = (&completed(x_rest, [0.0; WIDTH]), &completed(out_rest, [0.0; WIDTH]));
                out_rest.copy_from_slice(&($step)[..x_rest.len()]);
            }
        }
    };
}

/// A register from its first values and, behind them, those of `rest`.
#[inline(always)]
fn completed(values: &[f32], mut rest: [f32; WIDTH]) -> [f32; WIDTH] {
    rest[..values.len()].copy_from_slice(values);
    rest
}

/// `$body!(kind)` for the nonlinearity: a match inside the loop would keep it scalar.
macro_rules! by_kind {
    ($activation:expr, $body:ident) => {
        match $activation {
            Activation::Identity => {
                $body!(Activation::Identity);
            }
            Activation::Relu => {
                $body!(Activation::Relu);
            }
            Activation::Softplus => {
                $body!(Activation::Softplus);
            }
            Activation::Elu => {
                $body!(Activation::Elu);
            }
        }
    };
}

/// Mean and variance (dividing by the count) of each channel of `x`, `[rows, channels]`.
///
/// One pass over memory: every chunk sums the distances from its first row, so that a large mean does not
/// swallow the variance, and chunks are merged in `f64`. Both are 0 if there are no rows.
///
/// # Panics
/// When `x` is not whole rows.
pub fn moments(channels: usize, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let rows = rows(channels, x);
    let size = chunk(channels);
    let parts: Vec<Vec<[f64; 2]>> = x.par_chunks(size).map(|x| chunk_moments(channels, x)).collect();
    let mut total = vec![[0.0f64; 2]; channels];
    for (i, part) in parts.iter().enumerate() {
        let before = (i * size / channels) as f64;
        let count = (size.min(x.len() - i * size) / channels) as f64;
        for ([mean, squares], [part_mean, part_squares]) in total.iter_mut().zip(part) {
            let distance = part_mean - *mean;
            *mean += distance * count / (before + count);
            *squares += part_squares + distance * distance * before * count / (before + count);
        }
    }
    total.iter().map(|[mean, squares]| (*mean as f32, (squares / rows) as f32)).unzip()
}

/// The number of rows, to divide by: 1 if there are none.
fn rows(channels: usize, x: &[f32]) -> f64 {
    let whole = channels > 0 && x.len().is_multiple_of(channels);
    assert!(whole, "{} values are not whole rows of {channels} channels", x.len());
    (x.len() / channels).max(1) as f64
}

/// Mean, and sum of the squared distances from it, of each channel.
fn chunk_moments(channels: usize, x: &[f32]) -> Vec<[f64; 2]> {
    let mut filled = registers(channels, |register, i, channel| register.mean[i] = x[channel]);
    let to = &mut filled[..];
    dispatch!(add_distances(to: &mut [Register], x: &[f32]));
    let rows = (x.len() / channels) as f64;
    let mut sums = sums(channels, &filled);
    for ([sum, squares], first) in sums.iter_mut().zip(x) {
        let rest = *squares - *sum * *sum / rows;
        // Not `max`, which would hide NaN.
        *squares = if rest < 0.0 { 0.0 } else { rest };
        *sum = f64::from(*first) + *sum / rows;
    }
    sums
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn add_distances<L: Lanes>(registers: &mut [Register], x: &[f32]) {
    walk!(registers, x, x, |register, x, _g| {
        for (i, x) in x.iter().enumerate() {
            let distance = x - register.mean[i];
            register.sum[i] += distance;
            register.product[i] = L::fma(distance, distance, register.product[i]);
        }
    });
}

fn parameters(channels: usize, affine: Affine<'_>) -> Vec<Register> {
    let gain = affine.gain.map_or(channels, <[f32]>::len);
    let lengths = [affine.mean.len(), affine.scale.len(), gain, affine.offset.len()];
    assert_eq!(
        lengths, [channels; 4],
        "mean, scale, gain and offset (left), one of each per channel (right)"
    );
    registers(channels, |register, i, channel| {
        register.mean[i] = affine.mean[channel];
        register.scale[i] = affine.scale[channel];
        register.gain[i] = affine.gain.map_or(1.0, |gain| gain[channel]);
        register.offset[i] = affine.offset[channel];
    })
}

/// `a((x − mean) · scale · gain + offset)` of values `[rows, channels]`.
///
/// # Panics
/// When `x` is not whole rows, or a parameter is not `[channels]`.
pub fn forward(channels: usize, activation: Activation, affine: Affine<'_>, x: &[f32]) -> Vec<f32> {
    rows(channels, x);
    let (parameters, size) = (&parameters(channels, affine)[..], chunk(channels));
    // SAFETY: the chunks write every value, after zeros where they read.
    let mut y = unsafe { uninitialised(x.len()) };
    y.par_chunks_mut(size).zip(x.par_chunks(size)).for_each(|(y, x)| {
        dispatch!(forward_chunk(activation: Activation, parameters: &[Register], x: &[f32], y: &mut [f32]));
    });
    y
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn forward_chunk<L: Lanes>(activation: Activation, parameters: &[Register], x: &[f32], y: &mut [f32]) {
    // `replace` reads what does not fill a register, and `y` holds nothing yet.
    y.as_chunks_mut::<WIDTH>().1.fill(0.0);
    macro_rules! each {
        ($kind:expr) => {
            replace!(parameters, x, y, |register, x, _old| {
                let mut y = [0.0; WIDTH];
                for i in 0..WIDTH {
                    y[i] = $kind.value_in::<L>(register.drive::<L>(i, register.normal(i, x[i])));
                }
                y
            });
        };
    }
    by_kind!(activation, each);
}

/// Gradients to values (in place of `g`), gain and offset of [`forward`], those of them that are `wanted`, from the
/// gradient `g` to its output; that to the gain also where it was the constant 1.
///
/// With `batch_statistics`, mean and scale are functions of `x` (training); without, constants.
///
/// # Panics
/// As [`forward`], and when `g` is not as long as `x`.
pub fn backward(
    channels: usize,
    activation: Activation,
    affine: Affine<'_>,
    batch_statistics: bool,
    x: &[f32],
    mut g: Vec<f32>,
    wanted: [bool; 3],
) -> [Option<Vec<f32>>; 3] {
    let (rows, mut averages) = (rows(channels, x), parameters(channels, affine));
    assert_eq!(x.len(), g.len(), "values (left) and gradients (right)");
    let [to_values, to_gain, to_offset] = wanted;
    // Both sums come of one pass.
    let summed = to_gain || to_offset || to_values && batch_statistics;
    let sums = if summed { gradient_sums(channels, activation, &averages, x, &g) } else { Vec::new() };
    if to_values {
        if batch_statistics {
            subtract(&mut averages, &sums, rows);
        }
        finish(channels, activation, &averages, x, &mut g);
    }
    let row = |i: usize| sums.iter().map(|sum| sum[i] as f32).collect();
    [to_values.then_some(g), to_gain.then(|| row(1)), to_offset.then(|| row(0))]
}

/// Adds what batch statistics subtract to the parameters.
fn subtract(registers: &mut [Register], sums: &[[f64; 2]], rows: f64) {
    for at in 0..registers.len() * WIDTH {
        let (register, [sum, product]) = (&mut registers[at / WIDTH], sums[at % sums.len()]);
        register.sum[at % WIDTH] = (sum / rows) as f32;
        register.product[at % WIDTH] = (product / rows) as f32;
    }
}

/// The gradient to the values in place of `g`.
fn finish(channels: usize, activation: Activation, averages: &[Register], x: &[f32], g: &mut [f32]) {
    let size = chunk(channels);
    g.par_chunks_mut(size).zip(x.par_chunks(size)).for_each(|(g, x)| {
        dispatch!(backward_chunk(activation: Activation, averages: &[Register], x: &[f32], g: &mut [f32]));
    });
}

/// Per channel: sum of the gradients behind the nonlinearity, and of their products with the normalised
/// values.
fn gradient_sums(
    channels: usize,
    activation: Activation,
    parameters: &[Register],
    x: &[f32],
    g: &[f32],
) -> Vec<[f64; 2]> {
    let size = chunk(channels);
    let part = |(x, g): (&[f32], &[f32])| {
        let mut filled = parameters.to_vec();
        let to = &mut filled[..];
        dispatch!(add_gradients(activation: Activation, to: &mut [Register], x: &[f32], g: &[f32]));
        sums(channels, &filled)
    };
    let parts: Vec<_> = x.par_chunks(size).zip(g.par_chunks(size)).map(part).collect();
    let mut total = vec![[0.0; 2]; channels];
    for part in &parts {
        for (total, part) in total.iter_mut().zip(part) {
            *total = [total[0] + part[0], total[1] + part[1]];
        }
    }
    total
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn add_gradients<L: Lanes>(activation: Activation, registers: &mut [Register], x: &[f32], g: &[f32]) {
    macro_rules! each {
        ($kind:expr) => {
            walk!(registers, x, g, |register, x, g| {
                for i in 0..WIDTH {
                    let normal = register.normal(i, x[i]);
                    let gradient = g[i] * $kind.slope_in::<L>(register.drive::<L>(i, normal));
                    register.sum[i] += gradient;
                    register.product[i] = L::fma(gradient, normal, register.product[i]);
                }
            });
        };
    }
    by_kind!(activation, each);
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn backward_chunk<L: Lanes>(activation: Activation, averages: &[Register], x: &[f32], g: &mut [f32]) {
    macro_rules! each {
        ($kind:expr) => {
            replace!(averages, x, g, |register, x, g| {
                let mut out = [0.0; WIDTH];
                for i in 0..WIDTH {
                    let normal = register.normal(i, x[i]);
                    let gradient = g[i] * $kind.slope_in::<L>(register.drive::<L>(i, normal));
                    let centred = L::fma(-normal, register.product[i], gradient - register.sum[i]);
                    out[i] = register.scale[i] * register.gain[i] * centred;
                }
                out
            });
        };
    }
    by_kind!(activation, each);
}

#[cfg(test)]
mod tests;
