//! `striate explain RUN filters`: what moves each neuron of a twin, in space and time.

use std::fmt::Write;
use std::path::Path;

use striate::error::{Error, Result};
use striate::explain::filters::{self, Explanation, KEYS, Known, Options, Summary};
use striate::ops;
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
    let samples = twin.card.model.lost() + 1;
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
    let lengths: Vec<usize> = trials.iter().map(|&trial| session.trials[trial].samples).collect();
    let clip = |(at, start): (usize, usize)| {
        session.read_samples(Stream::Images, trials[at], start..start + samples)
    };
    let clips = filters::places(&lengths, samples, options).into_iter().map(clip);
    Ok(clips.collect::<Result<Vec<_>>>()?.concat())
}

/// The true filters of a neuron; none where the model sees frames of another size.
fn known(truth: &Truth, twin: &Twin, neuron: usize, lags: usize) -> Option<Known> {
    let [_, height, width] = twin.card.seen_shape();
    let filters = truth.filters.as_ref().filter(|_| twin.card.seen_shape() == twin.card.image_shape)?;
    let neuron = twin.card.neurons[neuron];
    let kind = truth.kinds()[truth.types[neuron]];
    Some(Known { kind, filters: filters.of_frame(neuron, [height, width], lags) })
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
