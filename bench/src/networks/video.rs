//! Convolutions factorised into space and time, and a point per neuron (Sensorium 2023).

use burn::module::Param;
use burn::prelude::*;
use striate::error::Result;
use striate::ops::{Activation, Conv2dOptions, conv2d};

use super::gaussian::Gaussian;
use super::{Batch, Network, Norm, Pass};
use crate::source::Source;

/// The network with its Gaussian readout.
#[derive(Module, Debug)]
pub struct Video {
    /// `[out, in, height, width]`.
    space: Vec<Param<Tensor<4>>>,
    /// `[out, in, time, 1]`.
    time: Vec<Param<Tensor<4>>>,
    norms: Vec<Norm>,
    readout: Gaussian,
    #[module(skip)]
    clips: usize,
}

impl Video {
    /// Space, then time, of frames `[clip · frame, height, width, channel]`; fewer frames come out.
    fn convolve(&self, x: Tensor<4>, layer: usize, pass: &mut Pass) -> Tensor<4> {
        let x = conv2d(x, self.space[layer].val(), None, Conv2dOptions::default());
        let [images, height, width, channels] = x.dims();
        // A frame is a row of pixels here, so that time is the first axis of an image.
        let rows = x.reshape([self.clips, images / self.clips, height * width, channels]);
        let elu = Conv2dOptions { activation: Activation::Elu, ..Conv2dOptions::default() };
        let x = self.norms[layer].convolve(rows, self.time[layer].val(), elu, pass);
        let [clips, frames, _, channels] = x.dims();
        x.reshape([clips * frames, height, width, channels])
    }
}

impl Network for Video {
    fn load(source: &Source) -> Result<(Self, Batch)> {
        let frames = |shape: &[usize]| [shape[0] * shape[2], shape[3], shape[4], 1];
        let images = source.data("images", frames)?;
        let batch = Batch {
            images: vec![images],
            behaviour: Vec::new(),
            noise: Some(source.data("noise", |shape| [shape[0], shape[1], shape[2]])?),
            responses: source.data("responses", |shape| [shape[0] * shape[1], shape[2]])?,
        };
        let network = Self {
            space: source.weights("space", 0)?,
            time: source.weights("time", 0)?,
            norms: Norm::layers(source, 1e-5)?,
            readout: Gaussian::load(source)?,
            clips: source.shape_of_data("images")?[0],
        };
        Ok((network, batch))
    }

    fn rates(&self, batch: &Batch, pass: &mut Pass) -> Tensor<2> {
        let mut x = batch.images[0].clone();
        for layer in 0..self.norms.len() {
            x = self.convolve(x, layer, pass);
        }
        self.readout.rates(x, batch.noise.as_ref(), pass)
    }

    fn norms(&mut self) -> &mut [Norm] {
        &mut self.norms
    }
}
