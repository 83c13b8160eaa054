//! Folders of experanto: one per modality, each with a clock of its own.
//!
//! `screen/timestamps.npy` has the time of every frame, `screen/meta/00000.yml` says which of them a trial showed, and
//! `screen/data/00000.npy` holds them. Every other folder is a sequence: `meta.yml` with its rate and start, and `data.npy`, or
//! `data.mem` without a header. Trials are the images and videos; the clock of the session is that of the videos.
//!
//! # Source
//! The documentation and test data of github.com/sensorium-competition/experanto.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::rule::{Rule, Times};
use super::signal::{Grid, Signal, Track};
use super::yaml::{self, Meta, number, text, whole};
use super::{Parts, Signals, count_of, session};
use crate::disk;
use crate::error::{Error, Result};
use crate::hash::Digest;
use crate::recording::files::missing;
use crate::recording::root::Root;
use crate::recording::samples::Samples;
use crate::recording::{Format, Neurons, Session, Stream, Trial};

/// The entry in the list of formats.
pub const FORMAT: Format = Format {
    id: "experanto",
    layout: "a folder with screen/{timestamps.npy,meta/,data/} and responses/{meta.yml,data.npy} of experanto",
    recognise: |root| root.has(TIMES) && root.has("responses/meta.yml"),
    open,
};

const TIMES: &str = "screen/timestamps.npy";
/// Rows and pixels of each by which stimuli are told apart.
const TOLD_BY: usize = 64;
/// Values by which a sequence may be longer or shorter than its meta says: the time of the last, or its end.
const ENDS: f64 = 2.0;
/// Part of its length by which it may be so with a word.
const DRIFT: f64 = 0.01;
/// How much faster a signal is than the session to be averaged.
const FASTER: f64 = 1.01;

/// A trial, and the frames of it.
struct Shown {
    key: String,
    is_video: bool,
    tier: Option<String>,
    times: Vec<f64>,
    /// Time of the frame after the last, of whatever trial.
    next: Option<f64>,
    /// Lengths of the sides of a frame, in one order or the other, where they are told.
    sides: Option<[usize; 2]>,
}

fn open(root: &Root) -> Result<Session> {
    let mut warnings = Vec::new();
    let shown = shown(root, &mut warnings)?;
    let rate_hz = rate(&shown);
    let mut signals = BTreeMap::new();
    let frames = shown.iter().map(|shown| frames(root, shown).map(Some));
    signals.insert(Stream::Images, Signals::PerTrial(frames.collect::<Result<_>>()?));
    let responses = sequence(root, "responses", rate_hz, &mut warnings)?;
    let neurons = Neurons { ids: (0..responses.width() as i64).collect(), ..Neurons::default() };
    warnings.push("neurons are numbered from 0, in the order of the responses".to_owned());
    signals.insert(Stream::Responses, Signals::Beside(vec![responses]));
    let (behavior, names) = behavior(root, rate_hz, &mut warnings)?;
    let mut variables = BTreeMap::new();
    if !behavior.is_empty() {
        signals.insert(Stream::Behavior, Signals::Beside(behavior));
        variables.insert(Stream::Behavior, names);
    }
    let trials: Vec<(Trial, Grid)> =
        shown.iter().map(|shown| trial(root, shown, rate_hz)).collect::<Result<_>>()?;
    let (trials, grids) = trials.into_iter().unzip();
    session(Parts {
        id: root.name(),
        format: FORMAT.id,
        path: root.place(""),
        rate_hz,
        neurons,
        trials,
        grids,
        signals,
        variables,
        table: root.place("screen/meta"),
        classes: None,
        stamp: root.stamp(),
        warnings,
    })
}

/// The images and videos, without what was blank between them.
fn shown(root: &Root, warnings: &mut Vec<String>) -> Result<Vec<Shown>> {
    let times = root.array(TIMES, 1 << 27)?.to_f64().map_err(|error| error.file(root.place(TIMES)))?;
    let Times::Stamps(times) = Times::stamps(times, 0.0).map_err(|error| error.file(root.place(TIMES)))?
    else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for (key, meta) in trials(root)? {
        let placed = |error: Error| error.file(root.place(&format!("screen/meta/{key}.yml")));
        let modality = text(&meta, "modality").unwrap_or("none");
        if modality != "image" && modality != "video" {
            continue;
        }
        let first = whole(&meta, "first_frame_idx").map_err(placed)?;
        let count = if modality == "image" { 1 } else { whole(&meta, "num_frames").map_err(placed)? };
        let Some(own) =
            first.checked_add(count).and_then(|end| times.get(first..end)).filter(|own| !own.is_empty())
        else {
            let message = format!("shows {count} frames from frame {first} on, {TIMES} has {}", times.len());
            return Err(placed(Error::data(message)));
        };
        found.push(Shown {
            is_video: count > 1,
            tier: text(&meta, "tier").map(str::to_owned),
            times: own.to_vec(),
            next: times.get(first + count).copied(),
            sides: sides(&meta),
            key,
        });
    }
    if found.is_empty() {
        return Err(Error::data("has no trial with an image or a video").file(root.place("screen/meta")));
    }
    let without = found.iter().filter(|shown| shown.tier.is_none()).count();
    if without > 0 {
        warnings.push(format!("{without} trials have no tier: they are in tier `none`"));
    }
    Ok(found)
}

fn sides(meta: &Meta) -> Option<[usize; 2]> {
    let told: Vec<usize> = meta.get("image_size")?.iter().filter_map(|side| side.parse().ok()).collect();
    told.try_into().ok()
}

/// What is known of each trial, by the name of its files; frames of which nothing is known are frames of a trial that is lost.
fn trials(root: &Root) -> Result<BTreeMap<String, Meta>> {
    const ALL: &str = "screen/combined_meta.json";
    let is_trial = |stem: &str| !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit());
    let mut found = BTreeMap::new();
    for entry in root.list("screen/meta")? {
        if let Some(stem) = entry.name.strip_suffix(".yml").filter(|stem| is_trial(stem)) {
            found.insert(stem.to_owned(), yaml::read(root, &format!("screen/meta/{}", entry.name))?);
        }
    }
    if found.is_empty() && root.has(ALL) {
        let damaged =
            |e: serde_json::Error| Error::data(format!("is no readable JSON: {e}")).file(root.place(ALL));
        let all: BTreeMap<String, BTreeMap<String, Value>> =
            serde_json::from_slice(&root.read(ALL, disk::TABLE)?).map_err(damaged)?;
        let plain = |value: Value| match value {
            Value::Array(list) => list.iter().map(scalar).collect(),
            value => vec![scalar(&value)],
        };
        let trial = |meta: BTreeMap<String, Value>| meta.into_iter().map(|(key, value)| (key, plain(value)));
        found = all.into_iter().map(|(key, meta)| (key, trial(meta).collect())).collect();
    }
    for entry in root.list("screen/data")? {
        let stem = entry.name.split('.').next().filter(|stem| is_trial(stem));
        if let Some(lost) = stem.filter(|stem| !found.contains_key(*stem)) {
            return Err(missing(root.place(&format!("screen/meta/{lost}.yml"))));
        }
    }
    Ok(found)
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Samples per second of the videos; none where there are only images, each of which is a sample.
fn rate(shown: &[Shown]) -> Option<f64> {
    let videos = shown.iter().filter(|shown| shown.is_video);
    let rate = |of: &Shown| (of.times.len() - 1) as f64 / (of.times[of.times.len() - 1] - of.times[0]);
    let mut rates: Vec<f64> = videos.map(rate).filter(|rate| rate.is_finite()).collect();
    rates.sort_by(f64::total_cmp);
    // Clocks of screens are told to three digits.
    rates.get(rates.len() / 2).map(|rate| (rate * 1e3).round() / 1e3)
}

/// The frames of a trial, at their times.
fn frames(root: &Root, shown: &Shown) -> Result<Signal> {
    let name = format!("screen/data/{}.npy", shown.key);
    let film = name.replace(".npy", ".mp4");
    if !root.has(&name) && root.has(&film) {
        return Err(Error::data("is a compressed video, which is not read").file(root.place(&film)).hint(format!(
            "write its frames, [frame, height, width], as {name}: `ffmpeg -i {key}.mp4 -f rawvideo -pix_fmt gray {key}.raw`, \
             then `numpy.save(\"{key}.npy\", numpy.fromfile(\"{key}.raw\", \"u1\").reshape(-1, height, width))`",
            key = shown.key
        )));
    }
    let stored = Samples::open(root, &name)?;
    // A single image may lack the axis of frames.
    let samples = if stored.shape().len() == 1 { stored.into_one() } else { stored };
    if samples.len() != shown.times.len() {
        let message = format!("has {} frames, {} were shown", samples.len(), shown.times.len());
        return Err(Error::data(message).file(samples.place()));
    }
    let shape = samples.shape();
    let stored: [usize; 2] = std::array::from_fn(|side| shape.iter().rev().nth(side).copied().unwrap_or(0));
    if let Some(told) = shown.sides.filter(|told| *told != stored && [told[1], told[0]] != stored) {
        let message = format!("has frames of {shape:?}, `image_size` in its meta says {told:?}");
        return Err(Error::data(message).file(samples.place()));
    }
    let times = Arc::new(Times::Stamps(shown.times.clone()));
    Ok(Signal::Track(Track { samples, times, rule: Rule::Hold, column: None }))
}

fn trial(root: &Root, shown: &Shown, rate_hz: Option<f64>) -> Result<(Trial, Grid)> {
    let (start_s, last) = (shown.times[0], shown.times[shown.times.len() - 1]);
    let samples = |lasts_s: f64, rate: f64, more: f64| {
        count_of((lasts_s * rate).round() + more, lasts_s)
            .map_err(|error| error.file(root.place(TIMES)).key(&shown.key))
    };
    let (samples, step_s) = match rate_hz {
        Some(rate) if shown.is_video => (samples(last - start_s, rate, 1.0)?, 1.0 / rate),
        Some(rate) => {
            let end = shown.next.unwrap_or(start_s + 1.0 / rate);
            (samples(end - start_s, rate, 0.0)?.max(1), 1.0 / rate)
        }
        None => (1, shown.next.map_or(1.0, |next| next - start_s)),
    };
    let name = format!("screen/data/{}.npy", shown.key);
    let (shape, pixels) = root.rows(&name, TOLD_BY, TOLD_BY)?;
    let content = Digest::default().bytes(format!("{shape:?}")).numbers(&pixels).finish();
    let trial = Trial {
        id: shown.key.clone(),
        tier: shown.tier.clone().unwrap_or_else(|| "none".to_owned()).into(),
        stimulus_id: format!("stimulus-{}", &content[..12]),
        has_stimulus: true,
        samples,
    };
    Ok((trial, Grid { start_s, step_s }))
}

/// The sequences beside the responses, and names of their columns.
fn behavior(
    root: &Root,
    rate_hz: Option<f64>,
    warnings: &mut Vec<String>,
) -> Result<(Vec<Signal>, Vec<String>)> {
    let (mut signals, mut names) = (Vec::new(), Vec::new());
    for entry in root.list("")?.into_iter().filter(|entry| entry.is_folder) {
        let name = entry.name;
        if name == "screen" || name == "responses" || !root.has(&format!("{name}/meta.yml")) {
            continue;
        }
        let signal = sequence(root, &name, rate_hz, warnings)?;
        match signal.width() {
            1 => names.push(name),
            several => names.extend((0..several).map(|column| format!("{name}_{column}"))),
        }
        signals.push(signal);
    }
    Ok((signals, names))
}

/// The sequence in the folder `name`: averaged where it is faster than the session, on lines where it is slower.
fn sequence(root: &Root, name: &str, rate_hz: Option<f64>, warnings: &mut Vec<String>) -> Result<Signal> {
    let file = format!("{name}/meta.yml");
    let meta = yaml::read(root, &file)?;
    let read = || {
        let modality = text(&meta, "modality").unwrap_or("sequence");
        if modality != "sequence" {
            return Err(Error::data(format!(
                "is of modality `{modality}`, which is not read: a sequence is"
            ))
            .hint("name its files in a TOML instead; `striate convert --example` prints one"));
        }
        let samples = match text(&meta, "is_mem_mapped") {
            Some("true" | "True") => {
                let shape = [whole(&meta, "n_timestamps")?, whole(&meta, "n_signals")?];
                let dtype = text(&meta, "dtype").unwrap_or_default();
                Samples::raw(root, &format!("{name}/data.mem"), &descr(dtype), &shape)?
            }
            _ => Samples::open(root, &format!("{name}/data.npy"))?,
        };
        let (own, start_s) = (number(&meta, "sampling_rate")?, number(&meta, "start_time")?);
        if own <= 0.0 {
            return Err(Error::data(format!("is {own}, expected more than 0")).key("sampling_rate"));
        }
        let signals: usize = samples.shape().iter().product();
        counted(&meta, "n_timestamps", samples.len())?;
        counted(&meta, "n_signals", signals)?;
        let odd = duration(&meta, samples.len(), own, start_s)?;
        let times = Times::Regular { start_s, rate_hz: own, count: samples.len() };
        let rule = match rate_hz {
            Some(rate) if own < rate * FASTER => Rule::Linear,
            _ => Rule::Mean,
        };
        Ok((Signal::Track(Track { samples, times: Arc::new(times), rule, column: None }), odd))
    };
    if matches!(text(&meta, "phase_shift_per_signal"), Some("true" | "True")) {
        warnings
            .push(format!("{name}: each signal is shifted within a sample, which is not taken into account"));
    }
    let (signal, odd) = read().map_err(|error: Error| error.file(root.place(&file)))?;
    warnings.extend(odd.map(|words| format!("{name}: {words}")));
    Ok(signal)
}

/// That the meta of a sequence counts as many as its data hold, where it tells.
fn counted(meta: &Meta, key: &str, stored: usize) -> Result<()> {
    if text(meta, key).is_none() || whole(meta, key)? == stored {
        return Ok(());
    }
    Err(Error::data(format!("is {}, its data hold {stored}", whole(meta, key)?)).key(key))
}

/// Whether so many values last as long as the meta says: a sentence where they do by and large, an error where another rate is
/// meant.
fn duration(meta: &Meta, count: usize, rate_hz: f64, start_s: f64) -> Result<Option<String>> {
    if text(meta, "end_time").is_none() {
        return Ok(None);
    }
    let (lasts_s, told_s) = (count as f64 / rate_hz, number(meta, "end_time")? - start_s);
    let differs = (lasts_s - told_s).abs();
    let words = format!(
        "{count} values at {rate_hz} per second last {lasts_s} s, from `start_time` to `end_time` are {told_s} s"
    );
    if differs <= ENDS / rate_hz {
        return Ok(None);
    }
    if differs <= DRIFT * lasts_s { Ok(Some(words)) } else { Err(Error::data(words).key("sampling_rate")) }
}

/// NumPy's short name of a type: `<f4` of `float32`.
fn descr(dtype: &str) -> String {
    for (word, letter) in [("float", 'f'), ("uint", 'u'), ("int", 'i')] {
        if let Some(Ok(bits)) = dtype.strip_prefix(word).map(str::parse::<u32>) {
            return format!("<{letter}{}", bits / 8);
        }
    }
    dtype.to_owned()
}
