//! What is scored: recorded and predicted responses of one tier, checked and grouped by stimulus.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::error::{Error, Result};

/// Recorded responses of one tier and, when there are any, predictions and noise-free truth.
///
/// Arrays go in as `[trial, neuron]` in C order; one neuron's trials lie together inside.
#[derive(Debug, Clone)]
pub struct Evaluation {
    neurons: usize,
    responses: Vec<f32>,
    predictions: Option<Vec<f32>>,
    truth: Option<Vec<f32>>,
    stimuli: Vec<Vec<usize>>,
    trials: usize,
}

/// One neuron's trials, as the metrics see them; `predictions` and `truth` are empty when absent.
pub(super) struct NeuronTrials<'a> {
    pub responses: &'a [f32],
    pub predictions: &'a [f32],
    pub truth: &'a [f32],
    /// Trials of each stimulus, in order of presentation.
    pub stimuli: &'a [Vec<usize>],
}

impl Evaluation {
    /// Responses `[trial, neuron]` and the stimulus of each trial; repeats share the number.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when there is no neuron or trial, when the length is
    /// not trials × neurons, or when a response is not finite.
    pub fn new(neurons: usize, responses: &[f32], stimulus: &[usize]) -> Result<Self> {
        if neurons == 0 || stimulus.is_empty() {
            let found = format!("{} trials of {neurons} neurons", stimulus.len());
            return Err(Error::data(format!("cannot score {found}")).key("responses"));
        }
        let trials = stimulus.len();
        let responses = by_neuron("responses", responses, trials, neurons)?;
        Ok(Self {
            neurons,
            responses,
            predictions: None,
            truth: None,
            stimuli: trials_of_each(stimulus),
            trials,
        })
    }

    /// Adds predictions `[trial, neuron]`.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the length differs from the responses', or a
    /// prediction is not finite.
    pub fn with_predictions(mut self, predictions: &[f32]) -> Result<Self> {
        self.predictions = Some(by_neuron("predictions", predictions, self.trials, self.neurons)?);
        Ok(self)
    }

    /// Adds noise-free responses `[trial, neuron]`, which only simulated recordings have.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the length differs from the responses', or a
    /// value is not finite.
    pub fn with_truth(mut self, truth: &[f32]) -> Result<Self> {
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

    /// Whether some stimulus was shown at least twice.
    pub fn has_repeats(&self) -> bool {
        self.stimuli.iter().any(|trials| trials.len() > 1)
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
        let from = self.predictions.as_ref()?;
        let row = |n: usize| trial.iter().map(move |&t| from[n * self.trials + t]);
        let predictions = Some(neuron.iter().flat_map(|&n| row(n)).collect());
        Some(Self { predictions, ..self.clone() })
    }

    fn neuron(&self, neuron: usize) -> NeuronTrials<'_> {
        let range = neuron * self.trials..(neuron + 1) * self.trials;
        NeuronTrials {
            responses: &self.responses[range.clone()],
            predictions: self.predictions.as_ref().map_or(&[], |all| &all[range.clone()]),
            truth: self.truth.as_ref().map_or(&[], |all| &all[range]),
            stimuli: &self.stimuli,
        }
    }
}

impl<'a> NeuronTrials<'a> {
    /// Trials of every stimulus shown at least twice.
    pub fn repeated(&self) -> impl Iterator<Item = &'a [usize]> + use<'a> {
        self.stimuli.iter().map(Vec::as_slice).filter(|trials| trials.len() > 1)
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
        let widen = |(&a, &b)| (f64::from(a), f64::from(b));
        self.responses.iter().zip(self.predictions).map(widen)
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

fn pick<'a>(values: &'a [f32], trials: &'a [usize]) -> impl Iterator<Item = f64> + use<'a> {
    trials.iter().map(|&trial| f64::from(values[trial]))
}

fn trials_of_each(stimulus: &[usize]) -> Vec<Vec<usize>> {
    let numbers = number_stimuli(stimulus);
    let mut stimuli = vec![Vec::new(); numbers.iter().max().map_or(0, |last| last + 1)];
    numbers.iter().enumerate().for_each(|(trial, &number)| stimuli[number].push(trial));
    stimuli
}

/// Checks `[trial, neuron]` values and turns them into `[neuron, trial]`.
fn by_neuron(key: &str, values: &[f32], trials: usize, neurons: usize) -> Result<Vec<f32>> {
    if trials.checked_mul(neurons) != Some(values.len()) {
        let message = format!("has {} values, expected {trials} trials × {neurons} neurons", values.len());
        return Err(Error::data(message).key(key));
    }
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        let message = format!("neuron {} has the value {}", at % neurons, values[at]);
        return Err(Error::data(message).trial(at / neurons).key(key).hint(advice(key)));
    }
    let column = |neuron: usize| values[neuron..].iter().step_by(neurons).copied();
    Ok((0..neurons).into_par_iter().flat_map_iter(column).collect())
}

fn advice(key: &str) -> &'static str {
    match key {
        "predictions" => "did the fit diverge? lower its learning rate",
        _ => "leave the trial or the neuron out",
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
        assert!(evaluation.has_repeats());
    }

    #[test]
    fn refuses_arrays_of_the_wrong_length() {
        let error = Evaluation::new(2, &[1., 2., 3.], &[0, 1]).unwrap_err();
        assert_eq!(error.to_string(), "`responses`: has 3 values, expected 2 trials × 2 neurons");
        assert!(Evaluation::new(usize::MAX, &[1.0], &[0, 1]).is_err());
        assert!(Evaluation::new(0, &[], &[]).is_err());
    }

    #[test]
    fn names_the_trial_and_neuron_of_a_broken_prediction() {
        let evaluation = Evaluation::new(2, &[0.; 4], &[0, 1]).unwrap();
        let error = evaluation.with_predictions(&[0., 0., 0., f32::NAN]).unwrap_err();
        assert_eq!(error.to_string(), "trial 1, `predictions`: neuron 1 has the value NaN");
    }

    #[test]
    fn numbers_stimuli_by_first_appearance() {
        assert_eq!(number_stimuli(["b", "a", "b", "c"]), [0, 1, 0, 2]);
    }
}
