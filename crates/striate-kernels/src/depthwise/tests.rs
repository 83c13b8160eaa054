use proptest::prelude::*;

use super::*;

/// Calls `visit(output, input, weight)` with the index of every product of the definition.
fn products(shape: &Depthwise, batch: usize, mut visit: impl FnMut(usize, usize, usize)) {
    let (height, width, channels) = (shape.out_height(), shape.out_width(), shape.channels);
    for at in 0..batch * height * width * channels {
        let (c, x, y) = (at % channels, at / channels % width, at / channels / width % height);
        let image = at / channels / width / height;
        for tap in 0..shape.taps() {
            let row = (y + tap / shape.kernel_w).wrapping_sub(shape.pad_h);
            let column = (x + tap % shape.kernel_w).wrapping_sub(shape.pad_w);
            if row < shape.height && column < shape.width {
                let input = ((image * shape.height + row) * shape.width + column) * channels + c;
                visit(at, input, c * shape.taps() + tap);
            }
        }
    }
}

fn noise(n: usize, seed: u32) -> Vec<f32> {
    (0..n as u32).map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
}

fn close(ours: &[f32], exact: &[f64]) -> Result<(), TestCaseError> {
    for (at, (ours, exact)) in ours.iter().zip(exact).enumerate() {
        // Sums over thousands of pixels round relative to their size.
        let bound = f64::max(2e-4, 4e-6 * exact.abs());
        prop_assert!((f64::from(*ours) - exact).abs() < bound, "{at}: {ours} {exact}");
    }
    Ok(())
}

/// Every pass against the definition.
fn check(shape: Depthwise, batch: usize, seed: u32) -> Result<(), TestCaseError> {
    let images = noise(batch * shape.size_in(), seed);
    let weights = noise(shape.channels * shape.taps(), !seed);
    let grads = noise(batch * shape.size_out(), seed ^ 77);
    let [mut exact, mut exact_images, mut exact_weights] =
        [&grads, &images, &weights].map(|like| vec![0.0; like.len()]);
    products(&shape, batch, |o, i, w| {
        let (image, weight, grad) = (f64::from(images[i]), f64::from(weights[w]), f64::from(grads[o]));
        exact[o] += image * weight;
        exact_images[i] += grad * weight;
        exact_weights[w] += grad * image;
    });
    close(&shape.forward(&images, &weights), &exact)?;
    let both = shape.backward(&images, &weights, &grads, [true; 2]);
    let [grad_images, None] = shape.backward(&images, &weights, &grads, [true, false]) else {
        panic!("nobody asked for weights")
    };
    let [None, grad_weights] = shape.backward(&images, &weights, &grads, [false, true]) else {
        panic!("nobody asked for images")
    };
    close(grad_images.as_ref().unwrap(), &exact_images)?;
    close(grad_weights.as_ref().unwrap(), &exact_weights)?;
    prop_assert!(both == [grad_images, grad_weights]);
    Ok(())
}

fn shapes() -> impl Strategy<Value = (Depthwise, usize)> {
    let channels = prop_oneof![1usize..20, 30usize..50];
    let sizes = (0usize..9, 0usize..33, 0usize..7);
    (channels, sizes, 1usize..12, 1usize..12, 0usize..12, 0usize..12).prop_map(
        |(channels, (dh, dw, batch), kernel_h, kernel_w, pad_h, pad_w)| {
            let (pad_h, pad_w) = (pad_h % kernel_h, pad_w % kernel_w);
            let height = (kernel_h + dh).saturating_sub(2 * pad_h).max(1);
            let width = (kernel_w + dw).saturating_sub(2 * pad_w).max(1);
            (Depthwise { channels, height, width, kernel_h, kernel_w, pad_h, pad_w }, batch)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_pass_is_the_definition((shape, batch) in shapes(), seed in any::<u32>()) {
        check(shape, batch, seed)?;
    }
}

#[test]
fn bands_meet_without_a_seam() {
    for (channels, kernel_h, pad_h) in [(70, 3, 1), (64, 7, 3), (100, 5, 0)] {
        let shape = Depthwise { channels, height: 41, width: 60, kernel_h, kernel_w: 3, pad_h, pad_w: 1 };
        assert!(shape.bands().count() > 1);
        check(shape, 1, 3).unwrap();
    }
}

#[test]
fn the_same_bits_on_one_thread_and_on_many() {
    for channels in [3, 20] {
        let shape =
            Depthwise { channels, height: 9, width: 11, kernel_h: 3, kernel_w: 5, pad_h: 1, pad_w: 2 };
        let images = noise(43 * shape.size_in(), 1);
        let grads = noise(43 * shape.size_out(), 2);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| shape.backward_weights(&images, &grads))
        };
        assert_eq!(run(1), run(3));
    }
}

#[test]
fn what_is_not_a_number_stays_within_its_window() {
    let shape = Depthwise { channels: 1, height: 1, width: 20, kernel_h: 1, kernel_w: 3, pad_h: 0, pad_w: 1 };
    let mut images = vec![1.0; 40];
    images[5] = f32::NAN;
    let out = shape.forward(&images, &[1.0; 3]);
    assert!(out.iter().enumerate().all(|(i, y)| y.is_nan() == (4..=6).contains(&i)));
}

#[test]
#[should_panic = "kernel 7 × 3 larger than the image 2 × 9 with padding 2 × 0"]
fn a_kernel_must_fit_the_padded_image() {
    let shape = Depthwise { channels: 1, height: 2, width: 9, kernel_h: 7, kernel_w: 3, pad_h: 2, pad_w: 0 };
    shape.forward(&[0.0; 18], &[0.0; 21]);
}
