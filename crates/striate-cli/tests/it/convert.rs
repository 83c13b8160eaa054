//! Stores through the binary: converted, verified, fitted, and what is refused.

use std::fs;

use serde_json::Value;
use striate::recording::npy::write_f32;

use crate::bench::{Bench, FIT};

#[test]
fn a_store_takes_the_place_of_its_recording() {
    let bench = Bench::with_run();
    let done = bench.run(&["convert", "recording", "--out", "store"]).succeeds();
    assert!(done.out.starts_with("wrote store\n  recording "), "{}", done.out);
    let again = bench.run(&["convert", "recording", "--out", "store"]).succeeds();
    assert!(again.out.contains("was there already"), "{}", again.out);
    assert!(bench.run(&["inspect", "store"]).succeeds().out.contains("striate-store"));
    // The same fit, to the last bit, and a run of the one is asked about the other.
    let fit: Vec<&str> = FIT.iter().map(|arg| if *arg == "recording" { "store" } else { *arg }).collect();
    bench.run(&[&fit[..], &["--out", "other"]].concat()).succeeds();
    assert_eq!(bench.result("run"), bench.result("other"));
    let done = bench.run(&["predict", "run", "--data", "store", "--out", "p.npy"]).succeeds();
    assert!(!done.err.contains("another recording"), "{}", done.err);
}

#[test]
fn damage_is_named_by_verify_with_its_exit_code() {
    let bench = Bench::with_recording();
    bench.run(&["convert", "recording", "--out", "store"]).succeeds();
    let sound = bench.run(&["inspect", "store", "--verify"]).succeeds();
    assert!(sound.out.ends_with("files are what was written\n"), "{}", sound.out);
    let file = bench.path("store/recording/responses.npy");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    let seen = bench.run(&["inspect", "store"]);
    assert!(seen.code == Some(3) && seen.out.contains("responses.npy: is not what"), "{seen:?}");
    let fit: Vec<&str> = FIT.iter().map(|arg| if *arg == "recording" { "store" } else { *arg }).collect();
    bench.run(&[&fit[..], &["--out", "run"]].concat()).fails(3, &["responses.npy", "checksum"]);
    assert!(!bench.path("run").exists());
    let done = bench.run(&["inspect", "store", "--verify"]);
    assert!(done.code == Some(3) && done.out.contains("responses.npy: is not what"), "{done:?}");
    fs::remove_file(file).unwrap();
    let done = bench.run(&["inspect", "store", "--verify", "--json"]);
    let told: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(done.code, Some(3));
    assert!(told[0]["problems"][0].as_str().unwrap().contains("responses.npy: is missing"), "{told}");
    bench.run(&["inspect", "store"]).fails(3, &["responses.npy", "is missing"]);
    assert_eq!(bench.run(&["inspect", "recording", "--verify"]).code, Some(1));
}

#[test]
fn what_is_not_ours_stays_and_twins_are_named() {
    let bench = Bench::with_recording();
    bench.run(&["convert", "recording", "./recording", "--out", "store"]).fails(2, &["called `recording`"]);
    fs::create_dir(bench.path("thesis")).unwrap();
    fs::write(bench.path("thesis/chapter.tex"), "mine").unwrap();
    bench.run(&["convert", "recording", "--out", "thesis"]).fails(2, &["chapter.tex", "--out"]);
    bench.run(&["convert", "recording", "--out", "recording/data"]).fails(2, &["--out"]);
    bench.run(&["convert", "nowhere", "--out", "store"]).fails(3, &["nowhere", "does not exist"]);
    assert!(!bench.path("store").exists());
    assert_eq!(bench.files("thesis"), ["thesis/chapter.tex"]);
}

#[test]
fn signals_of_ones_own_become_a_store() {
    let bench = Bench::new();
    let example = bench.run(&["convert", "--example"]).succeeds().out;
    assert!(example.contains("rate_hz = 30.0") && example.contains("rule = \"count\""), "{example}");
    fs::write(bench.path("my.toml"), &example).unwrap();
    bench.run(&["convert", "my.toml", "--out", "store"]).fails(3, &["neurons.csv"]);
    let put = |name: &str, bytes: Vec<u8>| fs::write(bench.path(name), bytes).unwrap();
    put("my.toml", TOML.into());
    put("video.npy", write_f32(&[60, 2, 2], &[7.0; 240]));
    put("traces.npy", write_f32(&[60, 1], &(0..60).map(|at| at as f32).collect::<Vec<_>>()));
    put("trials.csv", b"start_s,end_s,tier,stimulus_id\n0,2,train,a\n2,6,test,b\n".to_vec());
    let seen = bench.run(&["inspect", "my.toml"]).succeeds();
    assert!(seen.out.contains("video · 1 × 2 × 2 · 10 Hz"), "{}", seen.out);
    bench.run(&["convert", "my.toml", "--out", "store"]).succeeds();
    assert!(bench.run(&["convert", "my.toml", "--out", "store"]).succeeds().out.contains("there already"));
    bench.run(&["inspect", "store", "--verify"]).succeeds();
    // What is changed is converted again.
    put("trials.csv", b"start_s,end_s,tier,stimulus_id\n0,3,train,a\n".to_vec());
    assert!(!bench.run(&["convert", "my.toml", "--out", "store"]).succeeds().out.contains("there already"));
    bench.run(&["convert", "my.toml"]).fails(2, &["--out"]);
}

const TOML: &str = r#"
id = "mine"
rate_hz = 10
[trials]
file = "trials.csv"
[images]
file = "video.npy"
rate_hz = 10
rule = "hold"
[responses]
file = "traces.npy"
rate_hz = 10
rule = "mean"
"#;

/// Whenever it is killed, what is there is whole, and the same command ends as if nothing had been.
#[test]
#[cfg(unix)]
fn a_kill_leaves_whole_sessions_or_none() {
    let bench = Bench::with_recording();
    let names = ["a", "b", "c"];
    for name in names {
        let sizes = ["neurons=40", "side=12", "kernel=5", "samples=900", "seed=3", "--out", name];
        bench.run(&[&["simulate", "klindt-linear"], &sizes[..]].concat()).succeeds();
    }
    let args = ["convert", "a", "b", "c", "--out", "store"];
    for pause in [5, 20, 40, 60] {
        let mut child = bench.command(&args).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
        let there = names.iter().filter(|name| bench.path(&format!("store/{name}")).exists());
        for name in there {
            bench.run(&["inspect", &format!("store/{name}"), "--verify"]).succeeds();
        }
    }
    bench.run(&args).succeeds();
    bench.run(&["inspect", "store", "--verify"]).succeeds();
    let left = fs::read_dir(bench.path("store")).unwrap().count();
    assert_eq!(left, names.len(), "{:?}", bench.files("store"));
}
