//! Operations with kernels against the same operations in plain Burn: values and every gradient.

use burn::prelude::*;
use proptest::prelude::*;
use striate::ops::{Activation, Moments, conv2d, conv2d_reference, moments, normalise, normalise_reference};
use striate::random::{generator, normal};

const ACTIVATIONS: [Activation; 4] =
    [Activation::Identity, Activation::Relu, Activation::Softplus, Activation::Elu];

/// Standard normal values that depend on the seed only.
fn noise<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let values = normal(&mut generator(seed, 0), shape.iter().product(), 0.0, 1.0);
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_into_vec().unwrap()
}

/// Largest difference, relative to the largest value where that is above 1.
fn difference<const D: usize>(ours: Tensor<D>, reference: Tensor<D>) -> f32 {
    assert_eq!(ours.dims(), reference.dims());
    let (ours, reference) = (values(ours), values(reference));
    let largest = reference.iter().fold(1.0f32, |most, v| most.max(v.abs()));
    ours.iter().zip(&reference).map(|(a, b)| (a - b).abs() / largest).fold(0.0, f32::max)
}

type Convolution = fn(Tensor<4>, Tensor<4>, [usize; 2]) -> Tensor<4>;

/// Output, and gradients of `Σ output · noise` to images and weight where they are asked for.
fn run_conv2d(case: &Conv, with: Convolution) -> (Tensor<4>, Vec<Tensor<4>>) {
    let device = Device::flex().autodiff();
    let mut x = noise([case.batch, case.inputs, case.height, case.width], case.seed, &device);
    let mut weight = noise([case.outputs, case.inputs, case.kernel.0, case.kernel.1], case.seed + 1, &device);
    if case.tracked.0 {
        x = x.require_grad();
    }
    if case.tracked.1 {
        weight = weight.require_grad();
    }
    let seen = if case.turned { x.clone().swap_dims(2, 3) } else { x.clone() };
    let y = with(seen, weight.clone(), [case.pad.0, case.pad.1]);
    let gradients = (y.clone() * noise(y.dims(), case.seed + 2, &device)).sum().backward();
    let of = [x, weight].into_iter().zip([case.tracked.0, case.tracked.1]);
    (y.inner(), of.filter(|(_, tracked)| *tracked).map(|(of, _)| of.grad(&gradients).unwrap()).collect())
}

#[derive(Debug, Clone)]
struct Conv {
    batch: usize,
    inputs: usize,
    outputs: usize,
    height: usize,
    width: usize,
    kernel: (usize, usize),
    pad: (usize, usize),
    /// Whether the images are a transposed view, which is not contiguous.
    turned: bool,
    tracked: (bool, bool),
    seed: u64,
}

fn conv() -> impl Strategy<Value = Conv> {
    let sizes = (1..4usize, 1..6usize, 1..35usize, 1..14usize, 1..14usize);
    let rest = (
        0..3usize,
        0..3usize,
        any::<bool>(),
        prop_oneof![Just((true, true)), Just((true, false)), Just((false, true))],
    );
    (sizes, rest, 0..1000u64).prop_flat_map(|(sizes, (pad_h, pad_w, turned, tracked), seed)| {
        let (batch, inputs, outputs, height, width) = sizes;
        let (seen_h, seen_w) = if turned { (width, height) } else { (height, width) };
        let kernel = (1..=(seen_h + 2 * pad_h).min(7), 1..=(seen_w + 2 * pad_w).min(7));
        let pad = (pad_h, pad_w);
        kernel.prop_map(move |kernel| Conv {
            batch,
            inputs,
            outputs,
            height,
            width,
            kernel,
            pad,
            turned,
            tracked,
            seed,
        })
    })
}

fn check_conv2d(case: &Conv) {
    let (ours, our_gradients) = run_conv2d(case, conv2d);
    let (reference, gradients) = run_conv2d(case, conv2d_reference);
    let [_, _, height, width] = reference.dims();
    let taps = case.kernel.0 * case.kernel.1;
    // Rounding errors of sums in another order grow with the root of their length.
    let longest = (taps * case.inputs.max(case.outputs)).max(case.batch * height * width);
    let tolerance = 5e-7 * (longest as f32).sqrt();
    let error = difference(ours, reference);
    assert!(error < tolerance, "{error} {case:?}");
    for (ours, reference) in our_gradients.into_iter().zip(gradients) {
        let error = difference(ours, reference);
        assert!(error < tolerance, "gradient {error} {case:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn conv2d_equals_its_reference(case in conv()) {
        check_conv2d(&case);
    }

    #[test]
    fn normalise_equals_its_reference(case in normalisation()) {
        check_normalise(&case);
    }

    #[test]
    fn moments_are_mean_and_population_variance(
        batch in 1..4usize, channels in 1..5usize, height in 1..20usize, width in 1..20usize,
        centre in -300.0..300f32, seed in 0..1000u64,
    ) {
        let shape = [batch, channels, height, width];
        let x = noise(shape, seed, &Device::flex()).add_scalar(centre);
        let of_channel = |c: usize| -> Vec<f64> {
            let one = x.clone().slice([0..batch, c..c + 1, 0..height, 0..width]);
            values(one).into_iter().map(f64::from).collect()
        };
        let found = moments(x.clone());
        for (c, (mean, variance)) in values(found.mean).into_iter().zip(values(found.variance)).enumerate() {
            let all = of_channel(c);
            let exact = all.iter().sum::<f64>() / all.len() as f64;
            let spread = all.iter().map(|v| (v - exact).powi(2)).sum::<f64>() / all.len() as f64;
            prop_assert!((f64::from(mean) - exact).abs() <= 1e-6 * (1.0 + exact.abs()), "{mean} {exact}");
            prop_assert!((f64::from(variance) - spread).abs() <= 2e-6 * (1.0 + spread), "{variance} {spread}");
        }
    }
}

/// Shapes of the published models, with the corners that a random draw would rarely meet.
#[test]
fn conv2d_of_published_shapes_and_corners() {
    let one = Conv {
        batch: 2,
        inputs: 1,
        outputs: 48,
        height: 31,
        width: 31,
        kernel: (13, 13),
        pad: (0, 0),
        turned: false,
        tracked: (true, true),
        seed: 7,
    };
    let deep = Conv { inputs: 48, height: 19, width: 19, kernel: (3, 3), pad: (1, 1), ..one.clone() };
    let even = Conv { inputs: 16, outputs: 16, kernel: (8, 8), pad: (4, 4), ..deep.clone() };
    let pixel = Conv { batch: 1, inputs: 1, outputs: 1, height: 1, width: 1, kernel: (1, 1), ..one.clone() };
    let padded = Conv { kernel: (3, 3), pad: (1, 1), ..pixel.clone() };
    for case in [one, deep, even, pixel, padded] {
        check_conv2d(&case);
    }
}

#[derive(Debug, Clone)]
struct Normalisation {
    shape: [usize; 4],
    activation: Activation,
    batch_statistics: bool,
    epsilon: f64,
    seed: u64,
}

fn normalisation() -> impl Strategy<Value = Normalisation> {
    let shape = (1..4usize, 1..6usize, 1..12usize, 1..12usize);
    let epsilon = prop_oneof![Just(1e-3), Just(1e-5)];
    (shape, 0..ACTIVATIONS.len(), any::<bool>(), epsilon, 0..1000u64).prop_map(
        |((b, c, h, w), activation, batch_statistics, epsilon, seed)| Normalisation {
            shape: [b, c, h, w],
            activation: ACTIVATIONS[activation],
            batch_statistics,
            epsilon,
            seed,
        },
    )
}

type Normalise = fn(Tensor<4>, &Moments, Tensor<1>, f64, Activation, bool) -> Tensor<4>;

/// Output, and gradients to values and offset.
fn run_normalise(case: &Normalisation, with: Normalise) -> (Tensor<4>, Tensor<4>, Tensor<1>) {
    let device = Device::flex().autodiff();
    let channels = case.shape[1];
    let x = noise(case.shape, case.seed, &device).mul_scalar(2.0).add_scalar(0.5).require_grad();
    let offset = noise([channels], case.seed + 1, &device).require_grad();
    let statistics = if case.batch_statistics {
        moments(x.clone())
    } else {
        let variance = noise([channels], case.seed + 2, &device).abs().add_scalar(0.1);
        Moments { mean: noise([channels], case.seed + 3, &device), variance }
    };
    let apply = |with: Normalise, activation| {
        with(x.clone(), &statistics, offset.clone(), case.epsilon, activation, case.batch_statistics)
    };
    // The slope of ReLU jumps at 0: there, rounding decides, and both answers are right.
    let off_the_kink = apply(normalise_reference, Activation::Identity).detach().abs().greater_elem(1e-4);
    let y = apply(with, case.activation);
    let direction = noise(case.shape, case.seed + 4, &device) * off_the_kink.float();
    let gradients = (y.clone() * direction).sum().backward();
    (y.inner(), x.grad(&gradients).unwrap(), offset.grad(&gradients).unwrap())
}

fn check_normalise(case: &Normalisation) {
    let ours = run_normalise(case, normalise);
    let reference = run_normalise(case, normalise_reference);
    // With one value per channel the reference divides rounding errors by √ε.
    let amplified = if case.shape[0] * case.shape[2] * case.shape[3] < 4 { 100.0 } else { 1.0 };
    assert!(difference(ours.0, reference.0) < 3e-6 * amplified, "{case:?}");
    assert!(difference(ours.1, reference.1) < 5e-6 * amplified, "{case:?}");
    assert!(difference(ours.2, reference.2) < 5e-6 * amplified, "{case:?}");
}

/// A single value is its own mean: the output is the offset, and no gradient reaches the value.
#[test]
fn one_value_per_channel_is_all_offset() {
    let device = Device::flex().autodiff();
    let x = Tensor::<1>::from_floats([3.0, -7.0], &device).reshape([1, 2, 1, 1]).require_grad();
    let offset = Tensor::<1>::from_floats([0.25, 2.0], &device).require_grad();
    let y = normalise(x.clone(), &moments(x.clone()), offset.clone(), 1e-3, Activation::Identity, true);
    let gradients = y.clone().sum().backward();
    assert_eq!(values(y), [0.25, 2.0]);
    assert_eq!(values(x.grad(&gradients).unwrap()), [0.0, 0.0]);
    assert_eq!(values(offset.grad(&gradients).unwrap()), [1.0, 1.0]);
}
