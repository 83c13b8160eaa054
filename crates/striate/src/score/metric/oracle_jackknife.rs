//! How well the other repeats predict a trial: the usual oracle.

use super::reason::CONSTANT_IN_REPEATS;
use super::{Compute, Metric, Need};
use crate::score::Evaluation;
use crate::score::moments::PairMoments;

pub(super) const METRIC: Metric = Metric {
    id: "oracle_jackknife",
    name: "oracle correlation (jackknife)",
    definition: "per neuron: Pearson correlation of each trial's response with the mean of the other repeats \
                 of its stimulus, over all trials of stimuli shown at least twice; underestimates the ceiling",
    source: "neuralpredictors, oracle measures; Lurz et al. 2021",
    needs: &[Need::Repeats],
    undefined: &[CONSTANT_IN_REPEATS],
    held: None,
    above_one: None,
    zero_in_sensorium: false,
    lower_is_better: false,
    presets: &[],
    compute: Compute::PerNeuron(|evaluation, _| oracle_jackknife(evaluation)),
};

/// Leave-one-out oracle correlation per neuron; needs responses only.
pub fn oracle_jackknife(evaluation: &Evaluation) -> Vec<f64> {
    evaluation.per_neuron(|neuron| {
        let mut moments = PairMoments::default();
        for trials in neuron.repeated() {
            let sum: f64 = neuron.recorded(trials).sum();
            let others = trials.len() as f64 - 1.0;
            neuron.recorded(trials).for_each(|response| moments.push(response, (sum - response) / others));
        }
        moments.correlation()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfect_repeats_are_a_perfect_oracle_and_single_trials_do_not_count() {
        let evaluation = Evaluation::new(1, &[1., 1., 4., 4., 100.], &[0, 0, 1, 1, 2]).unwrap();
        assert_eq!(oracle_jackknife(&evaluation), [1.0]);
    }

    #[test]
    fn without_repeats_it_is_undefined() {
        let evaluation = Evaluation::new(1, &[1., 2.], &[0, 1]).unwrap();
        assert!(oracle_jackknife(&evaluation)[0].is_nan());
    }
}
