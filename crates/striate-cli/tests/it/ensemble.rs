//! `striate ensemble`.

use std::fs;

use serde_json::Value;
use striate::recording::npy;

use crate::bench::Bench;

/// Two runs that differ in seed and scaling, and their `mean`.
fn with_ensemble() -> Bench {
    let bench = Bench::with_recording();
    bench.fit(&["--out", "a"]).succeeds();
    bench.fit(&["--out", "b", "seed=7", "data.images=scalar", "data.responses=std"]).succeeds();
    let made = bench.run(&["ensemble", "a", "b", "--out", "mean"]).succeeds();
    assert_eq!(made.out, "mean\n");
    assert!(made.err.contains("a  best val_loss") && made.err.contains("b  best val_loss"), "{}", made.err);
    bench
}

fn predicted(bench: &Bench, run: &str) -> Vec<f32> {
    bench.run(&["predict", run, "--data", "recording", "--out", "out.npy"]).succeeds();
    npy::parse(bench.read("out.npy")).unwrap().to_f32().unwrap()
}

fn manifest(bench: &Bench, run: &str) -> Value {
    serde_json::from_slice(&bench.read(&format!("{run}/manifest.json"))).unwrap()
}

#[test]
fn predicts_the_mean_and_needs_its_members_no_more() {
    let bench = with_ensemble();
    let (a, b) = (predicted(&bench, "a"), predicted(&bench, "b"));
    let mean: Vec<f32> = a.iter().zip(&b).map(|(a, b)| (a + b) / 2.0).collect();
    assert!(a != b && a.len() == 200 * 8);
    ["a", "b"].iter().for_each(|run| fs::remove_dir_all(bench.path(run)).unwrap());
    assert_eq!(predicted(&bench, "mean"), mean);
    let score = bench.run(&["score", "mean", "--json"]).succeeds().out;
    let score: Value = serde_json::from_str(&score).unwrap();
    assert_eq!((&score["run"], &score["neurons"]), (&"mean".into(), &8.into()));
    assert!(score["metrics"]["single_trial_correlation"]["mean"].is_number());
}

#[test]
fn says_what_it_is_made_of() {
    let bench = with_ensemble();
    let (of, a) = (manifest(&bench, "mean"), manifest(&bench, "a"));
    assert_eq!((&of["members"][0]["name"], &of["members"][1]["seed"]), (&"a".into(), &7.into()));
    assert_eq!((&of["members"][0]["best"], &of["recording"]), (&a["best"], &a["recording"]));
    assert_eq!(of["total_parameters"], 2 * 578);
    let config = String::from_utf8(bench.read("mean/config.toml")).unwrap();
    assert!(config.contains("model = \"ensemble\"") && config.contains("\"a\""), "{config}");
    assert_eq!(bench.read("mean/members/01/config.toml"), bench.read("b/config.toml"));
    bench.run(&["score", "mean"]).succeeds();
    assert!(!bench.path("mean/explain").exists());
    bench.run(&["report", "mean"]).succeeds();
    let page = String::from_utf8(bench.read("mean/report.html")).unwrap();
    for words in ["an ensemble is not fitted itself", "mean of 2 twins", "Members", "b (validation loss"] {
        assert!(page.contains(words), "`{words}` is missing");
    }
}

#[test]
fn an_ensemble_gives_its_members_to_another() {
    let bench = with_ensemble();
    bench.fit(&["--out", "c", "seed=8"]).succeeds();
    bench.run(&["ensemble", "mean", "c", "--out", "three"]).succeeds();
    let of = manifest(&bench, "three");
    let names: Vec<&str> =
        of["members"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let runs = ["a", "b", "c"].map(|run| predicted(&bench, run));
    let mean: Vec<f32> = (0..200 * 8).map(|i| (runs[0][i] + runs[1][i] + runs[2][i]) / 3.0).collect();
    assert_eq!(predicted(&bench, "three"), mean);
}

#[test]
fn runs_that_do_not_belong_together_are_refused_and_nothing_is_written() {
    let bench = Bench::with_run();
    bench.fit(&["--out", "fewer", "data.neurons=4"]).succeeds();
    let refused = |runs: &[&str], code: i32, words: &[&str]| {
        bench.run(&[&["ensemble"], runs, &["--out", "mean"]].concat()).fails(code, words);
        assert!(!bench.path("mean").exists() && !bench.path("mean.tmp").exists());
    };
    refused(&["run", "fewer"], 3, &["fewer", "other neurons (4)", "hint: "]);
    refused(&["run", "run"], 2, &["run", "named twice"]);
    refused(&["run", "none"], 3, &["no such run folder"]);
    fs::copy(bench.path("run/config.toml"), bench.path("fewer/twin.json")).unwrap();
    refused(&["run", "fewer"], 3, &["fewer/twin.json"]);
    assert_eq!(bench.run(&["ensemble", "run", "--out", "mean"]).code, Some(2));
    bench.run(&["ensemble", "run", "fewer", "--out", "run"]).fails(3, &["fewer/twin.json"]);
}

#[test]
fn an_ensemble_is_not_fitted_and_a_damaged_one_says_where() {
    let bench = with_ensemble();
    bench.run(&["fit", "--out", "mean"]).fails(2, &["is an ensemble of a, b", "hint: "]);
    bench.fit(&["--out", "mean"]).fails(2, &["is an ensemble of a, b"]);
    bench.run(&["ensemble", "a", "b", "--out", "mean"]).fails(2, &["holds a run already"]);
    for (file, of) in [("weights.safetensors", "a/checkpoints/best"), ("twin.json", "a")] {
        let (member, other) = (format!("mean/members/01/{file}"), format!("{of}/{file}"));
        let intact = bench.read(&member);
        fs::copy(bench.path(&other), bench.path(&member)).unwrap();
        for args in [&["score", "mean"][..], &["predict", "mean", "--data", "recording", "--out", "x.npy"]] {
            bench.run(args).fails(3, &[&format!("members/01/{file}"), "not what this run wrote", "hint: "]);
        }
        fs::write(bench.path(&member), intact).unwrap();
    }
    bench.run(&["score", "mean"]).succeeds();
    fs::remove_file(bench.path("mean/members/01/weights.safetensors")).unwrap();
    bench.run(&["score", "mean"]).fails(3, &["members/01/weights.safetensors"]);
}
