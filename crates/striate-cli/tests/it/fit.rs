//! `striate fit`: kills, interrupts, full disks and damaged data, through the binary.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use striate::recording::npy;

use crate::bench::{Bench, Done, FIT};

const RESUME: [&str; 3] = ["fit", "--out", "run"];

/// A second or two in a debug build: long enough to be killed in.
const LONG: [&str; 4] =
    ["schedule.max_steps=600", "schedule.patience=1000", "schedule.check_every=10", "fit.shuffle_first=true"];

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn fits_and_prints_the_run() {
    let bench = Bench::with_recording();
    let done = bench.fit(&["--out", "run"]).succeeds();
    assert_eq!(done.out, "run\n");
    assert!(done.err.contains("best val_loss"), "{}", done.err);
    let manifest: Value = serde_json::from_slice(&bench.read("run/manifest.json")).unwrap();
    assert_eq!((&manifest["status"], &manifest["recording"]["neurons"]), (&"finished".into(), &8.into()));
    // Two 5×5 kernels; masks of 8×8 pixels and two feature weights for each of 8 neurons.
    assert_eq!(manifest["parameters"], serde_json::json!({"core": 50, "readout": 8 * 66}));
    assert_eq!(manifest["total_parameters"], 578);
    let left: Vec<String> = bench.files("run").into_iter().filter(|file| file.contains("tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
    // A finished run stays as it is.
    let before = bench.result("run");
    bench.run(&RESUME).succeeds();
    assert_eq!(bench.result("run"), before);
}

#[test]
fn the_recording_must_be_named_and_there() {
    let bench = Bench::new();
    bench.run(&["fit", "demo", "--out", "run"]).fails(2, &["data.path", "--data"]);
    bench.run(&["fit", "--out", "run"]).fails(2, &["preset"]);
    bench.run(&["fit", "demo", "--data", "none", "--out", "run"]).fails(3, &["none"]);
    assert!(bench.files("").is_empty(), "{:?}", bench.files(""));
    assert_eq!(bench.run(&["fit", "demo", "--data", "none"]).code, Some(2));
}

#[test]
fn a_run_keeps_its_configuration() {
    let bench = Bench::with_run();
    let before = bench.result("run");
    bench.fit(&["--out", "run"]).succeeds();
    bench.fit(&["seed=9", "--out", "run"]).fails(2, &["other settings: seed is 1 there, 9 here", "hint: "]);
    bench.run(&["fit", "whatwhere", "--data", "recording", "--out", "run"]).fails(2, &["other settings"]);
    bench.run(&["fit", "--data", "recording", "--out", "run"]).succeeds();
    bench.run(&["fit", "seed=9", "--out", "run"]).fails(2, &["seed is 1 there, 9 here"]);
    bench.run(&["fit", "seed=9", "--out", "other"]).fails(2, &["name a configuration file or a preset"]);
    assert_eq!(bench.result("run"), before);
}

/// A run knows its recording by its content, wherever it lies.
#[test]
fn a_recording_may_move() {
    let bench = Bench::with_run();
    let before = bench.result("run");
    fs::rename(bench.path("recording"), bench.path("moved")).unwrap();
    bench.run(&RESUME).fails(3, &["recording"]);
    bench.run(&["fit", "--data", "moved", "--out", "run"]).succeeds();
    bench.run(&RESUME).succeeds();
    bench.run(&["score", "run", "--null", "none"]).succeeds();
    assert_eq!(bench.result("run"), before);
    let simulate = ["simulate", "klindt-linear", "--out", "other", "neurons=4", "samples=20", "test=2"];
    bench.run(&simulate).succeeds();
    let told = ["other", "is not the recording this run began with", "responses"];
    bench.run(&["fit", "--data", "other", "--out", "run"]).fails(3, &told);
}

/// A fit that had too few steps goes on to what it would have been with more.
#[test]
fn more_steps_go_on_where_fewer_ended() {
    let bench = Bench::with_run();
    bench.fit(&["schedule.max_steps=60", "--out", "long"]).succeeds();
    assert_ne!(bench.result("run"), bench.result("long"));
    bench.fit(&["schedule.max_steps=60", "--out", "run"]).succeeds();
    assert_eq!(bench.result("run"), bench.result("long"));
    let config = String::from_utf8(bench.read("run/config.toml")).unwrap();
    assert!(config.contains("max_steps = 60"), "{config}");
    bench.fit(&["--out", "run"]).fails(2, &["schedule.max_steps is 60 there, 40 here"]);
    bench.run(&["fit", "--out", "run", "schedule.max_steps=80"]).succeeds();
    bench.fit(&["schedule.max_steps=80", "--out", "longer"]).succeeds();
    assert_eq!(bench.result("run"), bench.result("longer"));
    let advised = |done: Done| done.err.contains("more steps: striate fit --out");
    assert!(advised(bench.fit(&["--out", "even"]).succeeds()));
    assert!(!advised(bench.fit(&["schedule.max_steps=42", "--out", "odd"]).succeeds()));
    assert!(!advised(bench.fit(&["schedule.max_steps=42", "--out", "odd"]).succeeds()), "nor later");
    bench.fit(&["schedule.max_steps=60", "--out", "odd"]).fails(2, &["step 42, between two checks"]);
}

#[test]
fn larger_images_are_made_smaller() {
    let bench = Bench::with_recording();
    let done = bench.fit(&["data.image_height=8", "--out", "run"]).succeeds();
    assert!(done.err.contains("images of 8x8 pixels"), "{}", done.err);
    let card: serde_json::Value = serde_json::from_slice(&bench.read("run/twin.json")).unwrap();
    assert_eq!(card["image_shape"], serde_json::json!([1, 12, 12]), "as recorded");
    bench.run(&["score", "run", "--null", "none"]).succeeds();
    bench.run(&["predict", "run", "--data", "recording", "--out", "all.npy"]).succeeds();
    bench.run(&["explain", "run", "barcode", "seeds=2", "most=2"]).succeeds();
    bench.run(&["report", "run"]).succeeds();
}

/// A second process leaves the files of the first as they are, however little of it there is.
#[test]
fn a_run_that_is_being_fitted_is_left_alone() {
    let bench = Bench::with_run();
    for name in ["twin.json", "checkpoints", "explain", "neurons.parquet", "neurons.csv"] {
        fs::rename(bench.path("run").join(name), bench.path(name)).unwrap();
    }
    let held = striate::run::RunFolder::open(&bench.path("run")).unwrap().lock().unwrap();
    let before = [bench.read("run/config.toml"), bench.read("run/manifest.json")];
    bench.fit(&["seed=77", "--out", "run"]).fails(2, &["another process"]);
    assert!(before == [bench.read("run/config.toml"), bench.read("run/manifest.json")]);
    drop(held);
    bench.fit(&["seed=77", "--out", "run"]).succeeds();
}

/// Of two fits in one fresh folder the folder describes the one that holds the weights.
#[test]
fn of_two_at_once_the_folder_is_one_of_them() {
    let bench = Bench::with_recording();
    for _ in 0..3 {
        let seeds = ["1", "2"];
        let start = |seed: &&str| {
            let seed = format!("seed={seed}");
            bench.command(&[FIT, &LONG, &["schedule.max_steps=60", &seed, "--out", "two"]].concat()).spawn()
        };
        let both: Vec<Child> = seeds.iter().map(|seed| start(seed).unwrap()).collect();
        let ends: Vec<Done> =
            both.into_iter().map(|child| child.wait_with_output().unwrap().into()).collect();
        let (winner, loser) = if ends[0].code == Some(0) { (0, 1) } else { (1, 0) };
        assert_eq!((ends[winner].code, ends[loser].code), (Some(0), Some(2)), "{ends:?}");
        let config = String::from_utf8(bench.read("two/config.toml")).unwrap();
        assert!(config.contains(&format!("\nseed = {}\n", seeds[winner])), "{config}");
        let manifest: Value = serde_json::from_slice(&bench.read("two/manifest.json")).unwrap();
        assert_eq!(manifest["seed"].to_string(), seeds[winner]);
        fs::remove_dir_all(bench.path("two")).unwrap();
    }
}

/// After a kill at any moment later verbs say what the run is, and name the model that is kept.
#[test]
fn a_killed_run_is_said_to_be_killed() {
    let bench = Bench::with_recording();
    let mut child = bench.command(&[FIT, &LONG, &["--out", "run"]].concat()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut lines = lines.filter(|line| line.contains("step ") && line.contains("val "));
    lines.by_ref().take(4).for_each(drop);
    let running = bench.run(&["report", "run"]).succeeds();
    let page = String::from_utf8(bench.read("run/report.html")).unwrap();
    assert!(page.contains("running, last saved at step "), "{}", running.err);
    child.kill().unwrap();
    child.wait().unwrap();
    let score = bench.run(&["score", "run", "--tier", "validation", "--null", "none"]).succeeds();
    assert!(score.err.contains("interrupted at step ") && score.err.contains("(killed)"), "{}", score.err);
    bench.run(&["report", "run"]).succeeds();
    let page = String::from_utf8(bench.read("run/report.html")).unwrap();
    assert!(page.contains("(killed); can be resumed"));
    let kept: Value = serde_json::from_slice(&bench.read("run/checkpoints/best/state.json")).unwrap();
    assert!(page.contains(&format!("at step {}", kept["step"])));
}

/// What can be known is refused before anything is written; the rest ends as a failure, and says so ever after.
#[test]
fn a_fit_that_cannot_be_judged_is_no_success() {
    let bench = Bench::with_recording_of(&["samples=4", "validation=1"]);
    let judged = ["schedule.monitor=correlation", "fit.batch=2", "schedule.max_steps=10", "--out"];
    let told = ["validation tier (1 trial)", "schedule.monitor", "hint: "];
    bench.fit(&[&judged[..], &["run"]].concat()).fails(3, &told);
    assert!(!bench.path("run").exists());
    let sweep = "base = \"demo\"\n[set]\n\"model.core.kernels\" = [5]\n\"schedule.monitor\" = \"correlation\"\n\
                 \"schedule.max_steps\" = 4\n[[grid]]\nseed = [1]\n";
    fs::write(bench.path("sweep.toml"), sweep).unwrap();
    let swept = bench.run(&["sweep", "sweep.toml", "--data", "recording", "--out", "grid"]);
    assert!(swept.fails(1, &["validation tier"]).out.contains("validation tier (1 trial)"));
}

/// The loss of the validation trials overflows at every check.
#[test]
fn a_fit_that_was_never_judged_has_failed_and_says_so_ever_after() {
    let bench = Bench::with_recording();
    for trial in 128..160 {
        let file = bench.path(&format!("recording/data/responses/{trial}.npy"));
        fs::write(file, npy::write_f32(&[8], &[1e30; 8])).unwrap();
    }
    let told = ["keeps no model", "`val_loss` on the validation tier (32 trials)"];
    bench.fit(&["--out", "run"]).fails(1, &told);
    bench.run(&RESUME).fails(1, &told);
    bench.run(&["score", "run"]).fails(3, &["the fit failed", "keeps no model"]);
    bench.run(&["predict", "run", "--data", "recording", "--out", "x.npy"]).fails(3, &["the fit failed"]);
    bench.run(&["report", "run"]).succeeds();
    let page = String::from_utf8(bench.read("run/report.html")).unwrap();
    assert!(page.contains("The fit failed: keeps no model"));
}

#[test]
fn an_absurd_value_is_named_before_the_learning_rate_is() {
    let bench = Bench::with_recording();
    let wild = npy::write_f32(&[8], &[1.0, 1.0, 1.0, 1e30, 1.0, 1.0, 1.0, 1.0]);
    fs::write(bench.path("recording/data/responses/3.npy"), wild).unwrap();
    let done = bench.fit(&["--out", "run"]).fails(3, &["trial 3", "`responses`", "neuron 3", "1e30"]);
    assert!(!done.err.contains("learning_rate"), "{}", done.err);
    bench.run(&["score", "run"]).fails(3, &["the fit failed"]);
}

#[test]
fn losses_without_meaning_are_refused() {
    let bench = Bench::with_recording();
    bench.fit(&["fit.loss=poisson", "--out", "run"]).fails(2, &["model.output", "below 0"]);
    let rates = ["fit.loss=poisson", "model.output=softplus", "--out", "run"];
    bench.fit(&rates).fails(2, &["fit.loss", "responses below 0"]);
    bench.fit(&["--out", "run"]).succeeds();
}

#[test]
fn a_refused_fit_does_not_stand_in_the_way_of_the_next() {
    let bench = Bench::with_recording();
    bench.fit(&["fit.frozen=[\"core.layers.9\"]", "--out", "run"]).fails(2, &["fit.frozen"]);
    bench.fit(&["--out", "run"]).succeeds();
}

#[test]
fn a_run_folder_of_a_newer_format_is_refused() {
    let bench = Bench::with_run();
    let text = String::from_utf8(bench.read("run/manifest.json")).unwrap();
    fs::write(bench.path("run/manifest.json"), text.replace("\"format\": 1", "\"format\": 99")).unwrap();
    for args in [&RESUME[..], &["score", "run"], &["report", "run"]] {
        bench.run(args).fails(3, &["newer striate", "manifest.json"]);
    }
    bench.run(&["predict", "run", "--data", "recording", "--out", "x.npy"]).fails(3, &["newer striate"]);
}

#[test]
fn a_recording_without_training_images_is_refused_plainly() {
    let bench = Bench::with_recording();
    (0..128).for_each(|trial| {
        fs::remove_file(bench.path(&format!("recording/data/images/{trial}.npy"))).unwrap()
    });
    bench.fit(&["--out", "run"]).fails(3, &["training images are missing", "hint: "]);
    assert!(!bench.path("run").exists());
}

#[test]
fn a_damaged_trial_is_named_and_the_fit_goes_on_once_it_is_repaired() {
    let bench = Bench::with_recording();
    // Trial 0 is one of those that tell whether a recording is the same.
    let file = bench.path("recording/data/responses/0.npy");
    let intact = fs::read(&file).unwrap();
    fs::write(&file, npy::write_f64(&[8], &[f64::NAN; 8])).unwrap();
    bench.fit(&["--out", "run"]).fails(3, &["0.npy", "trial 0", "NaN"]);
    assert!(!bench.files("run").iter().any(|file| file.contains("checkpoints")));
    fs::write(&file, intact).unwrap();
    bench.run(&RESUME).succeeds();
    bench.run(&RESUME).succeeds();
}

#[test]
fn a_recording_that_changed_is_not_gone_on_with() {
    let bench = Bench::with_recording();
    interrupted(&bench);
    bench
        .run(&[
            "simulate",
            "klindt-linear",
            "--out",
            "recording",
            "neurons=8",
            "side=12",
            "kernel=5",
            "samples=160",
            "test=10",
            "test_repeats=4",
            "seed=4",
        ])
        .succeeds();
    bench.run(&RESUME).fails(3, &["not the recording this run began with"]);
}

/// Any value of any trial, and not only of those that early versions looked at.
#[test]
fn what_changed_in_the_recording_is_named() {
    let bench = Bench::with_recording();
    bench.fit(&["schedule.max_steps=20", "--out", "run"]).succeeds();
    let changes = [
        ("images", "recording/data/images/5.npy", npy::write_f32(&[1, 12, 12], &[0.5; 144])),
        ("responses", "recording/data/responses/7.npy", npy::write_f32(&[8], &[1.0; 8])),
        ("statistics", "recording/meta/statistics/responses/all/std.npy", npy::write_f32(&[8], &[2.0; 8])),
    ];
    for (stream, file, bytes) in changes {
        let intact = bench.read(file);
        fs::write(bench.path(file), bytes).unwrap();
        let told = format!("began with: {stream} differ");
        bench.fit(&["schedule.max_steps=40", "--out", "run"]).fails(3, &[&told, "hint: "]);
        fs::write(bench.path(file), intact).unwrap();
    }
    bench.fit(&["schedule.max_steps=40", "--out", "run"]).succeeds();
}

#[test]
fn a_change_before_the_first_checkpoint_is_noticed_too() {
    let bench = Bench::with_recording();
    let endless =
        [FIT, &["schedule.check_every=1000000", "schedule.max_steps=1000000", "--out", "run"]].concat();
    let mut child = bench.command(&endless).stderr(Stdio::null()).spawn().unwrap();
    while !bench.path("run/twin.json").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let changed = npy::write_f32(&[8], &[1.0; 8]);
    fs::write(bench.path("recording/data/responses/7.npy"), changed).unwrap();
    bench.run(&RESUME).fails(3, &["responses differ"]);
}

/// A run whose parts were exchanged or taken away does not go on as if nothing had happened.
#[test]
fn the_parts_of_a_run_belong_together() {
    let bench = Bench::with_run();
    bench.fit(&["seed=2", "--out", "other"]).succeeds();
    let more = || bench.fit(&["schedule.max_steps=60", "--out", "run"]);
    let exchanged = |part: &str, told: &[&str]| {
        let (own, kept) = (bench.path("run").join(part), bench.path("kept"));
        fs::rename(&own, &kept).unwrap();
        fs::create_dir(&own).unwrap();
        for entry in fs::read_dir(bench.path("other").join(part)).unwrap().flatten() {
            fs::copy(entry.path(), own.join(entry.file_name())).unwrap();
        }
        more().fails(3, told);
        fs::remove_dir_all(&own).unwrap();
        fs::rename(&kept, &own).unwrap();
    };
    exchanged("checkpoints/last", &["checkpoints/last", "another run"]);
    exchanged("checkpoints/best", &["checkpoints/best", "another run"]);
    let edited = |part: &str, bytes: &[u8]| {
        let intact = bench.read(part);
        fs::write(bench.path(part), bytes).unwrap();
        more().fails(3, &[part, "not what this run wrote"]);
        fs::write(bench.path(part), intact).unwrap();
    };
    edited("run/checkpoints/last/optimiser.safetensors", b"\x02\0\0\0\0\0\0\0{}");
    edited(
        "run/checkpoints/last/weights.safetensors",
        &bench.read("other/checkpoints/last/weights.safetensors"),
    );
    let weights = "run/checkpoints/best/weights.safetensors";
    let intact = bench.read(weights);
    fs::write(bench.path(weights), bench.read("other/checkpoints/best/weights.safetensors")).unwrap();
    bench.run(&["score", "run"]).fails(3, &["not what this run wrote"]);
    fs::write(bench.path(weights), intact).unwrap();
    // Without it nothing would be held against anything.
    let state = "run/checkpoints/best/state.json";
    let intact = bench.read(state);
    for damage in [None, Some("{}"), Some("{\"step\": ")] {
        fs::remove_file(bench.path(state)).unwrap();
        damage.into_iter().for_each(|text| fs::write(bench.path(state), text).unwrap());
        bench.run(&["score", "run"]).fails(3, &[state, "is missing or damaged", "hint: "]);
        more().fails(3, &[state]);
        fs::write(bench.path(state), &intact).unwrap();
    }
    fs::rename(bench.path("run/checkpoints/best"), bench.path("kept")).unwrap();
    more().fails(3, &["checkpoints/best", "is missing", "fit.start_from"]);
    bench.run(&["score", "run"]).fails(3, &["checkpoints/best", "is missing", "fit.start_from"]);
    fs::rename(bench.path("kept"), bench.path("run/checkpoints/best")).unwrap();
    fs::remove_dir_all(bench.path("run/checkpoints/last")).unwrap();
    let done = more().succeeds();
    assert!(done.err.contains("checkpoints/last is missing"), "{}", done.err);
    bench.fit(&["schedule.max_steps=60", "--out", "whole"]).succeeds();
    assert!(bench.result("run") == bench.result("whole"));
}

/// A run of an early version binds nothing, and knows its recording by a sample.
#[test]
fn a_run_of_an_early_version_goes_on() {
    let bench = Bench::with_run();
    let without = |file: &str, at: &str, keys: &[&str]| {
        let mut value: Value = serde_json::from_slice(&bench.read(file)).unwrap();
        let table = value.pointer_mut(at).unwrap().as_object_mut().unwrap();
        keys.iter().for_each(|key| assert!(table.remove(*key).is_some(), "{file} has no `{key}`"));
        fs::write(bench.path(file), value.to_string()).unwrap();
    };
    without("run/manifest.json", "", &["id"]);
    without("run/manifest.json", "/recording", &["content", "stamp"]);
    for which in ["best", "last"] {
        without(&format!("run/checkpoints/{which}/state.json"), "", &["bond", "best"]);
    }
    let first = "recording/data/responses/0.npy";
    let intact = bench.read(first);
    fs::write(bench.path(first), npy::write_f32(&[8], &[1.0; 8])).unwrap();
    let more = || bench.fit(&["schedule.max_steps=60", "--out", "run"]);
    more().fails(3, &["neurons, trials or responses differ"]);
    fs::write(bench.path(first), intact).unwrap();
    more().succeeds();
    bench.run(&["score", "run", "--null", "none"]).succeeds();
    bench.fit(&["schedule.max_steps=60", "--out", "whole"]).succeeds();
    assert!(bench.result("run") == bench.result("whole"));
}

/// What a run says of its model is of the model it keeps, whatever was asked of an earlier one.
#[test]
fn results_are_of_the_model_that_is_kept() {
    let bench = Bench::with_recording();
    bench.fit(&["schedule.max_steps=5", "--out", "run"]).succeeds();
    let explain = |run: &str| bench.run(&["explain", run, "barcode", "seeds=2", "most=2"]).succeeds();
    let describe = |run: &str| {
        bench.run(&["score", run]).succeeds();
        explain(run);
    };
    let results = |run: &str| {
        let files = ["neurons.csv", "neurons.parquet", "explain/parts/parts.safetensors"];
        let scores = ["scores/test.parquet", "explain/barcode/types.csv", "config.toml"];
        [files, scores].concat().iter().map(|file| bench.read(&format!("{run}/{file}"))).collect::<Vec<_>>()
    };
    let columns = |run: &str| {
        let table = String::from_utf8(bench.read(&format!("{run}/neurons.csv"))).unwrap();
        table.lines().next().unwrap().to_owned()
    };
    let page = |run: &str| {
        bench.run(&["report", run]).succeeds();
        String::from_utf8(bench.read(&format!("{run}/report.html"))).unwrap()
    };
    describe("run");
    assert!(columns("run").contains("single_trial_correlation_test") && columns("run").contains("type"));
    assert!(!page("run").contains("of an earlier model"));
    // A kill right after the fit, before anything is said of its model, leaves what was said of the earlier one.
    let said = bench.read("run/explain/parts/parts.safetensors");
    bench.fit(&["schedule.max_steps=40", "--out", "run"]).succeeds();
    assert!(!columns("run").contains("_test") && !columns("run").contains("type"), "{}", columns("run"));
    let html = page("run");
    for file in ["scores/test.json", "explain/barcode/barcode.json"] {
        assert!(html.contains(&format!("<code>{file}</code> is of an earlier model")), "{file}");
    }
    assert!(!html.contains("parts.safetensors</code> is of an earlier model"));
    fs::write(bench.path("run/explain/parts/parts.safetensors"), said).unwrap();
    assert!(page("run").contains("parts.safetensors</code> is of an earlier model"));
    let again = bench.run(&["fit", "--out", "run"]).succeeds();
    assert!(again.err.contains("was finished before"), "{}", again.err);
    describe("run");
    assert!(!page("run").contains("of an earlier model"));
    bench.fit(&["--out", "whole"]).succeeds();
    describe("whole");
    assert!(results("run") == results("whole"));
    // More steps that find nothing better change nothing of it.
    let known = columns("run");
    bench.fit(&["schedule.max_steps=60", "--out", "run"]).succeeds();
    assert!(columns("run") == known && !page("run").contains("of an earlier model"));
}

/// The configuration is that of the fit that is made, whether the one before it ended or was stopped.
#[test]
fn an_interrupted_fit_that_is_given_more_steps_says_so() {
    let bench = Bench::with_recording();
    interrupted(&bench);
    bench.run(&["fit", "--out", "run", "schedule.max_steps=700"]).succeeds();
    let config = String::from_utf8(bench.read("run/config.toml")).unwrap();
    assert!(config.contains("max_steps = 700"), "{config}");
    bench.run(&["fit", "--out", "run"]).succeeds();
    bench.run(&[FIT, &LONG, &["schedule.max_steps=700", "--out", "whole"]].concat()).succeeds();
    assert!(bench.result("run") == bench.result("whole"));
}

/// Starts a long fit and sends Ctrl-C after its third check.
fn interrupted(bench: &Bench) -> Done {
    let mut child = bench.command(&[FIT, &LONG, &["--out", "run"]].concat()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut err: Vec<String> = lines.by_ref().take(4).collect();
    signal(&child, "-INT");
    err.extend(lines);
    let mut done = Done::from(child.wait_with_output().unwrap());
    done.err = err.join("\n");
    done
}

#[test]
fn ctrl_c_saves_and_says_how_to_resume() {
    let bench = Bench::with_recording();
    let done = interrupted(&bench);
    assert_eq!(done.code, Some(130), "{}", done.err);
    assert!(done.err.contains("resume with: striate fit --out run"), "{}", done.err);
    let manifest: Value = serde_json::from_slice(&bench.read("run/manifest.json")).unwrap();
    assert_eq!(manifest["status"], "interrupted");
    let resumed = bench.run(&RESUME).succeeds();
    assert!(resumed.err.contains("going on from step"), "{}", resumed.err);
    bench.run(&[FIT, &LONG, &["--out", "whole"]].concat()).succeeds();
    assert!(bench.result("run") == bench.result("whole"));
}

/// Kills the fit `first` into `run` after delays that look random, as often as `STRIATE_KILLS` says or else `kills` times, then
/// lets it end: nothing may be lost.
pub fn survives(bench: &Bench, first: &[&str], tier: &str, kills: u32) {
    let kills = std::env::var("STRIATE_KILLS").map_or(kills, |kills| kills.parse().unwrap());
    bench.run(&[first, &["--out", "whole"]].concat()).succeeds();
    let (mut random, mut killed) = (12_345_u64, 0);
    let first = [first, &["--out", "run"]].concat();
    for _ in 0..kills {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let begun = bench.path("run/manifest.json").exists();
        let mut command = bench.command(if begun { &RESUME } else { &first });
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(40 + (random >> 33) % 260));
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
        if bench.path("run/manifest.json").exists() {
            bench.run(&["report", "run"]).succeeds();
            let page = String::from_utf8(bench.read("run/report.html")).unwrap();
            let told = page.contains("(killed); can be resumed") || page.contains(">finished<");
            assert!(told && !page.contains("running"), "a run that was killed is called something else");
        }
    }
    println!("{killed} of {kills} kills hit a running fit");
    assert!(killed > 0);
    let begun = bench.path("run/manifest.json").exists();
    bench.run(if begun { &RESUME } else { &first }).succeeds();
    assert!(bench.result("run") == bench.result("whole"));
    bench.run(&["score", "run", "--tier", tier]).succeeds();
}

#[test]
fn kills_at_any_moment_lose_nothing() {
    survives(&Bench::with_recording(), &[FIT, &LONG].concat(), "test", 6);
}

/// The best check is the last one, and only the state to go on from was not written any more.
#[test]
fn a_kill_before_the_last_state_is_written_is_made_good() {
    let bench = Bench::with_recording();
    bench.fit(&["schedule.max_steps=5", "--out", "run"]).succeeds();
    let whole = bench.result("run");
    fs::remove_dir_all(bench.path("run/checkpoints/last")).unwrap();
    let manifest = String::from_utf8(bench.read("run/manifest.json")).unwrap();
    let killed = manifest.replace("\"status\": \"finished\"", "\"status\": \"running\"");
    assert_ne!(killed, manifest);
    fs::write(bench.path("run/manifest.json"), killed).unwrap();
    bench.run(&RESUME).succeeds();
    assert!(bench.result("run") == whole);
    let state: Value = serde_json::from_slice(&bench.read("run/checkpoints/last/state.json")).unwrap();
    assert_eq!((&state["step"], &state["finished"]), (&5.into(), &true.into()));
}

/// A limit on the size of files fails writes as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_and_the_last_checkpoint_stays() {
    let bench = Bench::with_recording();
    let fit = [FIT, &LONG, &["schedule.check_every=2", "--out", "run"]].concat().join(" ");
    let script = format!("trap '' XFSZ; ulimit -f 8; exec {} {fit}", env!("CARGO_BIN_EXE_striate"));
    let script = script.replace('[', "'[").replace(']', "]'");
    let mut command = Command::new("bash");
    command.args(["-c", &script]).current_dir(bench.path(""));
    Done::from(command.output().unwrap()).fails(3, &["disk full"]);
    bench.run(&["score", "run"]).succeeds();
    bench.run(&RESUME).succeeds();
    bench.run(&[FIT, &LONG, &["schedule.check_every=2", "--out", "whole"]].concat()).succeeds();
    assert!(bench.result("run") == bench.result("whole"));
}

const READ_SCALARS: &str = "
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1]).Reload()
print(*sorted(events.Tags()['scalars']))
print(*[e.step for e in events.Scalars('validation/loss')])
";

#[test]
fn tensorboard_reads_a_resumed_fit_as_one_curve() {
    let python = std::env::var("STRIATE_PYTHON").unwrap_or_else(|_| "python3".into());
    let found = Command::new(&python).args(["-c", "import tensorboard"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        println!("skipped: `{python} -c 'import tensorboard'` fails");
        return;
    }
    let bench = Bench::with_recording();
    interrupted(&bench);
    bench.run(&RESUME).succeeds();
    let folder = bench.path("run/tensorboard");
    let read = Command::new(python).args(["-c", READ_SCALARS]).arg(folder).output().unwrap();
    let read = Done::from(read).succeeds().out;
    let steps: Vec<String> = (1..=60).map(|check| (10 * check).to_string()).collect();
    let tags = "train/learning_rate train/loss train/penalty validation/correlation validation/loss";
    assert_eq!(read, format!("{tags}\n{}\n", steps.join(" ")));
}

/// The core of another run, which then stays; readouts come along for the same neurons only.
#[test]
fn a_fit_starts_from_the_weights_of_another() {
    let bench = Bench::with_run();
    let weights = |run: &str| {
        let checkpoint = bench.path(run).join("checkpoints/best");
        striate::twin::load_weights(&checkpoint).unwrap()["core.layers.0.weight"].clone()
    };
    let from = ["fit.start_from=run", "fit.frozen=[\"core\"]", "data.neurons=4", "schedule.max_steps=10"];
    let done = bench.fit(&[&from[..], &["--out", "other"]].concat()).succeeds();
    let told = done.err.lines().find(|line| line.contains("starts from given weights")).unwrap();
    assert!(told.contains("core.layers.0.weight") && !told.contains("readout"), "{told}");
    assert!(done.err.contains("start anew: readout.bias"), "{}", done.err);
    assert_eq!(weights("other"), weights("run"));
    let done = bench.fit(&["fit.start_from=run", "schedule.max_steps=10", "--out", "same"]).succeeds();
    assert!(done.err.contains("readout.mask"), "{}", done.err);
    assert_ne!(weights("same"), weights("run"));
    bench.fit(&["fit.frozen=[\"croe\"]", "--out", "slip"]).fails(2, &["fit.frozen", "did you mean `core`?"]);
    bench.fit(&["fit.start_from=none", "--out", "none"]).fails(3, &["none"]);
    bench.fit(&["fit.start_from=recording", "--out", "none"]).fails(3, &["fit.start_from", "is not a run"]);
    assert!(!bench.path("slip").exists() && !bench.path("none").exists(), "nothing is left of a slip");
}

#[test]
fn a_configuration_that_was_edited_after_the_fit_is_refused_by_key() {
    let bench = Bench::with_run();
    bench.fit(&["seed=2", "--out", "second"]).succeeds();
    let before = bench.result("run");
    let text = String::from_utf8(bench.read("run/config.toml")).unwrap();
    let edit = |from: &str, to: &str| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        std::fs::write(bench.path("run/config.toml"), text.replace(from, to)).unwrap();
    };
    edit("learning_rate = 0.01", "learning_rate = 0.02");
    let told = "fit.learning_rate is 0.02 there, 0.01 in the fit";
    bench.run(&["fit", "--out", "run"]).fails(3, &["run/config.toml", told, "a fresh folder"]);
    bench.run(&["ensemble", "run", "second", "--out", "both"]).fails(3, &["run/config.toml", told]);
    bench.run(&["report", "run"]).succeeds();
    let page = String::from_utf8(bench.read("run/report.html")).unwrap();
    assert!(page.contains(told) && !page.contains("learning_rate = 0.02"));
    bench.run(&["score", "run"]).succeeds();
    assert!(bench.result("run") == before);
    // What an override may change, an editor may, too; how it is written does not matter.
    edit("max_steps = 40", "max_steps = 60 # more");
    assert!(bench.run(&["fit", "--out", "run"]).succeeds().err.contains("finished at step 60"));
    bench.run(&["fit", "--out", "run"]).succeeds();
}
