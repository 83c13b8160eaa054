//! The file of a network: weights as parameters, data as tensors.

use std::path::Path;

use burn::module::Param;
use burn::prelude::*;
use striate::array::{self, Array, Arrays};
use striate::error::{Error, Result};
use striate::model::weights::{fixed, trainable};

/// An opened file and where its arrays are to live.
pub struct Source {
    arrays: Arrays,
    device: Device,
}

impl Source {
    /// Reads `path`; gradients will reach its parameters.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { arrays: array::load(path)?, device: Device::flex().autodiff() })
    }

    /// The weight `name`. Axes of one element that the file has beyond `D` are left out.
    pub fn weight<const D: usize>(&self, name: &str) -> Result<Param<Tensor<D>>> {
        let key = format!("weight.{name}");
        let array = self.array(&key)?;
        Ok(trainable(array.values.clone(), shape(array, &key)?, &self.device))
    }

    /// The weight `name`, if the network has it.
    pub fn optional<const D: usize>(&self, name: &str) -> Result<Option<Param<Tensor<D>>>> {
        self.has(name).then(|| self.weight(name)).transpose()
    }

    /// Whether there is a weight `name`.
    pub fn has(&self, name: &str) -> bool {
        self.arrays.contains_key(&format!("weight.{name}"))
    }

    /// The weights `stem` with the numbers from `first` as far as they go.
    pub fn weights<const D: usize>(&self, stem: &str, first: usize) -> Result<Vec<Param<Tensor<D>>>> {
        (first..)
            .map(|i| format!("{stem}{i}"))
            .take_while(|name| self.has(name))
            .map(|name| self.weight(&name))
            .collect()
    }

    /// One value for each of `channels` that no gradient reaches.
    pub fn constant(&self, value: f32, channels: usize) -> Param<Tensor<1>> {
        fixed(vec![value; channels], [channels], &self.device)
    }

    /// The data `name` in the shape that `of` makes of theirs.
    pub fn data<const D: usize>(&self, name: &str, of: impl Fn(&[usize]) -> [usize; D]) -> Result<Tensor<D>> {
        let array = self.array(&format!("batch.{name}"))?;
        Ok(Tensor::from_data(TensorData::new(array.values.clone(), of(&array.shape)), &self.device))
    }

    /// The shape of the data `name` in the file.
    pub fn shape_of_data(&self, name: &str) -> Result<&[usize]> {
        Ok(&self.array(&format!("batch.{name}"))?.shape)
    }

    fn array(&self, key: &str) -> Result<&Array> {
        self.arrays.get(key).ok_or_else(|| Error::data("the array is missing").key(key))
    }
}

/// The shape of `array` with `D` axes: without inner axes of one element.
fn shape<const D: usize>(array: &Array, key: &str) -> Result<[usize; D]> {
    let mut shape = array.shape.clone();
    while shape.len() > D {
        let Some(axis) = shape.iter().skip(1).position(|&size| size == 1) else { break };
        shape.remove(axis + 1);
    }
    let message = || Error::data(format!("has shape {:?}, expected {D} axes", array.shape)).key(key);
    shape.try_into().map_err(|_| message())
}
