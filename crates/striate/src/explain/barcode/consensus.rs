//! Cell types on which several clusterings of the same neurons agree.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ari::adjusted_rand_index;
use super::assignment::assign;
use super::labels::by_size;

/// Labels of one clustering, `[neuron]`; `None` for a neuron that it does not know.
pub type Labels = Vec<Option<usize>>;

/// What several clusterings have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Consensus {
    /// Labels `[clustering][neuron]` in common names: 0, 1, … by falling number of votes. A cluster without a
    /// counterpart in the others has a name that no other uses.
    pub aligned: Vec<Labels>,
    /// The majority per neuron; `None` for a neuron that no clustering knows.
    pub votes: Vec<Option<Vote>>,
}

/// What most clusterings say about one neuron.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vote {
    /// Name of the cluster; of equals the one in the clustering that agrees best with all others, else the largest.
    pub label: usize,
    /// Share of the clusterings that know the neuron and say so, 0–1.
    pub agreement: f64,
}

/// Mean and standard deviation of a few numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation (ddof 1); 0 for a single number.
    pub sd: f64,
}

impl Spread {
    /// `None` without numbers.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (n > 0.0).then(|| Self { mean, sd: (squares / (n - 1.0).max(1.0)).sqrt() })
    }
}

/// Adjusted Rand index over the neurons that both clusterings know.
pub fn similarity(left: &Labels, right: &Labels) -> f64 {
    let (left, right) = in_both(left, right);
    adjusted_rand_index(&left, &right)
}

/// [`similarity`] of each pair of different clusterings. Pairs in which neither tells two types apart are left out:
/// their index is 1 by convention, not by agreement.
pub fn stability(fits: &[Labels]) -> Option<Spread> {
    let pairs = (0..fits.len()).flat_map(|i| (0..i).map(move |j| (&fits[i], &fits[j])));
    let telling = pairs.filter_map(|(left, right)| {
        let (left, right) = in_both(left, right);
        (!is_one_cluster(&left) || !is_one_cluster(&right)).then(|| adjusted_rand_index(&left, &right))
    });
    Spread::of(&telling.collect::<Vec<f64>>())
}

/// Aligns and joins labels of the same neurons.
///
/// Only the partitions are compared, for clusterings number their clusters as they like. Clusters are matched to those
/// of the most central clustering such that the most neurons keep their name.
///
/// # Panics
/// When the number of neurons differs.
pub fn consensus(fits: &[Labels]) -> Consensus {
    let neurons = fits.first().map_or(0, Vec::len);
    assert!(fits.iter().all(|fit| fit.len() == neurons), "labels of the same neurons");
    let reference = most_central(fits);
    let aligned = align(fits, reference);
    let votes: Vec<_> = (0..neurons).map(|neuron| vote(&aligned, reference, neuron)).collect();
    let names = Names::of(&votes, &aligned);
    let rename = |fit: &Labels| fit.iter().map(|label| label.map(|label| names.0[&label])).collect();
    let vote = |vote: Vote| Vote { label: names.0[&vote.label], ..vote };
    Consensus {
        aligned: aligned.iter().map(rename).collect(),
        votes: votes.into_iter().map(|of| of.map(vote)).collect(),
    }
}

fn in_both(left: &Labels, right: &Labels) -> (Vec<usize>, Vec<usize>) {
    left.iter().zip(right).filter_map(|(left, right)| left.zip(*right)).unzip()
}

fn is_one_cluster(labels: &[usize]) -> bool {
    labels.windows(2).all(|pair| pair[0] == pair[1])
}

/// The first clustering with the largest sum of similarities.
fn most_central(fits: &[Labels]) -> usize {
    let sums: Vec<f64> =
        fits.iter().map(|left| fits.iter().map(|right| similarity(left, right)).sum()).collect();
    (0..fits.len()).rev().max_by(|&a, &b| sums[a].total_cmp(&sums[b])).unwrap_or(0)
}

fn align(fits: &[Labels], reference: usize) -> Vec<Labels> {
    let Some(target) = fits.get(reference).map(Compact::of) else { return Vec::new() };
    let mut unused = target.names.last().map_or(0, |most| most + 1)..;
    let mut aligned = Vec::new();
    for fit in fits {
        let source = Compact::of(fit);
        let known = matches(&source, &target).into_iter().map(|to| to.map(|to| target.names[to]));
        let names: Vec<Option<usize>> = known.map(|name| name.or_else(|| unused.next())).collect();
        aligned.push(source.places.iter().map(|place| place.and_then(|place| names[place])).collect());
    }
    aligned
}

/// Labels as places in the ascending list of their names.
struct Compact {
    names: Vec<usize>,
    places: Vec<Option<usize>>,
}

impl Compact {
    fn of(labels: &Labels) -> Self {
        let mut names: Vec<usize> = labels.iter().flatten().copied().collect();
        names.sort_unstable();
        names.dedup();
        let place = |label: &usize| names.binary_search(label).ok();
        let places = labels.iter().map(|label| label.as_ref().and_then(place)).collect();
        Self { names, places }
    }
}

/// For each cluster of `source`, the cluster of `target` it is matched with: one that shares neurons.
fn matches(source: &Compact, target: &Compact) -> Vec<Option<usize>> {
    let size = source.names.len().max(target.names.len());
    let mut shared = vec![vec![0; size]; size];
    for (from, to) in source.places.iter().zip(&target.places).filter_map(|(from, to)| from.zip(*to)) {
        shared[from][to] += 1;
    }
    let pairs = assign(&shared).into_iter().enumerate().take(source.names.len());
    pairs.map(|(from, to)| (shared[from][to] > 0).then_some(to)).collect()
}

fn vote(aligned: &[Labels], reference: usize, neuron: usize) -> Option<Vote> {
    let mut labels: Vec<usize> = aligned.iter().filter_map(|fit| fit[neuron]).collect();
    labels.sort_unstable();
    let runs = labels.chunk_by(|a, b| a == b).map(|run| (run.len(), run[0]));
    let own = aligned[reference][neuron];
    let (count, label) =
        runs.max_by_key(|&(count, label)| (count, own == Some(label), usize::MAX - label))?;
    Some(Vote { label, agreement: count as f64 / labels.len() as f64 })
}

/// New names of clusters: those with votes by falling number, then all others.
struct Names(BTreeMap<usize, usize>);

impl Names {
    fn of(votes: &[Option<Vote>], aligned: &[Labels]) -> Self {
        let mut names = by_size(votes.iter().flatten().map(|vote| vote.label));
        for &label in aligned.iter().flatten().flatten() {
            let next = names.len();
            names.entry(label).or_insert(next);
        }
        Self(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(labels: &[usize]) -> Labels {
        labels.iter().copied().map(Some).collect()
    }

    #[test]
    fn other_names_are_the_same_types() {
        let fits = [all(&[0, 0, 1, 1, 2]), all(&[7, 7, 0, 0, 3])];
        assert_eq!(stability(&fits), Some(Spread { mean: 1.0, sd: 0.0 }));
        let found = consensus(&fits);
        assert_eq!(found.aligned, [all(&[0, 0, 1, 1, 2]), all(&[0, 0, 1, 1, 2])]);
        let votes: Vec<Vote> = found.votes.into_iter().flatten().collect();
        assert_eq!(votes.iter().map(|vote| vote.label).collect::<Vec<_>>(), [0, 0, 1, 1, 2]);
        assert!(votes.iter().all(|vote| vote.agreement == 1.0));
    }

    #[test]
    fn the_majority_wins_and_the_odd_clustering_is_seen() {
        let fits = [all(&[0, 0, 1, 1, 1, 1]), all(&[0, 0, 0, 1, 1, 1]), all(&[1, 1, 1, 0, 0, 0])];
        let found = consensus(&fits);
        assert_eq!(found.votes[2], Some(Vote { label: 0, agreement: 2.0 / 3.0 }));
        assert_eq!(found.votes[5], Some(Vote { label: 1, agreement: 1.0 }));
        assert!(stability(&fits).unwrap().mean < 1.0);
    }

    #[test]
    fn a_cluster_without_counterpart_has_a_name_of_its_own() {
        let found =
            consensus(&[all(&[0, 0, 0, 1, 1, 1]), all(&[0, 0, 0, 1, 1, 1]), all(&[0, 0, 0, 1, 1, 2])]);
        assert_eq!(found.aligned[2][5], Some(2));
        assert_eq!(found.votes[5], Some(Vote { label: 1, agreement: 2.0 / 3.0 }));
    }

    #[test]
    fn a_neuron_counts_only_where_it_is_known() {
        let fits = [vec![Some(0), None, Some(1), None], vec![Some(1), Some(1), Some(0), None]];
        assert_eq!(similarity(&fits[0], &fits[1]), 1.0);
        let found = consensus(&fits);
        assert_eq!(found.votes[1], Some(Vote { label: 0, agreement: 1.0 }));
        assert_eq!(found.votes[3], None);
    }

    #[test]
    fn degenerate_clusterings_are_defined() {
        assert!(consensus(&[]).votes.is_empty());
        assert_eq!(stability(&[all(&[0, 1])]), None);
        assert_eq!(consensus(&[vec![None; 2], vec![None; 2]]).votes, [None; 2]);
        assert_eq!(stability(&[all(&[0, 0]), all(&[3, 3])]), None, "one cluster each is no evidence");
        assert_eq!(stability(&[all(&[0, 0, 1, 1]), all(&[0; 4])]).unwrap().mean, 0.0);
        assert_eq!(Spread::of(&[1.0, 3.0]), Some(Spread { mean: 2.0, sd: 2.0_f64.sqrt() }));
    }

    proptest! {
        #[test]
        fn renaming_changes_nothing(
            fits in (1_usize..15).prop_flat_map(|neurons| {
                let label = prop_oneof![1 => Just(None), 5 => (0_usize..4).prop_map(Some)];
                proptest::collection::vec(proptest::collection::vec(label, neurons), 1..5)
            }),
        ) {
            let found = consensus(&fits);
            let renamed = |fit: &Labels| fit.iter().map(|label| label.map(|label| 3 * label + 100)).collect();
            let moved: Vec<Labels> = fits.iter().map(renamed).collect();
            prop_assert_eq!(&found, &consensus(&moved));
            for (fit, aligned) in fits.iter().zip(&found.aligned) {
                prop_assert_eq!(fit.iter().flatten().count(), aligned.iter().flatten().count());
                prop_assert_eq!(similarity(fit, aligned), 1.0);
            }
        }
    }
}
