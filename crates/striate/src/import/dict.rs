//! A checkpoint whose arrays are taken out one by one, so that what is left is known.

use super::Options;
use crate::array::{Array, Arrays};
use crate::error::{Error, Result, list};
use crate::model::weights;

/// Arrays of a checkpoint that are not taken yet.
pub(super) struct Dict {
    pub arrays: Arrays,
}

/// Without such an array the twin may be another model.
pub(super) const UNKNOWN: &str = "UNKNOWN: the predictions may differ from the original's";
/// What PyTorch's batch norms count.
pub(super) const COUNTER: &str = "a counter that prediction does not use";

impl Dict {
    /// Takes an array out, in another shape of the same length.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Array> {
        let array = self.arrays.remove(name).ok_or_else(|| missing(name))?;
        if array.values.len() != shape.iter().product::<usize>() {
            return Err(misshapen(name, &array.shape, shape));
        }
        weights::check_values(name, &array)?;
        Ok(Array { shape: shape.to_vec(), values: array.values })
    }

    /// Takes an array of exactly this shape out.
    pub fn exactly(&mut self, name: &str, shape: &[usize]) -> Result<Array> {
        match self.shape(name) {
            Some(found) if found != shape => Err(misshapen(name, found, shape)),
            _ => self.take(name, shape),
        }
    }

    /// Takes out the bias of a convolution; none is zeros.
    pub fn bias(&mut self, convolution: &str, channels: usize) -> Result<Vec<f32>> {
        let name = format!("{convolution}.bias");
        match self.arrays.contains_key(&name) {
            true => Ok(self.take(&name, &[channels])?.values),
            false => Ok(vec![0.0; channels]),
        }
    }

    /// The batch norm `from` of a part `to` of ours, behind a convolution with a `bias`.
    pub fn norm(&mut self, from: &str, to: &str, bias: &[f32], weights: &mut Arrays) -> Result<()> {
        for (theirs, ours) in NORM {
            let mut array = self.exactly(&format!("{from}.{theirs}"), &[bias.len()])?;
            if ours == "running_mean" {
                // What is subtracted after a bias is that less the bias without it.
                array.values.iter_mut().zip(bias).for_each(|(mean, bias)| *mean -= bias);
            }
            weights.insert(format!("{to}.{ours}"), array);
        }
        Ok(())
    }

    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.arrays.get(name).map(|array| array.shape.as_slice())
    }

    /// The axes of an array that has `N`, none of them empty.
    pub fn axes<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let shape = self.shape(name).ok_or_else(|| missing(name))?;
        let axes = shape.try_into().ok().filter(|axes: &[usize; N]| !axes.contains(&0));
        axes.ok_or_else(|| Error::data(format!("has shape {shape:?}, expected {N} axes")).key(name))
    }

    /// The part after `prefix` and before the next dot, of every name, each once.
    pub fn names_after(&self, prefix: &str) -> Vec<String> {
        let rest = self.arrays.keys().filter_map(|name| name.strip_prefix(prefix));
        let mut names: Vec<String> =
            rest.filter_map(|rest| rest.split('.').next()).map(str::to_owned).collect();
        names.dedup();
        names
    }

    /// Sizes of the layers `prefix.0`, `prefix.2`, … (inputs first).
    pub fn layer_sizes(&self, prefix: &str) -> Vec<usize> {
        let shapes = (0..).step_by(2).map_while(|i| self.shape(&format!("{prefix}.{i}.weight")));
        let mut sizes = Vec::new();
        for shape in shapes {
            if let [outputs, inputs] = *shape {
                if sizes.is_empty() {
                    sizes.push(inputs);
                }
                sizes.push(outputs);
            }
        }
        sizes
    }

    /// All arrays that were not taken, each with why; those without a known reason need [`Options::partial`].
    pub fn left(
        self,
        reason: impl Fn(&str) -> &'static str,
        options: &Options<'_>,
    ) -> Result<Vec<(String, &'static str)>> {
        let unused: Vec<_> = self.arrays.into_keys().map(|name| (name.clone(), reason(&name))).collect();
        let unknown: Vec<&str> =
            unused.iter().filter(|(_, reason)| *reason == UNKNOWN).map(|(name, _)| name.as_str()).collect();
        if !unknown.is_empty() && !options.partial {
            return Err(Error::data(list("has arrays that are not known here", &unknown))
                .hint("its predictions may differ without them: `--partial` imports the rest"));
        }
        Ok(unused)
    }
}

/// What PyTorch calls the arrays of a batch norm, and we.
const NORM: [(&str, &str); 4] = [
    ("weight", "gain"),
    ("bias", "offset"),
    ("running_mean", "running_mean"),
    ("running_var", "running_variance"),
];

fn missing(name: &str) -> Error {
    Error::data("the array is missing").key(name)
}

fn misshapen(name: &str, found: &[usize], expected: &[usize]) -> Error {
    Error::data(format!("has shape {found:?}, expected {expected:?}")).key(name)
}
