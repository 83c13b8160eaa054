//! Deaths in a row: kills, what a cluster sends before it ends a job, and a stderr that nobody reads any more, over every
//! verb that takes long. Whatever died, later verbs say what is there, and the same command ends as if nothing had been.
//!
//! `STRIATE_DEATHS=300 cargo test --release -p striate-cli deaths` makes more of them than every day.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bench::{Bench, FIT};

const LONG: [&str; 3] = ["schedule.max_steps=400", "schedule.patience=1000", "schedule.check_every=10"];
const EXPLAIN: [&str; 5] = ["explain", "done", "barcode", "most=4", "seeds=4"];
const SWEEP: [&str; 6] = ["sweep", "sweep.toml", "--data", "recording", "--out", "grid"];

/// How a process ends before it is done.
#[derive(Debug, Clone, Copy)]
enum Death {
    Killed,
    Terminated,
    Unread,
}

struct World {
    bench: Bench,
    random: u64,
    /// How long each verb takes undisturbed, so that deaths come at any moment of it on machines of any speed.
    lasts: Vec<(&'static str, Duration)>,
    /// Processes that were hit before they were done.
    hit: u32,
}

#[test]
#[cfg(unix)]
fn whatever_dies_nothing_is_lost_and_nothing_misleads() {
    let count = std::env::var("STRIATE_DEATHS").map_or(10, |text| text.parse().expect("a number"));
    let mut world = World::new();
    let verbs = [World::fit, World::sweep, World::score, World::explain, World::report];
    for number in 0..count {
        let death = [Death::Killed, Death::Terminated, Death::Unread][number % 3];
        verbs[number / 3 % verbs.len()](&mut world, death);
    }
    println!("{} of {count} hit a process that was not done", world.hit);
    // A few may all come too late on a fast machine.
    assert!(world.hit > 0 || count < 50);
    world.ends_as_if_undisturbed();
}

impl World {
    fn new() -> Self {
        let bench = Bench::with_recording();
        fs::write(bench.path("sweep.toml"), sweep_file()).unwrap();
        let mut lasts = Vec::new();
        let mut timed = |args: &[&'static str]| {
            let start = Instant::now();
            bench.run(args).succeeds();
            lasts.push((args[0], start.elapsed()));
        };
        timed(&[FIT, &LONG, &["--out", "whole"]].concat());
        bench.fit(&["--out", "done"]).succeeds();
        bench.fit(&["--out", "same"]).succeeds();
        for run in ["done", "same"] {
            timed(&["score", run]);
            timed(&["explain", run, "barcode", "most=4", "seeds=4"]);
        }
        timed(&["report", "done", "same"]);
        timed(&["sweep", "sweep.toml", "--data", "recording", "--out", "whole-grid"]);
        Self { bench, random: 4711, lasts, hit: 0 }
    }

    /// Lets a command die at a moment that looks random.
    fn dies(&mut self, args: &[&str], death: Death) {
        let mut child = self.bench.command(args).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(self.moment(args[0]));
        self.hit += u32::from(child.try_wait().unwrap().is_none());
        let stderr = child.stderr.take();
        match death {
            Death::Killed => child.kill().unwrap(),
            Death::Terminated => terminate(&child),
            Death::Unread => drop(stderr),
        }
        let code = child.wait().unwrap().code();
        match death {
            Death::Killed => {
                assert!(matches!(code, None | Some(0)), "{args:?}: {code:?} before it was killed")
            }
            // Verbs that take no steps end as the system ends them.
            Death::Terminated => {
                assert!(matches!(code, None | Some(0 | 143)), "{args:?}: {code:?} after SIGTERM")
            }
            Death::Unread => assert_eq!(code, Some(0), "{args:?} minds that nobody reads"),
        }
    }

    fn moment(&mut self, verb: &str) -> Duration {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (_, lasts) = self.lasts.iter().find(|(name, _)| *name == verb).expect("every verb was timed");
        lasts.mul_f64((self.random >> 33) as f64 / f64::from(1u32 << 31))
    }

    fn fit(&mut self, death: Death) {
        if self.bench.path("run/manifest.json").exists() {
            self.dies(&["fit", "--out", "run"], death);
        } else {
            self.dies(&[FIT, &LONG, &["--out", "run"]].concat(), death);
        }
        if !self.bench.path("run/manifest.json").exists() {
            return;
        }
        let asked = self.bench.run(&["score", "run"]);
        assert!(matches!(asked.code, Some(0 | 3)), "{}", asked.err);
        let told = asked.err.contains("interrupted") || asked.err.is_empty() || asked.code == Some(3);
        assert!(told && !asked.err.contains("running"), "{}", asked.err);
        if self.bench.run(&["fit", "--out", "run", "-q"]).code == Some(0) {
            self.same_fit("run");
            fs::remove_dir_all(self.bench.path("run")).unwrap();
        }
    }

    fn same_fit(&self, run: &str) {
        assert!(self.bench.result(run) == self.bench.result("whole"), "a resumed fit made other steps");
    }

    fn sweep(&mut self, death: Death) {
        let table = self.bench.path("grid/sweep.csv");
        if table.exists() {
            fs::remove_dir_all(self.bench.path("grid")).unwrap();
        }
        self.dies(&SWEEP, death);
    }

    fn score(&mut self, death: Death) {
        self.dies(&["score", "done"], death);
        self.as_before("scores/test.json", &["score", "done"]);
    }

    fn explain(&mut self, death: Death) {
        self.dies(&EXPLAIN, death);
        self.as_before("explain/barcode/barcode.json", &EXPLAIN);
    }

    fn report(&mut self, death: Death) {
        self.dies(&["report", "done", "same"], death);
        self.bench.run(&["report", "done"]).succeeds();
    }

    /// What is there is whole, and the command that died writes the same again.
    fn as_before(&self, file: &str, args: &[&str]) {
        let read = |run: &str| -> serde_json::Value {
            let mut value: serde_json::Value =
                serde_json::from_slice(&self.bench.read(&format!("{run}/{file}"))).unwrap();
            value.as_object_mut().unwrap().remove("run");
            value.as_object_mut().unwrap().remove("runs");
            value
        };
        assert_eq!(read("done"), read("same"), "{file} after a death");
        self.bench.run(args).succeeds();
        assert_eq!(read("done"), read("same"), "{file} written again");
    }

    fn ends_as_if_undisturbed(&self) {
        let rest: Vec<String> =
            self.bench.files("done").into_iter().filter(|file| file.contains("tmp")).collect();
        self.bench.run(&SWEEP).succeeds();
        let table =
            |folder: &str| String::from_utf8(self.bench.read(&format!("{folder}/sweep.csv"))).unwrap();
        assert_eq!(table("grid"), table("whole-grid"));
        self.bench.run(&[FIT, &LONG, &["--out", "run"]].concat()).succeeds();
        self.same_fit("run");
        println!("left behind by kills: {rest:?}");
    }
}

fn terminate(child: &Child) {
    // It may be done by now.
    let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).stderr(Stdio::null()).status();
}

fn sweep_file() -> String {
    let mut text = String::from("base = \"demo\"\n[set]\n");
    for (key, value) in FIT[4..].iter().chain(&LONG).map(|setting| setting.split_once('=').unwrap()) {
        text += &format!("\"{key}\" = {value}\n");
    }
    // The last of a key that is set twice is the one of `LONG`.
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        let key = line.split(" = ").next();
        lines.retain(|known| !line.contains(" = ") || known.split(" = ").next() != key);
        lines.push(line);
    }
    lines.join("\n") + "\n[[grid]]\n\"seed\" = [1, 2, 3]\n"
}
