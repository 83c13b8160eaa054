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

/// Gradients of [`forward`].
#[derive(Debug, Clone)]
pub struct Gradients {
    /// To the values, `[rows, channels]`.
    pub values: Vec<f32>,
    /// To the gain, `[channels]`, also where it was the constant 1.
    pub gain: Vec<f32>,
    /// To the offset, `[channels]`.
    pub offset: Vec<f32>,
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
/// swallow the variance, and chunks are merged in `f64`.
///
/// # Panics
/// When `x` is not whole rows.
pub fn moments(channels: usize, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
    assert!(channels > 0 && x.len().is_multiple_of(channels));
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
    let rows = (x.len() / channels) as f64;
    total.iter().map(|[mean, squares]| (*mean as f32, (squares / rows) as f32)).unzip()
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
    let lengths = [affine.mean.len(), affine.scale.len(), affine.offset.len()];
    assert!(channels > 0 && lengths == [channels; 3]);
    assert!(affine.gain.is_none_or(|gain| gain.len() == channels));
    registers(channels, |register, i, channel| {
        register.mean[i] = affine.mean[channel];
        register.scale[i] = affine.scale[channel];
        register.gain[i] = affine.gain.map_or(1.0, |gain| gain[channel]);
        register.offset[i] = affine.offset[channel];
    })
}

/// `a((x − mean) · scale · gain + offset)` into `y`, both `[rows, channels]`.
///
/// # Panics
/// When `x` is not whole rows, `y` is not as long, or a parameter is not `[channels]`.
pub fn forward(channels: usize, activation: Activation, affine: Affine<'_>, x: &[f32], y: &mut [f32]) {
    let parameters = &parameters(channels, affine)[..];
    assert!(x.len() == y.len() && x.len().is_multiple_of(channels));
    let size = chunk(channels);
    y.par_chunks_mut(size).zip(x.par_chunks(size)).for_each(|(y, x)| {
        dispatch!(forward_chunk(activation: Activation, parameters: &[Register], x: &[f32], y: &mut [f32]));
    });
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn forward_chunk<L: Lanes>(activation: Activation, parameters: &[Register], x: &[f32], y: &mut [f32]) {
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

/// Gradients of [`forward`] from the gradient `g` to its output.
///
/// With `batch_statistics`, mean and scale are functions of `x` (training); without, constants.
///
/// # Panics
/// As [`forward`].
pub fn backward(
    channels: usize,
    activation: Activation,
    affine: Affine<'_>,
    batch_statistics: bool,
    x: &[f32],
    g: &[f32],
) -> Gradients {
    let (averages, [gain, offset]) = averages(channels, activation, affine, batch_statistics, x, g);
    let (averages, size) = (&averages[..], chunk(channels));
    let mut values = Vec::with_capacity(x.len());
    let target = &mut values.spare_capacity_mut()[..x.len()];
    target.par_chunks_mut(size).zip(x.par_chunks(size)).zip(g.par_chunks(size)).for_each(
        |((target, x), g)| {
            finish(activation, averages, x, target.write_copy_of_slice(g));
        },
    );
    // SAFETY: the chunks wrote every value.
    unsafe { values.set_len(x.len()) };
    Gradients { values, gain, offset }
}

/// As [`backward`], with the gradient to the values in place of `g`; returns those to gain and offset.
///
/// # Panics
/// As [`forward`].
pub fn backward_in_place(
    channels: usize,
    activation: Activation,
    affine: Affine<'_>,
    batch_statistics: bool,
    x: &[f32],
    g: &mut [f32],
) -> [Vec<f32>; 2] {
    let (averages, gradients) = averages(channels, activation, affine, batch_statistics, x, g);
    let (averages, size) = (&averages[..], chunk(channels));
    g.par_chunks_mut(size).zip(x.par_chunks(size)).for_each(|(g, x)| finish(activation, averages, x, g));
    gradients
}

/// The gradient to the values of a chunk in place of `g`.
fn finish(activation: Activation, averages: &[Register], x: &[f32], g: &mut [f32]) {
    dispatch!(backward_chunk(activation: Activation, averages: &[Register], x: &[f32], g: &mut [f32]));
}

/// Parameters with what batch statistics subtract, and the gradients to gain and offset.
fn averages(
    channels: usize,
    activation: Activation,
    affine: Affine<'_>,
    batch_statistics: bool,
    x: &[f32],
    g: &[f32],
) -> (Vec<Register>, [Vec<f32>; 2]) {
    let mut registers = parameters(channels, affine);
    assert!(x.len() == g.len() && x.len().is_multiple_of(channels));
    let sums = gradient_sums(channels, activation, &registers, x, g);
    let rows = (x.len() / channels) as f64;
    if batch_statistics {
        for at in 0..registers.len() * WIDTH {
            let (register, [sum, product]) = (&mut registers[at / WIDTH], sums[at % channels]);
            register.sum[at % WIDTH] = (sum / rows) as f32;
            register.product[at % WIDTH] = (product / rows) as f32;
        }
    }
    (registers, [1, 0].map(|i| sums.iter().map(|sum| sum[i] as f32).collect()))
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Activation; 4] =
        [Activation::Identity, Activation::Relu, Activation::Softplus, Activation::Elu];

    fn values(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| (((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0) * 2.0).collect()
    }

    fn scales(variance: &[f32]) -> Vec<f32> {
        variance.iter().map(|v| 1.0 / (v + 1e-3).sqrt()).collect()
    }

    /// The definition: mean and variance of each channel.
    fn exact_moments(channels: usize, x: &[f64]) -> Vec<(f64, f64)> {
        let rows = (x.len() / channels) as f64;
        let of = |c: usize| x[c..].iter().step_by(channels);
        let moments = |c| {
            let mean = of(c).sum::<f64>() / rows;
            (mean, of(c).map(|x| (x - mean).powi(2)).sum::<f64>() / rows)
        };
        (0..channels).map(moments).collect()
    }

    fn value(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::Identity => x,
            Activation::Relu => x.max(0.0),
            Activation::Softplus => x.exp().ln_1p(),
            Activation::Elu => {
                if x > 0.0 {
                    x
                } else {
                    x.exp_m1()
                }
            }
        }
    }

    /// ⟨g, forward(x)⟩ in `f64`, from the definition; with batch statistics, or with those given.
    fn objective(
        activation: Activation,
        x: &[f64],
        g: &[f32],
        gain: &[f64],
        offset: &[f64],
        given: Option<&[(f64, f64)]>,
    ) -> f64 {
        let channels = gain.len();
        let moments = given.map_or_else(|| exact_moments(channels, x), <[_]>::to_vec);
        let term = |(i, x): (usize, &f64)| {
            let (mean, variance) = moments[i % channels];
            let drive = (x - mean) / (variance + 1e-3).sqrt() * gain[i % channels] + offset[i % channels];
            f64::from(g[i]) * value(activation, drive)
        };
        x.iter().enumerate().map(term).sum()
    }

    /// Central difference of `f` along coordinate `i`.
    fn difference(at: &[f64], i: usize, f: impl Fn(&[f64]) -> f64) -> f64 {
        let moved = |d: f64| {
            let mut moved = at.to_vec();
            moved[i] += d;
            f(&moved)
        };
        (moved(1e-5) - moved(-1e-5)) / 2e-5
    }

    #[test]
    fn gradients_match_finite_differences_in_double_precision() {
        for (activation, channels, batch_statistics) in [
            (Activation::Identity, 2, true),
            (Activation::Softplus, 2, true),
            (Activation::Elu, 5, true),
            (Activation::Softplus, 1, false),
            (Activation::Elu, 17, false),
        ] {
            let (x, g) = (values(63 * channels, 1), values(63 * channels, 2));
            let (gain, offset) = (values(channels, 5), values(channels, 6));
            let (mean, variance) = moments(channels, &x);
            let scale = scales(&variance);
            let affine = Affine { mean: &mean, scale: &scale, gain: Some(&gain), offset: &offset };
            let ours = backward(channels, activation, affine, batch_statistics, &x, &g);
            let [x, gain, offset] =
                [&x, &gain, &offset].map(|v| v.iter().map(|v| f64::from(*v)).collect::<Vec<_>>());
            let fixed = exact_moments(channels, &x);
            let given = (!batch_statistics).then_some(&fixed[..]);
            for i in (0..x.len()).step_by(5) {
                let exact = difference(&x, i, |x| objective(activation, x, &g, &gain, &offset, given));
                assert!((exact - f64::from(ours.values[i])).abs() < 4e-5, "{activation:?} {i}");
            }
            for c in 0..channels {
                let exact = difference(&offset, c, |o| objective(activation, &x, &g, &gain, o, given));
                assert!((exact - f64::from(ours.offset[c])).abs() < 1e-4, "{activation:?} offset {c}");
                let exact = difference(&gain, c, |a| objective(activation, &x, &g, a, &offset, given));
                assert!((exact - f64::from(ours.gain[c])).abs() < 1e-4, "{activation:?} gain {c}");
            }
        }
    }

    #[test]
    fn forward_gives_every_channel_the_asked_mean_and_spread() {
        let (x, offset) = (values(2 * 63, 3), [0.3, -0.2]);
        let (mean, variance) = moments(2, &x);
        let scale = scales(&variance);
        let mut y = vec![f32::NAN; x.len()];
        let affine = Affine { mean: &mean, scale: &scale, gain: None, offset: &offset };
        forward(2, Activation::Identity, affine, &x, &mut y);
        let (mean, variance) = moments(2, &y);
        for c in 0..2 {
            assert!((mean[c] - offset[c]).abs() < 1e-5);
            assert!((variance[c] - 1.0).abs() < 1e-2);
        }
    }

    #[test]
    fn a_large_mean_does_not_swallow_the_variance() {
        let x: Vec<f32> = values(3 * 5000, 4).iter().map(|x| 10_000.0 + x).collect();
        let exact = exact_moments(3, &x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
        let (mean, variance) = moments(3, &x);
        for (c, (exact_mean, exact_variance)) in exact.into_iter().enumerate() {
            assert!((f64::from(mean[c]) - exact_mean).abs() < 1e-3);
            assert!((f64::from(variance[c]) / exact_variance - 1.0).abs() < 1e-6, "{}", variance[c]);
        }
    }

    #[test]
    fn the_same_bits_on_one_thread_and_on_many() {
        let (x, g, ones) = (values(7 * 9000, 1), values(7 * 9000, 2), [1.0; 7]);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (mean, variance) = moments(7, &x);
                let affine = Affine { mean: &mean, scale: &ones, gain: None, offset: &ones };
                let gradients = backward(7, Activation::Elu, affine, true, &x, &g);
                (mean.clone(), variance, gradients.values, gradients.gain, gradients.offset)
            })
        };
        assert!(run(1) == run(3));
    }

    #[test]
    fn what_is_not_a_number_stays_in_its_channel() {
        let mut x = values(3 * 50, 1);
        x[31] = f32::NAN;
        let (mean, variance) = moments(3, &x);
        let scale = scales(&variance);
        let affine = Affine { mean: &mean, scale: &scale, gain: None, offset: &[0.0; 3] };
        for activation in ALL {
            let mut y = vec![0.0; x.len()];
            forward(3, activation, affine, &x, &mut y);
            let gradients = backward(3, activation, affine, true, &x, &x);
            for (i, (y, gradient)) in y.iter().zip(&gradients.values).enumerate() {
                assert_eq!(y.is_nan(), i % 3 == 1, "{activation:?} {i}");
                assert_eq!(gradient.is_nan(), i % 3 == 1, "{activation:?} {i}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_pass_is_the_definition(
            channels in 1usize..70, rows in 1usize..700, kind in 0usize..4, seed in 0usize..1000,
        ) {
            let (x, activation) = (values(rows * channels, seed), ALL[kind]);
            let exact = exact_moments(channels, &x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
            let (mean, variance) = moments(channels, &x);
            for (c, (exact_mean, exact_variance)) in exact.iter().enumerate() {
                prop_assert!((f64::from(mean[c]) - exact_mean).abs() < 1e-6);
                prop_assert!((f64::from(variance[c]) - exact_variance).abs() < 4e-6);
            }
            let [scale, gain, offset] = [1, 2, 3].map(|i| values(channels, seed + i));
            let affine = Affine { mean: &mean, scale: &scale, gain: Some(&gain), offset: &offset };
            let mut y = vec![f32::NAN; x.len()];
            forward(channels, activation, affine, &x, &mut y);
            let ours = backward(channels, activation, affine, false, &x, &x);
            let mut in_place = x.clone();
            let sums = backward_in_place(channels, activation, affine, false, &x, &mut in_place);
            prop_assert!(in_place == ours.values && sums == [&ours.gain[..], &ours.offset[..]]);
            let (mut to_gain, mut to_offset) = (vec![0.0; channels], vec![0.0; channels]);
            for (i, x) in x.iter().enumerate() {
                let c = i % channels;
                let normal = (x - mean[c]) * scale[c];
                let drive = normal * gain[c] + offset[c];
                let slope = x * activation.slope(drive);
                prop_assert!((f64::from(y[i]) - value(activation, f64::from(drive))).abs() < 4e-6);
                prop_assert!((ours.values[i] - slope * scale[c] * gain[c]).abs() < 4e-6);
                to_offset[c] += f64::from(slope);
                to_gain[c] += f64::from(slope) * f64::from(normal);
            }
            for c in 0..channels {
                prop_assert!((f64::from(ours.offset[c]) - to_offset[c]).abs() < 1e-3);
                prop_assert!((f64::from(ours.gain[c]) - to_gain[c]).abs() < 1e-3);
            }
        }
    }
}
