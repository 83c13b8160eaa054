//! Operations with kernels against the same operations in plain Burn: values and every gradient.

use burn::prelude::*;
use proptest::prelude::*;
use striate::ops::{
    self, Activation, Adam, AdamMoments, Conv2dOptions, ConvGru, Gru, Masks, Moments, Normalise,
};
use striate::random::{generator, normal};

const ACTIVATIONS: [Activation; 4] =
    [Activation::Identity, Activation::Relu, Activation::Softplus, Activation::Elu];

/// Standard normal values that depend on the seed only.
fn noise(length: usize, seed: u64, device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(normal(&mut generator(seed, 0), length, 0.0, 1.0), [length]), device)
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_into_vec().unwrap()
}

/// Largest difference, relative to the largest value where that is above 1.
fn difference(ours: &[f32], reference: &[f32]) -> f32 {
    assert_eq!(ours.len(), reference.len());
    let largest = reference.iter().fold(1.0f32, |most, v| most.max(v.abs()));
    ours.iter().zip(reference).map(|(a, b)| (a - b).abs() / largest).fold(0.0, f32::max)
}

/// Inputs of an operation, flat; it reshapes them itself.
type Inputs<'a> = &'a [Tensor<1>];

/// Output, and gradients of `Σ output · noise` to the tracked inputs.
fn run(
    given: &[Tensor<1>],
    tracked: &[bool],
    seed: u64,
    op: &dyn Fn(Inputs<'_>) -> Tensor<1>,
) -> Vec<Vec<f32>> {
    let device = Device::flex().autodiff();
    let lift = |(input, tracked): (&Tensor<1>, &bool)| {
        let input = Tensor::from_data(input.to_data(), &device);
        if *tracked { input.require_grad() } else { input }
    };
    let inputs: Vec<Tensor<1>> = given.iter().zip(tracked).map(lift).collect();
    let y = op(&inputs);
    let gradients = (y.clone() * noise(y.dims()[0], seed + 77, &device)).sum().backward();
    let grad = |input: &Tensor<1>| values(input.grad(&gradients).expect("a tracked input has a gradient"));
    let of = inputs.iter().zip(tracked).filter(|(_, tracked)| **tracked);
    [values(y.inner())].into_iter().chain(of.map(|(input, _)| grad(input))).collect()
}

/// Holds an operation against its reference: values, and gradients to all inputs at once and to one alone.
fn agree(
    given: &[Tensor<1>],
    fixed: &[usize],
    seed: u64,
    tolerance: f32,
    ours: &dyn Fn(Inputs<'_>) -> Tensor<1>,
    reference: &dyn Fn(Inputs<'_>) -> Tensor<1>,
) {
    let free: Vec<usize> = (0..given.len()).filter(|i| !fixed.contains(i)).collect();
    let one = free[seed as usize % free.len()];
    let all: Vec<bool> = (0..given.len()).map(|i| free.contains(&i)).collect();
    let alone: Vec<bool> = (0..given.len()).map(|i| i == one).collect();
    for tracked in [all, alone] {
        let pairs = run(given, &tracked, seed, ours).into_iter().zip(run(given, &tracked, seed, reference));
        for (which, (ours, reference)) in pairs.enumerate() {
            let error = difference(&ours, &reference);
            assert!(error < tolerance, "result {which} of {tracked:?}: {error} above {tolerance}");
        }
    }
}

/// Noise of the given lengths.
fn inputs(lengths: &[usize], seed: u64) -> Vec<Tensor<1>> {
    (seed..).zip(lengths).map(|(seed, length)| noise(*length, seed, &Device::flex())).collect()
}

fn flat<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let length = x.shape().num_elements();
    x.reshape([length])
}

/// Rounding errors of sums in another order grow with the root of their length.
fn rounding(longest: usize) -> f32 {
    5e-7 * (longest as f32).sqrt().max(4.0)
}

#[derive(Debug, Clone)]
struct Conv {
    /// `[batch, height, width, in]`.
    images: [usize; 4],
    /// `[out, in, kernel_h, kernel_w]`.
    weight: [usize; 4],
    options: Conv2dOptions,
    bias: bool,
    /// Whether the images are a transposed view, which is not contiguous.
    turned: bool,
    seed: u64,
}

fn conv() -> impl Strategy<Value = Conv> {
    let sizes = (0..4usize, 1..14usize, 1..14usize, 1..6usize, 1..35usize);
    let rest = (0..3usize, 0..3usize, 1..3usize, 0..ACTIVATIONS.len(), any::<bool>(), any::<bool>());
    (sizes, rest, 0..1000u64).prop_flat_map(|(sizes, rest, seed)| {
        let (batch, height, width, inputs, outputs) = sizes;
        let (pad_h, pad_w, stride, activation, bias, turned) = rest;
        let kernel = (1..=(height + 2 * pad_h).min(7), 1..=(width + 2 * pad_w).min(7));
        let options = Conv2dOptions { stride, pad: [pad_h, pad_w], activation: ACTIVATIONS[activation] };
        kernel.prop_map(move |(kernel_h, kernel_w)| Conv {
            images: [batch, height, width, inputs],
            weight: [outputs, inputs, kernel_h, kernel_w],
            options,
            bias,
            turned,
            seed,
        })
    })
}

type Convolution = fn(Tensor<4>, Tensor<4>, Option<Tensor<1>>, Conv2dOptions) -> Tensor<4>;

fn check_conv2d(case: &Conv) {
    let [batch, height, width, inputs_] = case.images;
    let taps = case.weight[2] * case.weight[3];
    let op = |with: Convolution| {
        move |given: Inputs<'_>| {
            let x = given[0].clone();
            let x: Tensor<4> = if case.turned {
                x.reshape([batch, width, height, inputs_]).swap_dims(1, 2)
            } else {
                x.reshape(case.images)
            };
            let bias = case.bias.then(|| given[2].clone());
            flat(with(x, given[1].clone().reshape(case.weight), bias, case.options))
        }
    };
    let mut given = inputs(&[case.images.iter().product(), case.weight.iter().product()], case.seed);
    if case.bias {
        given.push(noise(case.weight[0], case.seed + 9, &Device::flex()));
    }
    // The slope of ReLU jumps at 0: there, rounding decides, and both answers are right. A bias far from 0
    // keeps nearly all outputs off the kink; the rest is rare enough for fixed seeds.
    let tolerance = rounding((taps * inputs_.max(case.weight[0])).max(batch * height * width));
    agree(&given, &[], case.seed, tolerance, &op(ops::conv2d), &op(ops::conv2d_reference));
}

#[derive(Debug, Clone)]
struct Normalisation {
    shape: [usize; 4],
    activation: Activation,
    batch_statistics: bool,
    gain: bool,
    epsilon: f64,
    seed: u64,
}

fn normalisation() -> impl Strategy<Value = Normalisation> {
    let shape = (1..4usize, 1..12usize, 1..12usize, 1..37usize);
    let epsilon = prop_oneof![Just(1e-3), Just(1e-5)];
    let flags = (any::<bool>(), any::<bool>());
    (shape, 0..ACTIVATIONS.len(), flags, epsilon, 0..1000u64).prop_map(
        |((b, h, w, c), activation, (batch_statistics, gain), epsilon, seed)| Normalisation {
            shape: [b, h, w, c],
            activation: ACTIVATIONS[activation],
            batch_statistics,
            gain,
            epsilon,
            seed,
        },
    )
}

fn check_normalise(case: &Normalisation) {
    let channels = case.shape[3];
    let op = |with: fn(Tensor<4>, &Moments, Normalise) -> Tensor<4>| {
        move |given: Inputs<'_>| {
            let x = given[0].clone().mul_scalar(2.0).add_scalar(0.5).reshape(case.shape);
            let moments = if case.batch_statistics {
                ops::moments(x.clone())
            } else {
                let variance = given[3].clone().abs().add_scalar(0.1);
                Moments { mean: given[2].clone(), variance }
            };
            // Away from the kink of ReLU, where rounding decides and both answers are right.
            let off = x.clone().detach().abs().greater_elem(1e-3).float();
            let normalise = Normalise {
                gain: case.gain.then(|| given[4].clone()),
                offset: given[1].clone(),
                epsilon: case.epsilon,
                activation: case.activation,
                batch_statistics: case.batch_statistics,
            };
            flat(with(x, &moments, normalise) * off)
        }
    };
    let lengths = [case.shape.iter().product(), channels, channels, channels, channels];
    let given = inputs(&lengths[..if case.gain { 5 } else { 4 }], case.seed);
    // With few values per channel the reference divides rounding errors by √ε.
    let few = case.shape[..3].iter().product::<usize>() < 4;
    let tolerance = if few { 5e-4 } else { 1e-4 };
    agree(&given, &[2, 3], case.seed, tolerance, &op(ops::normalise), &op(ops::normalise_reference));
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
    fn activate_equals_its_reference(length in 0..500usize, kind in 0..4usize, seed in 0..1000u64) {
        let op = |with: fn(Tensor<1>, Activation) -> Tensor<1>| {
            move |given: Inputs<'_>| with(given[0].clone().mul_scalar(5.0), ACTIVATIONS[kind])
        };
        agree(&inputs(&[length], seed), &[], seed, 2e-6, &op(ops::activate), &op(ops::activate_reference));
    }

    #[test]
    fn depthwise2d_equals_its_reference(
        batch in 0..4usize, height in 1..16usize, width in 1..16usize, channels in 1..37usize,
        kernel in 1..8usize, same in any::<bool>(), seed in 0..1000u64,
    ) {
        let kernel = [kernel.min(height), kernel.min(width)];
        let pad = kernel.map(|side| if same { side / 2 } else { 0 });
        let op = |with: fn(Tensor<4>, Tensor<3>, [usize; 2]) -> Tensor<4>| move |given: Inputs<'_>| {
            let weight = given[1].clone().reshape([channels, kernel[0], kernel[1]]);
            flat(with(given[0].clone().reshape([batch, height, width, channels]), weight, pad))
        };
        let given = inputs(&[batch * height * width * channels, channels * kernel[0] * kernel[1]], seed);
        let tolerance = rounding(batch * height * width);
        agree(&given, &[], seed, tolerance, &op(ops::depthwise2d), &op(ops::depthwise2d_reference));
    }

    #[test]
    fn conv_transpose2d_equals_its_reference(
        (batch, height, width) in (1..4usize, 1..7usize, 1..7usize), (from, to) in (1..20usize, 1..20usize),
        kernel in 1..8usize, stride in 1..4usize, beyond in 0..3usize, seed in 0..1000u64,
    ) {
        let side = |side: usize| (side - 1) * stride + kernel + beyond.min(stride - 1);
        let size = [side(height), side(width)];
        let op = |with: fn(Tensor<4>, Tensor<4>, usize, [usize; 2]) -> Tensor<4>| move |given: Inputs<'_>| {
            let maps = given[0].clone().reshape([batch, height, width, from]);
            flat(with(maps, given[1].clone().reshape([from, to, kernel, kernel]), stride, size))
        };
        let given = inputs(&[batch * height * width * from, from * to * kernel * kernel], seed);
        let tolerance = rounding((from.max(to) * kernel * kernel).max(batch * height * width));
        let (ours, reference) = (ops::conv_transpose2d, ops::conv_transpose2d_reference);
        agree(&given, &[], seed, tolerance, &op(ours), &op(reference));
    }

    #[test]
    fn temporal_equals_its_reference(
        (clips, frames, height, width) in (0..4usize, 1..9usize, 1..6usize, 1..6usize),
        (inputs_, outputs) in (1..20usize, 1..20usize), time in 1..6usize, seed in 0..1000u64,
    ) {
        let time = time.min(frames);
        type Temporal = fn(Tensor<5>, Tensor<3>, Option<Tensor<1>>, Activation) -> Tensor<5>;
        let op = |with: Temporal| move |given: Inputs<'_>| {
            let videos = given[0].clone().reshape([clips, frames, height, width, inputs_]);
            let weight = given[1].clone().reshape([outputs, inputs_, time]);
            flat(with(videos, weight, Some(given[2].clone()), Activation::Elu))
        };
        let given = inputs(&[clips * frames * height * width * inputs_, outputs * inputs_ * time, outputs], seed);
        let tolerance = rounding((time * inputs_.max(outputs)).max(clips * frames * height * width));
        agree(&given, &[], seed, tolerance, &op(ops::temporal), &op(ops::temporal_reference));
    }

    #[test]
    fn factorised_equals_its_reference(
        (batch, height, width) in (0..6usize, 1..9usize, 1..9usize),
        channels in prop_oneof![1..5usize, 15..50usize], neurons in prop_oneof![1..5usize, 40..110usize],
        zeros in 0..100u64, sparse in any::<bool>(), seed in 0..1000u64,
    ) {
        let masks = if sparse { Masks::Sparse } else { Masks::Dense };
        let pixels = height * width;
        let op = |with: fn(Tensor<4>, Tensor<2>, Tensor<2>, Masks) -> Tensor<2>| move |given: Inputs<'_>| {
            let x = given[0].clone().reshape([batch, height, width, channels]);
            let (mask, weights) = (given[1].clone(), given[2].clone());
            flat(with(x, mask.reshape([pixels, neurons]), weights.reshape([channels, neurons]), masks))
        };
        let mut given = inputs(&[batch * pixels * channels, pixels * neurons, channels * neurons], seed);
        let keep = noise(pixels * neurons, seed + 5, &Device::flex()).abs().mul_scalar(60.0);
        given[1] = given[1].clone() * keep.greater_elem(zeros as f64).float();
        let tolerance = rounding(pixels * channels * batch);
        agree(&given, &[], seed, tolerance, &op(ops::factorised), &op(ops::factorised_reference));
    }

    #[test]
    fn gaussian_equals_its_reference(
        (batch, height, width) in (1..5usize, 1..9usize, 1..9usize), channels in 1..37usize,
        neurons in 1..20usize, own in any::<bool>(), spread in 0.1..0.7f32, seed in 0..1000u64,
    ) {
        let images = if own { batch } else { 1 };
        let op = |with: fn(Tensor<4>, Tensor<3>, Tensor<2>) -> Tensor<2>| move |given: Inputs<'_>| {
            let x = given[0].clone().reshape([batch, height, width, channels]);
            // Some points lie outside the image.
            let points = given[1].clone().mul_scalar(spread).reshape([images, neurons, 2]);
            flat(with(x, points, given[2].clone().reshape([channels, neurons])))
        };
        let given = inputs(&[batch * height * width * channels, images * neurons * 2, channels * neurons], seed);
        agree(&given, &[], seed, rounding(channels * batch * 4), &op(ops::gaussian), &op(ops::gaussian_reference));
    }

    #[test]
    fn translate_equals_its_reference(
        (batch, height, width) in (1..5usize, 1..9usize, 1..9usize), channels in 1..20usize, seed in 0..1000u64,
    ) {
        let op = |with: fn(Tensor<4>, Tensor<2>) -> Tensor<4>| move |given: Inputs<'_>| {
            let x = given[0].clone().reshape([batch, height, width, channels]);
            flat(with(x, given[1].clone().mul_scalar(0.5).reshape([batch, 2])))
        };
        let given = inputs(&[batch * height * width * channels, batch * 2], seed);
        let tolerance = rounding(channels * height * width * 8);
        agree(&given, &[], seed, tolerance, &op(ops::translate), &op(ops::translate_reference));
    }

    #[test]
    fn warp_equals_its_reference(
        (batch, height, width) in (1..4usize, 2..9usize, 2..9usize), channels in 1..4usize, seed in 0..1000u64,
    ) {
        let op = |with: fn(Tensor<4>, Tensor<2>, [f32; 2]) -> Tensor<4>| move |given: Inputs<'_>| {
            let x = given[0].clone().reshape([batch, height, width, channels]);
            flat(with(x, given[1].clone().mul_scalar(0.7).reshape([batch, 3]), [1.3, 4.2]))
        };
        let given = inputs(&[batch * height * width * channels, batch * 3], seed);
        let tolerance = rounding(channels * height * width * 64);
        agree(&given, &[], seed, tolerance, &op(ops::warp), &op(ops::warp_reference));
    }

    #[test]
    fn linear_equals_its_reference(
        rows in 0..40usize, inputs_ in 1..40usize, outputs in 1..60usize, seed in 0..1000u64,
    ) {
        let op = |with: fn(Tensor<2>, Tensor<2>, Tensor<1>) -> Tensor<2>| move |given: Inputs<'_>| {
            let x = given[0].clone().reshape([rows, inputs_]);
            flat(with(x, given[1].clone().reshape([outputs, inputs_]), given[2].clone()))
        };
        let given = inputs(&[rows * inputs_, outputs * inputs_, outputs], seed);
        let tolerance = rounding(rows.max(inputs_).max(outputs));
        agree(&given, &[], seed, tolerance, &op(ops::linear), &op(ops::linear_reference));
    }

    #[test]
    fn gru_equals_its_reference(
        batch in 1..6usize, time in 1..6usize, inputs_ in 1..20usize, hidden in 1..40usize, seed in 0..1000u64,
    ) {
        let op = |with: fn(Tensor<3>, Gru) -> Tensor<3>| move |given: Inputs<'_>| {
            let small = |i: usize| given[i].clone().mul_scalar(0.5);
            let unit = Gru {
                weight_ih: small(1).reshape([3 * hidden, inputs_]),
                weight_hh: small(2).reshape([3 * hidden, hidden]),
                bias_ih: small(3),
                bias_hh: small(4),
            };
            flat(with(given[0].clone().reshape([batch, time, inputs_]), unit))
        };
        let lengths = [batch * time * inputs_, 3 * hidden * inputs_, 3 * hidden * hidden, 3 * hidden, 3 * hidden];
        let tolerance = 4.0 * rounding(hidden * time + inputs_);
        agree(&inputs(&lengths, seed), &[], seed, tolerance, &op(ops::gru), &op(ops::gru_reference));
    }

    #[test]
    fn conv_gru_equals_its_reference(
        (time, batch, height, width) in (1..5usize, 1..4usize, 1..9usize, 1..9usize),
        (inputs_, hidden) in (1..7usize, 1..20usize), (side, state_side) in (0..3usize, 0..2usize), seed in 0..1000u64,
    ) {
        let (side, state_side) = (2 * side + 1, 2 * state_side + 1);
        let (taps, state_taps) = (inputs_ * side * side, hidden * state_side * state_side);
        let op = |with: fn(Tensor<4>, usize, ConvGru) -> Tensor<4>| move |given: Inputs<'_>| {
            let small = |i: usize| given[i].clone().mul_scalar(0.5);
            let unit = ConvGru {
                input: small(1).reshape([3 * hidden, inputs_, side, side]),
                bias: small(2),
                gates: small(3).reshape([2 * hidden, hidden, state_side, state_side]),
                candidate: small(4).reshape([hidden, hidden, state_side, state_side]),
            };
            flat(with(given[0].clone().reshape([time * batch, height, width, inputs_]), time, unit))
        };
        let lengths = [
            time * batch * height * width * inputs_, 3 * hidden * taps, 3 * hidden, 2 * hidden * state_taps,
            hidden * state_taps,
        ];
        let tolerance = 8.0 * rounding(time * state_taps + taps + time * batch * height * width);
        let (ours, reference) = (op(ops::conv_gru), op(ops::conv_gru_reference));
        agree(&inputs(&lengths, seed), &[], seed, tolerance, &ours, &reference);
    }

    #[test]
    fn adam_equals_its_reference(
        length in 0..300usize, time in 1..2000u32, scale in 0.1..2.0f32, l1 in prop_oneof![Just(0.0f32), 0.0..2.0f32],
        keep_zeros in any::<bool>(), seed in 0..1000u64,
    ) {
        let device = Device::flex();
        let step = Adam { rate: 0.01, time, l1, keep_zeros, ..Adam::default() };
        let [value, gradient, first, second] = [0, 1, 2, 3].map(|i| noise(length, seed + i, &device));
        let value = value.clone() * value.abs().greater_elem(0.3).float();
        let moments = AdamMoments { first, second: second.abs() };
        let (ours, our_moments) = ops::adam(&step, value.clone(), gradient.clone(), scale, moments.clone());
        let (reference, moments) = ops::adam_reference(&step, value, gradient, scale, moments);
        prop_assert!(difference(&values(ours), &values(reference)) < 1e-6);
        prop_assert!(difference(&values(our_moments.first), &values(moments.first)) < 1e-6);
        prop_assert!(difference(&values(our_moments.second), &values(moments.second)) < 1e-6);
    }

    #[test]
    fn moments_are_mean_and_population_variance(
        batch in 1..4usize, height in 1..20usize, width in 1..20usize, channels in 1..35usize,
        centre in -300.0..300f32, seed in 0..1000u64,
    ) {
        let rows = batch * height * width;
        let x = noise(rows * channels, seed, &Device::flex()).add_scalar(centre);
        let all = values(x.clone());
        let found = ops::moments::<4>(x.reshape([batch, height, width, channels]));
        for (c, (mean, variance)) in values(found.mean).into_iter().zip(values(found.variance)).enumerate() {
            let of = || all.iter().skip(c).step_by(channels).map(|v| f64::from(*v));
            let exact = of().sum::<f64>() / rows as f64;
            let spread = of().map(|v| (v - exact).powi(2)).sum::<f64>() / rows as f64;
            prop_assert!((f64::from(mean) - exact).abs() <= 1e-6 * (1.0 + exact.abs()), "{mean} {exact}");
            prop_assert!((f64::from(variance) - spread).abs() <= 4e-6 * (1.0 + spread), "{variance} {spread}");
        }
    }
}

/// Shapes of the published models, with the corners that a random draw would rarely meet.
#[test]
fn conv2d_of_published_shapes_and_corners() {
    let first = Conv {
        images: [2, 31, 31, 1],
        weight: [48, 1, 13, 13],
        options: Conv2dOptions::default(),
        bias: false,
        turned: false,
        seed: 7,
    };
    let padded = |pad| Conv2dOptions { pad: [pad; 2], ..Conv2dOptions::default() };
    let strided = Conv2dOptions { stride: 2, ..Conv2dOptions::default() };
    let conv = |images, weight, options| Conv { images, weight, options, ..first.clone() };
    let cases = [
        conv([2, 19, 19, 48], [48, 48, 3, 3], padded(1)),
        conv([2, 19, 19, 48], [16, 48, 8, 8], padded(4)),
        conv([1, 60, 80, 1], [128, 1, 7, 7], strided),
        conv([1, 27, 37, 16], [64, 16, 7, 7], strided),
        conv([2, 40, 30, 16], [16, 16, 11, 1], Conv2dOptions::default()),
        conv([1, 1, 1, 1], [1, 1, 1, 1], Conv2dOptions::default()),
        conv([1, 1, 1, 1], [1, 1, 3, 3], padded(1)),
    ];
    for case in [first].into_iter().chain(cases) {
        check_conv2d(&case);
    }
}

/// A single value is its own mean: the output is the offset, and no gradient reaches the value.
#[test]
fn one_value_per_channel_is_all_offset() {
    let device = Device::flex().autodiff();
    let x = Tensor::<1>::from_floats([3.0, -7.0], &device).reshape([1, 1, 1, 2]).require_grad();
    let offset = Tensor::<1>::from_floats([0.25, 2.0], &device).require_grad();
    let with = Normalise {
        gain: None,
        offset: offset.clone(),
        epsilon: 1e-3,
        activation: Activation::Identity,
        batch_statistics: true,
    };
    let y: Tensor<4> = ops::normalise(x.clone(), &ops::moments(x.clone()), with);
    let gradients = y.clone().sum().backward();
    assert_eq!(values(y), [0.25, 2.0]);
    assert_eq!(values(x.grad(&gradients).unwrap()), [0.0, 0.0]);
    assert_eq!(values(offset.grad(&gradients).unwrap()), [1.0, 1.0]);
}

/// Without rows the moments are 0, and so are the gradients to the parameters.
#[test]
fn an_empty_batch_is_normalised_to_nothing() {
    let device = Device::flex().autodiff();
    let x = Tensor::<4>::zeros([0, 3, 4, 2], &device).require_grad();
    let [gain, offset] = [1.0, 2.0].map(|v| Tensor::<1>::full([2], v, &device).require_grad());
    let moments = ops::moments(x.clone());
    assert_eq!([&moments.mean, &moments.variance].map(|v| values(v.clone())), [[0.0; 2]; 2]);
    let with = Normalise {
        gain: Some(gain.clone()),
        offset: offset.clone(),
        epsilon: 1e-3,
        activation: Activation::Elu,
        batch_statistics: true,
    };
    let y = ops::normalise(x, &moments, with);
    assert_eq!(y.dims(), [0, 3, 4, 2]);
    let gradients = y.sum().backward();
    assert_eq!([gain, offset].map(|v| values(v.grad(&gradients).unwrap())), [[0.0; 2]; 2]);
}

/// What does not fit is refused in words, before any arithmetic on it.
#[test]
#[should_panic = "kernel 5 × 5 larger than the image 3 × 3"]
fn a_kernel_larger_than_the_image_is_refused() {
    let zeros = |shape: [usize; 4]| Tensor::<4>::zeros(shape, &Device::flex());
    ops::conv2d(zeros([1, 3, 3, 1]), zeros([1, 1, 5, 5]), None, Conv2dOptions::default());
}

/// The gradient of a sparse readout leaves zeros alone, whatever the share of zeros.
#[test]
fn zeros_of_sparse_masks_get_no_gradient() {
    let device = Device::flex().autodiff();
    let mask = Tensor::<2>::from_floats([[1.0, 0.0], [0.0, 2.0]], &device).require_grad();
    let features = Tensor::<1>::from_floats([1.0, 2.0], &device).reshape([1, 1, 2, 1]);
    let weights = Tensor::<2>::from_floats([[3.0, 5.0]], &device);
    let y = ops::factorised(features, mask.clone(), weights, Masks::Sparse);
    let gradients = y.clone().sum().backward();
    assert_eq!(values(y), [3.0, 20.0]);
    assert_eq!(values(mask.grad(&gradients).unwrap()), [3.0, 0.0, 0.0, 10.0]);
}
