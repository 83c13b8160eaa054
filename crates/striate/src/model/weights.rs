//! The parameters of a module as named arrays: for checkpoints, optimisers and imports.

use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::prelude::*;

use crate::array::{Array, Arrays};
use crate::error::{Error, Result, nearest};

/// Copies a tensor to the host.
pub fn to_host<const D: usize>(tensor: Tensor<D>) -> Array {
    let data = tensor.into_data();
    let shape = data.shape().to_vec();
    Array { shape, values: data.try_into_vec().expect("parameters are f32") }
}

/// Copies an array to a device.
///
/// # Panics
/// When `D` is not the number of axes.
pub fn to_device<const D: usize>(array: &Array, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(array.values.clone(), array.shape.clone()), device)
}

/// All parameters of `module`.
pub fn export<M: Module>(module: &M) -> Arrays {
    let mut collect = Collect::default();
    module.visit(&mut collect);
    collect.weights
}

/// `module` with its parameters replaced by `weights`.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) naming the first array that is missing, unknown, of another shape, or cannot
/// be a parameter: with values that are not finite, or a variance below 0.
pub fn import<M: Module>(module: M, weights: &Arrays) -> Result<M> {
    let expected = export(&module);
    for (name, array) in &expected {
        let found = weights.get(name).ok_or_else(|| Error::data("the array is missing").key(name))?;
        if found.shape != array.shape {
            let message = format!("has shape {:?}, expected {:?}", found.shape, array.shape);
            return Err(Error::data(message).key(name));
        }
        check_values(name, found)?;
    }
    if let Some(unknown) = weights.keys().find(|name| !expected.contains_key(*name)) {
        return Err(Error::data("the model has no such parameter").key(unknown));
    }
    Ok(module.map(&mut Replace { path: ModulePath::default(), weights }))
}

/// That an array can be a parameter: all finite, and no variance below 0.
pub(crate) fn check_values(name: &str, array: &Array) -> Result<()> {
    array.require_finite(name)?;
    match array.values.iter().find(|value| **value < 0.0) {
        // As it is called here, and in PyTorch.
        Some(value) if name.ends_with("running_variance") || name.ends_with("running_var") => {
            Err(Error::data(format!("holds {value}, and no variance is below 0")).key(name))
        }
        _ => Ok(()),
    }
}

/// `module` with those parameters replaced that `weights` holds by name and shape, and their names.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) naming the first of them that cannot be a parameter.
pub fn adopt<M: Module>(module: M, weights: &Arrays) -> Result<(M, Vec<String>)> {
    let mut all = export(&module);
    let fits = |name: &String, array: &Array| weights.get(name).is_some_and(|new| new.shape == array.shape);
    let names: Vec<String> =
        all.iter().filter(|(name, array)| fits(name, array)).map(|(n, _)| n.clone()).collect();
    names.iter().try_for_each(|name| check_values(name, &weights[name]))?;
    all.extend(names.iter().map(|name| (name.clone(), weights[name].clone())));
    Ok((module.map(&mut Replace { path: ModulePath::default(), weights: &all }), names))
}

/// `module` with the parameters called `names`, or that lie in parts called so, out of reach of gradients.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) with the nearest name when there is no such parameter or part.
pub fn freeze<M: Module>(module: M, names: &[String]) -> Result<M> {
    let known = export(&module);
    for name in names {
        if !known.keys().any(|parameter| lies_in(parameter, name)) {
            let error = Error::config(format!("the model has no weights called `{name}`"));
            let near = nearest(name, known.keys().map(String::as_str));
            return Err(error.hint(format!("for example `{}`", near.unwrap_or("core"))));
        }
    }
    Ok(module.map(&mut Freeze { path: ModulePath::default(), names }))
}

/// The parameters that [`freeze`] would take out of reach of gradients.
pub fn frozen_by<M: Module>(module: &M, names: &[String]) -> Vec<String> {
    let mut found = Frozen { path: ModulePath::default(), names, found: Vec::new() };
    module.visit(&mut found);
    found.found
}

/// Whether `parameter` is called `name` or lies in the part of that name.
fn lies_in(parameter: &str, name: &str) -> bool {
    parameter.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

struct Freeze<'a> {
    path: ModulePath,
    names: &'a [String],
}

struct Frozen<'a> {
    path: ModulePath,
    names: &'a [String],
    found: Vec<String>,
}

impl ModuleVisitor for Frozen<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.path.leave(name, container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let parameter = self.path.name();
        if param.val().is_require_grad() && self.names.iter().any(|name| lies_in(&parameter, name)) {
            self.found.push(parameter);
        }
    }
}

impl ModuleMapper for Freeze<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.path.leave(name, container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let parameter = self.path.name();
        let frozen = self.names.iter().any(|name| lies_in(&parameter, name));
        if frozen { param.set_require_grad(false) } else { param }
    }
}

/// Where a visitor stands in a module. The variant of an enum is no part of it, so that weights are called the same
/// whichever kind of readout they belong to; nor is a field `norm`, whose parameters are called as those of its layer.
#[derive(Debug, Default)]
pub(crate) struct ModulePath(Vec<String>);

impl ModulePath {
    /// Goes into the field or variant `name` of `container`, as Burn's visitors call them.
    pub fn enter(&mut self, name: &str, container: &str) {
        if Self::counts(name, container) {
            self.0.push(name.to_owned());
        }
    }

    /// Leaves it again.
    pub fn leave(&mut self, name: &str, container: &str) {
        if Self::counts(name, container) {
            self.0.pop();
        }
    }

    /// Names from the outermost field on, joined by dots.
    pub fn name(&self) -> String {
        self.0.join(".")
    }

    /// The outermost field.
    fn part(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    fn counts(name: &str, container: &str) -> bool {
        name != "norm" && !container.starts_with("Enum:")
    }
}

#[derive(Default)]
struct Collect {
    path: ModulePath,
    weights: Arrays,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.path.leave(name, container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.weights.insert(self.path.name(), to_host(param.val()));
    }
}

struct Replace<'a> {
    path: ModulePath,
    weights: &'a Arrays,
}

impl ModuleMapper for Replace<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.path.leave(name, container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let array = &self.weights[&self.path.name()];
        replace(param, |old| to_device(array, &old.device()))
    }
}

/// `param` with another value, trainable if it was.
pub fn replace<const D: usize>(
    param: Param<Tensor<D>>,
    with: impl FnOnce(&Tensor<D>) -> Tensor<D>,
) -> Param<Tensor<D>> {
    let (id, old, mapper) = param.consume();
    let trainable = old.is_require_grad();
    let new = with(&old).set_require_grad(trainable);
    Param::from_mapped_value(id, new, mapper)
}

/// A parameter that gradients reach.
pub fn trainable<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device))
}

/// A parameter that is stored with the model but not fitted by gradients.
pub fn fixed<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    trainable(values, shape, device).set_require_grad(false)
}

/// Number of trainable parameters of each part: the first name of the path.
pub fn count<M: Module>(module: &M) -> std::collections::BTreeMap<String, usize> {
    let mut count = Count::default();
    module.visit(&mut count);
    count.parts
}

#[derive(Default)]
struct Count {
    path: ModulePath,
    parts: std::collections::BTreeMap<String, usize>,
}

impl ModuleVisitor for Count {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.path.leave(name, container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.val().is_require_grad() {
            *self.parts.entry(self.path.part().to_owned()).or_insert(0) += param.val().shape().num_elements();
        }
    }
}
