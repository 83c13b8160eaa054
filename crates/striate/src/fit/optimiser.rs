//! Adam over the named parameters of a module, with its state as plain arrays.

use std::collections::BTreeMap;

use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::Gradients;

use crate::array::{Array, Arrays};
use crate::error::{Error, Result};
use crate::model::weights::{ModulePath, replace, to_device, to_host};
use crate::ops::{self, Adam, AdamMoments};

/// Adam (β₁ 0.9, β₂ 0.999, ε 1e-8) with optional clipping of the gradient's norm.
#[derive(Clone)]
pub struct Optimiser {
    clip: Option<f64>,
    states: BTreeMap<String, State>,
}

/// Moments of a parameter after `time` steps.
#[derive(Clone)]
struct State {
    time: u32,
    moments: AdamMoments,
}

impl Optimiser {
    /// A fresh optimiser; `clip` is the largest Euclidean norm of the whole gradient.
    pub fn new(clip: Option<f64>) -> Self {
        Self { clip, states: BTreeMap::new() }
    }

    /// One step on every parameter that has a gradient; `adam` gives the options for a parameter's name, all but
    /// the number of the step.
    pub fn step<M: Module>(&mut self, adam: &dyn Fn(&str) -> Adam, module: M, gradients: &Gradients) -> M {
        let shrink = self.clip.map_or(1.0, |limit| {
            let norm = norm(&module, gradients);
            if norm > limit { limit / norm } else { 1.0 }
        });
        module.map(&mut Step { optimiser: self, path: ModulePath::default(), adam, shrink, gradients })
    }

    /// Moments and step counts by name.
    pub fn export(&self) -> Arrays {
        let mut arrays = Arrays::new();
        for (name, state) in &self.states {
            arrays.insert(format!("{name}.first"), to_host(state.moments.first.clone()));
            arrays.insert(format!("{name}.second"), to_host(state.moments.second.clone()));
            // Exact below 2²⁴ steps, far beyond any fit.
            arrays.insert(format!("{name}.time"), Array { shape: vec![1], values: vec![state.time as f32] });
        }
        arrays
    }

    /// Takes over what [`Optimiser::export`] gave, for the parameters in `weights`.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) naming the first array that is missing, of another shape, or of
    /// no parameter.
    pub fn import(&mut self, arrays: &Arrays, weights: &Arrays, device: &Device) -> Result<()> {
        self.states.clear();
        for (key, array) in arrays {
            array.require_finite(key)?;
            let name = key.rsplit_once('.').map_or("", |(name, _)| name);
            let weight = weights
                .get(name)
                .ok_or_else(|| Error::data("belongs to no parameter of the model").key(key))?;
            let moment = |part| array_of(arrays, format!("{name}.{part}"), weight.values.len());
            let moments = AdamMoments {
                first: to_device(moment("first")?, device),
                second: to_device(moment("second")?, device),
            };
            if moment("second")?.values.iter().any(|square| *square < 0.0) {
                return Err(Error::data("holds a mean of squares below 0").key(format!("{name}.second")));
            }
            let time = array_of(arrays, format!("{name}.time"), 1)?.values[0] as u32;
            self.states.insert(name.to_owned(), State { time, moments });
        }
        Ok(())
    }
}

fn array_of(arrays: &Arrays, key: String, length: usize) -> Result<&Array> {
    match arrays.get(&key) {
        Some(array) if array.shape == [length] => Ok(array),
        Some(array) => Err(Error::data(format!("has shape {:?}, expected [{length}]", array.shape)).key(key)),
        None => Err(Error::data("the array is missing").key(key)),
    }
}

struct Step<'a> {
    optimiser: &'a mut Optimiser,
    path: ModulePath,
    adam: &'a dyn Fn(&str) -> Adam,
    shrink: f64,
    gradients: &'a Gradients,
}

impl ModuleMapper for Step<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.path.leave(name, container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = param.val().grad(self.gradients) else { return param };
        let name = self.path.name();
        let shape = param.val().dims();
        let size = shape.iter().product::<usize>();
        let value = param.val().inner().reshape([size]);
        let fresh = || State { time: 0, moments: AdamMoments::zeros(size, &value.device()) };
        let State { time, moments } = self.optimiser.states.remove(&name).unwrap_or_else(fresh);
        let adam = Adam { time: time + 1, ..(self.adam)(&name) };
        let (value, moments) = ops::adam(&adam, value, gradient.reshape([size]), self.shrink as f32, moments);
        self.optimiser.states.insert(name, State { time: time + 1, moments });
        replace(param, |_| Tensor::from_inner(value.reshape(shape)))
    }
}

fn norm<M: Module>(module: &M, gradients: &Gradients) -> f64 {
    struct Squares<'a>(&'a Gradients, f64);
    impl ModuleVisitor for Squares<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = param.val().grad(self.0) {
                self.1 += f64::from(gradient.square().sum().into_scalar::<f32>());
            }
        }
    }
    let mut squares = Squares(gradients, 0.0);
    module.visit(&mut squares);
    squares.1.sqrt()
}
