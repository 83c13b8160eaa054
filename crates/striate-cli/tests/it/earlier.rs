//! Runs of earlier versions: whatever a version wrote, this one reads.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bench::Bench;

/// A run and its recording as they were written on 2026-11-28, before a run could hold several sessions.
fn earlier() -> Bench {
    let bench = Bench::new();
    let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/run-2026-11-28");
    copy(&fixture, &bench.path(""));
    bench
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn a_run_of_before_is_scored_explained_reported_and_goes_on() {
    let bench = earlier();
    let mean = |text: &str| -> f64 {
        let report: Value = serde_json::from_str(text).unwrap();
        report["metrics"]["single_trial_correlation"]["mean"].as_f64().unwrap()
    };
    let then = mean(&fs::read_to_string(bench.path("run/scores/test.json")).unwrap());
    let now = mean(&bench.run(&["score", "run", "--json"]).succeeds().out);
    assert!((then - now).abs() < 1e-4, "{then} {now}");
    bench.run(&["explain", "run", "barcode"]).succeeds();
    bench.run(&["report", "run"]).succeeds();
    let done = bench.run(&["fit", "--out", "run"]).succeeds();
    assert!(done.err.contains("was finished before"), "{}", done.err);
    let done = bench.run(&["fit", "--out", "run", "schedule.max_steps=20"]).succeeds();
    assert!(done.err.contains("going on from step 10"), "{}", done.err);
    bench.run(&["ensemble", "run", "run/../other", "--out", "mean"]).fails(3, &["other"]);
    bench
        .run(&[
            "fit",
            "demo",
            "--data",
            "recording.zip",
            "model.core.kernels=[5]",
            "fit.start_from=run",
            "--out",
            "next",
        ])
        .succeeds();
}
