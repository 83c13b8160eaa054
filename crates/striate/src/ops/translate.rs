//! Moving feature maps by a fraction of a pixel.

use burn::prelude::*;
use striate_kernels::translate::Translate;

use super::kernels::{Grad, Made, Op, View, apply};

/// `out(y, x) = x(y + shift_y, x + shift_x)` for maps `[batch, height, width, channel]`, bilinear, zero outside.
///
/// `shift` `[batch, 2]` is (x along the width, y along the height); 2 is the distance between the centres of the first
/// and the last pixel (`papers/sensorium.md#conventions`). It is what moving every position of a Gaussian readout does.
pub fn translate(maps: Tensor<4>, shift: Tensor<2>) -> Tensor<4> {
    if !super::has_kernels(&maps) {
        return translate_reference(maps, shift);
    }
    let [_, height, width, _] = maps.dims();
    let pixels = shift * in_pixels(height, width, &maps.device());
    apply(Move, vec![maps.into_dispatch(), pixels.into_dispatch()])
}

/// [`translate`] in plain Burn operations: the Gaussian readout at every pixel.
pub fn translate_reference(maps: Tensor<4>, shift: Tensor<2>) -> Tensor<4> {
    let [batch, height, width, channels] = maps.dims();
    let place = |at: usize, side: usize| 2.0 * at as f32 / (side.max(2) - 1) as f32 - 1.0;
    let grid: Vec<f32> =
        (0..height * width).flat_map(|i| [place(i % width, width), place(i / width, height)]).collect();
    let grid = Tensor::<3>::from_data(TensorData::new(grid, [1, height * width, 2]), &maps.device());
    let points = grid + shift.unsqueeze_dim::<3>(1);
    let read = (0..channels).map(|channel| {
        let one = maps.clone().slice([0..batch, 0..height, 0..width, channel..channel + 1]);
        let ones = Tensor::<2>::ones([1, height * width], &maps.device());
        super::gaussian_reference(one, points.clone(), ones).reshape([batch, height, width, 1])
    });
    Tensor::cat(read.collect(), 3)
}

/// Pixels per unit of shift, `[1, 2]`.
fn in_pixels(height: usize, width: usize, device: &Device) -> Tensor<2> {
    let half = |side: usize| (side as f32 - 1.0) / 2.0;
    Tensor::<1>::from_floats([half(width), half(height)], device).reshape([1, 2])
}

/// Inputs: maps and distances in pixels.
#[derive(Debug)]
struct Move;

fn shape(maps: &View<'_>) -> Translate {
    Translate { height: maps.shape[1], width: maps.shape[2], channels: maps.shape[3] }
}

impl Op for Move {
    fn forward(&self, inputs: &[View<'_>], _: bool) -> Made {
        let values = shape(&inputs[0]).forward(inputs[0].values, inputs[1].values);
        Made { shape: inputs[0].shape.to_vec(), values }
    }

    fn backward(
        &self,
        inputs: &[View<'_>],
        _: Option<View<'_>>,
        grad: Grad,
        _: &[bool],
    ) -> Vec<Option<Vec<f32>>> {
        let (maps, distances) = (inputs[0], inputs[1]);
        let (to_maps, to_distances) = shape(&maps).backward(maps.values, distances.values, grad.values());
        vec![Some(to_maps), Some(to_distances)]
    }
}
