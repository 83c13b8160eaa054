//! The factorised readout: masks times feature weights, without an intermediate per image, channel and neuron.

use burn::prelude::*;
use striate_kernels::factorised::{self as kernel, SPARSE_BELOW, SparseMasks};

use super::kernels::{Grad, Made, Op, View, apply};

/// Which mask weights take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Masks {
    /// All.
    #[default]
    Dense,
    /// Only those that are not exactly zero; the gradient to the others is zero, so zeros stay.
    Sparse,
}

/// `Σ_k W_kn Σ_p φ_pk M_pn` of features `[batch, height, width, channel]`, masks `[pixel, neuron]` and feature
/// weights `[channel, neuron]`: `[batch, neuron]` (Klindt et al. 2017; `papers/klindt2017.md#readout`).
///
/// With [`Masks::Sparse`] the work is proportional to the mask weights that are not zero, where that pays.
pub fn factorised(features: Tensor<4>, mask: Tensor<2>, weights: Tensor<2>, masks: Masks) -> Tensor<2> {
    if !super::has_kernels(&features) {
        return factorised_reference(features, mask, weights, masks);
    }
    let inputs = vec![features.into_dispatch(), mask.into_dispatch(), weights.into_dispatch()];
    apply(ReadOut { masks, ..ReadOut::default() }, inputs)
}

/// [`factorised`] in plain Burn operations.
pub fn factorised_reference(
    features: Tensor<4>,
    mask: Tensor<2>,
    weights: Tensor<2>,
    masks: Masks,
) -> Tensor<2> {
    let [batch, height, width, channels] = features.dims();
    let neurons = mask.dims()[1];
    let mask = match masks {
        Masks::Dense => mask,
        Masks::Sparse => mask.clone() * mask.detach().not_equal_elem(0.0).float(),
    };
    let planes = features.permute([0, 3, 1, 2]).reshape([batch * channels, height * width]);
    let pooled = planes.matmul(mask).reshape([batch, channels, neurons]);
    (pooled * weights.unsqueeze()).sum_dim(1).reshape([batch, neurons])
}

/// Inputs: features, masks and feature weights.
#[derive(Debug, Default)]
struct ReadOut {
    masks: Masks,
    sparse: std::sync::OnceLock<Option<SparseMasks>>,
}

fn sizes(inputs: &[View<'_>]) -> kernel::Factorised {
    let [batch, height, width, channels] = *inputs[0].shape else { unreachable!("features have four axes") };
    kernel::Factorised { batch, pixels: height * width, channels, neurons: inputs[1].shape[1] }
}

impl ReadOut {
    /// The masks without their zeros, where that is the faster way.
    fn sparse(&self, inputs: &[View<'_>]) -> Option<&SparseMasks> {
        let build = || {
            let mask = inputs[1].values;
            let filled = mask.iter().filter(|m| **m != 0.0).count();
            (self.masks == Masks::Sparse && (filled as f32) < SPARSE_BELOW * mask.len() as f32)
                .then(|| SparseMasks::new(mask, inputs[1].shape[1]))
        };
        self.sparse.get_or_init(build).as_ref()
    }
}

impl Op for ReadOut {
    fn forward(&self, inputs: &[View<'_>], _: bool) -> Made {
        let [x, mask, weights] = [inputs[0].values, inputs[1].values, inputs[2].values];
        let sizes = sizes(inputs);
        let values = match self.sparse(inputs) {
            Some(sparse) => sizes.forward_sparse(x, sparse, weights),
            None => sizes.forward(x, mask, weights),
        };
        Made { shape: vec![sizes.batch, sizes.neurons], values }
    }

    fn backward(
        &self,
        inputs: &[View<'_>],
        _: Option<View<'_>>,
        grad: Grad,
        wanted: &[bool],
    ) -> Vec<Option<Vec<f32>>> {
        let [x, mask, weights] = [inputs[0].values, inputs[1].values, inputs[2].values];
        let (grad, wanted) = (grad.values(), std::array::from_fn(|i| wanted[i]));
        let mut found = match self.sparse(inputs) {
            Some(sparse) => sizes(inputs).backward_sparse(x, sparse, weights, grad, wanted),
            None => sizes(inputs).backward(x, mask, weights, grad, wanted),
        };
        if let (Masks::Sparse, Some(to_mask)) = (self.masks, &mut found[1]) {
            to_mask.iter_mut().zip(mask).filter(|(_, m)| **m == 0.0).for_each(|(g, _)| *g = 0.0);
        }
        found.into()
    }
}
