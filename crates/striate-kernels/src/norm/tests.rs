use proptest::prelude::*;

use super::*;

const ALL: [Activation; 4] = [Activation::Identity, Activation::Relu, Activation::Softplus, Activation::Elu];

fn values(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| (((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0) * 2.0).collect()
}

fn scales(variance: &[f32]) -> Vec<f32> {
    variance.iter().map(|v| 1.0 / (v + 1e-3).sqrt()).collect()
}

/// All gradients, held against each of them alone.
fn all(
    channels: usize,
    activation: Activation,
    affine: Affine<'_>,
    batch_statistics: bool,
    x: &[f32],
    g: &[f32],
) -> [Vec<f32>; 3] {
    let run = |wanted| backward(channels, activation, affine, batch_statistics, x, g.to_vec(), wanted);
    let all = run([true; 3]);
    for one in 0..3 {
        let alone = run([0, 1, 2].map(|i| i == one));
        for (i, (alone, all)) in alone.iter().zip(&all).enumerate() {
            let bits = |v: &Vec<f32>| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(
                alone.as_ref().map(bits),
                (i == one).then_some(all).and_then(|v| v.as_ref()).map(bits)
            );
        }
    }
    all.map(Option::unwrap)
}

/// The definition: mean and variance of each channel.
fn exact_moments(channels: usize, x: &[f64]) -> Vec<(f64, f64)> {
    let rows = (x.len() / channels) as f64;
    let of = |c: usize| x[c..].iter().step_by(channels);
    let moments = |c| {
        let mean = of(c).sum::<f64>() / rows;
        (mean, of(c).map(|x| (x - mean).powi(2)).sum::<f64>() / rows)
    };
    (0..channels).map(moments).collect()
}

fn value(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::Softplus => x.exp().ln_1p(),
        Activation::Elu => {
            if x > 0.0 {
                x
            } else {
                x.exp_m1()
            }
        }
    }
}

/// ⟨g, forward(x)⟩ in `f64`, from the definition; with batch statistics, or with those given.
fn objective(
    activation: Activation,
    x: &[f64],
    g: &[f32],
    gain: &[f64],
    offset: &[f64],
    given: Option<&[(f64, f64)]>,
) -> f64 {
    let channels = gain.len();
    let moments = given.map_or_else(|| exact_moments(channels, x), <[_]>::to_vec);
    let term = |(i, x): (usize, &f64)| {
        let (mean, variance) = moments[i % channels];
        let drive = (x - mean) / (variance + 1e-3).sqrt() * gain[i % channels] + offset[i % channels];
        f64::from(g[i]) * value(activation, drive)
    };
    x.iter().enumerate().map(term).sum()
}

/// Central difference of `f` along coordinate `i`.
fn difference(at: &[f64], i: usize, f: impl Fn(&[f64]) -> f64) -> f64 {
    let moved = |d: f64| {
        let mut moved = at.to_vec();
        moved[i] += d;
        f(&moved)
    };
    (moved(1e-5) - moved(-1e-5)) / 2e-5
}

#[test]
fn gradients_match_finite_differences_in_double_precision() {
    for (activation, channels, batch_statistics) in [
        (Activation::Identity, 2, true),
        (Activation::Softplus, 2, true),
        (Activation::Elu, 5, true),
        (Activation::Softplus, 1, false),
        (Activation::Elu, 17, false),
    ] {
        let (x, g) = (values(63 * channels, 1), values(63 * channels, 2));
        let (gain, offset) = (values(channels, 5), values(channels, 6));
        let (mean, variance) = moments(channels, &x);
        let scale = scales(&variance);
        let affine = Affine { mean: &mean, scale: &scale, gain: Some(&gain), offset: &offset };
        let [to_x, to_gain, to_offset] = all(channels, activation, affine, batch_statistics, &x, &g);
        let [x, gain, offset] =
            [&x, &gain, &offset].map(|v| v.iter().map(|v| f64::from(*v)).collect::<Vec<_>>());
        let fixed = exact_moments(channels, &x);
        let given = (!batch_statistics).then_some(&fixed[..]);
        for i in (0..x.len()).step_by(5) {
            let exact = difference(&x, i, |x| objective(activation, x, &g, &gain, &offset, given));
            assert!((exact - f64::from(to_x[i])).abs() < 4e-5, "{activation:?} {i}");
        }
        for c in 0..channels {
            let exact = difference(&offset, c, |o| objective(activation, &x, &g, &gain, o, given));
            assert!((exact - f64::from(to_offset[c])).abs() < 1e-4, "{activation:?} offset {c}");
            let exact = difference(&gain, c, |a| objective(activation, &x, &g, a, &offset, given));
            assert!((exact - f64::from(to_gain[c])).abs() < 1e-4, "{activation:?} gain {c}");
        }
    }
}

#[test]
fn forward_gives_every_channel_the_asked_mean_and_spread() {
    let (x, offset) = (values(2 * 63, 3), [0.3, -0.2]);
    let (mean, variance) = moments(2, &x);
    let scale = scales(&variance);
    let affine = Affine { mean: &mean, scale: &scale, gain: None, offset: &offset };
    let (mean, variance) = moments(2, &forward(2, Activation::Identity, affine, &x));
    for c in 0..2 {
        assert!((mean[c] - offset[c]).abs() < 1e-5);
        assert!((variance[c] - 1.0).abs() < 1e-2);
    }
}

#[test]
fn a_large_mean_does_not_swallow_the_variance() {
    let x: Vec<f32> = values(3 * 5000, 4).iter().map(|x| 10_000.0 + x).collect();
    let exact = exact_moments(3, &x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
    let (mean, variance) = moments(3, &x);
    for (c, (exact_mean, exact_variance)) in exact.into_iter().enumerate() {
        assert!((f64::from(mean[c]) - exact_mean).abs() < 1e-3);
        assert!((f64::from(variance[c]) / exact_variance - 1.0).abs() < 1e-6, "{}", variance[c]);
    }
}

#[test]
fn the_same_bits_on_one_thread_and_on_many() {
    let (x, g, ones) = (values(7 * 9000, 1), values(7 * 9000, 2), [1.0; 7]);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (mean, variance) = moments(7, &x);
            let affine = Affine { mean: &mean, scale: &ones, gain: None, offset: &ones };
            (all(7, Activation::Elu, affine, true, &x, &g), mean.clone(), variance)
        })
    };
    assert!(run(1) == run(3));
}

#[test]
fn what_is_not_a_number_stays_in_its_channel() {
    let mut x = values(3 * 50, 1);
    x[31] = f32::NAN;
    let (mean, variance) = moments(3, &x);
    let scale = scales(&variance);
    let affine = Affine { mean: &mean, scale: &scale, gain: None, offset: &[0.0; 3] };
    for activation in ALL {
        let y = forward(3, activation, affine, &x);
        let [gradients, ..] = all(3, activation, affine, true, &x, &x);
        for (i, (y, gradient)) in y.iter().zip(&gradients).enumerate() {
            assert_eq!(y.is_nan(), i % 3 == 1, "{activation:?} {i}");
            assert_eq!(gradient.is_nan(), i % 3 == 1, "{activation:?} {i}");
        }
    }
}

#[test]
fn no_rows_have_no_moments_and_no_gradients() {
    let zeros = [0.0; 3];
    assert_eq!(moments(3, &[]), (vec![0.0; 3], vec![0.0; 3]));
    let affine = Affine { mean: &zeros, scale: &[1.0; 3], gain: None, offset: &zeros };
    assert!(forward(3, Activation::Elu, affine, &[]).is_empty());
    for batch_statistics in [false, true] {
        let [values, gain, offset] = all(3, Activation::Elu, affine, batch_statistics, &[], &[]);
        assert!(values.is_empty() && gain == zeros && offset == zeros);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_pass_is_the_definition(
        channels in 1usize..70, rows in 1usize..700, kind in 0usize..4, seed in 0usize..1000,
    ) {
        let (x, activation) = (values(rows * channels, seed), ALL[kind]);
        let exact = exact_moments(channels, &x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
        let (mean, variance) = moments(channels, &x);
        for (c, (exact_mean, exact_variance)) in exact.iter().enumerate() {
            prop_assert!((f64::from(mean[c]) - exact_mean).abs() < 1e-6);
            prop_assert!((f64::from(variance[c]) - exact_variance).abs() < 4e-6);
        }
        let [scale, gain, offset] = [1, 2, 3].map(|i| values(channels, seed + i));
        let affine = Affine { mean: &mean, scale: &scale, gain: Some(&gain), offset: &offset };
        let y = forward(channels, activation, affine, &x);
        let [to_x, our_gain, our_offset] = all(channels, activation, affine, false, &x, &x);
        prop_assert_eq!((y.len(), to_x.len()), (x.len(), x.len()));
        let (mut to_gain, mut to_offset) = (vec![0.0; channels], vec![0.0; channels]);
        for (i, x) in x.iter().enumerate() {
            let c = i % channels;
            let normal = (x - mean[c]) * scale[c];
            let drive = normal * gain[c] + offset[c];
            let slope = x * activation.slope(drive);
            prop_assert!((f64::from(y[i]) - value(activation, f64::from(drive))).abs() < 4e-6);
            prop_assert!((to_x[i] - slope * scale[c] * gain[c]).abs() < 4e-6);
            to_offset[c] += f64::from(slope);
            to_gain[c] += f64::from(slope) * f64::from(normal);
        }
        for c in 0..channels {
            prop_assert!((f64::from(our_offset[c]) - to_offset[c]).abs() < 1e-3);
            prop_assert!((f64::from(our_gain[c]) - to_gain[c]).abs() < 1e-3);
        }
    }
}
