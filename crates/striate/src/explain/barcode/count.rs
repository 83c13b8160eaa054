//! How many types there are.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::barcodes::Barcodes;
use super::consensus::Spread;
use super::mixture::mixture;
use crate::error::Result;

/// The rule of [`Count`] in words.
pub const CRITERION: &str = "gain(k) = (BIC(1) - BIC(k)) / 2n of a Gaussian mixture, in nats per neuron; gap(k) = gain(k) - mean \
    gain(k) of shuffled barcodes; the number of types is the smallest k whose gap is within one standard error of the \
    largest gap, and 1 unless the largest gap is above that of every shuffled draw against the others";

/// Evidence for 1, 2, … types beside the same on shuffled barcodes.
///
/// A mixture of Gaussians splits whatever is not Gaussian: weights that cannot be negative, or that a penalty has set to
/// 0, make clusters even where there are no types, so the least BIC is no evidence of types. Shuffled barcodes have the
/// same weights in every channel and no types. What counts is how much more there is to gain than in them: the gap
/// statistic (Tibshirani, Walther & Hastie 2001) with BIC in place of the spread within clusters,
///
/// ```text
/// gain(k) = (BIC(1) − BIC(k)) / 2n          nats per neuron, n the number of neurons with a barcode
/// gap(k)  = gain(k) − mean gain(k) of shuffled barcodes
/// ```
///
/// The number of types is the smallest k whose gap is within one standard error of the largest. The largest itself has
/// to be above that of every shuffled draw, measured against the other draws; otherwise there is one type.
///
/// Channels that vary together without types are above the null as well, since shuffling takes that away: the gap then
/// grows up to the largest number tried, and resamples of the neurons disagree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// The number that the gaps speak for.
    pub found: usize,
    /// BIC of the mixture of 1, 2, … clusters.
    pub bic: Vec<f64>,
    /// Gain of 1, 2, … clusters.
    pub gain: Vec<f64>,
    /// Its mean over shuffled draws.
    pub null_gain: Vec<f64>,
    /// Standard error of the gap: s.d. over draws · √(1 + 1/draws).
    pub gap_error: Vec<f64>,
    /// The largest gap of a shuffled draw against the others.
    pub null_gap: f64,
}

impl Count {
    /// Compares `barcodes` with `nulls`, at least two shuffled draws of them, in 1 to `most` clusters, or as many as
    /// all have different barcodes.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) when `most` is 0.
    pub fn of(barcodes: &Barcodes, nulls: &[Barcodes], most: usize, seed: u64) -> Result<Self> {
        let distinct = nulls.iter().chain([barcodes]).map(Barcodes::distinct).min().unwrap_or(0);
        let most = most.min(distinct.max(1));
        let bic = bics(barcodes, most, seed)?;
        let draws: Vec<Vec<f64>> = nulls
            .par_iter()
            .map(|null| Ok(gains(&bics(null, most, seed)?, null.len())))
            .collect::<Result<_>>()?;
        Ok(Self::from_gains(gains(&bic, barcodes.len()), bic, &draws))
    }

    fn from_gains(gain: Vec<f64>, bic: Vec<f64>, draws: &[Vec<f64>]) -> Self {
        let all: Vec<&[f64]> = draws.iter().map(Vec::as_slice).collect();
        let against_others = |own: usize| {
            let others: Vec<&[f64]> = (0..all.len()).filter(|&d| d != own).map(|d| all[d]).collect();
            largest(&gaps(all[own], &means(&others))).1
        };
        let null_gap = (0..all.len()).map(against_others).fold(0.0, f64::max);
        let null_gain = means(&all);
        let gap_error = errors(&all);
        let found = choose(&gaps(&gain, &null_gain), &gap_error, null_gap);
        Self { found, bic, gain, null_gain, gap_error, null_gap }
    }

    /// Gap of 1, 2, … clusters.
    pub fn gap(&self) -> Vec<f64> {
        gaps(&self.gain, &self.null_gain)
    }
}

fn bics(barcodes: &Barcodes, most: usize, seed: u64) -> Result<Vec<f64>> {
    let bic = |clusters| Ok(mixture(barcodes, clusters, seed)?.bic());
    // With no cluster there is nothing to gain over.
    (1..=most.max(1)).into_par_iter().map(bic).collect()
}

fn gains(bic: &[f64], neurons: usize) -> Vec<f64> {
    bic.iter().map(|k| (bic[0] - k) / (2.0 * neurons as f64)).collect()
}

fn gaps(gain: &[f64], null: &[f64]) -> Vec<f64> {
    gain.iter().zip(null).map(|(gain, null)| gain - null).collect()
}

/// Numbers of all draws at each number of clusters.
fn spreads(draws: &[&[f64]]) -> Vec<Spread> {
    let at = |k: usize| draws.iter().map(|draw| draw[k]).collect::<Vec<f64>>();
    (0..draws.first().map_or(0, |draw| draw.len())).filter_map(|k| Spread::of(&at(k))).collect()
}

fn means(draws: &[&[f64]]) -> Vec<f64> {
    spreads(draws).into_iter().map(|spread| spread.mean).collect()
}

fn errors(draws: &[&[f64]]) -> Vec<f64> {
    let widened = (1.0 + 1.0 / draws.len() as f64).sqrt();
    spreads(draws).into_iter().map(|spread| spread.sd * widened).collect()
}

/// Place and value of the first of the largest.
fn largest(gaps: &[f64]) -> (usize, f64) {
    let first = (0, f64::NEG_INFINITY);
    let higher = |best: (usize, f64), (k, &gap): (usize, &f64)| if gap > best.1 { (k, gap) } else { best };
    gaps.iter().enumerate().fold(first, higher)
}

fn choose(gaps: &[f64], errors: &[f64], null_gap: f64) -> usize {
    let (at, gap) = largest(gaps);
    if gap <= null_gap {
        return 1;
    }
    1 + gaps.iter().position(|other| *other >= gap - errors[at]).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::super::barcodes::{Norm, normalise};
    use super::super::planted::Planted;
    use super::*;
    use crate::random::generator;
    use rand_distr::{Distribution, StandardNormal};

    fn count(barcodes: &Barcodes, most: usize) -> Count {
        let nulls: Vec<Barcodes> = (0..4).map(|seed| barcodes.shuffled(seed)).collect();
        Count::of(barcodes, &nulls, most, 0).unwrap()
    }

    /// `neurons` barcodes of `channels` weights, each a function of a standard normal and its channel.
    fn drawn(neurons: usize, channels: usize, weight: impl Fn(f64, usize) -> f64) -> Barcodes {
        let mut rng = generator(8, 0);
        let values: Vec<f32> = (0..neurons * channels)
            .map(|i| weight(StandardNormal.sample(&mut rng), i % channels) as f32)
            .collect();
        normalise(&values, channels, Norm::L2).unwrap()
    }

    #[test]
    fn planted_types_are_counted() {
        for (types, channels) in [(2, 2), (4, 4), (4, 8)] {
            let planted = Planted { types, per_type: 30, channels, jitter: 0.15 };
            let found = count(&planted.barcodes(3).0, types + 2);
            assert_eq!(found.found, types, "{found:?}");
            assert!(found.gap()[types - 1] > 0.5, "{found:?}");
        }
    }

    #[test]
    fn rectified_weights_of_one_type_are_one_type() {
        let profile = [0.0, 0.3, 0.0, 0.8, 0.02, 0.0, 0.4, 0.05];
        let found = count(&drawn(120, 8, |z, c| (profile[c] - 0.05 + 0.1 * z).max(0.0)), 4);
        let least = largest(&found.bic.iter().map(|bic| -bic).collect::<Vec<_>>()).0;
        assert!(least > 0, "BIC alone splits them: {found:?}");
        assert_eq!(found.found, 1, "{found:?}");
    }

    #[test]
    fn weights_that_vary_without_types_are_one_type() {
        let normal = count(&drawn(120, 4, |z, _| z), 4);
        assert_eq!(normal.found, 1, "{normal:?}");
        // Independent magnitudes share their length, and nothing else.
        let positive = count(&drawn(120, 4, |z, _| z.abs()), 4);
        assert_eq!(positive.found, 1, "{positive:?}");
    }

    #[test]
    fn identical_barcodes_are_one_type() {
        let found = count(&normalise(&[1.0, 2.0].repeat(20), 2, Norm::L2).unwrap(), 5);
        assert_eq!((found.found, found.gain), (1, vec![0.0]));
    }

    #[test]
    fn the_smallest_number_within_an_error_of_the_largest_gap_is_chosen() {
        let errors = [0.0, 0.1, 0.3, 0.1];
        assert_eq!(choose(&[0.0, 0.9, 1.1, 1.0], &errors, 0.5), 2);
        assert_eq!(choose(&[0.0, 0.7, 1.1, 1.0], &errors, 0.5), 3);
        assert_eq!(choose(&[0.0, 0.9, 1.1, 1.0], &errors, 1.1), 1, "no more than by chance");
        assert_eq!(choose(&[0.0, -1.0], &errors, 0.0), 1);
    }

    #[test]
    fn a_draw_is_judged_against_the_others() {
        let count = Count::from_gains(
            vec![0.0, 3.0],
            vec![9.0, 8.0],
            &[vec![0.0, 1.0], vec![0.0, 2.0], vec![0.0, 1.5]],
        );
        assert_eq!((count.null_gain[1], count.null_gap, count.found), (1.5, 0.75, 2));
        assert!((count.gap_error[1] - 0.5 * (4.0_f64 / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn threads_change_nothing() {
        let (barcodes, _) = Planted { types: 3, per_type: 15, channels: 4, jitter: 0.3 }.barcodes(5);
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(count(&barcodes, 3), alone.install(|| count(&barcodes, 3)));
    }
}
