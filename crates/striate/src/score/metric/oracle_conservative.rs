//! Correlation of the true mean response with single trials, from variances.

use super::reason::CONSTANT_AVERAGE_RESPONSE;
use super::{Compute, Metric, Need};
use crate::score::Evaluation;
use crate::score::moments::Moments;

pub(super) const METRIC: Metric = Metric {
    id: "oracle_conservative",
    name: "oracle correlation (conservative)",
    definition: "per neuron: V_mean / sqrt(V_mean (V_mean + V_noise)); V_mean is the variance over stimuli of \
                 the repeat averages, V_noise the mean over stimuli of the variance over repeats (both ddof 0), \
                 over stimuli shown at least twice; overestimates the ceiling",
    source: "neuralpredictors, oracle measures",
    needs: &[Need::Repeats],
    undefined: &[CONSTANT_AVERAGE_RESPONSE],
    held: None,
    above_one: None,
    zero_in_sensorium: false,
    lower_is_better: false,
    presets: &[],
    compute: Compute::PerNeuron(|evaluation, _| oracle_conservative(evaluation)),
};

/// Conservative oracle correlation per neuron; needs responses only.
pub fn oracle_conservative(evaluation: &Evaluation) -> Vec<f64> {
    evaluation.per_neuron(|neuron| {
        let stimuli: Vec<Moments> = neuron.repeated().map(|t| neuron.recorded(t).collect()).collect();
        let signal = stimuli.iter().map(Moments::mean).collect::<Moments>().variance(0.0);
        let noise = stimuli.iter().map(|stimulus| stimulus.variance(0.0)).collect::<Moments>().mean();
        signal / (signal * (signal + noise)).sqrt()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_signal_half_noise() {
        let evaluation = Evaluation::new(1, &[0., 2., 2., 4.], &[0, 0, 1, 1]).unwrap();
        assert!((oracle_conservative(&evaluation)[0] - 0.5_f64.sqrt()).abs() < 1e-15);
    }
}
