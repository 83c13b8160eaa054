//! Batch normalisation followed by a nonlinearity, in one pass over the values.
//!
//! Values are `[batch, channel, pixel]`. A task owns a channel, so sums never depend on threads.

use rayon::prelude::*;

use crate::activation::Activation;
use crate::lanes::{Lanes, dispatch};

/// Sizes of `[batch, channel, pixel]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planes {
    /// Images.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Pixels of one plane.
    pub pixels: usize,
}

impl Planes {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.batch * self.channels * self.pixels
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn start(&self, image: usize, channel: usize) -> usize {
        (image * self.channels + channel) * self.pixels
    }

    fn per_channel(&self) -> f64 {
        (self.batch * self.pixels) as f64
    }
}

/// What each channel is shifted and scaled by: `a((x − mean) · scale + offset)`.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// Mean of each channel.
    pub mean: &'a [f32],
    /// `1 / √(variance + ε)` of each channel.
    pub scale: &'a [f32],
    /// Learned offset of each channel.
    pub offset: &'a [f32],
}

/// Gradients of [`forward`].
#[derive(Debug, Clone)]
pub struct Gradients {
    /// To the values, `[batch, channel, pixel]`.
    pub values: Vec<f32>,
    /// To the offset, `[channel]`.
    pub offset: Vec<f32>,
}

/// Mean and variance (dividing by the count) of each channel over batch and pixels.
///
/// # Panics
/// When `x` does not have the length of `planes`.
pub fn moments(planes: Planes, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
    assert_eq!(x.len(), planes.len());
    (0..planes.channels)
        .into_par_iter()
        .map(|channel| {
            let rows = || (0..planes.batch).map(|b| &x[planes.start(b, channel)..][..planes.pixels]);
            let mean =
                rows().map(|row| f64::from(sum_of(row, 0.0, false))).sum::<f64>() / planes.per_channel();
            let squares: f64 = rows().map(|row| f64::from(sum_of(row, mean as f32, true))).sum();
            (mean as f32, (squares / planes.per_channel()) as f32)
        })
        .unzip()
}

/// Sum of `x − centre`, or of its square, in sixteen running sums.
fn sum_of(row: &[f32], centre: f32, squared: bool) -> f32 {
    let mut total = 0.0;
    let out = &mut total;
    dispatch!(sum_into(row: &[f32], centre: f32, squared: bool, out: &mut f32));
    total
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn sum_into<L: Lanes>(row: &[f32], centre: f32, squared: bool, out: &mut f32) {
    let mut sums = [0.0f32; 16];
    let (chunks, rest) = row.as_chunks::<16>();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            let d = x - centre;
            *sum += if squared { d * d } else { d };
        }
    }
    let tail: f32 = rest.iter().map(|x| if squared { (x - centre) * (x - centre) } else { x - centre }).sum();
    *out = sums.iter().sum::<f32>() + tail;
}

/// `a((x − mean) · scale + offset)` into `y`.
///
/// # Panics
/// When a slice does not have the length of `planes`.
pub fn forward(planes: Planes, activation: Activation, affine: Affine<'_>, x: &[f32], y: &mut [f32]) {
    assert!(x.len() == planes.len() && y.len() == planes.len());
    y.par_chunks_mut(planes.pixels).zip(x.par_chunks(planes.pixels)).enumerate().for_each(|(row, (y, x))| {
        let channel = row % planes.channels;
        let (mean, scale, offset) = (affine.mean[channel], affine.scale[channel], affine.offset[channel]);
        dispatch!(forward_row(
            activation: Activation, mean: f32, scale: f32, offset: f32, x: &[f32], y: &mut [f32]
        ));
    });
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn forward_row<L: Lanes>(
    activation: Activation,
    mean: f32,
    scale: f32,
    offset: f32,
    x: &[f32],
    y: &mut [f32],
) {
    // One loop per nonlinearity: a match inside the loop would keep it scalar.
    macro_rules! each {
        ($kind:expr) => {
            for (y, x) in y.iter_mut().zip(x) {
                *y = $kind.value((x - mean) * scale + offset);
            }
        };
    }
    match activation {
        Activation::Identity => each!(Activation::Identity),
        Activation::Relu => each!(Activation::Relu),
        Activation::Softplus => each!(Activation::Softplus),
        Activation::Elu => each!(Activation::Elu),
    }
}

/// Gradients of [`forward`] from the gradient `g` to its output.
///
/// With `batch_statistics`, mean and scale are functions of `x` (training); without, constants.
///
/// # Panics
/// When a slice does not have the length of `planes`.
pub fn backward(
    planes: Planes,
    activation: Activation,
    affine: Affine<'_>,
    batch_statistics: bool,
    x: &[f32],
    g: &[f32],
) -> Gradients {
    assert!(x.len() == planes.len() && g.len() == planes.len());
    let mut values = vec![0.0; planes.len()];
    values.par_chunks_mut(planes.pixels).zip(x.par_chunks(planes.pixels)).zip(g.par_chunks(planes.pixels)).enumerate().for_each(
        |(row, ((out, x), g))| {
            let channel = row % planes.channels;
            let (mean, scale, offset) = (affine.mean[channel], affine.scale[channel], affine.offset[channel]);
            dispatch!(slope_row(
                activation: Activation, mean: f32, scale: f32, offset: f32, x: &[f32], g: &[f32], out: &mut [f32]
            ));
        },
    );
    let sums = channel_sums(planes, affine, x, &values);
    let count = planes.per_channel();
    values.par_chunks_mut(planes.pixels).zip(x.par_chunks(planes.pixels)).enumerate().for_each(
        |(row, (out, x))| {
            let channel = row % planes.channels;
            let (mean, scale) = (affine.mean[channel], affine.scale[channel]);
            let (shift, slope) = if batch_statistics {
                ((sums[channel].0 / count) as f32, (sums[channel].1 / count) as f32)
            } else {
                (0.0, 0.0)
            };
            dispatch!(centre_row(mean: f32, scale: f32, shift: f32, slope: f32, x: &[f32], out: &mut [f32]));
        },
    );
    Gradients { values, offset: sums.iter().map(|(sum, _)| *sum as f32).collect() }
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn slope_row<L: Lanes>(
    activation: Activation,
    mean: f32,
    scale: f32,
    offset: f32,
    x: &[f32],
    g: &[f32],
    out: &mut [f32],
) {
    macro_rules! each {
        ($kind:expr) => {
            for ((out, x), g) in out.iter_mut().zip(x).zip(g) {
                *out = g * $kind.slope((x - mean) * scale + offset);
            }
        };
    }
    match activation {
        Activation::Identity => each!(Activation::Identity),
        Activation::Relu => each!(Activation::Relu),
        Activation::Softplus => each!(Activation::Softplus),
        Activation::Elu => each!(Activation::Elu),
    }
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn centre_row<L: Lanes>(mean: f32, scale: f32, shift: f32, slope: f32, x: &[f32], out: &mut [f32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = scale * (*out - shift - (x - mean) * scale * slope);
    }
}

/// Per channel: sum of the gradients, and of their products with the normalised values.
fn channel_sums(planes: Planes, affine: Affine<'_>, x: &[f32], gradients: &[f32]) -> Vec<(f64, f64)> {
    (0..planes.channels)
        .into_par_iter()
        .map(|channel| {
            let (mean, scale) = (affine.mean[channel], affine.scale[channel]);
            (0..planes.batch).fold((0.0, 0.0), |(sum, product), b| {
                let start = planes.start(b, channel);
                let (x, g) = (&x[start..][..planes.pixels], &gradients[start..][..planes.pixels]);
                let mut row = (0.0, 0.0);
                let out = &mut row;
                dispatch!(product_row(mean: f32, scale: f32, x: &[f32], g: &[f32], out: &mut (f32, f32)));
                (sum + f64::from(row.0), product + f64::from(row.1))
            })
        })
        .collect()
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn product_row<L: Lanes>(mean: f32, scale: f32, x: &[f32], g: &[f32], out: &mut (f32, f32)) {
    let (mut sums, mut products) = ([0.0f32; 16], [0.0f32; 16]);
    let ((xs, x_rest), (gs, g_rest)) = (x.as_chunks::<16>(), g.as_chunks::<16>());
    for (x, g) in xs.iter().zip(gs) {
        for i in 0..16 {
            sums[i] += g[i];
            products[i] += g[i] * ((x[i] - mean) * scale);
        }
    }
    for (i, (x, g)) in x_rest.iter().zip(g_rest).enumerate() {
        sums[i] += g;
        products[i] += g * ((x - mean) * scale);
    }
    *out = (sums.iter().sum(), products.iter().sum());
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANES: Planes = Planes { batch: 3, channels: 2, pixels: 21 };
    const OFFSET: [f32; 2] = [0.3, -0.2];

    fn values(seed: usize) -> Vec<f32> {
        (0..PLANES.len()).map(|i| (((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0) * 2.0).collect()
    }

    fn scales(variance: &[f32]) -> Vec<f32> {
        variance.iter().map(|v| 1.0 / (v + 1e-3).sqrt()).collect()
    }

    /// ⟨g, forward(x)⟩ with batch statistics, in `f64`, from the definition.
    fn objective(activation: Activation, x: &[f64], g: &[f32], offset: &[f64]) -> f64 {
        let mut total = 0.0;
        for (channel, offset) in offset.iter().enumerate() {
            let at: Vec<usize> = (0..PLANES.batch)
                .flat_map(|b| PLANES.start(b, channel)..PLANES.start(b, channel) + PLANES.pixels)
                .collect();
            let mean = at.iter().map(|&i| x[i]).sum::<f64>() / PLANES.per_channel();
            let variance = at.iter().map(|&i| (x[i] - mean).powi(2)).sum::<f64>() / PLANES.per_channel();
            for &i in &at {
                let pre = (x[i] - mean) / (variance + 1e-3).sqrt() + offset;
                let y = match activation {
                    Activation::Identity => pre,
                    Activation::Relu => pre.max(0.0),
                    Activation::Softplus => pre.exp().ln_1p(),
                    Activation::Elu => {
                        if pre > 0.0 {
                            pre
                        } else {
                            pre.exp_m1()
                        }
                    }
                };
                total += f64::from(g[i]) * y;
            }
        }
        total
    }

    #[test]
    fn gradients_match_finite_differences_in_double_precision() {
        for activation in [Activation::Identity, Activation::Softplus, Activation::Elu] {
            let (x, g) = (values(1), values(2));
            let (mean, variance) = moments(PLANES, &x);
            let scale = scales(&variance);
            let affine = Affine { mean: &mean, scale: &scale, offset: &OFFSET };
            let gradients = backward(PLANES, activation, affine, true, &x, &g);
            let exact: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
            let offset = OFFSET.map(f64::from);
            for i in (0..x.len()).step_by(5) {
                let at = |d: f64| {
                    let mut moved = exact.clone();
                    moved[i] += d;
                    objective(activation, &moved, &g, &offset)
                };
                let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((difference - f64::from(gradients.values[i])).abs() < 2e-5, "{activation:?} {i}");
            }
            for c in 0..2 {
                let at = |d: f64| {
                    let mut moved = offset;
                    moved[c] += d;
                    objective(activation, &exact, &g, &moved)
                };
                let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!(
                    (difference - f64::from(gradients.offset[c])).abs() < 1e-4,
                    "{activation:?} offset {c}"
                );
            }
        }
    }

    #[test]
    fn forward_gives_every_channel_the_asked_mean_and_spread() {
        let x = values(3);
        let (mean, variance) = moments(PLANES, &x);
        let scale = scales(&variance);
        let mut y = vec![f32::NAN; x.len()];
        forward(
            PLANES,
            Activation::Identity,
            Affine { mean: &mean, scale: &scale, offset: &OFFSET },
            &x,
            &mut y,
        );
        let (mean, variance) = moments(PLANES, &y);
        for c in 0..2 {
            assert!((mean[c] - OFFSET[c]).abs() < 1e-5);
            assert!((variance[c] - 1.0).abs() < 1e-2);
        }
    }
}
