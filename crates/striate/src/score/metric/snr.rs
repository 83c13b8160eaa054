//! How far responses to different stimuli are apart, against their scatter over repeats.

use super::reason::Reason;
use super::{Compute, Metric, Need};
use crate::score::Evaluation;
use crate::score::moments::Moments;

pub(super) const METRIC: Metric = Metric {
    id: "snr",
    name: "signal-to-noise ratio",
    definition: "per neuron: variance over stimuli of the repeat averages of z (ddof 0) / mean over stimuli of the \
                 variance of z over repeats (ddof 1), z = 2 sqrt(y + 3/8) the Anscombe transform of the response y, over \
                 stimuli shown at least twice",
    source: "neuralpredictors, SNR; Anscombe 1948",
    needs: &[Need::Repeats],
    undefined: &[
        Reason {
            words: "a response is below −3/8",
            applies: |neuron, _| {
                neuron.repeated().flat_map(|trials| neuron.recorded(trials)).any(|y| y < -0.375)
            },
        },
        Reason { words: "its response is the same in all repeats of every stimulus", applies: |_, _| true },
    ],
    held: None,
    above_one: None,
    zero_in_sensorium: false,
    lower_is_better: false,
    presets: &[],
    compute: Compute::PerNeuron(|evaluation, _| snr(evaluation)),
};

/// Signal-to-noise ratio per neuron; needs responses only.
///
/// ```text
/// z_ir = 2 √(y_ir + 3/8)          response to stimulus i in repeat r, its variance made independent of its mean
/// SNR  = ⟨(z̄_i − ⟨z̄⟩)²⟩_i / ⟨var_r z_ir⟩_i
/// ```
pub fn snr(evaluation: &Evaluation) -> Vec<f64> {
    evaluation.per_neuron(|neuron| {
        let stimulus = |trials| neuron.recorded(trials).map(anscombe).collect::<Moments>();
        let stimuli: Vec<Moments> = neuron.repeated().map(stimulus).collect();
        let signal = stimuli.iter().map(Moments::mean).collect::<Moments>().variance(0.0);
        let noise = stimuli.iter().map(|stimulus| stimulus.variance(1.0)).collect::<Moments>().mean();
        if noise > 0.0 { signal / noise } else { f64::NAN }
    })
}

/// For Poisson counts the variance of the result is about 1, whatever their mean.
fn anscombe(response: f64) -> f64 {
    2.0 * (response + 0.375).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: y + 3/8 is 1, 4 for one stimulus and 9, 16 for the other, so z is 2, 4 and 6, 8: means 3 and 7, whose
    /// variance is 4, and a variance of 2 over repeats each.
    #[test]
    fn a_hand_calculation() {
        let evaluation = Evaluation::new(1, &[0.625, 3.625, 8.625, 15.625], &[0, 0, 1, 1]).unwrap();
        assert_eq!(snr(&evaluation), [2.0]);
    }

    #[test]
    fn negative_rates_and_repeats_without_noise_are_undefined() {
        let responses = [-1.0, 1.0, 2.0, 1.0, 1.0, 4.0, 2.0, 4.0];
        let evaluation = Evaluation::new(2, &responses, &[0, 0, 1, 1]).unwrap();
        assert!(snr(&evaluation).iter().all(|snr| snr.is_nan()));
    }
}
