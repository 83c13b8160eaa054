use std::path::Path;
use std::process::{Command, Output};

use striate::run::{Manifest, RunFolder};

fn report(args: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_striate")).arg("report").args(args).output().unwrap()
}

fn begun(path: &Path) -> RunFolder {
    RunFolder::create(path, "seed = 1\n", &Manifest::start(1, "striate fit demo")).unwrap()
}

#[test]
fn writes_the_page_into_the_run_and_prints_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let run = begun(&dir.path().join("mouse"));
    let output = report(&[run.path()]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), run.report().display().to_string());
    assert!(std::fs::read_to_string(run.report()).unwrap().starts_with("<!DOCTYPE html>"));
}

#[test]
fn compares_several_runs_in_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (begun(&dir.path().join("a")), begun(&dir.path().join("b")));
    let out = dir.path().join("both.html");
    let output = report(&[a.path(), b.path(), Path::new("--out"), &out]);
    assert_eq!(output.status.code(), Some(0));
    assert!(std::fs::read_to_string(out).unwrap().contains("2 runs compared"));
    assert!(!a.report().exists());
}

#[test]
fn a_folder_that_is_no_run_is_a_data_error_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let output = report(&[dir.path()]);
    assert_eq!(output.status.code(), Some(3));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("is not a run") && message.contains("hint:"), "{message}");
}
