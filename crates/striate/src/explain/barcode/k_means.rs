//! The nearest of k centres.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::barcodes::Barcodes;
use super::labels::{by_size, largest, one_hot};
use crate::error::Result;
use crate::random::Draws;

/// Searches from different centres, of which the best counts.
pub(super) const RESTARTS: u64 = 4;
const MOST_STEPS: usize = 100;

/// k-means (Lloyd 1982; centres of k-means++, Arthur & Vassilvitskii 2007): labels of the neurons with a barcode, named
/// by falling size, with the least summed squared distance in several searches.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) for no cluster, or more than there are different barcodes.
pub fn k_means(barcodes: &Barcodes, clusters: usize, seed: u64) -> Result<Vec<usize>> {
    barcodes.check(clusters)?;
    let labels = search(barcodes.matrix(), clusters, seed);
    let names = by_size(labels.iter().copied());
    Ok(labels.iter().map(|label| names[label]).collect())
}

/// Labels of the neurons `[neuron, channel]` with the least summed squared distance in several searches.
pub(super) fn search(values: ArrayView2<'_, f64>, clusters: usize, seed: u64) -> Vec<usize> {
    let one = |restart| {
        let labels = lloyd(values, clusters, &mut Draws::Search(restart).generator(seed));
        (inertia(values, &labels, clusters), labels)
    };
    let found = (0..RESTARTS).map(one).min_by(|a, b| a.0.total_cmp(&b.0));
    found.map(|(_, labels)| labels).unwrap_or_default()
}

/// Labels of the neurons `[neuron, channel]` after one search.
pub(super) fn lloyd(values: ArrayView2<'_, f64>, clusters: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut centres = distant(values, clusters, rng);
    let mut labels = nearest(values, &centres);
    for _ in 0..MOST_STEPS {
        centres = means(values, &labels, clusters);
        let next = nearest(values, &centres);
        if next == labels {
            break;
        }
        labels = next;
    }
    labels
}

/// Neurons drawn one by one, with a probability that grows with the squared distance from those before.
fn distant(values: ArrayView2<'_, f64>, clusters: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
    let mut drawn = vec![rng.random_range(0..values.nrows())];
    let square = (&values * &values).sum_axis(Axis(1));
    let mut apart = Array1::from_elem(values.nrows(), f64::INFINITY);
    while drawn.len() < clusters {
        let last = drawn[drawn.len() - 1];
        let distance = &square + square[last] - values.dot(&values.row(last)) * 2.0;
        apart.zip_mut_with(&distance, |apart, &distance| *apart = apart.min(distance.max(0.0)));
        let mut left = rng.random::<f64>() * apart.sum();
        let reached = apart.iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        drawn.push(reached.unwrap_or(0));
    }
    values.select(Axis(0), &drawn)
}

/// The nearest centre of each neuron: the largest x·c − ½ c·c.
fn nearest(values: ArrayView2<'_, f64>, centres: &Array2<f64>) -> Vec<usize> {
    let half = 0.5 * (centres * centres).sum_axis(Axis(1));
    (values.dot(&centres.t()) - half).rows().into_iter().map(largest).collect()
}

/// Mean barcode of each cluster, `[cluster, channel]`; zeros for a cluster without neurons.
fn means(values: ArrayView2<'_, f64>, labels: &[usize], clusters: usize) -> Array2<f64> {
    let members = one_hot(labels, clusters);
    let sizes = members.sum_axis(Axis(0)).mapv(|size| size.max(1.0)).insert_axis(Axis(1));
    members.t().dot(&values) / sizes
}

/// Summed squared distance from the means.
fn inertia(values: ArrayView2<'_, f64>, labels: &[usize], clusters: usize) -> f64 {
    let means = means(values, labels, clusters);
    (&values - &means.select(Axis(0), labels)).mapv(|d| d * d).sum()
}
