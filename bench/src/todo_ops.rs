//! Stand-ins for operations of `striate::ops` that are being written: the same signatures in plain Burn operations.

use burn::prelude::*;
use burn::tensor::{activation, module, ops::ConvOptions};
use striate::ops::{Activation, activate};

/// Mean and variance (dividing by the count) of each channel, both `[channel]`, cut off from the gradient.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Mean.
    pub mean: Tensor<1>,
    /// Variance.
    pub variance: Tensor<1>,
}

/// Whether masks have gradients everywhere, or only where they are not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Masks {
    /// Everywhere.
    Dense,
    /// Where they are not zero.
    Sparse,
}

/// Convolution of `[batch, height, width, in]` with `[out, in, kernel_h, kernel_w]`.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, stride: usize, pad: [usize; 2]) -> Tensor<4> {
    let options = ConvOptions::new([stride; 2], pad, [1, 1], 1);
    module::conv2d(x.permute([0, 3, 1, 2]), weight, None, options).permute([0, 2, 3, 1])
}

/// Convolution of each channel of `[batch, height, width, channel]` with its `[kernel_h, kernel_w]`.
pub fn depthwise2d(x: Tensor<4>, weight: Tensor<3>, pad: [usize; 2]) -> Tensor<4> {
    let channels = weight.dims()[0];
    let options = ConvOptions::new([1, 1], pad, [1, 1], channels);
    module::conv2d(x.permute([0, 3, 1, 2]), weight.unsqueeze_dim(1), None, options).permute([0, 2, 3, 1])
}

/// Moments of `[.., channel]` over all other axes.
pub fn moments(x: Tensor<4>) -> Moments {
    let channels = x.dims()[3];
    let (variance, mean) = rows(x.detach()).var_mean_bias(0);
    Moments { mean: mean.reshape([channels]), variance: variance.reshape([channels]) }
}

/// `a(gain (x − mean) / √(variance + ε) + offset)` per channel; with `batch_statistics` through the moments of `x`.
pub fn normalise(
    x: Tensor<4>,
    moments: &Moments,
    gain: Option<Tensor<1>>,
    offset: Tensor<1>,
    epsilon: f64,
    activation: Activation,
    batch_statistics: bool,
) -> Tensor<4> {
    let shape = x.dims();
    let x = rows(x);
    let (variance, mean) = if batch_statistics {
        x.clone().var_mean_bias(0)
    } else {
        (moments.variance.clone().unsqueeze(), moments.mean.clone().unsqueeze())
    };
    let scale: Tensor<2> = variance.add_scalar(epsilon).sqrt().recip();
    let scale = match gain {
        Some(gain) => scale * gain.unsqueeze(),
        None => scale,
    };
    activate((x - mean) * scale + offset.unsqueeze(), activation).reshape(shape)
}

/// `Σ_k W_kn Σ_p φ_pk M_pn` of features `[batch, height, width, channel]`.
pub fn factorised(x: Tensor<4>, mask: Tensor<2>, features: Tensor<2>, masks: Masks) -> Tensor<2> {
    let [batch, height, width, channels] = x.dims();
    let neurons = mask.dims()[1];
    let mask = match masks {
        Masks::Dense => mask,
        Masks::Sparse => mask.clone() * mask.detach().not_equal_elem(0.0).float(),
    };
    let pixels = x.reshape([batch, height * width, channels]).swap_dims(1, 2);
    let pooled = pixels.reshape([batch * channels, height * width]).matmul(mask);
    let weighted = pooled.reshape([batch, channels, neurons]) * features.unsqueeze();
    weighted.sum_dim(1).reshape([batch, neurons])
}

/// Features `[batch, height, width, channel]` at a point per neuron, times feature weights.
///
/// Positions `[1 or batch, neuron, 2]` are x then y; −1 and 1 are the centres of the outermost pixels. Bilinear.
pub fn gaussian(x: Tensor<4>, positions: Tensor<3>, features: Tensor<2>) -> Tensor<2> {
    let [batch, height, width, channels] = x.dims();
    let neurons = features.dims()[1];
    let positions = positions.expand([batch, neurons, 2]);
    let axis = |i: usize, size: usize| {
        let last = (size - 1) as f64;
        let at = positions.clone().slice(s![.., .., i..i + 1]).reshape([batch * neurons]);
        let at = at.add_scalar(1.0).mul_scalar(last / 2.0);
        let low = at.clone().detach().floor().clamp(0.0, last - 1.0);
        (low.clone().int(), at - low)
    };
    let ((column, right), (row, down)) = (axis(0, width), axis(1, height));
    let image = Tensor::<1, Int>::arange(0..batch as i64, &x.device()).unsqueeze_dim::<2>(1);
    let image = image.expand([batch, neurons]).reshape([batch * neurons]);
    let corner = (image.mul_scalar(height as i64) + row).mul_scalar(width as i64) + column;
    let pixels = x.reshape([batch * height * width, channels]);
    let at = |step: usize, weight: Tensor<1>| {
        let rows = pixels.clone().select(0, corner.clone().add_scalar(step as i64));
        rows * weight.unsqueeze_dim(1)
    };
    let (left, up) = (right.clone().neg().add_scalar(1.0), down.clone().neg().add_scalar(1.0));
    let sampled = at(0, left.clone() * up.clone())
        + at(1, right.clone() * up)
        + at(width, left * down.clone())
        + at(width + 1, right * down);
    let weights = features.transpose().unsqueeze::<3>();
    (sampled.reshape([batch, neurons, channels]) * weights).sum_dim(2).reshape([batch, neurons])
}

/// States `[batch, time, hidden]` of a GRU from zero; weights hold the gates reset, update, new.
pub fn gru(
    x: Tensor<3>,
    weight_ih: Tensor<2>,
    weight_hh: Tensor<2>,
    bias_ih: Tensor<1>,
    bias_hh: Tensor<1>,
) -> Tensor<3> {
    let ([batch, steps, inputs], hidden) = (x.dims(), weight_hh.dims()[1]);
    let mut state = Tensor::<2>::zeros([batch, hidden], &x.device());
    let gate = |gates: &Tensor<2>, i: usize| gates.clone().slice([0..batch, i * hidden..(i + 1) * hidden]);
    let mut states = Vec::with_capacity(steps);
    for step in 0..steps {
        let input = x.clone().slice([0..batch, step..step + 1, 0..inputs]).reshape([batch, inputs]);
        let input = linear(input, weight_ih.clone(), bias_ih.clone());
        let recurrent = linear(state.clone(), weight_hh.clone(), bias_hh.clone());
        let reset = activation::sigmoid(gate(&input, 0) + gate(&recurrent, 0));
        let update = activation::sigmoid(gate(&input, 1) + gate(&recurrent, 1));
        let new = (gate(&input, 2) + reset * gate(&recurrent, 2)).tanh();
        state = new.clone() + update * (state - new);
        states.push(state.clone());
    }
    Tensor::stack(states, 1)
}

/// `x Wᵀ + b` of `[row, in]` with `[out, in]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    x.matmul(weight.transpose()) + bias.unsqueeze()
}

fn rows(x: Tensor<4>) -> Tensor<2> {
    let [batch, height, width, channels] = x.dims();
    x.reshape([batch * height * width, channels])
}
