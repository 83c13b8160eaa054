//! Shows a fit: a bar on a terminal, plain lines elsewhere.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use striate::disk;
use striate::fit::Event;
use striate::fit::schedule::{End, Horizon};

use crate::Common;
use crate::print::one_line;

/// Turns [`Event`]s into words.
pub struct Progress {
    bar: Option<ProgressBar>,
    log: Option<File>,
    quiet: bool,
    steps_per_epoch: u64,
    /// Step and time at which this process began to fit.
    begin: (u64, Instant),
    best: Option<String>,
}

impl Progress {
    /// A display for stderr that repeats its lines in the file `log`.
    pub fn new(common: &Common, log: &Path) -> Self {
        let bar = (std::io::stderr().is_terminal() && !common.quiet).then(bar);
        let log = disk::append(log).ok();
        let begin = (0, Instant::now());
        Self { bar, log, quiet: common.quiet, steps_per_epoch: 1, begin, best: None }
    }

    /// Shows one event.
    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Started { .. } => self.started(event),
            Event::Step { step } => self.step(*step),
            Event::Check { row, improved, until } => {
                let number = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.4}"));
                if *improved {
                    self.best = Some(format!("r {} at step {}", number(row.val_correlation), row.step));
                }
                self.line(&format!(
                    "step {:>6}  epoch {:>6.1}  train {}  val {}  r {}{}  {:.0} s{}",
                    row.step,
                    row.epoch,
                    number(row.train_loss),
                    number(row.val_loss),
                    number(row.val_correlation),
                    if *improved { " *" } else { "  " },
                    row.seconds.unwrap_or(0.0),
                    self.left(row.step, *until),
                ));
                self.reach(*until);
            }
            Event::Solved { alpha, unconverged } => self.solved(*alpha, *unconverged),
            Event::NewRound { learning_rate } => self.line(&format!("learning rate {learning_rate:.2e}")),
            Event::AlreadyFinished { step } => {
                self.tell(&format!("was finished before, at step {step}: nothing is left to do"));
            }
        }
    }

    fn started(&mut self, event: &Event) {
        let Event::Started {
            images: [_, height, width],
            sessions,
            neurons,
            recorded,
            train,
            validation,
            validation_tier,
            parameters,
            steps_per_epoch,
            step,
            until,
            adopted,
            anew,
        } = event
        else {
            return;
        };
        (self.steps_per_epoch, self.begin) = (*steps_per_epoch, (*step, Instant::now()));
        let several = if *sessions > 1 { format!("{sessions} sessions: ") } else { String::new() };
        let tier = validation_tier.as_ref().map(|tier| one_line(&tier.to_string()));
        let from = tier.map_or("held out of the tier `train`".into(), |tier| format!("the tier `{tier}`"));
        self.line(&format!(
            "{several}{neurons} of {recorded} neurons; {train} trials to fit, {validation} to validate ({from})"
        ));
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
        self.reach(*until);
        if let Some(bar) = &self.bar {
            bar.set_position(*step);
            bar.reset_eta();
        }
    }

    /// Time that is left, as far as is known.
    fn left(&self, step: u64, until: Horizon) -> String {
        let (from, begin) = self.begin;
        let each = begin.elapsed().as_secs_f64() / step.saturating_sub(from).max(1) as f64;
        let seconds = each * until.step.saturating_sub(step) as f64;
        let time = match seconds {
            ..100.0 => format!("{seconds:.0} s"),
            ..6000.0 => format!("{:.0} min", seconds / 60.0),
            _ => format!("{:.1} h", seconds / 3600.0),
        };
        match until.by {
            _ if until.step <= step => String::new(),
            End::Steps | End::Checks | End::Solved => format!(", {time} left"),
            End::Patience | End::Rounds => format!(", {time} left if no better"),
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

    /// The bar is full where the fit ends.
    fn reach(&self, until: Horizon) {
        let Some(bar) = &self.bar else { return };
        bar.set_length(until.step);
    }

    fn step(&self, step: u64) {
        let Some(bar) = &self.bar else { return };
        bar.set_position(step);
        bar.set_prefix(format!("epoch {}", (step - 1) / self.steps_per_epoch + 1));
        if let Some(best) = &self.best {
            bar.set_message(format!("best {best}"));
        }
    }

    /// A line for the terminal and the log.
    pub fn line(&mut self, text: &str) {
        // The log is a convenience; the numbers are in metrics.csv, whose errors do surface.
        if let Some(log) = &mut self.log {
            let _ = writeln!(log, "{}", one_line(text));
        }
        self.tell(text);
    }

    fn tell(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tell!("{text}")),
            None if self.quiet => {}
            None => tell!("{text}"),
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
