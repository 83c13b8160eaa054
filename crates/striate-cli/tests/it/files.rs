//! Files that are not what they seem, and files of others: nothing waits, nothing of theirs is lost.

use std::fs;

use crate::bench::Bench;

const AGAIN: [&str; 10] = [
    "simulate",
    "klindt-linear",
    "neurons=2",
    "side=8",
    "kernel=5",
    "samples=10",
    "validation=2",
    "test=1",
    "--out",
    "recording",
];

#[cfg(unix)]
fn pipe(bench: &Bench, name: &str) {
    let _ = fs::remove_file(bench.path(name));
    assert!(std::process::Command::new("mkfifo").arg(bench.path(name)).status().unwrap().success());
}

#[cfg(unix)]
fn link(bench: &Bench, to: &str, name: &str) {
    let _ = fs::remove_file(bench.path(name));
    std::os::unix::fs::symlink(bench.path(to), bench.path(name)).unwrap();
}

#[test]
#[cfg(unix)]
fn no_verb_waits_for_a_pipe() {
    let bench = Bench::with_run();
    for name in ["a.npy", "a.png", "a.zip", "a.csv", "a.toml", "a.pth"] {
        pipe(&bench, name);
    }
    for args in [
        &["predict", "run", "--data", "a.npy", "--out", "out.npy"][..],
        &["predict", "run", "--data", "a.png", "--out", "out.npy"],
        &["inspect", "a.zip"],
        &["submit", "--check", "a.csv", "--data", "recording"],
        &["sweep", "a.toml", "--data", "recording", "--out", "grid"],
        &["fit", "a.toml", "--data", "recording", "--out", "other"],
        &[
            "fit",
            "demo",
            "--data",
            "recording",
            "--out",
            "other",
            "model.readout.shared_features=true",
            "data.types=a.csv",
        ],
        &["import", "a.pth", "--as", "sensorium2022", "--image-shape", "1,36,64", "--out", "other"],
    ] {
        bench.run(args).fails(3, &["is a named pipe"]);
    }
    for name in ["twin.json", "config.toml", "metrics.csv", "checkpoints/last/state.json"] {
        let intact = bench.read(&format!("run/{name}"));
        pipe(&bench, &format!("run/{name}"));
        bench.run(&["fit", "--out", "run", "schedule.max_steps=50"]).fails(3, &[name]);
        fs::remove_file(bench.path(&format!("run/{name}"))).unwrap();
        fs::write(bench.path(&format!("run/{name}")), intact).unwrap();
    }
}

#[test]
fn an_output_takes_the_place_of_no_input_and_no_part_of_a_run() {
    let bench = Bench::with_run();
    let image = "recording/data/images/0.npy";
    let before = [bench.read(image), bench.read("run/manifest.json")];
    for args in [
        &["predict", "run", "--data", image, "--out", image][..],
        &["predict", "run", "--data", "recording", "--out", image],
        &["predict", "run", "--data", "recording", "--out", "recording/data/images/500.npy"],
        &["predict", "run", "--data", "recording", "--out", "recording/meta/new/a.npy"],
        &["predict", "run", "--data", "recording", "--out", "run/scores/mine.npy"],
        &["report", "run", "--out", "run/manifest.json"],
        &["submit", "run", "--data", "recording", "--tier", "test", "--out", "run/metrics.csv"],
    ] {
        bench.run(args).fails(2, &["--out"]);
    }
    assert!(before == [bench.read(image), bench.read("run/manifest.json")]);
    bench.run(&["predict", "run", "--data", "recording", "--out", "run/mine.npy"]).succeeds();
    bench.run(&["predict", "run", "--data", "recording", "--out", "run/mine.npy"]).succeeds();
}

/// A run is made where nothing is: files that only have the names of ours are the user's.
#[test]
fn a_new_run_takes_the_place_of_nothing() {
    let bench = Bench::with_run();
    bench.fit(&["seed=2", "--out", "second"]).succeeds();
    fs::create_dir_all(bench.path("own/tensorboard")).unwrap();
    let config = String::from_utf8(bench.read("run/config.toml")).unwrap();
    for (name, text) in [
        ("config.toml", format!("# my notes\n{config}").as_str()),
        ("log.txt", "mine"),
        ("tensorboard/events", "mine"),
    ] {
        fs::write(bench.path("own").join(name), text).unwrap();
    }
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/import/tiny.pth");
    let before = bench.files("own").into_iter().map(|file| (bench.read(&file), file)).collect::<Vec<_>>();
    for args in [
        &["ensemble", "run", "second", "--out", "own"][..],
        &[
            "import",
            golden,
            "--as",
            "sensorium2022",
            "--session",
            "one",
            "--image-shape",
            "1,12,14",
            "--out",
            "own",
        ],
        &["fit", "own/config.toml", "--out", "own"],
    ] {
        bench.run(args).fails(2, &["own", "is not empty"]);
        let after = bench.files("own").into_iter().map(|file| (bench.read(&file), file)).collect::<Vec<_>>();
        assert!(before == after, "{args:?}");
    }
    // A fit that has only begun has nothing to show, and yet all of its folder.
    let held = striate::run::RunFolder::hold(&bench.path("new")).unwrap();
    bench.run(&["ensemble", "run", "second", "--out", "new"]).fails(2, &["another process"]);
    drop(held);
    bench.run(&["ensemble", "run", "second", "--out", "new"]).succeeds();
    bench.run(&["score", "new"]).succeeds();
}

#[test]
#[cfg(unix)]
fn nothing_is_written_through_a_link_in_a_run() {
    let bench = Bench::with_run();
    fs::create_dir(bench.path("outside")).unwrap();
    fs::write(bench.path("victim"), "mine").unwrap();
    link(&bench, "outside", "run/scores");
    bench.run(&["score", "run"]).fails(2, &["run/scores", "is a link"]);
    link(&bench, "victim", "run/report.html");
    bench.run(&["report", "run"]).fails(2, &["run/report.html", "is a link"]);
    for name in ["log.txt", "metrics.csv", "lock"] {
        link(&bench, "victim", &format!("run/{name}"));
        bench.run(&["fit", "--out", "run", "schedule.max_steps=50"]);
    }
    assert_eq!(bench.read("victim"), b"mine");
    assert_eq!(fs::read_dir(bench.path("outside")).unwrap().count(), 0);
}

#[test]
fn simulating_again_keeps_what_others_put_there_and_beside_it() {
    let bench = Bench::with_recording();
    for name in ["recording.tmp/thesis.tex", "recording.previous/thesis.tex"] {
        fs::create_dir(bench.path(name).parent().unwrap()).unwrap();
        fs::write(bench.path(name), "mine").unwrap();
    }
    bench.run(&AGAIN).succeeds();
    for name in ["recording.tmp/thesis.tex", "recording.previous/thesis.tex"] {
        assert_eq!(bench.read(name), b"mine");
    }
    fs::create_dir(bench.path("recording/myrun")).unwrap();
    fs::write(bench.path("recording/myrun/weights"), "mine").unwrap();
    bench.run(&AGAIN).fails(2, &["myrun/weights"]);
    assert_eq!(bench.read("recording/myrun/weights"), b"mine");
}

/// What file managers and notebooks leave anywhere.
const OF_THE_SYSTEM: [&str; 4] = [".DS_Store", "Thumbs.db", "._0.npy", ".ipynb_checkpoints/notes.ipynb"];

fn litter(bench: &Bench, folder: &str) -> Vec<String> {
    let names = OF_THE_SYSTEM.map(|name| format!("{folder}/{name}"));
    for name in &names {
        fs::create_dir_all(bench.path(name).parent().unwrap()).unwrap();
        fs::write(bench.path(name), "theirs").unwrap();
    }
    names.to_vec()
}

#[test]
fn files_of_the_system_block_nothing_and_stay() {
    let bench = Bench::new();
    let folders = ["recording", "run", "grid/000", "both"];
    let mut theirs: Vec<String> = folders.iter().flat_map(|folder| litter(&bench, folder)).collect();
    bench.run(&AGAIN).succeeds();
    theirs.extend(litter(&bench, "recording/data/images"));
    bench.run(&AGAIN).succeeds();
    let other: Vec<&str> = AGAIN[..9].iter().copied().chain(["both/one"]).collect();
    bench.run(&other).succeeds();
    bench.run(&[&other[..9], &["both/two"]].concat()).succeeds();
    assert_eq!(bench.run(&["inspect", "both"]).succeeds().out.matches("\n  neurons ").count(), 2);
    let fit =
        ["demo", "--data", "recording", "model.core.kernels=[5]", "fit.batch=5", "schedule.max_steps=4"];
    bench.run(&[&["fit"], &fit[..], &["schedule.check_every=2", "--out", "run"]].concat()).succeeds();
    fs::write(bench.path("sweep.toml"), "base = \"run/config.toml\"\n[[grid]]\nseed = [1]\n").unwrap();
    bench.run(&["sweep", "sweep.toml", "--out", "grid"]).succeeds();
    theirs.extend(litter(&bench, "run/scores"));
    fs::write(bench.path("run/scores/._test.json"), "theirs").unwrap();
    bench.run(&["score", "run", "--tier", "validation"]).succeeds();
    bench.run(&["report", "run"]).succeeds();
    assert!(!String::from_utf8(bench.read("run/report.html")).unwrap().contains("._test"));
    bench.run(&["fit", "--out", "run"]).succeeds();
    for name in theirs {
        assert_eq!(bench.read(&name), b"theirs", "{name}");
    }
}

#[test]
fn what_kills_left_in_a_run_is_cleared_by_its_next_fit() {
    let bench = Bench::with_run();
    let left =
        [".striate-0123456789.tmp", "scores/.striate-abcdefghij.tmp", "explain/.striate-parts-0123456789/x"];
    for name in left {
        let path = bench.path("run").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "half").unwrap();
    }
    fs::write(bench.path("run/.striate-notes.txt"), "mine").unwrap();
    bench.run(&["fit", "--out", "run"]).succeeds();
    let rest: Vec<String> =
        bench.files("run").into_iter().filter(|name| name.contains(".striate-")).collect();
    assert_eq!(rest, ["run/.striate-notes.txt"]);
}

/// What was derived is derived again; what cannot be names the way out.
#[test]
fn a_damaged_table_stops_no_verb_that_can_do_without_it() {
    let bench = Bench::with_run();
    bench.run(&["score", "run", "--null", "none"]).succeeds();
    let explain = ["explain", "run", "barcode", "seeds=2", "most=2", "copies=1"];
    bench.run(&explain).succeeds();
    let score = ["score", "run", "--tier", "validation", "--null", "none"];
    let asked: [(&str, &[&str]); 3] = [
        ("scores/test.per_neuron.json", &explain),
        ("neurons.csv", &explain),
        ("explain/barcode/types.csv", &score),
    ];
    for (table, verb) in asked {
        fs::write(bench.path("run").join(table), "unit_id,type\n1,2,3\n").unwrap();
        let done = bench.run(verb).succeeds();
        assert!(done.err.contains("left out of the table of neurons"), "{table}: {}", done.err);
    }
    let more = ["schedule.max_steps=60", "--out", "run"];
    let curve = bench.read("run/metrics.csv");
    fs::write(bench.path("run/metrics.csv"), [&curve[..], b"4?,1\n"].concat()).unwrap();
    bench.fit(&more).fails(3, &["metrics.csv", "hint: move it away"]);
    fs::write(bench.path("run/metrics.csv"), curve).unwrap();
    fs::write(bench.path("run/checkpoints/last/optimiser.safetensors"), "no").unwrap();
    bench.fit(&more).fails(3, &["optimiser.safetensors", "hint: restore it", "fit.start_from="]);
}

/// What is written goes by its name: it must not make a folder anew that was moved, nor write into another.
#[test]
fn a_run_that_is_moved_while_it_is_fitted_ends_there() {
    let bench = Bench::with_recording();
    let endless =
        [crate::bench::FIT, &["schedule.max_steps=1000000", "schedule.patience=1000000", "--out", "run"]]
            .concat();
    let child = bench.command(&endless).spawn().unwrap();
    while !bench.path("run/checkpoints/last").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    fs::rename(bench.path("run"), bench.path("moved")).unwrap();
    let done = crate::bench::Done::from(child.wait_with_output().unwrap());
    done.fails(3, &["run", "was moved or deleted while it was fitted", "hint: "]);
    assert!(!bench.path("run/checkpoints").exists());
    bench.run(&["score", "moved", "--null", "none"]).succeeds();
}
