//! `striate inspect`

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use striate::recording::write::{Plan, TrialValues, write};
use striate::recording::{self, Neurons, Session, Stream, Tier, Trial, npy};
use tempfile::TempDir;

fn striate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_striate")).args(args).output().unwrap()
}

fn inspect(path: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let output = striate(&[&["inspect", path.to_str().unwrap()], more].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn json(path: &Path) -> Value {
    let (code, out, err) = inspect(path, &["--json"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    serde_json::from_str(&out).unwrap()
}

/// Six neurons; the test responses depend on the image only, so they are perfectly reliable. Neuron 5 is constant.
fn tiny() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mouse");
    let trials: Vec<Trial> = (0..12)
        .map(|i| Trial {
            id: i.to_string(),
            tier: if i < 6 { "train" } else { "test" }.into(),
            stimulus_id: if i < 6 { i } else { 100 + i % 3 }.to_string(),
            has_stimulus: true,
            samples: 1,
        })
        .collect();
    let neurons = Neurons {
        ids: (1..=6).collect(),
        position_um: Some(vec![[-5.0, 0.0, 100.0]; 6]),
        area: Some(vec!["V1".to_owned(); 6]),
        layer: None,
    };
    let values = |i: usize| {
        let image = if i < 6 { i } else { 10 + i % 3 } as f32;
        let response = |neuron: usize| if neuron == 5 { 2.0 } else { image * (neuron + 1) as f32 };
        Ok(TrialValues {
            image: (0..12).map(|pixel| if pixel == 0 { 0.0 } else { image }).collect(),
            responses: (0..6).map(response).collect(),
            behavior: Some(vec![i as f32, (i % 5) as f32]),
            pupil_center: None,
        })
    };
    write(&path, &Plan { neurons: &neurons, trials: &trials, image_shape: [1, 3, 4], clips: None }, values)
        .unwrap();
    fs::write(dir.path().join("LICENSE"), "MIT License").unwrap();
    (dir, path)
}

#[test]
fn prints_a_page() {
    let (_dir, path) = tiny();
    let (code, page, log) = inspect(&path, &[]);
    assert_eq!((code, log.as_str()), (Some(0), ""), "{page}");
    for line in [
        "neurons       6 · V1 6",
        "position      x -5 … -5 · y 0 … 0 · z 100 … 100 µm",
        "trials        6 train · 6 test",
        "stimulus      image · 1 × 3 × 4",
        "images        0 … 12",
        "behavior      2   0 … 11 · 0 … 4",
        "repeats       test: 3 images, each shown 2 times",
        "licence       MIT (see LICENSE)",
        "mean 1.000   median 1.000   sd 0.000   n 5   (1 left out:",
        "█",
        "⚠ 1 neurons never change their response (ids 6)",
    ] {
        assert!(page.contains(line), "`{line}` is not in\n{page}");
    }
    assert!(!page.contains('\x1b') && !page.contains('✗'));
}

#[test]
fn prints_json() {
    let (_dir, path) = tiny();
    let all = json(&path);
    assert_eq!(all["format"], "sensorium2022");
    let session = &all["sessions"][0];
    assert_eq!((&session["id"], &session["neurons"]), (&"mouse".into(), &6.into()));
    assert_eq!(session["trials"], serde_json::json!({"train": 6, "test": 6}));
    assert_eq!(
        session["stimulus"],
        serde_json::json!({"kind": "image", "shape": [1, 3, 4], "rate_hz": null})
    );
    assert_eq!(session["streams"][1], serde_json::json!({"stream": "responses", "shape": [6]}));
    let oracle = &session["reliability"]["oracle_jackknife"];
    assert_eq!((&oracle["n"], &oracle["tier"]), (&5.into(), &"test".into()));
    assert!((oracle["mean"].as_f64().unwrap() - 1.0).abs() < 1e-12);
    assert_eq!(
        session["repeats"]["test"],
        serde_json::json!({"images": 3, "min": 2, "median": 2.0, "max": 2})
    );
    assert_eq!(session["constant_neurons"], serde_json::json!({"count": 1, "first_ids": [6]}));
    assert_eq!(session["warnings"], serde_json::json!(["1 images have one value in all pixels (trials 0)"]));
    assert_eq!(session["licence"]["title"], "MIT");
}

/// What can be read but contradicts itself is said, each with its place.
#[test]
fn contradictions_are_warnings() {
    let said = |change: &dyn Fn(&Path), words: &str| {
        let (_dir, path) = tiny();
        change(&path);
        let (code, page, err) = inspect(&path, &[]);
        assert_eq!(code, Some(0), "{page}{err}");
        assert!(page.contains(words), "`{words}` is not in\n{page}");
    };
    let put =
        |name: &'static str, bytes: Vec<u8>| move |path: &Path| fs::write(path.join(name), &bytes).unwrap();
    let image = |values: [f32; 12]| npy::write_f32(&[1, 3, 4], &values);
    let mut positions = [[1.0f32, 2.0, 3.0]; 6].concat();
    positions[7] = f32::NAN;
    let ids: Vec<i64> = (0..12).map(|i| if i < 6 { i } else { 100 + i % 3 }).collect();
    let leaked: Vec<i64> = ids.iter().map(|id| if *id == 102 { 4 } else { *id }).collect();
    let noise = npy::write_f32(&[6], &[0.1, 0.2, 0.3, 0.4, 0.5, 2.5]);
    said(
        &put("meta/neurons/unit_ids.npy", npy::write_i64(&[6], &[1, 2, 2, 4, 5, 6])),
        "unit_ids: 1 belong to several neurons (2)",
    );
    said(
        &put("meta/neurons/cell_motor_coordinates.npy", npy::write_f32(&[6, 3], &positions)),
        "cell_motor_coordinates.npy: 1 of 6 positions are not finite, the first in row 2 (unit_id 3)",
    );
    said(
        &put("meta/trials/frame_image_id.npy", npy::write_i64(&[12], &leaked)),
        "1 images of tier `test` are in tier `train`, too (4)",
    );
    said(
        &put("meta/trials/trial_idx.npy", npy::write_i64(&[12], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10])),
        "trial_idx: 1 trials have the name of another (10)",
    );
    said(
        &put("data/images/8.npy", image([3.0; 12])),
        "1 trials have the id of another image: trials 8 and 11 with `102`",
    );
    said(
        &|path: &Path| {
            fs::copy(path.join("data/images/3.npy"), path.join("data/images/4.npy")).map(|_| ()).unwrap()
        },
        "1 trials show the image of another id: trials 3 and 4 with `3` and `4`",
    );
    said(&put("data/images/5.npy", image([7.0; 12])), "2 images have one value in all pixels (trials 0, 5)");
    said(
        &put("data/responses/2.npy", npy::write_f32(&[6], &[1.0, -9.0, 1.0, 1.0, 1.0, 2.0])),
        "1 neurons have responses below 0 (ids 2)",
    );
    said(
        &|path: &Path| {
            [2, 4]
                .iter()
                .for_each(|t| fs::write(path.join(format!("data/responses/{t}.npy")), &noise).unwrap())
        },
        "1 trials have the responses of another, in all neurons (2 and 4)",
    );
    said(
        &|path: &Path| {
            (0..12).for_each(|t| {
                fs::write(path.join(format!("data/behavior/{t}.npy")), npy::write_f32(&[2], &[t as f32, 0.0]))
                    .unwrap()
            })
        },
        "`behavior`: 1 of 2 variables never change (1)",
    );
    said(
        &put("meta/statistics/images/all/mean.npy", npy::write_f32(&[1], &[500.0])),
        "meta/statistics/images/all: mean 500",
    );
    said(&put("meta/trials/tiers.npy", npy::write_strings(&["test"; 12])), "no trial has tier `train`");
}

#[test]
fn damage_is_listed_and_exits_with_3() {
    let (_dir, path) = tiny();
    let mut values = [1.0; 6];
    values[2] = f32::NAN;
    fs::write(path.join("data/responses/7.npy"), npy::write_f32(&[6], &values)).unwrap();
    fs::write(path.join("data/images/4.npy"), b"no array").unwrap();
    let (code, page, _) = inspect(&path, &[]);
    assert_eq!(code, Some(3), "{page}");
    assert!(page.contains("⚠ 1 neurons have responses that are not finite (ids 3)"), "{page}");
    assert!(page.contains("✗ `responses` has 1 values that are not finite, the first in trial 7"), "{page}");
    assert!(page.contains("4.npy, trial 4, `images`: is not a .npy file"), "{page}");
}

#[test]
fn what_cannot_be_opened_exits_with_3_and_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = inspect(&dir.path().join("gone"), &[]);
    assert_eq!((code, out.as_str()), (Some(3), ""));
    assert!(err.contains("gone: does not exist"), "{err}");
    let (code, _, err) = inspect(dir.path(), &["--json"]);
    assert_eq!(code, Some(3));
    assert!(
        err.contains("no known format; it holds nothing") && err.contains("hint: expected one of"),
        "{err}"
    );
    let (_dir, path) = tiny();
    fs::remove_file(path.join("data/responses/3.npy")).unwrap();
    let (code, _, err) = inspect(&path, &[]);
    assert_eq!(code, Some(3));
    assert!(err.contains("data/responses/3.npy, trial 3, `responses`: is missing"), "{err}");
}

#[test]
fn usage_is_explained() {
    assert_eq!(striate(&["inspect"]).status.code(), Some(2));
    let help = String::from_utf8(striate(&["inspect", "--help"]).stdout).unwrap();
    assert!(help.contains("Examples:") && help.contains("striate inspect"));
}

/// Recordings that are not part of the repository.
fn real(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if !path.exists() {
        println!("skipped: no ../shared/data");
    }
    path.exists().then_some(path)
}

fn oracle(session: &Value) -> f64 {
    session["reliability"]["oracle_jackknife"]["mean"].as_f64().unwrap()
}

#[test]
fn antolik2016_has_its_known_oracle() {
    let Some(path) = real("antolik2016/Data") else { return };
    let all = json(&path);
    let sessions = all["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 3);
    for (session, expected) in sessions.iter().zip([0.388, 0.296, 0.355]) {
        assert!((oracle(session) - expected).abs() < 1e-3, "{} {}", session["id"], oracle(session));
        assert!(session["warnings"][0].as_str().unwrap().contains("training images are missing"));
        assert_eq!(session["warnings"].as_array().unwrap().len(), 1);
    }
}

/// Mean jackknife oracle straight from its definition, one neuron at a time.
fn oracle_by_hand(session: &Session) -> f64 {
    let mut images: BTreeMap<&str, Vec<Vec<f32>>> = BTreeMap::new();
    for trial in session.require_tier(&Tier::Test).unwrap() {
        let responses = session.read(Stream::Responses, trial).unwrap();
        images.entry(&session.trials[trial].stimulus_id).or_default().push(responses);
    }
    let of_neuron = |neuron: usize| {
        let mut pairs = Vec::new();
        for repeats in images.values() {
            let values: Vec<f64> = repeats.iter().map(|responses| f64::from(responses[neuron])).collect();
            let sum: f64 = values.iter().sum();
            pairs.extend(values.iter().map(|value| (*value, (sum - value) / (values.len() - 1) as f64)));
        }
        correlation(&pairs)
    };
    (0..session.neurons.len()).map(of_neuron).sum::<f64>() / session.neurons.len() as f64
}

fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let n = pairs.len() as f64;
    let (a, b) = pairs.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
    let moment = |f: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|(x, y)| f(x - a, y - b)).sum::<f64>();
    moment(&|x, y| x * y) / (moment(&|x, _| x * x) * moment(&|_, y| y * y)).sqrt()
}

#[test]
fn lurz2020_has_its_oracle_and_licence() {
    let Some(path) = real("lurz2020/static20457-5-9-preproc0.zip") else { return };
    let all = json(&path);
    let found = &all["sessions"][0];
    assert_eq!(found["licence"]["title"], "CC BY-NC-ND");
    assert_eq!((&found["problems"], &found["warnings"]), (&serde_json::json!([]), &serde_json::json!([])));
    let recording = recording::open(&path).unwrap();
    assert!((oracle(found) - oracle_by_hand(recording.single().unwrap())).abs() < 1e-9);
    // The reference belongs to the complete test tier; copies with half of its images have a lower oracle.
    if found["trials"]["test"] == 999 {
        assert!((oracle(found) - 0.380).abs() < 0.01, "{}", oracle(found));
    } else {
        println!(
            "skipped: comparison with 0.380, this copy has {} of 999 test trials",
            found["trials"]["test"]
        );
    }
}

#[test]
fn what_inspect_warns_of_every_verb_tells_once() {
    let bench = crate::bench::Bench::with_run();
    std::fs::write(bench.path("recording/meta/neurons/area.npy"), "damaged").unwrap();
    std::fs::write(bench.path("sweep.toml"), "base = \"run/config.toml\"\n[[grid]]\nseed = [2, 3]\n")
        .unwrap();
    assert!(bench.run(&["inspect", "recording"]).out.contains("visual areas are left out"));
    let fit = ["fit", "run/config.toml", "--out", "new"];
    let verbs: [&[&str]; 6] = [
        &fit,
        &["sweep", "sweep.toml", "--out", "grid"],
        &["score", "run"],
        &["predict", "run", "--data", "recording", "--out", "o.npy"],
        &["explain", "run", "barcode", "most=2", "seeds=2"],
        &["submit", "run", "--data", "recording", "--tier", "test", "--out", "s.csv"],
    ];
    for args in verbs {
        let err = bench.run(args).err;
        assert_eq!(err.matches("visual areas are left out").count(), 1, "{args:?}: {err}");
    }
}
