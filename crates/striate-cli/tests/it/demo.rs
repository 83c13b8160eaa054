//! `striate demo`.

use crate::bench::Bench;

#[test]
fn refuses_a_folder_that_exists() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("mine")).unwrap();
    std::fs::write(bench.path("mine/thesis.tex"), "").unwrap();
    bench.run(&["demo", "--out", "mine"]).fails(2, &["mine", "exists already"]);
    assert_eq!(bench.files("mine"), ["mine/thesis.tex"]);
}

#[test]
fn recovers_the_truth_and_shows_it() {
    let bench = Bench::new();
    let demo = bench.run(&["demo", "--out", "demo"]).succeeds();
    assert!(demo.out.contains("recovered FEV 0."), "{}", demo.out);
    assert!(bench.read("demo/run/report.html").starts_with(b"<!DOCTYPE html>"));
}
