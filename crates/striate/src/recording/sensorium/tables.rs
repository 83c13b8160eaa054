//! The tables of trials and neurons, and the statistics of each stream.

use std::collections::BTreeMap;

use super::clips::{self, Lengths, TimeFirst};
use super::names::{Names, STREAMS};
use crate::error::{Error, Result};
use crate::recording::npy::Array;
use crate::recording::root::Root;
use crate::recording::{Neurons, Statistics, Stream, StreamInfo, Tier, Trial, finite};

pub(in crate::recording) const TIERS: &str = "meta/trials/tiers.npy";
const IMAGE_IDS: &str = "meta/trials/frame_image_id.npy";
const IMAGE_CLASSES: &str = "meta/trials/frame_image_class.npy";
/// A name of what was shown and how, by its content.
const CONDITIONS: &str = "meta/trials/condition_hash.npy";
/// Where the class of the stimulus of each trial may stand.
const CLASSES: [&str; 3] = ["meta/trials/stimulus_class.npy", "meta/trials/stimulus_type.npy", IMAGE_CLASSES];
const TRIAL_IDS: &str = "meta/trials/trial_idx.npy";
const UNIT_IDS: &str = "meta/neurons/unit_ids.npy";
const POSITIONS: &str = "meta/neurons/cell_motor_coordinates.npy";
/// Tier names that published recordings use.
const KNOWN_TIERS: [&str; 10] = [
    "train",
    "validation",
    "test",
    "final_test",
    "oracle",
    "live_test_main",
    "live_test_bonus",
    "final_test_main",
    "final_test_bonus",
    "none",
];

/// The tier of each trial, once every trial has its files.
pub(super) fn tiers(root: &Root, names: &mut Names, warnings: &mut Vec<String>) -> Result<Vec<Tier>> {
    if names.of(Stream::Responses).is_empty() {
        return Err(names.missing(Stream::Responses, 0));
    }
    let tiers = root.array(TIERS, names.of(Stream::Responses).len())?;
    let count = tiers.len();
    if count > 0 && names.count_from_0(count) {
        warnings.push("files are numbered from 1: 1.npy is trial 0".to_owned());
    }
    check_counts(root, names, count)?;
    Ok(column(root, TIERS, tiers, count, Array::to_strings)?.into_iter().map(Tier::from).collect())
}

/// Trials of these tiers; images are all of one sample, clips of so many as `lengths` says.
pub(super) fn trials(
    root: &Root,
    names: &Names,
    tiers: Vec<Tier>,
    lengths: Option<&Lengths>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Trial>> {
    let count = tiers.len();
    let stimuli = match lengths {
        Some(lengths) if !root.has(IMAGE_IDS) => clips::stimulus_ids(root, names, lengths)?,
        _ => stimulus_ids(root, count, warnings)?,
    };
    let rows = trial_ids(root, count)?.into_iter().zip(tiers).zip(stimuli).enumerate();
    let trials = rows.map(|(index, ((id, tier), stimulus_id))| Trial {
        id,
        tier,
        stimulus_id,
        has_stimulus: names.of(Stream::Images).contains_key(&index),
        samples: lengths.map_or(1, |lengths| lengths.recorded(index)),
    });
    let trials: Vec<Trial> = trials.collect();
    warnings.extend(unknown_tiers(&trials));
    warnings.extend(missing_images(names, &trials)?);
    Ok(trials)
}

/// Every trial in the table has its files, and every file has its trial.
fn check_counts(root: &Root, names: &Names, count: usize) -> Result<()> {
    if count == 0 {
        return Err(Error::data("lists no trials").file(root.place(TIERS)).key("tiers"));
    }
    for stream in STREAMS {
        let found = names.of(stream);
        if let Some((&extra, _)) = found.range(count..).next() {
            let message = format!("belongs to no trial: {TIERS} lists {count}");
            return Err(Error::data(message)
                .file(names.place(stream, extra))
                .trial(extra)
                .key(stream.name()));
        }
        let optional = stream != Stream::Responses && found.is_empty();
        // Images may be withheld for a whole tier, which is told apart once the tiers are known.
        if found.len() < count && stream != Stream::Images && !optional {
            let gap = (0..count).find(|trial| !found.contains_key(trial)).unwrap_or(0);
            return Err(names.missing(stream, gap));
        }
    }
    Ok(())
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

/// A table of text or whole numbers, one per trial; `None` where there is none.
pub(super) fn texts(root: &Root, name: &str, count: usize) -> Result<Option<Vec<String>>> {
    let read = || column(root, name, root.array(name, count)?, count, Array::to_strings);
    root.has(name).then(read).transpose()
}

/// What each trial showed: the number of the image, with its class where numbers count anew in each class.
fn stimulus_ids(root: &Root, count: usize, warnings: &mut Vec<String>) -> Result<Vec<String>> {
    let Some(mut ids) = texts(root, IMAGE_IDS, count)? else {
        warnings.push(format!(
            "{IMAGE_IDS} is missing: every trial counts as another image, so repeats cannot be found"
        ));
        return Ok((0..count).map(|trial| trial.to_string()).collect());
    };
    if let Some(classes) = texts(root, IMAGE_CLASSES, count)? {
        let mut of_id: BTreeMap<&str, &str> = BTreeMap::new();
        let anew =
            ids.iter().zip(&classes).any(|(id, class)| of_id.insert(id, class).is_some_and(|c| c != class));
        if anew {
            warnings.push(format!(
                "{IMAGE_IDS} counts anew in each class of {IMAGE_CLASSES}: an image is named by both, as `class/id`"
            ));
            ids = ids.iter().zip(&classes).map(|(id, class)| format!("{class}/{id}")).collect();
        }
    }
    match texts(root, CONDITIONS, count) {
        Ok(conditions) => warnings.extend(conditions.and_then(|conditions| contradiction(&ids, &conditions))),
        Err(error) => warnings.push(left_out("names of conditions", &error)),
    }
    Ok(ids)
}

/// Class of the stimulus of each trial, where a table tells.
pub(super) fn classes(root: &Root, count: usize) -> Result<Option<Vec<String>>> {
    let known = CLASSES.into_iter().find(|name| root.has(name));
    known.map_or(Ok(None), |name| texts(root, name, count))
}

/// Where two columns disagree about which trials showed the same.
fn contradiction(ids: &[String], conditions: &[String]) -> Option<String> {
    let pair = |a: &[String], b: &[String]| {
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        (0..a.len()).find_map(|trial| {
            let known = *first.entry(&a[trial]).or_insert(trial);
            (b[known] != b[trial]).then_some((known, trial))
        })
    };
    let name = |(first, second), one: &str, other: &str| {
        format!(
            "trials {first} and {second} have the same {one}, but not the same {other}; {IMAGE_IDS} is followed"
        )
    };
    pair(ids, conditions)
        .map(|trials| name(trials, "frame_image_id", "condition_hash"))
        .or_else(|| pair(conditions, ids).map(|trials| name(trials, "condition_hash", "frame_image_id")))
}

fn trial_ids(root: &Root, count: usize) -> Result<Vec<String>> {
    Ok(texts(root, TRIAL_IDS, count)?.unwrap_or_else(|| (0..count).map(|trial| trial.to_string()).collect()))
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
fn missing_images(names: &Names, trials: &[Trial]) -> Result<Option<String>> {
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
        return Err(names.missing(Stream::Images, gap));
    }
    let withheld = tiers.iter().filter(|(_, (shown, _))| *shown == 0);
    let tiers: Vec<String> = withheld.map(|(tier, _)| format!("`{tier}`")).collect();
    Ok((!tiers.is_empty()).then(|| format!("the images of tier {} are missing", tiers.join(", "))))
}

pub(super) fn neurons(root: &Root, streams: &[StreamInfo], warnings: &mut Vec<String>) -> Result<Neurons> {
    let responses = streams.iter().find(|info| info.stream == Stream::Responses);
    let count = responses.map_or(0, |info| info.shape[0]);
    let ids = unit_ids(root, count, warnings)?;
    let position_um = optional("cortical positions", positions(root, count), warnings);
    Ok(Neurons {
        ids,
        position_um,
        area: optional("visual areas", labels(root, "meta/neurons/area.npy", count), warnings),
        layer: optional("cortical layers", labels(root, "meta/neurons/layer.npy", count), warnings),
    })
}

/// What nothing depends on is left out where it cannot be read, and that is said.
fn optional<T>(what: &str, table: Result<Option<T>>, warnings: &mut Vec<String>) -> Option<T> {
    table.unwrap_or_else(|error| {
        warnings.push(left_out(what, &error));
        None
    })
}

fn left_out(what: &str, error: &Error) -> String {
    let hint = error.advice().map_or(String::new(), |hint| format!(" ({hint})"));
    format!("{what} are left out: {error}{hint}")
}

fn unit_ids(root: &Root, count: usize, warnings: &mut Vec<String>) -> Result<Vec<i64>> {
    if root.has(UNIT_IDS) {
        let ids = per_neuron(root, UNIT_IDS, count, &[count])?.to_i64();
        return ids.map_err(|error| error.file(root.place(UNIT_IDS)).key("unit_ids"));
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
    if !root.has(POSITIONS) {
        return Ok(None);
    }
    let flat = per_neuron(root, POSITIONS, count, &[count, 3])?
        .to_f64()
        .map_err(|error| error.file(root.place(POSITIONS)))?;
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

/// Statistics of each stream; of clips they may have a value for every sample.
pub(super) fn statistics(
    root: &Root,
    names: &Names,
    streams: &[StreamInfo],
    clips: bool,
    warnings: &mut Vec<String>,
) -> BTreeMap<Stream, Statistics> {
    let folder = |stream: Stream| format!("meta/statistics/{}/all", names.folder(stream));
    let read = |info: &StreamInfo| -> Result<Option<Statistics>> {
        let read = |name: &str| moment(root, &format!("{}/{name}.npy", folder(info.stream)), info, clips);
        let ((samples, mean), (of_std, std)) = (read("mean")?, read("std")?);
        if samples != of_std {
            return Err(Error::data(format!("have {samples} samples of the mean, {of_std} of the s.d.")));
        }
        Ok(Some(Statistics { samples, mean, std }))
    };
    let stored = streams.iter().filter(|info| root.has_any(&folder(info.stream)));
    let what = |info: &StreamInfo| format!("statistics of `{}`", info.stream);
    stored.filter_map(|info| Some((info.stream, optional(&what(info), read(info), warnings)?))).collect()
}

/// A statistic with one value for the stream, or one per element, or one per element of so many samples.
fn moment(root: &Root, name: &str, info: &StreamInfo, clips: bool) -> Result<(usize, Vec<f32>)> {
    let elements: usize = info.shape.iter().product();
    let read = || {
        let shape = root.array_shape(name)?;
        let samples = match shape.last() {
            Some(&samples) if clips && shape.iter().product::<usize>() == elements * samples => samples,
            _ => 1,
        };
        let array = root.numbers(name, elements * samples)?;
        if array.len() == 1 || array.len() == elements * samples {
            let values = TimeFirst::of(&array.to_f32()?, samples);
            // Behind the end of the longest trial there is nothing to average.
            return Ok((samples, if samples > 1 { values } else { finite(values)? }));
        }
        Err(Error::data(format!("has shape {:?}, one trial has {:?}", array.shape, info.shape)))
    };
    read().map_err(|error| error.file(root.place(name)).key(info.stream.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_group_trials_otherwise_are_named() {
        let list = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(contradiction(&list("1 2 1 3"), &list("a b a c")), None);
        let split = contradiction(&list("1 2 1 3"), &list("a b d c")).unwrap();
        assert!(split.starts_with("trials 0 and 2 have the same frame_image_id"), "{split}");
        let joined = contradiction(&list("1 2 1 3"), &list("a b a b")).unwrap();
        assert!(joined.starts_with("trials 1 and 3 have the same condition_hash"), "{joined}");
    }
}
