//! Convolution over time: the second half of a convolution factorised into space, then time.

use burn::prelude::*;
use burn::tensor::module;
use burn::tensor::ops::ConvOptions;

use super::{Activation, Conv2dOptions, conv2d};

/// `a(frames ⋆ weight + bias)` along time: videos `[clip, frame, height, width, in]` with `weight` `[out, in, time]`
/// and a `bias` `[out]`, where the kernel fits: `[clip, frame − time + 1, height, width, out]` (the temporal half of
/// a factorised 3-D layer; `papers/sensorium.md#cores`). The spatial half is [`conv2d`] of all frames.
pub fn temporal(
    videos: Tensor<5>,
    weight: Tensor<3>,
    bias: Option<Tensor<1>>,
    activation: Activation,
) -> Tensor<5> {
    let [clips, frames, height, width, inputs] = videos.dims();
    // To the kernel a video is an image whose rows are frames: its columns never meet.
    let images = videos.reshape([clips, frames, height * width, inputs]);
    let options = Conv2dOptions { activation, ..Conv2dOptions::default() };
    let out = conv2d(images, weight.unsqueeze_dim(3), bias, options);
    let [_, frames, _, outputs] = out.dims();
    out.reshape([clips, frames, height, width, outputs])
}

/// [`temporal`] in plain Burn operations.
pub fn temporal_reference(
    videos: Tensor<5>,
    weight: Tensor<3>,
    bias: Option<Tensor<1>>,
    activation: Activation,
) -> Tensor<5> {
    let [outputs, inputs, time] = weight.dims();
    let weight = weight.reshape([outputs, inputs, time, 1, 1]);
    let options = ConvOptions::new([1; 3], [0; 3], [1; 3], 1);
    let out = module::conv3d(videos.permute([0, 4, 1, 2, 3]), weight, bias, options);
    super::activate_reference(out.permute([0, 2, 3, 4, 1]), activation)
}
