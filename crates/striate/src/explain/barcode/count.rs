//! How many types there are, or that there are none.

use ndarray::{Array2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::barcodes::Barcodes;
use super::consensus::{Labels, Spread};
use super::embed::principal_components;
use super::valleys::valleys;
use crate::random::{generator, permutation};

/// The rule of [`Count`] in words.
pub const CRITERION: &str = "types are groups of barcodes with valleys between them: pieces of k-means are joined until fewer \
    neurons lie between each group and its neighbours than at its core (odds of 3/5, chance 2 %); groups of resamples of nine \
    tenths of the neurons are joined where more than 30 % of the resamples put their pairs together; a single group is one type \
    when its barcodes point one way (mean direction 0.7 or longer) and vary along no direction by more than 10 degrees beyond \
    shuffled barcodes, and else a continuum";

/// Share of the neurons in a resample.
const RESAMPLE: f64 = 0.9;
/// Share of resamples that put pairs of two groups together from which the groups are one.
const TOGETHER: f64 = 0.3;
/// Neurons below which a group is no type.
const LEAST: f64 = 8.0;
/// Length of the mean of barcodes of length 1, below which they do not point one way.
const ONE_WAY: f64 = 0.7;
/// Standard deviation along one direction, beyond that of shuffled barcodes, above which one group is a continuum.
const CONTINUUM_DEG: f64 = 10.0;

/// What the barcodes speak for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Several groups with valleys between them.
    Types(usize),
    /// All barcodes point the same way but for independent noise.
    OneType,
    /// Barcodes differ, and no valley parts them: there are no types.
    Continuum,
}

impl Answer {
    /// Number of groups: 1 for one type and for a continuum.
    pub fn groups(self) -> usize {
        if let Self::Types(types) = self { types } else { 1 }
    }

    /// In words: `4 types`, `one type`, `a continuum, no types`.
    pub fn words(self) -> String {
        match self {
            Self::Types(types) => format!("{types} types"),
            Self::OneType => "one type".into(),
            Self::Continuum => "a continuum, no types".into(),
        }
    }
}

/// How many types the barcodes speak for, beside the same on shuffled barcodes.
///
/// Likelihoods and spreads within clusters go on improving with every cluster where types are not Gaussian, and so does
/// their distance from a null. So no curve over the number of clusters is asked, but whether there are neurons between
/// groups (`valleys.rs`), in resamples without replacement of nine tenths of the neurons. A continuum is cut at
/// another place in each, types at the same: of the groups of the resample that has most, those are joined whose pairs of
/// neurons are together in more than 30 % of the resamples (consensus clustering, Monti et al. 2003, with average linkage).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// What the barcodes speak for.
    pub answer: Answer,
    /// Number of groups in each resample.
    pub resamples: Vec<usize>,
    /// Number of groups in each shuffled draw. It need not be 1: what is on or off in each channel combines to groups.
    pub null: Vec<usize>,
    /// Length of the mean barcode as a share of the usual length of a barcode, 0–1.
    pub one_way: f64,
    /// Standard deviation along the direction of most variance, as an angle from the mean barcode.
    pub spread_deg: f64,
    /// The same when each channel of the barcodes, of length 1, is shuffled, once per draw.
    pub null_spread_deg: Vec<f64>,
}

impl Count {
    /// Looks for groups in `resamples` samples of `barcodes` and in `nulls`, shuffled draws of them. Pieces are twice `most`,
    /// the largest number of types that can be told.
    pub fn of(barcodes: &Barcodes, nulls: &[Barcodes], most: usize, resamples: usize, seed: u64) -> Self {
        let labels: Vec<Labels> = (0..resamples as u64)
            .into_par_iter()
            .map(|draw| resample(barcodes, 2 * most, seed, draw))
            .collect();
        let null = nulls.par_iter().map(|null| number(&resample(null, 2 * most, seed, 0))).collect();
        let spread = Direction::of(barcodes);
        let apart = |draw| Direction::of(&barcodes.independent(seed.wrapping_add(draw)));
        let null_spreads: Vec<Direction> = (0..nulls.len() as u64).into_par_iter().map(apart).collect();
        let answer = match agreed(&labels).min(most.max(1)) {
            0 | 1 if spread.is_one(&null_spreads) => Answer::OneType,
            0 | 1 => Answer::Continuum,
            types => Answer::Types(types),
        };
        Self {
            answer,
            resamples: labels.iter().map(number).collect(),
            null,
            one_way: spread.one_way,
            spread_deg: spread.degrees(),
            null_spread_deg: null_spreads.iter().map(Direction::degrees).collect(),
        }
    }

    /// Mean and s.d. of the number of groups over resamples.
    pub fn over_resamples(&self) -> Option<Spread> {
        of_numbers(&self.resamples)
    }

    /// Mean and s.d. of the number of groups over shuffled draws.
    pub fn over_null(&self) -> Option<Spread> {
        of_numbers(&self.null)
    }
}

fn of_numbers(numbers: &[usize]) -> Option<Spread> {
    Spread::of(&numbers.iter().map(|&n| n as f64).collect::<Vec<f64>>())
}

/// Groups `[neuron with a barcode]` in a sample; `None` outside it.
fn resample(barcodes: &Barcodes, pieces: usize, seed: u64, draw: u64) -> Labels {
    let mut drawn = permutation(&mut generator(seed, draw), barcodes.len());
    drawn.truncate((RESAMPLE * barcodes.len() as f64).round() as usize);
    let values = barcodes.matrix().select(Axis(0), &drawn);
    let found = valleys(values.view(), pieces, seed.wrapping_add(draw));
    let mut labels = vec![None; barcodes.len()];
    drawn.iter().zip(found).for_each(|(&neuron, group)| labels[neuron] = group);
    labels
}

fn number(labels: &Labels) -> usize {
    labels.iter().flatten().max().map_or(0, |most| most + 1)
}

/// Number of groups on which the resamples agree.
fn agreed(labels: &[Labels]) -> usize {
    let Some(finest) = labels.iter().rev().max_by_key(|labels| number(labels)) else { return 0 };
    let mut sizes: Vec<f64> = shared(finest, finest).diag().to_vec();
    let (mut together, mut pairs) =
        (Array2::<f64>::zeros((sizes.len(), sizes.len())), Array2::zeros((sizes.len(), sizes.len())));
    for other in labels {
        let counts = shared(finest, other);
        let known = counts.sum_axis(Axis(1)).insert_axis(Axis(1));
        together += &counts.dot(&counts.t());
        pairs += &known.dot(&known.t());
    }
    while let Some((a, b)) = most_together(&together, &pairs) {
        sizes[a] += sizes.remove(b);
        together = joined(&together, a, b);
        pairs = joined(&pairs, a, b);
    }
    sizes.iter().filter(|&&size| size >= LEAST).count()
}

/// Neurons in a group of one and a group of the other labelling, `[group, other group]`.
fn shared(one: &Labels, other: &Labels) -> Array2<f64> {
    let mut counts = Array2::zeros((number(one), number(other)));
    one.iter().zip(other).filter_map(|(a, b)| a.zip(*b)).for_each(|at| counts[at] += 1.0);
    counts
}

/// The pair of groups that is together most often, if that is often enough.
fn most_together(together: &Array2<f64>, pairs: &Array2<f64>) -> Option<(usize, usize)> {
    let share = |&(a, b): &(usize, usize)| together[[a, b]] / pairs[[a, b]].max(1.0);
    let all = (0..together.nrows()).flat_map(|b| (0..b).map(move |a| (a, b)));
    let best = all.max_by(|a, b| share(a).total_cmp(&share(b)))?;
    (share(&best) > TOGETHER).then_some(best)
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

/// How far barcodes point one way.
struct Direction {
    one_way: f64,
    /// Variance along the direction of most, in units of the squared length of the mean barcode.
    variance: f64,
}

impl Direction {
    fn of(barcodes: &Barcodes) -> Self {
        let values = barcodes.matrix();
        let neurons = values.nrows() as f64;
        let mean = values.sum_axis(Axis(0)) / neurons;
        let square = mean.dot(&mean).max(1e-12);
        let usual = values.iter().map(|w| w * w).sum::<f64>() / neurons;
        let total = barcodes.variance() * barcodes.channels() as f64;
        let variance = principal_components(barcodes).share[0] * total / square;
        Self { one_way: (square / usual).sqrt(), variance }
    }

    fn degrees(&self) -> f64 {
        self.variance.sqrt().atan().to_degrees()
    }

    fn is_one(&self, nulls: &[Self]) -> bool {
        let null = nulls.iter().map(|null| null.variance).sum::<f64>() / nulls.len().max(1) as f64;
        let beyond = (self.variance - null).max(0.0).sqrt().atan().to_degrees();
        self.one_way >= ONE_WAY && beyond <= CONTINUUM_DEG
    }
}

#[cfg(test)]
mod tests {
    use super::super::barcodes::{Norm, normalise};
    use super::super::planted::Planted;
    use super::*;

    fn all(labels: &[usize]) -> Labels {
        labels.iter().copied().map(Some).collect()
    }

    #[test]
    fn identical_barcodes_are_one_type() {
        let barcodes = normalise(&[1.0, 2.0].repeat(20), 2, Norm::L2).unwrap();
        let found = Count::of(&barcodes, &[barcodes.shuffled(1)], 5, 3, 0);
        assert_eq!((found.answer, found.resamples), (Answer::OneType, vec![1; 3]));
    }

    #[test]
    fn groups_that_resamples_cut_elsewhere_are_one() {
        let (third, half) = ([[0; 10], [1; 10], [2; 10]].concat(), [[0; 15], [1; 15]].concat());
        assert_eq!(agreed(&[all(&third), all(&third), all(&half)]), 3);
        assert_eq!(agreed(&[all(&third), all(&half), all(&[0; 30]), all(&[0; 30])]), 1);
        assert_eq!(agreed(&[all(&[[0; 25].as_slice(), &[1; 5]].concat())]), 1, "five neurons are no type");
        assert_eq!(agreed(&[]), 0);
    }

    #[test]
    fn threads_change_nothing() {
        let (barcodes, _) = Planted { types: 3, per_type: 40, channels: 4, jitter: 0.3 }.barcodes(5);
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let count = || Count::of(&barcodes, &[barcodes.shuffled(1)], 5, 3, 0);
        assert_eq!(count(), alone.install(count));
    }

    #[test]
    fn the_answer_is_written_in_words_that_are_read_back() {
        for (answer, json) in [
            (Answer::Types(4), r#"{"types":4}"#),
            (Answer::OneType, r#""one_type""#),
            (Answer::Continuum, r#""continuum""#),
        ] {
            assert_eq!(serde_json::to_string(&answer).unwrap(), json);
            assert_eq!(serde_json::from_str::<Answer>(json).unwrap(), answer);
        }
    }
}
