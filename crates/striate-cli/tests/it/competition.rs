//! Videos scored and handed in as Sensorium 2023 did.

use std::fs;

use serde_json::Value;
use striate::recording::npy::{self, write_f64};

use crate::bench::{Bench, Done};
use crate::video::{FIT, put_movies, with_movies_of};

/// Samples of each trial; the file holds two more.
const SAMPLES: usize = 62;
const STORED: usize = SAMPLES + 2;
const NEURONS: usize = 3;
/// Samples that the small core of [`FIT`] has no prediction for.
const LOST: usize = 3;
/// Samples that the competition does not score.
const SKIPPED: usize = 50;

/// A run on a mouse whose statistics have an s.d. for each frame, as the competition's have: the third neuron's are far
/// from each other.
fn with_run() -> Bench {
    let bench = with_movies_of(SAMPLES);
    put_statistics(&bench, "mouse");
    bench.run(&[&FIT[..], &["--out", "run", "model.output=softplus"]].concat()).succeeds();
    bench
}

fn put_statistics(bench: &Bench, folder: &str) {
    for statistic in ["mean", "std"] {
        let path = bench.path(&format!("{folder}/meta/statistics/responses/all/{statistic}.npy"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let sds: Vec<f64> =
            (0..NEURONS).flat_map(|neuron| (0..STORED).map(move |at| sd(neuron, at))).collect();
        fs::write(path, write_f64(&[NEURONS, STORED], &sds)).unwrap();
    }
}

fn sd(neuron: usize, frame: usize) -> f64 {
    let spread = [0.0, 0.3, 20.0][neuron];
    if frame < SAMPLES { 1.0 + spread * ((frame * 7) % 11) as f64 } else { f64::NAN }
}

fn scored(bench: &Bench, preset: &str) -> Value {
    let args = ["score", "run", "--tier", "oracle", "--preset", preset, "--null", "none", "--json"];
    serde_json::from_str(&bench.run(&args).succeeds().out).unwrap()
}

/// Mean over neurons of the correlation over the last frames of the oracle trials, each divided by `scale`.
fn by_hand(bench: &Bench, scale: impl Fn(usize, usize) -> f64) -> f64 {
    bench.run(&["predict", "run", "--data", "mouse", "--tier", "oracle", "--out", "p.npy"]).succeeds();
    let predicted = npy::parse(bench.read("p.npy")).unwrap().to_f64().unwrap();
    let (mut sum, frames) = (0.0, SAMPLES - LOST);
    for neuron in 0..NEURONS {
        let mut pairs = Vec::new();
        for place in 0..4 {
            let file = bench.read(&format!("mouse/data/responses/{}.npy", 4 + place));
            let recorded = npy::parse(file).unwrap().to_f64().unwrap();
            pairs.extend((SKIPPED..SAMPLES).map(|frame| {
                let prediction = predicted[(place * frames + frame - LOST) * NEURONS + neuron];
                let response = recorded[neuron * STORED + frame];
                [prediction / scale(neuron, frame), response / scale(neuron, frame)]
            }));
        }
        sum += pearson(&pairs);
    }
    sum / NEURONS as f64
}

fn pearson(pairs: &[[f64; 2]]) -> f64 {
    let mean = |f: &dyn Fn(&[f64; 2]) -> f64| pairs.iter().map(f).sum::<f64>() / pairs.len() as f64;
    let [a, b] = [mean(&|pair| pair[0]), mean(&|pair| pair[1])];
    let of = |f: &dyn Fn(f64, f64) -> f64| mean(&|pair| f(pair[0] - a, pair[1] - b));
    of(&|a, b| a * b) / (of(&|a, _| a * a) * of(&|_, b| b * b)).sqrt()
}

#[test]
fn frames_are_joined_without_the_first_fifty_in_the_units_of_either_rule() {
    let bench = with_run();
    let plain = scored(&bench, "leave-out");
    assert_eq!(plain["samples"], 4 * (SAMPLES - LOST));
    let mut means = Vec::new();
    for (preset, scale) in
        [("sensorium2023", &sd as &dyn Fn(usize, usize) -> f64), ("sensorium2023-per-neuron", &|_, _| 1.0)]
    {
        let report = scored(&bench, preset);
        assert_eq!(
            (&report["samples"], &report["preset"]),
            (&(4 * (SAMPLES - SKIPPED)).into(), &preset.into())
        );
        let mean = report["metrics"]["single_trial_correlation"]["mean"].as_f64().unwrap();
        assert!((mean - by_hand(&bench, scale)).abs() < 1e-6, "{preset}: {mean}");
        let note = report["notes"][0].as_str().unwrap();
        assert!(note.contains(preset) && note.contains("first 50 samples"), "{note}");
        means.push(mean);
    }
    assert!((means[0] - means[1]).abs() > 1e-3, "an s.d. for each frame changes correlations: {means:?}");
    let page = bench.run(&["score", "run", "--tier", "oracle", "--preset", "sensorium2023"]).succeeds().out;
    assert!(page.contains("4 trials (48 samples) · sensorium2023"), "{page}");
}

#[test]
fn what_cannot_be_scored_so_is_refused() {
    let score = |preset| ["score", "run", "--tier", "oracle", "--preset", preset];
    let bench = with_movies_of(SAMPLES);
    bench.run(&[&FIT[..], &["--out", "run"]].concat()).succeeds();
    bench.run(&score("sensorium2023")).fails(3, &["responses", "sensorium2023-per-neuron"]);
    bench.run(&score("sensorium2023-per-neuron")).succeeds();

    let bench = with_movies_of(50);
    bench.run(&[&FIT[..], &["--out", "run"]].concat()).succeeds();
    bench.run(&score("sensorium2023-per-neuron")).fails(3, &["trial 4", "50 samples", "nothing is left"]);

    let bench = Bench::with_recording();
    bench.fit(&["--out", "run"]).succeeds();
    bench
        .run(&["score", "run", "--preset", "sensorium2023"])
        .fails(2, &["--preset", "images", "sensorium2022"]);
}

const SUBMIT: [&str; 8] =
    ["submit", "run", "--data", "mouse", "--tier", "oracle", "--out", "s.parquet.brotli"];
const CHECK: [&str; 5] = ["submit", "--check", "s.parquet.brotli", "--data", "mouse"];

#[test]
fn what_is_handed_in_passes_the_check_and_scores_as_the_run() {
    let bench = with_run();
    assert_eq!(bench.run(&SUBMIT).succeeds().out, "s.parquet.brotli\n");
    let page = bench.run(&CHECK).succeeds().out;
    assert!(page.contains("mouse · tier oracle · 4 trials · 3 neurons · 4 rows"), "{page}");
    let line = page.lines().find(|line| line.starts_with("single_trial_correlation")).unwrap();
    let printed: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    let mean = scored(&bench, "sensorium2023")["metrics"]["single_trial_correlation"]["mean"].as_f64();
    assert!((printed - mean.unwrap()).abs() < 1e-4, "{line} {mean:?}");
    let other_tier = bench.run(&[&CHECK[..], &["--tier", "train"]].concat());
    finds(&other_tier, &["4 rows of trials that the tier does not have", "1 mice without a row"]);
    fs::rename(bench.path("mouse"), bench.path("other")).unwrap();
    let check = ["submit", "--check", "s.parquet.brotli", "--data", "other"];
    bench.run(&check).fails(3, &["names no trial of this recording", "name of a session's folder"]);
    let other_mouse = bench.run(&[&check[..], &["--tier", "oracle"]].concat());
    finds(
        &other_mouse,
        &["4 rows of mice that the recording does not have", "`mouse`, trial `4`", "mouse `other`"],
    );
}

fn finds(done: &Done, words: &[&str]) {
    assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
    for word in words {
        assert!(done.out.contains(word), "`{word}` is not in: {}", done.out);
    }
}

/// One file holds all mice of a run, or the one that is named.
#[test]
fn several_mice_are_handed_in_together() {
    let bench = Bench::new();
    for (salt, mouse) in ["a", "b"].into_iter().enumerate() {
        put_movies(&bench, &format!("mice/{mouse}"), SAMPLES, salt);
        put_statistics(&bench, &format!("mice/{mouse}"));
    }
    let mut fit = FIT.to_vec();
    fit[3] = "mice";
    bench.run(&[&fit[..], &["--out", "run"]].concat()).succeeds();
    let submit = ["submit", "run", "--data", "mice", "--tier", "oracle", "--out", "s.parquet"];
    let check = ["submit", "--check", "s.parquet", "--data", "mice"];
    bench.run(&submit).succeeds();
    let page = bench.run(&check).succeeds().out;
    assert!(page.contains("2 mice · tier oracle · 8 trials · 6 neurons · 8 rows"), "{page}");
    bench.run(&[&submit[..], &["--session", "b"]].concat()).succeeds();
    finds(&bench.run(&check), &["1 mice without a row", "mouse `a`"]);
    bench.run(&["submit", "--check", "s.parquet", "--data", "mice/b"]).succeeds();
}

#[test]
fn what_cannot_be_handed_in_is_refused_and_nothing_is_written() {
    let bench = with_run();
    let files = |bench: &Bench| fs::read_dir(bench.path("")).unwrap().count();
    let before = files(&bench);
    bench.run(&[&SUBMIT[..7], &["s.csv"]].concat()).fails(2, &["s.csv", ".parquet"]);
    bench.run(&[&FIT[..], &["--out", "some", "data.neurons=2"]].concat()).succeeds();
    let some = ["submit", "some", "--data", "mouse", "--tier", "oracle", "--out", "s.parquet"];
    bench.run(&some).fails(3, &["2 of the recording's 3"]);
    fs::write(bench.path("s.parquet"), "PAR1, no more").unwrap();
    bench
        .run(&["submit", "--check", "s.parquet", "--data", "mouse"])
        .fails(3, &["s.parquet", "cannot be read as Parquet"]);
    fs::remove_file(bench.path("s.parquet")).unwrap();
    assert_eq!(files(&bench), before + 1, "the run alone");

    let bench = with_movies_of(50);
    put_statistics(&bench, "mouse");
    bench.run(&[&FIT[..], &["--out", "run"]].concat()).succeeds();
    bench.run(&SUBMIT).fails(3, &["trial 4", "50 samples", "after the first 50"]);
}

/// Trials 0 to 3 were trained on, 4 to 7 are of the oracle tier.
#[test]
fn classes_of_stimuli_are_scored_on_their_own_and_new_ones_stand_apart() {
    let bench = with_movies_of(12);
    bench.run(&[&FIT[..], &["--out", "run"]].concat()).succeeds();
    let score = ["score", "run", "--tier", "oracle", "--null", "none"];
    let by_trial = |rows: &str| fs::write(bench.path("classes.csv"), format!("trial,class\n{rows}")).unwrap();
    let with_table = [&score[..], &["--classes", "classes.csv"]].concat();
    let report = || -> Value {
        serde_json::from_str(&bench.run(&[&with_table[..], &["--json"]].concat()).succeeds().out).unwrap()
    };
    let tested = "4,natural\n5,gabor\n6,natural\n7,gabor\n";
    by_trial(&format!("0,natural\n1,natural\n2,dots\n3,natural\n{tested}"));
    let classes = &report()["classes"];
    for (class, trained) in [("natural", true), ("gabor", false)] {
        let found = &classes[class];
        assert_eq!((&found["trained"], &found["trials"]), (&trained.into(), &2.into()), "{class}");
        assert_eq!(found["samples"], 2 * (12 - LOST));
        assert!(found["metrics"]["single_trial_correlation"]["mean"].is_f64());
    }
    assert_eq!(classes["dots"], Value::Null, "none of its trials is scored");
    let page = bench.run(&with_table).succeeds().out;
    let (trained, new) = page.split_once("never trained on").unwrap();
    assert!(trained.contains("  natural ") && new.contains("  gabor "), "{page}");
    bench.run(&["report", "run"]).succeeds();
    let html = String::from_utf8(bench.read("run/report.html")).unwrap();
    assert!(html.contains("never trained on") && html.contains("gabor"));

    by_trial(&tested.replace("5,", "005,"));
    assert_eq!(report()["classes"]["gabor"]["trials"], 2, "005 is trial 5");
    by_trial(tested);
    assert_eq!(report()["classes"]["gabor"]["trained"], Value::Null, "what was trained on is not told");
    by_trial("4,natural\n");
    let notes = report()["notes"].to_string();
    assert!(notes.contains("3 of 4 trials have no class"), "{notes}");

    by_trial("8,natural\n");
    bench.run(&with_table).fails(3, &["classes.csv", "row 1", "`8` is no trial", "0 to 7"]);
    by_trial("4,natural\n4,gabor\n");
    bench.run(&with_table).fails(3, &["row 2", "`gabor`, and of `natural`"]);
    fs::write(bench.path("classes.csv"), "stimulus,class\nmovie,natural\n").unwrap();
    bench.run(&with_table).fails(3, &["names nothing that this recording showed", "e.g. `movie-"]);
    fs::write(bench.path("classes.csv"), "trials,kind\n4,natural\n").unwrap();
    bench.run(&with_table).fails(3, &["trials, kind", "`class`"]);
}

#[test]
fn a_recording_may_tell_the_classes_itself() {
    let bench = with_movies_of(12);
    let classes: Vec<&str> = (0..8).map(|trial| if trial % 2 == 0 { "natural" } else { "dots" }).collect();
    fs::write(bench.path("mouse/meta/trials/stimulus_class.npy"), npy::write_strings(&classes)).unwrap();
    bench.run(&[&FIT[..], &["--out", "run"]].concat()).succeeds();
    let classes = &scored(&bench, "leave-out")["classes"];
    assert_eq!([&classes["natural"]["trials"], &classes["dots"]["trials"]], [&Value::from(2); 2]);
}
