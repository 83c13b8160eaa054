//! The validation trials: when they are scored, what is written of it, and what the schedule makes of it.

use super::animal::Animal;
use super::schedule::{Monitor, Next};
use super::{Event, Fit};
use crate::array;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::run::Checkpoint;
use crate::run::metrics::Row;
use crate::score::{mean_ignoring_nan, single_trial_correlation};

const SAYS_NOTHING: &str = "no neuron's prediction differs between trials";
const LOOK_AT_IMAGES: &str =
    "look at the images, which may all be the same (`striate inspect`), or lower the penalties";

impl<M: Model> Fit<'_, M> {
    pub(super) fn check_is_due(&self) -> bool {
        self.is_at_check() || self.state.step == self.config.schedule.max_steps
    }

    /// Whether a fit with more steps would be checked here, too.
    pub(super) fn is_at_check(&self) -> bool {
        match self.config.schedule.check_every {
            0 => self.state.batch == self.steps_per_epoch(),
            every => self.state.step.is_multiple_of(every),
        }
    }

    pub(super) fn check(&mut self, observe: &mut dyn FnMut(&Event)) -> Result<()> {
        let row = self.measure()?;
        let value = match self.config.schedule.monitor {
            Monitor::Loss => row.val_loss,
            Monitor::Correlation => row.val_correlation,
        };
        let value = value.unwrap_or(f64::NAN);
        let verdict = self.config.schedule.check(&mut self.state.progress, self.state.step, value);
        (self.state.loss_sum, self.state.penalty_sum, self.state.summed_steps) = (0.0, 0.0, 0);
        self.log(&row)?;
        if verdict.improved {
            self.bond.best = array::digest(&self.weights());
            self.save(Checkpoint::Best)?;
        }
        self.state.between_checks = !self.is_at_check();
        observe(&Event::Check { row, improved: verdict.improved, until: self.horizon() });
        self.turn(verdict.next, observe)?;
        self.save(Checkpoint::Last)
    }

    /// Does what the schedule decided.
    pub(super) fn turn(&mut self, next: Next, observe: &mut dyn FnMut(&Event)) -> Result<()> {
        match next {
            Next::Continue => {}
            Next::NextRound { rewind } => {
                if rewind {
                    self.rewind()?;
                }
                let rate = self.config.fit.learning_rate;
                let learning_rate = self.config.schedule.learning_rate(rate, self.state.progress.rounds);
                observe(&Event::NewRound { learning_rate });
            }
            Next::Stop => self.state.finished = true,
        }
        Ok(())
    }

    /// Warns of a model that a loss may call the best, though it predicts the same for every image.
    pub(super) fn warn_if_it_says_nothing(&self) {
        for animal in self.animals.iter().filter(|animal| self.says_nothing(animal)) {
            let of = animal.id().map_or(String::new(), |id| format!(" of session `{id}`"));
            tracing::warn!("{SAYS_NOTHING} on {}{of}: {LOOK_AT_IMAGES}", animal.split.judged_on());
        }
    }

    fn says_nothing(&self, animal: &Animal<'_, M>) -> bool {
        let predicted = animal.validate(self.config, &self.device);
        predicted.is_ok_and(|(predicted, _)| are_all_constant(&predicted, animal.trials.neurons()))
    }

    /// The error of a fit that ended without one check that could be told from another.
    pub(super) fn never_judged(&self) -> Error {
        let (checks, metric) = (self.state.progress.checks, self.config.schedule.monitor.metric());
        let (why, hint) = match self.animals.iter().all(|animal| self.says_nothing(animal)) {
            true => (format!(": {SAYS_NOTHING}"), LOOK_AT_IMAGES),
            false => (
                String::new(),
                "look at the responses of these trials, or set `schedule.monitor` to another number",
            ),
        };
        let message = format!(
            "keeps no model: `{metric}` on {} was undefined at each of {checks} checks{why}",
            self.animals[0].split.judged_on()
        );
        Error::diverged(message).file(self.run.path()).key("schedule.monitor").hint(hint)
    }

    /// Loss and correlation on the validation trials, and the means since the last check.
    fn measure(&self) -> Result<Row> {
        let (mut correlation, mut losses, mut says_nothing) = (Vec::new(), 0.0, true);
        for animal in &self.animals {
            let neurons = animal.trials.neurons();
            let recorded = animal.trials.responses(animal.validated(), animal.model.lost())?;
            let (predicted, loss) = animal.validate(self.config, &self.device)?;
            let mut own = single_trial_correlation(&predicted, &recorded, neurons);
            count_silent(&mut own, &predicted, &recorded);
            says_nothing &= are_all_constant(&predicted, neurons);
            correlation.extend(own);
            losses += loss;
        }
        let loss = losses / self.animals.len() as f64;
        let steps = self.state.summed_steps.max(1) as f64;
        let rate = |start| self.config.schedule.learning_rate(start, self.state.progress.rounds);
        Ok(Row {
            step: self.state.step,
            epoch: self.state.step as f64 / self.steps_per_epoch() as f64,
            learning_rate: self.config.linear.is_none().then(|| rate(self.config.fit.learning_rate)),
            train_loss: Some(self.state.loss_sum / steps),
            penalty: Some(self.state.penalty_sum / steps),
            val_loss: Some(loss),
            val_correlation: Some(if says_nothing { f64::NAN } else { mean_ignoring_nan(&correlation) }),
            seconds: Some(self.state.seconds),
        })
    }

    fn log(&mut self, row: &Row) -> Result<()> {
        self.metrics.append(row)?;
        let scalars = [
            ("train/loss", row.train_loss),
            ("train/penalty", row.penalty),
            ("train/learning_rate", row.learning_rate),
            ("validation/loss", row.val_loss),
            ("validation/correlation", row.val_correlation),
        ];
        let known: Vec<(&str, f64)> =
            scalars.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
        self.events.scalars(row.step, &known)
    }
}

/// Correlations of 0 for neurons that vary over `recorded` trials while what is `predicted` for them does not, both
/// `[trial, neuron]`: leaving them out would reward a model for giving neurons up, and were they all those of one animal.
fn count_silent(correlation: &mut [f64], predicted: &[f32], recorded: &[f32]) {
    let neurons = correlation.len();
    for (n, value) in correlation.iter_mut().enumerate().filter(|(_, value)| value.is_nan()) {
        if is_constant(predicted, neurons, n) && !is_constant(recorded, neurons, n) {
            *value = 0.0;
        }
    }
}

/// Whether all trials have the same values `[trial, neuron]`.
fn are_all_constant(values: &[f32], neurons: usize) -> bool {
    (0..neurons).all(|n| is_constant(values, neurons, n))
}

fn is_constant(values: &[f32], neurons: usize, n: usize) -> bool {
    let mut column = values.iter().skip(n).step_by(neurons);
    let first = column.next();
    column.all(|value| Some(value) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neuron_that_a_model_gave_up_counts_as_0() {
        // Neurons: silent prediction, silent recording, both, a prediction that is no number, one that is defined.
        let predicted = [1.0, 1.0, 3.0, f32::NAN, 1.0, 1.0, 2.0, 3.0, f32::NAN, 2.0];
        let recorded = [1.0, 5.0, 5.0, 1.0, 1.0, 2.0, 5.0, 5.0, 2.0, 3.0];
        let mut correlation = [f64::NAN, f64::NAN, f64::NAN, f64::NAN, 1.0];
        count_silent(&mut correlation, &predicted, &recorded);
        assert_eq!(correlation[0], 0.0);
        assert!(correlation[1..4].iter().all(|value| value.is_nan()));
        assert_eq!(correlation[4], 1.0);
    }

    /// So that one animal that is given up whole lowers the mean over all; that nothing is left at all is asked of them all.
    #[test]
    fn neurons_that_are_given_up_together_count_as_0_too() {
        let mut correlation = [f64::NAN; 2];
        count_silent(&mut correlation, &[1.0, 2.0, 1.0, 2.0], &[1.0, 5.0, 2.0, 3.0]);
        assert_eq!(correlation, [0.0; 2]);
        assert!(are_all_constant(&[1.0, 2.0, 1.0, 2.0], 2) && !are_all_constant(&[1.0, 2.0, 1.0, 3.0], 2));
    }
}
