//! The validation trials: when they are scored, what is written of it, and what the schedule makes of it.

use burn::module::Module;

use super::schedule::{Monitor, Next};
use super::{Event, Fit};
use crate::array;
use crate::error::{Error, Result};
use crate::model::weights::{export, to_host};
use crate::run::Checkpoint;
use crate::run::metrics::Row;
use crate::score::{mean_ignoring_nan, single_trial_correlation};

const SAYS_NOTHING: &str = "no neuron's prediction differs between trials";
const LOOK_AT_IMAGES: &str =
    "look at the images, which may all be the same (`striate inspect`), or lower the penalties";

impl Fit<'_> {
    pub(super) fn check_is_due(&self) -> bool {
        self.is_at_check() || self.state.step == self.config.schedule.max_steps
    }

    /// Whether a fit with more steps would be checked here, too.
    pub(super) fn is_at_check(&self) -> bool {
        match self.config.schedule.check_every {
            0 => self.state.batch == self.batches_per_epoch(),
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
            self.bond.best = array::digest(&export(&self.model));
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
        if self.says_nothing() {
            tracing::warn!("{SAYS_NOTHING} on {}: {LOOK_AT_IMAGES}", self.split.judged_on());
        }
    }

    fn says_nothing(&self) -> bool {
        self.validate().is_ok_and(|(predicted, _)| are_all_constant(&predicted, self.trials.neurons()))
    }

    /// The error of a fit that ended without one check that could be told from another.
    pub(super) fn never_judged(&self) -> Error {
        let (checks, metric) = (self.state.progress.checks, self.config.schedule.monitor.metric());
        let (why, hint) = match self.says_nothing() {
            true => (format!(": {SAYS_NOTHING}"), LOOK_AT_IMAGES),
            false => (
                String::new(),
                "look at the responses of these trials, or set `schedule.monitor` to another number",
            ),
        };
        let message = format!(
            "keeps no model: `{metric}` on {} was undefined at each of {checks} checks{why}",
            self.split.judged_on()
        );
        Error::diverged(message).file(self.run.path()).key("schedule.monitor").hint(hint)
    }

    /// Loss and correlation on the validation trials, and the means since the last check.
    fn measure(&self) -> Result<Row> {
        let recorded = self.trials.responses(&self.split.validation, self.config.model.lost())?;
        let (predicted, loss) = self.validate()?;
        let mut correlation = single_trial_correlation(&predicted, &recorded, self.trials.neurons());
        count_silent(&mut correlation, &predicted, &recorded);
        let steps = self.state.summed_steps.max(1) as f64;
        let rate = |start| self.config.schedule.learning_rate(start, self.state.progress.rounds);
        Ok(Row {
            step: self.state.step,
            epoch: self.state.step as f64 / self.batches_per_epoch() as f64,
            learning_rate: self.config.linear.is_none().then(|| rate(self.config.fit.learning_rate)),
            train_loss: Some(self.state.loss_sum / steps),
            penalty: Some(self.state.penalty_sum / steps),
            val_loss: Some(loss),
            val_correlation: Some(mean_ignoring_nan(&correlation)),
            seconds: Some(self.state.seconds),
        })
    }

    fn validate(&self) -> Result<(Vec<f32>, f64)> {
        let model = self.model.valid();
        let validation = &self.split.validation;
        let divisor = self.config.fit.over_neurons.divisor(self.trials.neurons());
        let (mut predictions, mut loss, mut rows) = (Vec::new(), 0.0, 0.0);
        for clips in self.trials.in_batches(validation, 128) {
            let batch = self.trials.batch(&clips, &self.device)?;
            let recorded = self.config.model.predicted(batch.responses, batch.inputs.samples);
            let predicted = model.respond(batch.inputs);
            let here = predicted.dims()[0] as f64;
            let sum = self.config.fit.loss.summed(predicted.clone(), recorded);
            loss += f64::from(sum.into_scalar::<f32>()) * here;
            rows += here;
            predictions.extend(to_host(predicted).values);
        }
        Ok((predictions, loss / rows / divisor))
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
/// `[trial, neuron]`: leaving them out would reward a model for giving neurons up. One that gave up all has no correlation.
fn count_silent(correlation: &mut [f64], predicted: &[f32], recorded: &[f32]) {
    let neurons = correlation.len();
    if are_all_constant(predicted, neurons) {
        return;
    }
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

    #[test]
    fn a_model_that_gave_up_all_neurons_has_no_correlation() {
        let mut correlation = [f64::NAN; 2];
        count_silent(&mut correlation, &[1.0, 2.0, 1.0, 2.0], &[1.0, 5.0, 2.0, 3.0]);
        assert!(correlation.iter().all(|value| value.is_nan()));
    }
}
