//! GFLOP/s of dense products: `cargo run --release --example matrix`.

#[path = "shared/cpu_time.rs"]
mod cpu_time;

use striate_kernels::matrix::{Matrix, product};

/// Rows, depth, columns; whether the factors are stored transposed.
const SHAPES: [(usize, usize, usize, bool, bool); 14] = [
    (1, 1, 1, false, false),
    (1, 512, 512, false, true),
    (256, 480, 512, false, true),
    (256, 512, 480, false, false),
    (512, 256, 480, true, false),
    (256, 204, 1536, false, true),
    (256, 512, 1536, false, true),
    (256, 1536, 204, false, false),
    (256, 1536, 512, false, false),
    (1536, 256, 204, true, false),
    (1536, 256, 512, true, false),
    (2048, 204, 1536, false, true),
    (1536, 2048, 512, true, false),
    (4096, 4096, 4000, false, false),
];

fn main() {
    cpu_time::one_thread();
    println!("rows depth columns  aT bT  GFLOP/s");
    for (rows, depth, columns, ta, tb) in SHAPES {
        let values = |n: usize| (0..n).map(|i| (i % 97) as f32 / 97.0 - 0.5).collect::<Vec<_>>();
        let (a, b) = (values(rows * depth), values(depth * columns));
        let a = if ta { Matrix::new(&a, depth, rows).transposed() } else { Matrix::new(&a, rows, depth) };
        let b =
            if tb { Matrix::new(&b, columns, depth).transposed() } else { Matrix::new(&b, depth, columns) };
        let flops = 2.0 * (rows * depth * columns) as f64;
        let best = cpu_time::best(|| drop(product(a, b, None)));
        println!(
            "{rows:5} {depth:5} {columns:5}  {:2} {:2}  {:7.1}",
            ta as u8,
            tb as u8,
            flops / best * 1e-9
        );
    }
}
