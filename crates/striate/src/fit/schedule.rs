//! When to lower the learning rate and when to stop: a state machine that sees only numbers.

use serde::{Deserialize, Serialize};

/// How a fit proceeds from check to check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Steps between checks on the validation trials; 0 checks once per epoch.
    pub check_every: u64,
    /// The number that decides.
    pub monitor: Monitor,
    /// Checks in a row without improvement that end a round.
    pub patience: u32,
    /// Rounds; the learning rate is lowered between them, and the fit stops after the last.
    pub rounds: u32,
    /// Factor of the learning rate from round to round.
    pub factor: f64,
    /// Whether a round that ran out of patience goes back to the best checkpoint, optimiser included.
    pub rewind: bool,
    /// Checks at the start that never count as bad.
    pub burn_in: u32,
    /// Smallest change that counts as improvement.
    pub min_delta: f64,
    /// Steps after which a round ends; 0 means no limit.
    pub round_steps: u64,
    /// Steps after which the fit stops; 0 means no limit.
    pub max_steps: u64,
    /// Checks after which the fit stops, epochs where there is one in each; 0 means no limit.
    #[serde(default)]
    pub max_checks: u32,
}

/// What is watched on the validation trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Monitor {
    /// The loss without penalties; lower is better.
    Loss,
    /// Mean single-trial correlation; higher is better.
    Correlation,
}

impl Monitor {
    /// Column of `metrics.csv` that it watches.
    pub fn metric(self) -> &'static str {
        match self {
            Self::Loss => "val_loss",
            Self::Correlation => "val_correlation",
        }
    }
}

/// Where a fit stands; part of every checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Progress {
    /// Best value so far, signed so that lower is better.
    pub best: Option<f64>,
    /// Step of the best value.
    pub best_step: u64,
    /// Checks made.
    pub checks: u32,
    /// Checks in a row without improvement.
    pub bad: u32,
    /// Rounds completed.
    pub rounds: u32,
    /// Step at which the round began.
    pub round_start: u64,
}

/// What to do after a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The value is the best so far: keep these weights.
    pub improved: bool,
    /// What comes next.
    pub next: Next,
}

/// Why a fit ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It made `schedule.max_steps` steps.
    Steps,
    /// It was checked `schedule.max_checks` times.
    Checks,
    /// It became no better for `schedule.patience` checks, in the last round.
    Patience,
    /// Its rounds are over, of which each ends by patience or after `schedule.round_steps`.
    Rounds,
    /// A linear model is solved for every alpha.
    Solved,
}

/// Where a fit ends as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    /// The step; with patience, that at which the round ends if no check is better.
    pub step: u64,
    /// Why it ends there.
    pub by: End,
}

/// What comes after a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Go on.
    Continue,
    /// Lower the learning rate; go back to the best checkpoint first if `rewind`.
    NextRound {
        /// Whether to go back to the best checkpoint.
        rewind: bool,
    },
    /// Stop and keep the best checkpoint.
    Stop,
}

impl ScheduleConfig {
    /// One that looks at every step and never stops by itself.
    pub(super) fn no_end(monitor: Monitor) -> Self {
        Self {
            check_every: 1,
            monitor,
            patience: u32::MAX,
            rounds: 1,
            factor: 1.0,
            rewind: false,
            burn_in: 0,
            min_delta: 0.0,
            round_steps: 0,
            max_steps: 0,
            max_checks: 0,
        }
    }

    /// Whether a fit that ended by itself at `step` would end there under this schedule, too.
    pub fn ends_at(&self, progress: &Progress, step: u64) -> bool {
        progress.rounds >= self.rounds || self.is_long(progress, step).is_some()
    }

    /// The limit that a fit at `step` has come to.
    fn is_long(&self, progress: &Progress, step: u64) -> Option<End> {
        match self {
            _ if self.max_steps > 0 && step >= self.max_steps => Some(End::Steps),
            _ if self.max_checks > 0 && progress.checks >= self.max_checks => Some(End::Checks),
            _ => None,
        }
    }

    /// Why a fit that ended by itself at `step` did so.
    pub fn end(&self, progress: &Progress, step: u64) -> End {
        match self.is_long(progress, step) {
            Some(end) => end,
            None if self.round_steps > 0 => End::Rounds,
            None => End::Patience,
        }
    }

    /// Where a fit at `step` ends, checked every `every` steps.
    pub fn horizon(&self, progress: &Progress, step: u64, every: u64) -> Horizon {
        if self.max_steps > 0 {
            return Horizon { step: self.max_steps, by: End::Steps };
        }
        let left = u64::from(self.patience.saturating_sub(progress.bad));
        let tired = step.saturating_add(left.saturating_mul(every));
        let long = if self.round_steps > 0 { progress.round_start + self.round_steps } else { u64::MAX };
        let by = if long < tired { End::Rounds } else { End::Patience };
        let checks = u64::from(self.max_checks.saturating_sub(progress.checks)).saturating_mul(every);
        match step.saturating_add(checks) {
            last if self.max_checks > 0 && last < tired.min(long) => Horizon { step: last, by: End::Checks },
            _ => Horizon { step: tired.min(long), by },
        }
    }

    /// Learning rate after `rounds` completed rounds.
    pub fn learning_rate(&self, start: f64, rounds: u32) -> f64 {
        start * self.factor.powi(rounds as i32)
    }

    /// Takes note of a check at `step` and decides.
    ///
    /// # Source
    /// Klindt et al. 2017: figures 3–5 lower the rate without rewinding, Table 1 rewinds (`papers/klindt2017.md#training`, `papers/klindt2017.md#training-of-table-1`).
    pub fn check(&self, progress: &mut Progress, step: u64, value: f64) -> Verdict {
        let value = if self.monitor == Monitor::Correlation { -value } else { value };
        progress.checks += 1;
        let improved = value.is_finite() && progress.best.is_none_or(|best| value < best - self.min_delta);
        if improved {
            (progress.best, progress.best_step) = (Some(value), step);
        }
        if improved || progress.checks <= self.burn_in {
            progress.bad = 0;
        } else {
            progress.bad += 1;
        }
        Verdict { improved, next: self.next(progress, step) }
    }

    /// What comes after the last check, at `step`.
    pub(super) fn next(&self, progress: &mut Progress, step: u64) -> Next {
        if self.is_long(progress, step).is_some() {
            return Next::Stop;
        }
        let tired = progress.bad >= self.patience;
        let long = self.round_steps > 0 && step - progress.round_start >= self.round_steps;
        if !tired && !long {
            return Next::Continue;
        }
        progress.rounds += 1;
        (progress.bad, progress.round_start) = (0, step);
        if progress.rounds >= self.rounds {
            Next::Stop
        } else {
            Next::NextRound { rewind: self.rewind && tired }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> ScheduleConfig {
        ScheduleConfig {
            check_every: 100,
            monitor: Monitor::Loss,
            patience: 2,
            rounds: 2,
            factor: 0.1,
            rewind: true,
            burn_in: 0,
            min_delta: 0.0,
            round_steps: 0,
            max_steps: 0,
            max_checks: 0,
        }
    }

    fn run(schedule: &ScheduleConfig, values: &[f64]) -> Vec<Next> {
        let mut progress = Progress::default();
        (1..).zip(values).map(|(i, v)| schedule.check(&mut progress, i * 100, *v).next).collect()
    }

    #[test]
    fn patience_counts_checks_in_a_row() {
        use Next::{Continue, NextRound, Stop};
        let rewind = NextRound { rewind: true };
        assert_eq!(
            run(&schedule(), &[3.0, 4.0, 2.0, 2.0, 2.5]),
            [Continue, Continue, Continue, Continue, rewind]
        );
        assert_eq!(run(&schedule(), &[1.0, 2.0, 2.0, 2.0, 2.0]).last(), Some(&Stop));
    }

    #[test]
    fn early_checks_are_forgiven() {
        let schedule = ScheduleConfig { burn_in: 10, ..schedule() };
        assert!(run(&schedule, &[1.0; 11]).iter().all(|next| *next == Next::Continue));
    }

    #[test]
    fn a_fit_ends_after_its_checks_however_good_they_are() {
        let schedule = ScheduleConfig { max_checks: 3, ..schedule() };
        assert_eq!(run(&schedule, &[3.0, 2.0, 1.0]), [Next::Continue, Next::Continue, Next::Stop]);
    }

    #[test]
    fn a_round_that_ends_by_its_length_does_not_rewind() {
        let schedule = ScheduleConfig { round_steps: 200, ..schedule() };
        assert_eq!(run(&schedule, &[3.0, 2.0]).last(), Some(&Next::NextRound { rewind: false }));
    }

    #[test]
    fn correlation_is_better_when_higher_and_nan_is_never_better() {
        let schedule = ScheduleConfig { monitor: Monitor::Correlation, ..schedule() };
        let mut progress = Progress::default();
        assert!(schedule.check(&mut progress, 1, 0.1).improved);
        assert!(schedule.check(&mut progress, 2, 0.2).improved);
        assert!(!schedule.check(&mut progress, 3, f64::NAN).improved);
        assert_eq!(progress.best, Some(-0.2));
    }

    #[test]
    fn the_end_is_known_as_far_as_it_can_be() {
        let no_end = ScheduleConfig { patience: 5, ..ScheduleConfig::no_end(Monitor::Loss) };
        let progress = Progress { bad: 2, round_start: 40, ..Progress::default() };
        assert_eq!(no_end.horizon(&progress, 50, 10), Horizon { step: 80, by: End::Patience });
        assert_eq!(no_end.end(&progress, 80), End::Patience);
        let rounds = ScheduleConfig { round_steps: 20, ..no_end.clone() };
        assert_eq!(rounds.horizon(&progress, 50, 10), Horizon { step: 60, by: End::Rounds });
        let checks = ScheduleConfig { max_checks: 6, ..no_end.clone() };
        let checked = Progress { checks: 5, ..progress.clone() };
        assert_eq!(checks.horizon(&checked, 50, 10), Horizon { step: 60, by: End::Checks });
        assert_eq!(checks.end(&Progress { checks: 6, ..progress.clone() }, 60), End::Checks);
        let steps = ScheduleConfig { max_steps: 100, ..no_end };
        assert_eq!(steps.horizon(&progress, 50, 10), Horizon { step: 100, by: End::Steps });
        assert_eq!((steps.end(&progress, 99), steps.end(&progress, 100)), (End::Patience, End::Steps));
    }
}
