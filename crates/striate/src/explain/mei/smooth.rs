//! Gradients made smooth, so that a search does not end in noise of single pixels.
//!
//! A positive matrix before the gradient makes other steps and leaves the optimum where it is, as long as the step has no part along
//! the stimulus. Total variation is punished instead, which moves the optimum.

use burn::prelude::*;

use super::super::waves::{Waves, matrix, mixed};
use super::Smooth;

/// What is made of gradients `[row, channel, height, width]`.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a search has one")]
pub(super) enum Smoother {
    /// Left as they are.
    None,
    /// Rows and columns are mixed, by `[height, height]` and `[width, width]`.
    Mix(Tensor<2>, Tensor<2>),
    /// Waves have weights, `[height, width]`.
    Weigh(Waves, Tensor<2>),
    /// Total variation of the stimulus goes down by this share of the gradient.
    Tv,
}

/// S.d. of the blur, in pixels.
const BLUR_PX: f64 = 1.0;
/// Share of the gradient that total variation has.
const TV: f64 = 0.3;

impl Smoother {
    /// For images of so many rows and columns.
    pub fn new(kind: Smooth, [height, width]: [usize; 2], device: &Device) -> Self {
        match kind {
            Smooth::None => Self::None,
            Smooth::Tv => Self::Tv,
            Smooth::Blur => {
                let near =
                    |_: usize, a: usize, b: usize| (-0.5 * (a.abs_diff(b) as f64 / BLUR_PX).powi(2)).exp();
                Self::Mix(matrix(height, &near, device), matrix(width, &near, device))
            }
            Smooth::Fourier => {
                let weight = |i: usize| falling([i / width, i % width], [height, width]) as f32;
                let weights = TensorData::new((0..height * width).map(weight).collect(), [height, width]);
                Self::Weigh(Waves::new([height, width], device), Tensor::from_data(weights, device))
            }
        }
    }

    /// Of the `gradient` at a `stimulus`, both `[row, channel, height, width]`.
    pub fn apply(&self, gradient: Tensor<4>, stimulus: &Tensor<4>) -> Tensor<4> {
        match self {
            Self::None => gradient,
            Self::Tv => {
                let rough = total_variation(stimulus);
                let scale = norm(&gradient) / norm(&rough).clamp_min(1e-30);
                gradient - rough * scale.mul_scalar(TV)
            }
            Self::Mix(rows, columns) => mixed(gradient, rows, columns),
            Self::Weigh(waves, weights) => waves.back(waves.of(gradient) * weights.clone().unsqueeze::<4>()),
        }
    }
}

/// Weight of a wave: one over its frequency in cycles per pixel, that of a whole image being the least.
fn falling(wave: [usize; 2], sides: [usize; 2]) -> f64 {
    let cycles = |i: usize| wave[i] as f64 / (2.0 * sides[i] as f64);
    let least = 1.0 / sides.into_iter().max().unwrap_or(1) as f64;
    least / cycles(0).hypot(cycles(1)).max(least)
}

/// Gradient of the sum of absolute differences between neighbours.
fn total_variation(x: &Tensor<4>) -> Tensor<4> {
    [2, 3].into_iter().fold(x.zeros_like(), |sum, axis| {
        let side = x.dims()[axis];
        if side < 2 {
            return sum;
        }
        let step = x.clone().slice_dim(axis, 1..side) - x.clone().slice_dim(axis, 0..side - 1);
        let sign = step.clone() / step.abs().add_scalar(1e-6);
        let edge = x.clone().slice_dim(axis, 0..1).zeros_like();
        sum + Tensor::cat(vec![edge.clone(), sign.clone()], axis) - Tensor::cat(vec![sign, edge], axis)
    })
}

/// Norm of each image, `[row, 1, 1, 1]`.
fn norm(x: &Tensor<4>) -> Tensor<4> {
    x.clone().square().sum_dim(1).sum_dim(2).sum_dim(3).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::weights::to_host;
    use crate::random::{generator, normal};

    fn images(stream: u64) -> Tensor<4> {
        let values = normal(&mut generator(3, stream), 2 * 6 * 5, 0.0, 1.0);
        Tensor::from_data(TensorData::new(values, [2, 1, 6, 5]), &Device::flex())
    }

    fn product(a: Tensor<4>, b: Tensor<4>) -> f32 {
        to_host((a * b).sum()).values[0]
    }

    /// Or it would lead away from the optimum.
    #[test]
    fn what_is_put_before_a_gradient_is_symmetric_and_positive() {
        for kind in [Smooth::Fourier, Smooth::Blur, Smooth::None] {
            let smoother = Smoother::new(kind, [6, 5], &Device::flex());
            let (a, b) = (images(1), images(2));
            let apply = |x: &Tensor<4>| smoother.apply(x.clone(), &a);
            let (one, other) = (product(apply(&a), b.clone()), product(a.clone(), apply(&b)));
            assert!((one - other).abs() < 1e-4, "{kind:?} {one} {other}");
            assert!(product(apply(&a), a.clone()) > 0.0);
        }
    }

    #[test]
    fn slow_waves_are_kept_and_fast_ones_fall() {
        let smoother = Smoother::new(Smooth::Fourier, [6, 5], &Device::flex());
        let checks = (0..30).map(|i| if (i / 5 + i % 5) % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let tensor =
            |values: Vec<f32>| Tensor::<4>::from_data(TensorData::new(values, [1, 1, 6, 5]), &Device::flex());
        let kept = |x: Tensor<4>| {
            let after = smoother.apply(x.clone(), &x);
            to_host(norm(&after)).values[0] / to_host(norm(&x)).values[0]
        };
        assert!((kept(tensor(vec![1.0; 30])) - 1.0).abs() < 1e-5);
        assert!(kept(tensor(checks)) < 0.4);
    }

    #[test]
    fn total_variation_is_the_slope_of_absolute_differences() {
        let x = images(4);
        let total = |x: &Tensor<4>| {
            let values = to_host(x.clone()).values;
            let at =
                |image: usize, row: usize, column: usize| f64::from(values[(image * 6 + row) * 5 + column]);
            let mut sum = 0.0;
            for image in 0..2 {
                for (row, column) in (0..6).flat_map(|row| (0..5).map(move |column| (row, column))) {
                    let here = at(image, row, column);
                    sum += if row > 0 { (here - at(image, row - 1, column)).abs() } else { 0.0 };
                    sum += if column > 0 { (here - at(image, row, column - 1)).abs() } else { 0.0 };
                }
            }
            sum
        };
        let step = images(5).mul_scalar(1e-3);
        let along = f64::from(product(total_variation(&x), step.clone()));
        let difference = total(&(x.clone() + step.clone())) - total(&x);
        assert!((along - difference).abs() < 2e-2 * difference.abs().max(0.01), "{along} {difference}");
    }
}
