//! A matrix product with bias: the fully connected layer.

use burn::prelude::*;
use striate_kernels::epilogue::channel_sums;
use striate_kernels::matrix::{Matrix, product};

use super::kernels::{Grad, Made, Op, View, apply};

/// `x · weightᵀ + bias` of `x` `[row, in]`, `weight` `[out, in]` and `bias` `[out]`: `[row, out]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    if !super::has_kernels(&x) {
        return linear_reference(x, weight, bias);
    }
    apply(Multiply, vec![x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()])
}

/// [`linear`] in plain Burn operations.
pub fn linear_reference(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    x.matmul(weight.transpose()) + bias.unsqueeze()
}

/// Inputs: values, weight and bias.
#[derive(Debug)]
struct Multiply;

impl Op for Multiply {
    fn forward(&self, inputs: &[View<'_>], _: bool) -> Made {
        let (x, weight) = (matrix(&inputs[0]), matrix(&inputs[1]));
        let values = product(x, weight.transposed(), Some(inputs[2].values));
        Made { shape: vec![inputs[0].shape[0], inputs[1].shape[0]], values }
    }

    fn backward(
        &self,
        inputs: &[View<'_>],
        _: Option<View<'_>>,
        grad: Grad,
        wanted: &[bool],
    ) -> Vec<Option<Vec<f32>>> {
        let (x, weight) = (matrix(&inputs[0]), matrix(&inputs[1]));
        let (rows, outputs) = (inputs[0].shape[0], inputs[1].shape[0]);
        let g = Matrix::new(grad.values(), rows, outputs);
        vec![
            wanted[0].then(|| product(g, weight, None)),
            wanted[1].then(|| product(g.transposed(), x, None)),
            wanted[2].then(|| channel_sums(outputs, grad.values())),
        ]
    }
}

fn matrix<'a>(view: &View<'a>) -> Matrix<'a> {
    Matrix::new(view.values, view.shape[0], view.shape[1])
}
