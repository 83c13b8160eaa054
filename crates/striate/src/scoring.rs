//! A twin's predictions on one tier, scored and written to its run folder.

mod classes;
mod neurons;
mod provenance;
mod rules;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use burn::prelude::*;
use serde::Serialize;

use crate::array;
use crate::batch::Uses;
use crate::disk;
use crate::error::{Error, Result};
use crate::hash::Digest;
use crate::recording::{Session, Stream, Tier, Trial};
use crate::run::RunFolder;
use crate::score::{
    self, Evaluation, Null, Part, ScoreReport, Scored, Series, Settings, Table, number_stimuli,
};
use crate::twin::{Ensemble, State, Twin};

use classes::Classes;
pub use neurons::write_neurons;
pub use provenance::Provenance;
use rules::Rules;

/// How many traces are kept for the report of the best neurons, of those around the median, and of the worst.
const TRACES: [usize; 3] = [6, 3, 3];
/// How many stimuli a trace shows.
const TRACE_LENGTH: usize = 100;
/// How many samples of a movie it shows.
const CLIP_LENGTH: usize = 300;

/// Noise-free responses of a trial, of all neurons of its recording, `[sample, neuron]`.
pub type NoiseFree<'a> = &'a dyn Fn(usize) -> Result<Vec<f32>>;

/// What to score, and against what.
#[derive(Clone)]
pub struct Task<'a> {
    /// Name of the run, for the result file.
    pub name: &'a str,
    /// The tier.
    pub tier: Tier,
    /// What the run has to do with the recording; none where both were made together.
    pub provenance: Option<&'a Provenance>,
    /// Controls on shuffled data.
    pub nulls: &'a [Null],
    /// Noise-free responses, for simulated recordings.
    pub truth: Option<NoiseFree<'a>>,
    /// Class of the stimulus of each trial of the session, where the user says; else the recording may.
    pub classes: Option<&'a [Option<String>]>,
    /// Whose rules, thresholds, bootstrap.
    pub settings: Settings,
}

/// Scores of one tier with the arrays behind them.
#[derive(Debug)]
pub struct Scores {
    /// Summaries, as in `scores/TIER.json`.
    pub report: ScoreReport,
    scored: Scored,
    nulls: Vec<(Null, Scored)>,
    evaluation: Evaluation,
    /// What each sample showed.
    stimulus: Vec<String>,
    /// Samples per second, of clips.
    rate_hz: Option<f64>,
    neurons: Vec<usize>,
    unit_ids: Vec<i64>,
}

/// Predictions `[trial · sample, neuron]`, in the recording's units, for some trials of a session, but for the first
/// [`Ensemble::lost`] samples of each.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged or its image was not recorded.
pub fn predict(twin: &Ensemble, session: &Session, trials: &[usize], device: &Device) -> Result<Vec<f32>> {
    let mut predicted = Vec::with_capacity(trials.len() * twin.neurons().len());
    predict_each(twin, session, trials, device, |_, responses| {
        predicted.extend_from_slice(responses);
        Ok(())
    })?;
    Ok(predicted)
}

/// As [`predict`], but hands over the predictions of one trial after another, so that memory does not grow with them.
///
/// # Errors
/// As [`predict`], and those of `take`.
pub fn predict_each(
    twin: &Ensemble,
    session: &Session,
    trials: &[usize],
    device: &Device,
    take: impl FnMut(usize, &[f32]) -> Result<()>,
) -> Result<()> {
    predict_seeing(twin.uses(), twin, session, trials, device, take)
}

/// As [`predict_each`], of a twin that sees only the named streams beside the images; others are held at their means over the
/// training trials.
fn predict_seeing(
    uses: Uses,
    twin: &Ensemble,
    session: &Session,
    trials: &[usize],
    device: &Device,
    mut take: impl FnMut(usize, &[f32]) -> Result<()>,
) -> Result<()> {
    let length = |trial: &usize| session.trials[*trial].samples;
    let mut is_first = true;
    for alike in trials.chunk_by(|a, b| length(a) == length(b)) {
        let samples = length(&alike[0]);
        for chunk in alike.chunks((256 / samples).max(1)) {
            let (images, state) = seen(session, chunk, twin.image_shape(), uses)?;
            if std::mem::take(&mut is_first) {
                twin.warn_of_other_units(&images);
            }
            let responses = twin.respond(&images, samples, &state, device);
            let responses = responses.map_err(|e| e.file(&session.path).trial(chunk[0]))?;
            let of_each = responses.chunks(responses.len() / chunk.len());
            chunk.iter().zip(of_each).try_for_each(|(&trial, responses)| take(trial, responses))?;
        }
    }
    Ok(())
}

/// Raw images or frames `[trial · sample, channel, height, width]` of some trials, each of `shape`, and as much of the animal's state as a
/// model `uses`.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged or images have another shape.
pub fn seen(session: &Session, trials: &[usize], shape: [usize; 3], uses: Uses) -> Result<(Vec<f32>, State)> {
    let recorded = session.shape(Stream::Images).unwrap_or(&[]);
    if recorded != shape {
        let message = format!("images are {recorded:?}, the model takes {shape:?}");
        return Err(Error::data(message).file(&session.path).key("images"));
    }
    let read = |stream| -> Result<Vec<f32>> {
        let trials: Vec<Vec<f32>> =
            trials.iter().map(|&trial| session.read(stream, trial)).collect::<Result<_>>()?;
        Ok(trials.concat())
    };
    let state = State {
        behaviour: if uses.behaviour { read(Stream::Behavior)? } else { Vec::new() },
        pupil: if uses.pupil { read(Stream::PupilCenter)? } else { Vec::new() },
    };
    Ok((read(Stream::Images)?, state))
}

/// Scores `twin` on one tier of `session`.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when the tier is empty, a trial is damaged, or the recording does not
/// hold the twin's neurons.
pub fn score(twin: &Ensemble, session: &Session, task: &Task<'_>, device: &Device) -> Result<Scores> {
    let neurons = &places(twin, session)?;
    let mut trials = session.require_responses(&task.tier)?;
    let is_own = task.provenance.is_none_or(Provenance::is_own);
    let left_out = if is_own { twin.left_out() } else { BTreeSet::new() };
    trials.retain(|trial| !left_out.contains(trial));
    if trials.is_empty() {
        let message = format!("all trials of tier `{}` were left out of this run", task.tier);
        return Err(Error::config(message).key("data.exclude_trials"));
    }
    let rules = Rules::of(task.settings.preset, twin.lost(), session)?;
    let short = rules.leave_out_short(session, &mut trials)?;
    let stimulus: Vec<String> =
        trials.iter().flat_map(|&trial| shown_in(session, trial).split_off(rules.first)).collect();
    let evaluation = evaluation(twin, session, (&trials, neurons), &stimulus, &rules, task, device)?;
    let scored = score::score(&evaluation, &task.settings);
    let mut report = ScoreReport::new(task.name, &session.id, &task.tier.to_string(), &evaluation, &scored);
    if session.has_clips() {
        (report.trials, report.samples) = (trials.len(), Some(evaluation.trials()));
        report.first = Some(rules.first);
    }
    report = report.by(task.settings.preset);
    report.notes.extend(short);
    if let Some(provenance) = task.provenance {
        report.cautions = provenance.cautions(session, &task.tier, &trials, neurons.len())?;
    }
    let fitted = task.provenance.and_then(|provenance| provenance.fitted(session, &twin.choices()));
    if let Some(classes) = Classes::of(session, task.classes, fitted.as_ref())? {
        let samples = |trial: usize| session.trials[trial].samples - rules.first;
        let (scores, without) = classes.scores(&evaluation, &trials, samples, &task.settings)?;
        report.classes = scores;
        report.notes.extend(without);
    }
    let mut nulls = Vec::new();
    for &null in task.nulls {
        match report.add_null(null, &evaluation, &task.settings) {
            Ok(scored) => nulls.push((null, scored)),
            // One trial or one neuron cannot be shuffled; the scores themselves stand.
            Err(error) => drop(report.omitted.insert(null.id().into(), error.message().to_owned())),
        }
    }
    report.model = twin.digest();
    let (neurons, unit_ids) = (neurons.to_vec(), twin.unit_ids().to_vec());
    let rate_hz = session.stimulus.rate_hz.filter(|_| session.has_clips());
    Ok(Scores { report, scored, nulls, evaluation, stimulus, rate_hz, neurons, unit_ids })
}

/// What was recorded and predicted of some trials and neurons, trial after trial: of what is on the way only one is held.
fn evaluation(
    twin: &Ensemble,
    session: &Session,
    (trials, neurons): (&[usize], &[usize]),
    stimulus: &[String],
    rules: &Rules,
    task: &Task<'_>,
    device: &Device,
) -> Result<Evaluation> {
    let placed = |error: Error, trial| error.file(&session.path).trial(trial);
    let mut recorded = Series::responses(neurons.len(), stimulus.len());
    for &trial in trials {
        let samples = rules.first..session.trials[trial].samples;
        let mut responses = session.responses_f64(trial, neurons, samples)?;
        let scaled = rules.scale(&mut responses, neurons);
        scaled.and_then(|()| recorded.push(&responses)).map_err(|e| placed(e, trial))?;
    }
    let predicted = |uses| -> Result<Series> {
        let mut predicted = Series::predictions(neurons.len(), stimulus.len());
        predict_seeing(uses, twin, session, trials, device, |trial, responses| {
            let mut responses = responses[(rules.first - twin.lost()) * neurons.len()..].to_vec();
            let scaled = rules.scale(&mut responses, neurons);
            scaled.and_then(|()| predicted.push(&responses)).map_err(|e| placed(e, trial))
        })?;
        Ok(predicted)
    };
    let mut evaluation =
        Evaluation::of(recorded, &number_stimuli(stimulus))?.predicted(predicted(twin.uses())?)?;
    if twin.uses() != Uses::default() {
        evaluation = evaluation.predicted_held(predicted(Uses::default())?)?;
    }
    if let Some(width) = rules.smoothed {
        let samples = trials.iter().map(|&trial| session.trials[trial].samples - rules.first);
        evaluation = evaluation.in_time(&samples.collect::<Vec<_>>(), width);
    }
    match task.truth {
        Some(truth) => evaluation.with_truth(&chosen_truth(truth, session, trials, neurons, rules)?),
        None => Ok(evaluation),
    }
}

/// Noise-free responses of some trials and neurons.
fn chosen_truth(
    truth: NoiseFree<'_>,
    session: &Session,
    trials: &[usize],
    neurons: &[usize],
    rules: &Rules,
) -> Result<Vec<f32>> {
    let width = session.neurons.len();
    let mut chosen = Vec::new();
    for &trial in trials {
        let (all, samples) = (truth(trial)?, session.trials[trial].samples);
        if all.len() != width * samples {
            let message = format!("holds {} noise-free responses, not {width} × {samples}", all.len());
            return Err(Error::data(message).file(&session.path).trial(trial).key("truth"));
        }
        let kept = all.chunks_exact(width).skip(rules.first);
        let mut rows: Vec<f32> = kept.flat_map(|all| neurons.iter().map(|&neuron| all[neuron])).collect();
        rules.scale(&mut rows, neurons).map_err(|e| e.file(&session.path).trial(trial))?;
        chosen.extend(rows);
    }
    Ok(chosen)
}

/// Writes the report on several sessions into the run itself.
///
/// # Errors
/// [`Kind::Io`](crate::error::Kind::Io) when it cannot be written.
pub fn write_joint(report: &ScoreReport, run: &RunFolder) -> Result<()> {
    disk::write_bytes(&run.scores(&report.tier), &json(report)?)
}

/// What each sample of a trial showed, by a name that repeats share: the stimulus, and of a movie the sample.
fn shown_in(session: &Session, trial: usize) -> Vec<String> {
    let Trial { stimulus_id, samples, .. } = &session.trials[trial];
    match session.has_clips() {
        false => vec![stimulus_id.clone()],
        true => (0..*samples).map(|sample| format!("{stimulus_id} {sample}")).collect(),
    }
}

/// Whether `session` holds the neurons of `twin` where it expects them.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when it does not.
pub fn check_neurons(twin: &Ensemble, session: &Session) -> Result<()> {
    let same = |(&index, id): (&usize, &i64)| session.neurons.ids.get(index) == Some(id);
    if twin.neurons().iter().zip(twin.unit_ids()).all(same) {
        return Ok(());
    }
    Err(Error::data("does not hold the neurons this model was fitted to").file(&session.path).key("unit_ids"))
}

/// Index in `session` of each neuron of `twin`: where the twin expects it, in another recording by its `unit_id`.
fn places(twin: &Ensemble, session: &Session) -> Result<Vec<usize>> {
    let Err(error) = check_neurons(twin, session) else { return Ok(twin.neurons().to_vec()) };
    let ids = &session.neurons.ids;
    let place: BTreeMap<i64, usize> = ids.iter().copied().zip(0..).collect();
    if place.len() < ids.len() {
        return Err(error);
    }
    twin.unit_ids().iter().map(|id| place.get(id).copied()).collect::<Option<_>>().ok_or(error)
}

impl Scores {
    /// What is left of them beside those of other sessions: no responses.
    pub fn into_part(self) -> Part {
        Part { report: self.report, scored: self.scored, nulls: self.nulls }
    }

    /// Writes `scores/TIER.{json,parquet,per_neuron.json,traces.json}`; the first, which is written last, is named by the
    /// others, so that those of two scorings cannot be mixed.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io) when a file cannot be written.
    pub fn write(&self, run: &RunFolder) -> Result<()> {
        let tier = &self.report.tier;
        let summary = json(&self.report)?;
        let scores = Digest::default().bytes(&summary).finish();
        let table = Table::new(&self.neurons, &self.unit_ids, &self.scored)?;
        table.write_parquet(&run.score_table(tier))?;
        table.write_json(&run.per_neuron(tier), &scores)?;
        let stimuli = number_stimuli(&self.stimulus).into_iter().max().map_or(0, |last| last + 1);
        let traces = Traces { scores, stimuli, rate_hz: self.rate_hz, neurons: self.traces() };
        disk::write_bytes(&run.traces(tier), &json(&traces)?)?;
        disk::write_bytes(&run.scores(tier), &summary)
    }

    /// Values of a metric, one per neuron; NaN where it is undefined.
    pub fn metric(&self, id: &str) -> Option<&[f64]> {
        self.scored.per_neuron.iter().find(|(name, _)| *name == id).map(|(_, values)| values.as_slice())
    }

    /// Recorded and predicted responses to each stimulus for the best predicted neurons, the median and the worst.
    fn traces(&self) -> Vec<Trace> {
        let Some(scores) = self.metric("single_trial_correlation") else { return Vec::new() };
        let oracle = self.metric("oracle_jackknife");
        let mut order: Vec<usize> = (0..scores.len()).filter(|&n| scores[n].is_finite()).collect();
        order.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap_or(Ordering::Equal));
        let groups = number_stimuli(&self.stimulus);
        let trace = |(rank, at): (&'static str, usize)| {
            let n = order[at];
            Trace { rank, ..self.trace(n, scores[n], oracle.map(|o| o[n]), &groups) }
        };
        shown(order.len()).into_iter().map(trace).collect()
    }

    fn trace(&self, neuron: usize, score: f64, oracle: Option<f64>, groups: &[usize]) -> Trace {
        let [recorded, predicted] = self.evaluation.responses_of(neuron);
        let most = if self.rate_hz.is_some() { CLIP_LENGTH } else { TRACE_LENGTH };
        let count = groups.iter().max().map_or(0, |last| last + 1).min(most);
        let mut trace = Trace {
            neuron,
            unit_id: self.unit_ids[neuron],
            single_trial_correlation: score,
            oracle: oracle.filter(|o| o.is_finite()),
            ..Trace::default()
        };
        for stimulus in 0..count {
            let trials: Vec<usize> = (0..groups.len()).filter(|&t| groups[t] == stimulus).collect();
            let of = |values: &[f64]| trials.iter().map(|&trial| values[trial]).collect::<Vec<f64>>();
            let recorded = of(&recorded);
            trace.stimulus.push(self.stimulus[trials[0]].clone());
            trace.recorded.push(mean(&recorded));
            trace.recorded_sem.push(standard_error(&recorded));
            trace.predicted.push(mean(&of(&predicted)));
        }
        trace
    }
}

/// Which of `count` neurons, sorted from the best to the worst, have their traces kept; none twice.
fn shown(count: usize) -> Vec<(&'static str, usize)> {
    let [best, median, worst] = TRACES;
    let best = best.min(count.div_ceil(2));
    let worst = (count - worst.min((count - best).div_ceil(2))).max(best);
    let first = (count / 2).saturating_sub(median / 2).max(best);
    let named = |rank, range: std::ops::Range<usize>| range.map(move |at| (rank, at));
    let middle = named("median", first..(first + median).min(worst));
    named("best", 0..best).chain(middle).chain(named("worst", worst..count)).collect()
}

#[derive(Serialize)]
struct Traces {
    scores: String,
    /// Stimuli of the tier, of which the first [`TRACE_LENGTH`] are shown.
    stimuli: usize,
    /// Of movies, whose samples are shown in their order, how many there are in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_hz: Option<f64>,
    neurons: Vec<Trace>,
}

/// One neuron; vectors have one element per stimulus.
#[derive(Debug, Default, Serialize)]
struct Trace {
    neuron: usize,
    unit_id: i64,
    rank: &'static str,
    single_trial_correlation: f64,
    oracle: Option<f64>,
    stimulus: Vec<String>,
    recorded: Vec<f64>,
    recorded_sem: Vec<Option<f64>>,
    predicted: Vec<f64>,
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn standard_error(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let centre = mean(values);
    let squares: f64 = values.iter().map(|v| (v - centre).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt())
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|e| Error::data(e.to_string()))
}

/// What is known of the neurons of a simulated recording, all of them.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Type of each.
    pub types: &'a [usize],
    /// Row and column of each in the image, in pixels.
    pub centres: &'a [[f64; 2]],
}

/// Writes what can be said of a run's model before it is asked anything: the table of its neurons and, where it is a single
/// one, its parts.
///
/// # Errors
/// As [`write_parts`] and [`write_neurons`].
pub fn describe(twin: &Ensemble, run: &RunFolder, session: &Session, known: Option<Known<'_>>) -> Result<()> {
    write_neurons(twin, run, Some(session))?;
    twin.single().map_or(Ok(()), |single| write_parts(single, run, known))
}

/// Whether [`describe`] has written all it can of the single model that the run keeps now.
pub fn is_described(run: &RunFolder) -> bool {
    let model = run.model();
    let tables = run.neurons().is_file() && run.neurons_csv().is_file();
    tables && !model.is_empty() && array::note(&parts_file(run), MODEL) == Some(model)
}

/// Name, in the metadata of the parts, of the model they are of.
const MODEL: &str = "model";

fn parts_file(run: &RunFolder) -> PathBuf {
    run.explain("parts").join("parts.safetensors")
}

/// Writes `explain/parts/parts.safetensors`: kernels, masks, barcodes and receptive fields for the report, with what is
/// `known` of the neurons.
///
/// # Errors
/// [`Kind::Io`](crate::error::Kind::Io) when it cannot be written.
pub fn write_parts(twin: &Twin, run: &RunFolder, known: Option<Known<'_>>) -> Result<()> {
    let mut parts = twin.parts();
    let numbers = |values: Vec<f32>| array::Array { shape: vec![values.len()], values };
    let neurons = twin.card.neurons.len();
    if parts.contains_key("masks") {
        parts.insert("masks_neuron".into(), numbers((0..neurons).map(|n| n as f32).collect()));
    }
    parts.insert("image_shape".into(), numbers(twin.card.image_shape.map(|side| side as f32).to_vec()));
    if let Some(known) = known {
        let types = twin.card.neurons.iter().map(|&n| known.types[n] as f32);
        parts.insert("truth_type".into(), numbers(types.collect()));
        let centres = twin.card.neurons.iter().flat_map(|&n| known.centres[n].map(|at| at as f32));
        let centres = array::Array { shape: vec![neurons, 2], values: centres.collect() };
        parts.insert("truth_centres".into(), centres);
    }
    array::save_noted(&parts_file(run), &parts, Some([(MODEL.into(), twin.digest().to_owned())].into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_show_the_best_the_median_and_the_worst_and_none_twice() {
        let of = |count| {
            shown(count)
                .into_iter()
                .map(|(rank, at)| format!("{}{at}", &rank[..1]))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(of(100), "b0 b1 b2 b3 b4 b5 m49 m50 m51 w97 w98 w99");
        assert_eq!(of(12), "b0 b1 b2 b3 b4 b5 m6 m7 m8 w9 w10 w11");
        assert_eq!(of(4), "b0 b1 m2 w3");
        assert_eq!((of(1).as_str(), of(0).as_str()), ("b0", ""));
    }
}
