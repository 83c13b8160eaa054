//! Gaussian mixture of barcodes, fitted by expectation–maximisation (Dempster, Laird & Rubin 1977).

use std::f64::consts::TAU;

use ndarray::{Array1, Array2, ArrayViewMut1, Axis};

use super::barcodes::Barcodes;
use super::k_means::{RESTARTS, lloyd};
use super::labels::{by_size, largest, one_hot};
use crate::error::Result;
use crate::random::Draws;

/// Added to every variance, as a share of the mean variance of all barcodes per channel. Weights that a penalty has
/// set to 0 make clusters as narrow as this allows: less of it splits types into neurons with and without such a 0.
const REGULARISATION: f64 = 0.1;
const MOST_STEPS: usize = 200;
/// Gain of log likelihood per neuron below which the search ends.
const TOLERANCE: f64 = 1e-6;

/// A fitted mixture of Gaussians with a variance per channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// Most probable cluster of each neuron with a barcode, named by falling size; a Gaussian that is most probable
    /// for no neuron has no name.
    pub labels: Vec<usize>,
    /// Natural logarithm of the likelihood of all barcodes.
    pub log_likelihood: f64,
    /// Free parameters: k − 1 shares, k means, k variances of each channel.
    pub parameters: usize,
}

impl Mixture {
    /// Bayesian information criterion (Schwarz 1978), less is better: BIC = −2 log L + parameters · log n, n the number
    /// of neurons with a barcode.
    pub fn bic(&self) -> f64 {
        -2.0 * self.log_likelihood + self.parameters as f64 * (self.labels.len() as f64).ln()
    }
}

/// The most likely mixture of `clusters` Gaussians in several searches, each from other centres of k-means.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) for no cluster, or more than there are different barcodes.
pub fn mixture(barcodes: &Barcodes, clusters: usize, seed: u64) -> Result<Mixture> {
    barcodes.check(clusters)?;
    let data = Deviations::of(barcodes);
    // Identical barcodes have no variance to take a share of.
    let floor = (REGULARISATION * barcodes.variance()).max(1e-12);
    let search = |restart| {
        let start = lloyd(barcodes.matrix(), clusters, &mut Draws::Search(restart).generator(seed));
        expectation_maximisation(&data, one_hot(&start, clusters), floor)
    };
    // One cluster has one solution.
    let restarts = if clusters == 1 { 1 } else { RESTARTS };
    let better = |best: Mixture, other: Mixture| {
        if other.log_likelihood > best.log_likelihood { other } else { best }
    };
    Ok((1..restarts).map(search).fold(search(0), better))
}

/// Deviations from the mean barcode and their squares, `[neuron, channel]`: all sums over neurons and channels are
/// matrix products with these.
struct Deviations {
    linear: Array2<f64>,
    squared: Array2<f64>,
}

impl Deviations {
    fn of(barcodes: &Barcodes) -> Self {
        let values = barcodes.matrix();
        let linear = &values - &(values.sum_axis(Axis(0)) / values.nrows() as f64);
        let squared = linear.mapv(|d| d * d);
        Self { linear, squared }
    }
}

/// `shares` are the probabilities `[neuron, cluster]` to start with.
fn expectation_maximisation(data: &Deviations, mut shares: Array2<f64>, floor: f64) -> Mixture {
    let ([neurons, channels], clusters) = ([data.linear.nrows(), data.linear.ncols()], shares.ncols());
    let mut log_likelihood = f64::NEG_INFINITY;
    for _ in 0..MOST_STEPS {
        shares = Gaussians::fit(data, &shares, floor).log_densities(data);
        let now = shares.rows_mut().into_iter().map(to_probabilities).sum();
        let gain: f64 = now - log_likelihood;
        log_likelihood = now;
        if gain.abs() < TOLERANCE * neurons as f64 {
            break;
        }
    }
    let labels: Vec<usize> = shares.rows().into_iter().map(largest).collect();
    let names = by_size(labels.iter().copied());
    let labels = labels.iter().map(|label| names[label]).collect();
    Mixture { labels, log_likelihood, parameters: clusters - 1 + 2 * clusters * channels }
}

/// Logarithms to shares of their sum, whose logarithm is returned.
///
/// The largest is taken out first: densities of far neurons and of narrow clusters leave the range of `f64`.
fn to_probabilities(mut logs: ArrayViewMut1<'_, f64>) -> f64 {
    let most = logs.fold(f64::NEG_INFINITY, |most, &log| most.max(log));
    logs.mapv_inplace(|log| (log - most).exp());
    let sum = logs.sum();
    logs.mapv_inplace(|share| share / sum);
    most + sum.ln()
}

/// The clusters of one step.
struct Gaussians {
    /// `[cluster]`.
    log_share: Array1<f64>,
    /// `[cluster, channel]`.
    mean: Array2<f64>,
    /// `[cluster, channel]`.
    variance: Array2<f64>,
}

impl Gaussians {
    fn fit(data: &Deviations, shares: &Array2<f64>, floor: f64) -> Self {
        // A cluster that lost all its neurons keeps finite parameters and a share of about 0.
        let size = shares.sum_axis(Axis(0)) + f64::EPSILON;
        let log_share = size.mapv(|size| (size / shares.nrows() as f64).ln());
        let size = size.insert_axis(Axis(1));
        let mean = shares.t().dot(&data.linear) / &size;
        let square = shares.t().dot(&data.squared) / &size;
        let variance = (square - &mean * &mean).mapv(|v| v.max(0.0) + floor);
        Self { log_share, mean, variance }
    }

    /// Logarithm of share times density, `[neuron, cluster]`: −½ Σ (x − m)² / v, multiplied out.
    fn log_densities(&self, data: &Deviations) -> Array2<f64> {
        let precision = self.variance.mapv(f64::recip);
        let scaled = &self.mean * &precision;
        let constant = self.variance.mapv(|v| (TAU * v).ln()) + &self.mean * &scaled;
        let peak = &self.log_share - &(0.5 * constant.sum_axis(Axis(1)));
        data.linear.dot(&scaled.t()) - 0.5 * data.squared.dot(&precision.t()) + peak
    }
}

#[cfg(test)]
mod tests {
    use super::super::adjusted_rand_index;
    use super::super::barcodes::{Norm, normalise};
    use super::super::planted::Planted;
    use super::*;

    #[test]
    fn one_gaussian_has_the_textbook_likelihood() {
        // Directions 0°, 90°, 180°, 270°: variance 1/2 per channel, no covariance.
        let barcodes = normalise(&[1., 0., 0., 1., -1., 0., 0., -1.], 2, Norm::L2).unwrap();
        let fitted = expectation_maximisation(&Deviations::of(&barcodes), one_hot(&[0; 4], 1), 1e-12);
        // Per neuron: −log 2π − ½ log ¼ − ½ · 1 / ½.
        let expected = 4.0 * (-TAU.ln() + 2.0_f64.ln() - 1.0);
        assert!((fitted.log_likelihood - expected).abs() < 1e-9, "{fitted:?}");
        assert_eq!(fitted.parameters, 4);
        assert_eq!(fitted.bic(), -2.0 * fitted.log_likelihood + 4.0 * 4.0_f64.ln());
    }

    #[test]
    fn two_gaussians_have_the_likelihood_of_their_sum() {
        let barcodes = normalise(&[1.0, 2.0, 3.0, -1.0], 1, Norm::L2).unwrap();
        let data = Deviations::of(&barcodes);
        let fitted = expectation_maximisation(&data, one_hot(&[0, 0, 0, 1], 2), 0.01);
        // Means ±1, far apart for a s.d. of 0.1: each neuron has its own share times its own peak.
        let peak = -0.5 * (TAU * 0.01).ln();
        let expected = 3.0 * (0.75_f64.ln() + peak) + 0.25_f64.ln() + peak;
        assert!((fitted.log_likelihood - expected).abs() < 1e-9, "{fitted:?}");
        assert_eq!((fitted.labels, fitted.parameters), (vec![0, 0, 0, 1], 5));
    }

    #[test]
    fn planted_types_are_found() {
        let planted = Planted { types: 4, per_type: 40, channels: 6, jitter: 0.1 };
        let (barcodes, truth) = planted.barcodes(1);
        let fitted = mixture(&barcodes, 4, 0).unwrap();
        assert!(adjusted_rand_index(&fitted.labels, &truth) > 0.95);
        assert_eq!(fitted, mixture(&barcodes, 4, 0).unwrap());
    }

    #[test]
    fn a_neuron_far_from_a_narrow_cluster_is_no_trouble() {
        // Its squared distance, about n s.d., has a density below the least `f64`.
        let mut weights = [1.0, 0.0].repeat(4000);
        weights.extend([0.0, 1.0]);
        let barcodes = normalise(&weights, 2, Norm::L2).unwrap();
        assert!(mixture(&barcodes, 1, 0).unwrap().log_likelihood.is_finite());
        assert_eq!(mixture(&barcodes, 2, 0).unwrap().labels[4000], 1);
    }

    #[test]
    fn impossible_numbers_of_clusters_are_refused() {
        let barcodes = normalise(&[1.0, 2.0, 3.0], 1, Norm::L2).unwrap();
        for clusters in [0, 2] {
            let error = mixture(&barcodes, clusters, 0).unwrap_err();
            assert_eq!(error.place().key.as_deref(), Some("types"), "{error}");
        }
        assert_eq!(mixture(&barcodes, 1, 0).unwrap().labels, [0, 0, 0]);
    }
}
