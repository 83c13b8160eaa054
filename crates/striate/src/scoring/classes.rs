//! Scores of each class of stimuli on its own.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::recording::Session;
use crate::score::{ClassScores, Evaluation, Settings, score};

/// Which class of stimuli each trial of a session showed.
pub(super) struct Classes {
    /// In file order; none of what is not known.
    of: Vec<Option<String>>,
    /// Classes of the trials that were fitted to.
    trained: BTreeSet<String>,
    /// Whether the class of every trial that was fitted to is known.
    is_complete: bool,
    /// Whether they were asked for.
    asked: bool,
}

impl Classes {
    /// What the user `named`, else what the recording tells. `fitted` are the trials that the model was fitted to, where they are
    /// known.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the table of the recording is damaged.
    pub fn of(
        session: &Session,
        named: Option<&[Option<String>]>,
        fitted: Option<&BTreeSet<usize>>,
    ) -> Result<Option<Self>> {
        let told = || Ok(session.classes()?.map(|classes| classes.into_iter().map(Some).collect()));
        let of: Option<Vec<Option<String>>> = named.map_or_else(told, |named| Ok(Some(named.to_vec())))?;
        Ok(of.map(|of| Self::fitted_to(fitted, of, named.is_some())))
    }

    fn fitted_to(fitted: Option<&BTreeSet<usize>>, of: Vec<Option<String>>, asked: bool) -> Self {
        // A trial without a class is in none, and not in one without a name.
        let of: Vec<Option<String>> =
            of.into_iter().map(|class| class.filter(|class| !class.is_empty())).collect();
        let known: Vec<Option<&String>> =
            fitted.into_iter().flatten().map(|&trial| of[trial].as_ref()).collect();
        let is_complete = !known.is_empty() && known.iter().all(Option::is_some);
        let trained = known.into_iter().flatten().cloned().collect();
        Self { of, trained, is_complete, asked }
    }

    fn was_trained(&self, class: &str) -> Option<bool> {
        let trained = self.trained.contains(class);
        (trained || self.is_complete).then_some(trained)
    }

    /// Scores of each class of `trials`, of which each has so many `samples` in `evaluation`, one after another, and a sentence on
    /// those that have no class. There are none where all are of one class that was trained on, unless they were asked for.
    ///
    /// # Errors
    /// As [`Evaluation::of_trials`].
    pub fn scores(
        &self,
        evaluation: &Evaluation,
        trials: &[usize],
        samples: impl Fn(usize) -> usize,
        settings: &Settings,
    ) -> Result<(BTreeMap<String, ClassScores>, Option<String>)> {
        let mut places: BTreeMap<&str, (usize, Vec<usize>)> = BTreeMap::new();
        let (mut next, mut without) = (0, 0);
        for &trial in trials {
            let range = next..next + samples(trial);
            next = range.end;
            let Some(class) = &self.of[trial] else {
                without += 1;
                continue;
            };
            let (count, places) = places.entry(class).or_default();
            *count += 1;
            places.extend(range);
        }
        let (all, is_plain) = (trials.len(), |class: &&str| self.was_trained(class) != Some(false));
        if !self.asked && places.len() < 2 && places.keys().all(is_plain) {
            return Ok((BTreeMap::new(), None));
        }
        let scores = |(class, (count, places)): (&str, (usize, Vec<usize>))| {
            let metrics = score(&evaluation.of_trials(&places)?, settings).summaries;
            let samples = (places.len() > count).then_some(places.len());
            Ok((
                class.to_owned(),
                ClassScores { trials: count, samples, trained: self.was_trained(class), metrics },
            ))
        };
        let scores = places.into_iter().map(scores).collect::<Result<_>>()?;
        let without =
            (without > 0).then(|| format!("{without} of {all} trials have no class, and count in none."));
        Ok((scores, without))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(of: &[&str], trained: &[&str], is_complete: bool) -> Classes {
        let of = of.iter().map(|class| (!class.is_empty()).then(|| (*class).to_owned())).collect();
        let trained = trained.iter().map(|class| (*class).to_owned()).collect();
        Classes { of, trained, is_complete, asked: false }
    }

    /// Two trials of two samples of a class that was trained on, one of another, and one of none.
    #[test]
    fn each_class_is_scored_on_its_own_samples() {
        let recorded: Vec<f64> = (0..8).map(|at| f64::from(at * at % 5)).collect();
        let mut predicted = recorded.clone();
        predicted[4..6].reverse();
        let evaluation = Evaluation::new(1, &recorded, &[0, 1, 2, 3, 4, 5, 6, 7]).unwrap();
        let evaluation = evaluation.with_predictions(&predicted).unwrap();
        let known = classes(&["", "natural", "gabor", "natural", ""], &["natural"], true);
        let (scores, without) =
            known.scores(&evaluation, &[1, 3, 2, 4], |_| 2, &Settings::default()).unwrap();
        let r = |class: &str| scores[class].metrics["single_trial_correlation"].mean.unwrap();
        assert!((r("natural") - 1.0).abs() < 1e-12 && (r("gabor") + 1.0).abs() < 1e-12);
        assert_eq!((scores["natural"].trials, scores["natural"].samples), (2, Some(4)));
        assert_eq!((scores["natural"].trained, scores["gabor"].trained), (Some(true), Some(false)));
        assert_eq!(without.unwrap(), "1 of 4 trials have no class, and count in none.");
    }

    #[test]
    fn a_class_is_called_untrained_only_where_all_that_was_trained_on_is_known() {
        assert_eq!(classes(&[], &["natural"], false).was_trained("gabor"), None);
        assert_eq!(classes(&[], &["natural"], false).was_trained("natural"), Some(true));
        assert_eq!(classes(&[], &["natural"], true).was_trained("gabor"), Some(false));
    }

    #[test]
    fn a_trial_without_a_class_is_in_none_and_leaves_unknown_what_was_trained_on() {
        let of: Vec<_> = ["natural", "", "gabor"].map(|class| Some(class.to_owned())).into();
        let fitted =
            |trials: &[usize]| Classes::fitted_to(Some(&trials.iter().copied().collect()), of.clone(), true);
        assert_eq!(fitted(&[0]).of[1], None);
        assert_eq!(fitted(&[0]).was_trained("gabor"), Some(false));
        assert_eq!(fitted(&[0, 1]).was_trained("gabor"), None);
        assert_eq!(Classes::fitted_to(None, of.clone(), true).was_trained("natural"), None);
    }

    #[test]
    fn one_class_that_was_trained_on_needs_no_table() {
        let evaluation =
            Evaluation::new(1, &[1.0, 2.0], &[0, 1]).unwrap().with_predictions(&[1.0, 2.0]).unwrap();
        let of = |known: Classes| known.scores(&evaluation, &[0, 1], |_| 1, &Settings::default()).unwrap().0;
        assert!(of(classes(&["natural", "natural"], &["natural"], true)).is_empty());
        assert_eq!(of(classes(&["gabor", "gabor"], &["natural"], true)).len(), 1);
    }
}
