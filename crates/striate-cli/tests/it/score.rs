//! `striate score`.

use serde_json::Value;
use striate::recording::write::{Plan, TrialValues, write};
use striate::recording::{Neurons, Trial};

use crate::bench::Bench;

fn json(bench: &Bench, args: &[&str]) -> Value {
    serde_json::from_str(&bench.run(&[&["score", "run", "--json"], args].concat()).succeeds().out).unwrap()
}

#[test]
fn prints_one_object_with_a_null_near_zero_and_keeps_tables() {
    let bench = Bench::with_recording_of(&["samples=1000", "test=40"]);
    let slowly =
        ["fit.learning_rate=0.003", "fit.batch=48", "schedule.max_steps=300", "schedule.check_every=20"];
    bench.fit(&[&slowly[..], &["--out", "run"]].concat()).succeeds();
    let object = json(&bench, &[]);
    assert_eq!((&object["run"], &object["tier"]), (&"run".into(), &"test".into()));
    assert_eq!((&object["neurons"], &object["trials"]), (&8.into(), &160.into()));
    assert!(object["recording"].is_string());
    let metrics = object["metrics"].as_object().unwrap();
    assert!(!metrics.contains_key("feve_held"), "this model sees images alone");
    for summary in metrics.values() {
        let missing =
            ["mean", "median", "sd", "n", "definition"].into_iter().find(|key| summary.get(key).is_none());
        assert_eq!(missing, None, "{summary}");
    }
    let correlation = |of: &Value| of["single_trial_correlation"]["mean"].as_f64().unwrap();
    let ours = correlation(&object["metrics"]);
    for null in ["shuffle-trials", "shuffle-neurons"] {
        let shuffled = correlation(&object["null"][null]);
        assert!(shuffled.abs() < 0.12 && ours > 0.2, "{null}: {ours} {shuffled}");
    }
    assert!(bench.read("run/scores/test.parquet").starts_with(b"PAR1"));
    let kept: Value = serde_json::from_slice(&bench.read("run/scores/test.json")).unwrap();
    assert_eq!(kept, object);
}

#[test]
fn tiers_and_nulls_are_chosen() {
    let bench = Bench::with_run();
    let object = json(&bench, &["--tier", "validation", "--null", "shuffle-trials"]);
    assert_eq!((&object["trials"], object["null"].as_object().unwrap().len()), (&32.into(), 1));
    assert_eq!(json(&bench, &["--null", "none"])["null"], serde_json::json!({}));
    bench.run(&["score", "run", "--tier", "tset"]).fails(3, &["tset", "test (40)"]);
    bench.run(&["score", "run", "--null", "shuffle-trails"]).fails(2, &["shuffle-trials"]);
    bench.run(&["score", "none"]).fails(3, &["no such run folder"]);
    bench.run(&["score", "run", "--data", "none"]).fails(3, &["none"]);
}

/// A recording that was changed beside its `truth/` is not held against it, row by row of something else.
#[test]
fn the_truth_of_another_recording_is_refused() {
    let bench = Bench::with_run();
    let simulate = ["simulate", "klindt-linear", "--out", "other", "side=12", "kernel=5", "samples=160"];
    for neurons in ["neurons=10", "neurons=6"] {
        bench.run(&[&simulate[..], &["test=10", "test_repeats=4", neurons]].concat()).succeeds();
        std::fs::remove_dir_all(bench.path("recording/truth")).unwrap();
        std::fs::rename(bench.path("other/truth"), bench.path("recording/truth")).unwrap();
        std::fs::remove_dir_all(bench.path("other")).unwrap();
        let told = ["recording/truth", "in 200 trials, the recording holds 8 neurons", "hint: "];
        bench.run(&["score", "run"]).fails(3, &told);
        bench.run(&["explain", "run", "barcode", "seeds=2", "most=2"]).fails(3, &told);
        let fit = bench.fit(&["--out", &neurons[8..]]).succeeds();
        assert!(fit.err.contains(told[1]) && fit.err.contains("described without it"), "{}", fit.err);
    }
    std::fs::remove_dir_all(bench.path("recording/truth")).unwrap();
    let metrics = json(&bench, &[])["metrics"].clone();
    assert!(metrics.get("fev").is_none() && metrics.get("feve").is_some(), "{metrics}");
}

/// Neurons without a value are left out, or counted as 0 and told.
#[test]
fn the_rule_for_neurons_without_a_value_is_chosen() {
    let bench = Bench::with_run();
    let of = |args: &[&str]| json(&bench, args)["metrics"]["single_trial_correlation"].clone();
    let zero = of(&["--preset", "sensorium2022"]);
    assert_eq!((&zero["n"], &zero["excluded"]), (&8.into(), &0.into()));
    assert_eq!(of(&["--preset", "leave-out"]), of(&[]));
    bench.run(&["score", "run", "--preset", "sensorium"]).fails(2, &["no preset", "sensorium2022"]);
}

/// There is no other neuron to shuffle with: that control is left out, the score is not.
#[test]
fn a_single_neuron_is_scored() {
    let bench = Bench::with_recording();
    bench.fit(&["data.neurons=1", "--out", "run"]).succeeds();
    let object = json(&bench, &[]);
    assert_eq!(object["neurons"], 1);
    assert!(object["null"]["shuffle-trials"].is_object());
}

#[test]
fn a_run_before_its_first_check_says_so() {
    let bench = Bench::with_run();
    std::fs::remove_dir_all(bench.path("run/checkpoints")).unwrap();
    bench.run(&["score", "run"]).fails(3, &["weights.safetensors", "hint: "]);
}

/// Its scores would change with the next steps.
#[test]
fn a_fit_that_is_not_finished_is_named() {
    let bench = Bench::with_run();
    let manifest = bench.path("run/manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"finished\"", "\"interrupted\"")).unwrap();
    let asked: [&[&str]; 4] = [
        &["score", "run", "--null", "none"],
        &["predict", "run", "--data", "recording", "--out", "out.npy"],
        &["explain", "run", "barcode", "seeds=2", "most=2", "copies=1"],
        &["ensemble", "run", "other", "--out", "mean"],
    ];
    bench.fit(&["seed=2", "--out", "other"]).succeeds();
    for args in asked {
        let done = bench.run(args).succeeds();
        let warnings = done.err.matches("run: the fit is not finished (interrupted at step 40)").count();
        assert_eq!(warnings, 1, "{args:?}: {}", done.err);
    }
    assert!(!bench.run(&["score", "other"]).succeeds().err.contains("not finished"));
}

#[test]
fn a_fitted_and_scored_run_is_shown() {
    let bench = Bench::with_run();
    bench.run(&["score", "run"]).succeeds();
    bench.run(&["report", "run"]).succeeds();
    let page = String::from_utf8(bench.read("run/report.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("ingle-trial correlation"));
}

/// A recording in which behaviour adds to every response what differs between repeats of an image.
fn with_behaviour(path: &std::path::Path) {
    const NEURONS: usize = 4;
    let image_of = |trial: usize| if trial < 160 { trial } else { 1000 + trial % 10 };
    let trial = |index: usize| Trial {
        id: index.to_string(),
        tier: if index < 160 { "train" } else { "test" }.into(),
        stimulus_id: image_of(index).to_string(),
        has_stimulus: true,
        samples: 1,
    };
    let trials: Vec<Trial> = (0..220).map(trial).collect();
    // Digits of a hash: neither images nor behaviour repeat by themselves.
    let noise = |seed: usize| (seed.wrapping_mul(2_654_435_761) >> 7) % 1000;
    let pixel = move |image: usize, at: usize| noise(image * 64 + at + 1) as f32 / 500.0 - 1.0;
    let values = |index: usize| {
        let image: Vec<f32> = (0..64).map(|at| pixel(image_of(index), at)).collect();
        let running = noise(900_000 + index) as f32 / 250.0;
        let response = |neuron: usize| 0.3 * (1.0 + image[27 + neuron]).max(0.0) + running;
        Ok(TrialValues {
            responses: (0..NEURONS).map(response).collect(),
            image,
            behavior: Some(vec![running, 1.0 + running, 0.5 * running]),
            pupil_center: Some(vec![running, -running]),
        })
    };
    let neurons = Neurons { ids: (1..=NEURONS as i64).collect(), ..Neurons::default() };
    write(path, &Plan { neurons: &neurons, trials: &trials, image_shape: [1, 8, 8], clips: None }, values)
        .unwrap();
}

/// What behaviour explains lies above every ceiling that repeats give: the headline holds it at its mean.
#[test]
fn a_model_that_sees_behaviour_is_compared_without_it() {
    let bench = Bench::new();
    with_behaviour(&bench.path("recording"));
    bench.fit(&["model.behaviour_planes=true", "schedule.max_steps=200", "--out", "run"]).succeeds();
    let object = json(&bench, &[]);
    let mean = |id: &str| object["metrics"][id]["mean"].as_f64().unwrap_or(f64::NAN);
    let (full, held) = (mean("single_trial_correlation"), mean("single_trial_correlation_held"));
    assert!(full > held + 0.2, "{full} {held}");
    for id in ["fraction_oracle_held", "feve_held", "cc_norm_held"] {
        assert!(object["metrics"][id]["definition"].as_str().unwrap().contains("held at their means"));
        assert!(object["null"]["shuffle-trials"][id].is_object(), "{id}");
    }
    assert!(object["notes"][0].as_str().unwrap().contains("This model sees behaviour"));
    let table = bench.run(&["score", "run"]).succeeds().out;
    assert!(table.find("fraction_oracle_held") < table.find("fraction_oracle  "), "{table}");
    assert!(table.contains("This model sees behaviour"), "{table}");
}
