//! Controls that a score must fail: the same predictions, put in the wrong place.

use std::str::FromStr;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Evaluation;
use crate::error::{Error, Result, nearest};

/// A way to break the link between prediction and response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Null {
    /// Every trial gets the predictions of another trial; repeats no longer share theirs.
    ShuffleTrials,
    /// Every neuron gets the predictions of another neuron.
    ShuffleNeurons,
}

impl Null {
    /// All controls.
    pub const ALL: [Self; 2] = [Self::ShuffleTrials, Self::ShuffleNeurons];

    /// Its name on the command line and in files.
    pub fn id(self) -> &'static str {
        match self {
            Self::ShuffleTrials => "shuffle-trials",
            Self::ShuffleNeurons => "shuffle-neurons",
        }
    }

    /// `evaluation` with shuffled predictions; none stays in its place.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when there are no predictions, or only one trial or
    /// neuron to shuffle.
    pub fn apply(self, evaluation: &Evaluation, seed: u64) -> Result<Evaluation> {
        let (mut trials, mut neurons) = (in_order(evaluation.trials()), in_order(evaluation.neurons()));
        let shuffled = match self {
            Self::ShuffleTrials => &mut trials,
            Self::ShuffleNeurons => &mut neurons,
        };
        if shuffled.len() < 2 {
            return Err(Error::data(format!("`{}` needs at least two of them", self.id())));
        }
        cycle(shuffled, seed);
        evaluation
            .with_rearranged_predictions(&trials, &neurons)
            .ok_or_else(|| Error::data(format!("`{}` needs predictions", self.id())))
    }
}

impl FromStr for Null {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let ids = Self::ALL.map(Self::id);
        Self::ALL.into_iter().find(|null| null.id() == name).ok_or_else(|| {
            let hint = match nearest(name, ids) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", ids.join(", ")),
            };
            Error::config(format!("no null control is called `{name}`")).hint(hint)
        })
    }
}

fn in_order(n: usize) -> Vec<usize> {
    (0..n).collect()
}

/// A random permutation that moves every item (Sattolo 1986).
fn cycle(items: &mut [usize], seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for last in (1..items.len()).rev() {
        items.swap(last, rng.random_range(0..last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::{Settings, score};

    #[test]
    fn every_item_moves() {
        for seed in 0..20 {
            let mut items = in_order(7);
            cycle(&mut items, seed);
            assert!(items.iter().enumerate().all(|(at, &item)| at != item));
        }
    }

    #[test]
    fn perfect_predictions_score_near_zero_when_shuffled() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (neurons, trials) = (40, 400);
        let responses: Vec<f32> = (0..neurons * trials).map(|_| rng.random()).collect();
        let stimulus: Vec<usize> = (0..trials).map(|trial| trial / 4).collect();
        let perfect =
            Evaluation::new(neurons, &responses, &stimulus).unwrap().with_predictions(&responses).unwrap();
        for null in Null::ALL {
            let scored = score(&null.apply(&perfect, 3).unwrap(), &Settings::default());
            let mean = scored.summaries["single_trial_correlation"].mean.unwrap();
            assert!(mean.abs() < 0.03, "{}: {mean}", null.id());
        }
    }

    #[test]
    fn names_are_checked() {
        assert_eq!("shuffle-trials".parse::<Null>().unwrap(), Null::ShuffleTrials);
        let error = "shuffle-trails".parse::<Null>().unwrap_err();
        assert_eq!(error.advice(), Some("did you mean `shuffle-trials`?"));
        let evaluation = Evaluation::new(1, &[1., 2.], &[0, 1]).unwrap();
        assert!(Null::ShuffleNeurons.apply(&evaluation, 0).is_err());
        assert!(Null::ShuffleTrials.apply(&evaluation, 0).is_err());
    }
}
