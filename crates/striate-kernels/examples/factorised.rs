//! Speed of the factorised readout: `cargo run --release --example factorised`.
//!
//! Set `RAYON_NUM_THREADS=1` for the speed of one core.

#![allow(clippy::disallowed_methods, reason = "reads what the system says of this process")]

use striate_kernels::factorised::{Factorised, SparseMasks};

fn noise(n: usize, seed: u32) -> Vec<f32> {
    (0..n as u32).map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
}

/// Processor time of all threads so far, ms (Linux): other programs do not disturb it.
fn cpu() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux");
    let time = |thread: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    };
    threads.filter_map(time).sum::<f64>() / 1e6
}

/// Least time of a few repetitions, ms.
fn best(mut body: impl FnMut()) -> f64 {
    (0..5)
        .map(|_| {
            let start = cpu();
            body();
            cpu() - start
        })
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    sparse();
    dense();
}

fn sparse() {
    println!("channels neurons stored %   build ms  forward ms  backward ms  parameters ms");
    for (channels, neurons, stored) in [
        (48, 1000, 60),
        (48, 1000, 33),
        (48, 1000, 10),
        (48, 1000, 5),
        (48, 1000, 1),
        (24, 1000, 5),
        (16, 1000, 33),
        (8, 1000, 50),
        (8, 1000, 33),
        (4, 1000, 5),
    ] {
        let shape = Factorised { batch: 128, pixels: 961, channels, neurons };
        let (x, mut mask) = (noise(128 * 961 * channels, 1), noise(961 * neurons, 2));
        let kept = noise(mask.len(), 5);
        mask.iter_mut()
            .zip(kept)
            .filter(|(_, kept)| 50.0 * (kept + 1.0) >= stored as f32)
            .for_each(|(m, _)| *m = 0.0);
        let (weights, grad) = (noise(channels * neurons, 3), noise(128 * neurons, 4));
        let masks = SparseMasks::new(&mask, neurons);
        let build = best(|| drop(SparseMasks::new(&mask, neurons)));
        let forward = best(|| drop(shape.forward_sparse(&x, &masks, &weights)));
        let both = best(|| drop(shape.backward_sparse(&x, &masks, &weights, &grad, [true; 3])));
        let parameters =
            best(|| drop(shape.backward_sparse(&x, &masks, &weights, &grad, [false, true, true])));
        println!(
            "{channels:8} {neurons:7} {stored:8} {build:10.2} {forward:11.2} {both:12.2} {parameters:14.2}"
        );
    }
}

fn dense() {
    println!(
        "batch pixels channels neurons   forward ms GFLOP/s   backward ms GFLOP/s   parameters ms GFLOP/s"
    );
    for (batch, pixels, channels, neurons) in [
        (128, 961, 48, 1000),
        (128, 961, 48, 1024),
        (128, 961, 64, 1000),
        (128, 961, 32, 1000),
        (128, 961, 24, 1000),
        (128, 961, 16, 1000),
        (128, 961, 8, 1000),
        (128, 961, 5, 1000),
        (128, 961, 1, 1000),
        (32, 4096, 32, 200),
        (1, 961, 48, 1000),
    ] {
        let shape = Factorised { batch, pixels, channels, neurons };
        let (x, mask) = (noise(batch * pixels * channels, 1), noise(pixels * neurons, 2));
        let (weights, grad) = (noise(channels * neurons, 3), noise(batch * neurons, 4));
        let flop = 2e-6 * (batch * pixels * channels * neurons) as f64;
        let forward = best(|| drop(shape.forward(&x, &mask, &weights)));
        let both = best(|| drop(shape.backward(&x, &mask, &weights, &grad, [true; 3])));
        let parameters = best(|| drop(shape.backward(&x, &mask, &weights, &grad, [false, true, true])));
        println!(
            "{batch:5} {pixels:6} {channels:8} {neurons:7} {forward:12.2} {:7.1} {both:13.2} {:7.1} {parameters:15.2} {:7.1}",
            flop / forward,
            2.0 * flop / both,
            flop / parameters,
        );
    }
}
