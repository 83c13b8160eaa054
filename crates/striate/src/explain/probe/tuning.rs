//! What a unit is tuned to, from its responses to gratings.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use super::gratings::{CONTRASTS, ORIENTATIONS, PHASES, angle};

/// Tuning of one unit; none where it does not respond to it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// Orientation selectivity `|Σ R(θ) e^(2iθ)| / Σ R(θ)`, R the mean over phases minus its least, at the best frequency.
    pub osi: Option<f64>,
    /// Preferred orientation of the bars, degrees from the horizontal, counter-clockwise: the angle of that sum.
    pub orientation_deg: Option<f64>,
    /// Preferred spatial frequency in cycles per pixel: the peak of a parabola through the responses over the logarithm.
    pub frequency: Option<f64>,
    /// Contrast of half the response, by the curve of Naka and Rushton.
    pub c50: Option<f64>,
    /// Its exponent.
    pub exponent: Option<f64>,
    /// Amplitude over phases divided by what the mean is above the response to grey, at the preferred grating: above 1 for simple cells.
    pub f1_f0: Option<f64>,
}

/// Responses less different than this, relative to their size, are the same.
const SAME: f64 = 1e-6;

/// Tuning from `responses` to [`super::gratings::still`] of these frequencies, and to grey.
pub fn tuning(responses: &[f64], frequencies: &[f64], grey: f64) -> Tuning {
    let at = |orientation: usize, frequency: usize, contrast: usize| {
        let first = ((orientation * frequencies.len() + frequency) * CONTRASTS.len() + contrast) * PHASES;
        &responses[first..first + PHASES]
    };
    let mean = |phases: &[f64]| phases.iter().sum::<f64>() / PHASES as f64;
    let full = CONTRASTS.len() - 1;
    let grid = |orientation: usize, frequency: usize| mean(at(orientation, frequency, full));
    let all = || (0..ORIENTATIONS).flat_map(|o| (0..frequencies.len()).map(move |f| (o, f)));
    let values: Vec<f64> = all().map(|(o, f)| grid(o, f)).collect();
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    if high - low <= SAME * high.abs().max(1e-12) {
        return Tuning::default();
    }
    let best = all().max_by(|a, b| grid(a.0, a.1).total_cmp(&grid(b.0, b.1))).unwrap_or((0, 0));
    let curve: Vec<f64> = (0..ORIENTATIONS).map(|o| grid(o, best.1)).collect();
    let (osi, orientation_deg) = orientation(&curve);
    let over_frequency: Vec<f64> = (0..frequencies.len()).map(|f| grid(best.0, f)).collect();
    let contrast: Vec<f64> = (0..CONTRASTS.len()).map(|c| mean(at(best.0, best.1, c))).collect();
    let curve = naka_rushton(&contrast, grey);
    Tuning {
        osi,
        orientation_deg,
        frequency: Some(peak(frequencies, &over_frequency)),
        c50: curve.map(|(c50, _)| c50),
        exponent: curve.map(|(_, exponent)| exponent),
        f1_f0: f1_f0(at(best.0, best.1, full), grey),
    }
}

/// Selectivity and preferred orientation in degrees of responses over all orientations.
pub fn orientation(curve: &[f64]) -> (Option<f64>, Option<f64>) {
    let least = curve.iter().copied().fold(f64::MAX, f64::min);
    let sum: f64 = curve.iter().map(|value| value - least).sum();
    let [re, im] = curve.iter().enumerate().fold([0.0; 2], |[re, im], (at, value)| {
        let (sin, cos) = (2.0 * angle(at)).sin_cos();
        [re + (value - least) * cos, im + (value - least) * sin]
    });
    if sum <= SAME * curve.iter().map(|v| v.abs()).sum::<f64>() {
        return (None, None);
    }
    (Some(re.hypot(im) / sum), Some((im.atan2(re).to_degrees() / 2.0).rem_euclid(180.0)))
}

/// Peak of a parabola through the largest value and its neighbours over the logarithm of the frequencies; the end, if it is largest.
fn peak(frequencies: &[f64], values: &[f64]) -> f64 {
    let best = (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap_or(0);
    if best == 0 || best + 1 == values.len() {
        return frequencies[best];
    }
    let x = [best - 1, best, best + 1].map(|at| frequencies[at].ln());
    let y = [best - 1, best, best + 1].map(|at| values[at]);
    let slopes = [(y[1] - y[0]) / (x[1] - x[0]), (y[2] - y[1]) / (x[2] - x[1])];
    let curvature = (slopes[1] - slopes[0]) / (x[2] - x[0]);
    if curvature >= 0.0 {
        return frequencies[best];
    }
    ((x[0] + x[1]) / 2.0 - slopes[0] / (2.0 * curvature)).exp()
}

/// Contrast of half the response and exponent of `R = grey + a cⁿ / (cⁿ + c50ⁿ)`, a by least squares on a grid of both others; none where
/// nothing is explained.
fn naka_rushton(responses: &[f64], grey: f64) -> Option<(f64, f64)> {
    let above: Vec<f64> = responses.iter().map(|response| response - grey).collect();
    let total: f64 = above.iter().map(|value| value * value).sum();
    let mut best: Option<(f64, f64, f64)> = None;
    for c50 in (0..=60).map(|at| 0.02 * 50f64.powf(f64::from(at) / 60.0)) {
        for exponent in (2..=20).map(|at| f64::from(at) / 4.0) {
            let shape = CONTRASTS.map(|c: f64| c.powf(exponent) / (c.powf(exponent) + c50.powf(exponent)));
            let [along, own] =
                shape.iter().zip(&above).fold([0.0; 2], |[a, b], (s, y)| [a + s * y, b + s * s]);
            let left = total - along * along / own;
            if best.is_none_or(|(least, ..)| left < least) {
                best = Some((left, c50, exponent));
            }
        }
    }
    best.filter(|(left, ..)| total > 0.0 && *left < 0.5 * total).map(|(_, c50, exponent)| (c50, exponent))
}

/// Amplitude of the first harmonic over phases, divided by what the mean is above `grey`.
fn f1_f0(phases: &[f64], grey: f64) -> Option<f64> {
    let n = phases.len() as f64;
    let [re, im] = phases.iter().enumerate().fold([0.0; 2], |[re, im], (at, value)| {
        let (sin, cos) = (TAU * at as f64 / n).sin_cos();
        [re + value * cos, im + value * sin]
    });
    let mean = phases.iter().sum::<f64>() / n - grey;
    (mean > SAME * grey.abs().max(1e-12)).then(|| 2.0 / n * re.hypot(im) / mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREQUENCIES: [f64; 4] = [0.025, 0.05, 0.1, 0.2];

    /// A unit tuned to 45° and 0.07 cycles per pixel, that saturates at a contrast of 0.3, and whose response follows the phase.
    fn unit(modulation: f64) -> Vec<f64> {
        super::super::gratings::still(FREQUENCIES.len())
            .iter()
            .map(|of| {
                let theta = 2.0 * (angle(of.orientation) - 45f64.to_radians());
                let octaves = (FREQUENCIES[of.frequency] / 0.07).log2();
                let c = CONTRASTS[of.contrast].powi(2);
                let drive =
                    (2.0 * (theta.cos() - 1.0)).exp() * (-octaves * octaves / 2.0).exp() * c / (c + 0.09);
                let phase = TAU * of.phase as f64 / PHASES as f64;
                0.5 + drive * (1.0 + modulation * phase.cos())
            })
            .collect()
    }

    #[test]
    fn a_made_up_unit_has_the_tuning_it_was_made_with() {
        let found = tuning(&unit(1.5), &FREQUENCIES, 0.5);
        assert!((found.orientation_deg.unwrap() - 45.0).abs() < 0.1, "{found:?}");
        // I₁(2)/I₀(2) of a von Mises curve, a little more since its least value is taken away.
        assert!((0.69..0.80).contains(&found.osi.unwrap()), "{found:?}");
        assert!((found.frequency.unwrap() - 0.07).abs() < 0.006, "{found:?}");
        assert!(
            (found.c50.unwrap() - 0.3).abs() < 0.02 && (found.exponent.unwrap() - 2.0).abs() < 0.3,
            "{found:?}"
        );
        assert!((found.f1_f0.unwrap() - 1.5).abs() < 1e-6);
        assert!(tuning(&unit(0.0), &FREQUENCIES, 0.5).f1_f0.unwrap() < 1e-9, "a complex cell");
    }

    #[test]
    fn what_does_not_respond_has_no_tuning() {
        let silent = vec![0.3; unit(0.0).len()];
        assert_eq!(tuning(&silent, &FREQUENCIES, 0.3), Tuning::default());
        assert_eq!(orientation(&[1.0; ORIENTATIONS]), (None, None));
    }
}
