//! Vision times behaviour, then a GRU (Xu, Hou, Niell & Beyeler 2023), without shifter and dropout.

use burn::module::Param;
use burn::prelude::*;
use striate::error::Result;
use striate::model::output::Output;
use striate::ops::{self, Activation, Conv2dOptions, linear};

use super::{Batch, Network, Norm, Pass};
use crate::source::Source;

/// The network.
#[derive(Module, Debug)]
pub struct Xu {
    convs: Vec<Param<Tensor<4>>>,
    /// Those of the convolutions, of the behaviour, and of the fusion.
    norms: Vec<Norm>,
    visual: Affine,
    behaviour: Affine,
    gru: Gru,
    out: Affine,
}

#[derive(Module, Debug)]
struct Affine {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

#[derive(Module, Debug)]
struct Gru {
    weight_ih: Param<Tensor<2>>,
    weight_hh: Param<Tensor<2>>,
    bias_ih: Param<Tensor<1>>,
    bias_hh: Param<Tensor<1>>,
}

impl Affine {
    fn load(source: &Source, name: &str) -> Result<Self> {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        Ok(Self { weight: source.weight(&weight)?, bias: source.weight(&bias)? })
    }

    fn apply(&self, x: Tensor<2>) -> Tensor<2> {
        linear(x, self.weight.val(), self.bias.val())
    }
}

impl Gru {
    fn load(source: &Source) -> Result<Self> {
        Ok(Self {
            weight_ih: source.weight("gru.weight_ih")?,
            weight_hh: source.weight("gru.weight_hh")?,
            bias_ih: source.weight("gru.bias_ih")?,
            bias_hh: source.weight("gru.bias_hh")?,
        })
    }

    /// The last state `[batch, hidden]` of a sequence `[batch, time, in]`.
    fn last(&self, x: Tensor<3>) -> Tensor<2> {
        let [batch, steps, _] = x.dims();
        let unit = ops::Gru {
            weight_ih: self.weight_ih.val(),
            weight_hh: self.weight_hh.val(),
            bias_ih: self.bias_ih.val(),
            bias_hh: self.bias_hh.val(),
        };
        let states = ops::gru(x, unit);
        let hidden = states.dims()[2];
        states.slice([0..batch, steps - 1..steps, 0..hidden]).reshape([batch, hidden])
    }
}

impl Xu {
    /// What the GRU sees of one time step: `[batch, 3 · neuron]`.
    fn fused(&self, images: Tensor<4>, behaviour: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        let mut x = images;
        for (conv, norm) in self.convs.iter().zip(&self.norms) {
            let options = Conv2dOptions { stride: 2, pad: [0; 2], activation: Activation::Relu };
            x = norm.convolve(x, conv.val(), options, pass);
        }
        // The weights of the linear layer stand in PyTorch's order, channels outermost.
        let v = self.visual.apply(x.permute([0, 3, 1, 2]).flatten(1, 3));
        let b = self.behaviour.apply(self.normalised(behaviour, pass));
        let products = v.clone() * b.clone();
        self.fuse(Tensor::stack(vec![v, b, products], 2), pass)
    }

    fn normalised(&self, behaviour: Tensor<2>, pass: &mut Pass) -> Tensor<2> {
        self.norms[self.convs.len()].apply(behaviour, Activation::Identity, pass)
    }

    /// `[batch, neuron, 3]`, normalised, as `[batch, 3 · neuron]`.
    fn fuse(&self, parts: Tensor<3>, pass: &mut Pass) -> Tensor<2> {
        let x = self.norms[self.convs.len() + 1].apply(parts, Activation::Identity, pass);
        x.permute([0, 2, 1]).flatten(1, 2)
    }
}

impl Network for Xu {
    fn load(source: &Source) -> Result<(Self, Batch)> {
        let mut norms = Norm::layers(source, 1e-5)?;
        for name in ["behaviour", "fusion"] {
            let (offset, gain) = (format!("{name}.offset"), format!("{name}.gain"));
            norms.push(Norm::load(source, &offset, &gain, 1e-5, norms.len())?);
        }
        let network = Self {
            convs: source.weights("conv", 0)?,
            norms,
            visual: Affine::load(source, "visual")?,
            behaviour: Affine::load(source, "behaviour")?,
            gru: Gru::load(source)?,
            out: Affine::load(source, "out")?,
        };
        Ok((network, batch(source)?))
    }

    fn rates(&self, batch: &Batch, pass: &mut Pass) -> Tensor<2> {
        let inputs = batch.images.iter().zip(&batch.behaviour);
        let steps = inputs.map(|(x, b)| self.fused(x.clone(), b.clone(), pass)).collect();
        Output::Softplus.forward(self.out.apply(self.gru.last(Tensor::stack(steps, 1))))
    }

    fn norms(&mut self) -> &mut [Norm] {
        &mut self.norms
    }
}

fn batch(source: &Source) -> Result<Batch> {
    let images: Tensor<4> = source.data("images", |s| [s[0] * s[1], s[3], s[4], 1])?;
    let behaviour: Tensor<2> = source.data("behaviour", |s| [s[0] * s[1], s[2]])?;
    let steps = source.shape_of_data("images")?[0];
    Ok(Batch {
        images: images.chunk(steps, 0),
        behaviour: behaviour.chunk(steps, 0),
        responses: source.data("responses", |s| [s[0], s[1]])?,
    })
}
