//! One number per neuron and trial, filled some trials at a time; one neuron's trials lie together.

use std::borrow::Cow;

use rayon::prelude::*;

use crate::error::{Error, Result};

/// What arrays of responses and predictions are made of: `f32` or `f64`.
pub trait Number: Into<f64> + Copy + Sync {
    /// Whether it has more digits than an `f32`.
    const DOUBLE: bool;
}

impl Number for f32 {
    const DOUBLE: bool = false;
}

impl Number for f64 {
    const DOUBLE: bool = true;
}

/// Responses, predictions or noise-free responses of all neurons in all trials of an [`Evaluation`](super::Evaluation).
///
/// What is measured on its way, a few trials at once, is held a single time, and in as few bits as it was given.
#[derive(Debug)]
pub struct Series {
    key: &'static str,
    neurons: usize,
    trials: usize,
    filled: usize,
    values: Values,
}

/// `[neuron, trial]`.
#[derive(Debug)]
enum Values {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

impl Series {
    /// Recorded responses of so many neurons in so many trials, in 64 bits, so that those on a large baseline lose nothing
    /// before a mean is subtracted; none is filled in yet.
    pub fn responses(neurons: usize, trials: usize) -> Self {
        Self::new::<f64>("responses", neurons, trials)
    }

    /// Predictions, as [`Series::responses`], in 32 bits.
    pub fn predictions(neurons: usize, trials: usize) -> Self {
        Self::new::<f32>("predictions", neurons, trials)
    }

    fn new<T: Number>(key: &'static str, neurons: usize, trials: usize) -> Self {
        let values = match T::DOUBLE {
            true => Values::Double(vec![0.0; neurons * trials]),
            false => Values::Single(vec![0.0; neurons * trials]),
        };
        Self { key, neurons, trials, filled: 0, values }
    }

    /// `values`, `[trial, neuron]`, which are all of them.
    pub(super) fn of<T: Number>(
        key: &'static str,
        values: &[T],
        trials: usize,
        neurons: usize,
    ) -> Result<Self> {
        if trials.checked_mul(neurons) != Some(values.len()) {
            return Err(wrong_length(key, values.len(), trials, neurons));
        }
        let mut series = Self::new::<T>(key, neurons, trials);
        series.push(values)?;
        Ok(series)
    }

    /// Fills in the next trials, `[trial, neuron]` in C order.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when there are more than were announced, or a value is not finite.
    pub fn push<T: Number>(&mut self, rows: &[T]) -> Result<()> {
        let (neurons, first) = (self.neurons, self.filled);
        let count = rows.len() / neurons.max(1);
        if count * neurons != rows.len() || first + count > self.trials {
            return Err(wrong_length(self.key, first * neurons + rows.len(), self.trials, neurons));
        }
        if let Some(at) = rows.iter().position(|&value| !value.into().is_finite()) {
            let message = format!("neuron {} has the value {}", at % neurons, rows[at].into());
            let error = Error::data(message).trial(first + at / neurons).key(self.key);
            return Err(error.hint(advice(self.key)));
        }
        match &mut self.values {
            Values::Single(values) => {
                scatter(values, self.trials, first, rows, neurons, |value: T| value.into() as f32)
            }
            Values::Double(values) => scatter(values, self.trials, first, rows, neurons, T::into),
        }
        self.filled += count;
        Ok(())
    }

    /// Refuses a series that is not of so many neurons and trials, all of them filled in.
    pub(super) fn require(&self, trials: usize, neurons: usize) -> Result<()> {
        if (self.filled, self.neurons) == (trials, neurons) && self.trials == trials {
            return Ok(());
        }
        Err(wrong_length(self.key, self.filled * self.neurons, trials, neurons))
    }

    pub(super) fn neurons(&self) -> usize {
        self.neurons
    }

    /// All trials of a neuron.
    pub(super) fn neuron(&self, neuron: usize) -> Cow<'_, [f64]> {
        let range = neuron * self.trials..(neuron + 1) * self.trials;
        match &self.values {
            Values::Single(values) => values[range].iter().copied().map(f64::from).collect(),
            Values::Double(values) => Cow::Borrowed(&values[range]),
        }
    }
}

/// Puts `rows`, `[trial, neuron]`, behind the `first` trials of each neuron.
fn scatter<T: Copy + Sync, U: Send>(
    values: &mut [U],
    trials: usize,
    first: usize,
    rows: &[T],
    neurons: usize,
    convert: impl Fn(T) -> U + Sync,
) {
    values.par_chunks_mut(trials.max(1)).enumerate().for_each(|(neuron, all)| {
        let of_neuron = rows[neuron.min(rows.len())..].iter().step_by(neurons);
        all[first..].iter_mut().zip(of_neuron).for_each(|(place, &value)| *place = convert(value));
    });
}

fn wrong_length(key: &str, found: usize, trials: usize, neurons: usize) -> Error {
    Error::data(format!("has {found} values, expected {trials} trials × {neurons} neurons")).key(key)
}

fn advice(key: &str) -> &'static str {
    match key {
        "predictions" => "did the fit diverge? lower its learning rate",
        _ => "leave the trial or the neuron out: `data.exclude_trials`, `data.exclude_neurons`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_that_come_one_by_one_are_those_that_come_at_once() {
        let rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let at_once = Series::of("responses", &rows, 3, 2).unwrap();
        let mut one_by_one = Series::responses(2, 3);
        rows.chunks(2).for_each(|row| one_by_one.push(row).unwrap());
        for neuron in 0..2 {
            assert_eq!(at_once.neuron(neuron), one_by_one.neuron(neuron));
        }
        assert_eq!(at_once.neuron(1), &[2.0, 4.0, 6.0][..]);
        let error = one_by_one.push(&[7.0, 8.0]).unwrap_err();
        assert_eq!(error.message(), "has 8 values, expected 3 trials × 2 neurons");
    }

    #[test]
    fn a_baseline_is_kept_to_the_last_digit() {
        let raised = [1e9 + 0.25, 1e9 + 0.5];
        assert_eq!(Series::of("responses", &raised, 2, 1).unwrap().neuron(0), &raised[..]);
    }

    #[test]
    fn what_is_not_finite_is_named_with_its_trial() {
        let mut series = Series::predictions(2, 3);
        series.push(&[0.0_f32; 4]).unwrap();
        let error = series.push(&[0.0, f32::NAN]).unwrap_err();
        assert_eq!(error.to_string(), "trial 2, `predictions`: neuron 1 has the value NaN");
        assert!(series.require(3, 2).is_err(), "one trial is missing");
    }
}
