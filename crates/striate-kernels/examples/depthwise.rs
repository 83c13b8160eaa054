//! Speed of the depthwise convolution: `RAYON_NUM_THREADS=1 cargo run --release --example depthwise`.

#![allow(clippy::disallowed_methods, reason = "reads what the system says of this process")]

use striate_kernels::depthwise::Depthwise;

/// Batch, height, width, channels, kernel size, padding.
const SHAPES: [[usize; 6]; 9] = [
    [128, 28, 56, 64, 7, 3],
    [8, 28, 56, 64, 7, 3],
    [128, 31, 31, 48, 7, 3],
    [128, 28, 56, 32, 9, 4],
    [128, 28, 56, 64, 3, 1],
    [128, 28, 56, 64, 5, 0],
    [64, 28, 56, 24, 7, 3],
    [64, 28, 56, 4, 7, 3],
    [64, 28, 56, 1, 7, 3],
];

/// Processor time of all threads, in milliseconds; unlike a clock, blind to other programs (Linux alone).
fn spent() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a Linux process lists its threads");
    let nanoseconds = |task: std::fs::DirEntry| {
        let line = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        line.split(' ').next().and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0)
    };
    tasks.flatten().map(nanoseconds).sum::<f64>() * 1e-6
}

/// Least processor time of several runs, in milliseconds.
fn time(repeats: usize, mut run: impl FnMut()) -> f64 {
    let mut once = || {
        let start = spent();
        (0..repeats).for_each(|_| run());
        (spent() - start) / repeats as f64
    };
    (0..8).map(|_| once()).fold(f64::MAX, f64::min)
}

fn main() {
    // As in training: what a call allocates, the call before it freed.
    striate_kernels::memory::keep_freed();
    println!(
        "batch height×width channels kernel |  ms forward  input weights | GFLOP/s forward  input weights"
    );
    for [batch, height, width, channels, kernel, pad] in SHAPES {
        let shape =
            Depthwise { channels, height, width, kernel_h: kernel, kernel_w: kernel, pad_h: pad, pad_w: pad };
        let pixels = shape.out_height() * shape.out_width();
        let values = |n: usize| (0..n).map(|i| (i % 97) as f32 / 97.0 - 0.5).collect::<Vec<_>>();
        let (images, weights) =
            (values(batch * height * width * channels), values(channels * kernel * kernel));
        let grads = values(batch * pixels * channels);
        let repeats = (1 << 25) / grads.len() + 1;
        let forward = time(repeats, || drop(shape.forward(&images, &weights)));
        let [to_input, to_weights] = [[true, false], [false, true]]
            .map(|wanted| time(repeats, || drop(shape.backward(&images, &weights, &grads, wanted))));
        let flop = (2 * batch * pixels * channels * kernel * kernel) as f64 * 1e-6;
        println!(
            "{batch:5} {height:6}×{width:<5} {channels:8} {kernel:6} | {forward:11.2} {to_input:6.2} {to_weights:7.2} | {:15.1} {:6.1} {:7.1}",
            flop / forward,
            flop / to_input,
            flop / to_weights
        );
    }
}
