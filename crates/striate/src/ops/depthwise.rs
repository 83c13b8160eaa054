//! Depthwise convolution of channel-last images.

use burn::prelude::*;
use burn::tensor::module;
use burn::tensor::ops::ConvOptions;
use striate_kernels::depthwise::Depthwise;

use super::kernels::{Grad, Made, Op, View, apply};

/// Cross-correlation of each channel of images `[batch, height, width, channel]` with its own kernel of
/// `weight` `[channel, kernel_h, kernel_w]`, zero-padded by `pad` `[rows, columns]`:
/// `[batch, height', width', channel]`.
pub fn depthwise2d(images: Tensor<4>, weight: Tensor<3>, pad: [usize; 2]) -> Tensor<4> {
    let [_, height, width] = weight.dims();
    if !super::has_kernels(&images) || pad[0] >= height || pad[1] >= width {
        return depthwise2d_reference(images, weight, pad);
    }
    apply(Separate(pad), vec![images.into_dispatch(), weight.into_dispatch()])
}

/// [`depthwise2d`] in plain Burn operations.
pub fn depthwise2d_reference(images: Tensor<4>, weight: Tensor<3>, pad: [usize; 2]) -> Tensor<4> {
    let channels = weight.dims()[0];
    let options = ConvOptions::new([1, 1], pad, [1, 1], channels);
    module::conv2d(images.permute([0, 3, 1, 2]), weight.unsqueeze_dim(1), None, options).permute([0, 2, 3, 1])
}

/// The padding.
#[derive(Debug)]
struct Separate([usize; 2]);

impl Separate {
    fn shape(&self, x: &View<'_>, weight: &View<'_>) -> Depthwise {
        Depthwise {
            channels: x.shape[3],
            height: x.shape[1],
            width: x.shape[2],
            kernel_h: weight.shape[1],
            kernel_w: weight.shape[2],
            pad_h: self.0[0],
            pad_w: self.0[1],
        }
    }
}

impl Op for Separate {
    fn forward(&self, inputs: &[View<'_>], _: bool) -> Made {
        let (x, weight) = (inputs[0], inputs[1]);
        let conv = self.shape(&x, &weight);
        let values = conv.forward(x.values, weight.values);
        // Only behind the kernel's checks do these sizes exist.
        Made { shape: vec![x.shape[0], conv.out_height(), conv.out_width(), conv.channels], values }
    }

    fn backward(
        &self,
        inputs: &[View<'_>],
        _: Option<View<'_>>,
        grad: Grad,
        wanted: &[bool],
    ) -> Vec<Option<Vec<f32>>> {
        let (x, weight) = (inputs[0], inputs[1]);
        let wanted = [wanted[0], wanted[1]];
        self.shape(&x, &weight).backward(x.values, weight.values, grad.values(), wanted).into()
    }
}
