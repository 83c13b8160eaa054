//! What a refusal advises works: every command that it shows is run as it stands there, by a shell.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::bench::{Bench, Done};

const RUN: &str = "my run";

/// The commands in a text: between backticks, or at the end of a line.
fn commands(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2).filter(|word| word.starts_with("striate "));
    let last = text
        .lines()
        .filter_map(|line| Some(line.split_once(": striate ")?.1))
        .map(|rest| format!("striate {rest}"));
    quoted.map(str::to_owned).chain(last).collect()
}

/// As [`commands`], of a page.
fn commands_of_page(page: &str) -> Vec<String> {
    let codes = page.split("<code>").skip(1).filter_map(|rest| rest.split_once("</code>"));
    let plain = |text: &str| text.replace("&#39;", "'").replace("&quot;", "\"").replace("&amp;", "&");
    codes.map(|(code, _)| plain(code)).filter(|code| code.starts_with("striate ")).collect()
}

/// Runs the commands that a text showed, at least one.
#[track_caller]
fn work(bench: &Bench, shown: Vec<String>, by: &str) {
    assert!(!shown.is_empty(), "no command is shown: {by}");
    let folder = Path::new(env!("CARGO_BIN_EXE_striate")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    for command in shown {
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).current_dir(bench.path("")).env("PATH", &path);
        let done = Done::from(shell.output().unwrap());
        assert!(matches!(done.code, Some(0 | 1)), "{command}: {:?} {}\nshown by: {by}", done.code, done.err);
    }
}

/// Makes a run of this name that lacks something.
type Damage = fn(&Bench, &str);

/// A copy of the run, to be damaged.
fn copy(bench: &Bench, name: &str) {
    let from = bench.path(RUN);
    for file in bench.files(RUN) {
        let to = bench.path(name).join(bench.path(&file).strip_prefix(&from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(bench.path(&file), to).unwrap();
    }
}

fn edit(bench: &Bench, file: &str, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&bench.read(file)).unwrap();
    change(&mut value);
    fs::write(bench.path(file), value.to_string()).unwrap();
}

/// A fit that was killed before its first check.
fn cut_off(bench: &Bench, name: &str) {
    copy(bench, name);
    fs::remove_dir_all(bench.path(name).join("checkpoints")).unwrap();
    edit(bench, &format!("{name}/manifest.json"), |manifest| {
        manifest["status"] = json!("running");
        manifest["best"] = json!(null);
    });
}

fn without_best(bench: &Bench, name: &str) {
    copy(bench, name);
    fs::remove_dir_all(bench.path(name).join("checkpoints/best")).unwrap();
}

fn without_checkpoints(bench: &Bench, name: &str) {
    copy(bench, name);
    fs::remove_dir_all(bench.path(name).join("checkpoints")).unwrap();
}

/// Like an imported run, which has a model and nothing to go on with.
fn imported(bench: &Bench, name: &str) {
    copy(bench, name);
    fs::remove_dir_all(bench.path(name).join("checkpoints/last")).unwrap();
    for file in ["checkpoints/best/state.json", "metrics.csv"] {
        fs::remove_file(bench.path(name).join(file)).unwrap();
    }
}

#[test]
fn every_verb_says_what_to_do_about_a_run_without_a_model() {
    let bench = Bench::with_recording();
    bench.fit(&["--out", RUN, "schedule.max_steps=10"]).succeeds();
    let verbs: [&[&str]; 5] = [
        &["score", "X"],
        &["predict", "X", "--data", "recording", "--out", "o.npy"],
        &["explain", "X", "barcode"],
        &["ensemble", "X", RUN, "--out", "mean"],
        &["submit", "X", "--data", "recording", "--tier", "test", "--out", "s.csv"],
    ];
    let kinds: [(&str, Damage, &str); 3] = [
        ("cut off", cut_off, "has not reached its first check"),
        ("no best", without_best, "is missing, though the fit came to step 10"),
        ("nothing kept", without_checkpoints, "is missing"),
    ];
    for (name, make, why) in kinds {
        make(&bench, name);
        let mut said = Vec::new();
        for verb in verbs {
            let args: Vec<&str> = verb.iter().map(|arg| if *arg == "X" { name } else { arg }).collect();
            let done = bench.run(&args).fails(3, &[why, "hint: "]);
            assert!(!done.err.contains("best check so far is taken"), "{}", done.err);
            said.push(done.err);
        }
        assert!(said.iter().all(|words| *words == said[0]), "{said:#?}");
        bench.run(&["report", name]).succeeds();
        let page = String::from_utf8(bench.read(&format!("{name}/report.html"))).unwrap();
        assert!(page.contains(why), "{page}");
        let (shown, on_page) = (commands(&said[0]), commands_of_page(&page));
        assert!(shown.iter().all(|command| on_page.contains(command)), "{shown:?} {on_page:?}");
        work(&bench, shown, &said[0]);
    }
}

#[test]
fn what_refusals_advise_works() {
    let bench = Bench::with_recording();
    let fitted = bench.fit(&["--out", RUN, "schedule.max_steps=10"]).succeeds().err;
    let patient =
        bench.fit(&["--out", "tired one", "schedule.patience=1", "schedule.min_delta=9"]).succeeds().err;
    for words in [&fitted, &patient] {
        work(&bench, commands(words), words);
    }
    without_best(&bench, "no best");
    without_checkpoints(&bench, "nothing kept");
    imported(&bench, "given one");
    fs::write(bench.path("half.toml"), "name = \"x\"\n").unwrap();
    let refused: [(&[&str], i32); 7] = [
        (&["fit", "--out", "no best"], 3),
        (&["fit", "--out", "nothing kept"], 3),
        (&["fit", "--out", "given one"], 2),
        (&["fit", RUN, "--data", "recording", "--out", "new"], 2),
        (&["fit", "--out", "new"], 2),
        (&["fit", "half.toml", "--data", "recording", "--out", "new"], 2),
        (&["fit", "demo", "--data", "recording", "--out", "new", "data.exclude_neurons=[999]"], 2),
    ];
    for (args, code) in refused {
        let done = bench.run(args).fails(code, &["hint: "]);
        work(&bench, commands(&done.err), &done.err);
    }
    fs::create_dir(bench.path("striate-demo")).unwrap();
    fs::write(bench.path("striate-demo/notes.txt"), "").unwrap();
    let occupied = bench.run(&["demo"]).fails(2, &["`striate demo --out striate-demo-2`"]);
    assert_eq!(commands(&occupied.err).len(), 1);
}

#[test]
fn what_a_page_advises_works() {
    let bench = Bench::with_recording();
    bench.fit(&["--out", RUN, "schedule.max_steps=10"]).succeeds();
    bench.run(&["explain", RUN, "barcode", "most=2", "seeds=2"]).succeeds();
    edit(&bench, &format!("{RUN}/explain/barcode/barcode.json"), |found| found["format"] = json!(1));
    bench.run(&["report", RUN]).succeeds();
    let page = String::from_utf8(bench.read(&format!("{RUN}/report.html"))).unwrap();
    let shown = commands_of_page(&page);
    for command in ["striate score 'my run'", "striate explain 'my run' barcode"] {
        assert!(shown.iter().any(|shown| shown == command), "{shown:?}");
    }
    work(&bench, shown, "the page");
}
