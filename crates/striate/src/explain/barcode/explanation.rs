//! The types in one run or in several of the same recording, as they are written.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::analysis::{Analysis, RunResult, labels, sizes, truth};
use super::consensus::{Labels, Spread, Vote, consensus, similarity, stability};
use super::count::{Answer, CRITERION};
use super::embed::principal_components;
use super::{Options, Run};
use crate::disk;
use crate::error::{Error, Result};
use crate::run::RunFolder;

/// 1: gains in BIC in place of groups.
const FORMAT: u64 = 2;
/// Digits behind the point of what is only looked at.
const DIGITS: f64 = 1e4;

/// `explain/barcode/barcode.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Version of the file.
    pub format: u64,
    /// Version of striate that wrote it.
    pub striate: String,
    /// SHA-256 of the weights of the model that is explained, as in `scores/TIER.json`; empty where it is not said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// How types were looked for.
    pub options: Options,
    /// How their number was decided.
    pub criterion: String,
    /// Each run by itself, first the one that is explained.
    pub runs: Vec<RunResult>,
    /// All runs together, where there are several.
    pub across: Option<Across>,
    /// Shares of the variance of the barcodes along the axes of [`Neurons::points`].
    pub variance_shares: [f64; 2],
    /// The neurons of the first run.
    pub neurons: Neurons,
}

/// What several runs have in common, over the neurons of the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Across {
    /// Adjusted Rand index `[run, run]`, over the neurons of both.
    pub ari: Vec<Vec<f64>>,
    /// Its mean over pairs of different runs; `None` when none tells types apart.
    pub agreement: Option<Spread>,
    /// Neurons of each type of the consensus.
    pub sizes: Vec<usize>,
    /// Mean over neurons of the share of runs that agree with the consensus.
    pub mean_share: f64,
    /// Adjusted Rand index of the consensus with the true types, where they are known.
    pub ari_truth: Option<f64>,
    /// Labels `[run][neuron]` in the names of the consensus; none of a run that does not tell types apart where most do, or
    /// does where most do not.
    pub labels: Vec<Labels>,
}

/// One entry per neuron of the first run; `None` for a neuron without a barcode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neurons {
    /// Identifier of the neuron in the recording.
    pub unit_id: Vec<i64>,
    /// Type by the consensus of resamples, or of runs where there are several; 0 is the largest. Of a
    /// continuum no neuron has one.
    #[serde(rename = "type")]
    pub types: Labels,
    /// Share of the resamples, or of the runs, that say so; 0 for a neuron that is like no other, which has the type of the
    /// nearest group.
    pub agreement: Vec<Option<f64>>,
    /// Barcode on its first two principal components.
    pub points: Vec<Option<[f64; 2]>>,
    /// Normalised barcodes `[neuron, channel]`, copies being one channel, zeros without one; only in `types.csv`.
    #[serde(skip)]
    pub barcodes: Vec<f64>,
}

/// Finds the types in the barcodes of `runs`; of several, the consensus.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) naming the run whose weights cannot be used, or that has no neuron of the
/// first; [`Kind::Config`](crate::error::Kind::Config) for more types than there are different barcodes, and for no run.
pub fn explain(runs: &[Run<'_>], options: &Options) -> Result<Explanation> {
    let analysed = |run: &Run<'_>| Analysis::of(run, options).map_err(|e| e.file(run.name));
    let analyses = runs.iter().map(analysed).collect::<Result<Vec<_>>>()?;
    let (Some(run), Some(first)) = (runs.first(), analyses.first()) else {
        return Err(Error::config("there is no run to explain"));
    };
    let (across, votes) = if runs.len() > 1 {
        let (across, votes) = join(runs, &analyses)?;
        (Some(across), votes)
    } else {
        (None, first.votes.clone())
    };
    let none = without_types(analyses.iter().map(|analysis| &analysis.result), across.as_ref()).is_some();
    let embedding = principal_components(&first.barcodes);
    let neurons = Neurons {
        unit_id: run.unit_ids.to_vec(),
        types: labels(&votes).into_iter().map(|kind| kind.filter(|_| !none)).collect(),
        agreement: votes
            .iter()
            .map(|vote| vote.filter(|_| !none).map(|vote| rounded(vote.agreement)))
            .collect(),
        points: first.barcodes.spread(&embedding.points.iter().map(|at| at.map(rounded)).collect::<Vec<_>>()),
        barcodes: everyones(first),
    };
    Ok(Explanation {
        format: FORMAT,
        striate: env!("CARGO_PKG_VERSION").into(),
        model: String::new(),
        options: options.clone(),
        criterion: CRITERION.into(),
        runs: analyses.into_iter().map(|analysis| analysis.result).collect(),
        across,
        variance_shares: embedding.share,
        neurons,
    })
}

/// Types on which the runs agree, and the votes for them: those of the runs that tell types apart where these are most, else
/// of the others.
fn join(runs: &[Run<'_>], analyses: &[Analysis]) -> Result<(Across, Vec<Option<Vote>>)> {
    let fits = runs.iter().zip(analyses).map(|(run, analysis)| known_to(&runs[0], run, analysis));
    let fits: Vec<Labels> = fits.collect::<Result<_>>()?;
    let telling: Vec<bool> = analyses.iter().map(|analysis| analysis.result.types > 1).collect();
    let most = 2 * telling.iter().filter(|&&tells| tells).count() > fits.len();
    let voters: Vec<Labels> =
        fits.iter().zip(&telling).filter(|(_, tells)| **tells == most).map(|(fit, _)| fit.clone()).collect();
    let consensus = consensus(&voters);
    let votes = of_all(consensus.votes, &voters, &fits);
    let mut aligned = consensus.aligned.into_iter();
    let nothing = || vec![None; runs[0].neurons.len()];
    let row = |&tells: &bool| if tells == most { aligned.next() } else { None }.unwrap_or_else(nothing);
    let found = labels(&votes);
    let shares: Vec<f64> = votes.iter().flatten().map(|vote| vote.agreement).collect();
    let across = Across {
        ari: fits.iter().map(|left| fits.iter().map(|right| similarity(left, right)).collect()).collect(),
        agreement: stability(&fits),
        sizes: sizes(&found),
        mean_share: Spread::of(&shares).map_or(0.0, |spread| spread.mean),
        ari_truth: truth(&runs[0])?.map(|truth| similarity(&truth, &found)),
        labels: telling.iter().map(row).collect(),
    };
    Ok((across, votes))
}

/// Votes of some clusterings, of which the others agree with none.
fn of_all(votes: Vec<Option<Vote>>, voters: &[Labels], fits: &[Labels]) -> Vec<Option<Vote>> {
    let known = |of: &[Labels], neuron: usize| of.iter().filter(|fit| fit[neuron].is_some()).count() as f64;
    let share = |neuron| known(voters, neuron) / known(fits, neuron);
    let vote = |(neuron, vote): (usize, Option<Vote>)| {
        vote.map(|vote| Vote { agreement: vote.agreement * share(neuron), ..vote })
    };
    votes.into_iter().enumerate().map(vote).collect()
}

/// Labels of a run for the neurons of the first.
fn known_to(first: &Run<'_>, run: &Run<'_>, analysis: &Analysis) -> Result<Labels> {
    let found = labels(&analysis.votes);
    let place: BTreeMap<usize, usize> = run.neurons.iter().copied().zip(0..).collect();
    let label = |neuron: &usize| place.get(neuron).and_then(|&at| found[at]);
    let shared: Labels = first.neurons.iter().map(label).collect();
    if shared.iter().all(Option::is_none) {
        return Err(Error::data(format!("has no neuron of `{}`", first.name)).file(run.name));
    }
    Ok(shared)
}

/// Normalised barcodes of all neurons, zeros without one.
fn everyones(analysis: &Analysis) -> Vec<f64> {
    let channels = analysis.barcodes.channels();
    let rows: Vec<&[f64]> = analysis.barcodes.values().chunks(channels).collect();
    let rows = analysis.barcodes.spread(&rows).into_iter();
    rows.flat_map(|row| row.map_or_else(|| vec![0.0; channels], <[f64]>::to_vec)).collect()
}

fn rounded(value: f64) -> f64 {
    (value * DIGITS).round() / DIGITS
}

/// Why no neuron is given a type, where no run with a say tells types apart, and one of them not even one.
fn without_types<'a>(runs: impl Iterator<Item = &'a RunResult>, across: Option<&Across>) -> Option<Answer> {
    let none = across.is_none_or(|across| across.sizes.len() == 1);
    runs.map(RunResult::answer).find(|answer| none && answer.has_no_types())
}

impl Explanation {
    /// Whether no neuron is given a type: barcodes are a continuum, or cannot tell.
    pub fn has_no_types(&self) -> bool {
        self.answer().has_no_types()
    }

    /// What the neurons are given, by all runs together.
    pub fn answer(&self) -> Answer {
        match (without_types(self.runs.iter(), self.across.as_ref()), self.types().0.len()) {
            (Some(why), _) => why,
            (None, 0 | 1) => Answer::OneType,
            (None, types) => Answer::Types(types),
        }
    }

    /// Says when runs do not agree on how many types there are.
    pub fn disagreement(&self) -> Option<String> {
        let first = self.runs.first()?.answer();
        let said = |run: &RunResult| format!("{} in `{}`", run.answer().words(), run.run);
        let differ = self.runs.iter().any(|run| run.answer() != first);
        let all: Vec<String> = self.runs.iter().map(said).collect();
        differ.then(|| format!("the runs do not agree: {}", all.join("; ")))
    }

    /// Number of types, sizes, and adjusted Rand index with the truth: of the consensus where there are several runs.
    pub fn types(&self) -> (&[usize], Option<f64>) {
        match (&self.across, self.runs.first()) {
            (Some(across), _) => (&across.sizes, across.ari_truth),
            (None, Some(run)) => (&run.sizes, run.ari_truth),
            (None, None) => (&[], None),
        }
    }

    /// Refuses what an earlier striate wrote, in a sentence.
    ///
    /// # Errors
    /// When `json` is of another format; what has none is left to who reads it.
    pub fn check_format(json: &[u8]) -> std::result::Result<(), String> {
        #[derive(Deserialize)]
        struct Versioned {
            format: u64,
        }
        match serde_json::from_slice(json) {
            Ok(Versioned { format }) if format != FORMAT => {
                Err(format!("is of format {format}, this striate reads {FORMAT}"))
            }
            _ => Ok(()),
        }
    }

    /// Writes `explain/barcode/` of a run: `barcode.json` and `types.csv`, both or none.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io) when they cannot be written.
    pub fn write(&self, run: &RunFolder) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::data(e.to_string()))?;
        disk::replace_folder(&run.explain("barcode"), |folder| {
            disk::write_bytes(&folder.join("barcode.json"), &text)?;
            disk::write_bytes(&folder.join("types.csv"), self.table().as_bytes())
        })
    }

    /// `unit_id,type,agreement,weight_0,…`: one row per neuron, without type where it has no barcode.
    fn table(&self) -> String {
        let (neurons, copies) = (&self.neurons, &self.runs[0].copies);
        let channels = copies.len();
        let mut text = String::from("unit_id,type,agreement");
        copies.iter().for_each(|group| text += &format!(",weight_{}", group[0]));
        text.push('\n');
        let rows = neurons.unit_id.iter().zip(neurons.types.iter().zip(&neurons.agreement));
        for ((id, (kind, agreement)), barcode) in rows.zip(neurons.barcodes.chunks(channels.max(1))) {
            let _ = write!(text, "{id},{},{}", cell(*kind), cell(*agreement));
            barcode.iter().for_each(|weight| text += &format!(",{}", *weight as f32));
            text.push('\n');
        }
        text
    }
}

fn cell<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::planted::Planted;
    use super::*;
    use crate::run::Manifest;

    const PLANTED: Planted = Planted { types: 4, per_type: 40, channels: 4, jitter: 0.15 };

    fn options(changes: &[(&str, &str)]) -> Options {
        let mut options = Options { most: 5, seeds: 3, ..Options::default() };
        changes.iter().for_each(|(key, value)| options.set(key, value).unwrap());
        options
    }

    fn run<'a>(neurons: &'a [usize], ids: &'a [i64], features: &'a [f32], channels: usize) -> Run<'a> {
        Run { name: "first", neurons, unit_ids: ids, features, channels, maps: None, truth: None }
    }

    fn ids(neurons: &[usize]) -> Vec<i64> {
        neurons.iter().map(|&neuron| 1000 + neuron as i64).collect()
    }

    #[test]
    fn planted_types_are_found_and_their_null_is_not() {
        let (mut features, truth) = PLANTED.weights(1);
        features[4 * 7..4 * 8].fill(0.0);
        let neurons: Vec<usize> = (0..160).collect();
        let ids = ids(&neurons);
        let first = Run { truth: Some(&truth), ..run(&neurons, &ids, &features, 4) };
        for method in ["groups", "mixture", "kmeans"] {
            let found = explain(&[first], &options(&[("method", method)])).unwrap();
            let result = &found.runs[0];
            assert_eq!((result.types, result.silent, result.sizes.len()), (4, 1, 4), "{result:?}");
            assert!(result.ari_truth.unwrap() > 0.95 && result.stability.unwrap().mean > 0.9, "{result:?}");
            assert_eq!(result.is_stable(), Some(true), "{result:?}");
            assert!(result.null.ari_truth.unwrap().mean.abs() < 0.1, "{result:?}");
            assert!(result.null.ari_found.unwrap().mean.abs() < 0.1, "{result:?}");
            assert_eq!((found.neurons.types[7], found.neurons.agreement[7]), (None, None));
            assert_eq!(found.neurons.points[7], None);
        }
    }

    #[test]
    fn the_number_of_types_can_be_given() {
        let (features, _) = PLANTED.weights(2);
        let neurons: Vec<usize> = (0..160).collect();
        let ids = ids(&neurons);
        let first = run(&neurons, &ids, &features, 4);
        let found = explain(&[first], &options(&[("types", "2")])).unwrap();
        assert_eq!((found.runs[0].types, found.runs[0].count.answer), (2, Answer::Types(4)));
        let error = explain(&[first], &options(&[("types", "161")])).unwrap_err();
        assert!(error.to_string().starts_with("first, `types`: cannot make 161 types of "), "{error}");
        assert!(explain(&[], &options(&[])).is_err());
    }

    /// Another fit of the same neurons, of which it knows fewer: channels in another order, one more of them.
    #[test]
    fn several_runs_are_joined_by_their_neurons() {
        let (features, truth) = PLANTED.weights(3);
        let other = Planted { channels: 5, ..PLANTED }.weights(4).0;
        let turned: Vec<f32> = other.chunks(5).skip(10).flat_map(|row| row.iter().rev()).copied().collect();
        let (all, fewer): (Vec<usize>, Vec<usize>) = ((0..160).collect(), (10..160).collect());
        let (all_ids, fewer_ids) = (ids(&all), ids(&fewer));
        let first = Run { truth: Some(&truth), ..run(&all, &all_ids, &features, 4) };
        let second = Run { name: "second", ..run(&fewer, &fewer_ids, &turned, 5) };
        let found = explain(&[first, second], &options(&[])).unwrap();
        let across = found.across.as_ref().unwrap();
        assert!(across.agreement.unwrap().mean > 0.95 && across.ari[0][1] == across.ari[1][0], "{across:?}");
        assert!(across.ari_truth.unwrap() > 0.95 && across.mean_share > 0.97, "{across:?}");
        assert_eq!((across.labels[1][9], across.labels[1].len()), (None, 160));
        assert_eq!(found.neurons.agreement[9], Some(1.0));
        let stranger = Run { neurons: &[500], unit_ids: &[1], features: &[1.0], channels: 1, ..second };
        let error = explain(&[first, stranger], &options(&[])).unwrap_err();
        assert_eq!(error.to_string(), "second: has no neuron of `first`");
    }

    /// Neurons that read two channels in any proportion.
    fn segment(channels: usize) -> Vec<f32> {
        let row = |neuron: usize| {
            let mut row = vec![0.01; channels];
            (row[0], row[1]) = (neuron as f32 / 159.0, 1.0 - neuron as f32 / 159.0);
            row
        };
        (0..160).flat_map(row).collect()
    }

    /// Whichever is asked first: types are those of most runs.
    #[test]
    fn runs_that_are_a_continuum_have_their_say() {
        let (line, typed, other) = (segment(5), PLANTED.weights(3).0, PLANTED.weights(4).0);
        let neurons: Vec<usize> = (0..160).collect();
        let ids = ids(&neurons);
        let line = Run { name: "line", ..run(&neurons, &ids, &line, 5) };
        let [typed, other] = [&typed, &other].map(|features| run(&neurons, &ids, features, 4));
        let joined = |runs: &[Run<'_>]| explain(runs, &options(&[])).unwrap();
        for runs in [[line, typed], [typed, line]] {
            let found = joined(&runs);
            assert_eq!(found.answer(), Answer::Continuum, "one of two is no agreement");
            assert!(found.neurons.types.iter().all(Option::is_none), "{:?}", found.neurons.types);
            let words = found.disagreement().unwrap();
            assert!(
                words.contains("a continuum, no types in `line`") && words.contains("4 types in `first`")
            );
            let across = found.across.unwrap();
            assert_eq!((across.ari[0][1], across.agreement.unwrap().mean), (0.0, 0.0));
        }
        for runs in [[line, typed, other], [typed, other, line]] {
            let found = joined(&runs);
            assert_eq!((found.answer(), found.has_no_types()), (Answer::Types(4), false));
            assert!((found.across.as_ref().unwrap().mean_share - 2.0 / 3.0).abs() < 0.02);
            let (at, _) = runs.iter().enumerate().find(|(_, run)| run.name == "line").unwrap();
            assert!(found.across.unwrap().labels[at].iter().all(Option::is_none));
        }
        let found = joined(&[line, Run { name: "again", ..line }]);
        assert_eq!((found.answer(), found.disagreement()), (Answer::Continuum, None));
        assert!(found.neurons.types.iter().all(Option::is_none) && found.across.unwrap().agreement.is_none());
    }

    /// Types need not have a channel of their own.
    #[test]
    fn there_can_be_fewer_channels_than_types() {
        let (_, truth) = Planted { types: 5, per_type: 40, ..PLANTED }.weights(1);
        let noise = Planted { types: 200, per_type: 1, channels: 2, jitter: 1.0 }.weights(2).0;
        let angle = |kind: usize, noise: &[f32]| {
            (kind as f32).mul_add(0.39, 0.05 * (noise[0] - noise[1]).clamp(-1.0, 1.0))
        };
        let read = |(&kind, noise): (&usize, &[f32])| <[f32; 2]>::from(angle(kind, noise).sin_cos());
        let features: Vec<f32> = truth.iter().zip(noise.chunks(2)).flat_map(read).collect();
        let neurons: Vec<usize> = (0..200).collect();
        let ids = ids(&neurons);
        let first = Run { truth: Some(&truth), ..run(&neurons, &ids, &features, 2) };
        for (types, sizes) in [("5", 5), ("4", 4)] {
            let found = explain(&[first], &options(&[("types", types), ("most", "9")])).unwrap();
            assert_eq!((found.runs[0].count.answer, found.types().0.len()), (Answer::Types(5), sizes));
            assert!(found.types().1.unwrap() > 0.7, "{types}: {:?}", found.types());
        }
        let found = explain(&[first], &options(&[("most", "9")])).unwrap();
        assert!(found.answer() == Answer::Types(5) && found.types().1.unwrap() > 0.98, "{:?}", found.types());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let folder =
            RunFolder::create(&dir.path().join("run"), "", &Manifest::start(1, "striate fit")).unwrap();
        let features = [3.0, 4.0, 0.0, 0.0, 0.5, 0.0];
        let found =
            explain(&[run(&[4, 5, 6], &[40, 50, 60], &features, 2)], &options(&[("types", "2")])).unwrap();
        found.write(&folder).unwrap();
        let written = folder.explain("barcode");
        let table = std::fs::read_to_string(written.join("types.csv")).unwrap();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "unit_id,type,agreement,weight_0,weight_1");
        assert!(lines[1].starts_with("40,0,") && lines[1].ends_with(",0.6,0.8"), "{table}");
        assert_eq!(lines[2], "50,,,0,0");
        let json = std::fs::read(written.join("barcode.json")).unwrap();
        let read: Explanation = serde_json::from_slice(&json).unwrap();
        let barcodes = found.neurons.barcodes.clone();
        assert_eq!(Explanation { neurons: Neurons { barcodes, ..read.neurons.clone() }, ..read }, found);
    }

    #[test]
    fn a_truth_of_other_neurons_is_refused() {
        let first = Run { truth: Some(&[0]), ..run(&[4], &[40], &[1.0], 1) };
        let error = explain(&[first], &options(&[])).unwrap_err();
        assert!(error.to_string().contains("beyond the 1 whose type is known"), "{error}");
    }
}
