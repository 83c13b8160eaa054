//! `striate predict`.

use striate::recording::{self, Stream, Tier, npy};

use crate::bench::Bench;

fn array(bench: &Bench, name: &str) -> npy::Array {
    npy::parse(bench.read(name)).unwrap()
}

#[test]
fn a_recording_and_its_images_give_the_same_responses() {
    let bench = Bench::with_run();
    bench.run(&["predict", "run", "--data", "recording", "--out", "of_recording.npy"]).succeeds();
    let recording = recording::open(&bench.path("recording")).unwrap();
    let session = recording.single().unwrap();
    let trials = session.trials.len();
    let images = (0..trials).flat_map(|trial| session.read(Stream::Images, trial).unwrap());
    let stack = npy::write_f32(&[trials, 1, 12, 12], &images.collect::<Vec<f32>>());
    std::fs::write(bench.path("stack.npy"), stack).unwrap();
    let printed =
        bench.run(&["predict", "run", "--data", "stack.npy", "--out", "of_stack.npy"]).succeeds().out;
    assert_eq!(printed.trim(), "of_stack.npy");
    let predicted = array(&bench, "of_stack.npy");
    assert_eq!(predicted.shape, [200, 8]);
    assert_eq!(bench.read("of_stack.npy"), bench.read("of_recording.npy"));
    let values = predicted.to_f32().unwrap();
    assert!(values.iter().all(|v| v.is_finite()) && values.iter().any(|v| *v != 0.0));

    let tier = ["predict", "run", "--data", "recording", "--tier", "validation", "--out", "of_tier.npy"];
    bench.run(&tier).succeeds();
    let rows = session.trials_of(&Tier::Validation);
    let expected: Vec<f32> = rows.iter().flat_map(|trial| &values[8 * trial..][..8]).copied().collect();
    assert_eq!(array(&bench, "of_tier.npy").to_f32().unwrap(), expected, "in the order of the recording");
}

#[test]
fn what_cannot_be_predicted_or_written_is_refused() {
    let bench = Bench::with_run();
    let mut images = vec![0.0; 3 * 144];
    images[2 * 144 + 5] = f32::NAN;
    std::fs::write(bench.path("stack.npy"), npy::write_f32(&[3, 1, 12, 12], &images)).unwrap();
    std::fs::write(bench.path("photo.jpg"), "not read").unwrap();
    let refused = |code: i32, args: &[&str], words: &[&str]| {
        bench.run(&[&["predict", "run"], args].concat()).fails(code, words);
        assert!(!bench.path("out.npy").exists() && !bench.path("out.csv").exists());
    };
    let out = ["--out", "out.npy"];
    refused(3, &[&["--data", "stack.npy"], &out[..]].concat(), &["stack.npy", "image 2 ", "NaN"]);
    refused(3, &[&["--data", "photo.jpg"], &out[..]].concat(), &["photo.jpg", "hint: ", ".npy", ".zip"]);
    refused(2, &[&["--data", "stack.npy", "--tier", "test"], &out[..]].concat(), &["--tier"]);
    refused(3, &[&["--data", "recording", "--tier", "tset"], &out[..]].concat(), &["tset", "test (40)"]);
    refused(2, &["--data", "recording", "--out", "out.csv"], &["out.csv", "--out", ".npy"]);
    refused(2, &["--data", "recording", "--out", "run"], &["run", "is a folder", "hint: "]);
}

#[test]
fn wrong_stacks_exit_with_3_and_write_nothing() {
    let bench = Bench::with_run();
    let refused = |bytes: &[u8], words: &[&str]| {
        std::fs::write(bench.path("stack.npy"), bytes).unwrap();
        bench.run(&["predict", "run", "--data", "stack.npy", "--out", "out.npy"]).fails(3, words);
        assert!(!bench.path("out.npy").exists());
    };
    refused(&npy::write_f32(&[2, 1, 12, 11], &[0.0; 264]), &["stack.npy", "[2, 1, 12, 11]"]);
    refused(&npy::write_f32(&[144], &[0.0; 144]), &["stack.npy", "[144]"]);
    refused(b"not an array", &["stack.npy"]);
    bench.run(&["predict", "run", "--data", "none.npy", "--out", "out.npy"]).fails(3, &["none.npy"]);
    bench.run(&["predict", "none", "--data", "recording", "--out", "out.npy"]).fails(3, &["none"]);
}

#[test]
fn an_edited_card_or_damaged_weights_predict_nothing() {
    let bench = Bench::with_run();
    let card = String::from_utf8(bench.read("run/twin.json")).unwrap();
    let mut edited: serde_json::Value = serde_json::from_str(&card).unwrap();
    edited["normalisation"]["response_scale"] = serde_json::json!([1.0, 2.0]);
    std::fs::write(bench.path("run/twin.json"), edited.to_string()).unwrap();
    let predict = ["predict", "run", "--data", "recording", "--out", "out.npy"];
    bench.run(&predict).fails(3, &["twin.json", "`normalisation.response_scale`", "expected 8"]);
    std::fs::write(bench.path("run/twin.json"), card).unwrap();
    let weights = "run/checkpoints/best/weights.safetensors";
    let mut bytes = bench.read(weights);
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(bench.path(weights), bytes).unwrap();
    bench.run(&predict).fails(3, &["weights.safetensors", "`readout.", "no finite numbers"]);
    assert!(!bench.path("out.npy").exists());
}

#[test]
fn images_in_other_units_than_those_trained_on_are_warned_of() {
    let bench = Bench::with_run();
    let warned = |low: f32, high: f32| {
        let images: Vec<f32> = (0..144).map(|i| if i % 2 == 0 { low } else { high }).collect();
        std::fs::write(bench.path("stack.npy"), npy::write_f32(&[1, 1, 12, 12], &images)).unwrap();
        let done = bench.run(&["predict", "run", "--data", "stack.npy", "--out", "out.npy"]).succeeds();
        done.err.contains("raw pixel values")
    };
    assert!(warned(0.0, 255.0) && !warned(-2.0, 2.0));
}
