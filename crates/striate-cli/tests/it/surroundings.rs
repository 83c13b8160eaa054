//! Nobody reads, the disk is full, a signal comes, names are hostile: the work goes on, and the words are true.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::bench::{Bench, Done, FIT};

const LONG: [&str; 4] =
    ["schedule.max_steps=600", "schedule.patience=1000", "schedule.check_every=10", "fit.shuffle_first=true"];

fn status(bench: &Bench, run: &str) -> Value {
    let manifest: Value = serde_json::from_slice(&bench.read(&format!("{run}/manifest.json"))).unwrap();
    manifest["status"].clone()
}

/// A device that is always full.
fn full() -> Stdio {
    fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// A pipe whose reader is gone.
fn closed() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

#[test]
fn a_fit_that_nobody_can_read_is_the_same_fit() {
    let bench = Bench::with_run();
    let whole = bench.result("run");
    for (run, gone) in [("full", full as fn() -> Stdio), ("closed", closed)] {
        let mut command = bench.command(&[FIT, &["--out", run, "-v"]].concat());
        assert_eq!(command.stdout(gone()).stderr(gone()).status().unwrap().code(), Some(0));
        assert!(bench.result(run) == whole && status(&bench, run) == "finished");
    }
}

#[test]
fn what_is_written_does_not_depend_on_who_reads() {
    let bench = Bench::with_run();
    bench.fit(&["seed=2", "--out", "second"]).succeeds();
    fs::write(bench.path("sweep.toml"), "base = \"run/config.toml\"\n[[grid]]\nseed = [1, 2]\n").unwrap();
    let verbs: [(&[&str], &str); 7] = [
        (&["score", "run"], "run/scores/test.json"),
        (&["predict", "run", "--data", "recording", "--out", "all.npy"], "all.npy"),
        (&["explain", "run", "barcode", "seeds=2", "most=2"], "run/explain/barcode/barcode.json"),
        (&["report", "run"], "run/report.html"),
        (&["ensemble", "run", "second", "--out", "mean"], "mean/manifest.json"),
        (&["simulate", "klindt-linear", "--out", "other", "neurons=4", "samples=20", "test=2"], "other"),
        (&["sweep", "sweep.toml", "--out", "grid"], "grid/sweep.csv"),
    ];
    for (args, written) in verbs {
        for gone in [full as fn() -> Stdio, closed] {
            let path = bench.path(written);
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            if args[0] == "ensemble" {
                let _ = fs::remove_dir_all(bench.path("mean"));
            }
            let code = bench.command(args).stdout(gone()).stderr(gone()).status().unwrap().code();
            assert_eq!((code, path.exists()), (Some(0), true), "{args:?}");
        }
    }
}

/// Where the text is all there is, a full disk is an error, and a reader that is gone is none.
#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    let bench = Bench::with_run();
    for args in [&["info"][..], &["config"], &["inspect", "recording"], &["score", "run", "--json"]] {
        let done = bench.command(args).stdout(full()).spawn().unwrap().wait_with_output().unwrap();
        Done::from(done).fails(3, &["standard output", "cannot write", "hint: "]);
        let mut command = bench.command(args);
        assert_eq!(command.stdout(closed()).status().unwrap().code(), Some(0), "{args:?}");
    }
    let mut refused = bench.command(&["inspect", "none"]);
    assert_eq!(refused.stderr(full()).status().unwrap().code(), Some(3));
}

fn send(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

/// Runs a fit and sends `signal` once it has said `word`.
fn stopped(mut command: Command, word: &str, signal: &str) -> Done {
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut err = Vec::new();
    for line in lines {
        if line.contains(word) {
            send(&child, signal);
        }
        err.push(line);
    }
    let mut done = Done::from(child.wait_with_output().unwrap());
    done.err = err.join("\n");
    done
}

/// Whether this process ignores SIGHUP, and with it every command that it starts.
fn hangups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[test]
fn every_signal_that_asks_for_an_end_saves() {
    let bench = Bench::with_recording();
    let fit = [FIT, &LONG].concat();
    bench.run(&[&fit[..], &["--out", "whole"]].concat()).succeeds();
    for (signal, code) in [("-TERM", 143), ("-HUP", 129)] {
        if signal == "-HUP" && hangups_are_ignored() {
            println!("skipped: whoever started the tests ignores SIGHUP, and so does a fit then");
            continue;
        }
        let run = signal.trim_start_matches('-');
        let done = stopped(bench.command(&[&fit[..], &["--out", run]].concat()), "step     20 ", signal);
        assert_eq!(done.code, Some(code), "{}", done.err);
        assert!(done.err.contains(&format!("resume with: striate fit --out {run}")), "{}", done.err);
        assert_eq!(status(&bench, run), "interrupted");
        bench.run(&["fit", "--out", run]).succeeds();
        assert!(bench.result(run) == bench.result("whole"));
    }
}

/// The second signal ends at once, in the middle of what the first one began to save.
#[test]
fn a_second_signal_leaves_a_whole_run() {
    let bench = Bench::with_recording();
    let fit = [FIT, &LONG].concat();
    bench.run(&[&fit[..], &["--out", "whole"]].concat()).succeeds();
    for pause in [0, 1, 2, 4, 8, 16] {
        let mut child = bench.command(&[&fit[..], &["--out", "run"]].concat()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("step     20 ")));
        send(&child, "-TERM");
        std::thread::sleep(std::time::Duration::from_millis(pause));
        send(&child, "-INT");
        let code = child.wait().unwrap().code();
        assert!(matches!(code, Some(130 | 143)), "{code:?} after {pause} ms");
        let words = bench.run(&["score", "run"]).succeeds().err;
        assert!(words.contains("interrupted at step ") && !words.contains("running"), "{words}");
        bench.run(&["fit", "--out", "run"]).succeeds();
        assert!(bench.result("run") == bench.result("whole"), "after {pause} ms");
        fs::remove_dir_all(bench.path("run")).unwrap();
    }
}

/// Long recordings are read for minutes before the first step.
#[test]
fn a_signal_while_the_recording_is_read_ends_the_reading() {
    let bench = Bench::with_recording_of(&["samples=1500"]);
    let fit = [FIT, &["--threads", "1", "--out"]].concat();
    let child = bench.command(&[&fit[..], &["run"]].concat()).spawn().unwrap();
    while !bench.path("run/lock").exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    send(&child, "-TERM");
    let done = Done::from(child.wait_with_output().unwrap());
    assert_eq!(done.code, Some(143), "{}", done.err);
    assert!(done.err.contains("stopped while reading; the same command begins again"), "{}", done.err);
    assert!(!bench.path("run/checkpoints").exists());
    for run in ["run", "whole"] {
        bench.run(&[&fit[..], &[run]].concat()).succeeds();
    }
    assert!(bench.result("run") == bench.result("whole"));
}

#[test]
fn a_sweep_that_is_stopped_goes_on() {
    let bench = Bench::with_run();
    fs::write(bench.path("sweep.toml"), "base = \"run/config.toml\"\n[[grid]]\nseed = [1, 2]\n").unwrap();
    let sweep = |out: &'static str| [&["sweep", "sweep.toml"][..], &LONG, &["--out", out]].concat();
    let whole = bench.run(&sweep("whole")).succeeds().out;
    for (signal, code) in [("-TERM", 143), ("-INT", 130)] {
        let done = stopped(bench.command(&sweep("grid")), "step     20 ", signal);
        assert_eq!(done.code, Some(code), "{}", done.err);
        assert!(done.err.contains("the same command goes on"), "{}", done.err);
        assert_eq!(status(&bench, "grid/000"), "interrupted");
        assert!(!bench.path("grid/001").exists() && !bench.path("grid/sweep.csv").exists());
        assert_eq!(bench.run(&sweep("grid")).succeeds().out, whole);
        fs::remove_dir_all(bench.path("grid")).unwrap();
    }
}

#[test]
fn a_demo_that_is_stopped_goes_on() {
    let bench = Bench::new();
    let demo = ["demo", "--out", "demo"];
    let done = stopped(bench.command(&demo), "step     50 ", "-INT");
    assert_eq!(done.code, Some(130), "{}", done.err);
    assert!(done.err.contains("the same command goes on"), "{}", done.err);
    assert_eq!(status(&bench, "demo/run"), "interrupted");
    let done = bench.run(&demo).succeeds();
    assert!(done.err.contains("going on from step") && done.out.contains("recovered FEV 0."), "{}", done.err);
}

#[test]
fn a_reproduction_that_is_stopped_goes_on() {
    let bench = Bench::new();
    let reproduce = ["reproduce", "klindt2017/table1", "--quick", "--out", "out"];
    let done = stopped(bench.command(&reproduce), "simulated-LNP", "-TERM");
    assert_eq!(done.code, Some(143), "{}", done.err);
    assert!(done.err.contains("the same command goes on"), "{}", done.err);
    assert!(!bench.path("out/result.json").exists());
    bench.run(&reproduce).succeeds();
}

/// `nohup` asks for a fit that outlives its terminal.
#[test]
fn an_ignored_hangup_stays_ignored() {
    let bench = Bench::with_recording();
    let fit = bench.command(&[FIT, &["--out", "run"]].concat());
    let mut command = Command::new("nohup");
    command.arg(fit.get_program()).args(fit.get_args()).current_dir(bench.path("")).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let done = stopped(command, "Ctrl-C or SIGTERM saves", "-HUP").succeeds();
    assert!(done.err.contains("finished at step 40"), "{}", done.err);
}

#[test]
fn a_fit_says_what_it_uses_and_why_it_ended() {
    let bench = Bench::with_recording();
    let done = bench.fit(&["data.neurons=4", "--out", "run"]).succeeds();
    let said =
        ["4 of 8 neurons; 128 trials to fit, 32 to validate (the tier `validation`)", "SIGTERM", " left"];
    let ended = ["finished at step 40: that was its number of steps", "schedule.max_steps=80"];
    for word in said.iter().chain(&ended) {
        assert!(done.err.contains(word), "`{word}` is not in: {}", done.err);
    }
    let again = bench.run(&["fit", "--out", "run"]).succeeds();
    for word in ["was finished before"].iter().chain(&ended) {
        assert!(again.err.contains(word), "`{word}` is not in: {}", again.err);
    }
    let tired = ["schedule.max_steps=0", "schedule.patience=1", "schedule.min_delta=9", "--out", "tired"];
    let done = bench.fit(&tired).succeeds();
    assert!(done.err.contains("it became no better (schedule.patience)"), "{}", done.err);
    assert!(done.err.contains("left if no better"), "{}", done.err);
}

#[test]
fn absurd_thread_counts_are_refused() {
    Bench::new().run(&["info", "--threads", "1000000"]).fails(2, &["--threads", "1024"]);
}

#[test]
fn names_that_are_no_text_are_taken_or_refused() {
    let bench = Bench::with_run();
    let name = std::ffi::OsStr::from_bytes(b"run\xff");
    let with = |args: &[&str]| -> i32 {
        let mut command = bench.command(args);
        let done = command.arg(name).output().unwrap();
        assert!(!String::from_utf8_lossy(&done.stderr).contains("panicked"), "{args:?}: {done:?}");
        done.status.code().unwrap()
    };
    assert_eq!(with(&[FIT, &["--out"]].concat()), 0);
    for args in [&["score"][..], &["explain", "run", "barcode", "seeds=2", "most=2", "--data"], &["report"]] {
        assert!([0, 3].contains(&with(args)), "{args:?}");
    }
    assert_eq!(with(&["inspect", "--json"]), 3);
    assert_eq!(with(&["fit", "demo", "--out", "x", "--data"]), 2);
    assert_eq!(with(&["demo", "--out"]), 2);
    assert!(!bench.path("x").exists());
}

#[test]
fn names_from_files_do_not_reach_the_terminal() {
    let bench = Bench::with_recording();
    let hostile = "\x1b]0;title\x07\u{9b}2Jx";
    for args in [&["inspect", hostile][..], &["fit", "demo", "--out", "x", hostile], &[hostile]] {
        let done = bench.run(args);
        assert!(done.code != Some(0) && done.err.contains("\\u{"), "{args:?}: {}", done.err);
        assert!(!done.err.contains(['\x1b', '\x07', '\u{9b}']), "{args:?}: {}", done.err);
    }
    let forged = bench.run(&["inspect", "none\nerror: all is well"]);
    assert!(!forged.err.lines().any(|line| line.starts_with("error: all")), "{}", forged.err);
    fs::rename(bench.path("recording"), bench.path(hostile)).unwrap();
    let page = bench.run(&["inspect", hostile]).succeeds().out;
    assert!(page.contains("\\u{1b}]0;title") && !page.contains('\x1b'), "{page}");
}
