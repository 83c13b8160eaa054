//! Point nonlinearities.

use burn::prelude::*;
use burn::tensor::activation;
use striate_kernels::activation::Activation;
use striate_kernels::epilogue;

use super::kernels::{Grad, Made, Op, View, apply};

/// `a(x)` of each value.
pub fn activate<const D: usize>(x: Tensor<D>, activation: Activation) -> Tensor<D> {
    if activation == Activation::Identity {
        return x;
    }
    if !super::has_kernels(&x) {
        return activate_reference(x, activation);
    }
    apply(Activate(activation), vec![x.into_dispatch()])
}

/// [`activate`] in plain Burn operations.
pub fn activate_reference<const D: usize>(x: Tensor<D>, activation: Activation) -> Tensor<D> {
    match activation {
        Activation::Identity => x,
        Activation::Relu => activation::relu(x),
        // max(x, 0) + log(1 + e^{−|x|}), finite for every x.
        Activation::Softplus => activation::relu(x.clone()) + x.abs().neg().exp().log1p(),
        Activation::Elu => activation::elu(x, 1.0),
    }
}

#[derive(Debug)]
struct Activate(Activation);

impl Op for Activate {
    fn forward(&self, inputs: &[View<'_>], _: bool) -> Made {
        let x = inputs[0];
        Made { shape: x.shape.to_vec(), values: epilogue::forward(self.0, x.values) }
    }

    fn backward(
        &self,
        _: &[View<'_>],
        output: Option<View<'_>>,
        grad: Grad,
        _: &[bool],
    ) -> Vec<Option<Vec<f32>>> {
        let y = output.expect("the output is kept").values;
        vec![Some(epilogue::backward(self.0, y, grad.values()))]
    }

    fn keeps_output(&self) -> bool {
        true
    }
}
