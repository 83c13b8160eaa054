//! One step of Adam, in one pass over memory where there are kernels.

use burn::prelude::*;
use burn::tensor::TensorData;
pub use striate_kernels::adam::Adam;

/// First and second moments of a gradient, both of the parameter's length.
#[derive(Debug, Clone)]
pub struct AdamMoments {
    /// Running mean of the gradient.
    pub first: Tensor<1>,
    /// Running mean of its square.
    pub second: Tensor<1>,
}

impl AdamMoments {
    /// Moments before the first step of a parameter of `length` values.
    pub fn zeros(length: usize, device: &Device) -> Self {
        Self { first: Tensor::zeros([length], device), second: Tensor::zeros([length], device) }
    }
}

/// `value` and moments after one step against `gradient · scale`, all without gradients of their own
/// (Kingma & Ba 2015, algorithm 1).
pub fn adam(
    step: &Adam,
    value: Tensor<1>,
    gradient: Tensor<1>,
    scale: f32,
    moments: AdamMoments,
) -> (Tensor<1>, AdamMoments) {
    if !super::has_kernels(&value) {
        return adam_reference(step, value, gradient, scale, moments);
    }
    let device = value.device();
    let host = |tensor: Tensor<1>| -> Vec<f32> { tensor.into_data().try_into_vec().expect("values are f32") };
    let back = |values: Vec<f32>| -> Tensor<1> {
        let length = values.len();
        Tensor::from_data(TensorData::new(values, [length]), &device)
    };
    let (mut value, gradient) = (host(value), gradient.into_data());
    let (mut first, mut second) = (host(moments.first), host(moments.second));
    let gradient = gradient.as_slice::<f32>().expect("gradients are f32");
    step.step(&mut value, gradient, scale, &mut first, &mut second);
    (back(value), AdamMoments { first: back(first), second: back(second) })
}

/// [`adam`] in plain Burn operations.
pub fn adam_reference(
    step: &Adam,
    value: Tensor<1>,
    gradient: Tensor<1>,
    scale: f32,
    moments: AdamMoments,
) -> (Tensor<1>, AdamMoments) {
    let gradient = gradient.mul_scalar(scale);
    let blend = |old: &Tensor<1>, new: Tensor<1>, keep: f32| {
        old.clone().mul_scalar(keep) + new.mul_scalar(1.0 - keep)
    };
    let first = blend(&moments.first, gradient.clone(), step.beta_1);
    let second = blend(&moments.second, gradient.square(), step.beta_2);
    let unbiased = |moment: &Tensor<1>, beta: f32| {
        moment.clone().div_scalar(1.0 - f64::from(beta).powi(step.time as i32))
    };
    let spread = unbiased(&second, step.beta_2).sqrt().add_scalar(step.epsilon);
    let rate = spread.recip().mul_scalar(step.rate);
    let moved = value.clone() - unbiased(&first, step.beta_1) * rate.clone();
    let shrunk = moved.clone().sign() * (moved.abs() - rate.mul_scalar(step.l1)).clamp_min(0.0);
    if !step.keep_zeros {
        return (shrunk, AdamMoments { first, second });
    }
    let zero = value.clone().equal_elem(0.0);
    let keep = |new: Tensor<1>, old: Tensor<1>| new.mask_where(zero.clone(), old);
    // What makes a moment say, once corrected for bias, what it said in the step before.
    let said = |moment: Tensor<1>, beta: f32| {
        let share = |time: u32| 1.0 - f64::from(beta).powi(time as i32);
        if step.time > 1 { moment.mul_scalar(share(step.time) / share(step.time - 1)) } else { moment }
    };
    let first = keep(first, said(moments.first, step.beta_1));
    let second = keep(second, said(moments.second, step.beta_2));
    (keep(shrunk, value), AdamMoments { first, second })
}
