//! `striate score`: how well a twin predicts a tier.

use std::path::{Path, PathBuf};

use striate::error::{Error, Result};
use striate::ops;
use striate::recording::{self, Tier};
use striate::run::RunFolder;
use striate::score::{self, ClassScores, Null, Part, Preset, ScoreReport, Settings, Summary};
use striate::scoring::{self, Known, NoiseFree, Task};
use striate::simulate::Truth;
use striate::twin::Ensemble;

use super::{Asked, opened, opened_for, parts};
use crate::Common;
use crate::outcome::{DONE, Outcome};
use crate::print::one_line;

/// Score a fitted model on a tier, beside the same score on shuffled data.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  striate score runs/first
  striate score runs/first --tier validation --null shuffle-trials --json
  striate score runs/first --preset sensorium2022
  striate score runs/mouse --tier oracle --preset sensorium2023
  striate score runs/moving --preset xu2023

Presets score as competitions did. `sensorium2022` counts correlations of neurons without a value as 0. So does
`sensorium2023`, which is for videos: it joins trials along time without the first 50 samples of each, and divides
every frame of every neuron by the s.d. stored for it, as the competition's loader did; `sensorium2023-per-neuron`
is the same with one s.d. per neuron. `xu2023` scores freely moving mice as their paper: beside the scores of single
bins it gives those of responses smoothed over 2 s, over all test segments as one series and over each by itself.")]
pub struct Args {
    /// The run folder.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Another copy of the recording, or another recording of the same neurons, whose scores are printed and not kept; by
    /// default the one the run was fitted to.
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// The tier to score.
    #[arg(long, default_value = "test", value_name = "TIER")]
    tier: String,
    /// The session to score, of a run on several; all of them when not given.
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// Controls to compute: `shuffle-trials`, `shuffle-neurons`, `none`; both by default.
    #[arg(long, value_name = "KIND")]
    null: Vec<String>,
    /// Whose rules to follow: `leave-out` (neurons without a value are left out), or a competition's (see below).
    #[arg(long, default_value = Preset::default().id(), value_name = "NAME")]
    preset: String,
    /// Score each class of stimuli on its own, too: a CSV with the columns `class` and `trial` (counted from 0) or `stimulus`.
    /// Without it the recording may tell (`meta/trials/stimulus_class.npy`).
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// Print the whole result as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, common: &Common) -> Outcome {
    let settings = Settings { preset: args.preset.parse()?, ..Settings::default() };
    let nulls = nulls(&args.null)?;
    let run = opened(&args.run)?;
    let (data, classes) = (args.data.as_deref(), args.classes.as_deref());
    let mut each = Vec::new();
    let parts = parts(&run, args.session.as_deref())?;
    if parts.len() > 1 && classes.is_some() {
        return Err(Error::config("names trials of one session, and this run is of several")
            .key("--classes")
            .hint("score one at a time, with --session")
            .into());
    }
    let opened = opened_for(&run, data)?;
    for part in parts {
        let asked = Asked::of(&part, data, &opened)?;
        let scored = score_part(&part, &asked, &args.tier, classes, &nulls, settings, common);
        each.push(scored.map_err(|e| advised(e, &run, &part, args))?);
    }
    let all = (each.len() > 1).then(|| ScoreReport::joint(&run.name(), &each, &settings)).flatten();
    if let Some(all) = all.as_ref().filter(|_| data.is_none()) {
        scoring::write_joint(all, &run)?;
    }
    let each = each.iter().map(|part| &part.report);
    if args.json {
        answer!("{}\n", json(all.as_ref(), each)?)?;
    } else {
        let reports: Vec<&ScoreReport> = each.collect();
        match &all {
            Some(all) => say!("{}\n{}", table(all), by_session(all, &reports)),
            None => reports.into_iter().for_each(|report| say!("{}", table(report))),
        }
    }
    Ok(DONE)
}

/// What to try where one `part` of a `run` cannot be scored.
fn advised(error: Error, run: &RunFolder, part: &RunFolder, args: &Args) -> Error {
    let is_tier = error.place().key.as_deref() == Some("tiers");
    let asked = if args.session.is_some() { part } else { run };
    match asked.score_command().filter(|_| is_tier && args.data.is_none()) {
        Some(command) => error.hint(format!("one that is there: `{command}`")),
        None if part.session().is_some() && args.session.is_none() => error.hint(ALONE),
        None => error,
    }
}

const ALONE: &str = "score the other sessions one at a time, with --session";

/// The report on the only session, or that on all with those on each behind `sessions`.
fn json<'a>(
    all: Option<&ScoreReport>,
    each: impl Iterator<Item = &'a ScoreReport>,
) -> serde_json::Result<String> {
    let reports: Vec<&ScoreReport> = each.collect();
    match (all, reports.as_slice()) {
        (None, [report]) => serde_json::to_string_pretty(report),
        _ => serde_json::to_string_pretty(&All { all, sessions: &reports }),
    }
}

/// Reports on several sessions.
#[derive(serde::Serialize)]
struct All<'a> {
    #[serde(flatten)]
    all: Option<&'a ScoreReport>,
    sessions: &'a [&'a ScoreReport],
}

/// Scores a run of one session on a tier and writes the results into its folder, where they are of its own recording.
pub fn score_run(
    run: &RunFolder,
    data: Option<&Path>,
    tier: &str,
    classes: Option<&Path>,
    nulls: &[Null],
    settings: Settings,
    common: &Common,
) -> Result<ScoreReport> {
    let asked = Asked::open(run, data)?;
    Ok(score_part(run, &asked, tier, classes, nulls, settings, common)?.report)
}

/// As [`score_run`], of a run as one session sees it.
fn score_part(
    run: &RunFolder,
    asked: &Asked,
    tier: &str,
    classes: Option<&Path>,
    nulls: &[Null],
    settings: Settings,
    common: &Common,
) -> Result<Part> {
    let device = ops::device(&common.device)?;
    let twin = Ensemble::load(run, &device)?;
    let session = asked.session()?;
    let truth = Truth::open(session)?;
    let noise_free = truth.as_ref().map(|truth| |trial| truth.responses(trial));
    let classes = classes.map(|table| recording::read_classes(table, session)).transpose()?;
    let name = run.name();
    let task = Task {
        name: &name,
        tier: Tier::from(tier),
        provenance: Some(&asked.provenance),
        nulls,
        truth: noise_free.as_ref().map(|of| of as NoiseFree<'_>),
        classes: classes.as_deref(),
        settings,
    };
    let scores = scoring::score(&twin, session, &task, &device)?;
    if !asked.provenance.is_own() {
        tell!("not kept in {}, which was fitted to another recording", run.path().display());
        return Ok(scores.into_part());
    }
    scores.write(run)?;
    let centres = truth.as_ref().map(Truth::centres).unwrap_or_default();
    let known = truth.as_ref().map(|truth| Known { types: &truth.types, centres: &centres });
    scoring::describe(&twin, run, session, known)?;
    Ok(scores.into_part())
}

fn nulls(asked: &[String]) -> Result<Vec<Null>> {
    if asked.is_empty() {
        return Ok(Null::ALL.to_vec());
    }
    asked.iter().filter(|kind| *kind != "none").map(|kind| kind.parse()).collect()
}

/// One line per metric, and below them who was left out and what to know before comparing.
fn table(report: &ScoreReport) -> String {
    let cautions: String = report.cautions.iter().map(|caution| format!("{caution}\n\n")).collect();
    let samples = report.samples.map_or(String::new(), |samples| format!(" ({samples} samples)"));
    let preset = match report.preset.as_str() {
        id if id.is_empty() || id == Preset::default().id() => String::new(),
        id => format!(" · {id}"),
    };
    let mut text = format!(
        "{} · {} · tier {} · {} neurons · {} trials{samples}{preset}\n\n{cautions}{:<WIDTH$}{:>8}  {:<18}{:>8}{:>7}  null\n",
        one_line(&report.run),
        one_line(&report.recording),
        one_line(&report.tier),
        report.neurons,
        report.trials,
        "",
        "mean",
        "95 % interval",
        "median",
        "n"
    );
    let metrics: Vec<(&str, &Summary)> =
        score::in_order().filter_map(|id| Some((id, report.metrics.get(id)?))).collect();
    text.extend(metrics.iter().map(|(id, summary)| line(id, summary, report)));
    text.extend(report.omitted.iter().map(|(id, why)| format!("{id:<WIDTH$}{:>8}  {why}\n", "-")));
    text.extend(classes(report));
    let left_out = metrics.iter().filter(|(_, summary)| !summary.reasons.is_empty());
    let left_out = left_out.map(|(id, summary)| format!("{id}: without a value: {}", summary.left_out()));
    text.extend(left_out.chain(report.notes.iter().cloned()).map(|note| format!("\n{note}\n")));
    text
}

/// The correlation of each class of stimuli; those that were never trained on stand apart.
fn classes(report: &ScoreReport) -> Vec<String> {
    let mut lines = Vec::new();
    for (trained, words) in ClassScores::TRAINED {
        let of = report.classes.iter().filter(|(_, scores)| scores.trained == trained);
        let of: Vec<String> = of.filter_map(|(class, scores)| class_line(class, scores)).collect();
        if !of.is_empty() {
            lines.push(format!("\n{CORRELATION} by class of stimulus, {words}\n"));
            lines.extend(of);
        }
    }
    lines
}

fn class_line(class: &str, scores: &ClassScores) -> Option<String> {
    let summary = scores.metrics.get(CORRELATION)?;
    Some(format!(
        "  {:<width$}{}{:>7} trials\n",
        one_line(class),
        numbers(summary),
        scores.trials,
        width = WIDTH - 2
    ))
}

/// The score that classes are compared by.
const CORRELATION: &str = "single_trial_correlation";

/// One line per session under the means of what matters most, as far as `all` have it.
fn by_session(all: &ScoreReport, sessions: &[&ScoreReport]) -> String {
    const SHOWN: [&str; 4] =
        ["single_trial_correlation", "correlation_to_average", "fraction_oracle", "feve"];
    let held = |id: &str| format!("{id}_held");
    let id = |id: &str| if all.metrics.contains_key(&held(id)) { held(id) } else { id.to_owned() };
    let ids: Vec<String> = SHOWN.into_iter().map(id).filter(|id| all.metrics.contains_key(id)).collect();
    let heads: String = ids.iter().map(|id| format!("  {id}")).collect();
    let row = |report: &&ScoreReport| {
        let cells: String = ids
            .iter()
            .map(|id| {
                let mean = report.metrics.get(id).and_then(|summary| summary.mean);
                let text = mean.map_or("-".into(), |mean| format!("{mean:.3}"));
                format!("  {text:>width$}", width = id.len())
            })
            .collect();
        format!("{:<WIDTH$}{:>8}{:>8}{cells}\n", one_line(&report.recording), report.neurons, report.trials)
    };
    let rows: String = sessions.iter().map(row).collect();
    format!("{:<WIDTH$}{:>8}{:>8}{heads}\n{rows}", "session", "neurons", "trials")
}

/// Columns for the id of a metric.
const WIDTH: usize = 32;

fn line(id: &str, summary: &Summary, report: &ScoreReport) -> String {
    let nulls: Vec<String> = report
        .null
        .iter()
        .filter_map(|(kind, scores)| Some(format!("{:.3} ({kind})", scores.get(id)?.mean?)))
        .collect();
    format!("{id:<WIDTH$}{}  {}\n", numbers(summary), nulls.join(", "))
}

/// Mean, interval, median and number of neurons, each in its column.
fn numbers(summary: &Summary) -> String {
    let interval = summary.ci95.map_or(String::new(), |[low, high]| format!("[{low:.3}, {high:.3}]"));
    let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
    let median = if summary.n > 1 { number(summary.median) } else { String::new() };
    format!("{:>8}  {interval:<18}{median:>8}{:>7}", number(summary.mean), summary.n)
}
