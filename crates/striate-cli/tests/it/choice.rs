//! Which neurons and trials a fit takes, and what happens to values that are not finite.

use serde_json::Value;
use striate::recording::write::{Plan, TrialValues, write};
use striate::recording::{self, Neurons, Stream, Trial, npy};

use crate::bench::Bench;

fn card(bench: &Bench, run: &str) -> (Vec<i64>, Vec<u64>) {
    let card: Value = serde_json::from_slice(&bench.read(&format!("{run}/twin.json"))).unwrap();
    let left_out = card["left_out"].as_array().cloned().unwrap_or_default();
    let ids = card["unit_ids"].as_array().unwrap().iter().map(|id| id.as_i64().unwrap());
    (ids.collect(), left_out.iter().map(|trial| trial.as_u64().unwrap()).collect())
}

fn unit_ids(bench: &Bench) -> Vec<i64> {
    recording::open(&bench.path("recording")).unwrap().sessions.remove(0).neurons.ids
}

/// Changes the responses to some trials.
fn respond(bench: &Bench, trials: impl Iterator<Item = usize>, change: impl Fn(&mut [f32])) {
    for trial in trials {
        let name = format!("recording/data/responses/{trial}.npy");
        let mut values = npy::parse(bench.read(&name)).unwrap().to_f32().unwrap();
        change(&mut values);
        std::fs::write(bench.path(&name), npy::write_f32(&[values.len()], &values)).unwrap();
    }
}

fn trials(bench: &Bench) -> usize {
    recording::open(&bench.path("recording")).unwrap().sessions[0].trials.len()
}

#[test]
fn neurons_and_trials_are_left_out_by_list_table_and_rule() {
    let bench = Bench::with_recording();
    let ids = unit_ids(&bench);
    let without = format!("data.exclude_neurons=[{}, {}]", ids[1], ids[3]);
    bench.fit(&[&without, "data.exclude_trials=[0, 7]", "--out", "list"]).succeeds();
    let expected: Vec<i64> = [0, 2, 4, 5, 6, 7].map(|n| ids[n]).to_vec();
    assert_eq!(card(&bench, "list"), (expected.clone(), vec![0, 7]));

    std::fs::write(bench.path("bad.csv"), format!("why,unit_id\nnoise,{}\ndrift,{}\n", ids[1], ids[3]))
        .unwrap();
    std::fs::write(bench.path("trials.csv"), "trial\n0\n7\n").unwrap();
    let tables = ["data.exclude_neurons=bad.csv", "data.exclude_trials=trials.csv"];
    bench.fit(&[&tables[..], &["--out", "table"]].concat()).succeeds();
    assert_eq!(bench.result("table"), bench.result("list"));

    let only = format!("data.neuron_ids=[{}, {}]", ids[5], ids[2]);
    bench.fit(&[&only, "--out", "only"]).succeeds();
    assert_eq!(card(&bench, "only").0, [ids[2], ids[5]]);
    for verb in [&["score", "only"][..], &["predict", "only", "--data", "recording", "--out", "o.npy"]] {
        bench.run(verb).succeeds();
    }
    assert_eq!(npy::parse(bench.read("o.npy")).unwrap().shape, [trials(&bench), 2]);

    bench.fit(&["data.exclude_neurons=oracle<-2", "--out", "rule"]).succeeds();
    assert_eq!(card(&bench, "rule").0, ids);
    let refused = |change: &str, words: &[&str]| {
        let done = bench.fit(&[change, "--out", "no"]);
        assert!(!bench.path("no").exists(), "{change}");
        done.fails(if change.contains(".csv") && !change.contains("none") { 3 } else { 2 }, words);
    };
    refused("data.exclude_neurons=oracle<2", &["data.exclude_neurons", "no neuron"]);
    refused("data.exclude_neurons=oracel<2", &["data.exclude_neurons", "did you mean `oracle`?"]);
    refused("data.exclude_neurons=[99]", &["data.exclude_neurons", "99"]);
    refused("data.neuron_ids=none.csv", &["data.neuron_ids", "none.csv"]);
    refused("data.exclude_neurons=trials.csv", &["trials.csv", "`unit_id`"]);
    refused("data.exclude_trials=[5000]", &["data.exclude_trials", "5000"]);
    refused("data.exclude_trials=behavior[0]<1", &["data.exclude_trials", "behavior[0]"]);
    refused("data.exclude_trials=true", &["data.exclude_trials", "a list of numbers"]);
    refused("data.validation_tier=tset", &["data.validation_tier", "tset", "test (40)"]);
    refused("data.validation_tier=train", &["data.validation_tier"]);
}

/// The report counts what was fitted, whichever keys chose it and whatever the validation tier is called.
#[test]
fn a_report_says_how_much_was_fitted() {
    let bench = Bench::with_recording();
    let ids = unit_ids(&bench);
    let exclude = format!("data.exclude_neurons=[{}, {}, {}]", ids[0], ids[3], ids[7]);
    for seed in ["1", "2"] {
        let seeded = format!("seed={seed}");
        bench.fit(&[&exclude, "data.exclude_trials=[0, 130]", &seeded, "--out", seed]).succeeds();
    }
    bench.run(&["ensemble", "1", "2", "--out", "mean"]).succeeds();
    for run in ["1", "mean"] {
        bench.run(&["report", run]).succeeds();
        let page = String::from_utf8(bench.read(&format!("{run}/report.html"))).unwrap();
        for words in ["<dd>5 of 8</dd>", "<dd>127 of 128 train · 31 of 32 validation · 40 test</dd>"] {
            assert!(page.contains(words), "{run}: `{words}` is missing");
        }
    }
}

/// Of a neuron that is silent in the repeats nothing is known: it is neither one of "these only" nor worth keeping.
#[test]
fn a_neuron_without_the_number_that_a_rule_compares_is_never_chosen() {
    let bench = Bench::with_recording();
    let session = recording::open(&bench.path("recording")).unwrap().sessions.remove(0);
    respond(&bench, session.trials_of(&"test".into()).into_iter(), |values| values[2] = 1.0);
    let sound: Vec<i64> = [0, 1, 3, 4, 5, 6, 7].map(|n| session.neurons.ids[n]).to_vec();
    for (out, rule) in [("only", "data.neuron_ids=oracle>-2"), ("rest", "data.exclude_neurons=oracle<-2")] {
        bench.fit(&[rule, "--out", out]).succeeds();
        assert_eq!(card(&bench, out).0, sound, "{rule}");
    }
}

/// What was chosen at first stays chosen.
#[test]
fn a_fit_that_goes_on_keeps_its_neurons_whatever_became_of_the_table() {
    let bench = Bench::with_recording();
    let ids = unit_ids(&bench);
    let table = |id: i64| std::fs::write(bench.path("bad.csv"), format!("unit_id\n{id}\n")).unwrap();
    table(ids[1]);
    let fit = |out: &str, steps: &str| {
        bench.fit(&["data.exclude_neurons=bad.csv", steps, "--out", out]).succeeds();
    };
    fit("whole", "schedule.max_steps=40");
    fit("parts", "schedule.max_steps=20");
    table(ids[6]);
    fit("parts", "schedule.max_steps=40");
    assert_eq!(bench.result("whole"), bench.result("parts"));
}

#[test]
fn neurons_that_are_not_finite_are_left_out_when_asked_and_do_not_spoil_others() {
    let bench = Bench::with_recording();
    let (ids, count) = (unit_ids(&bench), trials(&bench));
    respond(&bench, 0..count, |values| values[2] = f32::NAN);
    let key = format!("data.exclude_neurons=[{}]", ids[2]);
    bench
        .fit(&["--out", "all"])
        .fails(3, &["responses/0.npy", "NaN", "hint: ", &key, "data.nan=drop_neurons"]);
    bench.fit(&[&key, "--out", "without"]).succeeds();
    bench.run(&["score", "without"]).succeeds();
    bench.fit(&["data.nan=drop_neurons", "--out", "dropped"]).succeeds();
    assert_eq!(card(&bench, "dropped"), card(&bench, "without"));
    assert_eq!(bench.result("dropped"), bench.result("without"));
    let inspected = bench.run(&["inspect", "recording"]);
    assert!(
        inspected.code == Some(3) && inspected.out.contains("1 neurons have responses that are not finite")
    );
}

#[test]
fn trials_that_are_not_finite_are_left_out_when_asked() {
    let bench = Bench::with_recording();
    respond(&bench, 3..4, |values| values[5] = f32::INFINITY);
    let image = "recording/data/images/9.npy";
    std::fs::write(bench.path(image), npy::write_f32(&[1, 12, 12], &[f32::NAN; 144])).unwrap();
    let hint = "data.exclude_trials=[9]";
    bench.fit(&["data.exclude_trials=[3]", "--out", "no"]).fails(3, &["images/9.npy", hint, "drop_trials"]);
    bench.fit(&["data.nan=drop_trials", "--out", "run"]).succeeds();
    assert_eq!(card(&bench, "run"), (unit_ids(&bench), vec![3, 9]));
    bench.fit(&["data.exclude_trials=[3, 9]", "--out", "same"]).succeeds();
    assert_eq!(bench.result("run"), bench.result("same"));
    // One that cannot be read at all is left out by number only, and then nobody reads it.
    std::fs::write(bench.path(image), npy::write_f32(&[1, 6, 6], &[0.5; 36])).unwrap();
    bench.fit(&["data.nan=drop_trials", "--out", "no"]).fails(3, &["images/9.npy", hint]);
    bench.fit(&["data.nan=drop_trials", hint, "--out", "both"]).succeeds();
    assert_eq!(card(&bench, "both").1, [3, 9]);
}

/// As competitions withhold them; every verb says it in the same words.
#[test]
fn a_withheld_tier_is_never_scored() {
    let bench = Bench::with_recording();
    let session = recording::open(&bench.path("recording")).unwrap().sessions.remove(0);
    respond(&bench, session.trials_of(&"test".into()).into_iter(), |values| values.fill(0.0));
    const WORDS: &str = "all responses of tier `test` are 0";
    assert!(bench.run(&["inspect", "recording"]).succeeds().out.contains(WORDS));
    bench.fit(&["--out", "run"]).succeeds();
    for preset in ["leave-out", "sensorium2022"] {
        bench.run(&["score", "run", "--preset", preset]).fails(3, &[WORDS, "hint: ", "validation (32)"]);
    }
    assert!(!bench.path("run/scores/test.json").exists());
    bench.run(&["score", "run", "--tier", "validation"]).succeeds();
    bench.run(&["report", "run"]).succeeds();
    let page = String::from_utf8(bench.read("run/report.html")).unwrap();
    assert!(page.contains("responses of tier test"), "the report says so, too");
}

/// Nor is a model fitted to it, or chosen by it.
#[test]
fn a_withheld_tier_is_never_fitted() {
    for tier in ["train", "validation"] {
        let bench = Bench::with_recording();
        let session = recording::open(&bench.path("recording")).unwrap().sessions.remove(0);
        respond(&bench, session.trials_of(&tier.into()).into_iter(), |values| values.fill(0.0));
        let words = format!("all responses of tier `{tier}` are 0");
        bench.fit(&["--out", "run"]).fails(3, &["recording", &words, "hint: ", "test (40)"]);
        assert!(!bench.path("run").exists());
    }
}

/// What the animal did can be given for any images.
#[test]
fn images_are_predicted_in_the_state_that_is_given() {
    let bench = Bench::new();
    let (neurons, count) = (4, 80);
    let trials: Vec<Trial> = (0..count)
        .map(|i| Trial {
            id: i.to_string(),
            tier: if i < 50 { "train" } else { "val" }.into(),
            stimulus_id: i.to_string(),
            has_stimulus: true,
            samples: 1,
        })
        .collect();
    let wave = |i: usize, k: usize| ((i * 31 + k * 17) % 23) as f32;
    let values = |i: usize| {
        Ok(TrialValues {
            image: (0..144).map(|pixel| wave(i, pixel)).collect(),
            responses: (0..neurons).map(|n| 0.1 + wave(i, 5 * n)).collect(),
            behavior: Some((0..3).map(|k| 1.0 + wave(i, 7 + k)).collect()),
            pupil_center: Some(vec![wave(i, 3), wave(i, 4)]),
        })
    };
    let table = Neurons { ids: (0..neurons as i64).collect(), ..Neurons::default() };
    write(
        &bench.path("recording"),
        &Plan { neurons: &table, trials: &trials, image_shape: [1, 12, 12], clips: None },
        values,
    )
    .unwrap();
    let parts = ["model.modulator.layers=1", "model.shifter.layers=1", "schedule.max_steps=10"];
    bench.fit(&[&parts[..], &["--out", "run"]].concat()).succeeds();

    let session = recording::open(&bench.path("recording")).unwrap().sessions.remove(0);
    let stack = |stream: Stream, shape: &[usize], file: &str| {
        let all: Vec<f32> = (0..count).flat_map(|trial| session.read(stream, trial).unwrap()).collect();
        std::fs::write(bench.path(file), npy::write_f32(shape, &all)).unwrap();
    };
    stack(Stream::Images, &[count, 1, 12, 12], "images.npy");
    stack(Stream::Behavior, &[count, 3], "behavior.npy");
    stack(Stream::PupilCenter, &[count, 2], "pupil.npy");
    let predict = |data: &str, more: &[&str]| {
        bench.run(&[&["predict", "run", "--data", data, "--out", "o.npy"], more].concat())
    };
    predict("recording", &[]).succeeds();
    let recorded = bench.read("o.npy");
    let state = ["--behavior", "behavior.npy", "--pupil", "pupil.npy"];
    predict("images.npy", &state).succeeds();
    assert_eq!(bench.read("o.npy"), recorded);
    predict("images.npy", &state[..2]).succeeds();
    assert_ne!(bench.read("o.npy"), recorded, "the other is at its mean");

    let swapped = ["--behavior", "pupil.npy"];
    predict("images.npy", &swapped).fails(3, &["pupil.npy", "--behavior", "[80, 2]", "[80, 3]"]);
    predict("recording", &state).fails(2, &["--behavior", "recording"]);
    bench.fit(&["schedule.max_steps=5", "--out", "plain"]).succeeds();
    bench
        .run(&["predict", "plain", "--data", "images.npy", "--pupil", "pupil.npy", "--out", "no.npy"])
        .fails(2, &["--pupil", "not used"]);
}
