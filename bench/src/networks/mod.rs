//! The networks of `bench/peer/networks.py`, channel-last, of striate's operations.

mod gaussian;
mod norm;
mod sensorium;
mod video;
mod whatwhere;
mod xu;

use burn::prelude::*;

pub use norm::{Norm, Pass};
pub use sensorium::Sensorium;
pub use video::Video;
pub use whatwhere::WhatWhere;
pub use xu::Xu;

use crate::source::Source;
use striate::error::Result;

/// The one batch of a network.
#[derive(Clone)]
pub struct Batch {
    /// `[batch, height, width, 1]` of each time step; frames of a video are images of the batch.
    pub images: Vec<Tensor<4>>,
    /// `[batch, variable]` of each time step.
    pub behaviour: Vec<Tensor<2>>,
    /// Standard normal draws of the Gaussian readout, `[image, neuron, 2]`.
    pub noise: Option<Tensor<3>>,
    /// `[image, neuron]`.
    pub responses: Tensor<2>,
}

impl Batch {
    /// A batch of still images and nothing else.
    fn still(source: &Source) -> Result<Self> {
        Ok(Self {
            images: vec![source.data("images", |shape| [shape[0], shape[2], shape[3], 1])?],
            behaviour: Vec::new(),
            noise: None,
            responses: source.data("responses", |shape| [shape[0], shape[1]])?,
        })
    }

    /// The same without gradients.
    pub fn inner(&self) -> Self {
        Self {
            images: self.images.iter().map(|x| x.clone().inner()).collect(),
            behaviour: self.behaviour.iter().map(|x| x.clone().inner()).collect(),
            noise: self.noise.as_ref().map(|x| x.clone().inner()),
            responses: self.responses.clone().inner(),
        }
    }
}

/// A network of the benchmark.
pub trait Network: Module {
    /// Reads weights and data.
    fn load(source: &Source) -> Result<(Self, Batch)>;

    /// Rates `[image, neuron]`.
    fn rates(&self, batch: &Batch, pass: &mut Pass) -> Tensor<2>;

    /// Its batch normalisations, by the numbers under which `pass` keeps their moments.
    fn norms(&mut self) -> &mut [Norm];
}
