use proptest::prelude::*;

use super::*;
use crate::activation::Activation;

/// `visit(output position, input position, weight position)` for every product of one image.
fn products(conv: &Conv2d, mut visit: impl FnMut(usize, usize, usize)) {
    let (height, width) = (conv.out_height(), conv.out_width());
    for (y, x, o) in cube(height, width, conv.outputs) {
        for (ky, kx, c) in cube(conv.kernel_h, conv.kernel_w, conv.inputs) {
            let row = (y * conv.stride + ky).wrapping_sub(conv.pad_h);
            let column = (x * conv.stride + kx).wrapping_sub(conv.pad_w);
            if row < conv.height && column < conv.width {
                let input = (row * conv.width + column) * conv.inputs + c;
                visit((y * width + x) * conv.outputs + o, input, conv.weight(o, c, ky, kx));
            }
        }
    }
}

fn cube(a: usize, b: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a * b * c).map(move |i| (i / (b * c), i / c % b, i % c))
}

fn noise(n: usize, seed: u32) -> Vec<f32> {
    (0..n as u32).map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
}

/// A shape and its operands.
struct Case {
    conv: Conv2d,
    images: Vec<f32>,
    weights: Vec<f32>,
    grads: Vec<f32>,
}

impl Case {
    fn new(conv: Conv2d, batch: usize, seed: u32) -> Self {
        let output = conv.out_height() * conv.out_width() * conv.outputs;
        Self {
            images: noise(batch * conv.image_size(), seed),
            weights: noise(conv.weight(conv.outputs, 0, 0, 0), seed ^ 7),
            grads: noise(batch * output, !seed),
            conv,
        }
    }

    fn batch(&self) -> usize {
        self.images.len() / self.conv.image_size()
    }

    /// The safe twin of all three passes: `[output, gradient to images, gradient to weights]`.
    fn exact(&self) -> [Vec<f64>; 3] {
        let mut all = [&self.grads, &self.images, &self.weights].map(|like| vec![0.0; like.len()]);
        let [out, images, weights] = &mut all;
        let (size_in, size_out) = (self.conv.image_size(), self.grads.len() / self.batch().max(1));
        for b in 0..self.batch() {
            products(&self.conv, |o, i, w| {
                let (o, i) = (b * size_out + o, b * size_in + i);
                out[o] += f64::from(self.images[i]) * f64::from(self.weights[w]);
                images[i] += f64::from(self.grads[o]) * f64::from(self.weights[w]);
                weights[w] += f64::from(self.grads[o]) * f64::from(self.images[i]);
            });
        }
        all
    }

    fn ours(&self) -> [Vec<f32>; 3] {
        let out = self.conv.forward(&self.images, &self.weights, Epilogue::NONE);
        let [images, weights] = self.backward([true; 2]).map(Option::unwrap);
        [out, images, weights]
    }

    fn backward(&self, wanted: [bool; 2]) -> [Option<Vec<f32>>; 2] {
        self.conv.backward(&self.images, &self.weights, &self.grads, wanted)
    }

    /// As [`Case::ours`], each gradient without the other.
    fn alone(&self) -> [Vec<f32>; 3] {
        let [images, None] = self.backward([true, false]) else { panic!("nobody asked for weights") };
        let [None, weights] = self.backward([false, true]) else { panic!("nobody asked for images") };
        let out = self.conv.forward(&self.images, &self.weights, Epilogue::NONE);
        [out, images.unwrap(), weights.unwrap()]
    }

    fn check(&self) -> Result<(), String> {
        let exact = self.exact();
        [self.ours(), self.alone()].iter().try_for_each(|ours| self.compare(ours, &exact))
    }

    fn compare(&self, ours: &[Vec<f32>; 3], exact: &[Vec<f64>; 3]) -> Result<(), String> {
        let names = ["forward", "gradient to images", "gradient to weights"];
        // Operands are at most 1, and no value is a sum of more products than this.
        let products = self.weights.len().max(self.grads.len()) as f64;
        for ((name, ours), exact) in names.iter().zip(ours).zip(exact) {
            for (at, (ours, exact)) in ours.iter().zip(exact).enumerate() {
                let close = (f64::from(*ours) - exact).abs() < 1e-4 + 5e-8 * products;
                if !close {
                    return Err(format!("{name} at {at}: {ours}, exactly {exact}; {:?}", self.conv));
                }
            }
        }
        Ok(())
    }
}

/// Channels one by one up to a register and around its multiples.
fn channels() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..20, Just(32), Just(33), Just(48), Just(70)]
}

fn shapes() -> impl Strategy<Value = (Conv2d, usize)> {
    let kernel = (1usize..6, 1usize..6, 1usize..4, 0usize..5, 0usize..5);
    (channels(), channels(), kernel, 0usize..10, 0usize..30, 0usize..4).prop_map(
        |(inputs, outputs, (kernel_h, kernel_w, stride, pad_h, pad_w), dh, dw, batch)| {
            let (pad_h, pad_w) = (pad_h % kernel_h, pad_w % kernel_w);
            let height = 1.max((kernel_h + dh).saturating_sub(2 * pad_h));
            let width = 1.max((kernel_w + dw).saturating_sub(2 * pad_w));
            (Conv2d { inputs, outputs, height, width, kernel_h, kernel_w, stride, pad_h, pad_w }, batch)
        },
    )
}

fn conv(size: [usize; 4], kernel: [usize; 2], stride: usize, pad: [usize; 2]) -> Conv2d {
    let ([inputs, outputs, height, width], [kernel_h, kernel_w], [pad_h, pad_w]) = (size, kernel, pad);
    Conv2d { inputs, outputs, height, width, kernel_h, kernel_w, stride, pad_h, pad_w }
}

#[test]
fn squares_round_as_little_as_winograd() {
    for (shape, batch) in [
        (conv([1, 48, 31, 31], [13, 13], 1, [6, 6]), 2),
        (conv([3, 32, 36, 64], [11, 11], 1, [0, 0]), 1),
        (conv([32, 48, 14, 22], [5, 5], 1, [2, 2]), 1),
    ] {
        let case = Case::new(shape, batch, 11);
        let mut magnitudes = Case::new(shape, batch, 11);
        for values in [&mut magnitudes.images, &mut magnitudes.weights, &mut magnitudes.grads] {
            values.iter_mut().for_each(|value| *value = value.abs());
        }
        for ((ours, exact), magnitudes) in case.ours().iter().zip(case.exact()).zip(magnitudes.exact()) {
            let scale = magnitudes.into_iter().fold(0.0, f64::max);
            let errors = ours.iter().zip(exact).map(|(ours, exact)| (f64::from(*ours) - exact).abs());
            let worst = errors.fold(0.0, f64::max) / scale;
            assert!(worst < 1e-6, "{worst} {shape:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_pass_is_its_definition((conv, batch) in shapes(), seed in any::<u32>()) {
        prop_assert_eq!(Case::new(conv, batch, seed).check(), Ok(()));
    }

    #[test]
    fn the_epilogue_is_bias_and_nonlinearity((conv, batch) in shapes(), seed in any::<u32>(), kind in 0usize..4) {
        let case = Case::new(conv, batch, seed);
        let activation = [Activation::Identity, Activation::Relu, Activation::Softplus, Activation::Elu][kind];
        let bias = noise(conv.outputs, seed ^ 21);
        let plain = conv.forward(&case.images, &case.weights, Epilogue::NONE);
        let whole = conv.forward(&case.images, &case.weights, Epilogue { bias: Some(&bias), activation });
        for (at, (plain, whole)) in plain.iter().zip(&whole).enumerate() {
            let exact = activation.value(plain + bias[at % conv.outputs]);
            prop_assert!((whole - exact).abs() < 1e-4 * (1.0 + exact.abs()), "{whole} {exact} at {at}");
        }
    }
}

#[test]
fn shapes_of_the_models() {
    for (shape, batch) in [
        (conv([1, 48, 31, 31], [13, 13], 1, [6, 6]), 1),
        (conv([3, 32, 14, 20], [11, 11], 1, [0, 0]), 2),
        (conv([5, 37, 19, 23], [7, 7], 2, [0, 0]), 2),
        (conv([32, 32, 12, 40], [5, 1], 1, [0, 0]), 1),
        (conv([16, 16, 6, 6], [1, 1], 1, [0, 0]), 40),
        (conv([130, 64, 8, 8], [7, 7], 2, [3, 3]), 1),
        (conv([48, 1, 12, 15], [9, 9], 1, [4, 4]), 1),
        (conv([64, 4, 7, 9], [1, 1], 3, [0, 0]), 2),
        (conv([20, 33, 6, 7], [4, 4], 2, [0, 0]), 50),
        (conv([33, 20, 5, 4], [4, 5], 2, [2, 3]), 61),
        (conv([20, 33, 21, 45], [7, 5], 1, [3, 1]), 2),
        (conv([16, 16, 19, 35], [7, 7], 2, [0, 0]), 2),
        (conv([1, 16, 39, 9], [32, 5], 1, [2, 2]), 19),
    ] {
        assert_eq!(Case::new(shape, batch, 3).check(), Ok(()));
    }
}

#[test]
fn an_empty_batch_has_no_gradient() {
    for (channels, kernel) in [(2, 3), (32, 3), (32, 7)] {
        let case = Case::new(conv([channels, channels, 16, 16], [kernel; 2], 1, [1, 1]), 0, 1);
        for [out, images, weights] in [case.ours(), case.alone()] {
            assert!(out.is_empty() && images.is_empty());
            assert!(weights.len() == case.weights.len() && weights.iter().all(|gradient| *gradient == 0.0));
        }
    }
}

fn empty(conv: Conv2d) {
    conv.forward(&[], &vec![0.0; conv.weight(conv.outputs, 0, 0, 0)], Epilogue::NONE);
}

#[test]
#[should_panic = "kernel 7 × 3 larger than the image 2 × 9 with padding 2 × 0"]
fn a_kernel_must_fit_the_padded_image() {
    empty(conv([1, 1, 2, 9], [7, 3], 1, [2, 0]));
}

#[test]
#[should_panic = "stride 0"]
fn a_stride_must_lead_somewhere() {
    empty(conv([1, 1, 9, 9], [3, 3], 0, [0, 0]));
}

#[test]
fn what_is_not_a_number_stays_so() {
    for outputs in [1, 20] {
        let mut case = Case::new(conv([2, outputs, 9, 9], [3, 3], 1, [1, 1]), 1, 1);
        case.images[2 * (4 * 9 + 4)] = f32::NAN;
        let [out, _, weights] = case.ours();
        assert!((0..outputs).all(|o| out[(4 * 9 + 4) * outputs + o].is_nan() && !out[o].is_nan()));
        assert!(weights[0].is_nan());
    }
}

#[test]
fn the_same_bits_on_one_thread_and_on_many() {
    for (shape, batch) in [
        (conv([3, 20, 17, 23], [3, 3], 1, [1, 1]), 9),
        (conv([4, 2, 30, 9], [5, 2], 2, [1, 0]), 2),
        (conv([20, 33, 6, 7], [4, 4], 2, [0, 0]), 50),
        (conv([2, 20, 19, 23], [7, 5], 1, [3, 0]), 19),
    ] {
        let case = Case::new(shape, batch, 5);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| case.ours().map(|values| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>()))
        };
        assert_eq!(run(1), run(3));
    }
}
