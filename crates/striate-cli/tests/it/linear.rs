//! Linear baselines through the binary: fitted, scored, asked and shown like any other twin.

use serde_json::Value;

use crate::bench::Bench;

const RIDGE: [&str; 6] = ["fit", "ridge", "--data", "recording", "--out", "run"];

#[test]
fn a_ridge_is_a_run_like_any_other() {
    let bench = Bench::with_recording();
    let done = bench.run(&[&RIDGE[..], &["fit.alpha=[10, 1000]"]].concat()).succeeds();
    assert!(done.err.contains("alpha 1000") && done.err.contains("best val_loss"), "{}", done.err);
    let manifest: Value = serde_json::from_slice(&bench.read("run/manifest.json")).unwrap();
    assert_eq!(manifest["status"], "finished");
    let rows = String::from_utf8(bench.read("run/metrics.csv")).unwrap();
    assert_eq!(rows.lines().count(), 3, "{rows}");
    bench.run(&["score", "run"]).succeeds();
    bench.run(&["predict", "run", "--data", "recording", "--out", "responses.npy"]).succeeds();
    bench.run(&["report", "run"]).succeeds();
    assert!(bench.path("run/report.html").exists() && bench.path("responses.npy").exists());
}

#[test]
fn options_of_adam_are_refused() {
    let bench = Bench::with_recording();
    let with = |change| bench.run(&[&RIDGE[..], &[change]].concat());
    with("fit.learning_rate=0.1").fails(2, &["fit.learning_rate", "closed form", "hint: "]);
    with("model.output=softplus").fails(2, &["model.output", "hint: "]);
    bench.fit(&["fit.alpha=1", "--out", "run"]).fails(2, &["fit.alpha", "`ridge`"]);
    assert!(!bench.path("run").exists());
}
