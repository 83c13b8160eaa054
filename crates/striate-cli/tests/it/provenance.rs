//! What is said of a recording that is not the run's, and of trials that were not held out.

use std::fs;

use serde_json::Value;

use crate::bench::Bench;

fn json(bench: &Bench, args: &[&str]) -> Value {
    let score = ["score", "run", "--null", "none", "--json"];
    serde_json::from_str(&bench.run(&[&score, args].concat()).succeeds().out).unwrap()
}

fn cautions(of: &Value) -> String {
    let all = of["cautions"].as_array().cloned().unwrap_or_default();
    all.iter().map(|caution| caution.as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

/// Simulates like [`Bench::with_recording`], with changes.
fn simulate(bench: &Bench, out: &str, changes: &[&str]) {
    let sizes = ["neurons=8", "side=12", "kernel=5", "samples=160", "test=10", "test_repeats=4", "seed=3"];
    let simulate = ["simulate", "klindt-linear", "--out", out];
    bench.run(&[&simulate, &sizes[..], changes].concat()).succeeds();
}

/// Calls all training trials of a recording test trials, and the other way round.
fn swap_tiers(bench: &Bench, recording: &str) {
    let name = format!("{recording}/meta/trials/tiers.npy");
    let mut bytes = bench.read(&name);
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let width = (bytes.len() - start) / 200;
    let padded = |tier: &str| {
        let mut row: Vec<u8> = tier.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        row.resize(width, 0);
        row
    };
    let (train, test) = (padded("train"), padded("test"));
    for row in bytes[start..].chunks_mut(width) {
        match &*row {
            old if old == train => row.copy_from_slice(&test),
            old if old == test => row.copy_from_slice(&train),
            _ => {}
        }
    }
    fs::write(bench.path(&name), bytes).unwrap();
}

/// Training trials sold as a test would be the best scores of all.
#[test]
fn a_recording_that_has_changed_is_refused_by_name() {
    let bench = Bench::with_run();
    swap_tiers(&bench, "recording");
    const WORDS: [&str; 3] =
        ["is not the recording this run began with: trials differ", "recording", "hint: "];
    bench.run(&["score", "run"]).fails(3, &WORDS);
    bench.run(&["explain", "run", "barcode", "seeds=2", "most=2"]).fails(3, &WORDS);
    assert!(!bench.path("run/scores").exists() && !bench.path("run/explain/barcode").exists());
    // Named on purpose it is scored, with the reason not to believe it.
    let told = cautions(&json(&bench, &["--data", "recording"]));
    assert!(
        told.contains("trials differ") && told.contains("Its responses are those it was fitted to"),
        "{told}"
    );
    assert!(!bench.path("run/scores").exists());
}

#[test]
fn a_copy_is_as_good_as_the_recording_and_another_leaves_no_trace_in_the_run() {
    let bench = Bench::with_run();
    simulate(&bench, "copy", &[]);
    simulate(&bench, "other", &["seed=77"]);
    simulate(&bench, "fewer", &["seed=77", "neurons=4"]);
    let copy = json(&bench, &["--data", "copy"]);
    assert_eq!(cautions(&copy), "");
    let kept = || {
        ["run/scores/test.json", "run/neurons.csv", "run/explain/parts/parts.safetensors"]
            .map(|file| bench.read(file))
    };
    let before = kept();

    let other = json(&bench, &["--data", "other"]);
    assert!(cautions(&other).contains("not the recording the run was fitted to"), "{other}");
    assert!(!cautions(&other).contains("are those it was fitted to"), "{other}");
    let done = bench.run(&["score", "run", "--data", "other"]).succeeds();
    assert!(done.err.contains("not kept in run") && done.out.contains("not the recording"), "{}", done.err);
    let predict = ["predict", "run", "--data", "other", "--out", "o.npy"];
    let done = bench.run(&predict).succeeds();
    assert!(done.err.contains("WARN other: This is not the recording"), "{}", done.err);
    assert!(
        !bench
            .run(&["predict", "run", "--data", "copy", "--out", "o.npy"])
            .succeeds()
            .err
            .contains("warning")
    );
    bench.run(&["score", "run", "--data", "fewer"]).fails(3, &["does not hold the neurons"]);
    bench.run(&["explain", "run", "barcode", "--data", "other"]).fails(3, &["--data", "differ", "hint: "]);
    assert!(kept() == before);
    // The recording went to another disk.
    fs::remove_dir_all(bench.path("recording")).unwrap();
    bench.run(&["explain", "run", "barcode", "seeds=2", "most=2", "--data", "copy"]).succeeds();
}

/// Whatever was trained on, or chosen by, is no prediction; the headline says so before its number.
#[test]
fn trials_that_were_not_held_out_are_named() {
    let bench = Bench::with_run();
    let told = |args: &[&str]| cautions(&json(&bench, args));
    assert_eq!(told(&[]), "");
    assert_eq!(told(&["--tier", "train"]), "The model was fitted to these trials: this is no prediction.");
    const CHOSEN: &str = "The model was chosen by these trials: this is no prediction.";
    assert_eq!(told(&["--tier", "validation"]), CHOSEN);
    let headline = |run: &str| {
        bench.run(&["report", run]).succeeds();
        let page = String::from_utf8(bench.read(&format!("{run}/report.html"))).unwrap();
        let verdict = page.split_once("class=\"verdict\"").unwrap().1;
        verdict.split_once("</p>").unwrap().0.to_owned()
    };
    assert!(!headline("run").contains("no prediction"));
    bench.fit(&["data.validation_tier=test", "--out", "chosen"]).succeeds();
    let table = bench.run(&["score", "chosen"]).succeeds().out;
    assert!(table.contains(CHOSEN), "{table}");
    assert!(headline("chosen").contains(CHOSEN), "{}", headline("chosen"));
    bench.run(&["ensemble", "run", "chosen", "--out", "both"]).succeeds();
    assert!(bench.run(&["score", "both"]).succeeds().out.contains(CHOSEN), "one member was");
}

/// The same pixels under another id.
#[test]
fn images_that_were_fitted_to_are_named_before_and_after_the_fit() {
    let bench = Bench::with_recording();
    let session = striate::recording::open(&bench.path("recording")).unwrap().sessions.remove(0);
    let first = |tier: &str| session.trials_of(&tier.into())[0];
    let image = |tier: &str| format!("recording/data/images/{}.npy", first(tier));
    fs::write(bench.path(&image("test")), bench.read(&image("train"))).unwrap();
    let done = bench.fit(&["--out", "run"]).succeeds();
    assert!(done.err.contains("1 of 40 trials of tier `test` show images of tier `train`"), "{}", done.err);
    let told = cautions(&json(&bench, &[]));
    assert!(told.starts_with("1 of 40 trials show images the model was fitted to"), "{told}");
    assert_eq!(cautions(&json(&bench, &["--tier", "train"])).matches("no prediction").count(), 1);
}

#[test]
fn neurons_that_were_chosen_by_the_trials_of_a_score_are_named() {
    let bench = Bench::with_run();
    json(&bench, &[]);
    let per_neuron: Value = serde_json::from_slice(&bench.read("run/scores/test.per_neuron.json")).unwrap();
    let oracle = per_neuron["metrics"]["oracle_jackknife"].as_array().unwrap();
    let mut oracle: Vec<f64> = oracle.iter().filter_map(Value::as_f64).collect();
    oracle.sort_by(f64::total_cmp);
    let rule = format!("oracle<{}", (oracle[1] + oracle[2]) / 2.0);
    fs::rename(bench.path("run"), bench.path("all")).unwrap();
    bench.fit(&[&format!("data.exclude_neurons={rule}"), "--out", "run"]).succeeds();
    let told = cautions(&json(&bench, &[]));
    assert!(told.contains(&format!("`{rule}`; 6 of 8 were kept")), "{told}");
    assert!(!cautions(&json(&bench, &["--tier", "validation"])).contains("were kept"));
}

/// As with responses that never differ: what cannot be judged is no model.
#[test]
fn a_fit_whose_predictions_never_differ_ends_without_a_model() {
    let bench = Bench::with_recording();
    let blank = striate::recording::npy::write_f32(&[1, 12, 12], &[0.5; 144]);
    for trial in 0..200 {
        fs::write(bench.path(&format!("recording/data/images/{trial}.npy")), &blank).unwrap();
    }
    let done = bench.fit(&["--out", "by_loss"]).succeeds();
    assert!(done.err.contains("no neuron's prediction differs"), "{}", done.err);
    let by_correlation = ["schedule.monitor=correlation", "--out", "run"];
    bench.fit(&by_correlation).fails(1, &["no neuron's prediction differs", "hint: ", "striate inspect"]);
}
