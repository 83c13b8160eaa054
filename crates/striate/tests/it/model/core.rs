//! Cores against hand computations and definitions.

use burn::prelude::*;
use striate::model::Pass;
use striate::model::core::stacked::{
    BatchNormConfig, KernelConstraint, Nonlinearity, Padding, Stacked, StackedConfig,
};
use striate::model::core::{CoreConfig, LgnConfig};
use striate::model::weights::export;
use striate::ops::Masks;
use striate::random::generator;

use super::{values, with};

/// One linear layer without batch normalisation.
fn layer(kernel: usize, padding: Padding) -> StackedConfig {
    StackedConfig {
        kernels: vec![kernel],
        channels: vec![1],
        padding: vec![padding],
        nonlinearity: Nonlinearity::Identity,
        final_nonlinearity: Nonlinearity::Identity,
        batch_norm: None,
        bias: false,
        kernel_constraint: KernelConstraint::None,
        separable: false,
        init_sd: 0.1,
        ..StackedConfig::default()
    }
}

fn core(config: &StackedConfig, inputs: usize) -> Stacked {
    config.init([inputs, 1, 1], &mut generator(1, 0), &Device::flex())
}

fn image(values: &[f32], [height, width]: [usize; 2]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values.to_vec(), [1, 1, height, width]), &Device::flex())
}

/// TensorFlow's `SAME`, by definition: `(k − 1) / 2` zeros before, `k / 2` after, rounded down.
fn same(image: &[f32], side: usize, kernel: &[f32], k: usize) -> Vec<f32> {
    let pixel = |y: usize, x: usize| {
        let before = (k - 1) / 2;
        let inside = y >= before && x >= before && y - before < side && x - before < side;
        if inside { image[(y - before) * side + x - before] } else { 0.0 }
    };
    let at = |i: usize, tap: usize| kernel[tap] * pixel(i / side + tap / k, i % side + tap % k);
    (0..side * side).map(|i| (0..k * k).map(|tap| at(i, tap)).sum()).collect()
}

#[test]
fn same_padding_is_tensorflows_for_odd_and_even_kernels() {
    let picture: Vec<f32> = (0..81).map(|i| ((i * 29) % 17) as f32).collect();
    for k in [1, 2, 3, 4, 5, 8] {
        let kernel: Vec<f32> = (0..k * k).map(|i| ((i * 7) % 5) as f32 - 1.5).collect();
        let core = with(core(&layer(k, Padding::Same), 1), "layers.0.weight", &kernel);
        let found = values(core.forward(image(&picture, [9, 9]), Pass::Evaluate).0);
        assert_eq!(found, same(&picture, 9, &kernel, k), "kernel {k}");
    }
    // By hand: a 2×2 kernel of ones sums a pixel with its right, lower and lower right neighbours.
    let core = with(core(&layer(2, Padding::Same), 1), "layers.0.weight", &[1.0; 4]);
    let found = core.forward(image(&[1.0, 2.0, 3.0, 4.0], [2, 2]), Pass::Evaluate).0;
    assert_eq!(values(found), [10.0, 6.0, 7.0, 4.0]);
}

#[test]
fn pooling_averages_squares_and_leaves_out_a_ragged_border() {
    let config = StackedConfig { pool: 2, ..layer(1, Padding::Valid) };
    let core = with(core(&config, 1), "layers.0.weight", &[1.0]);
    let picture: Vec<f32> = (0..20).map(|i| i as f32).collect();
    let found = core.forward(image(&picture, [4, 5]), Pass::Evaluate).0;
    assert_eq!(
        (found.dims(), CoreConfig::Stacked(config.clone()).out_shape([1, 4, 5])),
        ([1, 2, 2, 1], [1, 2, 2])
    );
    assert_eq!(values(found), [3.0, 5.0, 13.0, 15.0]);
}

#[test]
fn unit_norm_kernels_have_unit_norm_per_slice() {
    let config = StackedConfig {
        channels: vec![3],
        kernel_constraint: KernelConstraint::UnitNorm,
        ..layer(5, Padding::Valid)
    };
    for slice in values(core(&config, 2).kernel(0)).chunks(25) {
        let norm = slice.iter().map(|w| w * w).sum::<f32>().sqrt();
        assert!((norm - 1.0).abs() < 1e-4, "{norm}");
    }
}

#[test]
fn running_statistics_follow_the_decay() {
    let norm = BatchNormConfig {
        decay: 0.75,
        epsilon: 1e-3,
        offset: false,
        gain: false,
        ..BatchNormConfig::default()
    };
    let config = StackedConfig { batch_norm: Some(norm), ..layer(1, Padding::Valid) };
    let mut core = with(core(&config, 1), "layers.0.weight", &[1.0]);
    // Mean 3 and population variance 5 at every step.
    let picture = image(&[0.0, 2.0, 4.0, 6.0], [2, 2]);
    let (mut mean, mut variance) = (0.0f32, 1.0f32);
    for _ in 0..3 {
        let (normalised, moments) =
            core.forward(picture.clone(), Pass::Train { seed: 0, masks: Masks::Dense });
        assert!((values(normalised)[0] - (0.0 - 3.0) / 5.001f32.sqrt()).abs() < 1e-5);
        core = core.keep_moments(&moments);
        (mean, variance) = (0.75 * mean + 0.25 * 3.0, 0.75 * variance + 0.25 * 5.0);
        let kept = export(&core);
        assert!((kept["layers.0.running_mean"].values[0] - mean).abs() < 1e-5);
        assert!((kept["layers.0.running_variance"].values[0] - variance).abs() < 1e-5);
    }
    let evaluated = values(core.forward(picture, Pass::Evaluate).0);
    assert!((evaluated[3] - (6.0 - mean) / (variance + 1e-3).sqrt()).abs() < 1e-5);
}

#[test]
fn dropout_scales_what_it_keeps_and_is_off_in_evaluation() {
    let config = StackedConfig { dropout: 0.25, ..layer(1, Padding::Valid) };
    let core = with(core(&config, 1), "layers.0.weight", &[1.0]);
    let picture = image(&[1.0; 4096], [64, 64]);
    let once = |seed| values(core.forward(picture.clone(), Pass::Train { seed, masks: Masks::Dense }).0);
    let zeros = once(1).iter().filter(|v| **v == 0.0).count() as f64 / 4096.0;
    assert!((zeros - 0.25).abs() < 0.03, "{zeros}");
    assert!(once(1).iter().all(|v| *v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));
    assert_eq!(once(1), once(1));
    assert_ne!(once(1), once(2));
    assert_eq!(values(core.forward(picture.clone(), Pass::Evaluate).0), vec![1.0; 4096]);
}

/// Bounds, places and signs of the centre-surround filters.
#[test]
fn centre_surround_units_are_differences_of_gaussians() {
    let config = LgnConfig { units: 1 };
    let drawn = config.init([9, 11], &mut generator(1, 0), &Device::flex());
    // Logistic of 0 is a half: x = 5, y = 4, σ_c = (0.1 + 11) / 2, σ_s = 5.5, α_c = α_s = 5.
    let filters = values(with(drawn, "raw", &[0.0; 6]).filters());
    let at = |y: usize, x: usize| f64::from(filters[y * 11 + x]);
    let (centre, surround) = (5.55, 5.55 + 5.5);
    let bump = |squared: f64, v: f64| 5.0 * (-squared / (2.0 * v)).exp() / (2.0 * std::f64::consts::PI * v);
    for (y, x, squared) in [(4, 5, 0.0), (4, 8, 9.0), (0, 5, 16.0), (7, 1, 25.0)] {
        let expected = bump(squared, centre) - bump(squared, surround);
        assert!((at(y, x) - expected).abs() < 1e-6, "{y} {x}: {} {expected}", at(y, x));
    }
}
