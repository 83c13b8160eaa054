//! How many types there are, or that there are none.

use ndarray::Axis;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::barcodes::Barcodes;
use super::consensus::Spread;
use super::embed::principal_components;
use super::groups::{Groups, Resample};

/// The rule of [`Count`] in words.
pub const CRITERION: &str = "types are groups of barcodes with valleys between them: pieces of k-means are joined until fewer \
    neurons lie between each group and its neighbours than at its core (odds of 3/5, chance 2 %); groups of resamples of nine \
    tenths of the neurons are joined where more than 30 % of the resamples put their pairs together; a single group is one type \
    when its barcodes point one way (mean direction 0.7 or longer) and vary along no direction by more than 10 degrees beyond \
    shuffled barcodes, and else a continuum";

/// Length of the mean of barcodes of length 1, below which they do not point one way.
const ONE_WAY: f64 = 0.7;
/// Standard deviation along one direction, beyond that of shuffled barcodes, above which one group is a continuum.
const CONTINUUM_DEG: f64 = 10.0;

/// Neurons below which resamples are no evidence.
const FEW: usize = 20;

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
    /// There is one channel, or copies were joined to one: all that it tells is whether it is read.
    OneFeature,
    /// There are too few neurons to tell.
    FewNeurons,
}

impl Answer {
    /// Whether no neuron is given a type.
    pub fn has_no_types(self) -> bool {
        self == Self::Continuum || self.is_untold()
    }

    /// Whether the barcodes cannot tell how many types there are.
    pub fn is_untold(self) -> bool {
        matches!(self, Self::OneFeature | Self::FewNeurons)
    }

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
            Self::OneFeature => "a number of types that cannot be told: one feature".into(),
            Self::FewNeurons => format!("a number of types that cannot be told: fewer than {FEW} neurons"),
        }
    }
}

/// How many types the barcodes speak for, beside the same on shuffled barcodes.
///
/// Likelihoods and spreads within clusters go on improving with every cluster where types are not Gaussian, and so does
/// their distance from a null. So no curve over the number of clusters is asked, but whether there are neurons between
/// groups, in resamples of the neurons that have to agree (`groups.rs`).
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
    /// What the `groups` of `barcodes` speak for, beside those in `nulls`, shuffled draws of them.
    pub(super) fn of(
        barcodes: &Barcodes,
        nulls: &[Barcodes],
        groups: &Groups,
        most: usize,
        seed: u64,
    ) -> Self {
        let null =
            nulls.par_iter().map(|null| Resample::of(null, 2 * most, None, seed, 0).number()).collect();
        let spread = Direction::of(barcodes);
        let apart = |draw| Direction::of(&barcodes.independent(seed.wrapping_add(draw)));
        let null_spreads: Vec<Direction> = (0..nulls.len() as u64).into_par_iter().map(apart).collect();
        let answer = match groups.number() {
            _ if barcodes.channels() == 1 => Answer::OneFeature,
            _ if barcodes.len() < FEW => Answer::FewNeurons,
            0 | 1 if spread.is_one(&null_spreads) => Answer::OneType,
            0 | 1 => Answer::Continuum,
            types => Answer::Types(types),
        };
        Self {
            answer,
            resamples: groups.resamples().map(Resample::number).collect(),
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

    fn count(barcodes: &Barcodes) -> Count {
        Count::of(barcodes, &[barcodes.shuffled(1)], &Groups::of(barcodes, 5, 3, 0), 5, 0)
    }

    #[test]
    fn identical_barcodes_are_one_type() {
        let barcodes = normalise(&[1.0, 2.0].repeat(20), 2, Norm::L2).unwrap();
        let found = count(&barcodes);
        assert_eq!((found.answer, found.resamples), (Answer::OneType, vec![1; 3]));
    }

    #[test]
    fn threads_change_nothing() {
        let (barcodes, _) = Planted { types: 3, per_type: 40, channels: 4, jitter: 0.3 }.barcodes(5);
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(count(&barcodes), alone.install(|| count(&barcodes)));
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
