//! Static recordings in the layout of the Sensorium 2022 competition, also used by Lurz et al. 2020.
//!
//! One folder or zip per session: one `.npy` file per trial and stream under `data/`, tables of
//! neurons and trials and statistics under `meta/`.
//!
//! # Source
//! Willeke et al. 2022 (arXiv 2206.08666), data at gin.g-node.org/cajal/Sensorium2022.

use std::collections::{BTreeMap, BTreeSet};

use super::files;
use super::npy::Array;
use super::root::Root;
use super::{
    Format, Neurons, Session, Statistics, StimulusInfo, Stream, StreamInfo, Tier, Trial, TrialSource, finite,
};
use crate::error::{Error, Result};

/// The entry in the list of formats.
pub const FORMAT: Format = Format {
    id: "sensorium2022",
    layout: "a folder with data/{images,responses,…}/<trial>.npy and meta/{neurons,trials,…}/<table>.npy",
    recognise,
    open,
};

const TIERS: &str = "meta/trials/tiers.npy";
const IMAGE_IDS: &str = "meta/trials/frame_image_id.npy";
const TRIAL_IDS: &str = "meta/trials/trial_idx.npy";
const UNIT_IDS: &str = "meta/neurons/unit_ids.npy";
/// Tier names that published recordings use.
const KNOWN_TIERS: [&str; 6] = ["train", "validation", "test", "final_test", "oracle", "none"];
/// More elements than any trial has; the first trial of a stream is read before its shape is known.
const FIRST_TRIAL: usize = 1 << 22;

fn recognise(root: &Root) -> bool {
    (root.has(TIERS) || root.has_any("data/responses")) && !root.has_any("data/videos")
}

fn open(root: &Root) -> Result<Session> {
    let present = Present::list(root)?;
    let mut warnings = Vec::new();
    let trials = trials(root, &present, &mut warnings)?;
    let streams = streams(root, &present)?;
    let neurons = neurons(root, &streams, &mut warnings)?;
    let images = streams.iter().find(|info| info.stream == Stream::Images);
    Ok(Session {
        id: root.name(),
        format: FORMAT.id,
        path: root.place(""),
        stimulus: StimulusInfo {
            kind: "image",
            shape: images.map(|info| info.shape.clone()).unwrap_or_default(),
            rate_hz: None,
        },
        statistics: statistics(root, &streams)?,
        licence: None,
        source: Box::new(TrialFiles(root.clone())),
        neurons,
        trials,
        streams,
        warnings,
    })
}

/// Which trials have a file, per stream.
struct Present {
    images: BTreeSet<usize>,
    responses: BTreeSet<usize>,
    behavior: BTreeSet<usize>,
    pupil_center: BTreeSet<usize>,
}

impl Present {
    fn list(root: &Root) -> Result<Self> {
        Ok(Self {
            images: trial_files(root, Stream::Images)?,
            responses: trial_files(root, Stream::Responses)?,
            behavior: trial_files(root, Stream::Behavior)?,
            pupil_center: trial_files(root, Stream::PupilCenter)?,
        })
    }

    fn streams(&self) -> [(Stream, &BTreeSet<usize>); 4] {
        [
            (Stream::Images, &self.images),
            (Stream::Responses, &self.responses),
            (Stream::Behavior, &self.behavior),
            (Stream::PupilCenter, &self.pupil_center),
        ]
    }
}

fn trial_file(stream: Stream, trial: usize) -> String {
    format!("data/{stream}/{trial}.npy")
}

fn trial_files(root: &Root, stream: Stream) -> Result<BTreeSet<usize>> {
    let index = |name: &str| {
        let stem = name.strip_suffix(".npy")?;
        stem.parse().ok().filter(|index: &usize| index.to_string() == stem)
    };
    Ok(root.list(&format!("data/{stream}"))?.iter().filter_map(|entry| index(&entry.name)).collect())
}

fn trials(root: &Root, present: &Present, warnings: &mut Vec<String>) -> Result<Vec<Trial>> {
    if present.responses.is_empty() {
        return Err(missing(root, Stream::Responses, 0));
    }
    let tiers = root.array(TIERS, present.responses.len())?;
    let count = tiers.shape.first().copied().unwrap_or(0);
    check_counts(root, present, count)?;
    let tiers = column(root, TIERS, tiers, count, Array::to_strings)?;
    let stimuli = stimulus_ids(root, count, warnings)?;
    let rows = trial_ids(root, count)?.into_iter().zip(tiers).zip(stimuli).enumerate();
    let trials = rows.map(|(index, ((id, tier), stimulus_id))| Trial {
        id,
        tier: tier.into(),
        stimulus_id,
        has_stimulus: present.images.contains(&index),
    });
    let trials: Vec<Trial> = trials.collect();
    warnings.extend(unknown_tiers(&trials));
    warnings.extend(missing_images(root, &trials)?);
    Ok(trials)
}

/// Every trial in the table has its files, and every file has its trial.
fn check_counts(root: &Root, present: &Present, count: usize) -> Result<()> {
    if count == 0 {
        return Err(Error::data("lists no trials").file(root.place(TIERS)).key("tiers"));
    }
    for (stream, found) in present.streams() {
        if let Some(&extra) = found.range(count..).next() {
            let message = format!("belongs to no trial: {TIERS} lists {count}");
            return Err(Error::data(message)
                .file(root.place(&trial_file(stream, extra)))
                .trial(extra)
                .key(stream.name()));
        }
        let optional = stream != Stream::Responses && found.is_empty();
        // Images may be withheld for a whole tier, which is told apart once the tiers are known.
        if found.len() < count && stream != Stream::Images && !optional {
            let gap = (0..count).find(|trial| !found.contains(trial)).unwrap_or(0);
            return Err(missing(root, stream, gap));
        }
    }
    Ok(())
}

fn missing(root: &Root, stream: Stream, trial: usize) -> Error {
    files::missing(root.place(&trial_file(stream, trial))).trial(trial).key(stream.name())
}

/// A table with one entry per trial or neuron.
fn column<T>(
    root: &Root,
    name: &str,
    array: Array,
    count: usize,
    read: impl Fn(&Array) -> Result<Vec<T>>,
) -> Result<Vec<T>> {
    let key = name.rsplit('/').next().unwrap_or(name).trim_end_matches(".npy");
    array
        .expect(&[count])
        .and_then(|array| read(&array))
        .map_err(|error| error.file(root.place(name)).key(key))
}

fn stimulus_ids(root: &Root, count: usize, warnings: &mut Vec<String>) -> Result<Vec<String>> {
    if root.has(IMAGE_IDS) {
        return column(root, IMAGE_IDS, root.array(IMAGE_IDS, count)?, count, Array::to_strings);
    }
    warnings.push(format!(
        "{IMAGE_IDS} is missing: every trial counts as another image, so repeats cannot be found"
    ));
    Ok((0..count).map(|trial| trial.to_string()).collect())
}

fn trial_ids(root: &Root, count: usize) -> Result<Vec<String>> {
    if root.has(TRIAL_IDS) {
        return column(root, TRIAL_IDS, root.array(TRIAL_IDS, count)?, count, Array::to_strings);
    }
    Ok((0..count).map(|trial| trial.to_string()).collect())
}

fn unknown_tiers(trials: &[Trial]) -> Option<String> {
    let mut unknown: BTreeMap<String, usize> = BTreeMap::new();
    for trial in trials {
        *unknown.entry(trial.tier.to_string()).or_default() += 1;
    }
    unknown.retain(|tier, _| !KNOWN_TIERS.contains(&tier.as_str()));
    let names: Vec<String> = unknown.iter().map(|(tier, n)| format!("`{tier}` ({n} trials)")).collect();
    (!names.is_empty()).then(|| format!("unusual tiers: {}", names.join(", ")))
}

/// A tier without any image has them withheld; a gap within a tier is damage.
fn missing_images(root: &Root, trials: &[Trial]) -> Result<Option<String>> {
    let mut tiers: BTreeMap<&Tier, (usize, Option<usize>)> = BTreeMap::new();
    for (index, trial) in trials.iter().enumerate() {
        let (shown, gap) = tiers.entry(&trial.tier).or_default();
        if trial.has_stimulus {
            *shown += 1;
        } else {
            gap.get_or_insert(index);
        }
    }
    let gap = tiers.values().filter(|(shown, _)| *shown > 0).find_map(|(_, gap)| *gap);
    if let Some(gap) = gap {
        return Err(missing(root, Stream::Images, gap));
    }
    let withheld = tiers.iter().filter(|(_, (shown, _))| *shown == 0);
    let names: Vec<String> = withheld.map(|(tier, _)| format!("`{tier}`")).collect();
    Ok((!names.is_empty()).then(|| format!("the images of tier {} are missing", names.join(", "))))
}

fn streams(root: &Root, present: &Present) -> Result<Vec<StreamInfo>> {
    let first = |(stream, files): (Stream, &BTreeSet<usize>)| files.first().map(|&trial| (stream, trial));
    present
        .streams()
        .into_iter()
        .filter_map(first)
        .map(|(stream, trial)| Ok(StreamInfo { stream, shape: first_shape(root, stream, trial)? }))
        .collect()
}

fn first_shape(root: &Root, stream: Stream, trial: usize) -> Result<Vec<usize>> {
    let name = trial_file(stream, trial);
    let placed = |error: Error| error.file(root.place(&name)).trial(trial).key(stream.name());
    let shape = root.array(&name, FIRST_TRIAL).map_err(placed)?.shape;
    let axes = if stream == Stream::Images { "[channel, height, width]" } else { "[value]" };
    let expected = if stream == Stream::Images { 3 } else { 1 };
    if shape.len() != expected || shape.contains(&0) {
        return Err(placed(Error::data(format!("has shape {shape:?}, expected {axes}"))));
    }
    Ok(shape)
}

fn neurons(root: &Root, streams: &[StreamInfo], warnings: &mut Vec<String>) -> Result<Neurons> {
    let responses = streams.iter().find(|info| info.stream == Stream::Responses);
    let count = responses.map_or(0, |info| info.shape[0]);
    Ok(Neurons {
        ids: unit_ids(root, count, warnings)?,
        position_um: positions(root, count)?,
        area: labels(root, "meta/neurons/area.npy", count)?,
        layer: labels(root, "meta/neurons/layer.npy", count)?,
    })
}

fn unit_ids(root: &Root, count: usize, warnings: &mut Vec<String>) -> Result<Vec<i64>> {
    if root.has(UNIT_IDS) {
        return per_neuron(root, UNIT_IDS, count, &[count])?
            .to_i64()
            .map_err(|error| error.file(root.place(UNIT_IDS)));
    }
    warnings.push(format!("{UNIT_IDS} is missing: neurons are numbered from 0"));
    Ok((0..count as i64).collect())
}

/// A table with a row for each of the neurons in the responses.
fn per_neuron(root: &Root, name: &str, neurons: usize, shape: &[usize]) -> Result<Array> {
    let elements = shape.iter().product();
    root.array(name, elements)?.expect(shape).map_err(|error| {
        error
            .file(root.place(name))
            .key("neurons")
            .hint(format!("the responses have {neurons} neurons; are all files of the same session?"))
    })
}

fn positions(root: &Root, count: usize) -> Result<Option<Vec<[f64; 3]>>> {
    let name = "meta/neurons/cell_motor_coordinates.npy";
    if !root.has(name) {
        return Ok(None);
    }
    let flat =
        per_neuron(root, name, count, &[count, 3])?.to_f64().map_err(|error| error.file(root.place(name)))?;
    Ok(Some(flat.as_chunks::<3>().0.to_vec()))
}

fn labels(root: &Root, name: &str, count: usize) -> Result<Option<Vec<String>>> {
    if !root.has(name) {
        return Ok(None);
    }
    per_neuron(root, name, count, &[count])?
        .to_strings()
        .map(Some)
        .map_err(|error| error.file(root.place(name)))
}

fn statistics(root: &Root, streams: &[StreamInfo]) -> Result<BTreeMap<Stream, Statistics>> {
    let folder = |stream: Stream| format!("meta/statistics/{stream}/all");
    let stored = streams.iter().filter(|info| root.has_any(&folder(info.stream)));
    stored
        .map(|info| {
            let read = |name: &str| moment(root, &format!("{}/{name}.npy", folder(info.stream)), info);
            Ok((info.stream, Statistics { mean: read("mean")?, std: read("std")? }))
        })
        .collect()
}

/// A statistic with one value for the stream, or one per element.
fn moment(root: &Root, name: &str, info: &StreamInfo) -> Result<Vec<f32>> {
    let elements: usize = info.shape.iter().product();
    let read = || {
        let array = root.array(name, elements)?;
        if array.len() == 1 || array.len() == elements {
            return finite(array.to_f32()?);
        }
        Err(Error::data(format!("has shape {:?}, one trial has {:?}", array.shape, info.shape)))
    };
    read().map_err(|error| error.file(root.place(name)).key(info.stream.name()))
}

/// One file per trial and stream.
#[derive(Debug)]
struct TrialFiles(Root);

impl TrialSource for TrialFiles {
    fn stamp(&self) -> Option<String> {
        self.0.stamp()
    }

    fn read(&self, stream: Stream, trial: usize, shape: &[usize]) -> Result<Vec<f32>> {
        self.read_as_stored(stream, trial, shape)
            .and_then(finite)
            .map_err(|error| self.placed(error, stream, trial))
    }

    fn read_as_stored(&self, stream: Stream, trial: usize, shape: &[usize]) -> Result<Vec<f32>> {
        let array = self.array(stream, trial, shape);
        array.and_then(|array| array.to_f32()).map_err(|error| self.placed(error, stream, trial))
    }

    fn read_f64_as_stored(&self, stream: Stream, trial: usize, shape: &[usize]) -> Result<Vec<f64>> {
        let array = self.array(stream, trial, shape);
        array.and_then(|array| array.to_f64()).map_err(|error| self.placed(error, stream, trial))
    }
}

impl TrialFiles {
    fn array(&self, stream: Stream, trial: usize, shape: &[usize]) -> Result<Array> {
        self.0.array(&trial_file(stream, trial), shape.iter().product())?.expect(shape)
    }

    fn placed(&self, error: Error, stream: Stream, trial: usize) -> Error {
        error.file(self.0.place(&trial_file(stream, trial))).trial(trial).key(stream.name())
    }
}
