//! Batch normalisation fused with the nonlinearity that follows it; channels are the last axis.

use burn::prelude::*;
use striate_kernels::norm::{self, Affine};

use super::Activation;
use super::kernels::{Grad, Made, Op, View, apply};

/// Mean and variance (dividing by the count) of each channel, both `[channel]`, cut off from the gradient.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Mean.
    pub mean: Tensor<1>,
    /// Variance.
    pub variance: Tensor<1>,
}

/// Learned parameters and options of [`normalise`].
#[derive(Debug, Clone)]
pub struct Normalise {
    /// Learned gain, `[channel]`; none is a gain of 1.
    pub gain: Option<Tensor<1>>,
    /// Learned offset, `[channel]`.
    pub offset: Tensor<1>,
    /// Added to the variance.
    pub epsilon: f64,
    /// Nonlinearity after the normalisation.
    pub activation: Activation,
    /// Whether the moments are functions of the values, as in training.
    pub batch_statistics: bool,
}

/// Moments of `x` `[.., channel]` over all other axes.
pub fn moments<const D: usize>(x: Tensor<D>) -> Moments {
    let channels = x.dims()[D - 1];
    // In Burn a detached leaf stays one that gradients reach.
    let x = x.detach().set_require_grad(false);
    let both: Tensor<2> = if super::has_kernels(&x) {
        apply(Measure, vec![x.into_dispatch()])
    } else {
        let (variance, mean) = rows(x).var_mean_bias(0);
        Tensor::cat(vec![mean, variance], 0)
    };
    let row = |i| both.clone().slice([i..i + 1, 0..channels]).reshape([channels]);
    Moments { mean: row(0), variance: row(1) }
}

/// `a(gain · (x − mean) / √(variance + ε) + offset)` per channel of `x` `[.., channel]`.
///
/// With batch statistics the moments must be those of `x`, and the gradient flows through them too.
pub fn normalise<const D: usize>(x: Tensor<D>, moments: &Moments, with: Normalise) -> Tensor<D> {
    if !super::has_kernels(&x) {
        return normalise_reference(x, moments, with);
    }
    let scale = moments.variance.clone().add_scalar(with.epsilon).sqrt().recip();
    let mut inputs = vec![x.into_dispatch()];
    inputs.extend([moments.mean.clone(), scale, with.offset].map(Tensor::into_dispatch));
    inputs.extend(with.gain.map(Tensor::into_dispatch));
    apply(Transform { activation: with.activation, batch_statistics: with.batch_statistics }, inputs)
}

/// Weight `[out, in, kernel_h, kernel_w]` and bias `[out]` of a convolution that does what `weight` and then the
/// normalisation with the fixed `moments` do, all but the nonlinearity.
pub fn folded(weight: Tensor<4>, moments: &Moments, with: Normalise) -> (Tensor<4>, Tensor<1>) {
    let scale = moments.variance.clone().add_scalar(with.epsilon).sqrt().recip();
    let scale = with.gain.into_iter().fold(scale, |scale, gain| scale * gain);
    let bias = with.offset - moments.mean.clone() * scale.clone();
    (weight * scale.reshape([-1, 1, 1, 1]), bias)
}

/// [`normalise`] in plain Burn operations.
pub fn normalise_reference<const D: usize>(x: Tensor<D>, moments: &Moments, with: Normalise) -> Tensor<D> {
    let shape = x.dims();
    let row = |v: Tensor<1>| v.unsqueeze::<2>();
    let x = rows(x);
    let (mean, variance) = if with.batch_statistics {
        let (variance, mean) = x.clone().var_mean_bias(0);
        (mean, variance)
    } else {
        (row(moments.mean.clone()), row(moments.variance.clone()))
    };
    let scale = variance.add_scalar(with.epsilon).sqrt().recip();
    let scale = with.gain.into_iter().fold(scale, |scale, gain| scale * row(gain));
    super::activate_reference((x - mean) * scale + row(with.offset), with.activation).reshape(shape)
}

fn rows<const D: usize>(x: Tensor<D>) -> Tensor<2> {
    let channels = x.dims()[D - 1];
    let rows = x.dims()[..D - 1].iter().product();
    x.reshape([rows, channels])
}

fn channels(x: &View<'_>) -> usize {
    *x.shape.last().expect("tensors have an axis")
}

#[derive(Debug)]
struct Measure;

impl Op for Measure {
    fn forward(&self, inputs: &[View<'_>], _: bool) -> Made {
        let channels = channels(&inputs[0]);
        let (mut values, variance) = norm::moments(channels, inputs[0].values);
        values.extend(variance);
        Made { shape: vec![2, channels], values }
    }

    fn backward(&self, _: &[View<'_>], _: Option<View<'_>>, _: Grad, _: &[bool]) -> Vec<Option<Vec<f32>>> {
        unreachable!("moments are cut off from the gradient")
    }
}

/// Inputs: values, mean, scale, offset and perhaps gain.
#[derive(Debug)]
struct Transform {
    activation: Activation,
    batch_statistics: bool,
}

fn affine<'a>(inputs: &[View<'a>]) -> Affine<'a> {
    Affine {
        mean: inputs[1].values,
        scale: inputs[2].values,
        offset: inputs[3].values,
        gain: inputs.get(4).map(|gain| gain.values),
    }
}

impl Op for Transform {
    fn forward(&self, inputs: &[View<'_>], _: bool) -> Made {
        let x = inputs[0];
        let values = norm::forward(channels(&x), self.activation, affine(inputs), x.values);
        Made { shape: x.shape.to_vec(), values }
    }

    fn backward(
        &self,
        inputs: &[View<'_>],
        _: Option<View<'_>>,
        grad: Grad,
        wanted: &[bool],
    ) -> Vec<Option<Vec<f32>>> {
        let [values, gain, offset] = norm::backward(
            channels(&inputs[0]),
            self.activation,
            affine(inputs),
            self.batch_statistics,
            inputs[0].values,
            grad.into_values(),
            [wanted[0], wanted.get(4).is_some_and(|gain| *gain), wanted[3]],
        );
        [values, None, None, offset, gain].into_iter().take(inputs.len()).collect()
    }
}
