//! Videos through the binary: inspect, fit, score, predict, and what is refused.

use std::fs;

use serde_json::Value;
use striate::recording::npy::{write_f64, write_i64, write_strings};

use crate::bench::Bench;

pub const TIERS: [&str; 8] = ["train", "train", "train", "train", "oracle", "oracle", "oracle", "oracle"];

/// Eight trials of 12 samples, two oracle movies shown twice, three neurons.
fn with_movies() -> Bench {
    with_movies_of(12)
}

/// As [`with_movies`], of trials of so many samples.
pub fn with_movies_of(samples: usize) -> Bench {
    let bench = Bench::new();
    put_movies(&bench, "mouse", samples, 0);
    bench
}

/// Their recording; the file of each trial holds two samples more. `salt` makes the animal another one, that saw the same.
pub fn put_movies(bench: &Bench, folder: &str, samples: usize, salt: usize) {
    let stored = samples + 2;
    let put = |name: &str, bytes: Vec<u8>| {
        let path = bench.path(folder).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    for (trial, tier) in TIERS.iter().enumerate() {
        let movie = if *tier == "oracle" { 4 + trial % 2 } else { trial };
        let stream = |name: &str, shape: &[usize], value: &dyn Fn(usize, usize) -> f64| {
            let elements: usize = shape.iter().product();
            let at = |i: usize| if i % stored < samples { value(i / stored, i % stored) } else { f64::NAN };
            let values: Vec<f64> = (0..elements * stored).map(at).collect();
            put(&format!("data/{name}/{trial}.npy"), write_f64(&[shape, &[stored]].concat(), &values));
        };
        let noise = |seed: usize| f64::from((seed as u32).wrapping_mul(2_654_435_761) >> 16) / 65_536.0;
        stream("videos", &[9, 10], &|pixel, sample| 255.0 * noise(movie * 10_000 + pixel * 100 + sample));
        stream("responses", &[3], &|neuron, sample| {
            noise(trial * 777 + neuron * 55 + sample + salt * 7919) + 0.1
        });
        stream("behavior", &[2], &|variable, sample| noise(trial + 31 * variable + 7 * sample));
        stream("pupil_center", &[2], &|variable, sample| noise(trial + 13 * variable + 5 * sample));
    }
    put("meta/trials/tiers.npy", write_strings(&TIERS));
    put("meta/trials/target_fps.npy", write_i64(&[8], &[30; 8]));
    put("meta/neurons/unit_ids.npy", write_i64(&[3], &[0, 1, 2]));
}

pub const FIT: [&str; 12] = [
    "fit",
    "sensorium2023",
    "--data",
    "mouse",
    "data.frames=8",
    "model.core.spatial_kernels=[3]",
    "model.core.temporal_kernels=[4]",
    "model.core.channels=[2]",
    "model.core.padding=[\"valid\"]",
    "model.readout.predictor=none",
    "schedule.max_steps=4",
    "fit.batch=2",
];

#[test]
fn a_mouse_that_saw_movies_is_fitted_scored_and_predicted() {
    let bench = with_movies();
    let seen = bench.run(&["inspect", "mouse"]).succeeds();
    for text in ["video · 1 × 9 × 10 · 30 Hz", "12 samples", "oracle: 2 movies, each shown 2 times"] {
        assert!(seen.out.contains(text), "{text}: {}", seen.out);
    }
    bench.run(&[&FIT[..], &["--out", "run"]].concat()).succeeds();
    let scored = bench.run(&["score", "run", "--tier", "oracle", "--json"]).succeeds();
    let report: Value = serde_json::from_str(&scored.out).unwrap();
    assert_eq!((&report["trials"], &report["samples"]), (&Value::from(4), &Value::from(4 * 9)));
    bench.run(&["predict", "run", "--data", "mouse", "--tier", "oracle", "--out", "p.npy"]).succeeds();
    let predicted = striate::recording::npy::parse(bench.read("p.npy")).unwrap();
    assert_eq!(predicted.shape, [4 * 9, 3]);
    let asked = bench.run(&["explain", "run", "barcode"]).succeeds();
    assert!(asked.out.contains("3 neurons"), "{}", asked.out);
    bench.run(&["report", "run"]).succeeds();
    bench
        .run(&["submit", "run", "--data", "mouse", "--tier", "oracle", "--out", "s.csv"])
        .fails(2, &["s.csv", ".parquet"]);
}

/// What a twin has learned of time it has learned in samples.
#[test]
fn a_recording_at_another_rate_is_refused_by_every_verb() {
    let bench = with_movies();
    bench.run(&[&FIT[..], &["--out", "run"]].concat()).succeeds();
    let fps = bench.path("mouse/meta/trials/target_fps.npy");
    fs::write(fps, write_i64(&[8], &[25; 8])).unwrap();
    const TOLD: [&str; 2] = ["samples are at 25 Hz, those the run was fitted to at 30 Hz", "hint: "];
    for verb in [
        &["score", "run", "--tier", "oracle"][..],
        &["score", "run", "--tier", "oracle", "--data", "mouse"],
        &["predict", "run", "--data", "mouse", "--out", "p.npy"],
        &["submit", "run", "--data", "mouse", "--tier", "oracle", "--out", "s.parquet"],
        &["explain", "run", "filters"],
        &[&FIT[..], &["fit.start_from=run", "fit.frozen=[\"core\"]", "--out", "new"]].concat(),
    ] {
        bench.run(verb).fails(3, &TOLD);
    }
    // One of an early version does not know its rate.
    let manifest = String::from_utf8(bench.read("run/manifest.json")).unwrap();
    fs::write(bench.path("run/manifest.json"), manifest.replace("\"rate_hz\": 30.0,", "")).unwrap();
    bench.run(&["predict", "run", "--data", "mouse", "--out", "p.npy"]).succeeds();
}

#[test]
fn a_stack_of_frames_is_one_movie() {
    let bench = with_movies();
    let alone = ["model.shifter=none", "model.modulator=none", "model.behaviour_planes=false"];
    bench.run(&[&FIT[..], &alone, &["--out", "run"]].concat()).succeeds();
    let session = striate::recording::open(&bench.path("mouse")).unwrap().sessions.remove(0);
    let frames = session.read(striate::recording::Stream::Images, 4).unwrap();
    let predict = |frames: &[f32]| {
        let stack = striate::recording::npy::write_f32(&[frames.len() / 90, 1, 9, 10], frames);
        fs::write(bench.path("stack.npy"), stack).unwrap();
        bench.run(&["predict", "run", "--data", "stack.npy", "--out", "stack-p.npy"])
    };
    let read = |name: &str| striate::recording::npy::parse(bench.read(name)).unwrap();
    predict(&frames).succeeds();
    let one = read("stack-p.npy");
    assert_eq!(one.shape, [9, 3]);
    bench.run(&["predict", "run", "--data", "mouse", "--tier", "oracle", "--out", "all.npy"]).succeeds();
    assert_eq!(one.to_f32().unwrap()[..], read("all.npy").to_f32().unwrap()[..27]);
    predict(&frames[..2 * 90]).fails(3, &["4 frames at once", "hint: "]);
}

#[test]
fn a_recurrent_core_is_fitted_scored_and_predicted() {
    let bench = with_movies();
    let core = [
        "fit",
        "sensorium2023",
        "--data",
        "mouse",
        "data.frames=8",
        "model.core.kind=conv_gru",
        "model.core.kernels=[3]",
        "model.core.channels=[2]",
        "model.core.padding=[\"valid\"]",
        "model.core.hidden=2",
        "model.core.input_kernel=3",
        "model.core.state_kernel=3",
        "model.core.warm_up=3",
        "model.readout.predictor=none",
        "schedule.max_steps=4",
        "fit.batch=2",
    ];
    bench.run(&[&core[..], &["--out", "run"]].concat()).succeeds();
    let scored = bench.run(&["score", "run", "--tier", "oracle", "--json"]).succeeds();
    let report: Value = serde_json::from_str(&scored.out).unwrap();
    assert_eq!((&report["trials"], &report["samples"]), (&Value::from(4), &Value::from(4 * 9)));
    bench.run(&["report", "run"]).succeeds();
    bench
        .run(&[&core[..], &["--out", "even", "model.core.state_kernel=2"]].concat())
        .fails(2, &["model.core.state_kernel", "odd"]);
}

#[test]
fn trials_that_are_too_short_are_named_before_anything_is_written() {
    let bench = with_movies();
    bench
        .run(&[&FIT[..], &["--out", "run", "data.frames=13"]].concat())
        .fails(3, &["trial 0", "12 samples, 13"]);
    assert!(!bench.path("run").exists());
    bench
        .run(&[&FIT[..], &["--out", "run", "data.frames=3"]].concat())
        .fails(2, &["data.frames", "looks at 4"]);
}

/// What `simulate movies` writes is a recording to every verb, and its truth is scored against.
#[test]
fn simulated_animals_are_inspected_fitted_and_scored_against_their_truth() {
    let bench = Bench::new();
    let few = ["neurons=6", "train=4", "repeats=2", "frames=30"];
    let wrote = bench.run(&[&["simulate", "movies", "--out", "mice"][..], &few].concat()).succeeds();
    for text in ["6 in each of 2 animals", "14 of 30 samples", "truth/"] {
        assert!(wrote.out.contains(text), "{text}: {}", wrote.out);
    }
    let seen = bench.run(&["inspect", "mice"]).succeeds();
    for text in ["2 sessions", "2 oracle", "oracle: 1 movies, each shown 2 times", "7 stimuli are in both"] {
        assert!(seen.out.contains(text), "{text}: {}", seen.out);
    }
    let fit: Vec<&str> =
        FIT.iter().map(|word| if *word == "mouse" { "mice/animal0" } else { *word }).collect();
    bench.run(&[&fit[..], &["--out", "run"]].concat()).succeeds();
    for tier in ["oracle", "final_test_bonus"] {
        let scored = bench.run(&["score", "run", "--tier", tier, "--json"]).succeeds();
        let report: Value = serde_json::from_str(&scored.out).unwrap();
        assert!(report["metrics"]["fev"]["mean"].is_number(), "{}", scored.out);
    }
    let lost = bench.path("mice/animal0/truth/responses/3.npy");
    fs::remove_file(lost).unwrap();
    let tiers =
        ["train", "oracle", "live_test_main", "live_test_bonus", "final_test_main", "final_test_bonus"];
    let failed = tiers.iter().filter(|tier| {
        let scored = bench.run(&["score", "run", "--tier", tier]);
        scored.code == Some(3) && scored.err.contains("responses/3.npy")
    });
    assert_eq!(failed.count(), 1, "the tier of that trial");
}

/// The small version of the recipe in `docs/papers/simulations.md`: an animal with linear neurons is fitted, and their filters found.
#[test]
fn filters_of_simulated_neurons_are_recovered() {
    let bench = Bench::new();
    let animal = "animals=1 neurons=32 height=15 width=20 size_px=0.9 kinds=separable orientations=2 train=40 repeats=2 \
                  frames=50 noise=0.2 gain=0.1 eye_px=0.2";
    let animal: Vec<&str> = animal.split_whitespace().collect();
    bench.run(&[&["simulate", "movies", "--out", "mouse"][..], &animal].concat()).succeeds();
    let fit = "fit sensorium2023 --data mouse --out run data.frames=40 model.core.spatial_kernels=[7] \
               model.core.temporal_kernels=[10] model.core.channels=[8] model.core.padding=[\"valid\"] \
               model.readout.init_sigma=0.1 schedule.max_steps=800 schedule.check_every=100 fit.learning_rate=0.01";
    bench.run(&fit.split_whitespace().collect::<Vec<_>>()).succeeds();
    let said = bench.run(&["explain", "run", "filters", "clips=16"]).succeeds();
    assert!(said.out.contains("separable"), "{}", said.out);
    let found: Value = serde_json::from_slice(&bench.read("run/explain/filters/filters.json")).unwrap();
    let linear = &found["kinds"][0];
    let number = |key: &str| linear[key].as_f64().unwrap();
    assert!(number("correlation") > 0.8 && number("null").abs() < 0.3, "{linear}");
    assert!(number("within_one") > 0.9 && number("linear_share") > 0.5, "{linear}");
    let scored = bench.run(&["score", "run", "--tier", "live_test_main", "--json"]).succeeds();
    let report: Value = serde_json::from_str(&scored.out).unwrap();
    let correlation = report["metrics"]["correlation_to_truth"]["mean"].as_f64().unwrap();
    assert!(correlation > 0.8, "{correlation}");
    bench.run(&["explain", "run", "filters", "clips=1"]).fails(2, &["clips"]);
    let preferred = ["explain", "run", "mei", "neurons=8", "starts=2", "steps=40"];
    bench.run(&[&preferred[..], &["behaviour=draws"]].concat()).succeeds();
    bench.run(&[&preferred[..], &["behaviour=optimised"]].concat()).succeeds();
    let found: Value = serde_json::from_slice(&bench.read("run/explain/mei/mei.json")).unwrap();
    let (linear, neurons) = (&found["kinds"][0], found["neurons"].as_array().unwrap());
    let number = |key: &str| linear[key].as_f64().unwrap();
    assert!(number("correlation") > 0.7 && number("null").abs() < 0.3, "{linear}");
    assert!(neurons.iter().all(|of| of["with_behaviour"].as_f64() >= of["response"].as_f64()), "{neurons:?}");
}

#[test]
fn a_stream_on_another_clock_is_named() {
    const ASKED: &str = "in the other sessions it is 3: does a stream of this session run on another clock?";
    let bench = Bench::new();
    let few = ["animals=3", "neurons=24", "train=8", "repeats=2", "frames=150", "delay=6"];
    bench.run(&[&["simulate", "movies", "--out", "mice"][..], &few].concat()).succeeds();
    let seen = bench.run(&["inspect", "mice"]).succeeds();
    assert_eq!(seen.out.matches("responses follow the changes of the movie").count(), 4, "{}", seen.out);
    assert_eq!(seen.out.matches(ASKED).count(), 1, "{}", seen.out);
}

#[test]
fn behaviour_on_another_clock_is_named() {
    let bench = Bench::new();
    let late = ["animals=3", "neurons=24", "gain=1", "delayed=behavior", "delay=15"];
    bench.run(&[&["simulate", "movies", "--out", "mice"][..], &late].concat()).succeeds();
    let seen = bench.run(&["inspect", "mice"]).succeeds();
    let asked = "responses precede running_speed by 15 samples, in the other sessions it is 0: does a stream";
    assert_eq!(seen.out.matches(asked).count(), 1, "{}", seen.out);
}
