//! What is in a recording, and is it sound.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rayon::prelude::*;
use serde::Serialize;

pub use super::clock::{Lag, Lags};
use super::clock::{lags, oddities};
use super::contradictions::contradictions;
use super::extent::{Scan, scan};
use crate::error::{Error, Result, in_order};
use crate::recording::{
    Licence, Recording, Session, StimulusInfo, Stream, StreamInfo, Tier, Trial, withheld,
};
use crate::score::{
    Evaluation, Settings, Summary, explainable_variance, find, number_stimuli, oracle_jackknife,
};

type PerNeuron = fn(&Evaluation) -> Vec<f64>;

/// Metrics that need nothing but repeated responses.
const RELIABILITY: [(&str, PerNeuron); 2] =
    [("oracle_jackknife", oracle_jackknife), ("explainable_variance", explainable_variance)];
/// Flagged neurons and problems are counted in full and listed up to this number.
const LISTED: usize = 5;

/// Everything `striate inspect` says.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// Format id; several are joined by ` + `.
    pub format: String,
    /// What was opened.
    pub path: PathBuf,
    /// One entry per session.
    pub sessions: Vec<SessionInspection>,
    /// Pairs of sessions that were shown the same, of several sessions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<SharedStimuli>,
}

/// Stimuli of the same content in two sessions.
#[derive(Debug, PartialEq, Serialize)]
pub struct SharedStimuli {
    /// Ids of the two sessions.
    pub sessions: [String; 2],
    /// Distinct stimuli that both were shown.
    pub stimuli: usize,
    /// Those that one has in its training tier and the other in one it is judged on: a model of both has seen them.
    pub leaking: usize,
}

/// What is in one session.
#[derive(Debug, Serialize)]
pub struct SessionInspection {
    /// Name of the session.
    pub id: String,
    /// Number of neurons.
    pub neurons: usize,
    /// Neurons per visual area.
    pub areas: BTreeMap<String, usize>,
    /// Neurons per cortical layer.
    pub layers: BTreeMap<String, usize>,
    /// Smallest and largest cortical x, y and z.
    pub extent_um: Option<[[f64; 2]; 3]>,
    /// Trials per tier.
    pub trials: BTreeMap<Tier, usize>,
    /// How long trials are, of clips.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<Samples>,
    /// By how much responses follow the movie and behaviour, of clips where they clearly do.
    #[serde(flatten)]
    pub lags: Lags,
    /// Samples of each stream in which a value is not finite; only where there are any.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub damaged_samples: BTreeMap<Stream, usize>,
    /// What the animal saw.
    pub stimulus: StimulusInfo,
    /// What was recorded, with the shape of one trial.
    pub streams: Vec<StreamInfo>,
    /// Smallest and largest value: of each variable of behaviour and pupil centre, of all elements of the rest.
    pub ranges: BTreeMap<Stream, Vec<[f32; 2]>>,
    /// How often stimuli were shown, for tiers with repeats.
    pub repeats: BTreeMap<Tier, Repeats>,
    /// How much of the responses the stimulus can explain, by metric id.
    pub reliability: BTreeMap<&'static str, Reliability>,
    /// Neurons whose response never changes.
    pub constant_neurons: Flagged,
    /// Neurons with a response that is NaN or infinite.
    pub not_finite_neurons: Flagged,
    /// The licence file found with the recording.
    pub licence: Option<Licence>,
    /// Things to know.
    pub warnings: Vec<String>,
    /// Things that make it unsound: damaged trials, values that are not finite.
    pub problems: Vec<String>,
}

/// Samples per trial.
#[derive(Debug, PartialEq, Serialize)]
pub struct Samples {
    /// Of the shortest trial.
    pub min: usize,
    /// Of the longest.
    pub max: usize,
    /// Of all trials together.
    pub total: usize,
}

/// Presentations per stimulus in one tier.
#[derive(Debug, PartialEq, Serialize)]
pub struct Repeats {
    /// Distinct stimuli.
    pub images: usize,
    /// Fewest presentations of one stimulus.
    pub min: usize,
    /// Median presentations.
    pub median: f64,
    /// Most presentations.
    pub max: usize,
}

/// One metric on the repeated tier.
#[derive(Debug, Serialize)]
pub struct Reliability {
    /// The tier it was computed on.
    pub tier: Tier,
    /// Population summary.
    #[serde(flatten)]
    pub summary: Summary,
    /// One value per neuron, NaN where undefined.
    #[serde(skip)]
    pub per_neuron: Vec<f64>,
}

/// A number of neurons and the first few of them.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Flagged {
    /// How many.
    pub count: usize,
    /// Unit ids of the first.
    pub first_ids: Vec<i64>,
}

/// Reads all trials of `recording` once and describes it.
///
/// Damaged trials do not stop it: they are listed as problems.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when no trial at all can be read.
pub fn inspect(recording: &Recording) -> Result<Inspection> {
    let formats: BTreeSet<&str> = recording.sessions.iter().map(|session| session.format).collect();
    let inspected: Vec<(SessionInspection, Shown)> =
        recording.sessions.iter().map(inspect_session).collect::<Result<_>>()?;
    let (mut sessions, shown): (Vec<_>, Vec<_>) = inspected.into_iter().unzip();
    let odd = oddities(&sessions.iter().map(|session| &session.lags).collect::<Vec<_>>());
    sessions.iter_mut().zip(odd).for_each(|(session, odd)| session.warnings.extend(odd));
    Ok(Inspection {
        format: formats.into_iter().collect::<Vec<_>>().join(" + "),
        path: recording.path.clone(),
        shared: shared(&sessions, &shown),
        sessions,
    })
}

/// The tiers in which each stimulus was shown, by its content.
type Shown = BTreeMap<u64, BTreeSet<Tier>>;

fn shared(sessions: &[SessionInspection], shown: &[Shown]) -> Vec<SharedStimuli> {
    let leaks = |a: &BTreeSet<Tier>, b: &BTreeSet<Tier>| {
        let judged = |tiers: &BTreeSet<Tier>| tiers.iter().any(Tier::is_judged_on);
        (a.contains(&Tier::Train) && judged(b)) || (b.contains(&Tier::Train) && judged(a))
    };
    let pairs = (0..shown.len()).flat_map(|a| (a + 1..shown.len()).map(move |b| (a, b)));
    let pair = |(a, b): (usize, usize)| {
        let both: Vec<_> =
            shown[a].iter().filter_map(|(key, tiers)| Some((tiers, shown[b].get(key)?))).collect();
        let sessions = [a, b].map(|session| sessions[session].id.clone());
        let leaking = both.iter().filter(|(a, b)| leaks(a, b)).count();
        (!both.is_empty()).then_some(SharedStimuli { sessions, stimuli: both.len(), leaking })
    };
    pairs.filter_map(pair).collect()
}

impl Inspection {
    /// Whether no session has a problem.
    pub fn is_sound(&self) -> bool {
        self.sessions.iter().all(|session| session.problems.is_empty())
    }
}

fn inspect_session(session: &Session) -> Result<(SessionInspection, Shown)> {
    let scans: BTreeMap<Stream, Scan> =
        session.streams.iter().map(|info| (info.stream, scan(session, info))).collect();
    let responses = scans
        .get(&Stream::Responses)
        .filter(|scan| !scan.unreadable())
        .ok_or_else(|| unreadable(session, &scans))?;
    let repeats = repeats(session);
    let mut warnings = session.warnings.clone();
    // Trials that cannot be read are among the problems already.
    let tiers = session.tiers().into_keys();
    warnings
        .extend(tiers.filter(|tier| session.is_withheld(tier).unwrap_or(false)).map(|tier| withheld(&tier)));
    warnings.extend(contradictions(session, &scans));
    warnings.extend(baseline(responses));
    let sound = responses.finite();
    let mut shown = Shown::new();
    for (&trial, &content) in scans.get(&Stream::Images).iter().flat_map(|scan| &scan.contents) {
        shown.entry(content).or_default().insert(session.trials[trial].tier.clone());
    }
    let changed = session.source.verify().err().map(|error| error.to_string());
    let inspection = SessionInspection {
        id: session.id.clone(),
        neurons: session.neurons.len(),
        areas: counts(session.neurons.area.as_deref()),
        layers: counts(session.neurons.layer.as_deref()),
        extent_um: session.neurons.position_um.as_deref().and_then(bounds),
        trials: session.tiers(),
        samples: session.has_clips().then(|| samples(session)),
        lags: if session.has_clips() { lags(session) } else { Lags::default() },
        damaged_samples: scans
            .iter()
            .map(|(&stream, scan)| (stream, scan.damaged_samples))
            .filter(|(_, damaged)| session.has_clips() && *damaged > 0)
            .collect(),
        stimulus: session.stimulus.clone(),
        streams: session.streams.clone(),
        ranges: scans.iter().map(|(&stream, scan)| (stream, ranges(stream, scan))).collect(),
        reliability: reliability(session, &sound)?,
        repeats,
        constant_neurons: flagged(session, responses.constant()),
        not_finite_neurons: flagged(session, responses.not_finite()),
        licence: session.licence.clone(),
        warnings,
        problems: scans.iter().flat_map(|(&stream, scan)| problems(stream, scan)).chain(changed).collect(),
    };
    Ok((inspection, shown))
}

fn samples(session: &Session) -> Samples {
    let lengths = || session.trials.iter().map(|trial| trial.samples);
    Samples { min: lengths().min().unwrap_or(0), max: lengths().max().unwrap_or(0), total: lengths().sum() }
}

fn unreadable(session: &Session, scans: &BTreeMap<Stream, Scan>) -> Error {
    let first = scans.get(&Stream::Responses).and_then(|scan| scan.failures.first());
    let why = first.map_or(String::new(), |(_, message)| format!(": {message}"));
    Error::data(format!("no trial of session `{}` has readable responses{why}", session.id))
        .file(&session.path)
}

/// Models compute with `f32`, in which little is left of responses on a large baseline.
fn baseline(responses: &Scan) -> Option<String> {
    let high = responses.extents().filter(|extent| extent.is_small_beside_its_baseline()).count();
    (high > 0).then(|| {
        format!(
            "the responses of {high} neurons lie on a baseline more than 10,000 times their range: a fit computes with \
             32-bit numbers and would lose them; subtract the baseline of each neuron first"
        )
    })
}

fn counts(labels: Option<&[String]>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for label in labels.unwrap_or_default() {
        *counts.entry(label.clone()).or_default() += 1;
    }
    counts
}

fn bounds(positions: &[[f64; 3]]) -> Option<[[f64; 2]; 3]> {
    let first = positions.first()?.map(|at| [at, at]);
    Some(positions.iter().fold(first, |bounds, position| {
        std::array::from_fn(|axis| {
            let ([low, high], at) = (bounds[axis], position[axis]);
            [low.min(at), high.max(at)]
        })
    }))
}

fn ranges(stream: Stream, scan: &Scan) -> Vec<[f32; 2]> {
    let each: Vec<[f32; 2]> = scan.extents().filter_map(|extent| extent.range()).collect();
    match stream {
        Stream::Behavior | Stream::PupilCenter => each,
        Stream::Images | Stream::Responses => {
            each.into_iter().reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])]).into_iter().collect()
        }
    }
}

fn flagged(session: &Session, neurons: Vec<usize>) -> Flagged {
    let first_ids = neurons.iter().take(LISTED).map(|&neuron| session.neurons.ids[neuron]).collect();
    Flagged { count: neurons.len(), first_ids }
}

fn problems(stream: Stream, scan: &Scan) -> Vec<String> {
    let mut problems: Vec<String> =
        scan.failures.iter().take(LISTED).map(|(_, message)| message.clone()).collect();
    if scan.failures.len() > LISTED {
        problems.push(format!("{} more trials of `{stream}` cannot be read", scan.failures.len() - LISTED));
    }
    if let Some((trial, count)) = scan.first_not_finite() {
        problems
            .push(format!("`{stream}` has {count} values that are not finite, the first in trial {trial}"));
    }
    problems
}

fn repeats(session: &Session) -> BTreeMap<Tier, Repeats> {
    let mut shown: BTreeMap<&Tier, BTreeMap<&str, usize>> = BTreeMap::new();
    for Trial { tier, stimulus_id, .. } in &session.trials {
        *shown.entry(tier).or_default().entry(stimulus_id).or_default() += 1;
    }
    let tier =
        |(tier, stimuli): (&Tier, BTreeMap<&str, usize>)| Some((tier.clone(), presentations(stimuli)?));
    shown.into_iter().filter_map(tier).collect()
}

fn presentations(stimuli: BTreeMap<&str, usize>) -> Option<Repeats> {
    let mut counts: Vec<usize> = stimuli.into_values().collect();
    counts.sort_unstable();
    let middle = counts.len() / 2;
    let median = if counts.len() % 2 == 1 {
        counts[middle] as f64
    } else {
        (counts[middle - 1] + counts[middle]) as f64 / 2.0
    };
    let (min, max) = (*counts.first()?, *counts.last()?);
    (max > 1).then_some(Repeats { images: counts.len(), min, median, max })
}

/// Metrics on the repeats that [`Session::repeated_tier`] finds; of clips every sample counts as a stimulus.
fn reliability(session: &Session, sound: &[usize]) -> Result<BTreeMap<&'static str, Reliability>> {
    // Trials that cannot be read are among the problems already.
    let Some(tier) = session.repeated_tier().ok().flatten() else { return Ok(BTreeMap::new()) };
    let rows = Rows::of(session, &tier);
    let settings = Settings { resamples: 0, ..Settings::default() };
    let mut per_neuron = vec![vec![f64::NAN; session.neurons.len()]; RELIABILITY.len()];
    let not_finite = vec![Some("it has responses that are not finite"); session.neurons.len()];
    let mut reasons = vec![not_finite; RELIABILITY.len()];
    for block in sound.chunks(rows.neurons_at_once()) {
        let evaluation = rows.evaluation(session, block).ok().filter(|of| of.repeated_stimuli() > 1);
        let Some(evaluation) = evaluation else { return Ok(BTreeMap::new()) };
        for (index, (id, metric)) in RELIABILITY.iter().enumerate() {
            let values = metric(&evaluation);
            let known = find(id)?.reasons(&evaluation, &values, &settings);
            for ((&neuron, value), reason) in block.iter().zip(values).zip(known) {
                (per_neuron[index][neuron], reasons[index][neuron]) = (value, reason);
            }
        }
    }
    let all = RELIABILITY.iter().zip(per_neuron).zip(reasons);
    all.map(|(((id, _), per_neuron), reasons)| {
        let mut summary = Summary::of_neurons(find(id)?, &per_neuron, &settings);
        summary.count_reasons(&reasons);
        Ok((*id, Reliability { tier: tier.clone(), summary, per_neuron }))
    })
    .collect()
}

/// Repeated trials of a tier, and which of their samples showed the same.
struct Rows {
    trials: Vec<usize>,
    /// One number per sample that counts, `[trial, sample]`.
    stimulus: Vec<usize>,
    /// Samples of each trial: no more than all of its repeats have.
    samples: Vec<usize>,
}

/// Bytes of responses that are held at once.
const AT_ONCE: usize = 256 << 20;

impl Rows {
    fn of(session: &Session, tier: &Tier) -> Self {
        let trials = session.repeated_trials(tier);
        let of = |trial: usize| &session.trials[trial];
        let mut shortest: BTreeMap<&str, usize> = BTreeMap::new();
        for &trial in &trials {
            let most = shortest.entry(&of(trial).stimulus_id).or_insert(of(trial).samples);
            *most = (*most).min(of(trial).samples);
        }
        let samples: Vec<usize> =
            trials.iter().map(|&trial| shortest[of(trial).stimulus_id.as_str()]).collect();
        let ids = trials.iter().zip(&samples).flat_map(|(&trial, &samples)| {
            (0..samples).map(move |sample| (of(trial).stimulus_id.as_str(), sample))
        });
        Self { stimulus: number_stimuli(ids), trials, samples }
    }

    fn neurons_at_once(&self) -> usize {
        (AT_ONCE / (8 * self.stimulus.len().max(1))).max(1)
    }

    fn evaluation(&self, session: &Session, neurons: &[usize]) -> Result<Evaluation> {
        let trial = |(&trial, &samples): (&usize, &usize)| {
            let values = session.read_f64_as_stored(Stream::Responses, trial)?;
            let kept = values.chunks_exact(session.neurons.len()).take(samples);
            Ok(kept.flat_map(|all| neurons.iter().map(|&neuron| all[neuron])).collect())
        };
        let rows: Vec<Vec<f64>> = in_order(self.trials.par_iter().zip(&self.samples).map(trial).collect())?;
        Evaluation::new(neurons.len(), &rows.concat(), &self.stimulus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(counts: &[usize]) -> Option<Repeats> {
        const IDS: [&str; 4] = ["a", "b", "c", "d"];
        presentations(IDS.into_iter().zip(counts.iter().copied()).collect())
    }

    #[test]
    fn repeats_are_counted_per_stimulus() {
        assert_eq!(shown(&[1, 1, 1]), None);
        assert_eq!(shown(&[2, 10, 3]), Some(Repeats { images: 3, min: 2, median: 3.0, max: 10 }));
        assert_eq!(shown(&[2, 10, 3, 4]).unwrap().median, 3.5);
    }

    #[test]
    fn bounds_of_positions() {
        assert_eq!(bounds(&[]), None);
        let found = bounds(&[[1.0, 5.0, 0.0], [-1.0, 6.0, 0.0]]);
        assert_eq!(found, Some([[-1.0, 1.0], [5.0, 6.0], [0.0, 0.0]]));
    }
}
