//! `striate config`, and configurations through `striate fit`.

use crate::bench::Bench;

#[test]
fn lists_presets_and_prints_one_that_fits() {
    let bench = Bench::with_recording();
    let presets = bench.run(&["config"]).succeeds().out;
    for line in presets.lines() {
        let name = line.split_whitespace().next().unwrap();
        let text = bench.run(&["config", name]).succeeds().out;
        assert!(text.starts_with("# ") && text.contains("[model.core]"), "{text}");
    }
    let demo = bench.run(&["config", "demo"]).succeeds().out;
    std::fs::write(bench.path("my.toml"), demo.replace("path = \"\"", "path = \"recording\"")).unwrap();
    let changes = ["model.core.kernels=[5]", "schedule.max_steps=2"];
    bench.run(&[&["fit", "my.toml", "--out", "run"], &changes[..]].concat()).succeeds();
    let resolved = String::from_utf8(bench.read("run/config.toml")).unwrap();
    assert!(resolved.contains("kernels = [5]") && resolved.contains("path = \"recording\""), "{resolved}");
}

#[test]
fn the_options_of_another_kind_of_part_can_be_printed() {
    let bench = Bench::new();
    let changed = ["config", "sensorium2022", "model.readout.kind=point_pooled", "model.modulator.layers=1"];
    let text = bench.run(&changed).succeeds().out;
    assert!(text.contains("pool_steps = ") && text.contains("[model.modulator]"), "{text}");
    bench.run(&["config", "whatwhere", "model.readout.kind=gausian"]).fails(2, &["did you mean `gaussian`?"]);
}

#[test]
fn what_cannot_be_fitted_is_not_printed() {
    let bench = Bench::new();
    let gaussian = ["config", "whatwhere", "model.readout.kind=gaussian"];
    assert!(bench.run(&gaussian).succeeds().out.contains("readout_l1 = 0.0"));
    let asked = [&gaussian[..], &["model.penalty.readout_l1=0.1"]].concat();
    bench.run(&asked).fails(2, &["model.penalty.readout_l1", "masks"]);
    bench.run(&["config", "whatwhere", "model.core.dropout=2"]).fails(2, &["model.core.dropout"]);
}

#[test]
fn a_file_can_be_changed_and_printed() {
    let bench = Bench::new();
    let first = bench.run(&["config", "demo", "seed=3"]).succeeds().out;
    std::fs::write(bench.path("my.toml"), &first).unwrap();
    assert_eq!(bench.run(&["config", "my.toml"]).succeeds().out, first);
    let changed = bench.run(&["config", "my.toml", "seed=4"]).succeeds().out;
    assert_eq!(changed, first.replace("seed = 3", "seed = 4"));
    bench.run(&["config", "my.toml", "sede=4"]).fails(2, &["my.toml", "did you mean `seed`?"]);
}

#[test]
fn an_unknown_preset_exits_with_2_and_the_nearest_name() {
    let bench = Bench::new();
    bench.run(&["config", "whatwere"]).fails(2, &["did you mean `whatwhere`?"]);
    bench.run(&["fit", "demmo", "--data", "x", "--out", "run"]).fails(2, &["did you mean `demo`?"]);
    bench.run(&["fit", "no/such.toml", "--data", "x", "--out", "run"]).fails(2, &["no/such.toml", "hint: "]);
    assert!(bench.files("").is_empty());
}

#[test]
fn wrong_options_exit_with_2_and_leave_nothing() {
    let bench = Bench::with_recording();
    let refused = |change: &str, words: &[&str]| {
        bench.fit(&[change, "--out", "run"]).fails(2, words);
        assert!(!bench.path("run").exists(), "{change} leaves {:?}", bench.files("run"));
    };
    refused("model.core.chanels=[3]", &["chanels", "did you mean `model.core.channels`?"]);
    refused("modle.core.channels=[3]", &["did you mean `model`?"]);
    refused("fit.loss=poison", &["did you mean `poisson`?"]);
    refused("fit.batch=0", &["fit.batch"]);
    refused("fit.batch=-3", &["fit.batch"]);
    refused("fit.learning_rate=nan", &["fit.learning_rate"]);
    refused("model.core.kernels=[40]", &["model.core.kernels", "does not fit"]);
    refused("model.core.kernels=[]", &["model.core.channels", "lists"]);
    refused("model.core.pool=0", &["model.core"]);
    refused("model.penalty.laplace_time=1", &["model.penalty.laplace_time", "along time"]);
    refused("model.core.init_sd=nan", &["model.core.init_sd"]);
    refused("data.neurons=9", &["data.neurons", "has 8"]);
    refused("data.train_trials=1000", &["data.train_trials"]);
    refused("data.session=other", &["data.session"]);
    refused("fit.batch", &["key=value"]);
}

/// A key in a file is named with the file.
#[test]
fn an_unknown_key_in_a_file_names_the_file() {
    let bench = Bench::with_recording();
    let demo = bench.run(&["config", "demo"]).succeeds().out;
    std::fs::write(bench.path("my.toml"), demo.replace("patience =", "patiense =")).unwrap();
    let fit = ["fit", "my.toml", "--data", "recording", "--out", "run"];
    bench.run(&fit).fails(2, &["my.toml", "did you mean `schedule.patience`?"]);
}

#[test]
fn text_that_looks_like_a_number_is_text() {
    let bench = Bench::with_recording();
    std::fs::rename(bench.path("recording"), bench.path("20457")).unwrap();
    let fit = ["fit", "demo", "--out", "run", "data.path=20457", "model.core.kernels=[5]"];
    bench.run(&[&fit, &["schedule.max_steps=2"][..]].concat()).succeeds();
}

#[test]
fn paths_may_hold_apostrophes_and_spaces() {
    let bench = Bench::with_recording();
    let path = "O'Brien's \"mouse\" 3";
    std::fs::rename(bench.path("recording"), bench.path(path)).unwrap();
    let fit = ["fit", "demo", "--out", "run's", "--data", path, "model.core.kernels=[5]"];
    bench.run(&[&fit, &["schedule.max_steps=2"][..]].concat()).succeeds();
    bench.run(&["score", "run's"]).succeeds();
}
