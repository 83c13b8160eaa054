//! Clusters of barcodes, for a given number of them.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::barcodes::Barcodes;
use super::k_means::k_means;
use super::mixture::mixture;
use crate::error::{Error, Result, unknown};

/// What assigns neurons to types.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The groups that were counted; where another number is asked for, as [`Method::Mixture`].
    #[default]
    Groups,
    /// The most probable Gaussian of a [`mixture()`].
    Mixture,
    /// The nearest centre of [`k_means()`].
    KMeans,
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "groups" => Ok(Self::Groups),
            "mixture" => Ok(Self::Mixture),
            "kmeans" => Ok(Self::KMeans),
            _ => Err(unknown("method", name, &["groups", "mixture", "kmeans"])),
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
            Self::Groups | Self::Mixture => Ok(mixture(barcodes, clusters, seed)?.labels),
            Self::KMeans => k_means(barcodes, clusters, seed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::adjusted_rand_index;
    use super::super::barcodes::{Norm, normalise};
    use super::super::planted::Planted;
    use super::*;
    use crate::random::{generator, permutation};
    use proptest::prelude::*;

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
