//! Striate as one variant of `bench/compare` and `bench/loader`: does what the lines on its standard input ask for.
//!
//! The protocol is that of `bench/peer/worker.py`.

#![allow(clippy::disallowed_methods, reason = "a measurement reads and writes its own files")]

mod loader;
mod product;
mod usage;

use std::io::{BufRead, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use serde::{Deserialize, Serialize};
use striate::batch::{Clip, Normalisation};

use loader::Loader;
use product::Product;
use usage::{Memory, PerStep};

/// Striate's side of `bench/compare` and `bench/loader`; reads requests from standard input.
#[derive(Parser)]
struct Options {
    /// Worker threads; 0 means one per core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Request {
    Load { file: PathBuf },
    Step { mode: Mode, count: usize },
    Memory { mode: Mode, count: usize },
    Open { recording: PathBuf },
    Clips { batches: Vec<Vec<[usize; 2]>>, samples: usize },
    Save { clips: Vec<[usize; 2]>, samples: usize, file: PathBuf },
}

/// What the requests are about.
#[derive(Default)]
struct Subject {
    product: Option<Product>,
    loader: Option<Loader>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Train,
    Read,
    Infer,
    Prefer,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Done {},
    Normalisation(Box<Normalisation>),
    PerStep(PerStep),
    Memory(Memory),
}

fn main() -> Result<()> {
    striate::ops::keep_freed_memory();
    striate::ops::set_threads(Options::parse().threads)?;
    let baseline = usage::resident("VmRSS")?;
    let mut subject = Subject::default();
    for line in std::io::stdin().lock().lines() {
        let request = serde_json::from_str(&line?).context("the request is not understood")?;
        let answer = answer(request, &mut subject, baseline)?;
        println!("{}", serde_json::to_string(&answer)?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn answer(request: Request, subject: &mut Subject, baseline: u64) -> Result<Answer> {
    Ok(match request {
        Request::Load { file } => {
            // That of before ends first.
            subject.product = None;
            subject.product = Some(Product::new(&file));
            Answer::Done {}
        }
        Request::Step { mode, count } => {
            let product = subject.product()?;
            Answer::PerStep(usage::timed(count, || step(product, mode))?)
        }
        Request::Memory { mode, count } => {
            let product = subject.product()?;
            Answer::Memory(usage::peak(baseline, count, || step(product, mode))?)
        }
        Request::Open { recording } => {
            let loader = subject.loader.insert(Loader::open(&recording)?);
            Answer::Normalisation(Box::new(loader.normalisation()))
        }
        Request::Clips { batches, samples } => {
            let batches: Vec<Vec<Clip>> = batches.iter().map(|batch| clips(batch, samples)).collect();
            Answer::PerStep(subject.loader()?.timed(&batches)?)
        }
        Request::Save { clips: starts, samples, file } => {
            subject.loader()?.save(&clips(&starts, samples), &file)?;
            Answer::Done {}
        }
    })
}

impl Subject {
    fn product(&mut self) -> Result<&mut Product> {
        self.product.as_mut().context("no product is loaded")
    }

    fn loader(&self) -> Result<&Loader> {
        self.loader.as_ref().context("no recording is open")
    }
}

/// Clips of `samples` samples, each from its trial and first sample.
fn clips(starts: &[[usize; 2]], samples: usize) -> Vec<Clip> {
    starts.iter().map(|&[trial, start]| Clip { trial, start, samples }).collect()
}

fn step(product: &mut Product, mode: Mode) -> Result<()> {
    match mode {
        Mode::Train => product.train(),
        Mode::Read => product.read(),
        Mode::Infer => product.infer(),
        Mode::Prefer => product.prefer(),
    }
}
