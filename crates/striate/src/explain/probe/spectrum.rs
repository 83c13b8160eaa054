//! The geometry of a population: how its variance is spread over directions.

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

/// First direction that the slope is taken from, and last of all.
const RANGE: [usize; 2] = [10, 200];
/// Fewest directions that make a slope.
const FEWEST: usize = 5;

/// Spectrum of a covariance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spectrum {
    /// Units.
    pub units: usize,
    /// Samples.
    pub samples: usize,
    /// Variances along the principal directions, the largest first, as shares of all.
    pub shares: Vec<f64>,
    /// α of `λ_k ∝ k^−α` by least squares on logarithms, k from 10 to 200 or half of the units; none of few units.
    pub slope: Option<f64>,
    /// `(Σ λ)² / Σ λ²`: in how many directions it lies.
    pub participation: Option<f64>,
}

/// The spectrum of `[sample][unit]`.
pub fn spectrum(values: &DMatrix<f64>) -> Spectrum {
    let (samples, units) = values.shape();
    let mut centred = values.clone();
    for mut column in centred.column_iter_mut() {
        let mean = column.mean();
        column.add_scalar_mut(-mean);
    }
    // Both products have the same eigenvalues but for zeros.
    let product = if units <= samples { centred.tr_mul(&centred) } else { &centred * centred.transpose() };
    let mut eigenvalues: Vec<f64> =
        product.symmetric_eigenvalues().iter().map(|value| value.max(0.0)).collect();
    eigenvalues.sort_by(|a, b| b.total_cmp(a));
    let total: f64 = eigenvalues.iter().sum();
    if total <= 0.0 {
        return Spectrum { units, samples, ..Spectrum::default() };
    }
    let shares: Vec<f64> = eigenvalues.iter().map(|value| value / total).collect();
    let last = RANGE[1].min(units / 2).min(shares.len());
    let logs =
        (RANGE[0]..=last).filter(|&k| shares[k - 1] > 1e-12).map(|k| ((k as f64).ln(), shares[k - 1].ln()));
    Spectrum {
        units,
        samples,
        slope: slope(&logs.collect::<Vec<_>>()).map(|slope| -slope),
        participation: Some(1.0 / shares.iter().map(|share| share * share).sum::<f64>()),
        shares,
    }
}

fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let [x, y] = points.iter().fold([0.0; 2], |[a, b], (x, y)| [a + x / n, b + y / n]);
    let [along, own] =
        points.iter().fold([0.0; 2], |[a, b], p| [a + (p.0 - x) * (p.1 - y), b + (p.0 - x).powi(2)]);
    (points.len() >= FEWEST).then(|| along / own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{generator, normal};

    #[test]
    fn a_power_law_has_its_slope_and_white_noise_fills_its_directions() {
        let (samples, units) = (3000, 80);
        let noise = normal(&mut generator(4, 0), samples * units, 0.0, 1.0);
        let of = |alpha: f64| {
            DMatrix::from_fn(samples, units, |row, unit| {
                f64::from(noise[row * units + unit]) * ((unit + 1) as f64).powf(-alpha / 2.0)
            })
        };
        let found = spectrum(&of(1.5));
        assert!((found.slope.unwrap() - 1.5).abs() < 0.1, "{found:?}");
        let white = spectrum(&of(0.0));
        assert!(white.participation.unwrap() > 75.0 && white.slope.unwrap() < 0.3);
        // As many units as samples, and none that changes.
        assert!((spectrum(&of(1.5).rows(0, 40).into_owned()).shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert_eq!(spectrum(&DMatrix::zeros(10, 3)).participation, None);
    }
}
