//! Processor time per image of the 3 × 3 convolution: `RAYON_NUM_THREADS=1 cargo run --release --example winograd`.
//!
//! GFLOP/s count the products of the direct method, so that both methods can be compared.

use striate_kernels::conv2d::Conv2d;
use striate_kernels::epilogue::Epilogue;

const BATCH: usize = 32;

unsafe extern "C" {
    /// Processor time of this process in microseconds (POSIX): indifferent to what else runs.
    safe fn clock() -> std::ffi::c_long;
}

/// Least processor time of several runs, in milliseconds per image.
fn time(mut run: impl FnMut()) -> f64 {
    let mut once = || {
        let start = clock();
        run();
        clock() - start
    };
    (0..30).map(|_| once()).min().unwrap_or(0) as f64 * 1e-3 / BATCH as f64
}

fn main() {
    // As in training: what a call allocates, the call before it freed.
    striate_kernels::memory::keep_freed();
    println!("in   out  height×width pad  | ms forward  backward  weights alone | GFLOP/s forward backward");
    for (inputs, outputs, height, width, pad) in [
        (48, 48, 31, 31, 1),
        (32, 32, 36, 64, 1),
        (64, 64, 36, 64, 1),
        (64, 64, 24, 52, 0),
        (128, 128, 16, 16, 1),
        (16, 16, 31, 31, 1),
    ] {
        let (kernel, stride) = (3, 1);
        let conv = Conv2d {
            inputs,
            outputs,
            height,
            width,
            kernel_h: kernel,
            kernel_w: kernel,
            stride,
            pad_h: pad,
            pad_w: pad,
        };
        let pixels = conv.out_height() * conv.out_width();
        let images = vec![0.5; BATCH * height * width * inputs];
        let (weights, grads) = (vec![0.1; outputs * inputs * 9], vec![0.1; BATCH * pixels * outputs]);
        let forward = time(|| drop(conv.forward(&images, &weights, Epilogue::NONE)));
        let [both, alone] =
            [true, false].map(|both| time(|| drop(conv.backward(&images, &weights, &grads, [both, true]))));
        let flop = (2 * 9 * pixels * inputs * outputs) as f64 * 1e-6;
        println!(
            "{inputs:<4} {outputs:<4} {height:>6}×{width:<5} {pad:<4} | {forward:>10.3} {both:>9.3} {alone:>14.3} | {:>15.0} {:>8.0}",
            flop / forward,
            2.0 * flop / both
        );
    }
}
