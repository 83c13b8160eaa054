//! Agreement of two clusterings of the same neurons.

use std::collections::BTreeMap;

/// Adjusted Rand index of two labelings `[neuron]` (Hubert & Arabie 1985, eq. 5).
///
/// With n neurons, n_ij of them in cluster i of `left` and j of `right`, row sums a_i, column sums b_j, and pairs
/// C(m) = m (m − 1) / 2:
///
/// ```text
/// ARI = (Σ_ij C(n_ij) − E) / ((Σ_i C(a_i) + Σ_j C(b_j)) / 2 − E),   E = Σ_i C(a_i) · Σ_j C(b_j) / C(n)
/// ```
///
/// 1 when the clusters are the same up to their names, 0 on average for random labels of the same cluster sizes,
/// negative for less agreement than that. Where the ratio is 0 / 0 (both labelings have one cluster, both have a
/// neuron per cluster, fewer than two neurons) the clusters are the same: 1, as in scikit-learn.
///
/// # Panics
/// When the labelings differ in length.
pub fn adjusted_rand_index(left: &[usize], right: &[usize]) -> f64 {
    assert_eq!(left.len(), right.len(), "labelings of the same neurons");
    let both = pairs_within(left.iter().zip(right));
    let (a, b) = (pairs_within(left), pairs_within(right));
    if both == a && both == b {
        return 1.0;
    }
    let chance = a * b / pairs(left.len());
    (both - chance) / (0.5 * (a + b) - chance)
}

/// Pairs of neurons with the same name.
fn pairs_within<T: Ord>(names: impl IntoIterator<Item = T>) -> f64 {
    let mut sizes = BTreeMap::new();
    for name in names {
        *sizes.entry(name).or_insert(0_usize) += 1;
    }
    sizes.into_values().map(pairs).sum()
}

/// Exact up to 10⁸ neurons, beyond it to 53 bits.
fn pairs(n: usize) -> f64 {
    let n = n as f64;
    0.5 * n * (n - 1.0)
}

#[cfg(test)]
mod tests {
    use super::adjusted_rand_index as ari;
    use crate::random::{generator, permutation};
    use proptest::prelude::*;

    #[test]
    fn golden_values() {
        // Table [2, 0, 0; 0, 1, 1]: Σ C(n_ij) = 1, Σ C(a) = 2, Σ C(b) = 1, E = 2 · 1 / 6 = 1/3,
        // so (1 − 1/3) / (3/2 − 1/3) = 4/7.
        assert!((ari(&[0, 0, 1, 1], &[0, 0, 1, 2]) - 4.0 / 7.0).abs() < 1e-15);
        // Table [2, 1; 1, 2]: 2 pairs in common, 6 each, E = 36 / 15, so (2 − 2.4) / (6 − 2.4) = −1/9.
        assert!((ari(&[0, 0, 0, 1, 1, 1], &[0, 0, 1, 0, 1, 1]) + 1.0 / 9.0).abs() < 1e-15);
        // Table [1, 1; 1, 1]: (0 − 2/3) / (2 − 2/3) = −1/2, the least four neurons allow.
        assert!((ari(&[0, 0, 1, 1], &[0, 1, 0, 1]) + 0.5).abs() < 1e-15);
    }

    #[test]
    fn degenerate_labelings_are_defined() {
        assert_eq!(ari(&[], &[]), 1.0);
        assert_eq!(ari(&[3], &[8]), 1.0);
        assert_eq!(ari(&[0, 0, 0], &[7, 7, 7]), 1.0);
        assert_eq!(ari(&[0, 1, 2], &[2, 0, 1]), 1.0);
        assert_eq!(ari(&[0, 0, 0], &[0, 1, 2]), 0.0);
        assert_eq!(ari(&[0, 0, 1, 1], &[0, 0, 0, 0]), 0.0);
    }

    #[test]
    fn chance_is_zero_on_average() {
        let labels: Vec<usize> = (0..200).map(|i| i % 5).collect();
        let draw = |stream| {
            let order = permutation(&mut generator(1, stream), labels.len());
            let random: Vec<usize> = order.iter().map(|&i| labels[i]).collect();
            ari(&labels, &random)
        };
        let mean = (0..200).map(draw).sum::<f64>() / 200.0;
        assert!(mean.abs() < 2e-3, "{mean}");
    }

    proptest! {
        #[test]
        fn symmetric_bounded_and_blind_to_names(
            labels in proptest::collection::vec((0_usize..4, 0_usize..4), 0..30),
        ) {
            let (left, right): (Vec<usize>, Vec<usize>) = labels.into_iter().unzip();
            let renamed: Vec<usize> = left.iter().map(|label| 40 - 7 * label).collect();
            let index = ari(&left, &right);
            prop_assert_eq!(index, ari(&right, &left));
            prop_assert_eq!(index, ari(&renamed, &right));
            prop_assert!((-0.5..=1.0).contains(&index));
            prop_assert_eq!(ari(&left, &renamed), 1.0);
        }

        #[test]
        fn agrees_with_counting_pairs(labels in proptest::collection::vec((0_usize..3, 0_usize..3), 2..20)) {
            let mut table = [[0.0_f64; 2]; 2];
            for i in 0..labels.len() {
                for j in 0..i {
                    let together = (labels[i].0 == labels[j].0, labels[i].1 == labels[j].1);
                    table[usize::from(together.0)][usize::from(together.1)] += 1.0;
                }
            }
            let [[tn, fp], [fn_, tp]] = table;
            let expected = if fp == 0.0 && fn_ == 0.0 { 1.0 } else {
                2.0 * (tp * tn - fn_ * fp) / ((tp + fn_) * (fn_ + tn) + (tp + fp) * (fp + tn))
            };
            let (left, right): (Vec<usize>, Vec<usize>) = labels.into_iter().unzip();
            prop_assert!((ari(&left, &right) - expected).abs() < 1e-12);
        }
    }
}
