//! Training and inference steps of any network, and those of networks that striate has no model for yet.

use std::path::Path;

use anyhow::{Result, bail};
use burn::prelude::*;
use serde::Serialize;
use striate::error::Error;
use striate::fit::optimiser::{Named, Optimiser};
use striate::model::loss::Loss;
use striate::ops::Adam;

use crate::networks::{Batch, Network, Pass, Xu};
use crate::product::Product;
use crate::source::Source;

const LEARNING_RATE: f32 = 1e-3;

/// A network, its batch and its optimiser.
pub struct Trainer<N: Network> {
    network: N,
    batch: Batch,
    optimiser: Optimiser,
}

/// What is measured.
pub trait Steps {
    /// One training step.
    fn train(&mut self) -> Result<()>;
    /// The same, with its batch read from the files of the recording.
    fn read(&mut self) -> Result<()>;
    /// One batch in evaluation mode.
    fn infer(&mut self) -> Result<()>;
    /// Three steps of Adam between the first two losses.
    fn check(&mut self) -> Result<Losses>;
}

/// Losses by which both sides are seen to compute the same.
#[derive(Serialize)]
pub struct Losses {
    first: f64,
    after: f64,
    evaluation: f64,
}

/// The network of a family: a product in the folder `path`, or one with the weights and data of the file `path`.
pub fn load(family: &str, path: &Path) -> Result<Box<dyn Steps>> {
    Ok(match family {
        "product" => Box::new(Product::new(path)),
        "xu" => Box::new(Trainer::<Xu>::load(&Source::open(path)?)?),
        other => {
            let error = Error::config(format!("there is no family `{other}`: `product` and `xu` are known"));
            return Err(error.into());
        }
    })
}

impl<N: Network> Trainer<N> {
    fn load(source: &Source) -> Result<Self> {
        let (network, batch) = N::load(source)?;
        Ok(Self { network, batch, optimiser: Optimiser::new(None) })
    }
}

impl<N: Network> Trainer<N> {
    /// Forward, loss, backward, Adam; the loss before.
    fn step(&mut self) -> f64 {
        let mut pass = Pass::new(true);
        let loss = poisson(self.network.rates(&self.batch, &mut pass), &self.batch);
        let value = scalar(&loss);
        let gradients = loss.backward();
        let adam = Adam { rate: LEARNING_RATE, ..Adam::default() };
        let (same, mut named) = (str::to_owned, Named::default());
        named.add(&self.network, &gradients, &same);
        self.network = self.optimiser.step(self.network.clone(), &mut named, 1.0, &same, &|_| adam);
        pass.keep(self.network.norms());
        value
    }

    /// Forward with running statistics; the loss.
    fn evaluate(&self) -> f64 {
        let batch = self.batch.inner();
        scalar(&poisson(self.network.valid().rates(&batch, &mut Pass::new(false)), &batch))
    }
}

impl<N: Network> Steps for Trainer<N> {
    fn train(&mut self) -> Result<()> {
        self.step();
        Ok(())
    }

    fn read(&mut self) -> Result<()> {
        bail!("the network is not read from a recording")
    }

    fn infer(&mut self) -> Result<()> {
        self.evaluate();
        Ok(())
    }

    fn check(&mut self) -> Result<Losses> {
        let [first, _, _, after] = [(); 4].map(|()| self.step());
        Ok(Losses { first, after, evaluation: self.evaluate() })
    }
}

fn poisson(rates: Tensor<2>, batch: &Batch) -> Tensor<1> {
    let neurons = rates.dims()[1] as f64;
    Loss::Poisson.summed(rates, batch.responses.clone()).div_scalar(neurons)
}

fn scalar(loss: &Tensor<1>) -> f64 {
    f64::from(loss.clone().detach().into_scalar::<f32>())
}
