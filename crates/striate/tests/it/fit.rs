//! Fitting: it learns, it repeats itself bit for bit however often it is stopped, and damage has a name.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::module::Param;
use burn::prelude::*;
use striate::array::{self, Array};
use striate::error::Kind;
use striate::fit::optimiser::{Named, Optimiser};
use striate::fit::{Event, FitConfig, Outcome, fit};
use striate::model::readout::Readout;
use striate::ops::Adam;
use striate::recording::{Interrupt, Session, Stream, Tier};
use striate::run::metrics::{self, Row};
use striate::run::{Checkpoint, Manifest, RunFolder};
use striate::scoring;
use striate::simulate::KlindtLinear;
use striate::twin::{Ensemble, Twin};
use tempfile::TempDir;

use super::simulated;

/// Two features of 5×5 pixels for [`simulated::tiny`], checked often, with the given changes.
fn config(changes: &[&str]) -> FitConfig {
    let base = ["model.core.kernels=[5]", "fit.batch=48", "fit.learning_rate=0.01", "schedule.check_every=5"];
    let changes: Vec<String> = base.iter().chain(changes).map(|change| (*change).to_owned()).collect();
    FitConfig::preset("demo").unwrap().with(&changes).unwrap()
}

fn tiny() -> Session {
    simulated::session(&simulated::tiny())
}

fn start(path: &Path, config: &FitConfig) -> RunFolder {
    RunFolder::create(path, &config.to_toml(), &Manifest::start(config.seed, "test")).unwrap()
}

/// Fits until step `stop_at`, and keeps what was reported.
fn fit_until(config: &FitConfig, session: &Session, run: &RunFolder, stop_at: u64) -> (Outcome, Vec<Event>) {
    let (stop, mut events) = (AtomicBool::new(false), Vec::new());
    let outcome = fit(config, &[session], run, &Device::flex(), &stop, &mut |event| {
        if matches!(event, Event::Step { step } if *step >= stop_at) {
            stop.store(true, Ordering::Relaxed);
        }
        events.push(event.clone());
    });
    (outcome.unwrap(), events)
}

fn rows(run: &RunFolder) -> Vec<Row> {
    let mut rows = metrics::read(&run.metrics()).unwrap();
    rows.iter_mut().for_each(|row| row.seconds = None);
    rows
}

fn saved(run: &RunFolder, which: Checkpoint, file: &str) -> PathBuf {
    run.checkpoint(which).join(file)
}

/// Bytes of the arrays of both checkpoints.
fn bits(run: &RunFolder) -> Vec<Vec<u8>> {
    let files = ["weights.safetensors", "optimiser.safetensors"];
    let all = [Checkpoint::Best, Checkpoint::Last].into_iter().flat_map(|which| files.map(|f| (which, f)));
    all.map(|(which, file)| fs::read(saved(run, which, file)).unwrap()).collect()
}

/// Fraction of explained variance on the noise-free test tier, mean over neurons.
fn fev(run: &RunFolder, session: &Session) -> f64 {
    let twin = Ensemble::load(run, &Device::flex()).unwrap();
    let test = session.trials_of(&Tier::Test);
    let predicted = scoring::predict(&twin, session, &test, &Device::flex()).unwrap();
    let truth: Vec<f32> = test.iter().flat_map(|&t| session.read(Stream::Responses, t).unwrap()).collect();
    let of = |n: usize| {
        let column = |values: &[f32]| values.iter().skip(n).step_by(8).map(|v| f64::from(*v)).collect();
        let (ours, true_): (Vec<f64>, Vec<f64>) = (column(&predicted), column(&truth));
        let mean = true_.iter().sum::<f64>() / true_.len() as f64;
        let error: f64 = ours.iter().zip(&true_).map(|(a, b)| (a - b).powi(2)).sum();
        1.0 - error / true_.iter().map(|t| (t - mean).powi(2)).sum::<f64>()
    };
    (0..8).map(of).sum::<f64>() / 8.0
}

#[test]
fn the_loss_falls_and_the_truth_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let parameters = KlindtLinear { neurons: 8, samples: 1000, test: 60, ..simulated::small() };
    let session = simulated::session(&simulated::simulation(parameters));
    let changes = ["schedule.max_steps=300", "schedule.check_every=20", "fit.learning_rate=0.003"];
    let config = config(&changes);
    let run = start(&dir.path().join("run"), &config);
    let (early, _) = fit_until(&config, &session, &run, 20);
    let before = fev(&run, &session);
    assert!(!early.finished);
    let (outcome, events) = fit_until(&config, &session, &run, u64::MAX);
    let rows = rows(&run);
    assert!(rows.last().unwrap().train_loss < rows[0].train_loss);
    assert!(outcome.best.unwrap().value < rows[0].val_loss.unwrap());
    let after = fev(&run, &session);
    assert!(after > before + 0.1 && after > 0.4, "{before} {after}");
    assert!(matches!(events[0], Event::Started { step: 20, steps_per_epoch: 17, .. }), "{:?}", events[0]);
    assert!(outcome.finished);
}

/// Masks under a proximal penalty are mostly exact zeros, and no worse for it than under its gradient.
#[test]
fn sparse_masks_find_the_truth_with_exact_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let parameters = KlindtLinear { neurons: 8, samples: 1000, test: 60, ..simulated::small() };
    let session = simulated::session(&simulated::simulation(parameters));
    let fitted = |name: &str, dense_every: &str| {
        let config = config(&[
            dense_every,
            "model.penalty.mask_l1=0.006",
            "schedule.max_steps=400",
            "schedule.check_every=20",
            "fit.learning_rate=0.003",
        ]);
        let run = start(&dir.path().join(name), &config);
        fit_until(&config, &session, &run, u64::MAX);
        run
    };
    let (sparse, dense) =
        (fitted("sparse", "fit.mask_dense_every=5"), fitted("dense", "fit.mask_dense_every=0"));
    let weights = array::load(&saved(&sparse, Checkpoint::Best, "weights.safetensors")).unwrap();
    let mask = &weights["readout.mask"].values;
    let zeros = mask.iter().filter(|m| **m == 0.0).count() as f64 / mask.len() as f64;
    assert!(zeros > 0.6 && zeros < 0.999, "{zeros} of the mask is zero");
    let (ours, theirs) = (fev(&sparse, &session), fev(&dense, &session));
    assert!(ours > 0.4 && ours > theirs - 0.02, "{ours} with zeros, {theirs} without");
    assert!(rows(&sparse).iter().all(|row| row.penalty.unwrap() > 0.0), "the proximal penalty is reported");
}

/// Where neurons look is found to a pixel, through kernels, pooling and images made smaller, by whichever readout.
#[test]
fn receptive_fields_lie_where_the_simulated_ones_do() {
    let dir = tempfile::tempdir().unwrap();
    let parameters = KlindtLinear { neurons: 8, samples: 1000, test: 60, ..simulated::small() };
    let simulation = simulated::simulation(parameters);
    let session = simulated::session(&simulation);
    for (name, changes) in [
        ("factorised", &[][..]),
        ("gaussian", &["model.readout.kind=gaussian", "model.readout.start_at_sta=true"][..]),
        ("same", &["model.core.padding=[\"same\"]"][..]),
    ] {
        let more = ["schedule.max_steps=300", "schedule.check_every=20", "fit.learning_rate=0.003"];
        let run = start(&dir.path().join(name), &config(&[changes, &more[..]].concat()));
        let config = FitConfig::read(&run.config(), &[]).unwrap();
        fit_until(&config, &session, &run, u64::MAX);
        let twin = Twin::load(&run, &Device::flex()).unwrap();
        let (fields, centres) = (twin.receptive_fields(), &twin.parts()["centres"]);
        assert_eq!(centres.shape, [fields.len(), 2]);
        for ((field, neuron), centre) in fields.iter().zip(simulation.linear()).zip(centres.values.chunks(2))
        {
            assert_eq!(
                centre,
                [field.y_px as f32, field.x_px as f32],
                "{name}: one centre for all who show it"
            );
            let middle = (neuron.kernel.len().isqrt() - 1) as f64 / 2.0;
            let [y, x] = neuron.location().map(|at| at + middle);
            let far = (field.x_px - x).hypot(field.y_px - y);
            assert!(far < 1.0, "{name}: {field:?} for {x} {y}");
            assert!(field.size_px > 0.3 && field.size_px < 3.0, "{name}: {field:?}");
        }
    }
}

/// Fits once without a break and once with a break after each of `stops`; both must leave the same bits.
fn same_with_breaks(changes: &[&str], stops: &[u64]) -> Vec<Event> {
    let (dir, session, config) = (tempfile::tempdir().unwrap(), tiny(), config(changes));
    let whole = start(&dir.path().join("whole"), &config);
    let (outcome, events) = fit_until(&config, &session, &whole, u64::MAX);
    let broken = start(&dir.path().join("broken"), &config);
    for &stop in stops {
        let (outcome, _) = fit_until(&config, &session, &broken, stop);
        assert_eq!((outcome.finished, outcome.steps), (false, stop));
    }
    let (resumed, _) = fit_until(&config, &session, &broken, u64::MAX);
    assert_eq!(resumed, outcome);
    assert!(resumed.finished);
    assert!(bits(&whole) == bits(&broken), "weights differ with {changes:?}");
    assert_eq!(rows(&whole), rows(&broken));
    events
}

#[test]
fn a_broken_fit_leaves_the_bits_of_a_whole_one() {
    // In the first epoch, at its end, at a check, between checks, twice in a row.
    same_with_breaks(&["schedule.max_steps=40"], &[1, 4, 5, 13, 14, 20, 39]);
}

#[test]
fn so_it_does_with_sparse_masks() {
    let changes = ["schedule.max_steps=40", "fit.mask_dense_every=4", "model.penalty.mask_l1=0.001"];
    same_with_breaks(&changes, &[3, 4, 5, 17]);
}

#[test]
fn so_it_does_with_dropout_scaling_clipping_and_checks_per_epoch() {
    let events = same_with_breaks(
        &[
            "model.core.dropout=0.3",
            "model.core.batch_norm={decay=0.9, epsilon=0.001, offset=true}",
            "model.core.channels=[3]",
            "data.images=scalar",
            "data.responses=std",
            "fit.clip=0.05",
            "fit.drop_last=true",
            "fit.shuffle_first=true",
            "schedule.check_every=0",
            "schedule.monitor=correlation",
            "schedule.max_steps=30",
        ],
        &[3, 7, 16],
    );
    let checks = events.iter().filter(|event| matches!(event, Event::Check { .. })).count();
    assert_eq!(checks, 10, "160 trials in batches of 48 without the rest: three steps an epoch");
}

#[test]
fn so_it_does_when_rounds_rewind() {
    let events = same_with_breaks(
        &[
            "fit.learning_rate=0.3",
            "schedule.rewind=true",
            "schedule.burn_in=0",
            "schedule.patience=2",
            "schedule.rounds=4",
            "schedule.factor=0.3",
        ],
        &[7, 12, 23, 31],
    );
    let rounds = events.iter().filter(|event| matches!(event, Event::NewRound { .. })).count();
    assert_eq!(rounds, 3);
}

#[test]
fn the_last_step_is_checked_wherever_it_falls() {
    let (dir, session) = (tempfile::tempdir().unwrap(), tiny());
    let config = config(&["schedule.check_every=10", "schedule.max_steps=13"]);
    let run = start(dir.path(), &config);
    let (outcome, _) = fit_until(&config, &session, &run, u64::MAX);
    assert_eq!((outcome.steps, outcome.finished), (13, true));
    assert_eq!(rows(&run).iter().map(|row| row.step).collect::<Vec<_>>(), [10, 13]);
}

/// Sums do not depend on threads: with one and with two the same seed leaves the same bits.
#[test]
fn the_number_of_threads_does_not_change_the_result() {
    let (dir, session) = (tempfile::tempdir().unwrap(), tiny());
    let changes = ["schedule.max_steps=20", "model.core.batch_norm={decay=0.9, epsilon=0.001, offset=true}"];
    let config = config(&changes);
    let with = |threads: usize| {
        let run = start(&dir.path().join(threads.to_string()), &config);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| fit_until(&config, &session, &run, u64::MAX));
        run
    };
    let (one, two) = (with(1), with(2));
    assert_eq!(rows(&one), rows(&two));
    assert!(bits(&one) == bits(&two));
}

/// A run stopped at step 12 with both checkpoints.
fn stopped() -> (TempDir, RunFolder, FitConfig, Session) {
    let (dir, session, config) = (tempfile::tempdir().unwrap(), tiny(), config(&["schedule.max_steps=20"]));
    let run = start(dir.path(), &config);
    fit_until(&config, &session, &run, 12);
    (dir, run, config, session)
}

/// Given more steps and killed before their end, a run is not finished, whatever it called itself before.
#[test]
fn a_fit_that_was_given_more_steps_can_be_broken_too() {
    let (dir, session) = (tempfile::tempdir().unwrap(), tiny());
    let (short, long) = (config(&["schedule.max_steps=10"]), config(&["schedule.max_steps=30"]));
    let whole = start(&dir.path().join("whole"), &long);
    fit_until(&long, &session, &whole, u64::MAX);
    let run = start(&dir.path().join("run"), &short);
    assert!(fit_until(&short, &session, &run, u64::MAX).0.finished);
    let finished = fs::read(run.manifest()).unwrap();
    assert!(!fit_until(&long, &session, &run, 17).0.finished);
    // Killed, it had no time to say so.
    fs::write(run.manifest(), finished).unwrap();
    let (outcome, _) = fit_until(&long, &session, &run, u64::MAX);
    assert_eq!((outcome.finished, outcome.steps), (true, 30));
    assert!(bits(&whole) == bits(&run));
}

#[test]
fn two_processes_do_not_fit_into_one_run() {
    let (_dir, run, config, session) = stopped();
    let held = run.lock().unwrap();
    let stop = AtomicBool::new(false);
    let error = fit(&config, &[&session], &run, &Device::flex(), &stop, &mut |_| {}).unwrap_err();
    assert!(error.message().contains("another process"), "{error}");
    drop(held);
    assert!(fit_until(&config, &session, &run, u64::MAX).0.finished);
}

/// Under a predictor the same array holds where neurons lie in cortex.
#[test]
fn positions_that_were_predicted_are_taken_over_as_parameters() {
    let (dir, mut session) = (tempfile::tempdir().unwrap(), tiny());
    let neurons = 0..session.neurons.len();
    session.neurons.position_um = Some(neurons.map(|n| [n as f64, (n * n) as f64, 0.0]).collect());
    let fitted = |name: &str, changes: &[&str]| {
        let base = ["model.core.kernels=[5]", "model.core.channels=[3]", "model.core.padding=[\"valid\"]"];
        let all = base.iter().chain(&["schedule.max_steps=4"]).chain(changes).map(|c| (*c).to_owned());
        let config = FitConfig::preset("sensorium2022").unwrap().with(&all.collect::<Vec<_>>()).unwrap();
        let mut manifest = Manifest::start(1, "test");
        manifest.recording.fingerprint = striate::batch::fingerprint(&session);
        let run = RunFolder::create(&dir.path().join(name), &config.to_toml(), &manifest).unwrap();
        fit_until(&config, &session, &run, u64::MAX);
        run
    };
    let from = |run: &RunFolder| format!("fit.start_from={}", run.path().display());
    let predicting = fitted("predicting", &["fit.loss=mse"]);
    let changes = ["fit.loss=mse", "model.readout.predictor=none", "fit.learning_rate=1e-9"];
    let free = fitted("free", &[&changes[..], &[from(&predicting).as_str()]].concat());
    let mean = |run: &RunFolder| {
        array::load(&saved(run, Checkpoint::Best, "weights.safetensors")).unwrap()["readout.mean"].clone()
    };
    let twin = Twin::load(&predicting, &Device::flex()).unwrap();
    let Readout::Gaussian(readout) = twin.model.readout() else { panic!("it reads points") };
    let predicted: Vec<f32> = readout.mean().into_data().try_into_vec().unwrap();
    assert!(mean(&free).values.iter().zip(&predicted).all(|(a, b)| (a - b).abs() < 1e-5));
    let back = fitted("back", &["fit.loss=mse", &from(&free)]);
    assert_eq!(mean(&back), mean(&predicting), "where they lie in cortex");
}

#[test]
fn damaged_checkpoints_name_their_file() {
    let (_dir, run, config, session) = stopped();
    let refused = |file: &str, damage: &dyn Fn(&Path)| {
        let path = saved(&run, Checkpoint::Last, file);
        let intact = fs::read(&path).unwrap();
        damage(&path);
        let stop = AtomicBool::new(false);
        let error = fit(&config, &[&session], &run, &Device::flex(), &stop, &mut |_| {}).unwrap_err();
        assert_eq!(
            (error.kind(), error.place().file.as_deref()),
            (Kind::Data, Some(path.as_path())),
            "{error}"
        );
        fs::write(&path, intact).unwrap();
    };
    let cut = |path: &Path| fs::write(path, &fs::read(path).unwrap()[..40]).unwrap();
    let half = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    for file in ["state.json", "weights.safetensors", "optimiser.safetensors"] {
        refused(file, &cut);
        refused(file, &half);
        refused(file, &|path| fs::write(path, b"").unwrap());
    }
    let edit = |path: &Path, change: &dyn Fn(&mut array::Arrays)| {
        let mut arrays = array::load(path).unwrap();
        change(&mut arrays);
        array::save(path, &arrays).unwrap();
    };
    let (weight, stranger) = ("core.layers.0.weight", Array { shape: vec![1], values: vec![1.0] });
    let short = Array { shape: vec![3], values: vec![0.0; 3] };
    refused("weights.safetensors", &|p| edit(p, &|arrays| drop(arrays.remove(weight))));
    refused("weights.safetensors", &|p| edit(p, &|arrays| drop(arrays.insert(weight.into(), short.clone()))));
    refused("weights.safetensors", &|p| edit(p, &|arrays| drop(arrays.insert("x".into(), stranger.clone()))));
    for part in ["first", "second", "time"] {
        let key = format!("{weight}.{part}");
        refused("optimiser.safetensors", &|p| edit(p, &|arrays| drop(arrays.remove(&key))));
        refused("optimiser.safetensors", &|p| {
            edit(p, &|arrays| drop(arrays.insert(key.clone(), short.clone())));
        });
    }
    refused("optimiser.safetensors", &|p| {
        edit(p, &|arrays| drop(arrays.insert("x".into(), stranger.clone())))
    });
    assert!(fit_until(&config, &session, &run, u64::MAX).0.finished);
}

#[test]
fn a_missing_card_names_its_file() {
    let (_dir, run, config, session) = stopped();
    let card = run.path().join("twin.json");
    fs::remove_file(&card).unwrap();
    let stop = AtomicBool::new(false);
    let error = fit(&config, &[&session], &run, &Device::flex(), &stop, &mut |_| {}).unwrap_err();
    assert_eq!(error.place().file.as_deref(), Some(card.as_path()));
}

#[test]
fn a_fit_goes_on_only_with_its_own_recording() {
    let (dir, session, config) = (tempfile::tempdir().unwrap(), tiny(), config(&["schedule.max_steps=20"]));
    let mut manifest = Manifest::start(1, "test");
    manifest.recording.fingerprint = striate::batch::fingerprint(&session);
    let run = RunFolder::create(dir.path(), &config.to_toml(), &manifest).unwrap();
    fit_until(&config, &session, &run, 12);
    let mut parameters = simulated::tiny().parameters().clone();
    parameters.set("stimulus_seed", "99").unwrap();
    let other = simulated::session(&simulated::simulation(parameters));
    let stop = AtomicBool::new(false);
    let error = fit(&config, &[&other], &run, &Device::flex(), &stop, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("is not the recording this run began with"), "{error}");
    assert!(fit_until(&config, &session, &run, u64::MAX).0.finished);
}

/// Nothing is made of half a recording, and a run that was stopped so early has not failed.
#[test]
fn reading_can_be_stopped() {
    let (dir, config) = (tempfile::tempdir().unwrap(), config(&["schedule.max_steps=10"]));
    let whole = start(&dir.path().join("whole"), &config);
    fit_until(&config, &tiny(), &whole, u64::MAX);
    let stop = Arc::new(AtomicBool::new(true));
    let (interrupt, mut session) = (Interrupt::at(stop.clone()), tiny());
    session.interrupt_by(&interrupt);
    assert_eq!(session.content().unwrap_err().kind(), Kind::Interrupted);
    let run = start(&dir.path().join("run"), &config);
    let error = fit(&config, &[&session], &run, &Device::flex(), &stop, &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
    assert_eq!(run.standing().unwrap().to_string(), "interrupted before its first check");
    stop.store(false, Ordering::SeqCst);
    assert!(fit_until(&config, &session, &run, u64::MAX).0.finished);
    assert!(bits(&whole) == bits(&run));
    stop.store(true, Ordering::SeqCst);
    assert!(session.read(Stream::Responses, 0).is_err());
    interrupt.lift();
    session.read(Stream::Responses, 0).unwrap();
}

#[derive(Module, Debug)]
struct Pair {
    a: Param<Tensor<1>>,
    b: Param<Tensor<2>>,
}

impl Pair {
    fn new() -> Self {
        let device = Device::flex().autodiff();
        Self {
            a: Param::from_tensor(Tensor::from_floats([1.0], &device)),
            b: Param::from_tensor(Tensor::from_floats([[2.0]], &device)),
        }
    }

    /// One step with gradients `(a, b)`.
    fn step(self, optimiser: &mut Optimiser, (a, b): (f32, f32)) -> Self {
        let value = self.a.val().mul_scalar(a).sum() + self.b.val().mul_scalar(b).sum();
        let gradients = value.backward();
        let (same, mut named) = (str::to_owned, Named::default());
        named.add(&self, &gradients, &same);
        let shrink = optimiser.shrink(&named);
        optimiser.step(self, &mut named, shrink, &same, &|_| Adam { rate: 0.1, ..Adam::default() })
    }

    fn a(&self) -> f32 {
        self.a.val().into_scalar()
    }
}

/// Three steps by hand, rate 0.1, gradients 1, −2, ½:
///
/// m = 0.1, −0.11, −0.049; v = 0.001, 0.004999, 0.005244001;
/// steps −0.1 · (1, −0.578947/1.581376, −0.180812/1.322781).
#[test]
fn adam_is_adam() {
    let (mut optimiser, mut pair) = (Optimiser::new(None), Pair::new());
    for (gradient, expected) in [(1.0, 0.9), (-2.0, 0.936_610), (0.5, 0.950_280)] {
        pair = pair.step(&mut optimiser, (gradient, 0.0));
        assert!((pair.a() - expected).abs() < 2e-6, "{} {expected}", pair.a());
    }
    let state = optimiser.export();
    assert!((state["a.first"].values[0] + 0.049).abs() < 1e-6);
    assert!((state["a.second"].values[0] - 0.005_244_001).abs() < 1e-6);
    assert_eq!(state["a.time"].values, [3.0]);
}

#[test]
fn adam_goes_on_from_its_saved_state() {
    let gradients = [(1.0, 3.0), (-2.0, 0.5), (0.5, 0.5), (4.0, -1.0)];
    let (mut whole, mut broken) = (Optimiser::new(None), Optimiser::new(None));
    let (mut a, mut b) = (Pair::new(), Pair::new());
    for gradient in gradients {
        a = a.step(&mut whole, gradient);
        let saved = broken.export();
        broken = Optimiser::new(None);
        broken.import(&saved, &striate::model::weights::export(&b), &Device::flex()).unwrap();
        b = b.step(&mut broken, gradient);
    }
    assert_eq!((a.a(), whole.export()), (b.a(), broken.export()));
}

#[test]
fn clipping_limits_the_norm_over_all_parameters() {
    let first = |limit: f64| {
        let mut optimiser = Optimiser::new(Some(limit));
        Pair::new().step(&mut optimiser, (3.0, 4.0));
        let state = optimiser.export();
        [state["a.first"].values[0], state["b.first"].values[0]]
    };
    let near = |found: [f32; 2], expected: [f32; 2]| {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} {expected:?}");
    };
    near(first(1.0), [0.06, 0.08]);
    near(first(10.0), [0.3, 0.4]);
}
