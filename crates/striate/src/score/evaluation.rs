//! What is scored: recorded and predicted responses of one tier, checked and grouped by stimulus.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::series::{Number, Series};
use crate::error::{Error, Result};

/// Recorded responses of one tier and, when there are any, predictions and noise-free truth.
///
/// Arrays go in as `[trial, neuron]` in C order, of `f32` or `f64`, or as [`Series`] that were filled on the way. A clone,
/// a choice of trials and a shuffle look at the same numbers and copy none.
#[derive(Debug, Clone)]
pub struct Evaluation {
    responses: Arc<Series>,
    predictions: Option<Arc<Series>>,
    held: Option<Arc<Series>>,
    truth: Option<Arc<Series>>,
    stimuli: Arc<Vec<Vec<usize>>>,
    repeated: usize,
    /// Stimulus of each trial.
    stimulus: Arc<[usize]>,
    /// Place of each trial in the series.
    trials: Arc<[usize]>,
    /// Where predictions are taken from, when it is not their own place.
    shuffled: Option<Shuffle>,
    /// What smoothing needs, of clips.
    time: Option<Arc<Time>>,
}

/// Samples that follow each other in time.
#[derive(Debug)]
pub(super) struct Time {
    /// Samples of each trial, one after another.
    pub trials: Vec<usize>,
    /// Samples that are smoothed over.
    pub width: usize,
}

/// Which trial (by its place in the series) and neuron each is given the predictions of.
#[derive(Debug, Clone)]
struct Shuffle {
    trials: Arc<[usize]>,
    neurons: Arc<[usize]>,
}

/// One neuron's trials, as the metrics see them; `predictions` and `truth` are empty when absent.
pub(super) struct NeuronTrials<'a> {
    pub responses: Cow<'a, [f64]>,
    pub predictions: Cow<'a, [f64]>,
    pub truth: Cow<'a, [f64]>,
    /// Trials of each stimulus, in order of presentation.
    pub stimuli: &'a [Vec<usize>],
    pub time: Option<&'a Time>,
    has_ceiling: bool,
}

impl Evaluation {
    /// Responses `[trial, neuron]` and the stimulus of each trial; repeats share the number.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when there is no neuron or trial, when the length is
    /// not trials × neurons, or when a response is not finite.
    pub fn new<T: Number>(neurons: usize, responses: &[T], stimulus: &[usize]) -> Result<Self> {
        check_size(neurons, stimulus)?;
        Self::of(Series::of("responses", responses, stimulus.len(), neurons)?, stimulus)
    }

    /// As [`Evaluation::new`], of responses that were filled in one after another.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when there is no neuron or trial, or a trial is missing.
    pub fn of(responses: Series, stimulus: &[usize]) -> Result<Self> {
        check_size(responses.neurons(), stimulus)?;
        responses.require(stimulus.len(), responses.neurons())?;
        let stimuli = trials_of_each(stimulus);
        Ok(Self {
            responses: Arc::new(responses),
            predictions: None,
            held: None,
            truth: None,
            repeated: repeated(&stimuli),
            stimuli: Arc::new(stimuli),
            stimulus: stimulus.into(),
            trials: (0..stimulus.len()).collect(),
            shuffled: None,
            time: None,
        })
    }

    /// Adds predictions `[trial, neuron]`.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the length differs from the responses', or a
    /// prediction is not finite.
    pub fn with_predictions<T: Number>(self, predictions: &[T]) -> Result<Self> {
        let predictions = self.series("predictions", predictions)?;
        self.predicted(predictions)
    }

    /// Adds predictions that were filled in one after another.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when they are not of as many trials and neurons.
    pub fn predicted(mut self, predictions: Series) -> Result<Self> {
        predictions.require(self.trials(), self.neurons())?;
        self.predictions = Some(Arc::new(predictions));
        Ok(self)
    }

    /// Adds predictions `[trial, neuron]` to the same stimuli with behaviour and pupil held at their means.
    ///
    /// # Errors
    /// As [`Self::with_predictions`].
    pub fn with_held_predictions<T: Number>(self, predictions: &[T]) -> Result<Self> {
        let predictions = self.series("predictions", predictions)?;
        self.predicted_held(predictions)
    }

    /// As [`Self::with_held_predictions`], of those that were filled in one after another.
    ///
    /// # Errors
    /// As [`Self::predicted`].
    pub fn predicted_held(mut self, predictions: Series) -> Result<Self> {
        predictions.require(self.trials(), self.neurons())?;
        self.held = Some(Arc::new(predictions));
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
        self.truth = Some(Arc::new(self.series("truth", truth)?));
        Ok(self)
    }

    /// Says how many samples each trial has, of trials that stand one after another, and how many are smoothed over.
    #[must_use]
    pub fn in_time(self, trials: &[usize], width: usize) -> Self {
        Self { time: Some(Arc::new(Time { trials: trials.to_vec(), width })), ..self }
    }

    /// What [`Self::in_time`] said; nothing of a choice of trials.
    pub(super) fn time(&self) -> Option<&Time> {
        self.time.as_deref()
    }

    fn series<T: Number>(&self, key: &'static str, values: &[T]) -> Result<Series> {
        Series::of(key, values, self.trials(), self.neurons())
    }

    /// The same evaluation of some of its trials, by their index, in their order.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when there are none.
    pub fn of_trials(&self, trials: &[usize]) -> Result<Self> {
        let pick = |from: &[usize]| trials.iter().map(|&trial| from[trial]).collect::<Arc<[usize]>>();
        let stimulus = pick(&self.stimulus);
        check_size(self.neurons(), &stimulus)?;
        let stimuli = trials_of_each(&stimulus);
        let shuffled = self.shuffled.as_ref();
        let shuffled = shuffled.map(|of| Shuffle { trials: pick(&of.trials), neurons: of.neurons.clone() });
        let (repeated, stimuli) = (repeated(&stimuli), Arc::new(stimuli));
        Ok(Self {
            stimuli,
            repeated,
            stimulus,
            trials: pick(&self.trials),
            shuffled,
            time: None,
            ..self.clone()
        })
    }

    /// Number of neurons.
    pub fn neurons(&self) -> usize {
        self.responses.neurons()
    }

    /// Number of trials.
    pub fn trials(&self) -> usize {
        self.trials.len()
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

    /// Recorded responses of a neuron, and its predictions (empty where there are none), one per trial.
    pub fn responses_of(&self, neuron: usize) -> [Vec<f64>; 2] {
        let NeuronTrials { responses, predictions, .. } = self.neuron(neuron);
        [responses.into_owned(), predictions.into_owned()]
    }

    /// `f` of every neuron, in parallel.
    pub(super) fn per_neuron(&self, f: impl Fn(&NeuronTrials<'_>) -> f64 + Sync) -> Vec<f64> {
        (0..self.neurons()).into_par_iter().map(|neuron| f(&self.neuron(neuron))).collect()
    }

    /// As [`Self::per_neuron`], but NaN for every neuron when there are no predictions.
    pub(super) fn per_predicted_neuron(&self, f: impl Fn(&NeuronTrials<'_>) -> f64 + Sync) -> Vec<f64> {
        if self.has_predictions() { self.per_neuron(f) } else { vec![f64::NAN; self.neurons()] }
    }

    /// The same evaluation with predicted trials and neurons taken from elsewhere; none without predictions.
    pub(super) fn with_rearranged_predictions(&self, trial: &[usize], neuron: &[usize]) -> Option<Self> {
        let trials = trial.iter().map(|&trial| self.trials[trial]).collect();
        let shuffled = Some(Shuffle { trials, neurons: neuron.into() });
        self.has_predictions().then(|| Self { shuffled, ..self.clone() })
    }

    /// The trials of one neuron.
    pub(super) fn neuron(&self, neuron: usize) -> NeuronTrials<'_> {
        let (places, from) = match &self.shuffled {
            None => (&self.trials, neuron),
            Some(shuffle) => (&shuffle.trials, shuffle.neurons[neuron]),
        };
        NeuronTrials {
            responses: at(Some(&self.responses), neuron, &self.trials),
            predictions: at(self.predictions.as_ref(), from, places),
            truth: at(self.truth.as_ref(), neuron, &self.trials),
            stimuli: &self.stimuli,
            time: self.time(),
            has_ceiling: self.repeated > 1,
        }
    }
}

/// What a series says of a neuron at some places; nothing where there is no series.
fn at<'a>(series: Option<&'a Arc<Series>>, neuron: usize, places: &[usize]) -> Cow<'a, [f64]> {
    let Some(series) = series else { return Cow::Borrowed(&[]) };
    let all = series.neuron(neuron);
    let in_order = all.len() == places.len() && places.iter().enumerate().all(|(at, &place)| at == place);
    if in_order { all } else { places.iter().map(|&place| all[place]).collect() }
}

impl NeuronTrials<'_> {
    /// Trials of every stimulus shown at least twice; none where there is only one such stimulus, since what repeats
    /// share is what differs between stimuli.
    pub fn repeated(&self) -> impl Iterator<Item = &[usize]> {
        let has_ceiling = self.has_ceiling;
        self.stimuli.iter().map(Vec::as_slice).filter(move |trials| has_ceiling && trials.len() > 1)
    }

    /// Recorded responses in `trials`.
    pub fn recorded(&self, trials: &[usize]) -> impl Iterator<Item = f64> {
        trials.iter().map(|&trial| self.responses[trial])
    }

    /// Predicted responses in `trials`.
    pub fn predicted(&self, trials: &[usize]) -> impl Iterator<Item = f64> {
        trials.iter().map(|&trial| self.predictions[trial])
    }

    /// (recorded, predicted) of every trial.
    pub fn pairs(&self) -> impl Iterator<Item = (f64, f64)> {
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

fn check_size(neurons: usize, stimulus: &[usize]) -> Result<()> {
    if neurons > 0 && !stimulus.is_empty() {
        return Ok(());
    }
    let found = format!("{} trials of {neurons} neurons", stimulus.len());
    Err(Error::data(format!("cannot score {found}")).key("responses"))
}

/// How many stimuli were shown at least twice.
fn repeated(stimuli: &[Vec<usize>]) -> usize {
    stimuli.iter().filter(|trials| trials.len() > 1).count()
}

fn trials_of_each(stimulus: &[usize]) -> Vec<Vec<usize>> {
    let numbers = number_stimuli(stimulus);
    let mut stimuli = vec![Vec::new(); numbers.iter().max().map_or(0, |last| last + 1)];
    numbers.iter().enumerate().for_each(|(trial, &number)| stimuli[number].push(trial));
    stimuli
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_each_neurons_trials_together() {
        let evaluation = Evaluation::new(2, &[1., 2., 3., 4., 5., 6.], &[7, 9, 7]).unwrap();
        assert_eq!(evaluation.responses_of(1), [vec![2., 4., 6.], vec![]]);
        assert_eq!(*evaluation.stimuli, [vec![0, 2], vec![1]]);
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

    /// What is shuffled or chosen from is looked at in its new place, whichever was done first.
    #[test]
    fn some_trials_of_shuffled_predictions_are_shuffled_ones() {
        let values = [1., 2., 3., 4., 5., 6.];
        let evaluation = Evaluation::new(2, &values, &[7, 9, 7]).unwrap().with_predictions(&values).unwrap();
        let shuffled = evaluation.with_rearranged_predictions(&[1, 2, 0], &[1, 0]).unwrap();
        assert_eq!(shuffled.responses_of(0), [vec![1., 3., 5.], vec![4., 6., 2.]]);
        let some = shuffled.of_trials(&[2, 0]).unwrap();
        assert_eq!(some.responses_of(0), [vec![5., 1.], vec![2., 4.]]);
        assert_eq!((some.trials(), some.repeated_stimuli(), shuffled.repeated_stimuli()), (2, 1, 1));
        let some = evaluation.of_trials(&[2, 0]).unwrap();
        let shuffled = some.with_rearranged_predictions(&[1, 0], &[0, 1]).unwrap();
        assert_eq!(shuffled.responses_of(1), [vec![6., 2.], vec![2., 6.]]);
        assert!(evaluation.of_trials(&[]).is_err());
    }

    #[test]
    fn numbers_stimuli_by_first_appearance() {
        assert_eq!(number_stimuli(["b", "a", "b", "c"]), [0, 1, 0, 2]);
    }
}
