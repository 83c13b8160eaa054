//! Batch normalisation fused with the nonlinearity that follows it.

use burn::backend::Dispatch;
use burn::prelude::*;

use super::Activation;
use super::kernels::{Kernels, NormaliseOptions};

/// Mean and variance (dividing by the count) of each channel, both `[channel]`, cut off from the gradient.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Mean.
    pub mean: Tensor<1>,
    /// Variance.
    pub variance: Tensor<1>,
}

/// Moments of `x` `[batch, channel, height, width]` over batch and space.
pub fn moments(x: Tensor<4>) -> Moments {
    let channels = x.dims()[1];
    let both: Tensor<2> = if super::has_kernels(&x) {
        Tensor::from_dispatch(Dispatch::kernel_moments(x.detach().into_dispatch()))
    } else {
        let flat = per_channel(x.detach());
        let (variance, mean) = flat.var_mean_bias(1);
        Tensor::cat(vec![mean, variance], 1).transpose()
    };
    let row = |i| both.clone().slice([i..i + 1, 0..channels]).reshape([channels]);
    Moments { mean: row(0), variance: row(1) }
}

/// `a((x − mean) / √(variance + ε) + offset)` per channel of `x` `[batch, channel, height, width]`.
///
/// With `batch_statistics` the moments must be those of `x`, and the gradient flows through them too.
pub fn normalise(
    x: Tensor<4>,
    moments: &Moments,
    offset: Tensor<1>,
    epsilon: f64,
    activation: Activation,
    batch_statistics: bool,
) -> Tensor<4> {
    if !super::has_kernels(&x) {
        return normalise_reference(x, moments, offset, epsilon, activation, batch_statistics);
    }
    let scale = moments.variance.clone().add_scalar(epsilon).sqrt().recip();
    Tensor::from_dispatch(Dispatch::kernel_normalise(
        x.into_dispatch(),
        moments.mean.clone().into_dispatch(),
        scale.into_dispatch(),
        offset.into_dispatch(),
        NormaliseOptions { activation, batch_statistics },
    ))
}

/// [`normalise`] in plain Burn operations.
pub fn normalise_reference(
    x: Tensor<4>,
    moments: &Moments,
    offset: Tensor<1>,
    epsilon: f64,
    activation: Activation,
    batch_statistics: bool,
) -> Tensor<4> {
    let channels = x.dims()[1];
    let plane = |v: Tensor<1>| v.reshape([1, channels, 1, 1]);
    let (mean, variance) = if batch_statistics {
        let (variance, mean) = per_channel(x.clone()).var_mean_bias(1);
        (mean.reshape([channels]), variance.reshape([channels]))
    } else {
        (moments.mean.clone(), moments.variance.clone())
    };
    let scale = variance.add_scalar(epsilon).sqrt().recip();
    super::activate((x - plane(mean)) * plane(scale) + plane(offset), activation)
}

fn per_channel(x: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = x.dims();
    x.swap_dims(0, 1).reshape([channels, batch * height * width])
}
