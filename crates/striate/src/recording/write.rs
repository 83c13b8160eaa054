//! Writes recordings in the layouts of Sensorium 2022 (images) and 2023 (clips), readable by striate and by the tools of the
//! field.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Neurons, Stream, Tier, Trial, npy};
use crate::disk;
use crate::error::{Error, Result};

/// Everything about a session except the values of its trials.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Columns that are `None` are not written.
    pub neurons: &'a Neurons,
    /// Images are written for the trials that have a stimulus.
    pub trials: &'a [Trial],
    /// Shape of one image or frame, `[channel, height, width]`; a frame has one channel.
    pub image_shape: [usize; 3],
    /// Where trials are clips, how they are stored; `None` for images.
    pub clips: Option<Clips>,
}

/// How clips are stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clips {
    /// Samples in a file; NaN behind the end of a trial.
    pub stored: usize,
    /// Samples per second.
    pub rate_hz: f64,
}

/// The values of one trial; of a clip those of each sample, one after another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrialValues {
    /// Image, `[sample, channel, height, width]`, raw pixel values; not looked at when the trial has no stimulus.
    pub image: Vec<f32>,
    /// Response of each neuron, `[sample, neuron]`.
    pub responses: Vec<f32>,
    /// Behaviour, `[sample, variable]`; `None` in all trials or in none.
    pub behavior: Option<Vec<f32>>,
    /// Pupil centre, `[sample, 2]`; `None` in all trials or in none.
    pub pupil_center: Option<Vec<f32>>,
}

/// Writes the recording as folder `path`, replacing an earlier one only when the new one is complete.
///
/// `values` is asked once per trial, in order. Statistics (mean and population standard deviation;
/// one value for images, one per element for the rest) come from the train tier, or from all trials
/// when there is none.
///
/// # Errors
/// An error of `values`, [`Kind::Data`](crate::error::Kind::Data) when a trial has another shape than
/// the plan says, or a file that cannot be written.
pub fn write(path: &Path, plan: &Plan<'_>, values: impl FnMut(usize) -> Result<TrialValues>) -> Result<()> {
    refuse_strangers(path, |_| false)?;
    disk::renew_folder(path, |folder| write_into(folder, plan, values))
}

/// [`write()`] into an existing folder: for recordings with more files beside them.
///
/// # Errors
/// As [`write()`].
pub fn write_into(
    folder: &Path,
    plan: &Plan<'_>,
    mut values: impl FnMut(usize) -> Result<TrialValues>,
) -> Result<()> {
    let mut writer = Writer::new(folder, plan)?;
    for trial in 0..plan.trials.len() {
        let values = values(trial).map_err(|error| error.trial(trial))?;
        writer.trial(trial, &values)?;
    }
    writer.finish()
}

/// In the order in which [`Writer::trial`] takes them.
const STREAMS: [Stream; 4] = [Stream::Images, Stream::Responses, Stream::Behavior, Stream::PupilCenter];

struct Writer<'a> {
    folder: &'a Path,
    plan: &'a Plan<'a>,
    moments: [(Stream, Moments); 4],
    has_train: bool,
    written: Vec<PathBuf>,
}

impl<'a> Writer<'a> {
    fn new(folder: &'a Path, plan: &'a Plan<'a>) -> Result<Self> {
        if plan.trials.is_empty() || plan.neurons.is_empty() {
            return Err(Error::data("a recording needs at least one trial and one neuron").file(folder));
        }
        let longest = plan.trials.iter().map(|trial| trial.samples).max().unwrap_or(0);
        if let Some(Clips { stored, .. }) = plan.clips.filter(|clips| clips.stored < longest) {
            let message = format!("a trial has {longest} samples, its files would hold {stored}");
            return Err(Error::data(message).file(folder));
        }
        let moments = STREAMS.map(|stream| (stream, Moments::default()));
        let has_train = plan.trials.iter().any(|trial| trial.tier == Tier::Train);
        Ok(Self { folder, plan, moments, has_train, written: Vec::new() })
    }

    fn trial(&mut self, trial: usize, values: &TrialValues) -> Result<()> {
        let image = self.plan.trials[trial].has_stimulus.then_some(&values.image);
        let streams =
            [image, Some(&values.responses), values.behavior.as_ref(), values.pupil_center.as_ref()];
        for (index, values) in streams.into_iter().enumerate() {
            if let Some(values) = values {
                self.stream(index, trial, values)?;
            }
        }
        Ok(())
    }

    fn stream(&mut self, index: usize, trial: usize, values: &[f32]) -> Result<()> {
        let stream = self.moments[index].0;
        let samples = self.plan.clips.map_or(1, |_| self.plan.trials[trial].samples);
        let shape = self.shape(index, values.len() / samples.max(1));
        let name = format!("data/{}/{trial}.npy", self.plan.name(stream));
        let elements: usize = shape.iter().product();
        if elements * samples != values.len() {
            let of = self.plan.clips.map_or(String::new(), |_| format!(" for each of {samples} samples"));
            return Err(Error::data(format!("has {} values, expected shape {shape:?}{of}", values.len()))
                .file(self.folder.join(name))
                .trial(trial)
                .key(stream.name()));
        }
        if !self.has_train || self.plan.trials[trial].tier == Tier::Train {
            self.moments[index].1.add(values, if stream == Stream::Images { 1 } else { elements });
        }
        self.put(&name, &self.file(&shape, values))
    }

    /// The file of a stream in one trial: of a clip the last axis is time.
    fn file(&self, shape: &[usize], values: &[f32]) -> Vec<u8> {
        let Some(Clips { stored, .. }) = self.plan.clips else { return npy::write_f32(shape, values) };
        let elements = shape.iter().product();
        let shape = shape.strip_prefix(&[1]).filter(|frame| frame.len() == 2).unwrap_or(shape);
        npy::write_f32(&[shape, &[stored]].concat(), &time_last(values, elements, stored))
    }

    fn shape(&self, index: usize, length: usize) -> Vec<usize> {
        match &self.moments[index] {
            (Stream::Images, _) => self.plan.image_shape.to_vec(),
            (Stream::Responses, _) => vec![self.plan.neurons.len()],
            // The first trial sets the number of variables.
            (_, moments) => vec![if moments.mean.is_empty() { length } else { moments.mean.len() }],
        }
    }

    /// Plain write: the folder is still invisible, and syncing thousands of small files one by one is slow.
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.join(name);
        disk::write_new(&path, bytes)?;
        self.written.push(path);
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.trial_tables()?;
        self.neuron_tables()?;
        self.statistics()?;
        sync(&self.written, self.folder)
    }

    fn trial_tables(&mut self) -> Result<()> {
        let trials = self.plan.trials;
        let tiers: Vec<String> = trials.iter().map(|trial| trial.tier.to_string()).collect();
        self.put("meta/trials/tiers.npy", &npy::write_strings(&tiers))?;
        self.put("meta/trials/trial_idx.npy", &identifiers(trials, |trial| &trial.id))?;
        if let Some(Clips { rate_hz, .. }) = self.plan.clips {
            // What a clip showed is told by its content.
            let rates = vec![rate_hz; trials.len()];
            return self.put("meta/trials/target_fps.npy", &npy::write_f64(&[trials.len()], &rates));
        }
        self.put("meta/trials/frame_image_id.npy", &identifiers(trials, |trial| &trial.stimulus_id))
    }

    fn neuron_tables(&mut self) -> Result<()> {
        let neurons = self.plan.neurons;
        self.put("meta/neurons/unit_ids.npy", &npy::write_i64(&[neurons.len()], &neurons.ids))?;
        if let Some(positions) = &neurons.position_um {
            let bytes = npy::write_f64(&[positions.len(), 3], positions.as_flattened());
            self.put("meta/neurons/cell_motor_coordinates.npy", &bytes)?;
        }
        for (name, labels) in [("area", &neurons.area), ("layer", &neurons.layer)] {
            if let Some(labels) = labels {
                self.put(&format!("meta/neurons/{name}.npy"), &npy::write_strings(labels))?;
            }
        }
        Ok(())
    }

    fn statistics(&mut self) -> Result<()> {
        for (stream, moments) in self.collected() {
            // Images have one value for all pixels: an array without axes.
            let shape = if stream == Stream::Images { vec![] } else { vec![moments.mean.len()] };
            for (name, values) in [("mean", moments.mean()), ("std", moments.std())] {
                let name = format!("meta/statistics/{}/all/{name}.npy", self.plan.name(stream));
                self.put(&name, &npy::write_f32(&shape, &values))?;
            }
        }
        Ok(())
    }

    /// The moments of the streams that were written.
    fn collected(&mut self) -> Vec<(Stream, Moments)> {
        let all = self.moments.iter_mut().map(|(stream, moments)| (*stream, std::mem::take(moments)));
        all.filter(|(_, moments)| moments.count > 0.0).collect()
    }
}

impl Plan<'_> {
    /// The folder of a stream.
    fn name(&self, stream: Stream) -> &'static str {
        match (stream, self.clips) {
            (Stream::Images, Some(_)) => VIDEOS,
            _ => stream.name(),
        }
    }
}

/// Folder of the frames of clips.
const VIDEOS: &str = "videos";
/// Elements that are transposed at once, so that both sides stay in the cache.
const TILE: usize = 32;

/// `[element, stored]` of values `[sample, element]`, NaN behind the last sample.
pub(crate) fn time_last(values: &[f32], elements: usize, stored: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; elements * stored];
    for first in (0..elements).step_by(TILE) {
        let tile = first..(first + TILE).min(elements);
        for (sample, row) in values.chunks_exact(elements).take(stored).enumerate() {
            tile.clone().for_each(|element| out[element * stored + sample] = row[element]);
        }
    }
    out
}

/// Ids as integers when all of them are, as the competition files have them.
fn identifiers(trials: &[Trial], id: impl Fn(&Trial) -> &String) -> Vec<u8> {
    let ids: Vec<&String> = trials.iter().map(id).collect();
    let number = |id: &&String| id.parse::<i64>().ok().filter(|n| n.to_string() == **id);
    match ids.iter().map(number).collect::<Option<Vec<i64>>>() {
        Some(numbers) => npy::write_i64(&[numbers.len()], &numbers),
        None => npy::write_strings(&ids),
    }
}

/// Waits until files, and their names in their folders, are on the disk.
fn sync(files: &[PathBuf], root: &Path) -> Result<()> {
    let folders: BTreeSet<&Path> = files.iter().flat_map(|file| file.ancestors().skip(1)).collect();
    files.par_iter().try_for_each(|path| disk::sync(path))?;
    folders.into_iter().filter(|folder| folder.starts_with(root)).try_for_each(disk::sync)
}

/// That a recording may take the place of folder `path`: nothing lies there but what [`write()`] wrote, and files that
/// are `known` by their names below `path`.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) naming the first other file.
pub fn refuse_strangers(path: &Path, known: impl Fn(&str) -> bool) -> Result<()> {
    let Some(stranger) = stranger(path, "", &|name| is_ours(name) || known(name))? else { return Ok(()) };
    Err(Error::config(format!("holds `{stranger}`, which striate did not write there; it stays as it is"))
        .file(path)
        .hint("choose another folder, or move that file away"))
}

/// The first thing below `path` that is neither a folder nor `known`; `name` leads from the recording to `path`.
fn stranger(path: &Path, name: &str, known: &dyn Fn(&str) -> bool) -> Result<Option<String>> {
    let failed = |source| Error::io("cannot read", path, source);
    let mut entries = match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?,
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name().to_str().is_some_and(disk::is_system_file) {
            continue;
        }
        let inner = format!("{name}{}", entry.file_name().to_string_lossy());
        let found = match entry.file_type().map_err(failed)? {
            kind if kind.is_dir() => stranger(&entry.path(), &format!("{inner}/"), known)?,
            kind if kind.is_file() && known(&inner) => None,
            _ => Some(inner),
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    // An empty folder that we do not make is somebody's too.
    let is_ours =
        name.is_empty() || FOLDERS.iter().any(|folder| folder.starts_with(name) || name.starts_with(folder));
    Ok((!is_ours).then(|| name.to_owned()))
}

/// Where the files of a recording lie.
const FOLDERS: [&str; 3] = ["data/", "meta/", "truth/"];

/// Whether [`write()`] gives the file this name.
fn is_ours(name: &str) -> bool {
    const TABLES: [&str; 8] = [
        "trials/tiers",
        "trials/target_fps",
        "trials/trial_idx",
        "trials/frame_image_id",
        "neurons/unit_ids",
        "neurons/cell_motor_coordinates",
        "neurons/area",
        "neurons/layer",
    ];
    let Some(stem) = name.strip_suffix(".npy") else { return false };
    let is_stream = |name: &str| name == VIDEOS || STREAMS.iter().any(|stream| stream.name() == name);
    match stem.split('/').collect::<Vec<_>>()[..] {
        ["data", stream, trial] => is_stream(stream) && trial.parse::<usize>().is_ok(),
        ["meta", "statistics", stream, "all", "mean" | "std"] => is_stream(stream),
        ["meta", folder, table] => TABLES.contains(&format!("{folder}/{table}").as_str()),
        _ => false,
    }
}

/// Running mean and sum of squared deviations (Welford 1962), in `f64`.
#[derive(Debug, Default)]
struct Moments {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    /// Adds samples of `width` elements, each of which has moments of its own.
    fn add(&mut self, values: &[f32], width: usize) {
        self.mean.resize(width, 0.0);
        self.squares.resize(width, 0.0);
        for sample in values.chunks_exact(width) {
            self.count += 1.0;
            let moments = self.mean.iter_mut().zip(&mut self.squares);
            for (&value, (mean, squares)) in sample.iter().zip(moments) {
                let step = f64::from(value) - *mean;
                *mean += step / self.count;
                *squares += step * (f64::from(value) - *mean);
            }
        }
    }

    fn mean(&self) -> Vec<f32> {
        self.mean.iter().map(|&mean| mean as f32).collect()
    }

    fn std(&self) -> Vec<f32> {
        self.squares.iter().map(|&squares| (squares / self.count).sqrt() as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording;

    fn trial(id: &str, tier: &str, stimulus: &str) -> Trial {
        Trial {
            id: id.into(),
            tier: tier.into(),
            stimulus_id: stimulus.into(),
            has_stimulus: true,
            samples: 1,
        }
    }

    fn values(i: usize) -> TrialValues {
        let base = i as f32;
        TrialValues {
            image: vec![base, base + 2.0],
            responses: vec![base, 1.0, -base],
            behavior: Some(vec![base * 10.0]),
            pupil_center: None,
        }
    }

    #[test]
    fn what_is_written_is_opened_with_train_statistics() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let neurons = Neurons {
            ids: vec![7, 8, 9],
            position_um: Some(vec![[1.0, 2.0, 3.0]; 3]),
            area: None,
            layer: Some(vec!["L2/3".into(), "L4".into(), "L5".into()]),
        };
        let trials = [trial("7", "train", "5"), trial("0f", "test", "a"), trial("3", "train", "6")];
        let plan = Plan { neurons: &neurons, trials: &trials, image_shape: [1, 1, 2], clips: None };
        write(&path, &plan, |i| Ok(values(i))).unwrap();
        let recording = recording::open(&path).unwrap();
        let session = recording.single().unwrap();
        assert_eq!((&session.neurons, session.trials.as_slice()), (&neurons, &trials[..]));
        let images = &session.statistics[&Stream::Images];
        assert_eq!((images.mean[0], images.std[0]), (2.0, 2f32.sqrt()));
        let responses = &session.statistics[&Stream::Responses];
        assert_eq!(
            (responses.mean.as_slice(), responses.std.as_slice()),
            (&[1.0, 1.0, -1.0][..], &[1.0, 0.0, 1.0][..])
        );
        assert_eq!(session.read(Stream::Behavior, 2).unwrap(), [20.0]);
        assert_eq!(session.shape(Stream::PupilCenter), None);
        assert!(session.warnings.is_empty());
    }

    #[test]
    fn nothing_of_others_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let neurons = Neurons { ids: vec![0, 1, 2], ..Neurons::default() };
        let trials = [trial("0", "train", "0"), trial("1", "train", "1")];
        let plan = Plan { neurons: &neurons, trials: &trials, image_shape: [1, 1, 2], clips: None };
        for _ in 0..2 {
            write(&path, &plan, |i| Ok(values(i))).unwrap();
        }
        for name in
            ["notes.txt", "data/images/notes.npy", "meta/neurons/mine.npy", "myrun/weights", "data/0.npy"]
        {
            let theirs = path.join(name);
            disk::write_bytes(&theirs, b"mine").unwrap();
            let error = write(&path, &plan, |i| Ok(values(i))).unwrap_err();
            assert!(error.message().contains(name), "{error}");
            assert!(theirs.is_file());
            fs::remove_file(theirs).unwrap();
            let _ = fs::remove_dir(path.join("myrun"));
        }
        write(&path, &plan, |i| Ok(values(i))).unwrap();
    }

    #[test]
    fn a_failure_keeps_the_earlier_recording() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let neurons = Neurons { ids: vec![0, 1, 2], ..Neurons::default() };
        let trials = [trial("0", "train", "0"), trial("1", "train", "1")];
        let plan = Plan { neurons: &neurons, trials: &trials, image_shape: [1, 1, 2], clips: None };
        write(&path, &plan, |i| Ok(values(i))).unwrap();
        let short = |i| Ok(TrialValues { responses: vec![0.0; 3 - i], ..values(i) });
        let error = write(&path, &plan, short).unwrap_err();
        assert_eq!((error.place().trial, error.place().key.as_deref()), (Some(1), Some("responses")));
        recording::open(&path).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
