//! Reading that the user can stop: a first pass over a long recording takes minutes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Session, Stream, TrialSource, Window};
use crate::error::{Error, Result};

/// Ends the reading of a session once a flag is set, until it is lifted.
#[derive(Debug)]
pub struct Interrupt {
    stop: Arc<AtomicBool>,
    lifted: AtomicBool,
}

impl Interrupt {
    /// Reading ends when `stop` is set.
    pub fn at(stop: Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Self { stop, lifted: AtomicBool::new(false) })
    }

    /// From now on all is read that is asked for: whoever asks looks at the flag.
    pub fn lift(&self) {
        self.lifted.store(true, Ordering::SeqCst);
    }

    fn check(&self) -> Result<()> {
        if self.lifted.load(Ordering::SeqCst) || !self.stop.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(Error::interrupted("stopped while reading").hint("the same command begins again"))
    }
}

impl Session {
    /// Lets every read of a trial ask `interrupt` first.
    pub fn interrupt_by(&mut self, interrupt: &Arc<Interrupt>) {
        let source = self.source.clone();
        self.source = Arc::new(Interruptible { source, interrupt: interrupt.clone() });
    }
}

#[derive(Debug)]
struct Interruptible {
    source: Arc<dyn TrialSource>,
    interrupt: Arc<Interrupt>,
}

impl TrialSource for Interruptible {
    fn read(&self, window: Window<'_>) -> Result<Vec<f32>> {
        self.interrupt.check()?;
        self.source.read(window)
    }

    fn read_f64(&self, window: Window<'_>) -> Result<Vec<f64>> {
        self.interrupt.check()?;
        self.source.read_f64(window)
    }

    fn each_sample(&self, window: Window<'_>, take: &mut dyn FnMut(&mut [f32])) -> Result<()> {
        self.interrupt.check()?;
        self.source.each_sample(window, take)
    }

    fn check_interrupt(&self) -> Result<()> {
        self.interrupt.check()
    }

    fn verify(&self) -> Result<()> {
        self.interrupt.check()?;
        self.source.verify()
    }

    fn classes(&self, trials: usize) -> Result<Option<Vec<String>>> {
        self.source.classes(trials)
    }

    fn stamp(&self) -> Option<String> {
        self.source.stamp()
    }

    fn place(&self, stream: Stream, trial: usize) -> PathBuf {
        self.source.place(stream, trial)
    }

    fn table(&self, name: &str) -> PathBuf {
        self.source.table(name)
    }
}
