//! Speed of the convolution: billions of floating-point operations per second of processor time, by shape.
//!
//! `RAYON_NUM_THREADS=1 cargo run --release -p striate-kernels --example conv2d [part of a name]`; products
//! with padding are counted as work although the kernels skip most of them.

use striate_kernels::conv2d::Conv2d;
use striate_kernels::epilogue::Epilogue;

/// `inputs → outputs`, image, kernel, stride, padding, batch.
const SHAPES: &[(&str, [usize; 10])] = &[
    ("13x13 1-48 same", [1, 48, 31, 31, 13, 13, 1, 6, 6, 32]),
    ("9x9 1-64 valid", [1, 64, 36, 64, 9, 9, 1, 0, 0, 32]),
    ("13x13 1-32 valid", [1, 32, 36, 64, 13, 13, 1, 0, 0, 32]),
    ("7x7/2 1-128", [1, 128, 60, 80, 7, 7, 2, 0, 0, 48]),
    ("7x7/2 128-64", [128, 64, 27, 37, 7, 7, 2, 0, 0, 48]),
    ("7x7/2 64-32", [64, 32, 11, 16, 7, 7, 2, 0, 0, 192]),
    ("1x1 64-64", [64, 64, 28, 56, 1, 1, 1, 0, 0, 32]),
    ("3x3 48-48 same", [48, 48, 31, 31, 3, 3, 1, 1, 1, 32]),
    ("11x11 3-32 valid", [3, 32, 36, 64, 11, 11, 1, 0, 0, 32]),
    ("5x5 32-64", [32, 64, 36, 64, 5, 5, 1, 2, 2, 8]),
    ("5x5 64-128", [64, 128, 18, 32, 5, 5, 1, 2, 2, 8]),
    ("5x5 32-64 valid", [32, 64, 26, 54, 5, 5, 1, 0, 0, 32]),
    ("5x3 32-32 same", [32, 32, 36, 64, 5, 3, 1, 2, 1, 8]),
    ("11x1 32-32 time", [32, 32, 40, 1404, 11, 1, 1, 0, 0, 1]),
    ("7x7 16-16 same", [16, 16, 36, 64, 7, 7, 1, 3, 3, 32]),
    ("9x9 8-8 same", [8, 8, 36, 64, 9, 9, 1, 4, 4, 32]),
    ("9x9 4-4 same", [4, 4, 36, 64, 9, 9, 1, 4, 4, 32]),
    ("7x7 1-1 same", [1, 1, 36, 64, 7, 7, 1, 3, 3, 64]),
    ("5x5 1-8 same", [1, 8, 36, 64, 5, 5, 1, 2, 2, 64]),
    ("9x9 64-1 valid", [64, 1, 36, 64, 9, 9, 1, 0, 0, 8]),
];

unsafe extern "C" {
    /// Processor time of this process in microseconds (POSIX): indifferent to what else runs.
    safe fn clock() -> std::ffi::c_long;
}

fn best(work: f64, mut run: impl FnMut()) -> f64 {
    (0..8)
        .map(|_| {
            let start = clock();
            run();
            work / (clock() - start).max(1) as f64 * 1e-3
        })
        .fold(0.0, f64::max)
}

fn noise(n: usize) -> Vec<f32> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
}

fn main() {
    // As in training: what a call allocates, the call before it freed.
    striate_kernels::memory::keep_freed();
    let wanted = std::env::args().nth(1).unwrap_or_default();
    println!("{:<18} {:>8} {:>8} {:>8}", "GFLOP/s", "forward", "images", "weights");
    for (name, s) in SHAPES.iter().filter(|(name, _)| name.contains(&wanted)) {
        let [inputs, outputs, height, width, kernel_h, kernel_w, stride, pad_h, pad_w, batch] = *s;
        let conv = Conv2d { inputs, outputs, height, width, kernel_h, kernel_w, stride, pad_h, pad_w };
        let pixels = batch * conv.out_height() * conv.out_width();
        let work = 2.0 * (pixels * inputs * outputs * kernel_h * kernel_w) as f64;
        let (images, grads) = (noise(batch * height * width * inputs), noise(pixels * outputs));
        let weights = noise(outputs * inputs * kernel_h * kernel_w);
        let forward = best(work, || drop(conv.forward(&images, &weights, Epilogue::NONE)));
        let [to_images, to_weights] = [[true, false], [false, true]]
            .map(|wanted| best(work, || drop(conv.backward(&images, &weights, &grads, wanted))));
        println!("{name:<18} {forward:>8.1} {to_images:>8.1} {to_weights:>8.1}");
    }
}
