//! Nanoseconds per neuron and image of the point readout: `cargo run --release --example gaussian`.

use striate_kernels::gaussian::{PointReadout, Positions};

#[path = "shared/cpu_time.rs"]
mod cpu_time;

fn main() {
    cpu_time::one_thread();
    println!("batch height width channels neurons  per image  forward backward  ns / (neuron, image)");
    for (batch, height, width, channels, neurons) in
        [(128, 28, 56, 64, 5000), (16, 28, 56, 64, 1000), (32, 19, 46, 48, 8000), (8, 36, 64, 24, 100)]
    {
        let shape = PointReadout { batch, height, width, channels, neurons };
        let noise = |n: usize| {
            (0..n as u32)
                .map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0)
                .collect::<Vec<_>>()
        };
        let x = noise(batch * height * width * channels);
        let (weights, g) = (noise(channels * neurons), noise(batch * neurons));
        for per_image in [false, true] {
            let positions = noise(2 * neurons * if per_image { batch } else { 1 });
            let positions =
                if per_image { Positions::PerImage(&positions) } else { Positions::Shared(&positions) };
            let unit = 1e9 / (batch * neurons) as f64;
            let forward = unit * cpu_time::best(|| drop(shape.forward(&x, positions, &weights)));
            let backward =
                unit * cpu_time::best(|| drop(shape.backward(&x, positions, &weights, &g, [true; 3])));
            println!(
                "{batch:5} {height:6} {width:5} {channels:8} {neurons:7}  {per_image:9}  {forward:7.1} {backward:8.1}"
            );
        }
    }
}
