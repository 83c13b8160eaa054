//! The seam between Burn and `striate-kernels`: one extension trait, implemented for the CPU and for autodiff.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Shape, TensorData};
use striate_kernels::activation::Activation;
use striate_kernels::conv2d::Conv2d;
use striate_kernels::norm::{self, Affine, Planes};

/// How [`Kernels::kernel_normalise`] treats its values.
#[derive(Debug, Clone, Copy)]
pub struct NormaliseOptions {
    /// Nonlinearity after the normalisation.
    pub activation: Activation,
    /// Whether mean and scale are functions of the values, as in training.
    pub batch_statistics: bool,
}

/// Operations with kernels of their own.
///
/// The `…_gradient` methods serve the backward passes and are defined on plain backends only.
#[backend_extension(Flex, Autodiff)]
pub trait Kernels: Backend {
    /// Convolution of `[batch, in, height, width]` with `[out, in, kernel_h, kernel_w]`.
    fn kernel_conv2d(x: FloatTensor<Self>, weight: FloatTensor<Self>, pad: [usize; 2]) -> FloatTensor<Self>;
    /// Gradient of [`Kernels::kernel_conv2d`] to `x`, which has shape `shape`.
    fn kernel_conv2d_input_gradient(
        grad: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        shape: Shape,
        pad: [usize; 2],
    ) -> FloatTensor<Self>;
    /// Gradient of [`Kernels::kernel_conv2d`] to the weight, which has shape `shape`.
    fn kernel_conv2d_weight_gradient(
        x: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        shape: Shape,
        pad: [usize; 2],
    ) -> FloatTensor<Self>;
    /// Mean (row 0) and variance (row 1) of each channel of `[batch, channel, height, width]`.
    fn kernel_moments(x: FloatTensor<Self>) -> FloatTensor<Self>;
    /// `a((x − mean) · scale + offset)` per channel.
    fn kernel_normalise(
        x: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        offset: FloatTensor<Self>,
        options: NormaliseOptions,
    ) -> FloatTensor<Self>;
    /// Gradients of [`Kernels::kernel_normalise`] to `x` and to the offset.
    fn kernel_normalise_gradient(
        x: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        offset: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        options: NormaliseOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

fn conv_of(x: &Shape, weight: &Shape, pad: [usize; 2]) -> Conv2d {
    Conv2d {
        inputs: x[1],
        outputs: weight[0],
        height: x[2],
        width: x[3],
        kernel_h: weight[2],
        kernel_w: weight[3],
        pad_h: pad[0],
        pad_w: pad[1],
    }
}

fn planes_of(x: &Shape) -> Planes {
    Planes { batch: x[0], channels: x[1], pixels: x[2] * x[3] }
}

fn values(x: &FlexTensor) -> &[f32] {
    x.as_slice::<f32>().expect("kernels take contiguous f32 tensors")
}

fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

fn contiguous(x: FlexTensor) -> FlexTensor {
    if x.is_contiguous() { x } else { x.to_contiguous() }
}

impl Kernels for Flex {
    fn kernel_conv2d(x: FlexTensor, weight: FlexTensor, pad: [usize; 2]) -> FlexTensor {
        let (x, weight) = (contiguous(x), contiguous(weight));
        let conv = conv_of(&x.shape(), &weight.shape(), pad);
        let shape = [x.shape()[0], conv.outputs, conv.out_height(), conv.out_width()];
        let mut out = vec![0.0; shape.iter().product()];
        conv.forward(values(&x), values(&weight), &mut out);
        tensor(out, shape)
    }

    fn kernel_conv2d_input_gradient(
        grad: FlexTensor,
        weight: FlexTensor,
        shape: Shape,
        pad: [usize; 2],
    ) -> FlexTensor {
        let (grad, weight) = (contiguous(grad), contiguous(weight));
        let mut out = vec![0.0; shape.num_elements()];
        conv_of(&shape, &weight.shape(), pad).backward_input(values(&grad), values(&weight), &mut out);
        tensor(out, shape)
    }

    fn kernel_conv2d_weight_gradient(
        x: FlexTensor,
        grad: FlexTensor,
        shape: Shape,
        pad: [usize; 2],
    ) -> FlexTensor {
        let (x, grad) = (contiguous(x), contiguous(grad));
        let mut out = vec![0.0; shape.num_elements()];
        conv_of(&x.shape(), &shape, pad).backward_weights(values(&x), values(&grad), &mut out);
        tensor(out, shape)
    }

    fn kernel_moments(x: FlexTensor) -> FlexTensor {
        let x = contiguous(x);
        let (mut mean, variance) = norm::moments(planes_of(&x.shape()), values(&x));
        let channels = mean.len();
        mean.extend(variance);
        tensor(mean, [2, channels])
    }

    fn kernel_normalise(
        x: FlexTensor,
        mean: FlexTensor,
        scale: FlexTensor,
        offset: FlexTensor,
        options: NormaliseOptions,
    ) -> FlexTensor {
        let (x, mean, scale, offset) =
            (contiguous(x), contiguous(mean), contiguous(scale), contiguous(offset));
        let affine = Affine { mean: values(&mean), scale: values(&scale), offset: values(&offset) };
        let mut out = vec![0.0; x.shape().num_elements()];
        norm::forward(planes_of(&x.shape()), options.activation, affine, values(&x), &mut out);
        tensor(out, x.shape())
    }

    fn kernel_normalise_gradient(
        x: FlexTensor,
        mean: FlexTensor,
        scale: FlexTensor,
        offset: FlexTensor,
        grad: FlexTensor,
        options: NormaliseOptions,
    ) -> (FlexTensor, FlexTensor) {
        let (x, grad) = (contiguous(x), contiguous(grad));
        let (mean, scale, offset) = (contiguous(mean), contiguous(scale), contiguous(offset));
        let affine = Affine { mean: values(&mean), scale: values(&scale), offset: values(&offset) };
        let planes = planes_of(&x.shape());
        let gradients = norm::backward(
            planes,
            options.activation,
            affine,
            options.batch_statistics,
            values(&x),
            values(&grad),
        );
        (tensor(gradients.values, x.shape()), tensor(gradients.offset, [planes.channels]))
    }
}

impl<B: Kernels, C: CheckpointStrategy> Kernels for Autodiff<B, C> {
    fn kernel_conv2d(x: FloatTensor<Self>, weight: FloatTensor<Self>, pad: [usize; 2]) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Convolve;

        impl<B: Kernels> Backward<B, 2> for Convolve {
            type State = (FloatTensor<B>, FloatTensor<B>, [usize; 2]);

            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [to_x, to_weight] = ops.parents;
                let (x, weight, pad) = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                let (x_shape, weight_shape) = (x.shape(), weight.shape());
                if let Some(node) = to_weight {
                    let gradient = B::kernel_conv2d_weight_gradient(x, grad.clone(), weight_shape, pad);
                    grads.register::<B>(node.id, gradient);
                }
                if let Some(node) = to_x {
                    grads.register::<B>(node.id, B::kernel_conv2d_input_gradient(grad, weight, x_shape, pad));
                }
            }
        }

        let primitives = (x.primitive().clone(), weight.primitive().clone());
        let out = B::kernel_conv2d(primitives.0.clone(), primitives.1.clone(), pad);
        match Convolve.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((primitives.0, primitives.1, pad), out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }

    fn kernel_conv2d_input_gradient(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Shape,
        _: [usize; 2],
    ) -> FloatTensor<Self> {
        unreachable!("gradients of gradients are not used")
    }

    fn kernel_conv2d_weight_gradient(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: Shape,
        _: [usize; 2],
    ) -> FloatTensor<Self> {
        unreachable!("gradients of gradients are not used")
    }

    fn kernel_moments(x: FloatTensor<Self>) -> FloatTensor<Self> {
        FloatTensor::<Self>::new(B::kernel_moments(x.into_primitive()))
    }

    fn kernel_normalise(
        x: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        offset: FloatTensor<Self>,
        options: NormaliseOptions,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Normalise;

        impl<B: Kernels> Backward<B, 2> for Normalise {
            type State = ([FloatTensor<B>; 4], NormaliseOptions);

            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [to_x, to_offset] = ops.parents;
                let ([x, mean, scale, offset], options) = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                let (x, offset) = B::kernel_normalise_gradient(x, mean, scale, offset, grad, options);
                if let Some(node) = to_x {
                    grads.register::<B>(node.id, x);
                }
                if let Some(node) = to_offset {
                    grads.register::<B>(node.id, offset);
                }
            }
        }

        let state = [&x, &mean, &scale, &offset].map(|tensor| tensor.primitive().clone());
        let [px, pm, ps, po] = state.clone();
        let out = B::kernel_normalise(px, pm, ps, po, options);
        match Normalise.prepare::<C>([x.node(), offset.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((state, options), out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }

    fn kernel_normalise_gradient(
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: FloatTensor<Self>,
        _: NormaliseOptions,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unreachable!("gradients of gradients are not used")
    }
}
