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

    /// What a gradient has to be multiplied by to be no longer than is allowed.
    pub fn shrink(&self, gradients: &Named) -> f64 {
        self.clip.map_or(1.0, |limit| {
            let norm = gradients.norm();
            if norm > limit { limit / norm } else { 1.0 }
        })
    }

    /// One step on every parameter of `module` that has a gradient, which is used up; `name` gives what a parameter is
    /// called among them, and `adam` the options for its name in the module, all but the number of the step.
    pub fn step<M: Module>(
        &mut self,
        module: M,
        gradients: &mut Named,
        shrink: f64,
        name: &dyn Fn(&str) -> String,
        adam: &dyn Fn(&str) -> Adam,
    ) -> M {
        module.map(&mut Step { optimiser: self, path: ModulePath::default(), gradients, shrink, name, adam })
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

/// Gradients by the names of their parameters, each flat, in the order in which they came.
#[derive(Default)]
pub struct Named {
    values: Vec<(String, Tensor<1>)>,
}

impl Named {
    /// Adds those of `module` of one backward pass; `name` gives what a parameter is called here.
    pub fn add<M: Module>(&mut self, module: &M, gradients: &Gradients, name: &dyn Fn(&str) -> String) {
        module.visit(&mut Add { named: self, path: ModulePath::default(), gradients, name });
    }

    fn norm(&self) -> f64 {
        let squares = self.values.iter().map(|(_, gradient)| gradient.clone().square().sum());
        squares.map(|sum| f64::from(sum.into_scalar::<f32>())).sum::<f64>().sqrt()
    }

    fn at(&self, name: &str) -> Option<usize> {
        self.values.iter().position(|(known, _)| known == name)
    }
}

struct Add<'a> {
    named: &'a mut Named,
    path: ModulePath,
    gradients: &'a Gradients,
    name: &'a dyn Fn(&str) -> String,
}

impl ModuleVisitor for Add<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.path.leave(name, container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = param.val().grad(self.gradients) else { return };
        let size = gradient.shape().num_elements();
        let (name, gradient) = ((self.name)(&self.path.name()), gradient.reshape([size]));
        match self.named.at(&name) {
            Some(at) => self.named.values[at].1 = self.named.values[at].1.clone() + gradient,
            None => self.named.values.push((name, gradient)),
        }
    }
}

struct Step<'a> {
    optimiser: &'a mut Optimiser,
    path: ModulePath,
    gradients: &'a mut Named,
    shrink: f64,
    name: &'a dyn Fn(&str) -> String,
    adam: &'a dyn Fn(&str) -> Adam,
}

impl ModuleMapper for Step<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.path.leave(name, container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let own = self.path.name();
        let name = (self.name)(&own);
        let Some(at) = self.gradients.at(&name) else { return param };
        let (_, gradient) = self.gradients.values.swap_remove(at);
        let shape = param.val().dims();
        let size = shape.iter().product::<usize>();
        let value = param.val().inner().reshape([size]);
        let fresh = || State { time: 0, moments: AdamMoments::zeros(size, &value.device()) };
        let State { time, moments } = self.optimiser.states.remove(&name).unwrap_or_else(fresh);
        let adam = Adam { time: time + 1, ..(self.adam)(&own) };
        let (value, moments) = ops::adam(&adam, value, gradient, self.shrink as f32, moments);
        self.optimiser.states.insert(name, State { time: time + 1, moments });
        replace(param, |_| Tensor::from_inner(value.reshape(shape)))
    }
}
