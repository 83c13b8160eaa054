//! Striate as one variant of `bench/compare`: does what the lines on its standard input ask for.
//!
//! The protocol is that of `bench/peer/worker.py`.

#![allow(clippy::disallowed_methods, reason = "a measurement reads and writes its own files")]

mod networks;
mod product;
mod source;
mod trainer;
mod usage;

use std::io::{BufRead, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use serde::{Deserialize, Serialize};

use trainer::{Losses, Steps};
use usage::{Memory, PerStep};

/// Striate's side of `bench/compare`; reads requests from standard input.
#[derive(Parser)]
struct Options {
    /// Worker threads; 0 means one per core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Request {
    Load { family: String, file: PathBuf },
    Check,
    Step { mode: Mode, count: usize },
    Memory { mode: Mode, count: usize },
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Train,
    Read,
    Infer,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Loaded {},
    Losses(Losses),
    PerStep(PerStep),
    Memory(Memory),
}

fn main() -> Result<()> {
    striate::ops::keep_freed_memory();
    striate::ops::set_threads(Options::parse().threads)?;
    let baseline = usage::resident("VmRSS")?;
    let mut network = None;
    for line in std::io::stdin().lock().lines() {
        let request = serde_json::from_str(&line?).context("the request is not understood")?;
        let answer = answer(request, &mut network, baseline)?;
        println!("{}", serde_json::to_string(&answer)?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn answer(request: Request, network: &mut Option<Box<dyn Steps>>, baseline: u64) -> Result<Answer> {
    if let Request::Load { family, file } = request {
        *network = None;
        *network = Some(trainer::load(&family, &file)?);
        return Ok(Answer::Loaded {});
    }
    let network = network.as_mut().context("no network is loaded")?.as_mut();
    Ok(match request {
        Request::Load { .. } => unreachable!("answered above"),
        Request::Check => Answer::Losses(network.check()?),
        Request::Step { mode, count } => Answer::PerStep(usage::timed(count, || step(network, mode))?),
        Request::Memory { mode, count } => {
            Answer::Memory(usage::peak(baseline, count, || step(network, mode))?)
        }
    })
}

fn step(network: &mut dyn Steps, mode: Mode) -> Result<()> {
    match mode {
        Mode::Train => network.train(),
        Mode::Read => network.read(),
        Mode::Infer => network.infer(),
    }
}
