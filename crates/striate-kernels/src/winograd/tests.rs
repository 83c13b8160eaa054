use proptest::prelude::*;

use super::*;
use crate::activation::Activation;

fn noise(n: usize, seed: u32) -> Vec<f32> {
    (0..n as u32)
        .map(|i| {
            ((i ^ seed).wrapping_mul(2_654_435_761).rotate_left(7).wrapping_mul(40_503) >> 8) as f32
                / 8_388_608.0
                - 1.0
        })
        .collect()
}

/// Visits every `(image, output, weight)` index triple of the definition.
fn products(shape: &Winograd, batch: usize, mut visit: impl FnMut(usize, usize, usize)) {
    let (h, w) = (shape.out_height(), shape.out_width());
    for pixel in 0..batch * h * w {
        let (b, y, x) = (pixel / (h * w), pixel / w % h, pixel % w);
        for tap in 0..9 {
            let (row, column) =
                ((y + tap / 3).wrapping_sub(shape.pad), (x + tap % 3).wrapping_sub(shape.pad));
            if row >= shape.height || column >= shape.width {
                continue;
            }
            let from = (b * shape.height + row) * shape.width + column;
            for (o, i) in (0..shape.outputs).flat_map(|o| (0..shape.inputs).map(move |i| (o, i))) {
                visit(from * shape.inputs + i, pixel * shape.outputs + o, (o * shape.inputs + i) * 9 + tap);
            }
        }
    }
}

/// Sum of products and of their absolute values, by the definition.
fn sums(n: usize, visit: impl FnOnce(&mut dyn FnMut(usize, f32, f32))) -> Vec<(f64, f64)> {
    let mut sums = vec![(0.0, 0.0); n];
    visit(&mut |at, a, b| {
        let product = f64::from(a) * f64::from(b);
        sums[at].0 += product;
        sums[at].1 += product.abs();
    });
    sums
}

/// Largest error relative to the sum of absolute products that a value could see.
fn error(ours: &[f32], exact: &[(f64, f64)]) -> f64 {
    let scale = exact.iter().map(|e| e.1).fold(0.0, f64::max);
    ours.iter().zip(exact).map(|(ours, exact)| (f64::from(*ours) - exact.0).abs() / scale).fold(0.0, f64::max)
}

fn errors(shape: &Winograd, batch: usize, seed: u32) -> [f64; 3] {
    let images = noise(batch * shape.image(), seed);
    let weights = noise(shape.outputs * shape.inputs * 9, seed ^ 77);
    let grads = noise(batch * shape.out_image(), seed ^ 1234);
    let mut out = vec![f32::NAN; grads.len()];
    shape.forward(&images, &weights, Epilogue::NONE, &mut out);
    let mut grad_images = vec![f32::NAN; images.len()];
    let grad_weights = shape.backward(&images, &weights, &grads, Some(&mut grad_images));
    assert_eq!(shape.backward(&images, &weights, &grads, None), grad_weights);
    [
        error(&out, &sums(out.len(), |add| products(shape, batch, |i, o, w| add(o, images[i], weights[w])))),
        error(
            &grad_images,
            &sums(images.len(), |add| products(shape, batch, |i, o, w| add(i, grads[o], weights[w]))),
        ),
        error(
            &grad_weights,
            &sums(weights.len(), |add| products(shape, batch, |i, o, w| add(w, grads[o], images[i]))),
        ),
    ]
}

fn shapes() -> impl Strategy<Value = Winograd> {
    (1usize..40, 1usize..40, 1usize..12, 1usize..12, 0usize..2).prop_map(|(inputs, outputs, h, w, pad)| {
        let smallest = 2 - 2 * pad;
        Winograd { inputs, outputs, height: h + smallest, width: w + smallest, pad }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn all_passes_are_the_definition(shape in shapes(), batch in 1usize..4, seed in any::<u32>()) {
        let errors = errors(&shape, batch, seed);
        prop_assert!(errors.iter().all(|e| *e < 1e-5), "{errors:?}");
    }
}

#[test]
fn many_tiles_and_channels() {
    for (inputs, outputs, height, width, pad) in [(48, 48, 31, 31, 1), (20, 64, 9, 61, 0), (3, 5, 7, 150, 1)]
    {
        let errors = errors(&Winograd { inputs, outputs, height, width, pad }, 1, 5);
        assert!(errors.iter().all(|e| *e < 1e-5), "{errors:?}");
    }
}

const SMALL: Winograd = Winograd { inputs: 5, outputs: 19, height: 14, width: 11, pad: 1 };

#[test]
fn the_epilogue_comes_last() {
    let images = noise(2 * SMALL.image(), 1);
    let (weights, bias) = (noise(5 * 19 * 9, 2), noise(19, 3));
    let (mut plain, mut fused) = (vec![0.0; 2 * SMALL.out_image()], vec![0.0; 2 * SMALL.out_image()]);
    SMALL.forward(&images, &weights, Epilogue::NONE, &mut plain);
    for activation in [Activation::Identity, Activation::Relu, Activation::Softplus, Activation::Elu] {
        SMALL.forward(&images, &weights, Epilogue { bias: Some(&bias), activation }, &mut fused);
        for (i, (fused, plain)) in fused.iter().zip(&plain).enumerate() {
            assert!((fused - activation.value(plain + bias[i % 19])).abs() < 1e-5, "{activation:?}");
        }
    }
}

#[test]
fn the_same_bits_on_one_thread_and_on_many() {
    let (images, weights) = (noise(37 * SMALL.image(), 1), noise(5 * 19 * 9, 2));
    let grads = noise(37 * SMALL.out_image(), 3);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (mut out, mut onto) = (vec![0.0; grads.len()], vec![0.0; images.len()]);
        pool.install(|| SMALL.forward(&images, &weights, Epilogue::NONE, &mut out));
        let sum = pool.install(|| SMALL.backward(&images, &weights, &grads, Some(&mut onto)));
        (out, onto, sum)
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn what_is_not_a_number_reaches_its_outputs_and_no_other_image() {
    let (mut images, weights) = (noise(2 * SMALL.image(), 1), noise(5 * 19 * 9, 2));
    images[7] = f32::NAN;
    let mut out = vec![0.0; 2 * SMALL.out_image()];
    SMALL.forward(&images, &weights, Epilogue::NONE, &mut out);
    assert!(out[0].is_nan());
    assert!(out[SMALL.out_image()..].iter().all(|x| x.is_finite()));
}

#[test]
fn no_images_no_gradient() {
    assert_eq!(SMALL.backward(&[], &noise(5 * 19 * 9, 2), &[], None), [0.0; 5 * 19 * 9]);
}
