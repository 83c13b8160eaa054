//! Inputs that are damaged or made to do harm, drawn from a seed, one change each. Whatever the verb: no panic, no signal,
//! no hang, less than a gibibyte of memory, no control characters on the terminal, a refusal that says where, and no
//! predictions but the right ones.
//!
//! A slice of them runs with every test; `STRIATE_HOSTILE=1000 cargo test --release -p striate-cli hostile` tries more, and
//! `STRIATE_HOSTILE_FROM=417` begins with another, to look at one again.

mod change;
mod world;

use std::fs;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::bench::{Bench, Done};
use world::World;

/// Those that run with every test.
const SLICE: u64 = 60;
/// Address space of a command in KiB: what it may take and, beside it, what the program and its threads reserve.
const ADDRESSES: u64 = 1536 << 10;
/// What a command may have in memory, in KiB.
const MEMORY: u64 = 1 << 20;
/// No input here is large; whoever takes as long waits for something that does not come.
const PATIENCE: Duration = Duration::from_secs(120);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
#[cfg(unix)]
fn whatever_the_input_nothing_panics_hangs_or_misleads() {
    let world = World::new();
    let (first, count) = (number("STRIATE_HOSTILE_FROM", 0), number("STRIATE_HOSTILE", SLICE));
    let mut codes = std::collections::BTreeMap::<i32, u32>::new();
    let mut most = 0;
    let failures: Vec<String> = (first..first + count)
        .filter_map(|seed| {
            let Attempt { what, done, peak_kib, predicted } = attempt(&world, seed);
            *codes.entry(done.code.unwrap_or(-1)).or_default() += 1;
            most = most.max(peak_kib);
            let large = (peak_kib >= MEMORY).then(|| format!("takes {} MiB", peak_kib >> 10));
            let wrong = wrong(&done, &what).or(large).or(predicted)?;
            Some(format!("seed {seed}: {what}: {wrong}\n{}", shortened(&done.err)))
        })
        .collect();
    println!("exit codes of {count} inputs: {codes:?}; at most {} MiB", most >> 10);
    assert!(failures.is_empty(), "{} of {count}\n\n{}", failures.len(), failures.join("\n"));
}

/// One input, and what came of it.
struct Attempt {
    /// The change and the command.
    what: String,
    done: Done,
    /// Most memory it had at once; 0 where it was too fast to be asked.
    peak_kib: u64,
    /// What is wrong with its predictions.
    predicted: Option<String>,
}

/// Makes one input and runs one verb on it.
fn attempt(world: &World, seed: u64) -> Attempt {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let case = &world::CASES[rng.random_range(0..world::CASES.len())];
    let bench = world.copy();
    let mut args: Vec<String> = case.args.iter().map(|arg| (*arg).to_owned()).collect();
    let (what, changed) = match case.subject {
        Some(subject) => change::file(&bench, subject, &mut rng),
        None => (change::setting(&mut args, &mut rng), String::new()),
    };
    let (done, peak_kib) = run(&bench, &args);
    let predicted = (done.code == Some(0)).then(|| world.other_predictions(case, &changed, &bench)).flatten();
    Attempt { what: format!("{what}; striate {}", args.join(" ")), done, peak_kib, predicted }
}

/// Runs a command; how it ended, and the most memory it was seen to have had, in KiB.
fn run(bench: &Bench, args: &[String]) -> (Done, u64) {
    let mut command = std::process::Command::new("sh");
    let limited = format!("ulimit -v {ADDRESSES}; exec \"$0\" \"$@\"");
    command.args(["-c", &limited, env!("CARGO_BIN_EXE_striate"), "--threads", "2"]).args(args);
    let written = |name| fs::File::create(bench.path(name)).unwrap();
    command.current_dir(bench.path("")).stdin(std::process::Stdio::null());
    command.env("RUST_BACKTRACE", "0").stdout(written("stdout")).stderr(written("stderr"));
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    let mut peak_kib = 0;
    let code = loop {
        // Of a process that has ended the system no longer tells; what it had at most until then, it does.
        peak_kib = peak_kib.max(peak_of(child.id()).unwrap_or(0));
        match child.try_wait().unwrap() {
            Some(status) => break status.code(),
            None if begun.elapsed() > PATIENCE => {
                child.kill().unwrap();
                child.wait().unwrap();
                break Some(124);
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let text = |name| String::from_utf8_lossy(&bench.read(name)).into_owned();
    (Done { code, out: text("stdout"), err: text("stderr") }, peak_kib)
}

/// The most memory that a process has had so far, in KiB.
fn peak_of(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// What is wrong with the end of a command, if anything.
fn wrong(done: &Done, what: &str) -> Option<String> {
    let Some(code) = done.code else { return Some("ended by a signal".into()) };
    let printed = done.out.chars().chain(done.err.chars());
    match code {
        101 => Some("panicked".into()),
        124 => Some("hangs".into()),
        0..=4 if printed.clone().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) => {
            Some("control characters are printed".into())
        }
        0 => None,
        1..=4 if done.err.contains("panicked") => Some("panicked".into()),
        // The answer is no: `submit --check` prints it, a diverged fit and a failed sweep say it.
        1 => None,
        2..=4 if !says_where(&done.err, what) => Some("the refusal does not say where".into()),
        2..=4 => None,
        code => Some(format!("exit code {code}")),
    }
}

/// Whether the first error names a key, or a file. `inspect` says on stdout what is damaged.
fn says_where(err: &str, what: &str) -> bool {
    if what.contains("; striate inspect") && !err.contains("error: ") {
        return true;
    }
    let Some(error) = err.lines().find_map(|line| line.strip_prefix("error: ")) else { return false };
    let words = what.split(|c: char| c.is_whitespace() || matches!(c, '=' | ';' | '/'));
    error.contains('`')
        || error.contains('\'')
        || words.filter(|word| word.len() > 2).any(|word| error.contains(word))
}

fn shortened(text: &str) -> String {
    let lines: Vec<String> = text.lines().take(6).map(|line| line.chars().take(300).collect()).collect();
    lines.join("\n")
}
