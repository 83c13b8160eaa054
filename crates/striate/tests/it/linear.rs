//! Linear models in closed form: against NumPy and scikit-learn, against their own optimality conditions, and as fits.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::prelude::*;
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;
use serde::Deserialize;
use striate::error::Kind;
use striate::fit::linear::{Lasso, Problem, Solution, Spectral, Sums};
use striate::fit::{self, Event, FitConfig, Outcome};
use striate::random::{generator, normal};
use striate::recording::{Session, Stream, Tier};
use striate::run::metrics::{self, Row};
use striate::run::{Checkpoint, Manifest, RunFolder, Status};
use striate::scoring;
use striate::simulate::{KlindtLinear, KlindtNonlinear};
use striate::twin::Twin;

use super::simulated;

#[derive(Deserialize)]
struct Case {
    solver: String,
    trials: usize,
    pixels: usize,
    neurons: usize,
    alpha: f64,
    intercept: bool,
    images: Vec<f32>,
    responses: Vec<f32>,
    weights: Vec<f64>,
    intercepts: Vec<f64>,
    error: f64,
}

impl Case {
    /// In two batches, as a recording is read.
    fn problem(&self) -> Problem {
        let first = self.trials / 3;
        let (early, late) = self.images.split_at(first * self.pixels);
        let (before, after) = self.responses.split_at(first * self.neurons);
        let mut sums = Sums::new(self.pixels, self.neurons);
        sums.add(early, before);
        sums.add(late, after);
        sums.problem(self.intercept)
    }

    fn solve(&self, problem: &Problem) -> Solution {
        match self.solver.as_str() {
            "ols" => Spectral::new(problem).ols(),
            "ridge" => Spectral::new(problem).ridge(self.alpha),
            _ => Lasso::new(problem).solve(self.alpha),
        }
    }
}

fn close(ours: &[f64], theirs: &[f64]) -> bool {
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() <= 1e-6 * (1.0 + b.abs()))
}

#[test]
fn weights_agree_with_numpy_and_scikit_learn() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/linear/golden.json");
    let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for case in cases {
        let ours = case.solve(&case.problem());
        let name = format!("{} with alpha {}, {} trials", case.solver, case.alpha, case.trials);
        assert!(close(&ours.weights, &case.weights), "{name}: {:?} {:?}", ours.weights, case.weights);
        assert!(close(&ours.intercepts, &case.intercepts), "{name}: {:?}", ours.intercepts);
        assert!(close(&[ours.error], &[case.error]), "{name}: {} {}", ours.error, case.error);
        assert_eq!(ours.unconverged, 0, "{name}");
    }
}

/// Images `[trial, pixel]` and the responses `[trial, neuron]` to them.
fn draw(seed: u64, trials: usize, pixels: usize, neurons: usize) -> (Vec<f32>, Vec<f32>) {
    let mut rng = generator(seed, 0);
    (normal(&mut rng, trials * pixels, 0.5, 1.0), normal(&mut rng, trials * neurons, 2.0, 1.0))
}

fn problem(seed: u64, [trials, pixels, neurons]: [usize; 3]) -> Problem {
    let (images, responses) = draw(seed, trials, pixels, neurons);
    let mut sums = Sums::new(pixels, neurons);
    sums.add(&images, &responses);
    sums.problem(true)
}

/// Covariance of each pixel with what a neuron's weights leave unexplained, from the images themselves.
fn unexplained(
    images: &[f32],
    responses: &[f32],
    solution: &Solution,
    pixels: usize,
    neuron: usize,
) -> Vec<f64> {
    let neurons = solution.intercepts.len();
    let weights = &solution.weights[neuron * pixels..][..pixels];
    let mut covariance = vec![0.0; pixels];
    for (image, response) in images.chunks(pixels).zip(responses.chunks(neurons)) {
        let drive: f64 = image.iter().zip(weights).map(|(x, w)| f64::from(*x) * w).sum();
        let left = f64::from(response[neuron]) - drive - solution.intercepts[neuron];
        covariance.iter_mut().zip(image).for_each(|(sum, x)| *sum += left * f64::from(*x));
    }
    covariance.iter().map(|sum| sum / (images.len() / pixels) as f64).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Karush, Kuhn & Tucker: the slope of the error is alpha against each weight, and at most alpha where there is none.
    #[test]
    fn the_lasso_meets_its_optimality_conditions(
        seed: u64, trials in 3..40usize, pixels in 1..30usize, log_alpha in -3.0..0.0f64
    ) {
        let alpha = 10f64.powf(log_alpha);
        let (images, responses) = draw(seed, trials, pixels, 2);
        let problem = problem(seed, [trials, pixels, 2]);
        let solution = Lasso::new(&problem).solve(alpha);
        prop_assert_eq!(solution.unconverged, 0);
        for neuron in 0..2 {
            let slopes = unexplained(&images, &responses, &solution, pixels, neuron);
            for (slope, weight) in slopes.iter().zip(&solution.weights[neuron * pixels..]) {
                let expected = if *weight == 0.0 { slope.clamp(-alpha, alpha) } else { alpha * weight.signum() };
                prop_assert!((slope - expected).abs() < 1e-6, "{} {} {}", slope, weight, alpha);
            }
        }
    }

    /// The slope of ridge regression is alpha / n times the weight; least squares leaves none.
    #[test]
    fn ridge_and_least_squares_meet_theirs(seed: u64, trials in 3..40usize, pixels in 1..30usize, alpha in 0.01..1e4f64) {
        let (images, responses) = draw(seed, trials, pixels, 2);
        let problem = problem(seed, [trials, pixels, 2]);
        let spectral = Spectral::new(&problem);
        for (solution, alpha) in [(spectral.ridge(alpha), alpha), (spectral.ols(), 0.0)] {
            let slopes = unexplained(&images, &responses, &solution, pixels, 1);
            for (slope, weight) in slopes.iter().zip(&solution.weights[pixels..]) {
                prop_assert!((slope - alpha * weight / trials as f64).abs() < 1e-6, "{} {}", slope, weight);
            }
        }
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let solved = |threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let problem = problem(5, [150, 130, 110]);
            let spectral = Spectral::new(&problem);
            let mut lasso = Lasso::new(&problem);
            [spectral.ols(), spectral.ridge(30.0), lasso.solve(0.1), lasso.solve(0.05)]
        })
    };
    let one = solved(1);
    assert!(one.iter().all(|solution| solution.weights.iter().any(|weight| *weight != 0.0)));
    for threads in [2, 3, 8] {
        assert!(solved(threads) == one, "{threads} threads");
    }
}

#[test]
fn pixels_and_neurons_without_variance_have_weights_of_zero() {
    let (mut images, mut responses) = draw(1, 30, 4, 2);
    images.iter_mut().skip(2).step_by(4).for_each(|pixel| *pixel = 0.3);
    responses.iter_mut().skip(1).step_by(2).for_each(|response| *response = 1.7);
    let mut sums = Sums::new(4, 2);
    sums.add(&images, &responses);
    let problem = sums.problem(true);
    let spectral = Spectral::new(&problem);
    for solution in [spectral.ols(), spectral.ridge(1.0), Lasso::new(&problem).solve(0.01)] {
        assert!(solution.weights[2].abs() < 1e-6 && solution.weights[4..].iter().all(|w| w.abs() < 1e-6));
        assert!((solution.intercepts[1] - 1.7).abs() < 1e-6, "{:?}", solution.intercepts);
    }
}

fn config(preset: &str, changes: &[&str]) -> FitConfig {
    let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
    FitConfig::preset(preset).unwrap().with(&changes).unwrap()
}

fn start(path: &Path, config: &FitConfig) -> RunFolder {
    RunFolder::create(path, &config.to_toml(), &Manifest::start(config.seed, "test")).unwrap()
}

/// Fits until `alphas` of them are tried.
fn fit_until(config: &FitConfig, session: &Session, run: &RunFolder, alphas: u64) -> Outcome {
    let stop = AtomicBool::new(false);
    let outcome = fit::fit(config, &[session], run, &Device::flex(), &stop, &mut |event| {
        if matches!(event, Event::Check { row, .. } if row.step >= alphas) {
            stop.store(true, Ordering::Relaxed);
        }
    });
    outcome.unwrap()
}

fn tiny() -> Session {
    simulated::session(&simulated::tiny())
}

fn rows(run: &RunFolder) -> Vec<Row> {
    let mut rows = metrics::read(&run.metrics()).unwrap();
    rows.iter_mut().for_each(|row| row.seconds = None);
    rows
}

fn weights(run: &RunFolder, which: Checkpoint) -> Vec<u8> {
    std::fs::read(run.checkpoint(which).join("weights.safetensors")).unwrap()
}

#[test]
fn the_best_alpha_is_kept_and_all_are_logged() {
    let (dir, session) = (tempfile::tempdir().unwrap(), tiny());
    for (preset, alphas) in [("ridge", 13), ("lasso", 10), ("ols", 1)] {
        let config = config(preset, &[]);
        let run = start(&dir.path().join(preset), &config);
        let outcome = fit_until(&config, &session, &run, u64::MAX);
        let rows = rows(&run);
        assert_eq!(rows.len(), alphas, "{preset}");
        let best = rows.iter().min_by(|a, b| a.val_loss.partial_cmp(&b.val_loss).unwrap()).unwrap();
        assert_eq!(outcome.best.unwrap().step, best.step, "{preset}");
        assert_eq!(run.read_manifest().unwrap().status, Status::Finished);
        assert!(rows.iter().all(|row| row.learning_rate.is_none() && row.train_loss.is_some()));
        let mut losses: Vec<f64> = rows.iter().filter_map(|row| row.train_loss).collect();
        if preset == "lasso" {
            losses.reverse();
        }
        assert!(losses.is_sorted(), "a weaker penalty fits the training trials better: {losses:?}");
    }
}

/// The twin answers `⟨w, image⟩ + b` to images in raw pixel values, in the units of the recording.
#[test]
fn the_twin_is_the_solution() {
    let (dir, session) = (tempfile::tempdir().unwrap(), tiny());
    let config = config("ridge", &["fit.alpha=100", "data.responses=std"]);
    let run = start(&dir.path().join("run"), &config);
    fit_until(&config, &session, &run, u64::MAX);
    let twin = Twin::load(&run, &Device::flex()).unwrap();
    let normalisation = &twin.card.normalisation;
    let shown = |trial| {
        normalisation.scale_images(session.read(Stream::Images, trial).unwrap(), session.image_shape())
    };
    let recorded = |trial| {
        let raw = session.read(Stream::Responses, trial).unwrap();
        raw.iter().zip(&normalisation.response_scale).map(|(y, scale)| y * scale).collect::<Vec<f32>>()
    };
    let mut sums = Sums::new(144, 8);
    session.trials_of(&Tier::Train).into_iter().for_each(|trial| sums.add(&shown(trial), &recorded(trial)));
    let problem = sums.problem(true);
    let solution = Spectral::new(&problem).ridge(100.0);
    let test = session.trials_of(&Tier::Test);
    let predicted = scoring::predict(&twin.clone().into(), &session, &test[..3], &Device::flex()).unwrap();
    for (row, &trial) in predicted.chunks(8).zip(&test) {
        for (n, ours) in row.iter().enumerate() {
            let weights = solution.weights[n * 144..].iter().zip(shown(trial));
            let drive: f64 = weights.map(|(w, pixel)| w * f64::from(pixel)).sum();
            let expected = (drive + solution.intercepts[n]) / f64::from(normalisation.response_scale[n]);
            assert!((f64::from(*ours) - expected).abs() < 1e-5, "{ours} {expected}");
        }
    }
}

#[test]
fn a_broken_search_leaves_the_bits_of_a_whole_one() {
    let alphas = "fit.alpha=[0.03, 0.02, 0.01, 0.005, 0.004, 0.003]";
    let (dir, session, config) = (tempfile::tempdir().unwrap(), tiny(), config("lasso", &[alphas]));
    let [whole, broken] = ["whole", "broken"].map(|name| start(&dir.path().join(name), &config));
    let outcome = fit_until(&config, &session, &whole, u64::MAX);
    for stop in [1, 4, 5] {
        assert!(!fit_until(&config, &session, &broken, stop).finished);
    }
    assert_eq!(fit_until(&config, &session, &broken, u64::MAX), outcome);
    assert_eq!(rows(&whole), rows(&broken));
    assert!(rows(&whole).iter().all(|row| row.penalty > Some(0.0)));
    for which in [Checkpoint::Best, Checkpoint::Last] {
        assert!(weights(&whole, which) == weights(&broken, which));
    }
}

#[test]
fn least_squares_takes_in_the_validation_trials_when_asked() {
    let (dir, session) = (tempfile::tempdir().unwrap(), tiny());
    let losses = ["true", "false"].map(|with| {
        let config = config("ols", &[&format!("fit.with_validation={with}")]);
        let run = start(&dir.path().join(with), &config);
        fit_until(&config, &session, &run, u64::MAX);
        rows(&run)[0].val_loss.unwrap()
    });
    assert!(losses[0] < 0.5 * losses[1], "{losses:?}");
}

#[test]
fn images_of_several_channels_are_refused() {
    let parameters = KlindtNonlinear { samples: 400, test: 10, ..KlindtNonlinear::fig5d(4, 1 << 12) };
    let session = simulated::session(&simulated::simulation(parameters));
    let error = fit::check(&config("ridge", &[]), &[&session]).unwrap_err();
    assert_eq!((error.kind(), error.place().key.as_deref()), (Kind::Config, Some("fit.solver")));
}

/// FEV, clipped at 0, of ridge regression, the lasso and least squares for each alpha of their presets, on 80 % of
/// `samples`. White noise makes it a distance between receptive fields.
fn figure_3_fevs(samples: usize, seed: u64) -> [Vec<f64>; 3] {
    let parameters = KlindtLinear { side: 17, stimulus_seed: Some(seed), ..KlindtLinear::fig3(1, samples) };
    let simulation = simulated::simulation(parameters);
    let block = simulation.block(simulation.trials_of(&Tier::Train));
    let truth = simulation.linear()[0].receptive_field(17);
    let power: f64 = truth.iter().map(|w| w * w).sum();
    let fev = |solution: Solution| {
        let error: f64 = solution.weights.iter().zip(&truth).map(|(ours, w)| (ours - w).powi(2)).sum();
        (1.0 - error / power).max(0.0)
    };
    let problem = |intercept| {
        let mut sums = Sums::new(289, 1);
        sums.add(&block.images, &block.responses);
        sums.problem(intercept)
    };
    let alphas = |preset| config(preset, &[]).linear.unwrap().alpha;
    let (centred, raw) = (problem(true), problem(false));
    let (spectral, mut lasso) = (Spectral::new(&centred), Lasso::new(&centred));
    let ridge = alphas("ridge").into_iter().map(|alpha| fev(spectral.ridge(alpha))).collect();
    let sparse = alphas("lasso").into_iter().map(|alpha| fev(lasso.solve(alpha))).collect();
    [ridge, sparse, vec![fev(Spectral::new(&raw).ols())]]
}

/// The linear baselines of figure 3b (`papers/klindt2017.md#figure-3`): FEV of ridge, lasso and least squares, read off the plot.
const FIGURE_3: [(usize, [f64; 3]); 5] = [
    (256, [0.08, 0.0, 0.0]),
    (512, [0.16, 0.05, 0.0]),
    (1024, [0.30, 0.105, 0.0]),
    (2048, [0.45, 0.36, 0.0]),
    (4096, [0.62, 0.60, 0.38]),
];

/// One neuron at a known place; alpha is the one with the best mean, as in the paper (`papers/klindt2017.md#training`).
#[test]
#[ignore = "minutes without --release; prints the table of figure 3"]
fn figure_3_baselines() {
    const SEEDS: u64 = 5;
    println!("samples  ridge (paper)  lasso (paper)  ols (paper)");
    for (samples, published) in FIGURE_3 {
        let all: Vec<[Vec<f64>; 3]> = (1..=SEEDS).map(|seed| figure_3_fevs(samples, seed)).collect();
        let mean = |which: usize, alpha: usize| {
            all.iter().map(|fevs| fevs[which][alpha]).sum::<f64>() / SEEDS as f64
        };
        let ours = [0, 1, 2]
            .map(|which| (0..all[0][which].len()).map(|alpha| mean(which, alpha)).fold(0.0, f64::max));
        let cells: Vec<String> = ours.iter().zip(published).map(|(o, p)| format!("{o:.3} ({p})")).collect();
        println!("{samples:7}  {}", cells.join("  "));
        assert!(ours.iter().zip(published).all(|(ours, published)| (ours - published).abs() < 0.08));
    }
}
