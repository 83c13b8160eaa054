//! Convolution of channel-last images, with bias and nonlinearity.

use burn::prelude::*;
use burn::tensor::module;
use burn::tensor::ops::ConvOptions;
use striate_kernels::conv2d::Conv2d;
use striate_kernels::epilogue::{self, Epilogue};

use super::Activation;
use super::kernels::{Grad, Made, Op, View, apply};

/// How [`conv2d`] moves over the image and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// Step between outputs, in pixels of the input, the same both ways.
    pub stride: usize,
    /// Zeros on every side, `[rows, columns]`.
    pub pad: [usize; 2],
    /// Nonlinearity of the output.
    pub activation: Activation,
}

impl Default for Conv2dOptions {
    fn default() -> Self {
        Self { stride: 1, pad: [0, 0], activation: Activation::Identity }
    }
}

/// `a(images ⋆ weight + bias)`: cross-correlation of images `[batch, height, width, in]` with `weight`
/// `[out, in, kernel_h, kernel_w]` and a `bias` `[out]`: `[batch, height', width', out]`.
pub fn conv2d(
    images: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: Conv2dOptions,
) -> Tensor<4> {
    let [_, _, height, width] = weight.dims();
    // The kernels take no border of zeros alone.
    if !super::has_kernels(&images) || options.pad[0] >= height || options.pad[1] >= width {
        return conv2d_reference(images, weight, bias, options);
    }
    let mut inputs = vec![images.into_dispatch(), weight.into_dispatch()];
    inputs.extend(bias.map(Tensor::into_dispatch));
    apply(Convolve(options), inputs)
}

/// [`conv2d`] in plain Burn operations.
pub fn conv2d_reference(
    images: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: Conv2dOptions,
) -> Tensor<4> {
    let stride = [options.stride; 2];
    let out = module::conv2d(
        images.permute([0, 3, 1, 2]),
        weight,
        bias,
        ConvOptions::new(stride, options.pad, [1, 1], 1),
    );
    super::activate_reference(out.permute([0, 2, 3, 1]), options.activation)
}

#[derive(Debug)]
struct Convolve(Conv2dOptions);

impl Convolve {
    fn shape(&self, x: &View<'_>, weight: &View<'_>) -> Conv2d {
        Conv2d {
            inputs: x.shape[3],
            outputs: weight.shape[0],
            height: x.shape[1],
            width: x.shape[2],
            kernel_h: weight.shape[2],
            kernel_w: weight.shape[3],
            stride: self.0.stride,
            pad_h: self.0.pad[0],
            pad_w: self.0.pad[1],
        }
    }
}

impl Op for Convolve {
    fn forward(&self, inputs: &[View<'_>], _: bool) -> Made {
        let (x, weight) = (inputs[0], inputs[1]);
        let conv = self.shape(&x, &weight);
        let epilogue =
            Epilogue { bias: inputs.get(2).map(|bias| bias.values), activation: self.0.activation };
        let values = conv.forward(x.values, weight.values, epilogue);
        // Only behind the kernel's checks do these sizes exist.
        Made { shape: vec![x.shape[0], conv.out_height(), conv.out_width(), conv.outputs], values }
    }

    fn backward(
        &self,
        inputs: &[View<'_>],
        output: Option<View<'_>>,
        grad: Grad,
        wanted: &[bool],
    ) -> Vec<Option<Vec<f32>>> {
        let (x, weight) = (inputs[0], inputs[1]);
        let conv = self.shape(&x, &weight);
        let before = output.map(|y| epilogue::backward(self.0.activation, y.values, grad.values()));
        let grad = before.as_deref().unwrap_or(grad.values());
        let [to_x, to_weight] = conv.backward(x.values, weight.values, grad, [wanted[0], wanted[1]]);
        let bias = wanted.get(2).is_some_and(|bias| *bias);
        let to_bias = bias.then(|| epilogue::channel_sums(conv.outputs, grad));
        [to_x, to_weight, to_bias].into_iter().take(inputs.len()).collect()
    }

    fn keeps_output(&self) -> bool {
        self.0.activation != Activation::Identity
    }
}
