//! Speed of batch normalisation with a nonlinearity: `RAYON_NUM_THREADS=1 cargo run --release --example norm`.
//!
//! GB/s count what each pass must read and write: `x` (moments), `x`, `y` (forward), twice `x`, `g` and the
//! gradient (backward).

#![allow(clippy::disallowed_methods, reason = "reads what the system says of this process")]

use striate_kernels::activation::Activation;
use striate_kernels::norm::{Affine, backward, forward, moments};

/// Rows and channels.
const SHAPES: [[usize; 2]; 5] =
    [[128 * 31 * 31, 48], [128 * 28 * 56, 64], [4000, 48], [50_000, 33], [500_000, 1]];

/// Processor time of all threads, in nanoseconds; unlike a clock, blind to other programs (Linux alone).
fn spent() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a Linux process lists its threads");
    let nanoseconds = |task: std::fs::DirEntry| {
        let line = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        line.split(' ').next().and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0)
    };
    tasks.flatten().map(nanoseconds).sum()
}

/// Least processor time of several runs, in nanoseconds per value.
fn time(values: usize, mut run: impl FnMut()) -> f64 {
    let repeats = (1 << 24) / values + 1;
    let mut once = || {
        let start = spent();
        (0..repeats).for_each(|_| run());
        (spent() - start) / (repeats * values) as f64
    };
    (0..8).map(|_| once()).fold(f64::MAX, f64::min)
}

fn main() {
    // As in training: what a call allocates, the call before it freed.
    striate_kernels::memory::keep_freed();
    println!(
        "  rows channels nonlinearity | ns per value: moments forward backward | GB/s moments forward backward"
    );
    for [rows, channels] in SHAPES {
        let x: Vec<f32> = (0..rows * channels).map(|i| (i % 1009) as f32 / 504.5 - 1.0).collect();
        let (mut g, (mean, scale)) = (Some(x.clone()), moments(channels, &x));
        let affine = Affine { mean: &mean, scale: &scale, gain: None, offset: &mean };
        for activation in [Activation::Identity, Activation::Softplus, Activation::Elu] {
            let times = [
                time(x.len(), || drop(moments(channels, &x))),
                time(x.len(), || drop(forward(channels, activation, affine, &x))),
                time(x.len(), || {
                    let given = g.take().unwrap_or_default();
                    [g, ..] = backward(channels, activation, affine, true, &x, given, [true; 3]);
                }),
            ];
            let [a, b, c] = times;
            println!(
                "{rows:6} {channels:8} {activation:<12} | {a:21.3} {b:7.3} {c:8.3} | {:12.1} {:7.1} {:8.1}",
                4.0 / a,
                8.0 / b,
                20.0 / c,
                activation = format!("{activation:?}")
            );
        }
    }
}
