//! How much of the oracle a model reaches, over the population.

use super::reason::{CONSTANT_IN_REPEATS, CONSTANT_PREDICTION, CONSTANT_RESPONSE};
use super::{Compute, Metric, Need, oracle_jackknife, single_trial_correlation};
use crate::score::Evaluation;

pub(super) const METRIC: Metric = Metric {
    id: "fraction_oracle",
    name: "fraction oracle",
    definition: "population: slope b of the least-squares line r = b·o through 0, where r is a neuron's \
                 single-trial correlation and o its jackknife oracle correlation",
    source: "Lurz et al. 2021",
    needs: &[Need::Predictions, Need::Repeats],
    undefined: &[CONSTANT_RESPONSE, CONSTANT_PREDICTION, CONSTANT_IN_REPEATS],
    held: Some("fraction_oracle_held"),
    above_one: Some("the jackknife oracle underestimates the ceiling, the more the fewer the repeats"),
    zero_in_sensorium: false,
    lower_is_better: false,
    presets: &[],
    compute: Compute::Population { pairs: oracle_and_correlation, combine: slope_through_zero },
};

fn oracle_and_correlation(evaluation: &Evaluation) -> Vec<[f64; 2]> {
    let correlation = single_trial_correlation::of_evaluation(evaluation);
    oracle_jackknife(evaluation).into_iter().zip(correlation).map(Into::into).collect()
}

/// Least-squares slope through zero of y on x for `[x, y]` pairs; NaN when every x is 0.
pub fn slope_through_zero(pairs: &[[f64; 2]]) -> f64 {
    let (xy, xx) = pairs.iter().fold((0.0, 0.0), |(xy, xx), [x, y]| (xy + x * y, xx + x * x));
    xy / xx
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_through_zero() {
        assert_eq!(slope_through_zero(&[[1.0, 0.5], [2.0, 1.0]]), 0.5);
        assert!(slope_through_zero(&[[0.0, 1.0]]).is_nan());
    }
}
