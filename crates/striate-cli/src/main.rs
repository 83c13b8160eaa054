//! The `striate` command: words, colours and exit codes around the library.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these panic where nobody can take the words, and show names raw: use `print`"
)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[macro_use]
mod print;
mod outcome;
mod progress;
mod signals;
mod verb;

use outcome::Outcome;

/// Digital twins of primary visual cortex: recordings in, scored models out.
#[derive(Parser)]
#[command(version, max_term_width = 100, after_help = FIRST_STEPS)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    common: Common,
}

const FIRST_STEPS: &str = "First steps:
  striate demo                                              everything at once, on simulated neurons
  striate inspect mouse.zip                                 is the recording sound?
  striate fit whatwhere --data mouse.zip --out runs/first   fit it; again with only --out to resume
  striate score runs/first                                  how well?
  striate explain runs/first barcode                        are there cell types?
  striate report runs/first                                 one page to look at

Exit codes:
  0 done · 1 the answer is no · 2 usage or configuration · 3 recording, run folder or disk
  4 device · 101 a bug in striate · 130, 143 or 129 stopped by Ctrl-C, SIGTERM or SIGHUP, saved";

/// Flags every verb understands.
#[derive(clap::Args, Clone, Debug)]
struct Common {
    /// Where to compute: `auto` or `cpu`.
    #[arg(long, global = true, default_value = "auto", value_name = "DEVICE")]
    device: String,
    /// Worker threads; 0 means one per core.
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    threads: usize,
    /// Only warnings and errors.
    #[arg(short, long, global = true)]
    quiet: bool,
    /// More detail; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Verb {
    Demo(verb::demo::Args),
    Inspect(verb::inspect::Args),
    Convert(verb::convert::Args),
    Simulate(verb::simulate::Args),
    Config(verb::config::Args),
    Fit(verb::fit::Args),
    Sweep(verb::sweep::Args),
    Score(verb::score::Args),
    Predict(verb::predict::Args),
    Explain(verb::explain::Args),
    Report(verb::report::Args),
    Import(verb::import::Args),
    Reproduce(verb::reproduce::Args),
    Ensemble(verb::ensemble::Args),
    Submit(verb::submit::Args),
    Info(verb::info::Args),
}

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| outcome::refuse(&error));
    striate::ops::keep_freed_memory();
    outcome::start_log(&cli.common);
    let started = striate::ops::set_threads(cli.common.threads).map_err(anyhow::Error::from);
    outcome::exit(started.and_then(|()| dispatch(&cli.verb, &cli.common)))
}

fn dispatch(verb: &Verb, common: &Common) -> Outcome {
    match verb {
        Verb::Demo(args) => verb::demo::run(args, common),
        Verb::Inspect(args) => verb::inspect::run(args, common),
        Verb::Convert(args) => verb::convert::run(args, common),
        Verb::Simulate(args) => verb::simulate::run(args, common),
        Verb::Config(args) => verb::config::run(args, common),
        Verb::Fit(args) => verb::fit::run(args, common),
        Verb::Sweep(args) => verb::sweep::run(args, common),
        Verb::Score(args) => verb::score::run(args, common),
        Verb::Predict(args) => verb::predict::run(args, common),
        Verb::Explain(args) => verb::explain::run(args, common),
        Verb::Report(args) => verb::report::run(args, common),
        Verb::Import(args) => verb::import::run(args, common),
        Verb::Reproduce(args) => verb::reproduce::run(args, common),
        Verb::Ensemble(args) => verb::ensemble::run(args, common),
        Verb::Submit(args) => verb::submit::run(args, common),
        Verb::Info(args) => verb::info::run(args, common),
    }
}
