//! Feature weights that several neurons have in common but for their scale.

use burn::module::Param;
use burn::prelude::*;

use super::Start;
use crate::model::weights::trainable;

/// A scale for each neuron, and the group whose feature weights it scales.
///
/// # Source
/// Feature sharing of the Sensorium toolkit, there for neurons matched between sessions (`papers/sensorium.md#readouts`).
#[derive(Module, Debug)]
pub struct Shared {
    /// `[neuron]`, 1 at the start.
    scale: Param<Tensor<1>>,
    #[module(skip)]
    groups: Vec<usize>,
}

impl Shared {
    /// Scales for the groups that `start` names, where features are shared.
    pub fn new(shared: bool, start: &[Start], device: &Device) -> Option<Self> {
        let scale = || trainable(vec![1.0; start.len()], [start.len()], device);
        shared.then(|| Self { scale: scale(), groups: start.iter().map(|start| start.group).collect() })
    }

    /// Columns of feature weights that a readout needs: one for each neuron, or for each group.
    pub fn columns(of: &Option<Self>, start: &[Start]) -> usize {
        match of {
            Some(shared) => shared.groups.iter().max().map_or(0, |last| last + 1),
            None => start.len(),
        }
    }

    /// Feature weights `[channel, neuron]` from those of the groups, `[channel, group]`.
    pub fn spread(of: &Option<Self>, features: Tensor<2>) -> Tensor<2> {
        let Some(shared) = of else { return features };
        let groups: Vec<i32> = shared.groups.iter().map(|&group| group as i32).collect();
        let groups = Tensor::<1, Int>::from_ints(groups.as_slice(), &features.device());
        features.select(1, groups) * shared.scale.val().unsqueeze()
    }
}
