//! Several sessions through the binary: one core, a head for each.

use std::fs;

use serde_json::Value;
use striate::array;
use striate::recording::npy::write_strings;

use crate::bench::Bench;
use crate::fit::survives;
use crate::video::{FIT, put_movies};

#[test]
fn kills_at_any_moment_of_a_fit_to_several_lose_nothing() {
    let bench = mice();
    put_movies(&bench, "mice/c", 12, 9);
    survives(&bench, &fit(&["schedule.max_steps=200", "schedule.check_every=20"]), "oracle", 4);
}

/// Three mice that saw the same movies and have other neurons.
fn mice() -> Bench {
    let bench = Bench::new();
    for (salt, mouse) in ["a", "b.1", "b_2"].into_iter().enumerate() {
        put_movies(&bench, &format!("mice/{mouse}"), 12, salt);
    }
    bench
}

fn fit<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut words = FIT.to_vec();
    words[3] = "mice";
    [&words[..], more].concat()
}

fn weights(bench: &Bench, run: &str) -> array::Arrays {
    array::load(&bench.path(run).join("checkpoints/last/weights.safetensors")).unwrap()
}

fn json(bench: &Bench, name: &str) -> Value {
    serde_json::from_slice(&fs::read(bench.path(name)).unwrap()).unwrap()
}

#[test]
fn one_core_is_fitted_to_several_mice_and_scored_on_each() {
    let bench = mice();
    let done = bench.run(&fit(&["--out", "run"])).succeeds();
    assert!(done.err.contains("3 sessions: 9 of 9 neurons; 12 trials to fit"), "{}", done.err);
    let names: Vec<String> = weights(&bench, "run").into_keys().collect();
    let of = |prefix: &str| names.iter().filter(|name| name.starts_with(prefix)).count();
    assert!(of("core.") > 0 && of("a/readout.") > 0, "{names:?}");
    assert_eq!(of("a/"), of("b.1/"));
    assert_eq!(of("core.") + 3 * of("b_2/"), names.len());

    let scored = bench.run(&["score", "run", "--tier", "oracle", "--json"]).succeeds();
    let report: Value = serde_json::from_str(&scored.out).unwrap();
    assert_eq!((&report["neurons"], &report["trials"]), (&9.into(), &12.into()));
    assert_eq!(report["sessions"].as_array().unwrap().len(), 3);
    let mean = |report: &Value| report["metrics"]["single_trial_correlation"]["mean"].as_f64().unwrap();
    let each: f64 = report["sessions"].as_array().unwrap().iter().map(mean).sum();
    assert!((mean(&report) - each / 3.0).abs() < 1e-9, "three neurons each");
    assert_eq!(json(&bench, "run/scores/oracle.json")["neurons"], 9);
    assert_eq!(json(&bench, "run/sessions/a/scores/oracle.json")["neurons"], 3);
    let table = bench.run(&["score", "run", "--tier", "oracle", "--null", "none"]).succeeds().out;
    assert!(table.contains("3 sessions") && table.contains("\nb.1 "), "{table}");
    let one = bench.run(&["score", "run", "--tier", "oracle", "--session", "b.1"]).succeeds().out;
    assert!(one.contains("run · b.1 · tier oracle · 3 neurons"), "{one}");
    bench.run(&["score", "run", "--session", "b"]).fails(2, &["--session", "no session of this run"]);

    bench.run(&["report", "run"]).succeeds();
    let page = String::from_utf8(bench.read("run/report.html")).unwrap();
    for text in ["one core, 3 sessions", "run · b_2"] {
        assert!(page.contains(text), "{text}");
    }
    let predict = ["predict", "run", "--data", "mice", "--tier", "oracle", "--out", "p.npy"];
    bench.run(&predict).fails(2, &["--session", "a, b.1, b_2"]);
    bench.run(&[&predict[..], &["--session", "b_2"]].concat()).succeeds();
    let asked = bench.run(&["explain", "run", "barcode"]).succeeds().out;
    assert_eq!(asked.matches("3 neurons").count(), 3, "{asked}");
}

#[test]
fn a_fit_to_several_goes_on_to_the_same_bits_in_either_order() {
    let bench = mice();
    for order in ["together", "in_turn"] {
        let sessions = format!("fit.sessions={order}");
        let out = |name: &str| format!("{order}-{name}");
        bench.run(&fit(&[&sessions, "schedule.max_steps=12", "--out", &out("whole")])).succeeds();
        bench.run(&fit(&[&sessions, "schedule.max_steps=6", "--out", &out("parts")])).succeeds();
        bench.run(&["fit", "--out", &out("parts"), "schedule.max_steps=12"]).succeeds();
        assert!(weights(&bench, &out("whole")) == weights(&bench, &out("parts")), "{order}");
    }
    assert!(weights(&bench, "together-whole") != weights(&bench, "in_turn-whole"));
}

#[test]
fn a_new_animal_takes_the_core_and_fits_its_head() {
    let bench = mice();
    bench.run(&fit(&["data.session=[\"a\", \"b.1\"]", "--out", "two"])).succeeds();
    let head = ["data.session=b_2", "fit.start_from=two", "fit.frozen=[\"core\"]", "--out", "new"];
    let done = bench.run(&fit(&head)).succeeds();
    let told =
        |what: &str, names: &str| done.err.lines().any(|line| line.starts_with(what) && line.contains(names));
    assert!(told("starts from given weights: ", "core.") && told("start anew: ", "readout."), "{}", done.err);
    let (two, new) = (weights(&bench, "two"), weights(&bench, "new"));
    let best = array::load(&bench.path("two/checkpoints/best/weights.safetensors")).unwrap();
    for (name, array) in new.iter().filter(|(name, _)| name.starts_with("core.") && !name.contains("running"))
    {
        assert_eq!(array, &best[name], "{name}");
    }
    assert!(new.keys().all(|name| !name.contains('/')) && two.keys().any(|name| name.contains('/')));
}

/// What is frozen as it was drawn at random would never be trained.
#[test]
fn frozen_weights_are_those_that_are_given_or_the_user_is_told() {
    let bench = mice();
    bench.run(&fit(&["data.session=[\"a\", \"b.1\"]", "--out", "two"])).succeeds();
    let head = ["data.session=b_2", "fit.start_from=two", "fit.frozen=[\"core\"]", "--out", "new"];
    let told = ["fit.frozen", "core.", "two/config.toml", "data.session=b_2", "fit.start_from=two"];
    bench.run(&fit(&[&head[..], &["model.core.spatial_kernels=[5]"]].concat())).fails(2, &told);
    let other = [&head[..], &["model.core.spatial_kernels=[5]", "model.core.temporal_kernels=[3]"]].concat();
    bench.run(&fit(&other)).fails(2, &["two/config.toml"]);
    // The cure that is told, and that of the README.
    let cure = ["fit", "two/config.toml", "--data", "mice"];
    bench.run(&[&cure[..], &head[..]].concat()).succeeds();
    let one = ["data.session=", "fit.start_from=two", "fit.frozen=[\"core\"]", "--out", "one"];
    bench.run(&[&["fit", "two/config.toml", "--data", "mice/b_2"][..], &one[..]].concat()).succeeds();
    let random = ["data.session=b_2", "fit.frozen=[\"core\"]", "--out", "random"];
    let done = bench.run(&fit(&random)).succeeds();
    assert!(done.err.contains("frozen as they are drawn: core."), "{}", done.err);
}

#[test]
fn trials_of_several_are_left_out_by_name_and_by_length_as_the_hints_say() {
    let bench = mice();
    put_movies(&bench, "short", 7, 0);
    for stream in ["videos", "responses", "behavior", "pupil_center"] {
        let file = format!("data/{stream}/3.npy");
        fs::copy(bench.path("short").join(&file), bench.path("mice/a").join(&file)).unwrap();
    }
    let told = ["mice/a", "trial 3", "data.exclude_trials=samples<8"];
    bench.run(&fit(&["--out", "no"])).fails(3, &told);
    assert!(!bench.path("no").exists());
    for (out, which) in [("rule", "data.exclude_trials=samples<8"), ("list", "data.exclude_trials=[\"a:3\"]")]
    {
        bench.run(&fit(&[which, "--out", out])).succeeds();
        assert_eq!(json(&bench, &format!("{out}/sessions/a/twin.json"))["left_out"], serde_json::json!([3]));
        assert!(json(&bench, &format!("{out}/sessions/b_1/twin.json")).get("left_out").is_none(), "{which}");
    }
    assert!(weights(&bench, "rule") == weights(&bench, "list"));
    let told = ["data.exclude_trials", "no session of this fit is called `x`"];
    bench.run(&fit(&["data.exclude_trials=[\"x:3\"]", "--out", "no"])).fails(2, &told);
}

#[test]
fn animals_that_changed_their_names_are_not_taken_for_one_another() {
    let bench = mice();
    bench.run(&fit(&["--out", "run"])).succeeds();
    for (from, to) in [("a", "c"), ("b.1", "a"), ("c", "b.1")] {
        fs::rename(bench.path("mice").join(from), bench.path("mice").join(to)).unwrap();
    }
    const TOLD: [&str; 2] = ["holds under the name `a` what the run was fitted to as `b.1`", "hint: "];
    bench.run(&["score", "run", "--tier", "oracle", "--data", "mice"]).fails(3, &TOLD);
    bench.run(&["score", "run", "--tier", "oracle"]).fails(3, &TOLD);
    let predict = ["predict", "run", "--data", "mice", "--session", "a", "--out", "p.npy"];
    bench.run(&predict).fails(3, &TOLD);
    let submit = ["submit", "run", "--data", "mice", "--tier", "oracle", "--out", "s.parquet"];
    bench.run(&submit).fails(3, &TOLD);
}

#[test]
fn a_fit_to_several_starts_from_the_core_and_from_heads_of_the_same_animals() {
    let bench = mice();
    bench.run(&fit(&["data.session=[\"a\", \"b.1\"]", "--out", "two"])).succeeds();
    let frozen = ["seed=9", "fit.start_from=two", "fit.frozen=[\"core\", \"readout\"]", "--out", "no"];
    bench.run(&fit(&frozen)).fails(2, &["fit.frozen", "start anew", "b_2/readout.", "two/config.toml"]);
    let start = ["seed=9", "fit.start_from=two", "fit.learning_rate=1e-9", "--out", "three"];
    bench.run(&fit(&start)).succeeds();
    let two = array::load(&bench.path("two/checkpoints/best/weights.safetensors")).unwrap();
    let three = weights(&bench, "three");
    let same = |prefix: &str| {
        let of = three.iter().filter(|(name, _)| name.starts_with(prefix) && !name.contains("running"));
        let of: Vec<_> = of.collect();
        assert!(!of.is_empty(), "{prefix}");
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        of.into_iter()
            .all(|(name, array)| two.get(name).is_some_and(|known| near(&known.values, &array.values)))
    };
    assert!(same("core.") && same("a/readout.") && same("b.1/readout."));
    assert!(!same("b_2/readout."), "an animal that the first did not know");
    assert!(three["b_2/readout.features"] != three["a/readout.features"], "its head is drawn anew");
}

#[test]
fn several_runs_on_several_sessions_answer_together_and_are_compared_animal_by_animal() {
    let bench = mice();
    for seed in ["1", "2"] {
        bench.run(&fit(&[&format!("seed={seed}"), "--out", seed])).succeeds();
    }
    bench.run(&["ensemble", "1", "2", "--out", "mean"]).succeeds();
    let score = |run: &str| {
        let scored = bench.run(&["score", run, "--tier", "oracle", "--json", "--null", "none"]).succeeds();
        serde_json::from_str::<Value>(&scored.out).unwrap()
    };
    let report = score("mean");
    assert_eq!((&report["neurons"], report["sessions"].as_array().unwrap().len()), (&9.into(), 3));
    let predicted = |run: &str| {
        let words =
            ["predict", run, "--session", "b.1", "--data", "mice", "--tier", "oracle", "--out", "p.npy"];
        bench.run(&words).succeeds();
        striate::recording::npy::parse(bench.read("p.npy")).unwrap()
    };
    let of = ["1", "2", "mean"].map(|run| predicted(run).to_f32().unwrap());
    assert!(of[0] != of[1]);
    for ((first, second), mean) in of[0].iter().zip(&of[1]).zip(&of[2]) {
        assert!(((first + second) / 2.0 - mean).abs() < 1e-5, "{first} {second} {mean}");
    }

    let page = |words: &[&str]| {
        bench.run(&[&["report"], words, &["--out", "page.html"]].concat()).succeeds();
        String::from_utf8(bench.read("page.html")).unwrap()
    };
    let alone = page(&["mean"]);
    for text in ["mean: one core, 3 sessions", "mean · b_2"] {
        assert!(alone.contains(text), "{text}");
    }
    // Four trials of each mouse train it, twelve the run.
    for text in ["Nothing to show yet", "nothing to pair", "differences below", " or 12"] {
        assert!(!alone.contains(text), "{text}");
    }
    for run in ["1", "2"] {
        score(run);
    }
    let both = page(&["1", "2"]);
    assert!(both.contains("2 runs compared: 1, 2") && both.contains("differences below"));
    for mouse in ["a", "b.1", "b_2"] {
        let pairs = |run: &str| both.matches(&format!("{run} · {mouse} − ")).count();
        assert_eq!(pairs("1") + pairs("2"), 1, "{mouse} of the one beside {mouse} of the other");
    }
    assert!(!both.contains("not known to be of one recording"));

    bench.run(&fit(&["data.session=[\"a\", \"b.1\"]", "--out", "other"])).succeeds();
    assert!(page(&["1", "other"]).contains("not known to be of one recording"));

    let card = "mean/members/01/sessions/a/twin.json";
    fs::write(bench.path(card), [bench.read(card), b"\n".to_vec()].concat()).unwrap();
    bench.run(&["score", "mean", "--tier", "oracle"]).fails(3, &["members/01/sessions: is not what"]);
}

#[test]
fn sessions_that_one_core_cannot_see_are_refused_by_name_before_anything_is_written() {
    let bench = mice();
    let refused = |words: &[&str], told: &[&str]| {
        bench.run(&fit(words)).fails(if told[0].starts_with("data.") { 2 } else { 3 }, told);
        assert!(!bench.path("run").exists(), "{words:?}");
    };
    refused(&["data.exclude_trials=[3]", "--out", "run"], &["data.exclude_trials", "several"]);
    bench.run(&fit(&["data.session=c", "--out", "run"])).fails(2, &["data.session", "hint: "]);
    bench
        .run(&fit(&["data.session=[\"a\", \"a\"]", "--out", "run"]))
        .fails(2, &["data.session", "`a` twice"]);
    put_movies(&bench, "mice/copy", 12, 0);
    refused(&["--out", "run"], &["mice/copy", "holds the same as session `a`"]);
    fs::remove_dir_all(bench.path("mice/copy")).unwrap();
    put_movies(&bench, "mice/b_1", 12, 7);
    refused(&["--out", "run"], &["b.1", "b_1", "one name"]);
    fs::remove_dir_all(bench.path("mice/b_1")).unwrap();
    fs::remove_dir_all(bench.path("mice/b_2/data/pupil_center")).unwrap();
    bench.run(&fit(&["--out", "run"])).fails(2, &["pupil_center", "b_2"]);
    bench.run(&fit(&["model.shifter=none", "--out", "without"])).succeeds();
    fs::remove_dir_all(bench.path("mice/b_2/data/behavior")).unwrap();
    bench.run(&fit(&["model.shifter=none", "--out", "run"])).fails(2, &["behavior", "b_2"]);
}

/// What is asked of several heads is asked of the animal of each, and of no other.
#[test]
fn a_head_is_never_scored_on_another_animal_unasked() {
    let bench = mice();
    bench.run(&fit(&["--out", "run"])).succeeds();
    let score = ["score", "run", "--tier", "oracle", "--null", "none"];
    let told = ["holds no session `b.1`", "--session"];
    bench.run(&[&score[..], &["--data", "mice/a"]].concat()).fails(3, &told);
    bench.run(&[&score[..], &["--data", "mice/a", "--session", "a"]].concat()).succeeds();
    bench
        .run(&[&score[..], &["--data", "mice/b_2", "--session", "a"]].concat())
        .fails(3, &["holds no session `a`"]);
    fs::rename(bench.path("mice"), bench.path("away")).unwrap();
    fs::rename(bench.path("away/b.1"), bench.path("away/renamed")).unwrap();
    bench.run(&[&score[..], &["--data", "away"]].concat()).succeeds();
    fs::rename(bench.path("away"), bench.path("mice")).unwrap();
    fs::remove_dir_all(bench.path("mice/renamed")).unwrap();
    bench.run(&score).fails(3, &told);

    fs::write(bench.path("classes.csv"), "class,trial\nnat,4\n").unwrap();
    bench.run(&[&score[..], &["--classes", "classes.csv"]].concat()).fails(2, &["--classes", "--session"]);
    let other =
        bench.run(&["score", "run", "--session", "a"]).fails(3, &["`test`", "run --session a --tier oracle"]);
    assert!(!other.err.contains("the other sessions"), "{}", other.err);
    bench.run(&["score", "run"]).fails(3, &["`test`", "striate score run --tier oracle"]);
    let manifest = String::from_utf8(bench.read("run/manifest.json")).unwrap();
    fs::write(
        bench.path("run/manifest.json"),
        manifest.replace("\"session\": \"b_2\"", "\"session\": \"a\""),
    )
    .unwrap();
    bench.run(&score).fails(3, &["manifest.json", "sessions"]);
}

#[test]
fn a_run_that_lost_an_animal_is_refused() {
    let bench = mice();
    bench.run(&fit(&["--out", "run"])).succeeds();
    fs::remove_dir_all(bench.path("run/sessions/b_1")).unwrap();
    for verb in [["report", "run"], ["score", "run"]] {
        bench.run(&verb).fails(3, &["run/manifest.json", "names other sessions than this run keeps"]);
    }
}

#[test]
fn movies_that_another_animal_was_trained_on_are_told_with_the_score() {
    let bench = mice();
    // What the first is tested with, the second is trained with.
    let mut tiers = crate::video::TIERS;
    (tiers[0], tiers[4]) = ("live_test_main", "oracle");
    fs::write(bench.path("mice/a/meta/trials/tiers.npy"), write_strings(&tiers)).unwrap();
    let done = bench.run(&fit(&["--out", "run"])).succeeds();
    assert!(done.err.contains("a: 1 of 1 trials of tier `live_test_main` show movies"), "{}", done.err);
    let score = ["score", "run", "--session", "a", "--tier", "live_test_main"];
    let scored = bench.run(&score).succeeds().out;
    assert!(
        scored.contains("1 of 1 trials show movies that the core was fitted to in another session"),
        "{scored}"
    );
}
