//! The types in one run.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::barcodes::{Barcodes, normalise};
use super::cluster::Method;
use super::consensus::{Labels, Spread, Vote, consensus, similarity, stability};
use super::copies::Copies;
use super::count::{Answer, Count};
use super::groups::{Groups, Resample};
use super::{Options, Run};
use crate::error::{Error, Result};
use crate::random::Draws;

/// The types of one run in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Name of the run.
    pub run: String,
    /// Number of neurons.
    pub neurons: usize,
    /// How many of them have no barcode, all weights being 0, and so no type.
    pub silent: usize,
    /// Number of channels.
    pub channels: usize,
    /// Channels that count as one, the most read first.
    pub copies: Vec<Vec<usize>>,
    /// Number of types.
    pub types: usize,
    /// Neurons of each type.
    pub sizes: Vec<usize>,
    /// How many of them are like no other, and have the type of the nearest group.
    #[serde(default)]
    pub unlike: usize,
    /// What the barcodes speak for.
    pub count: Count,
    /// Adjusted Rand index between resamples of the neurons, over the neurons that both place; `None` for a single type.
    pub stability: Option<Spread>,
    /// Adjusted Rand index with the true types, where they are known.
    pub ari_truth: Option<f64>,
    /// The same with barcodes that have no types.
    pub null: NullResult,
}

impl RunResult {
    /// What its neurons are given: so many types, one, or none.
    pub fn answer(&self) -> Answer {
        match (self.types, self.count.answer) {
            (1, Answer::Types(_)) => Answer::OneType,
            (1, answer) => answer,
            (types, _) => Answer::Types(types),
        }
    }

    /// Which channels count as one, e.g. `4 = 5, 7 = 1`; `None` when all count.
    pub fn equalities(&self) -> Option<String> {
        let several = self.copies.iter().filter(|group| group.len() > 1);
        let one = |group: &Vec<usize>| group.iter().map(usize::to_string).collect::<Vec<_>>().join(" = ");
        let all: Vec<String> = several.map(one).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// Whether the types are more stable than those of barcodes without types; `None` for a single type, and where
    /// either stability is unknown.
    ///
    /// They are when their stability is above the mean of shuffled barcodes and reaches a limit: that mean and one
    /// standard deviation over draws, or half the way from the mean to 1 where that is nearer, since near 1 there is
    /// little room for more. Those found again in nearly all resamples are, whatever the others: where neurons of one type read
    /// a channel and others do not, that channel forms groups when shuffled, too.
    pub fn is_stable(&self) -> Option<bool> {
        let (found, null) = (self.stability?.mean, self.null.stability?);
        (self.types > 1).then(|| found >= CERTAIN || is_above(found, null))
    }

    /// What to make of the types: of several how stable they are, and what the barcodes speak for where it is another
    /// number than was asked for.
    pub fn verdict(&self) -> Option<String> {
        let asked = self.types != self.count.answer.groups();
        match self.count.answer {
            answer if asked => Some(format!(
                "{} asked for, but the barcodes speak for {}: do not read these as types",
                counted(self.types),
                answer.words()
            )),
            answer if answer.is_untold() => Some(answer.words()),
            Answer::Continuum => Some("a continuum, no types: no valley parts the barcodes".into()),
            _ => self.beside_null(),
        }
    }

    /// [`RunResult::is_stable`] in words.
    fn beside_null(&self) -> Option<String> {
        let (found, null) = (self.stability?.mean, self.null.stability?);
        let shuffled = format!("shuffled barcodes (limit {:.2})", limit(null));
        self.is_stable().map(|stable| match stable {
            true if is_above(found, null) => format!("more stable than {shuffled}"),
            true => "found again in all resamples, as are groups of shuffled barcodes: single channels part the neurons".into(),
            false => format!("no more stable than {shuffled}: do not read these as types"),
        })
    }

    /// Says when joining copies left fewer channels than there are types, or only one.
    pub fn warning(&self) -> Option<String> {
        let (left, types) = (self.copies.len(), self.types);
        (left < self.channels && left < types.max(2)).then(|| {
            format!(
                "copies of channels were joined to {left}: types whose features are alike may be one \
                 here; `copies=1` leaves all {} channels as they are",
                self.channels
            )
        })
    }
}

fn counted(types: usize) -> String {
    if types == 1 { "1 type was".into() } else { format!("{types} types were") }
}

/// Stability of types that nearly all resamples find.
const CERTAIN: f64 = 0.95;

fn is_above(found: f64, null: Spread) -> bool {
    found > null.mean && found >= limit(null)
}

/// The stability that types must reach beside that of shuffled barcodes.
fn limit(null: Spread) -> f64 {
    null.mean + null.sd.min((1.0 - null.mean) / 2.0)
}

/// As many types in shuffled barcodes; means and spreads over draws.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NullResult {
    /// Adjusted Rand index between two resamples of a draw. It need not be near 0: what is on or off in each channel
    /// forms clusters, that are found again, even when channels combine by chance.
    pub stability: Option<Spread>,
    /// Adjusted Rand index with the types of the barcodes; about 0.
    pub ari_found: Option<Spread>,
    /// Adjusted Rand index with the true types; about 0.
    pub ari_truth: Option<Spread>,
}

/// A run with the types of its neurons.
pub(super) struct Analysis {
    pub barcodes: Barcodes,
    /// `[neuron]`; `None` without a barcode.
    pub votes: Vec<Option<Vote>>,
    pub result: RunResult,
}

/// What a draw is made for; together with the seed it decides its random numbers.
#[derive(Clone, Copy)]
enum Purpose {
    Shuffle,
    Resample,
    ResampleOfNull,
    Group,
}

fn derived(seed: u64, purpose: Purpose, draw: usize) -> u64 {
    rand::RngExt::random(&mut Draws::Seed(purpose as u64, draw as u64).generator(seed))
}

impl Analysis {
    pub fn of(run: &Run<'_>, options: &Options) -> Result<Self> {
        let copies = copies(run, options.copies);
        let barcodes = normalise(&copies.merged(run.features), copies.groups.len(), options.norm)?;
        if let Some(types) = options.types {
            barcodes.check(types)?;
        }
        let draws = 0..options.seeds;
        let nulls: Vec<Barcodes> =
            draws.map(|draw| barcodes.shuffled(derived(options.seed, Purpose::Shuffle, draw))).collect();
        let most = options.most.max(options.types.unwrap_or(1));
        let seed = derived(options.seed, Purpose::Group, 0);
        let groups = Groups::of(&barcodes, most, options.seeds, seed);
        let count = Count::of(&barcodes, &nulls, &groups, most, seed);
        let types = options.types.unwrap_or(count.answer.groups());
        let search = Search { options, types, most, seed };
        // A single type is held against nothing.
        let nulls = if types > 1 { &nulls[..] } else { &[] };
        let typed = match options.method {
            Method::Groups if types == count.answer.groups() => search.groups(&groups, &barcodes, nulls),
            _ => search.clusters(&barcodes, nulls)?,
        };
        let found = labels(&typed.votes);
        let truth = truth(run)?;
        let result = RunResult {
            run: run.name.to_owned(),
            neurons: run.neurons.len(),
            silent: run.neurons.len() - barcodes.len(),
            channels: run.channels,
            copies: copies.groups,
            types,
            sizes: sizes(&found),
            unlike: typed.votes.iter().flatten().filter(|vote| vote.agreement == 0.0).count(),
            count,
            stability: stability(&typed.resamples),
            ari_truth: truth.as_ref().map(|truth| similarity(truth, &found)),
            null: NullResult::of(&typed.null, &found, truth.as_ref()),
        };
        Ok(Self { barcodes, votes: typed.votes, result })
    }
}

/// Channels that are copies of each other, where the maps tell.
fn copies(run: &Run<'_>, threshold: f64) -> Copies {
    let maps = run.maps.filter(|maps| run.channels.is_multiple_of(maps.shape[1]));
    maps.map_or_else(
        || Copies::none(run.channels),
        |maps| Copies::of(maps, run.features, run.channels, threshold),
    )
}

/// The true type of each neuron of a run.
pub(super) fn truth(run: &Run<'_>) -> Result<Option<Labels>> {
    let Some(truth) = run.truth else { return Ok(None) };
    let types: Labels = run.neurons.iter().map(|&neuron| truth.get(neuron).copied()).collect();
    if types.contains(&None) {
        let message = format!("has neurons beyond the {} whose type is known", truth.len());
        return Err(Error::data(message).file(run.name).hint("is the recording the one it was fitted to?"));
    }
    Ok(Some(types))
}

pub(super) fn labels(votes: &[Option<Vote>]) -> Labels {
    votes.iter().map(|vote| vote.map(|vote| vote.label)).collect()
}

/// Neurons of each type.
pub(super) fn sizes(labels: &Labels) -> Vec<usize> {
    let types = labels.iter().flatten().max().map_or(0, |most| most + 1);
    (0..types).map(|kind| labels.iter().filter(|label| **label == Some(kind)).count()).collect()
}

/// The types of all neurons, and what they are held against.
struct Typed {
    votes: Vec<Option<Vote>>,
    /// Types of each resample.
    resamples: Vec<Labels>,
    /// As many types of two resamples of each shuffled draw.
    null: Vec<[Labels; 2]>,
}

/// A search for a fixed number of types.
struct Search<'a> {
    options: &'a Options,
    types: usize,
    most: usize,
    seed: u64,
}

impl Search<'_> {
    /// The groups that were counted are the types.
    fn groups(&self, groups: &Groups, barcodes: &Barcodes, nulls: &[Barcodes]) -> Typed {
        let placed = |of: &Barcodes, resample: &Resample| -> Labels {
            of.spread(&resample.labels).into_iter().map(Option::flatten).collect()
        };
        let joined = |of: &Barcodes, draw| {
            placed(of, &Resample::of(of, 2 * self.most, Some(self.types), self.seed, draw))
        };
        Typed {
            votes: barcodes.spread(&groups.votes(barcodes)),
            resamples: groups.resamples().map(|resample| placed(barcodes, resample)).collect(),
            null: nulls.par_iter().map(|null| [0, 1].map(|draw| joined(null, draw))).collect(),
        }
    }

    /// The types are clusters, on which those of resamples vote.
    fn clusters(&self, barcodes: &Barcodes, nulls: &[Barcodes]) -> Result<Typed> {
        let draws = (0..self.options.seeds).into_par_iter();
        let resamples: Vec<Labels> =
            draws.map(|draw| self.resample(barcodes, Purpose::Resample, draw)).collect::<Result<_>>()?;
        let pair = |null| {
            let draw = |draw| self.resample(null, Purpose::ResampleOfNull, draw);
            Ok([draw(0)?, draw(1)?])
        };
        let whole = self.labels(barcodes, self.options.seed)?;
        Ok(Typed {
            votes: consensus(&[&[whole], &resamples[..]].concat()).votes,
            resamples,
            null: nulls.par_iter().map(pair).collect::<Result<_>>()?,
        })
    }

    /// Labels of resampled neurons, searched from other centres each.
    fn resample(&self, barcodes: &Barcodes, purpose: Purpose, draw: usize) -> Result<Labels> {
        let seed = derived(self.options.seed, purpose, draw);
        self.labels(&barcodes.resampled(seed), seed)
    }

    fn labels(&self, barcodes: &Barcodes, seed: u64) -> Result<Labels> {
        Ok(barcodes.spread(&self.options.method.labels(barcodes, self.types, seed)?))
    }
}

impl NullResult {
    fn of(null: &[[Labels; 2]], found: &Labels, truth: Option<&Labels>) -> Self {
        let with = |other: &Labels| {
            Spread::of(&null.iter().map(|[labels, _]| similarity(labels, other)).collect::<Vec<f64>>())
        };
        let stabilities = null.iter().filter_map(|pair| stability(pair)).map(|pair| pair.mean);
        Self {
            stability: Spread::of(&stabilities.collect::<Vec<f64>>()),
            ari_found: with(found),
            ari_truth: truth.and_then(with),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(types: usize, stability: f64, null: Option<(f64, f64)>) -> RunResult {
        let count = Count {
            answer: if types == 1 { Answer::OneType } else { Answer::Types(types) },
            resamples: Vec::new(),
            null: Vec::new(),
            one_way: 0.0,
            spread_deg: 0.0,
            null_spread_deg: Vec::new(),
        };
        let null = NullResult {
            stability: null.map(|(mean, sd)| Spread { mean, sd }),
            ari_found: None,
            ari_truth: None,
        };
        RunResult {
            run: "run".into(),
            neurons: 9,
            silent: 0,
            channels: 2,
            copies: Vec::new(),
            types,
            sizes: Vec::new(),
            unlike: 0,
            count,
            stability: Some(Spread { mean: stability, sd: 0.1 }),
            ari_truth: None,
            null,
        }
    }

    #[test]
    fn types_must_be_more_stable_than_those_of_shuffled_barcodes() {
        let stable = |stability, null| result(5, stability, Some(null)).is_stable().unwrap();
        assert!(!stable(0.31, (0.33, 0.05)) && !stable(0.36, (0.33, 0.05)));
        assert!(stable(0.39, (0.33, 0.05)));
        assert!(stable(1.0, (0.65, 0.2)) && stable(1.0, (0.92, 0.15)), "there is no room for a whole s.d.");
        assert!(!stable(0.93, (0.92, 0.15)));
        assert!(!stable(0.9, (0.9, 0.0)) && !stable(0.5, (0.5, 0.0)), "as stable is not more stable");
        assert!(stable(1.0, (1.0, 0.0)), "nothing is more stable");
        let verdict = result(2, 1.0, Some((1.0, 0.0))).verdict().unwrap();
        assert!(verdict.starts_with("found again in all resamples, as are"), "{verdict}");
        assert_eq!(result(5, 0.2, None).is_stable(), None);
        assert_eq!(result(1, 0.2, None).verdict(), None);
        let verdict = result(5, 0.31, Some((0.33, 0.05))).verdict().unwrap();
        assert_eq!(verdict, "no more stable than shuffled barcodes (limit 0.38): do not read these as types");
    }

    #[test]
    fn other_types_than_the_barcodes_speak_for_are_no_types() {
        let mut asked = result(5, 0.9, Some((0.1, 0.05)));
        asked.count.answer = Answer::Types(4);
        let verdict = asked.verdict().unwrap();
        assert_eq!(
            verdict,
            "5 types were asked for, but the barcodes speak for 4 types: do not read these as types"
        );
        asked.count.answer = Answer::Continuum;
        assert!(asked.verdict().unwrap().contains("a continuum, no types"));
        asked.types = 1;
        assert!(asked.verdict().unwrap().contains("a continuum, no types: no valley"));
    }

    #[test]
    fn copies_that_leave_fewer_channels_than_types_are_said() {
        let mut joined = result(3, 0.9, None);
        joined.copies = vec![vec![0], vec![1]];
        assert_eq!(joined.warning(), None, "no copies were joined");
        joined.channels = 4;
        assert!(joined.warning().unwrap().contains("joined to 2: types"));
        joined.types = 2;
        assert_eq!(joined.warning(), None);
        joined.types = 1;
        joined.copies = vec![vec![0, 1, 2, 3]];
        assert!(joined.warning().unwrap().contains("joined to 1: types"));
    }
}
