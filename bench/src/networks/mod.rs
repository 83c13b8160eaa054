//! Networks of `bench/peer/networks.py` that striate has no model for yet, channel-last, of its operations.

mod norm;
mod xu;

use burn::prelude::*;

pub use norm::{Norm, Pass};
pub use xu::Xu;

use crate::source::Source;
use striate::error::Result;

/// The one batch of a network.
#[derive(Clone)]
pub struct Batch {
    /// `[batch, height, width, 1]` of each time step.
    pub images: Vec<Tensor<4>>,
    /// `[batch, variable]` of each time step.
    pub behaviour: Vec<Tensor<2>>,
    /// `[image, neuron]`.
    pub responses: Tensor<2>,
}

impl Batch {
    /// The same without gradients.
    pub fn inner(&self) -> Self {
        Self {
            images: self.images.iter().map(|x| x.clone().inner()).collect(),
            behaviour: self.behaviour.iter().map(|x| x.clone().inner()).collect(),
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
