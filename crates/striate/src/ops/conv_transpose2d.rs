//! Transposed convolution of channel-last maps: the gradient of a convolution to its input, made forwards.

use burn::prelude::*;
use burn::tensor::module;
use burn::tensor::ops::ConvTransposeOptions;
use striate_kernels::conv2d::Conv2d;
use striate_kernels::epilogue::Epilogue;

use super::kernels::{Grad, Made, Op, View, apply};

/// Maps `[batch, height', width', out]` of `maps` `[batch, height, width, in]` and `weight` `[in, out, kernel, kernel]`, from
/// whose `size` `[height', width']` a convolution of the same kernels and `stride`, without padding, leads back to theirs.
pub fn conv_transpose2d(maps: Tensor<4>, weight: Tensor<4>, stride: usize, size: [usize; 2]) -> Tensor<4> {
    if !super::has_kernels(&maps) {
        return conv_transpose2d_reference(maps, weight, stride, size);
    }
    apply(Transposed { stride, size }, vec![maps.into_dispatch(), weight.into_dispatch()])
}

/// [`conv_transpose2d`] in plain Burn operations.
pub fn conv_transpose2d_reference(
    maps: Tensor<4>,
    weight: Tensor<4>,
    stride: usize,
    size: [usize; 2],
) -> Tensor<4> {
    let ([_, height, width, _], [_, _, rows, columns]) = (maps.dims(), weight.dims());
    let beyond = [size[0] - ((height - 1) * stride + rows), size[1] - ((width - 1) * stride + columns)];
    let options = ConvTransposeOptions::new([stride; 2], [0; 2], beyond, [1; 2], 1);
    module::conv_transpose2d(maps.permute([0, 3, 1, 2]), weight, None, options).permute([0, 2, 3, 1])
}

#[derive(Debug)]
struct Transposed {
    stride: usize,
    size: [usize; 2],
}

impl Transposed {
    /// The convolution that leads back.
    fn back(&self, weight: &View<'_>) -> Conv2d {
        let [outputs, inputs, kernel_h, kernel_w] = *weight.shape else {
            unreachable!("kernels have four axes")
        };
        let (stride, [height, width]) = (self.stride, self.size);
        Conv2d { inputs, outputs, height, width, kernel_h, kernel_w, stride, pad_h: 0, pad_w: 0 }
    }
}

impl Op for Transposed {
    fn forward(&self, inputs: &[View<'_>], _: bool) -> Made {
        let (maps, weight) = (inputs[0], inputs[1]);
        let back = self.back(&weight);
        let shape = vec![maps.shape[0], self.size[0], self.size[1], back.inputs];
        // What it was the gradient at does not matter to a linear map.
        let at = vec![0.0; shape.iter().product()];
        let [values, _] = back.backward(&at, weight.values, maps.values, [true, false]);
        Made { shape, values: values.expect("it is wanted") }
    }

    fn backward(
        &self,
        inputs: &[View<'_>],
        _: Option<View<'_>>,
        grad: Grad,
        wanted: &[bool],
    ) -> Vec<Option<Vec<f32>>> {
        let (maps, weight) = (inputs[0], inputs[1]);
        let back = self.back(&weight);
        let to_maps = wanted[0].then(|| back.forward(grad.values(), weight.values, Epilogue::NONE));
        let [_, to_weight] = back.backward(grad.values(), weight.values, maps.values, [false, wanted[1]]);
        vec![to_maps, to_weight]
    }
}
