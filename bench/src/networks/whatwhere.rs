//! Three convolutions, then per neuron a mask times feature weights (Klindt et al. 2017).

use burn::module::Param;
use burn::prelude::*;
use striate::error::Result;
use striate::model::output::Output;
use striate::ops::{Activation, Conv2dOptions, Masks, factorised};

use super::{Batch, Network, Norm, Pass};
use crate::source::Source;

/// The what/where network.
#[derive(Module, Debug)]
pub struct WhatWhere {
    convs: Vec<Param<Tensor<4>>>,
    norms: Vec<Norm>,
    mask: Param<Tensor<2>>,
    features: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    #[module(skip)]
    masks: Masks,
}

impl Network for WhatWhere {
    fn load(source: &Source) -> Result<(Self, Batch)> {
        let mask = source.weight::<2>("mask")?;
        let sparse = mask.val().equal_elem(0.0).any().into_scalar::<bool>();
        let network = Self {
            convs: source.weights("conv", 0)?,
            norms: Norm::layers(source, 1e-3)?,
            mask,
            features: source.weight("features")?,
            bias: source.weight("bias")?,
            masks: if sparse { Masks::Sparse } else { Masks::Dense },
        };
        Ok((network, Batch::still(source)?))
    }

    fn rates(&self, batch: &Batch, pass: &mut Pass) -> Tensor<2> {
        let mut x = batch.images[0].clone();
        for (conv, norm) in self.convs.iter().zip(&self.norms) {
            let conv = conv.val();
            let pad = [conv.dims()[2] / 2; 2];
            let options = Conv2dOptions { pad, activation: Activation::Softplus, ..Conv2dOptions::default() };
            x = norm.convolve(x, conv, options, pass);
        }
        let drive = factorised(x, self.mask.val(), self.features.val(), self.masks);
        Output::Softplus.forward(drive + self.bias.val().unsqueeze())
    }

    fn norms(&mut self) -> &mut [Norm] {
        &mut self.norms
    }
}
