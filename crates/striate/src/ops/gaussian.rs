//! The Gaussian readout: one point per neuron, read by bilinear interpolation.

use burn::prelude::*;
use striate_kernels::gaussian::{PointReadout, Positions};

use super::kernels::{Grad, Made, Op, View, apply};

/// `Σ_c W_cn φ(x, y)_c`: features `[batch, height, width, channel]` read at one point per neuron, bilinearly,
/// and weighted by `weights` `[channel, neuron]`: `[batch, neuron]`.
///
/// `points` `[1 or batch, neuron, 2]` are (x along the width, y along the height), −1 and 1 the centres of the
/// first and last pixel; outside the image is zero (Lurz et al. 2021; `papers/sensorium.md#conventions`, `papers/sensorium.md#readouts`).
pub fn gaussian(features: Tensor<4>, points: Tensor<3>, weights: Tensor<2>) -> Tensor<2> {
    if !super::has_kernels(&features) {
        return gaussian_reference(features, points, weights);
    }
    apply(ReadAt, vec![features.into_dispatch(), points.into_dispatch(), weights.into_dispatch()])
}

/// [`gaussian`] in plain Burn operations.
pub fn gaussian_reference(features: Tensor<4>, points: Tensor<3>, weights: Tensor<2>) -> Tensor<2> {
    let [batch, height, width, channels] = features.dims();
    let neurons = weights.dims()[1];
    let points = points.expand([batch, neurons, 2]);
    let axis = |axis: usize, side: usize| {
        let at = points.clone().slice([0..batch, 0..neurons, axis..axis + 1]).squeeze_dim::<2>(2);
        at.add_scalar(1.0).mul_scalar((side as f64 - 1.0) / 2.0)
    };
    let (x, y) = (axis(0, width), axis(1, height));
    let pixels = features.reshape([batch, height * width, channels]);
    let corners = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)].map(|(dy, dx)| {
        let (row, row_share) = corner(&y, dy, height);
        let (column, column_share) = corner(&x, dx, width);
        let index = row.mul_scalar(width as i64) + column;
        let index = index.unsqueeze_dim::<3>(2).expand([batch, neurons, channels]);
        pixels.clone().gather(1, index) * (row_share * column_share).unsqueeze_dim::<3>(2)
    });
    let read = corners.into_iter().reduce(|a, b| a + b).expect("four corners");
    (read * weights.transpose().unsqueeze()).sum_dim(2).reshape([batch, neurons])
}

/// Index of the pixel `step` (0 or 1) beyond the one below `at`, and its share: 0 outside the image.
fn corner(at: &Tensor<2>, step: f64, side: usize) -> (Tensor<2, Int>, Tensor<2>) {
    let below = at.clone().detach().floor();
    let beyond = at.clone() - below.clone();
    let share = if step == 0.0 { beyond.neg().add_scalar(1.0) } else { beyond };
    let index = below.add_scalar(step);
    let inside = index.clone().clamp(0.0, side as f64 - 1.0);
    let share = share * inside.clone().equal(index).float();
    (inside.int(), share)
}

/// Inputs: features, points and feature weights.
#[derive(Debug)]
struct ReadAt;

fn sizes(inputs: &[View<'_>]) -> PointReadout {
    let [batch, height, width, channels] = *inputs[0].shape else { unreachable!("features have four axes") };
    PointReadout { batch, height, width, channels, neurons: inputs[2].shape[1] }
}

fn points<'a>(inputs: &[View<'a>]) -> Positions<'a> {
    let points = inputs[1];
    if points.shape[0] == 1 { Positions::Shared(points.values) } else { Positions::PerImage(points.values) }
}

impl Op for ReadAt {
    fn forward(&self, inputs: &[View<'_>], _: bool) -> Made {
        let sizes = sizes(inputs);
        let values = sizes.forward(inputs[0].values, points(inputs), inputs[2].values);
        Made { shape: vec![sizes.batch, sizes.neurons], values }
    }

    fn backward(
        &self,
        inputs: &[View<'_>],
        _: Option<View<'_>>,
        grad: Grad,
        wanted: &[bool],
    ) -> Vec<Option<Vec<f32>>> {
        let (x, weights, wanted) = (inputs[0].values, inputs[2].values, std::array::from_fn(|i| wanted[i]));
        sizes(inputs).backward(x, points(inputs), weights, grad.values(), wanted).into()
    }
}
