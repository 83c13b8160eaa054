//! Groups on which resamples of the neurons agree, and which neuron is of which.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use super::barcodes::Barcodes;
use super::consensus::{Labels, Vote};
use super::labels::{by_size, largest};
use super::valleys::{nearest, squared_distances, valleys};
use crate::random::{Draws, permutation};

/// Share of the neurons in a resample.
const RESAMPLE: f64 = 0.9;
/// Share of resamples that put pairs of two groups together from which the groups are one.
const TOGETHER: f64 = 0.3;
/// Neurons below which a group is no type.
const LEAST: f64 = 8.0;
/// Steps in which neurons that are like no other find the nearest group.
const MOST_STEPS: usize = 20;

/// Groups of neurons with valleys between them (`valleys.rs`), in resamples without replacement of nine tenths of the
/// neurons, and those on which the resamples agree.
///
/// A continuum is cut at another place in each resample, types at the same: of the groups of the resample that has most, those
/// are joined whose pairs of neurons are together in more than 30 % of the resamples (consensus clustering, Monti et al.
/// 2003, with average linkage). What is left are the types, if there are several, and each neuron is of the one with whose
/// neurons resamples put it most.
pub(super) struct Groups {
    resamples: Vec<Resample>,
    /// Group of the neurons of the resample that has most, on which all agree.
    agreed: Labels,
}

/// Groups in some of the neurons.
pub(super) struct Resample {
    drawn: Vec<usize>,
    /// `[neuron with a barcode]`; `None` where it was not drawn, or is like no other.
    pub labels: Labels,
}

impl Resample {
    /// Joins `pieces` of nine tenths of the barcodes, down to `until` groups where they are given.
    pub fn of(barcodes: &Barcodes, pieces: usize, until: Option<usize>, seed: u64, draw: u64) -> Self {
        let mut drawn = permutation(&mut Draws::Part(draw).generator(seed), barcodes.len());
        drawn.truncate((RESAMPLE * barcodes.len() as f64).round() as usize);
        let values = barcodes.matrix().select(Axis(0), &drawn);
        let found = valleys(values.view(), pieces, until, seed.wrapping_add(draw));
        let mut labels = vec![None; barcodes.len()];
        drawn.iter().zip(found).for_each(|(&neuron, group)| labels[neuron] = group);
        Self { drawn, labels }
    }

    /// Number of groups.
    pub fn number(&self) -> usize {
        number(&self.labels)
    }
}

impl Groups {
    /// Joins twice `most` pieces, the largest number of groups that can be told, in so many `resamples`.
    pub fn of(barcodes: &Barcodes, most: usize, resamples: usize, seed: u64) -> Self {
        let resample = |draw| Resample::of(barcodes, 2 * most, None, seed, draw);
        let resamples: Vec<Resample> = (0..resamples as u64).into_par_iter().map(resample).collect();
        let labels: Vec<&Labels> = resamples.iter().map(|resample| &resample.labels).collect();
        let agreed = agreed(&labels, most);
        Self { resamples, agreed }
    }

    /// Number of groups on which the resamples agree; 0 where none has enough neurons to be a type.
    pub fn number(&self) -> usize {
        number(&self.agreed)
    }

    /// Groups of each resample.
    pub fn resamples(&self) -> impl Iterator<Item = &Resample> {
        self.resamples.iter()
    }

    /// The group of each neuron with a barcode, named by falling size, and how far the resamples that drew it say so. A resample
    /// that puts it together with several groups says each in part. What is like no other neuron in all of them
    /// gets the group with the nearest mean, and an agreement of 0.
    pub fn votes(&self, barcodes: &Barcodes) -> Vec<Vote> {
        if self.number() < 2 {
            return vec![Vote { label: 0, agreement: 1.0 }; barcodes.len()];
        }
        let shares = self.shares();
        let said: Labels =
            shares.rows().into_iter().map(|row| (row.sum() > 0.0).then(|| largest(row))).collect();
        let labels = completed(said, self.number(), barcodes.matrix());
        let names = by_size(labels.iter().copied());
        let vote = |(neuron, label)| Vote { label: names[&label], agreement: shares[[neuron, label]] };
        labels.into_iter().enumerate().map(vote).collect()
    }

    /// Share of the resamples that put each neuron in each group, `[neuron with a barcode, group]`.
    fn shares(&self) -> Array2<f64> {
        let sizes = shared(&self.agreed, &self.agreed).into_diag();
        let mut said = Array2::zeros((self.agreed.len(), sizes.len()));
        let mut drawn = Array2::zeros((self.agreed.len(), 1));
        for resample in &self.resamples {
            // Of each agreed group the share that a group holds, as a share of all that it holds.
            let held = shared(&resample.labels, &self.agreed) / &sizes;
            let all = held.sum_axis(Axis(1)).mapv(|sum| sum.max(f64::MIN_POSITIVE));
            let held = held / all.insert_axis(Axis(1));
            resample.drawn.iter().for_each(|&neuron| drawn[[neuron, 0]] += 1.0);
            for (mut row, label) in said.rows_mut().into_iter().zip(&resample.labels) {
                label.iter().for_each(|&group| row += &held.row(group));
            }
        }
        said / drawn.mapv(|drawn: f64| drawn.max(1.0))
    }
}

/// Labels of all neurons: those without one go to the nearest mean, until none changes.
fn completed(said: Labels, groups: usize, values: ArrayView2<'_, f64>) -> Vec<usize> {
    let mut labels = said.clone();
    for _ in 0..MOST_STEPS {
        let nearest = nearest(&squared_distances(values, &means(&labels, groups, values)));
        let next: Labels = said.iter().zip(nearest).map(|(of, nearest)| of.or(Some(nearest))).collect();
        if next == labels {
            break;
        }
        labels = next;
    }
    labels.into_iter().map(Option::unwrap_or_default).collect()
}

/// Mean barcode of each group, `[group, channel]`.
fn means(labels: &Labels, groups: usize, values: ArrayView2<'_, f64>) -> Array2<f64> {
    let members = Array2::from_shape_fn((labels.len(), groups), |(neuron, group)| {
        f64::from(u8::from(labels[neuron] == Some(group)))
    });
    members.t().dot(&values) / members.sum_axis(Axis(0)).mapv(|size| size.max(1.0)).insert_axis(Axis(1))
}

pub(super) fn number(labels: &Labels) -> usize {
    labels.iter().flatten().max().map_or(0, |most| most + 1)
}

/// The groups on which clusterings agree, `most` of them or fewer, for the neurons of the clustering that has most.
fn agreed(fits: &[&Labels], most: usize) -> Labels {
    let Some(finest) = fits.iter().rev().max_by_key(|labels| number(labels)) else { return Labels::new() };
    let sizes = shared(finest, finest).into_diag();
    let mut groups: Vec<Vec<usize>> = (0..sizes.len()).map(|group| vec![group]).collect();
    let is_type = |group: &Vec<usize>| group.iter().map(|&of| sizes[of]).sum::<f64>() >= LEAST;
    let (mut together, mut pairs) = counted(fits, finest);
    while let Some((a, b, share)) = most_together(&together, &pairs) {
        if share <= TOGETHER && groups.iter().filter(|group| is_type(group)).count() <= most.max(1) {
            break;
        }
        let gone = groups.remove(b);
        groups[a].extend(gone);
        (together, pairs) = (joined(&together, a, b), joined(&pairs, a, b));
    }
    groups.retain(is_type);
    let name = |group| groups.iter().position(|of| of.contains(&group));
    finest.iter().map(|group| group.and_then(name)).collect()
}

/// Pairs of neurons of each two groups of `finest` that clusterings put together, and all that they know.
fn counted(fits: &[&Labels], finest: &Labels) -> (Array2<f64>, Array2<f64>) {
    let groups = number(finest);
    let (mut together, mut pairs) = (Array2::zeros((groups, groups)), Array2::zeros((groups, groups)));
    for other in fits {
        let counts = shared(finest, other);
        let known = counts.sum_axis(Axis(1)).insert_axis(Axis(1));
        together += &counts.dot(&counts.t());
        pairs += &known.dot(&known.t());
    }
    (together, pairs)
}

/// Neurons in a group of one and a group of the other labelling, `[group, other group]`.
fn shared(one: &Labels, other: &Labels) -> Array2<f64> {
    let mut counts = Array2::zeros((number(one), number(other)));
    one.iter().zip(other).filter_map(|(a, b)| a.zip(*b)).for_each(|at| counts[at] += 1.0);
    counts
}

/// The pair of groups, a < b, that is together most often, and how often.
fn most_together(together: &Array2<f64>, pairs: &Array2<f64>) -> Option<(usize, usize, f64)> {
    let share = |(a, b)| (a, b, together[[a, b]] / f64::max(pairs[[a, b]], 1.0));
    let all = (0..together.nrows()).flat_map(|b| (0..b).map(move |a| (a, b)));
    all.map(share).max_by(|a, b| a.2.total_cmp(&b.2))
}

/// Rows and columns `a` and `b` added, a < b.
fn joined(matrix: &Array2<f64>, a: usize, b: usize) -> Array2<f64> {
    let kept: Vec<usize> = (0..matrix.nrows()).filter(|&row| row != b).collect();
    let mut sum = matrix.clone();
    let row = &matrix.row(a) + &matrix.row(b);
    sum.row_mut(a).assign(&row);
    let column = &sum.column(a) + &sum.column(b);
    sum.column_mut(a).assign(&column);
    sum.select(Axis(0), &kept).select(Axis(1), &kept)
}

#[cfg(test)]
mod tests {
    use super::super::barcodes::{Norm, normalise};
    use super::super::planted::Planted;
    use super::super::{adjusted_rand_index, similarity};
    use super::*;

    fn all(labels: &[usize]) -> Labels {
        labels.iter().copied().map(Some).collect()
    }

    fn groups(fits: &[Labels], most: usize) -> Groups {
        let agreed = agreed(&fits.iter().collect::<Vec<_>>(), most);
        let drawn = || (0..agreed.len()).collect();
        let resamples =
            fits.iter().map(|labels| Resample { drawn: drawn(), labels: labels.clone() }).collect();
        Groups { resamples, agreed }
    }

    #[test]
    fn groups_that_resamples_cut_elsewhere_are_one() {
        let (third, half) = ([[0; 10], [1; 10], [2; 10]].concat(), [[0; 15], [1; 15]].concat());
        let found = |fits: &[Labels]| groups(fits, 9).number();
        let thirds = [all(&third), all(&third), all(&half)];
        assert_eq!(groups(&thirds, 9).agreed, all(&third));
        assert_eq!(found(&[all(&third), all(&half), all(&[0; 30]), all(&[0; 30])]), 1);
        assert_eq!(found(&[all(&[[0; 25].as_slice(), &[1; 5]].concat())]), 1, "five neurons are no type");
        assert_eq!(found(&[]), 0);
        assert_eq!([2, 1].map(|most| groups(&thirds, most).number()), [2, 1], "no more than can be told");
    }

    /// The same groups give number and labels: a search for as many clusters would find others.
    #[test]
    fn labels_are_the_groups_that_were_counted() {
        let (barcodes, truth) = Planted { types: 4, per_type: 40, channels: 6, jitter: 0.2 }.barcodes(5);
        let found = Groups::of(&barcodes, 20, 5, 1);
        let votes = found.votes(&barcodes);
        let labels: Vec<usize> = votes.iter().map(|vote| vote.label).collect();
        assert_eq!((found.number(), labels.iter().max()), (4, Some(&3)));
        assert!(adjusted_rand_index(&labels, &truth) > 0.98);
        assert!(votes.iter().all(|vote| (0.0..=1.0).contains(&vote.agreement)));
        let said: Labels = votes.iter().map(|vote| (vote.agreement > 0.5).then_some(vote.label)).collect();
        assert!(found.resamples().all(|resample| similarity(&resample.labels, &said) > 0.98));
    }

    #[test]
    fn a_resample_that_joins_two_groups_says_each_in_part() {
        let parted = [[0; 10], [1; 10]].concat();
        let found = groups(&[all(&parted), all(&parted), all(&parted), all(&[0; 20])], 9);
        let barcodes = normalise(&[1.0; 20], 1, Norm::L2).unwrap();
        let votes = found.votes(&barcodes);
        assert_eq!(votes[0], Vote { label: 0, agreement: 3.5 / 4.0 });
        assert_eq!(votes[19], Vote { label: 1, agreement: 3.5 / 4.0 });
    }

    #[test]
    fn a_neuron_like_no_other_gets_the_nearest_group_and_no_agreement() {
        let labels: Labels = [vec![Some(0); 10], vec![Some(1); 10], vec![None]].concat();
        let weights = [[1.0, 0.0].repeat(10), [0.0, 1.0].repeat(10), vec![1.0, 2.0]].concat();
        let barcodes = normalise(&weights, 2, Norm::L2).unwrap();
        let votes = groups(&[labels.clone(), labels], 9).votes(&barcodes);
        assert_eq!(votes[20], Vote { label: 0, agreement: 0.0 }, "then the largest");
        assert_eq!(votes[0], Vote { label: 1, agreement: 1.0 });
    }
}
