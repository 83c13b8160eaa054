//! A number for each neuron: that of its cluster.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView1};

/// 1 for the cluster of each neuron, `[neuron, cluster]`.
pub(super) fn one_hot(labels: &[usize], clusters: usize) -> Array2<f64> {
    Array2::from_shape_fn((labels.len(), clusters), |(neuron, k)| f64::from(u8::from(labels[neuron] == k)))
}

/// Place of the first of the largest.
pub(super) fn largest(values: ArrayView1<'_, f64>) -> usize {
    (0..values.len()).rev().max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap_or(0)
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
    use super::*;

    #[test]
    fn names_fall_with_size() {
        let names = by_size([4, 2, 2, 0, 4, 2]);
        assert_eq!((names[&2], names[&4], names[&0]), (0, 1, 2));
        assert_eq!(by_size([1, 0])[&1], 0);
        assert!(by_size([]).is_empty());
    }
}
