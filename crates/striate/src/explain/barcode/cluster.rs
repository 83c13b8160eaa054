//! Clusters of barcodes, for a given number of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::str::FromStr;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::barcodes::Barcodes;
use super::mixture::mixture;
use crate::error::{Error, Result, unknown};
use crate::random::generator;

/// Searches from different centres, of which the best counts.
pub(super) const RESTARTS: u64 = 4;
const MOST_STEPS: usize = 100;

/// How neurons are assigned to types.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The most probable Gaussian of a [`mixture()`].
    #[default]
    Mixture,
    /// The nearest centre of [`k_means`].
    KMeans,
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "mixture" => Ok(Self::Mixture),
            "kmeans" => Ok(Self::KMeans),
            _ => Err(unknown("method", name, &["mixture", "kmeans"])),
        }
    }
}

impl Method {
    /// Labels `[neuron with a barcode]`, named by falling size, for as many clusters as asked for and possible.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) for no cluster.
    pub fn labels(self, barcodes: &Barcodes, clusters: usize, seed: u64) -> Result<Vec<usize>> {
        let clusters = clusters.min(barcodes.distinct());
        match self {
            Self::Mixture => Ok(mixture(barcodes, clusters, seed)?.labels),
            Self::KMeans => k_means(barcodes, clusters, seed),
        }
    }
}

/// k-means (Lloyd 1982; centres of k-means++, Arthur & Vassilvitskii 2007): labels of the neurons with a barcode, named
/// by falling size, with the least summed squared distance in several searches.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) for no cluster, or more than there are different barcodes.
pub fn k_means(barcodes: &Barcodes, clusters: usize, seed: u64) -> Result<Vec<usize>> {
    check(barcodes, clusters)?;
    let values = barcodes.matrix();
    let search = |restart| {
        let labels = lloyd(values, clusters, &mut generator(seed, restart));
        (inertia(values, &labels, clusters), labels)
    };
    let found = (0..RESTARTS).map(search).min_by(|a, b| a.0.total_cmp(&b.0));
    let labels = found.map(|(_, labels)| labels).unwrap_or_default();
    let names = by_size(labels.iter().copied());
    Ok(labels.iter().map(|label| names[label]).collect())
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
    let mut apart = Array1::from_elem(values.nrows(), f64::INFINITY);
    while drawn.len() < clusters {
        let last = values.row(drawn[drawn.len() - 1]);
        let distance = (&values - &last).mapv(|d| d * d).sum_axis(Axis(1));
        apart.zip_mut_with(&distance, |apart, &distance| *apart = apart.min(distance));
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

/// 1 for the cluster of each neuron, `[neuron, cluster]`.
pub(super) fn one_hot(labels: &[usize], clusters: usize) -> Array2<f64> {
    Array2::from_shape_fn((labels.len(), clusters), |(neuron, k)| f64::from(u8::from(labels[neuron] == k)))
}

/// Place of the first of the largest.
pub(super) fn largest(values: ArrayView1<'_, f64>) -> usize {
    (0..values.len()).rev().max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap_or(0)
}

/// Refuses no cluster, or more than there are different barcodes.
pub(super) fn check(barcodes: &Barcodes, clusters: usize) -> Result<()> {
    let distinct = barcodes.distinct();
    if (1..=distinct).contains(&clusters) {
        return Ok(());
    }
    Err(Error::config(format!("cannot make {clusters} types of {distinct} different barcodes")).key("types"))
}

/// New names of clusters: 0, 1, … by falling size, of equals by their first neuron.
pub(super) fn by_size(labels: impl IntoIterator<Item = usize>) -> BTreeMap<usize, usize> {
    let mut clusters = BTreeMap::new();
    for (neuron, label) in labels.into_iter().enumerate() {
        clusters.entry(label).or_insert((0_usize, neuron)).0 += 1;
    }
    let mut order: Vec<_> =
        clusters.into_iter().map(|(name, (size, first))| (Reverse(size), first, name)).collect();
    order.sort_unstable();
    order.into_iter().zip(0..).map(|((.., name), rank)| (name, rank)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::adjusted_rand_index;
    use super::super::barcodes::{Norm, normalise};
    use super::super::planted::Planted;
    use super::*;
    use crate::random::permutation;
    use proptest::prelude::*;

    #[test]
    fn names_fall_with_size() {
        let names = by_size([4, 2, 2, 0, 4, 2]);
        assert_eq!((names[&2], names[&4], names[&0]), (0, 1, 2));
        assert_eq!(by_size([1, 0])[&1], 0);
        assert!(by_size([]).is_empty());
    }

    #[test]
    fn both_methods_find_planted_types_and_repeat_themselves() {
        let planted = Planted { types: 5, per_type: 20, channels: 8, jitter: 0.1 };
        let (barcodes, truth) = planted.barcodes(2);
        for method in [Method::KMeans, Method::Mixture] {
            let labels = method.labels(&barcodes, 5, 1).unwrap();
            assert!(adjusted_rand_index(&labels, &truth) > 0.95, "{method:?}");
            assert_eq!(labels, method.labels(&barcodes, 5, 1).unwrap());
        }
    }

    #[test]
    fn one_channel_tells_signs_apart() {
        let barcodes = normalise(&[2.0, -1.0, 3.0, -0.5, 1.0], 1, Norm::L2).unwrap();
        for method in [Method::KMeans, Method::Mixture] {
            assert_eq!(method.labels(&barcodes, 2, 0).unwrap(), [0, 1, 0, 1, 0]);
            assert_eq!(method.labels(&barcodes, 9, 0).unwrap(), [0, 1, 0, 1, 0], "no more are possible");
            assert!(method.labels(&barcodes, 0, 0).is_err());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn the_order_of_neurons_does_not_matter(seed in 0_u64..1000) {
            let planted = Planted { types: 3, per_type: 15, channels: 5, jitter: 0.08 };
            let (weights, _) = planted.weights(seed);
            let order = permutation(&mut generator(seed, 9), 45);
            let rows: Vec<&[f32]> = weights.chunks(5).collect();
            let moved: Vec<f32> = order.iter().flat_map(|&i| rows[i]).copied().collect();
            let labels = |weights: &[f32]| {
                Method::Mixture.labels(&normalise(weights, 5, Norm::L2).unwrap(), 3, 0).unwrap()
            };
            let before = labels(&weights);
            let before: Vec<usize> = order.iter().map(|&i| before[i]).collect();
            prop_assert_eq!(adjusted_rand_index(&before, &labels(&moved)), 1.0);
        }

        #[test]
        fn odd_barcodes_never_panic(
            weights in proptest::collection::vec(prop_oneof![Just(0.0_f32), Just(1.0), Just(-1e-30), Just(1e38),
                -1.0_f32..1.0], 1..60),
            channels in 1_usize..5, clusters in 1_usize..12,
        ) {
            if let Ok(barcodes) = normalise(&weights, channels, Norm::L2) {
                for method in [Method::KMeans, Method::Mixture] {
                    let labels = method.labels(&barcodes, clusters, 0).unwrap();
                    prop_assert!(labels.iter().all(|&label| label < clusters));
                }
            }
        }
    }
}
