//! `striate explain RUN filters`: what moves each neuron of a twin, in space and time.

use std::fmt::Write;
use std::path::Path;

use striate::error::{Error, Result};
use striate::explain::filters::{self, Explanation, KEYS, Known, Options, Summary};
use striate::ops;
use striate::random::{generator, permutation};
use striate::recording::{Session, Stream, Tier};
use striate::run::RunFolder;
use striate::simulate::Truth;
use striate::twin::{self, State, Twin};

use super::super::Asked;
use super::Kind;
use crate::Common;

pub const KIND: Kind =
    Kind { name: "filters", meaning: "what moves each neuron, in space and time", keys: &KEYS, explain };

fn explain(
    run: &RunFolder,
    changes: &[(&str, &str)],
    data: Option<&Path>,
    common: &Common,
) -> Result<String> {
    let mut options = Options::default();
    changes.iter().try_for_each(|(key, value)| options.set(key, value))?;
    let device = ops::device(&common.device)?;
    let twin = Twin::load(run, &device)?;
    let asked = Asked::open(run, data)?;
    let session = asked.session()?;
    twin::require_own(run, session).map_err(|e| e.key("--data"))?;
    let truth = Truth::open(session)?;
    let samples = twin.card.model.core.receptive_frames();
    let clips = clips(session, &twin, samples, &options)?;
    // Behaviour and pupil at their means: what the eye does moves the filters.
    let gradients = twin.gradients(&clips, &State::default(), &device)?;
    let [channels, height, width] = twin.card.seen_shape();
    let all = twin.card.neurons.len();
    let count = if options.neurons == 0 { all } else { options.neurons.min(all) };
    let neurons = (0..count).map(|neuron| {
        let filter = filters::filter(&gradients.of(neuron), options.clips, samples);
        let known = truth.as_ref().and_then(|truth| known(truth, &twin, neuron, samples));
        (twin.card.unit_ids[neuron], filter, known)
    });
    let shape = [samples, channels, height, width];
    let rate = session.stimulus.rate_hz;
    let found = filters::explain(neurons.collect(), shape, rate, &options, twin.digest().to_owned());
    found.write(run)?;
    Ok(words(&found, &run.explain("filters")))
}

/// Frames of so many clips of the training tier, from trials and places drawn at random.
fn clips(session: &Session, twin: &Twin, samples: usize, options: &Options) -> Result<Vec<f32>> {
    let mut trials = session.require_tier(&Tier::Train)?;
    trials.retain(|trial| !twin.card.left_out.contains(trial) && session.trials[*trial].samples >= samples);
    if trials.is_empty() {
        let message = format!("no training trial has the {samples} samples that the model looks at");
        return Err(Error::data(message).file(&session.path));
    }
    let mut random = generator(options.seed, 0);
    let mut frames = Vec::new();
    while frames.len() < options.clips {
        frames.extend(permutation(&mut random, trials.len()));
    }
    let clip = |at: usize| {
        let trial = trials[at];
        let spare = session.trials[trial].samples - samples;
        let start = permutation(&mut random, spare + 1)[0];
        session.read_samples(Stream::Images, trial, start..start + samples)
    };
    let clips: Vec<Vec<f32>> = frames.into_iter().take(options.clips).map(clip).collect::<Result<_>>()?;
    Ok(clips.concat())
}

/// The true filters of a neuron, `[lag, pixel]` of the frame as the model sees it; none where it sees another.
fn known(truth: &Truth, twin: &Twin, neuron: usize, lags: usize) -> Option<Known> {
    let [_, height, width] = twin.card.seen_shape();
    let filters = truth.filters.as_ref().filter(|_| twin.card.seen_shape() == twin.card.image_shape)?;
    let neuron = twin.card.neurons[neuron];
    let count = if filters.linear[neuron] { 1 } else { 2 };
    let [top, left] = filters.corner[neuron];
    let whole = |filter: usize| {
        let mut all = vec![0.0; lags.max(filters.lags) * height * width];
        for (at, &value) in filters.filter(neuron, filter).iter().enumerate() {
            let (row, column) = (at / filters.side % filters.side, at % filters.side);
            let lag = at / (filters.side * filters.side);
            all[(lag * height + top + row) * width + left + column] = value;
        }
        all
    };
    let kind = truth.kinds()[truth.types[neuron]];
    Some(Known { kind, filters: (0..count).map(whole).collect() })
}

fn words(found: &Explanation, folder: &Path) -> String {
    let mut text = format!("{} neurons, {} clips\n\n", found.neurons.len(), found.options.clips);
    let _ = writeln!(
        text,
        "{:<16}{:>8}{:>14}{:>18}{:>16}{:>8}  peak within a sample",
        "", "neurons", "linear share", "peak, samples ago", "filter r", "null"
    );
    for Summary { kind, neurons, linear_share, peak, correlation, null, within_one } in &found.kinds {
        let number = |value: &Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
        let name = if kind.is_empty() { "all" } else { kind };
        let within = within_one.map_or("-".to_owned(), |share| format!("{:.0} %", 100.0 * share));
        let _ = writeln!(
            text,
            "{name:<16}{neurons:>8}{:>14}{:>18}{:>16}{:>8}  {within}",
            number(linear_share),
            peak.map_or("-".to_owned(), |peak| format!("{peak:.2}")),
            number(correlation),
            number(null)
        );
    }
    let _ = writeln!(text, "\nwrote {}", folder.display());
    text
}
