//! Convolution, stride 1.

use burn::backend::Dispatch;
use burn::prelude::*;
use burn::tensor::module;
use burn::tensor::ops::ConvOptions;

use super::kernels::Kernels;

/// Cross-correlation of images `[batch, in, height, width]` with `weight` `[out, in, kernel_h, kernel_w]`,
/// zero-padded by `pad` `[rows, columns]` on every side: `[batch, out, height', width']`.
pub fn conv2d(images: Tensor<4>, weight: Tensor<4>, pad: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = weight.dims();
    // The kernels take no border of zeros alone.
    if super::has_kernels(&images) && pad[0] < height && pad[1] < width {
        Tensor::from_dispatch(Dispatch::kernel_conv2d(images.into_dispatch(), weight.into_dispatch(), pad))
    } else {
        conv2d_reference(images, weight, pad)
    }
}

/// [`conv2d`] in plain Burn operations.
pub fn conv2d_reference(images: Tensor<4>, weight: Tensor<4>, pad: [usize; 2]) -> Tensor<4> {
    module::conv2d(images, weight, None, ConvOptions::new([1, 1], pad, [1, 1], 1))
}
