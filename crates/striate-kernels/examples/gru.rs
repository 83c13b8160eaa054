//! GFLOP/s of the recurrent unit: `cargo run --release --example gru`.

use striate_kernels::gru::{Gru, Weights};

#[path = "shared/cpu_time.rs"]
mod cpu_time;

fn main() {
    cpu_time::one_thread();
    println!("batch time inputs hidden   forward ms GFLOP/s   both ms GFLOP/s");
    for (batch, time, inputs, hidden) in [(256, 1, 204, 512), (256, 8, 204, 512), (32, 30, 64, 128)] {
        let gru = Gru { batch, time, inputs, hidden };
        let noise = |n: usize, scale: f32| {
            (0..n as u32)
                .map(|i| ((i.wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0) * scale)
                .collect::<Vec<_>>()
        };
        let (x, g) = (noise(batch * time * inputs, 1.0), noise(batch * time * hidden, 1.0));
        let (input, recurrent) = (noise(3 * hidden * inputs, 0.05), noise(3 * hidden * hidden, 0.05));
        let bias = noise(3 * hidden, 0.05);
        let weights = Weights { input: &input, hidden: &recurrent, input_bias: &bias, hidden_bias: &bias };
        let forward = cpu_time::best(|| drop(gru.forward(&x, &weights)));
        let both = cpu_time::best(|| {
            let (states, tape) = gru.forward(&x, &weights);
            drop(gru.backward(&x, &weights, &states, tape, &g, [true; 5]));
        });
        let flops = 6.0 * (batch * hidden * (time * inputs + (time - 1) * hidden)) as f64;
        println!(
            "{batch:5} {time:4} {inputs:6} {hidden:6}  {:10.2} {:8.1} {:9.2} {:8.1}",
            forward * 1e3,
            flops / forward * 1e-9,
            both * 1e3,
            3.0 * flops / both * 1e-9
        );
    }
}
