//! `striate sweep`.

use std::fs;
use std::path::Path;

use striate::sweep::Sweep;

use crate::bench::Bench;

const SWEEP: &str = "base = \"demo\"\n[set]\n\"model.core.kernels\" = [5]\n\"fit.batch\" = 32\n\"schedule.check_every\" = 5\n\
                     \"schedule.max_steps\" = 10\n[[grid]]\n\"fit.learning_rate\" = [0.01, 1e-9]\n";

#[test]
fn the_best_of_a_grid_is_named_and_finished_fits_stay() {
    let bench = Bench::with_recording();
    fs::write(bench.path("sweep.toml"), SWEEP).unwrap();
    let sweep = ["sweep", "sweep.toml", "--data", "recording", "--out", "grid"];
    std::fs::create_dir(bench.path("grid")).unwrap();
    std::fs::write(bench.path("grid/sweep.csv"), "my,own,table\n").unwrap();
    bench.run(&sweep).fails(2, &["grid", "sweep.csv", "choose another"]);
    assert_eq!(bench.read("grid/sweep.csv"), b"my,own,table\n");
    std::fs::remove_file(bench.path("grid/sweep.csv")).unwrap();
    let done = bench.run(&sweep).succeeds();
    let rows: Vec<&str> = done.out.lines().collect();
    assert_eq!((rows.len(), rows[0]), (3, "run,val_loss,step,values,failure"));
    assert!(rows[1].starts_with("000,") && rows[1].ends_with("\"fit.learning_rate=0.01\","), "{}", rows[1]);
    assert!(done.err.contains("best: grid/000"), "{}", done.err);
    assert_eq!(String::from_utf8(bench.read("grid/sweep.csv")).unwrap(), done.out);
    let before = bench.read("grid/001/checkpoints/best/weights.safetensors");
    assert_eq!(bench.run(&sweep).succeeds().out, done.out);
    assert_eq!(bench.read("grid/001/checkpoints/best/weights.safetensors"), before);
}

/// A point that cannot be fitted is told, and the others are fitted; another grid in the same folder is refused.
#[test]
fn one_failure_does_not_stop_the_others() {
    let bench = Bench::with_recording();
    let grid =
        |rates: &str| fs::write(bench.path("sweep.toml"), SWEEP.replace("[0.01, 1e-9]", rates)).unwrap();
    let sweep = || bench.run(&["sweep", "sweep.toml", "--data", "recording", "--out", "grid"]);
    grid("[1e30, 0.01]");
    let done = sweep().fails(1, &["000", "no longer a number", "best: grid/001"]);
    assert!(done.out.contains("\n000,,,") && done.out.contains("\n001,0."), "{}", done.out);
    grid("[0.02, 0.01]");
    assert!(sweep().fails(1, &["other settings"]).out.contains("\n001,0."));
}

/// What another process fits is neither a failure nor a result.
#[test]
fn a_point_of_another_process_is_left_to_it() {
    let bench = Bench::with_recording();
    fs::write(bench.path("sweep.toml"), SWEEP).unwrap();
    let sweep = || bench.run(&["sweep", "sweep.toml", "--data", "recording", "--out", "grid"]).succeeds();
    let held = striate::run::RunFolder::hold(&bench.path("grid/000")).unwrap();
    let done = sweep();
    assert!(
        done.err.contains("left to another process: 000") && !done.err.contains("best: "),
        "{}",
        done.err
    );
    assert!(!done.out.contains("\n000,") && done.out.contains("\n001,0."), "{}", done.out);
    assert!(!bench.path("grid/sweep.csv").exists());
    drop(held);
    assert!(sweep().out.contains("\n000,0."));
    assert!(bench.path("grid/sweep.csv").exists());
}

#[test]
fn a_task_of_a_job_array_fits_its_own_point() {
    let bench = Bench::with_recording();
    fs::write(bench.path("sweep.toml"), SWEEP).unwrap();
    let only = |point: &str| {
        bench.run(&["sweep", "sweep.toml", "--data", "recording", "--out", "grid", "--only", point])
    };
    let done = only("1").succeeds();
    assert!(done.err.contains("001 (2 of 2): ") && !done.err.contains("best: "), "{}", done.err);
    assert!(bench.path("grid/001/manifest.json").is_file() && !bench.path("grid/000").exists());
    only("2").fails(2, &["no point 2", "has 2"]);
}

#[test]
fn folders_of_something_else_stay_as_they_are() {
    let bench = Bench::with_run();
    fs::write(bench.path("sweep.toml"), SWEEP).unwrap();
    for (out, told) in [("run", "holds a run"), ("recording", "holds a recording")] {
        let before = bench.files(out);
        bench.run(&["sweep", "sweep.toml", "--data", "recording", "--out", out]).fails(2, &[told, "--out"]);
        assert_eq!(bench.files(out), before);
    }
}

#[test]
fn slips_in_a_sweep_file_are_named() {
    let bench = Bench::with_recording();
    fs::write(bench.path("sweep.toml"), SWEEP.replace("learning_rate", "learning_rat")).unwrap();
    let sweep = ["sweep", "sweep.toml", "--data", "recording", "--out", "grid"];
    bench.run(&sweep).fails(2, &["learning_rat", "did you mean `fit.learning_rate`?"]);
    bench.run(&["sweep", "none.toml", "--out", "grid"]).fails(3, &["none.toml"]);
}

/// Every grid in `sweeps/` has the size of the paper's.
#[test]
fn the_sweeps_of_the_paper_can_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sweeps");
    let size = |name: &str| Sweep::read(&folder.join(name)).unwrap().points(&[]).unwrap().len();
    let sizes = [
        ("klindt2017-fig3.toml", 10),
        ("klindt2017-fig5d.toml", 3),
        ("klindt2017-fig5d-fully-connected.toml", 5),
        ("klindt2017-fig5e.toml", 4),
        ("klindt2017-fig5e-fixed-mask.toml", 5),
        ("klindt2017-fig5e-fully-connected.toml", 4),
        ("klindt2017-table1.toml", 9 + 9 * 27 + 5 * 6),
        ("klindt2017-table1-fixed-mask.toml", 3 * 27),
        ("klindt2017-table1-fully-connected.toml", 11 * 27),
        ("klindt2017-table1-lnp.toml", 25),
    ];
    for (name, expected) in sizes {
        assert_eq!(size(name), expected, "{name}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), sizes.len());
}
