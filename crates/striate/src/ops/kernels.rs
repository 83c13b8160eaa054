//! The seam between Burn and `striate-kernels`: one extension trait for every operation.
//!
//! An operation is a small struct that implements [`Op`] on slices; this file turns it into a Burn operation
//! for the CPU and for autodiff.

use std::fmt::Debug;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::prelude::*;
use burn::tensor::TensorData;

/// A contiguous tensor as the kernels see it.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Sizes of the axes.
    pub shape: &'a [usize],
    /// Values in C order.
    pub values: &'a [f32],
}

/// A tensor that a kernel made.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// Values in C order.
    pub values: Vec<f32>,
}

/// The gradient to an output, to be read or, where nobody else holds it, to be overwritten.
#[derive(Debug)]
pub struct Grad(FlexTensor);

impl Grad {
    /// Its values in C order.
    pub fn values(&self) -> &[f32] {
        view(&self.0).values
    }

    /// Its values as a buffer, copied only if somebody else holds it.
    pub fn into_values(self) -> Vec<f32> {
        self.0.into_data().try_into_vec().expect("kernels take contiguous f32 tensors")
    }
}

/// An operation on contiguous `f32` tensors with a hand-written backward pass.
pub trait Op: Debug + Send + Sync + 'static {
    /// The output. What the backward pass needs beside inputs and output may be kept in `self`, if `tracked`.
    fn forward(&self, inputs: &[View<'_>], tracked: bool) -> Made;

    /// Gradients to the inputs that are `wanted`, each of its input's length; the others are not looked at.
    fn backward(
        &self,
        inputs: &[View<'_>],
        output: Option<View<'_>>,
        grad: Grad,
        wanted: &[bool],
    ) -> Vec<Option<Vec<f32>>>;

    /// Whether the backward pass needs the output.
    fn keeps_output(&self) -> bool {
        false
    }
}

/// Applies `op` to tensors on a device with kernels.
pub fn apply<const D: usize>(op: impl Op, inputs: Vec<DispatchInput>) -> Tensor<D> {
    let op: Arc<dyn Op> = Arc::new(op);
    let mut inputs = inputs.into_iter();
    let count = inputs.len();
    let mut next = || inputs.next().expect("counted above");
    Tensor::from_dispatch(match count {
        1 => Dispatch::kernel_1(op, next()),
        2 => Dispatch::kernel_2(op, next(), next()),
        3 => Dispatch::kernel_3(op, next(), next(), next()),
        4 => Dispatch::kernel_4(op, next(), next(), next(), next()),
        5 => Dispatch::kernel_5(op, next(), next(), next(), next(), next()),
        _ => unreachable!("an operation has one to five inputs"),
    })
}

/// A tensor of any rank on its way to [`apply`].
pub type DispatchInput = FloatTensor<Dispatch>;

/// Operations with kernels of their own, by their number of inputs: an extension takes no lists.
#[backend_extension(Flex, Autodiff)]
pub trait Kernels: Backend {
    /// One input.
    fn kernel_1(op: Arc<dyn Op>, a: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Two inputs.
    fn kernel_2(op: Arc<dyn Op>, a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Three inputs.
    fn kernel_3(
        op: Arc<dyn Op>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
    /// Four inputs.
    fn kernel_4(
        op: Arc<dyn Op>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
    /// Five inputs.
    fn kernel_5(
        op: Arc<dyn Op>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        c: FloatTensor<Self>,
        d: FloatTensor<Self>,
        e: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// What a backend without gradients must know for the backward pass of one with them.
pub trait Differentiable: Backend {
    /// The tensor itself, or a contiguous copy.
    fn contiguous(x: FloatTensor<Self>) -> FloatTensor<Self>;
    /// Output of `op` for contiguous inputs.
    fn run(op: &dyn Op, inputs: &[FloatTensor<Self>], tracked: bool) -> FloatTensor<Self>;
    /// Gradients of `op` to the `wanted` inputs, all contiguous.
    fn gradients(
        op: &dyn Op,
        inputs: &[FloatTensor<Self>],
        output: Option<&FloatTensor<Self>>,
        grad: FloatTensor<Self>,
        wanted: &[bool],
    ) -> Vec<Option<FloatTensor<Self>>>;
}

fn view(x: &FlexTensor) -> View<'_> {
    View {
        shape: x.layout().shape(),
        values: x.as_slice::<f32>().expect("kernels take contiguous f32 tensors"),
    }
}

fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

impl Differentiable for Flex {
    fn contiguous(x: FlexTensor) -> FlexTensor {
        if x.is_contiguous() { x } else { x.to_contiguous() }
    }

    fn run(op: &dyn Op, inputs: &[FlexTensor], tracked: bool) -> FlexTensor {
        let views: Vec<View<'_>> = inputs.iter().map(view).collect();
        let made = op.forward(&views, tracked);
        tensor(made.values, made.shape)
    }

    fn gradients(
        op: &dyn Op,
        inputs: &[FlexTensor],
        output: Option<&FlexTensor>,
        grad: FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let views: Vec<View<'_>> = inputs.iter().map(view).collect();
        let grad = Grad(Self::contiguous(grad));
        let gradients = op.backward(&views, output.map(view), grad, wanted);
        let shaped = gradients.into_iter().zip(inputs);
        shaped.map(|(values, input)| values.map(|values| tensor(values, input.shape()))).collect()
    }
}

/// Records `op` in the graph, if any input is tracked.
fn record<B: Differentiable, C: CheckpointStrategy, const N: usize>(
    op: Arc<dyn Op>,
    inputs: [FloatTensor<Autodiff<B, C>>; N],
) -> FloatTensor<Autodiff<B, C>> {
    #[derive(Debug)]
    struct Step;

    impl<B: Differentiable, const N: usize> Backward<B, N> for Step {
        type State = (Arc<dyn Op>, Vec<FloatTensor<B>>, Option<FloatTensor<B>>);

        fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
            let (op, inputs, output) = ops.state;
            let wanted = ops.parents.each_ref().map(Option::is_some);
            let grad = grads.consume::<B>(&ops.node);
            let gradients = B::gradients(&*op, &inputs, output.as_ref(), grad, &wanted);
            for (node, gradient) in ops.parents.into_iter().zip(gradients) {
                if let (Some(node), Some(gradient)) = (node, gradient) {
                    grads.register::<B>(node.id, gradient);
                }
            }
        }
    }

    let primitives: Vec<FloatTensor<B>> =
        inputs.iter().map(|input| B::contiguous(input.primitive().clone())).collect();
    let nodes = inputs.each_ref().map(|input| input.node());
    match Step.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(step) => {
            let output = B::run(&*op, &primitives, true);
            let kept = op.keeps_output().then(|| output.clone());
            step.finish((op, primitives, kept), output)
        }
        OpsKind::UnTracked(step) => step.finish(B::run(&*op, &primitives, false)),
    }
}

macro_rules! kernels {
    ($($name:ident($($input:ident),*);)*) => {
        impl Kernels for Flex {
            $(fn $name(op: Arc<dyn Op>, $($input: FlexTensor),*) -> FlexTensor {
                Self::run(&*op, &[$(Self::contiguous($input)),*], false)
            })*
        }

        impl<B: Differentiable + Kernels, C: CheckpointStrategy> Kernels for Autodiff<B, C> {
            $(fn $name(op: Arc<dyn Op>, $($input: FloatTensor<Self>),*) -> FloatTensor<Self> {
                record::<B, C, _>(op, [$($input),*])
            })*
        }
    };
}

kernels! {
    kernel_1(a);
    kernel_2(a, b);
    kernel_3(a, b, c);
    kernel_4(a, b, c, d);
    kernel_5(a, b, c, d, e);
}
