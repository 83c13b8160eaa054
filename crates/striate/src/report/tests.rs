use std::fs;
use std::path::Path;

use super::fixture::{Fixture, save, save_arrays};
use super::render;
use crate::disk;
use crate::run::{Fitted, Manifest, RunFolder};
use serde_json::json;

/// Every opened element is closed in order, and no number in an attribute is missing.
fn assert_sound(html: &str) {
    let body = &html[html.find("<body").unwrap()..];
    let mut open: Vec<&str> = Vec::new();
    for piece in body.split('<').skip(1) {
        let (inside, _) = piece.split_once('>').expect("a tag without an end");
        if let Some(name) = inside.strip_prefix('/') {
            let opened = open.pop();
            assert!(
                opened == Some(name) || name == "html" && opened.is_none(),
                "</{name}> closes {opened:?}"
            );
        } else if !inside.ends_with('/') {
            open.push(inside.split_whitespace().next().unwrap());
        }
        let attributes = inside.split("data:image").next().unwrap();
        assert!(!attributes.contains("NaN") && !attributes.contains("inf"), "{attributes}");
        assert_eq!(inside.matches('"').count() % 2, 0, "{inside}");
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}

fn page(run: &RunFolder) -> String {
    let html = render(std::slice::from_ref(run)).unwrap();
    assert_sound(&html);
    html
}

fn bare(path: &Path) -> RunFolder {
    RunFolder::create(path, "", &Manifest::start(1, "striate fit <x> & y")).unwrap()
}

#[test]
fn a_complete_run_has_every_figure_and_needs_nothing_from_outside() {
    let dir = tempfile::tempdir().unwrap();
    let html = page(&Fixture::small().write(&dir.path().join("mouse")));
    assert!(!html.contains("class=\"note\""), "a figure is missing");
    for words in [
        "Explains 41\u{a0}%",
        "klindt2017, factorised readout",
        "The model: ",
        "slope 0.5",
        "Barcodes",
        "type 3",
        "unit 10",
        "the model that is kept: highest validation correlation, correlation 0.2",
        "4 types",
        "More stable than shuffled barcodes (limit 0.42)",
        "count as one here: 1 = 0.",
        "What each number is",
        "Around the median",
        "within 0.6 px of their true centre",
        "It comes under this licence: CC BY-NC-ND (LICENSE).",
    ] {
        assert!(html.contains(words), "`{words}` is missing");
    }
    for outside in ["<script", "http://", "https://", "@import"] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn a_fit_of_some_neurons_and_trials_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let run = Fixture::small().write(&dir.path().join("mouse"));
    let says = |fitted: Option<Fitted>, words: [&str; 2]| {
        Manifest { fitted, ..run.read_manifest().unwrap() }.save(&run.manifest()).unwrap();
        let html = page(&run);
        words.iter().for_each(|words| assert!(html.contains(words), "`{words}` is missing"));
    };
    let fitted = |validation_tier: Option<&str>| {
        let validation_tier = validation_tier.map(str::to_owned);
        Some(Fitted { neurons: 10, train: 300, validation: 400, validation_tier })
    };
    says(fitted(None), ["<dd>10 of 30</dd>", "<dd>300 of 4,472 train · 522 validation · 999 test</dd>"]);
    says(
        fitted(Some("validation")),
        ["<dd>10 of 30</dd>", "<dd>300 of 4,472 train · 400 of 522 validation · 999 test</dd>"],
    );
    says(None, ["<dd>30 recorded</dd>", "<dd>4,472 train · 522 validation · 999 test</dd>"]);
}

#[test]
fn a_run_that_has_only_begun_has_one_note_and_no_empty_sections() {
    let dir = tempfile::tempdir().unwrap();
    let html = page(&bare(&dir.path().join("run")));
    for words in [
        "Not scored: there is no model to ask: the fit has not reached its first check; ",
        "Not on this page: Scores · Neurons · Predicted and recorded · Learning curves",
    ] {
        assert!(html.contains(words), "`{words}` is missing");
    }
    assert!(html.contains("striate fit &lt;x&gt; &amp; y"));
    assert!(!html.contains("id=\"run-0-scores\"") && !html.contains("href=\"#run-0-scores\""));
}

#[test]
fn damaged_files_are_named_in_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let run = bare(&dir.path().join("run"));
    for file in [run.metrics(), run.scores("test"), run.per_neuron("test"), run.traces("test")] {
        disk::write_bytes(&file, b"\xff{\n").unwrap();
    }
    disk::write_bytes(&run.explain("parts").join("parts.safetensors"), b"\xff\xff\xff").unwrap();
    disk::write_bytes(&run.explain("barcode").join("barcode.json"), b"{\"format\": 2}").unwrap();
    let html = page(&run);
    for words in [
        "not a metrics file",
        "scores/test.json</code> is damaged",
        "parts.safetensors</code> is damaged",
        "explain/barcode/barcode.json</code> is damaged",
    ] {
        assert!(html.contains(words), "`{words}` is missing");
    }
}

#[test]
fn types_of_an_earlier_version_are_refused_in_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let run = bare(&dir.path().join("run"));
    disk::write_bytes(&run.explain("barcode").join("barcode.json"), b"{\"format\": 1}").unwrap();
    let html = page(&run);
    assert!(html.contains("is of format 1, this striate reads 2: <code>striate explain "));
    assert!(!html.contains("barcode.json</code> is damaged"));
}

#[test]
fn strange_but_valid_files_never_break_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let run = bare(&dir.path().join("run"));
    fs::write(run.metrics(), format!("{}\n5,0,,NaN,,inf,NaN,\n", crate::run::metrics::HEADER)).unwrap();
    save(
        &run.scores("te\"st<"),
        &json!({"metrics": {"<b>": {"mean": 1e300, "ci95": null}}, "null": {"k": {}}}),
    );
    let columns = json!({"single_trial_correlation": [null, 1e300], "oracle_jackknife": [null, -1e300]});
    save(&run.per_neuron("te\"st<"), &json!({"unit_id": [], "metrics": columns}));
    let trace = json!({"unit_id": 1, "recorded": [], "predicted": [1.0]});
    save(&run.traces("te\"st<"), &json!({"neurons": [trace]}));
    let arrays = [
        ("kernels", vec![1, 1, 1, 1], vec![f32::NAN]),
        ("masks", vec![1, 1, 2], vec![f32::INFINITY, 0.0]),
        ("masks_neuron", vec![1], vec![-7.0]),
        ("features", vec![2, 1], vec![0.0, f32::NAN]),
        ("truth_type", vec![2], vec![9e9, f32::NAN]),
    ];
    save_arrays(&run.explain("parts").join("parts.safetensors"), &arrays);
    let html = page(&run);
    assert!(html.contains("&lt;b&gt;"));
}

#[test]
fn several_runs_are_compared_and_mismatches_named() {
    let dir = tempfile::tempdir().unwrap();
    let first = Fixture::small().write(&dir.path().join("first"));
    let second = Fixture { neurons: 20, seed: 2, ..Fixture::small() }.write(&dir.path().join("second"));
    let html = render(&[first, second]).unwrap();
    assert_sound(&html);
    assert!(html.contains("2 runs compared") && html.contains("different numbers of neurons"));
    assert!(html.contains("Differences, neuron by neuron"));
    assert!(html.contains("href=\"#run-1\"") && html.contains("id=\"run-1\""));
}

#[test]
fn a_large_run_stays_a_small_page() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Fixture { neurons: 4000, ..Fixture::realistic() };
    let html = page(&fixture.write(&dir.path().join("large")));
    assert!(html.len() < 1_500_000, "{} bytes", html.len());
}

/// `STRIATE_SAMPLE_REPORT=dir` keeps pages of realistic runs, to be looked at.
#[test]
fn sample_pages() {
    let Ok(folder) = std::env::var("STRIATE_SAMPLE_REPORT") else {
        println!("skipped: STRIATE_SAMPLE_REPORT is not set");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let first = Fixture::realistic().write(&dir.path().join("mouse"));
    let second = Fixture { seed: 2, ..Fixture::realistic() }.write(&dir.path().join("mouse-sparser"));
    let empty = bare(&dir.path().join("begun"));
    let save = |name: &str, runs: &[RunFolder]| {
        disk::write_bytes(&Path::new(&folder).join(name), render(runs).unwrap().as_bytes()).unwrap();
    };
    save("one.html", std::slice::from_ref(&first));
    save("begun.html", &[empty]);
    save("two.html", &[first, second]);
}
