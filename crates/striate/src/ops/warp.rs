//! Turning and moving images by an angle and a distance of their own.

use burn::prelude::*;
use striate_kernels::warp::Warp;

use super::kernels::{Grad, Made, Op, View, apply};

/// Images `[batch, height, width, channel]`, each turned around `centre` (x, y) and then moved, bilinear, zero outside.
///
/// `motions` `[batch, 3]` are Δx (right), Δy (down), both in pixels, and α (clockwise as displayed), in radians. Output
/// pixel (x′, y′) shows (`papers/xu2023.md#gaze`)
///
/// `x = c_x + cos α · u + sin α · v`, `y = c_y − sin α · u + cos α · v` with `u = x′ − c_x − Δx`, `v = y′ − c_y − Δy`.
pub fn warp(images: Tensor<4>, motions: Tensor<2>, centre: [f32; 2]) -> Tensor<4> {
    if !super::has_kernels(&images) {
        return warp_reference(images, motions, centre);
    }
    apply(Turn(centre), vec![images.into_dispatch(), motions.into_dispatch()])
}

/// [`warp`] in plain Burn operations: the Gaussian readout at every pixel.
pub fn warp_reference(images: Tensor<4>, motions: Tensor<2>, [centre_x, centre_y]: [f32; 2]) -> Tensor<4> {
    let [batch, height, width, channels] = images.dims();
    let device = images.device();
    let line = |values: Vec<f32>| Tensor::<1>::from_floats(values.as_slice(), &device).reshape([1, -1]);
    let u = line((0..height * width).map(|i| (i % width) as f32 - centre_x).collect());
    let v = line((0..height * width).map(|i| (i / width) as f32 - centre_y).collect());
    let of = |index: usize| motions.clone().slice([0..batch, index..index + 1]);
    let (u, v) = (u - of(0), v - of(1));
    let (sin, cos) = (of(2).sin(), of(2).cos());
    let x = (u.clone() * cos.clone() + v.clone() * sin.clone()).add_scalar(centre_x);
    let y = (v * cos - u * sin).add_scalar(centre_y);
    // Points are counted from −1 to 1; of a side of one pixel both ends are the same.
    let place = |at: Tensor<2>, side: usize| at.mul_scalar(2.0 / (side.max(2) - 1) as f32).sub_scalar(1.0);
    let points: Tensor<3> = Tensor::stack(vec![place(x, width), place(y, height)], 2);
    let read = (0..channels).map(|channel| {
        let one = images.clone().slice([0..batch, 0..height, 0..width, channel..channel + 1]);
        let ones = Tensor::<2>::ones([1, height * width], &device);
        super::gaussian_reference(one, points.clone(), ones).reshape([batch, height, width, 1])
    });
    Tensor::cat(read.collect(), 3)
}

/// Inputs: images and motions.
#[derive(Debug)]
struct Turn([f32; 2]);

impl Turn {
    fn shape(&self, images: &View<'_>) -> Warp {
        let [_, height, width, channels] = *images.shape else { unreachable!("images have four axes") };
        Warp { height, width, channels, centre: self.0 }
    }
}

impl Op for Turn {
    fn forward(&self, inputs: &[View<'_>], _: bool) -> Made {
        let values = self.shape(&inputs[0]).forward(inputs[0].values, inputs[1].values);
        Made { shape: inputs[0].shape.to_vec(), values }
    }

    fn backward(
        &self,
        inputs: &[View<'_>],
        _: Option<View<'_>>,
        grad: Grad,
        wanted: &[bool],
    ) -> Vec<Option<Vec<f32>>> {
        let (images, motions) = (inputs[0], inputs[1].values);
        let (to_images, to_motions) =
            self.shape(&images).backward(images.values, motions, grad.values(), wanted[0]);
        vec![to_images, Some(to_motions)]
    }
}
