//! `striate submit`.

use std::fs;

use serde_json::Value;
use striate::recording::npy;

use crate::bench::Bench;

const WRITE: [&str; 8] = ["submit", "run", "--data", "recording", "--tier", "test", "--out", "test.csv"];
const CHECK: [&str; 5] = ["submit", "--check", "test.csv", "--data", "recording"];

/// A run whose predictions are positive, on a recording whose trials are called by hashes.
fn with_run() -> Bench {
    let bench = Bench::with_recording();
    let hashes: Vec<String> =
        (0..200u32).map(|trial| format!("h{:08x}", trial.wrapping_mul(2_654_435_761))).collect();
    fs::write(bench.path("recording/meta/trials/trial_idx.npy"), npy::write_strings(&hashes)).unwrap();
    bench.fit(&["--out", "run", "model.output=softplus"]).succeeds();
    bench
}

/// The written submission, line by line; line 0 is the header.
fn lines(bench: &Bench) -> Vec<String> {
    String::from_utf8(bench.read("test.csv")).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn what_is_written_passes_the_check_and_scores_as_the_run() {
    let bench = with_run();
    assert_eq!(bench.run(&WRITE).succeeds().out, "test.csv\n");
    let lines = lines(&bench);
    assert_eq!((lines[0].as_str(), lines.len()), ("trial_indices,image_ids,prediction,neuron_ids", 41));
    assert!(lines[1].starts_with('h') && lines[1].ends_with(",\"[0, 1, 2, 3, 4, 5, 6, 7]\""), "{}", lines[1]);
    let page = bench.run(&CHECK).succeeds().out;
    assert!(page.contains("tier test · 40 trials · 8 neurons · 40 rows"), "{page}");
    let score = bench.run(&["score", "run", "--json"]).succeeds().out;
    let score: Value = serde_json::from_str(&score).unwrap();
    for id in ["single_trial_correlation", "correlation_to_average", "feve"] {
        let line = page.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("{id}: {page}"));
        let printed: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!((printed - score["metrics"][id]["mean"].as_f64().unwrap()).abs() < 1e-3, "{line}");
    }
}

/// Predictions are in responses divided by the stored s.d., whatever the model was fitted with.
#[test]
fn predictions_are_in_normalised_units() {
    let bench = with_run();
    bench.run(&WRITE).succeeds();
    bench.run(&["predict", "run", "--data", "recording", "--out", "out.npy"]).succeeds();
    let array = |name: &str| npy::parse(bench.read(name)).unwrap().to_f32().unwrap();
    let (recorded_units, sd) = (array("out.npy"), array("recording/meta/statistics/responses/all/std.npy"));
    let line = &lines(&bench)[40];
    let list = line.split('[').nth(1).unwrap().split(']').next().unwrap();
    let written: Vec<f32> = list.split(", ").map(|value| value.parse().unwrap()).collect();
    for (neuron, value) in written.iter().enumerate() {
        let expected = recorded_units[199 * 8 + neuron] / sd[neuron];
        assert!((value - expected).abs() <= 1e-6 * expected.abs(), "{value} {expected}");
    }
}

#[test]
fn live_test_is_the_tier_called_test() {
    let bench = with_run();
    bench.run(&WRITE).succeeds();
    let written = bench.read("test.csv");
    bench
        .run(&["submit", "run", "--data", "recording", "--tier", "live_test", "--out", "live.csv"])
        .succeeds();
    assert_eq!(bench.read("live.csv"), written);
    bench.run(&[&CHECK[..], &["--tier", "live_test"]].concat()).succeeds();
    bench.run(&[&CHECK[..], &["--tier", "final_test"]].concat()).fails(3, &["final_test", "test (40)"]);
}

#[test]
fn a_withheld_tier_is_checked_and_not_scored() {
    let bench = with_run();
    let trained = ["submit", "run", "--data", "recording", "--tier", "train", "--out", "no.csv"];
    bench.run(&trained).fails(2, &["--tier", "fitted to"]);
    bench.run(&WRITE).succeeds();
    for trial in 160..200 {
        let file = bench.path(&format!("recording/data/responses/{trial}.npy"));
        fs::write(file, npy::write_f32(&[8], &[0.0; 8])).unwrap();
    }
    let page = bench.run(&CHECK).succeeds().out;
    assert!(page.contains("withheld") && !page.contains("correlation"), "{page}");
}

#[test]
fn damage_is_named_with_its_row() {
    let bench = with_run();
    bench.run(&WRITE).succeeds();
    let sound = lines(&bench);
    let trial = |row: usize| sound[row].split(',').next().unwrap().to_owned();
    let refused = |edit: &dyn Fn(&mut Vec<String>), words: &[&str]| {
        let mut lines = sound.clone();
        edit(&mut lines);
        fs::write(bench.path("test.csv"), lines.join("\n") + "\n").unwrap();
        let done = bench.run(&CHECK);
        assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
        for word in words {
            assert!(done.out.contains(word), "`{word}` is not in: {}", done.out);
        }
        assert!(!done.out.contains("single_trial"), "{}", done.out);
    };
    let missing = format!("trial `{}`", trial(3));
    refused(&|lines| drop(lines.remove(3)), &["1 trials without a row", &missing]);
    let twice = format!("row 41, trial `{}`: also in row 3", trial(3));
    refused(&|lines| lines.push(lines[3].clone()), &["1 rows of a trial that has one already", &twice]);
    let row = format!("row 3, trial `{}`", trial(3));
    let first_value = |line: &str, value: &str| {
        let (before, rest) = line.split_once('[').unwrap();
        format!("{before}[{value}{}", &rest[rest.find(',').unwrap()..])
    };
    for (value, what) in [("nan", "NaN at place 0"), ("-0.5", "-0.5 at place 0"), ("inf", "inf at place 0")] {
        refused(&|lines| lines[3] = first_value(&lines[3], value), &["negative or not finite", &row, what]);
    }
    refused(&|lines| lines[3] = first_value(&lines[3], "x"), &["not a list of numbers", &row, "`x`"]);
    refused(&|lines| lines[3] = first_value(&lines[3], "1.0, 2.0"), &[&row, "9 values instead of 8"]);
    let swapped = |lines: &mut Vec<String>| lines[3] = lines[3].replace("[0, 1, 2,", "[0, 2, 1,");
    refused(&swapped, &["not those of the recording, in its order", &row, "id 2 at place 1, expected 1"]);
    refused(&|lines| lines[3] = lines[3].replacen(',', ",9", 1), &["another image than was shown", &row]);
    refused(
        &|lines| lines[3] = format!("x{}", lines[3]),
        &["the tier does not have", &format!("trial `x{}`", trial(3))],
    );
    refused(&|lines| lines[3].push_str(",1"), &["another length than the header", "row 3 has 5 cells"]);
    refused(
        &|lines| lines[0] = lines[0].replace("prediction", "predictions"),
        &["`prediction`", "`predictions`"],
    );
    refused(&|lines| lines[0] = lines[0].replace("trial_indices", "trials"), &["missing", "`trial_indices`"]);
    // Every row is wrong in the same way: the first few are named, all are counted.
    let shorter = |line: &String| line.replace(", 7]", "]");
    refused(
        &|lines| lines[1..].iter_mut().for_each(|line| *line = shorter(line)),
        &["40 rows", "row 5, ", "…"],
    );
}

#[test]
fn what_cannot_be_submitted_is_refused_and_nothing_is_written() {
    let bench = with_run();
    bench.fit(&["--out", "some", "data.neurons=4", "model.output=softplus"]).succeeds();
    bench.fit(&["--out", "signed"]).succeeds();
    let refused = |run: &str, words: &[&str]| {
        let args = ["submit", run, "--data", "recording", "--tier", "test", "--out", "test.csv"];
        bench.run(&args).fails(3, words);
        assert!(!bench.path("test.csv").exists());
    };
    refused("some", &["4 of the recording's 8", "data.neurons=0"]);
    refused("signed", &["is predicted to respond with -", "model.output"]);
    refused("none", &["no such run folder"]);
    bench.run(&CHECK).fails(3, &["test.csv"]);
    fs::write(bench.path("test.csv"), "trial_indices,image_ids,prediction,neuron_ids\n1,2,[],[]\n").unwrap();
    bench.run(&CHECK).fails(3, &["no trial of this recording", "--tier"]);
    assert_eq!(bench.run(&["submit", "run", "--data", "recording"]).code, Some(2));
}

#[test]
fn an_ensemble_is_submitted_as_a_run() {
    let bench = with_run();
    bench.fit(&["--out", "b", "seed=7", "model.output=softplus", "data.responses=std"]).succeeds();
    bench.run(&["ensemble", "run", "b", "--out", "mean"]).succeeds();
    bench.run(&["submit", "mean", "--data", "recording", "--tier", "test", "--out", "test.csv"]).succeeds();
    bench.run(&CHECK).succeeds();
}
