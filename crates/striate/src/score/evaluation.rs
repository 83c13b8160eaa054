//! What is scored: recorded and predicted responses of one tier, checked and grouped by stimulus.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::error::{Error, Result};

/// What arrays of responses and predictions are made of: `f32` or `f64`.
pub trait Number: Into<f64> + Copy + Sync {}

impl<T: Into<f64> + Copy + Sync> Number for T {}

/// Recorded responses of one tier and, when there are any, predictions and noise-free truth.
///
/// Arrays go in as `[trial, neuron]` in C order, of `f32` or `f64`; one neuron's trials lie together inside, in `f64`, so
/// that responses on a large baseline lose nothing before a mean is subtracted.
#[derive(Debug, Clone)]
pub struct Evaluation {
    neurons: usize,
    responses: Vec<f64>,
    predictions: Option<Vec<f64>>,
    held: Option<Vec<f64>>,
    truth: Option<Vec<f64>>,
    stimuli: Vec<Vec<usize>>,
    repeated: usize,
    trials: usize,
}

/// One neuron's trials, as the metrics see them; `predictions` and `truth` are empty when absent.
pub(super) struct NeuronTrials<'a> {
    pub responses: &'a [f64],
    pub predictions: &'a [f64],
    pub truth: &'a [f64],
    /// Trials of each stimulus, in order of presentation.
    pub stimuli: &'a [Vec<usize>],
    has_ceiling: bool,
}

impl Evaluation {
    /// Responses `[trial, neuron]` and the stimulus of each trial; repeats share the number.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when there is no neuron or trial, when the length is
    /// not trials × neurons, or when a response is not finite.
    pub fn new<T: Number>(neurons: usize, responses: &[T], stimulus: &[usize]) -> Result<Self> {
        if neurons == 0 || stimulus.is_empty() {
            let found = format!("{} trials of {neurons} neurons", stimulus.len());
            return Err(Error::data(format!("cannot score {found}")).key("responses"));
        }
        let trials = stimulus.len();
        let responses = by_neuron("responses", responses, trials, neurons)?;
        let stimuli = trials_of_each(stimulus);
        let repeated = stimuli.iter().filter(|trials| trials.len() > 1).count();
        Ok(Self { neurons, responses, predictions: None, held: None, truth: None, stimuli, repeated, trials })
    }

    /// Adds predictions `[trial, neuron]`.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the length differs from the responses', or a
    /// prediction is not finite.
    pub fn with_predictions<T: Number>(mut self, predictions: &[T]) -> Result<Self> {
        self.predictions = Some(by_neuron("predictions", predictions, self.trials, self.neurons)?);
        Ok(self)
    }

    /// Adds predictions `[trial, neuron]` to the same stimuli with behaviour and pupil held at their means.
    ///
    /// # Errors
    /// As [`Self::with_predictions`].
    pub fn with_held_predictions<T: Number>(mut self, predictions: &[T]) -> Result<Self> {
        self.held = Some(by_neuron("predictions", predictions, self.trials, self.neurons)?);
        Ok(self)
    }

    /// The same evaluation of the predictions with behaviour and pupil held at their means, if there are any.
    pub(super) fn held(&self) -> Option<Self> {
        let predictions = Some(self.held.clone()?);
        Some(Self { predictions, held: None, ..self.clone() })
    }

    /// Adds noise-free responses `[trial, neuron]`, which only simulated recordings have.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the length differs from the responses', or a
    /// value is not finite.
    pub fn with_truth<T: Number>(mut self, truth: &[T]) -> Result<Self> {
        self.truth = Some(by_neuron("truth", truth, self.trials, self.neurons)?);
        Ok(self)
    }

    /// Number of neurons.
    pub fn neurons(&self) -> usize {
        self.neurons
    }

    /// Number of trials.
    pub fn trials(&self) -> usize {
        self.trials
    }

    /// Number of stimuli that were shown at least twice.
    pub fn repeated_stimuli(&self) -> usize {
        self.repeated
    }

    /// Whether predictions were added.
    pub fn has_predictions(&self) -> bool {
        self.predictions.is_some()
    }

    /// Whether noise-free responses were added.
    pub fn has_truth(&self) -> bool {
        self.truth.is_some()
    }

    /// `f` of every neuron, in parallel.
    pub(super) fn per_neuron(&self, f: impl Fn(&NeuronTrials<'_>) -> f64 + Sync) -> Vec<f64> {
        (0..self.neurons).into_par_iter().map(|neuron| f(&self.neuron(neuron))).collect()
    }

    /// As [`Self::per_neuron`], but NaN for every neuron when there are no predictions.
    pub(super) fn per_predicted_neuron(&self, f: impl Fn(&NeuronTrials<'_>) -> f64 + Sync) -> Vec<f64> {
        if self.has_predictions() { self.per_neuron(f) } else { vec![f64::NAN; self.neurons] }
    }

    /// The same evaluation with predicted trials and neurons taken from elsewhere.
    pub(super) fn with_rearranged_predictions(&self, trial: &[usize], neuron: &[usize]) -> Option<Self> {
        let rearranged = |from: &Vec<f64>| -> Vec<f64> {
            neuron.iter().flat_map(|&n| trial.iter().map(move |&t| from[n * self.trials + t])).collect()
        };
        let predictions = Some(rearranged(self.predictions.as_ref()?));
        Some(Self { predictions, held: self.held.as_ref().map(rearranged), ..self.clone() })
    }

    /// The trials of one neuron.
    pub(super) fn neuron(&self, neuron: usize) -> NeuronTrials<'_> {
        let range = neuron * self.trials..(neuron + 1) * self.trials;
        NeuronTrials {
            responses: &self.responses[range.clone()],
            predictions: self.predictions.as_ref().map_or(&[], |all| &all[range.clone()]),
            truth: self.truth.as_ref().map_or(&[], |all| &all[range]),
            stimuli: &self.stimuli,
            has_ceiling: self.repeated > 1,
        }
    }
}

impl<'a> NeuronTrials<'a> {
    /// Trials of every stimulus shown at least twice; none where there is only one such stimulus, since what repeats
    /// share is what differs between stimuli.
    pub fn repeated(&self) -> impl Iterator<Item = &'a [usize]> + use<'a> {
        let has_ceiling = self.has_ceiling;
        self.stimuli.iter().map(Vec::as_slice).filter(move |trials| has_ceiling && trials.len() > 1)
    }

    /// Recorded responses in `trials`.
    pub fn recorded(&self, trials: &'a [usize]) -> impl Iterator<Item = f64> + use<'a> {
        pick(self.responses, trials)
    }

    /// Predicted responses in `trials`.
    pub fn predicted(&self, trials: &'a [usize]) -> impl Iterator<Item = f64> + use<'a> {
        pick(self.predictions, trials)
    }

    /// (recorded, predicted) of every trial.
    pub fn pairs(&self) -> impl Iterator<Item = (f64, f64)> + use<'a> {
        self.responses.iter().copied().zip(self.predictions.iter().copied())
    }
}

/// Numbers stimuli by first appearance, so that repeats of one id share a number.
pub fn number_stimuli<T: Ord>(ids: impl IntoIterator<Item = T>) -> Vec<usize> {
    let mut known = BTreeMap::new();
    let mut number = |id| {
        let next = known.len();
        *known.entry(id).or_insert(next)
    };
    ids.into_iter().map(&mut number).collect()
}

fn pick<'a>(values: &'a [f64], trials: &'a [usize]) -> impl Iterator<Item = f64> + use<'a> {
    trials.iter().map(|&trial| values[trial])
}

fn trials_of_each(stimulus: &[usize]) -> Vec<Vec<usize>> {
    let numbers = number_stimuli(stimulus);
    let mut stimuli = vec![Vec::new(); numbers.iter().max().map_or(0, |last| last + 1)];
    numbers.iter().enumerate().for_each(|(trial, &number)| stimuli[number].push(trial));
    stimuli
}

/// Checks `[trial, neuron]` values and turns them into `[neuron, trial]`.
fn by_neuron<T: Number>(key: &str, values: &[T], trials: usize, neurons: usize) -> Result<Vec<f64>> {
    if trials.checked_mul(neurons) != Some(values.len()) {
        let message = format!("has {} values, expected {trials} trials × {neurons} neurons", values.len());
        return Err(Error::data(message).key(key));
    }
    if let Some(at) = values.iter().position(|&value| !value.into().is_finite()) {
        let message = format!("neuron {} has the value {}", at % neurons, values[at].into());
        return Err(Error::data(message).trial(at / neurons).key(key).hint(advice(key)));
    }
    let column = |neuron: usize| values[neuron..].iter().step_by(neurons).map(|&value| value.into());
    Ok((0..neurons).into_par_iter().flat_map_iter(column).collect())
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
    fn keeps_each_neurons_trials_together() {
        let evaluation = Evaluation::new(2, &[1., 2., 3., 4., 5., 6.], &[7, 9, 7]).unwrap();
        assert_eq!(evaluation.responses, [1., 3., 5., 2., 4., 6.]);
        assert_eq!(evaluation.stimuli, [vec![0, 2], vec![1]]);
        assert_eq!(evaluation.repeated_stimuli(), 1);
    }

    #[test]
    fn refuses_arrays_of_the_wrong_length() {
        let error = Evaluation::new(2, &[1., 2., 3.], &[0, 1]).unwrap_err();
        assert_eq!(error.to_string(), "`responses`: has 3 values, expected 2 trials × 2 neurons");
        assert!(Evaluation::new(usize::MAX, &[1.0], &[0, 1]).is_err());
        assert!(Evaluation::new::<f32>(0, &[], &[]).is_err());
    }

    #[test]
    fn names_the_trial_and_neuron_of_a_broken_prediction() {
        let evaluation = Evaluation::new(2, &[0.; 4], &[0, 1]).unwrap();
        let error = evaluation.with_predictions(&[0., 0., 0., f64::NAN]).unwrap_err();
        assert_eq!(error.to_string(), "trial 1, `predictions`: neuron 1 has the value NaN");
    }

    #[test]
    fn numbers_stimuli_by_first_appearance() {
        assert_eq!(number_stimuli(["b", "a", "b", "c"]), [0, 1, 0, 2]);
    }
}
