use proptest::prelude::*;

use super::*;

fn noise(n: usize, seed: u32) -> Vec<f32> {
    (0..n as u32).map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0).collect()
}

struct Case {
    shape: Factorised,
    x: Vec<f32>,
    mask: Vec<f32>,
    weights: Vec<f32>,
    grad: Vec<f32>,
}

/// Random values; `stored` of a hundred mask entries are not zero.
fn case(shape: Factorised, stored: f32, seed: u32) -> Case {
    let Factorised { batch, pixels, channels, neurons } = shape;
    let keep = |(m, kept): (f32, f32)| if 50.0 * (kept + 1.0) < stored { m } else { 0.0 };
    let mask = noise(pixels * neurons, seed).into_iter().zip(noise(pixels * neurons, !seed)).map(keep);
    Case {
        shape,
        x: noise(batch * pixels * channels, seed ^ 1),
        mask: mask.collect(),
        weights: noise(channels * neurons, seed ^ 2),
        grad: noise(batch * neurons, seed ^ 3),
    }
}

/// The safe twin: responses and all gradients, one multiplication at a time.
fn reference(case: &Case) -> [Vec<f64>; 4] {
    let Factorised { batch, pixels, channels, neurons } = case.shape;
    let mut out = vec![0.0; batch * neurons];
    let (mut to_x, mut to_mask) = (vec![0.0; case.x.len()], vec![0.0; case.mask.len()]);
    let mut to_weights = vec![0.0; case.weights.len()];
    for at in 0..batch * pixels * channels * neurons {
        let (n, k) = (at % neurons, at / neurons % channels);
        let (p, b) = (at / neurons / channels % pixels, at / neurons / channels / pixels);
        let x = f64::from(case.x[(b * pixels + p) * channels + k]);
        let (m, w) = (f64::from(case.mask[p * neurons + n]), f64::from(case.weights[k * neurons + n]));
        let g = f64::from(case.grad[b * neurons + n]);
        out[b * neurons + n] += m * w * x;
        to_x[(b * pixels + p) * channels + k] += g * m * w;
        to_mask[p * neurons + n] += g * w * x;
        to_weights[k * neurons + n] += g * m * x;
    }
    [out, to_x, to_mask, to_weights]
}

type Gradients = [Option<Vec<f32>>; 3];

/// Responses, and the gradients to features, masks and weights that are wanted.
fn dense(case: &Case, wanted: [bool; 3]) -> (Vec<f32>, Gradients) {
    let out = case.shape.forward(&case.x, &case.mask, &case.weights);
    (out, case.shape.backward(&case.x, &case.mask, &case.weights, &case.grad, wanted))
}

fn sparse(case: &Case, wanted: [bool; 3]) -> (Vec<f32>, Gradients) {
    let masks = SparseMasks::new(&case.mask, case.shape.neurons);
    let out = case.shape.forward_sparse(&case.x, &masks, &case.weights);
    (out, case.shape.backward_sparse(&case.x, &masks, &case.weights, &case.grad, wanted))
}

fn close(ours: &[f32], exact: &[f64]) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours.len(), exact.len());
    for (at, (ours, exact)) in ours.iter().zip(exact).enumerate() {
        prop_assert!((f64::from(*ours) - exact).abs() < 2e-4, "{at}: {ours} {exact}");
    }
    Ok(())
}

fn agree(case: &Case) -> Result<(), TestCaseError> {
    let [out, to_x, mut to_mask, to_weights] = reference(case);
    let (ours, [features, mask, weights]) = dense(case, [true; 3]);
    close(&ours, &out)?;
    close(&features.unwrap(), &to_x)?;
    close(&mask.unwrap(), &to_mask)?;
    close(&weights.unwrap(), &to_weights)?;
    let (ours, [features, mask, weights]) = sparse(case, [true; 3]);
    close(&ours, &out)?;
    close(&features.unwrap(), &to_x)?;
    to_mask.iter_mut().zip(&case.mask).filter(|(_, m)| **m == 0.0).for_each(|(to, _)| *to = 0.0);
    close(&mask.unwrap(), &to_mask)?;
    close(&weights.unwrap(), &to_weights)
}

fn channels() -> impl Strategy<Value = usize> {
    prop_oneof![0usize..9, 1usize..70, Just(16), Just(24), Just(48), Just(64), Just(100)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_pass_is_the_definition(
        batch in 0usize..20, pixels in 0usize..40, channels in channels(), neurons in 1usize..90,
        stored in 0f32..110.0, seed in any::<u32>(),
    ) {
        agree(&case(Factorised { batch, pixels, channels, neurons }, stored, seed))?;
    }
}

#[test]
fn long_sums_are_cut_into_blocks() {
    for (batch, pixels, channels, neurons) in [(2, 700, 3, 5), (3, 9, 2, 600), (130, 33, 5, 3), (70, 1, 1, 1)]
    {
        agree(&case(Factorised { batch, pixels, channels, neurons }, 30.0, 8)).unwrap();
    }
}

#[test]
fn the_same_bits_on_one_thread_and_on_many() {
    let case = case(Factorised { batch: 70, pixels: 65, channels: 5, neurons: 120 }, 20.0, 4);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| (dense(&case, [true; 3]), sparse(&case, [true; 3])))
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn what_is_not_a_number_stays_so() {
    let mut case = case(Factorised { batch: 3, pixels: 9, channels: 5, neurons: 17 }, 100.0, 4);
    case.mask[20] = f32::NAN;
    for (out, [features, _, weights]) in [dense(&case, [true; 3]), sparse(&case, [true; 3])] {
        assert!(out[3].is_nan() && !out[4].is_nan());
        assert!(weights.unwrap()[3].is_nan() && features.unwrap()[5].is_nan());
    }
}

#[test]
fn what_is_not_wanted_changes_nothing_else() {
    let case = case(Factorised { batch: 7, pixels: 20, channels: 5, neurons: 33 }, 40.0, 4);
    for pass in [dense, sparse] {
        let all = pass(&case, [true; 3]).1;
        for wanted in (0..8).map(|bits| std::array::from_fn(|i| bits >> i & 1 == 1)) {
            let expected: Gradients = std::array::from_fn(|i| all[i].clone().filter(|_| wanted[i]));
            assert_eq!(pass(&case, wanted).1, expected);
        }
    }
}
