//! What contradicts itself in a recording that can be read: each with its place, none of it fatal.

use std::collections::{BTreeMap, BTreeSet};

use super::extent::Scan;
use crate::recording::{Session, Stream, Tier};

/// Everything odd about a session whose streams were scanned.
pub(super) fn contradictions(session: &Session, scans: &BTreeMap<Stream, Scan>) -> Vec<String> {
    let scan = |stream| scans.get(&stream);
    let mut found = Vec::new();
    found.extend(repeated_ids(session));
    found.extend(positions(session));
    found.extend(channels_last(session));
    found.extend(shared_stimuli(session));
    found.extend(repeated_trials(session));
    found.extend(missing_tiers(session));
    if let Some(images) = scan(Stream::Images) {
        found.extend(contents(session, images));
        found.extend(blank_images(session, images));
    }
    if let Some(responses) = scan(Stream::Responses) {
        found.extend(negative(session, responses));
        found.extend(copied_responses(session, responses));
    }
    for stream in [Stream::Behavior, Stream::PupilCenter] {
        found.extend(scan(stream).and_then(|scan| unchanging(stream, scan)));
    }
    found.extend(scans.iter().filter_map(|(stream, scan)| statistics(session, *stream, scan)));
    found
}

/// Up to three of them, and how many there are.
fn some<T: ToString>(all: &[T]) -> String {
    let first: Vec<String> = all.iter().take(3).map(T::to_string).collect();
    first.join(", ") + if all.len() > 3 { ", …" } else { "" }
}

fn repeated_ids(session: &Session) -> Option<String> {
    let mut seen = BTreeSet::new();
    let again: BTreeSet<i64> = session.neurons.ids.iter().copied().filter(|id| !seen.insert(*id)).collect();
    let again: Vec<i64> = again.into_iter().collect();
    let words = || format!("unit_ids: {} belong to several neurons ({})", again.len(), some(&again));
    (!again.is_empty()).then(words)
}

fn positions(session: &Session) -> Option<String> {
    let all = session.neurons.position_um.as_ref()?;
    let rows: Vec<usize> = (0..all.len()).filter(|&n| all[n].iter().any(|at| !at.is_finite())).collect();
    let first = *rows.first()?;
    let file = session.source.table("meta/neurons/cell_motor_coordinates.npy");
    Some(format!(
        "{}: {} of {} positions are not finite, the first in row {first} (unit_id {}); a readout that uses positions \
         needs these neurons left out",
        file.display(),
        rows.len(),
        all.len(),
        session.neurons.ids[first]
    ))
}

fn channels_last(session: &Session) -> Option<String> {
    let [channels, height, width] = session.image_shape();
    (channels > 4 && width <= 4 && width > 0).then(|| {
        format!(
            "images have {channels} channels of {height} × {width} pixels; are they stored as [height, width, channel]? \
             [channel, height, width] is expected"
        )
    })
}

/// What a session shows, for people.
fn shown(session: &Session) -> &'static str {
    if session.has_clips() { "movies" } else { "images" }
}

/// Stimuli of the training tier that a model is chosen or judged on, too.
fn shared_stimuli(session: &Session) -> Vec<String> {
    let ids = |tier: &Tier| -> BTreeSet<&str> {
        session.trials_of(tier).into_iter().map(|trial| session.trials[trial].stimulus_id.as_str()).collect()
    };
    let train = ids(&Tier::Train);
    let judged = session.tiers().into_keys().filter(Tier::is_judged_on);
    judged
        .filter_map(|tier| {
            let shared: Vec<&str> = ids(&tier).intersection(&train).copied().collect();
            let words = || {
                format!(
                    "{} {} of tier `{tier}` are in tier `train`, too ({}): a score on it is no prediction",
                    shared.len(),
                    shown(session),
                    some(&shared)
                )
            };
            (!shared.is_empty()).then(words)
        })
        .collect()
}

fn repeated_trials(session: &Session) -> Option<String> {
    let mut seen = BTreeSet::new();
    let again: Vec<&str> =
        session.trials.iter().map(|trial| trial.id.as_str()).filter(|id| !seen.insert(*id)).collect();
    let words = || format!("trial_idx: {} trials have the name of another ({})", again.len(), some(&again));
    (!again.is_empty()).then(words)
}

/// A fit needs a tier to fit on, a score one to score on.
fn missing_tiers(session: &Session) -> Option<String> {
    let none = session.trials_of(&Tier::Train).is_empty();
    none.then(|| "no trial has tier `train`, so nothing can be fitted to this recording".to_owned())
}

/// Where numbers of images and what they show disagree.
fn contents(session: &Session, images: &Scan) -> Vec<String> {
    let mut of_id: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
    let mut of_content: BTreeMap<u64, (&str, usize)> = BTreeMap::new();
    let (mut differ, mut same) = (Vec::new(), Vec::new());
    for (&trial, &content) in &images.contents {
        let id = session.trials[trial].stimulus_id.as_str();
        let (known, first) = *of_id.entry(id).or_insert((content, trial));
        if known != content {
            differ.push(format!("trials {first} and {trial} with `{id}`"));
        }
        let (known, first) = *of_content.entry(content).or_insert((id, trial));
        if known != id {
            same.push(format!("trials {first} and {trial} with `{known}` and `{id}`"));
        }
    }
    let mut found = Vec::new();
    let what = shown(session).trim_end_matches('s');
    if !differ.is_empty() {
        found.push(format!("{} trials have the id of another {what}: {}", differ.len(), some(&differ)));
    }
    if !same.is_empty() {
        found.push(format!("{} trials show the {what} of another id: {}", same.len(), some(&same)));
    }
    found
}

fn blank_images(session: &Session, images: &Scan) -> Option<String> {
    let (blank, what) = (&images.constant_trials, shown(session));
    let words = || format!("{} {what} have one value in all pixels (trials {})", blank.len(), some(blank));
    (!blank.is_empty()).then(words)
}

/// Rates may be a little below 0, as a fit allows; z-scores are far below.
fn negative(session: &Session, responses: &Scan) -> Option<String> {
    const LITTLE: f32 = 0.01;
    let ranges = || responses.extents().map(|extent| extent.range().unwrap_or_default());
    let most = ranges().fold(0f32, |most, [_, high]| most.max(high));
    let ids = ranges().zip(&session.neurons.ids).filter(|([low, _], _)| -low > LITTLE * most);
    let below: Vec<i64> = ids.map(|(_, id)| *id).collect();
    let words = || {
        format!(
            "{} neurons have responses below 0 (ids {}): they are no rates, and a Poisson loss has no meaning for them",
            below.len(),
            some(&below)
        )
    };
    (!below.is_empty()).then(words)
}

/// Noise never repeats itself in all neurons; counts and silence may.
fn copied_responses(session: &Session, responses: &Scan) -> Option<String> {
    const FRACTIONS: usize = 5;
    let is_noise = |trial: usize| {
        let values = session.read_as_stored(Stream::Responses, trial).unwrap_or_default();
        let fractions = values.iter().filter(|value| value.fract() != 0.0);
        fractions.map(|value| value.to_bits()).collect::<BTreeSet<u32>>().len() >= FRACTIONS
    };
    let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
    let mut copies = Vec::new();
    for (&trial, &content) in &responses.contents {
        let first = *seen.entry(content).or_insert(trial);
        if first != trial && is_noise(trial) {
            copies.push(format!("{first} and {trial}"));
        }
    }
    let words = || {
        format!("{} trials have the responses of another, in all neurons ({})", copies.len(), some(&copies))
    };
    (!copies.is_empty()).then(words)
}

fn unchanging(stream: Stream, scan: &Scan) -> Option<String> {
    let same = scan.constant();
    let all = scan.extents().count();
    let words = || format!("`{stream}`: {} of {all} variables never change ({})", same.len(), some(&same));
    (!same.is_empty()).then(words)
}

/// Whether stored means lie within what was recorded, and s.d. are not negative and not larger than the range allows.
fn statistics(session: &Session, stream: Stream, scan: &Scan) -> Option<String> {
    let stored = session.statistics.get(&stream).filter(|stored| stored.samples == 1)?;
    let whole =
        scan.extents().filter_map(|extent| extent.range()).reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])])?;
    let range = |element: usize| match stored.mean.len() {
        1 => Some(whole),
        _ => scan.extents().nth(element)?.range(),
    };
    let wrong = (0..stored.mean.len()).find(|&element| {
        let Some([low, high]) = range(element) else { return false };
        let (mean, sd) = (stored.mean[element], stored.std.get(element).copied().unwrap_or(stored.std[0]));
        let slack = 1e-3 * (high - low).max(high.abs().max(low.abs()));
        mean < low - slack || mean > high + slack || sd < 0.0 || sd > (high - low) + slack
    })?;
    let file = session.source.table(&format!("meta/statistics/{stream}/all"));
    let [low, high] = range(wrong)?;
    Some(format!(
        "{}: mean {} and s.d. {} of element {wrong} cannot be those of values from {low} to {high}",
        file.display(),
        stored.mean[wrong],
        stored.std.get(wrong).copied().unwrap_or(stored.std[0])
    ))
}
