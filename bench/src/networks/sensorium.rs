//! The baseline of the Sensorium 2022 competition: a convolution and three depth-separable layers.

use burn::module::Param;
use burn::prelude::*;
use striate::error::Result;
use striate::ops::{Activation, Conv2dOptions, conv2d, depthwise2d};

use super::gaussian::Gaussian;
use super::{Batch, Network, Norm, Pass};
use crate::source::Source;

/// Every pixel, no border, then ELU.
const ELU: Conv2dOptions = Conv2dOptions { stride: 1, pad: [0; 2], activation: Activation::Elu };

/// The network with its Gaussian readout.
#[derive(Module, Debug)]
pub struct Sensorium {
    conv: Param<Tensor<4>>,
    first: Vec<Param<Tensor<4>>>,
    depthwise: Vec<Param<Tensor<3>>>,
    second: Vec<Param<Tensor<4>>>,
    norms: Vec<Norm>,
    readout: Gaussian,
}

impl Sensorium {
    fn separable(&self, x: Tensor<4>, layer: usize, pass: &mut Pass) -> Tensor<4> {
        let depthwise = self.depthwise[layer].val();
        let pad = depthwise.dims()[1] / 2;
        let x = conv2d(x, self.first[layer].val(), None, Conv2dOptions::default());
        let x = depthwise2d(x, depthwise, [pad; 2]);
        self.norms[layer + 1].convolve(x, self.second[layer].val(), ELU, pass)
    }
}

impl Network for Sensorium {
    fn load(source: &Source) -> Result<(Self, Batch)> {
        let network = Self {
            conv: source.weight("conv0")?,
            first: source.weights("first", 1)?,
            depthwise: source.weights("depthwise", 1)?,
            second: source.weights("second", 1)?,
            norms: Norm::layers(source, 1e-5)?,
            readout: Gaussian::load(source)?,
        };
        let noise = source.data("noise", |shape| [shape[0], shape[1], shape[2]])?;
        Ok((network, Batch { noise: Some(noise), ..Batch::still(source)? }))
    }

    fn rates(&self, batch: &Batch, pass: &mut Pass) -> Tensor<2> {
        let mut x = self.norms[0].convolve(batch.images[0].clone(), self.conv.val(), ELU, pass);
        for layer in 0..self.first.len() {
            x = self.separable(x, layer, pass);
        }
        self.readout.rates(x, batch.noise.as_ref(), pass)
    }

    fn norms(&mut self) -> &mut [Norm] {
        &mut self.norms
    }
}
