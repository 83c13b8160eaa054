//! A point per neuron, drawn around its mean for each image while training (Lurz et al. 2021).

use burn::module::Param;
use burn::prelude::*;
use striate::error::Result;
use striate::model::output::Output;
use striate::ops::gaussian;

use super::Pass;
use crate::source::Source;

/// The readout with ELU + 1.
#[derive(Module, Debug)]
pub struct Gaussian {
    /// `[neuron, 2]`, x then y, from −1 to 1.
    position: Param<Tensor<2>>,
    /// `[neuron, 2, 2]`: a draw is this times a standard normal pair.
    spread: Param<Tensor<3>>,
    features: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Gaussian {
    /// Reads the weights.
    pub fn load(source: &Source) -> Result<Self> {
        Ok(Self {
            position: source.weight("position")?,
            spread: source.weight("spread")?,
            features: source.weight("features")?,
            bias: source.weight("bias")?,
        })
    }

    /// Rates `[image, neuron]` from features `[image, height, width, channel]`.
    pub fn rates(&self, x: Tensor<4>, noise: Option<&Tensor<3>>, pass: &Pass) -> Tensor<2> {
        let mut positions = self.position.val().unsqueeze::<3>();
        if let (true, Some(noise)) = (pass.training, noise) {
            positions = positions + self.draw(noise);
        }
        let drive = gaussian(x, positions.clamp(-1.0, 1.0), self.features.val());
        Output::EluPlusOne.forward(drive + self.bias.val().unsqueeze())
    }

    /// Offsets `[image, neuron, 2]`.
    fn draw(&self, noise: &Tensor<3>) -> Tensor<3> {
        let neurons = noise.dims()[1];
        let column =
            |i: usize| self.spread.val().slice([0..neurons, 0..2, i..i + 1]).reshape([1, neurons, 2]);
        let along = |i: usize| noise.clone().slice(s![.., .., i..i + 1]);
        column(0) * along(0) + column(1) * along(1)
    }
}
