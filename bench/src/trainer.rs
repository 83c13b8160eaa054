//! Training and inference steps of any network.

use std::path::Path;

use anyhow::Result;
use burn::prelude::*;
use serde::Serialize;
use striate::error::{Error, nearest};
use striate::fit::loss::Loss;
use striate::fit::optimiser::{Named, Optimiser};
use striate::ops::Adam;

use crate::networks::{Batch, Network, Pass, Sensorium, Video, WhatWhere, Xu};
use crate::source::Source;

const LEARNING_RATE: f32 = 1e-3;
const FAMILIES: [&str; 4] = ["whatwhere", "sensorium", "xu", "video"];

/// A network, its batch and its optimiser.
pub struct Trainer<N: Network> {
    network: N,
    batch: Batch,
    optimiser: Optimiser,
}

/// What is measured.
pub trait Steps {
    /// Forward, loss, backward, Adam; the loss before.
    fn train(&mut self) -> f64;
    /// Forward with running statistics; the loss.
    fn infer(&self) -> f64;
}

/// Losses by which both sides are seen to compute the same.
#[derive(Serialize)]
pub struct Losses {
    first: f64,
    after: f64,
    evaluation: f64,
}

/// The network of a family with the weights and data of `path`.
pub fn load(family: &str, path: &Path) -> Result<Box<dyn Steps>> {
    let source = Source::open(path)?;
    Ok(match family {
        "whatwhere" => Box::new(Trainer::<WhatWhere>::load(&source)?),
        "sensorium" => Box::new(Trainer::<Sensorium>::load(&source)?),
        "xu" => Box::new(Trainer::<Xu>::load(&source)?),
        "video" => Box::new(Trainer::<Video>::load(&source)?),
        other => {
            let hint = nearest(other, FAMILIES).unwrap_or("whatwhere");
            return Err(Error::config(format!("there is no family `{other}`; is it `{hint}`?")).into());
        }
    })
}

/// Three steps of Adam between the first two losses.
pub fn check(steps: &mut dyn Steps) -> Losses {
    let [first, _, _, after] = [(); 4].map(|()| steps.train());
    Losses { first, after, evaluation: steps.infer() }
}

impl<N: Network> Trainer<N> {
    fn load(source: &Source) -> Result<Self> {
        let (network, batch) = N::load(source)?;
        Ok(Self { network, batch, optimiser: Optimiser::new(None) })
    }
}

impl<N: Network> Steps for Trainer<N> {
    fn train(&mut self) -> f64 {
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

    fn infer(&self) -> f64 {
        let batch = self.batch.inner();
        scalar(&poisson(self.network.valid().rates(&batch, &mut Pass::new(false)), &batch))
    }
}

fn poisson(rates: Tensor<2>, batch: &Batch) -> Tensor<1> {
    let neurons = rates.dims()[1] as f64;
    Loss::Poisson.summed(rates, batch.responses.clone()).div_scalar(neurons)
}

fn scalar(loss: &Tensor<1>) -> f64 {
    f64::from(loss.clone().detach().into_scalar::<f32>())
}

#[cfg(test)]
mod tests {
    use striate::array::{Array, Arrays, save};

    use super::*;

    /// Values without structure, `scale` large.
    fn array(shape: &[usize], scale: f32) -> Array {
        let size = shape.iter().product::<usize>();
        let value = |i: usize| ((i * 7919 + size) % 101) as f32 / 50.0 - 1.0;
        Array { shape: shape.to_vec(), values: (0..size).map(|i| scale * value(i)).collect() }
    }

    #[test]
    fn a_network_is_read_and_learns() {
        let dir = std::env::temp_dir().join(format!("striate-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join("network.safetensors");
        let arrays: [(&str, Array); 9] = [
            ("weight.conv0", array(&[4, 1, 5, 5], 0.2)),
            ("weight.offset0", array(&[4], 0.1)),
            ("weight.conv1", array(&[4, 4, 3, 3], 0.2)),
            ("weight.offset1", array(&[4], 0.1)),
            ("weight.mask", array(&[49, 3], 0.1)),
            ("weight.features", array(&[4, 3], 0.5)),
            ("weight.bias", array(&[3], 0.1)),
            ("batch.images", array(&[6, 1, 7, 7], 1.0)),
            ("batch.responses", array(&[6, 3], 1.0)),
        ];
        let arrays: Arrays = arrays.into_iter().map(|(name, array)| (name.to_owned(), array)).collect();
        save(&file, &arrays).unwrap();
        let losses = check(load("whatwhere", &file).unwrap().as_mut());
        let unknown = load("whatwher", &file).err().unwrap().to_string();
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(losses.after < losses.first, "{} {}", losses.first, losses.after);
        assert!(losses.evaluation.is_finite());
        assert!(unknown.contains("whatwhere"), "{unknown}");
    }
}
