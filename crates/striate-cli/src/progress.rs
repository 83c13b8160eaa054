//! Shows a fit: a bar on a terminal, plain lines elsewhere.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use striate::fit::Event;

use crate::Common;

/// Turns [`Event`]s into words.
pub struct Progress {
    bar: Option<ProgressBar>,
    log: Option<File>,
    quiet: bool,
    steps_per_epoch: u64,
    best: Option<String>,
}

impl Progress {
    /// A display for stderr that repeats its lines in the file `log`.
    pub fn new(common: &Common, log: &Path) -> Self {
        let bar = (std::io::stderr().is_terminal() && !common.quiet).then(bar);
        let log = OpenOptions::new().create(true).append(true).open(log).ok();
        Self { bar, log, quiet: common.quiet, steps_per_epoch: 1, best: None }
    }

    /// Shows one event.
    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Started {
                images: [_, height, width],
                parameters,
                steps_per_epoch,
                step,
                adopted,
                anew,
            } => {
                self.steps_per_epoch = *steps_per_epoch;
                let from = if *step > 0 { format!(", going on from step {step}") } else { String::new() };
                self.line(&format!(
                    "images of {height}x{width} pixels, {parameters} parameters, {steps_per_epoch} steps per epoch{from}"
                ));
                if !adopted.is_empty() {
                    self.line(&format!("starts from given weights: {}", adopted.join(", ")));
                }
                if !anew.is_empty() {
                    self.line(&format!("start anew: {}", anew.join(", ")));
                }
            }
            Event::Step { step } => self.step(*step),
            Event::Check { row, improved } => {
                let number = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.4}"));
                if *improved {
                    self.best = Some(format!("r {} at step {}", number(row.val_correlation), row.step));
                }
                self.line(&format!(
                    "step {:>6}  epoch {:>6.1}  train {}  val {}  r {}{}  {:.0} s",
                    row.step,
                    row.epoch,
                    number(row.train_loss),
                    number(row.val_loss),
                    number(row.val_correlation),
                    if *improved { " *" } else { "  " },
                    row.seconds.unwrap_or(0.0),
                ));
            }
            Event::Solved { alpha, unconverged } => self.solved(*alpha, *unconverged),
            Event::NewRound { learning_rate } => self.line(&format!("learning rate {learning_rate:.2e}")),
        }
    }

    fn solved(&mut self, alpha: f64, unconverged: usize) {
        if alpha > 0.0 {
            self.line(&format!("alpha {alpha}"));
        }
        if unconverged > 0 {
            self.line(&format!(
                "the weights of {unconverged} neurons are not exact: alpha is too small for them"
            ));
        }
    }

    fn step(&self, step: u64) {
        let Some(bar) = &self.bar else { return };
        bar.set_length(self.steps_per_epoch);
        bar.set_position((step - 1) % self.steps_per_epoch + 1);
        bar.set_prefix(format!("epoch {}", (step - 1) / self.steps_per_epoch + 1));
        if let Some(best) = &self.best {
            bar.set_message(format!("best {best}"));
        }
    }

    fn line(&mut self, text: &str) {
        // The log is a convenience; the numbers are in metrics.csv, whose errors do surface.
        if let Some(log) = &mut self.log {
            let _ = writeln!(log, "{text}");
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None if self.quiet => {}
            None => eprintln!("{text}"),
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(1);
    let style =
        ProgressStyle::with_template("{prefix} {wide_bar:.cyan/dim} {pos}/{len} {per_sec} eta {eta} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
