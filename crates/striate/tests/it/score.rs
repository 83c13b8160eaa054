//! The score room against NumPy, and what must hold for any data.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use serde::Deserialize;
use striate::score::{Evaluation, ScoreReport, Scored, Settings, oracle_jackknife, score};

#[derive(Deserialize)]
struct Case {
    name: String,
    neurons: usize,
    stimulus: Vec<usize>,
    responses: Vec<f32>,
    predictions: Vec<f32>,
    held: Vec<f32>,
    truth: Vec<f32>,
    metrics: BTreeMap<String, Vec<Option<f64>>>,
    fraction_oracle: f64,
    fraction_oracle_held: f64,
}

impl Case {
    fn evaluation(&self) -> Evaluation {
        Evaluation::new(self.neurons, &self.responses, &self.stimulus)
            .and_then(|evaluation| evaluation.with_predictions(&self.predictions))
            .and_then(|evaluation| evaluation.with_held_predictions(&self.held))
            .and_then(|evaluation| evaluation.with_truth(&self.truth))
            .unwrap()
    }
}

fn golden() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/score/golden.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-10 * (1.0 + b.abs()) || (a.is_nan() && b.is_nan())
}

fn values<'a>(scored: &'a Scored, id: &str) -> &'a [f64] {
    &scored.per_neuron.iter().find(|(name, _)| *name == id).unwrap().1
}

#[test]
fn every_per_neuron_metric_agrees_with_numpy() {
    for case in golden() {
        let scored = score(&case.evaluation(), &Settings::default());
        assert_eq!(scored.per_neuron.len(), case.metrics.len());
        for (id, expected) in &case.metrics {
            for (neuron, (&ours, numpy)) in values(&scored, id).iter().zip(expected).enumerate() {
                let numpy = numpy.unwrap_or(f64::NAN);
                assert!(close(ours, numpy), "{}, {id}, neuron {neuron}: {ours} {numpy}", case.name);
            }
        }
    }
}

#[test]
fn fraction_oracle_agrees_with_numpy_and_counts_the_left_out() {
    for case in golden() {
        let summaries = score(&case.evaluation(), &Settings::default()).summaries;
        let (full, held) = (&summaries["fraction_oracle"], &summaries["fraction_oracle_held"]);
        assert!(close(full.mean.unwrap(), case.fraction_oracle), "{}", case.name);
        assert!(close(held.mean.unwrap(), case.fraction_oracle_held), "{}", case.name);
        assert_eq!((full.n, full.excluded), (4, 2));
        let reasons = [
            ("its prediction is the same in every trial", 1),
            ("its response is the same in every trial", 1),
        ];
        assert_eq!(full.reasons, reasons.map(|(why, n)| (why.to_owned(), n)).into());
    }
}

/// Recordings of 64 bits on a large baseline, as raw fluorescence is, score as without it.
#[test]
fn a_baseline_far_above_the_responses_costs_nothing() {
    let case = &golden()[0];
    let raised = |values: &[f32]| values.iter().map(|v| f64::from(*v) + 1e8).collect::<Vec<f64>>();
    let raised = Evaluation::new(case.neurons, &raised(&case.responses), &case.stimulus)
        .and_then(|evaluation| evaluation.with_predictions(&raised(&case.predictions)))
        .unwrap();
    let (raised, plain) =
        (score(&raised, &Settings::default()), score(&case.evaluation(), &Settings::default()));
    for id in [
        "single_trial_correlation",
        "correlation_to_average",
        "oracle_jackknife",
        "oracle_conservative",
        "feve",
    ] {
        for neuron in 0..4 {
            let (a, b) = (values(&raised, id)[neuron], values(&plain, id)[neuron]);
            assert!((a - b).abs() < 1e-5 || a.is_nan() && b.is_nan(), "{id}: {a} {b}");
        }
    }
}

/// Behaviour adds to every response what differs between repeats: a model that sees it explains more than repeats share.
#[test]
fn what_behaviour_explains_is_told_apart_from_what_repeats_share() {
    let stimulus: Vec<usize> = (0..800).map(|trial| trial % 100).collect();
    let image = |trial: usize| ((trial % 100 * 7) % 20) as f32;
    let behaviour = |trial: usize| (((trial * 2_654_435_761) >> 7) % 1000) as f32 / 50.0;
    let held: Vec<f32> = (0..800).map(image).collect();
    let full: Vec<f32> = (0..800).map(|trial| image(trial) + behaviour(trial) - 10.0).collect();
    let evaluation = Evaluation::new(1, &full, &stimulus)
        .and_then(|evaluation| evaluation.with_predictions(&full)?.with_held_predictions(&held))
        .unwrap();
    let settings = Settings { resamples: 0, ..Settings::default() };
    let scored = score(&evaluation, &settings);
    let mean = |id: &str| scored.summaries[id].mean.unwrap();
    assert!(
        mean("feve") > 1.5 && mean("fraction_oracle") > 1.1,
        "{} {}",
        mean("feve"),
        mean("fraction_oracle")
    );
    assert!((mean("feve_held") - 1.0).abs() < 0.2, "{}", mean("feve_held"));
    let report = ScoreReport::new("run", "mouse", "test", &evaluation, &scored);
    let notes = report.notes.join("\n");
    assert!(
        notes.contains("read `single_trial_correlation_held`, `fraction_oracle_held`, `feve_held`"),
        "{notes}"
    );
    assert!(notes.contains("above its ceiling of 1: it counts what behaviour explains"), "{notes}");
}

/// One stimulus cannot tell what repeats share: by arithmetic its oracle would be −1.
#[test]
fn a_ceiling_needs_two_repeated_stimuli() {
    let evaluation = Evaluation::new(1, &[1.0, 2.0, 4.0, 3.0], &[0, 0, 0, 1]).unwrap();
    let scored = score(&evaluation.with_predictions(&[1.0, 1.0, 1.0, 2.0]).unwrap(), &Settings::default());
    for id in [
        "oracle_jackknife",
        "oracle_conservative",
        "fraction_oracle",
        "explainable_variance",
        "snr",
        "feve",
        "cc_norm",
    ] {
        assert!(scored.omitted[id].starts_with("only one stimulus was shown twice"), "{id}");
    }
    assert!(scored.summaries.contains_key("single_trial_correlation"));
    let evaluation = Evaluation::new(1, &[1.0, 2.0, 4.0, 3.0], &[0, 0, 0, 1]).unwrap();
    assert!(oracle_jackknife(&evaluation)[0].is_nan());
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let evaluation = golden()[0].evaluation();
    let settings = Settings::default();
    let (a, b) = (score(&evaluation, &settings), score(&evaluation, &settings));
    assert_eq!(a.summaries, b.summaries);
}

/// Responses and predictions of two neurons in 12 trials of 4 stimuli.
fn arrays() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    let array = || proptest::collection::vec(0.0_f32..10.0, 24);
    (array(), array())
}

const STIMULUS: [usize; 12] = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3];

fn scored(responses: &[f32], predictions: &[f32], stimulus: &[usize]) -> Scored {
    let evaluation = Evaluation::new(2, responses, stimulus).unwrap().with_predictions(predictions).unwrap();
    score(&evaluation, &Settings { resamples: 0, ..Settings::default() })
}

fn agree(a: &[f64], b: &[f64]) -> bool {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-4 || (a.is_nan() && b.is_nan());
    a.iter().zip(b).all(near)
}

proptest! {
    #[test]
    fn correlations_do_not_change_with_scale_and_offset(
        (responses, predictions) in arrays(), gain in 0.5_f32..4.0, offset in -2.0_f32..2.0,
    ) {
        let moved: Vec<f32> = predictions.iter().map(|p| gain * p + offset).collect();
        let (a, b) = (scored(&responses, &predictions, &STIMULUS), scored(&responses, &moved, &STIMULUS));
        for id in ["single_trial_correlation", "correlation_to_average"] {
            prop_assert!(agree(values(&a, id), values(&b, id)), "{id}");
        }
    }

    #[test]
    fn the_order_of_trials_does_not_matter((responses, predictions) in arrays()) {
        let backwards = |values: &[f32]| values.chunks(2).rev().flatten().copied().collect::<Vec<f32>>();
        let stimulus: Vec<usize> = STIMULUS.into_iter().rev().collect();
        let a = scored(&responses, &predictions, &STIMULUS);
        let b = scored(&backwards(&responses), &backwards(&predictions), &stimulus);
        for (id, values_a) in &a.per_neuron {
            prop_assert!(agree(values_a, values(&b, id)), "{id}");
        }
    }

    #[test]
    fn perfect_predictions_are_perfect((responses, _) in arrays()) {
        let evaluation = Evaluation::new(2, &responses, &STIMULUS).unwrap();
        let perfect = evaluation.with_predictions(&responses).unwrap().with_truth(&responses).unwrap();
        let scored = score(&perfect, &Settings { resamples: 0, ..Settings::default() });
        prop_assert!(values(&scored, "fev").iter().all(|&fev| fev.is_nan() || fev == 1.0));
        prop_assert!(values(&scored, "mse").iter().all(|&mse| mse == 0.0));
        let correlation = values(&scored, "single_trial_correlation");
        prop_assert!(correlation.iter().all(|&r| r.is_nan() || r > 1.0 - 1e-12));
    }

    #[test]
    fn correlations_stay_between_minus_one_and_one((responses, predictions) in arrays()) {
        let scored = scored(&responses, &predictions, &STIMULUS);
        for id in ["single_trial_correlation", "correlation_to_average", "oracle_jackknife"] {
            prop_assert!(values(&scored, id).iter().all(|r| r.is_nan() || r.abs() <= 1.0), "{id}");
        }
    }
}
