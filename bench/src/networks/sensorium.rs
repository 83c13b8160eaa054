//! The baseline of the Sensorium 2022 competition: a convolution and three depth-separable layers.

use burn::module::Param;
use burn::prelude::*;
use striate::error::Result;
use striate::ops::Activation;

use super::gaussian::Gaussian;
use super::{Batch, Network, Norm, Pass};
use crate::source::Source;
use crate::todo_ops::{conv2d, depthwise2d};

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
    fn separable(&self, x: Tensor<4>, layer: usize) -> Tensor<4> {
        let depthwise = self.depthwise[layer].val();
        let pad = depthwise.dims()[1] / 2;
        let x = conv2d(x, self.first[layer].val(), 1, [0; 2]);
        conv2d(depthwise2d(x, depthwise, [pad; 2]), self.second[layer].val(), 1, [0; 2])
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
        let drive = conv2d(batch.images[0].clone(), self.conv.val(), 1, [0; 2]);
        let mut x = self.norms[0].apply(drive, Activation::Elu, pass);
        for layer in 0..self.first.len() {
            x = self.norms[layer + 1].apply(self.separable(x, layer), Activation::Elu, pass);
        }
        self.readout.rates(x, batch.noise.as_ref(), pass)
    }

    fn norms(&mut self) -> &mut [Norm] {
        &mut self.norms
    }
}
