//! A network as `striate fit` trains it and `striate predict` asks it, a step at a time.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};
use burn::prelude::*;
use striate::explain::mei::{self, Limits, Options};
use striate::fit::{self, Event, FitConfig};
use striate::recording::{self, Session, Stream, Tier};
use striate::run::RunFolder;
use striate::twin::{State, Twin};

/// What the harness left in a folder: the configuration `config.toml`, the `recording` and a `run` of a few steps.
pub struct Product {
    folder: PathBuf,
    fit: Option<Fitting>,
    /// The same that keeps no trial in memory.
    reading: Option<Fitting>,
    shown: Vec<Shown>,
}

impl Product {
    /// Nothing is read before it is needed, so that no mode pays for another.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), fit: None, reading: None, shown: Vec::new() }
    }

    fn fitting(&self, name: &str, overrides: &[String]) -> Result<Fitting> {
        let config = FitConfig::read(&self.folder.join("config.toml"), overrides)?;
        Fitting::start(config, self.folder.join(format!("{name}-{}", std::process::id())))
    }

    /// One training step.
    pub fn train(&mut self) -> Result<()> {
        if self.fit.is_none() {
            self.fit = Some(self.fitting("train", &[])?);
        }
        self.fit.as_mut().context("it was just made")?.step()
    }

    /// The same, with its batch read from the files of the recording.
    pub fn read(&mut self) -> Result<()> {
        if self.reading.is_none() {
            self.reading = Some(self.fitting("read", &["data.cache_mib=0".into()])?);
        }
        self.reading.as_mut().context("it was just made")?.step()
    }

    /// One batch in evaluation mode.
    pub fn infer(&mut self) -> Result<()> {
        if self.shown.is_empty() {
            self.shown = Shown::open(&self.folder)?;
        }
        self.shown.iter().try_for_each(Shown::respond)
    }

    /// Ten steps towards what neurons prefer.
    pub fn prefer(&mut self) -> Result<()> {
        if self.shown.is_empty() {
            self.shown = Shown::open(&self.folder)?;
        }
        self.shown.iter().for_each(Shown::prefer);
        Ok(())
    }
}

/// `striate fit` in a thread of its own, which goes on by one step whenever it is asked to.
struct Fitting {
    /// Dropped, it ends the fit.
    ask: Option<Sender<()>>,
    made: Receiver<()>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Fitting {
    /// The first step is made at once.
    fn start(config: FitConfig, out: PathBuf) -> Result<Self> {
        let ((ask, asked), (tell, made)) = (channel(), channel());
        let thread = std::thread::spawn(move || fitted(&config, &out, &asked, &tell));
        let mut fitting = Self { ask: Some(ask), made, thread: Some(thread) };
        fitting.wait().map(|()| fitting)
    }

    fn step(&mut self) -> Result<()> {
        if let Some(ask) = &self.ask {
            // One that has ended says why below.
            let _ = ask.send(());
        }
        self.wait()
    }

    fn wait(&mut self) -> Result<()> {
        if self.made.recv().is_ok() {
            return Ok(());
        }
        match self.thread.take().context("the fit has ended")?.join() {
            Ok(ended) => ended.and_then(|()| bail!("the fit ended by itself")),
            Err(_) => bail!("the fit panicked"),
        }
    }
}

impl Drop for Fitting {
    fn drop(&mut self) {
        self.ask = None;
        self.thread.take().map(JoinHandle::join);
    }
}

fn fitted(config: &FitConfig, out: &Path, asked: &Receiver<()>, tell: &Sender<()>) -> Result<()> {
    let sessions = sessions(Path::new(&config.data.path))?;
    let sessions: Vec<&Session> = sessions.iter().collect();
    let run = fit::run_folder(config, &sessions, out, "cpu", "bench/compare")?;
    let stop = AtomicBool::new(false);
    let mut observe = |event: &Event| {
        if matches!(event, Event::Step { .. }) {
            let heard = tell.send(()).is_ok() && asked.recv().is_ok();
            stop.store(!heard, Ordering::Relaxed);
        }
    };
    fit::fit(config, &sessions, &run, &Device::flex(), &stop, &mut observe)?;
    Ok(())
}

fn sessions(path: &Path) -> Result<Vec<Session>> {
    Ok(recording::open(path)?.sessions)
}

/// The twin of a session and the images of its training tier, in memory.
struct Shown {
    twin: Twin,
    images: Vec<f32>,
    samples: usize,
}

impl Shown {
    /// Those of all sessions.
    fn open(folder: &Path) -> Result<Vec<Self>> {
        let (parts, sessions) =
            (RunFolder::open(&folder.join("run"))?.sessions()?, sessions(&folder.join("recording"))?);
        parts.iter().zip(&sessions).map(|(part, session)| Self::of(part, session)).collect()
    }

    fn of(part: &RunFolder, session: &Session) -> Result<Self> {
        let twin = Twin::load(part, &Device::flex())?;
        let trials = session.trials_of(&Tier::from("train"));
        let samples = trials.first().map_or(1, |&trial| session.trials[trial].samples);
        let images: Result<Vec<_>, _> =
            trials.iter().map(|&trial| session.read(Stream::Images, trial)).collect();
        Ok(Self { twin, images: images?.concat(), samples })
    }

    /// Ten steps towards what 64 neurons prefer, as `bench/peer/prefer.py`.
    fn prefer(&self) {
        let neurons: Vec<usize> = (0..64).map(|at| at % self.twin.card.neurons.len()).collect();
        let options = Options { steps: 10, ..Options::default() };
        let limits = Limits { grey: 0.0, contrast: 0.5, low: -3.0, high: 3.0 };
        mei::search(&self.twin, &neurons, limits, &options, &Device::flex());
    }

    fn respond(&self) -> Result<()> {
        self.twin.respond(&self.images, self.samples, &State::default(), &Device::flex())?;
        Ok(())
    }
}
