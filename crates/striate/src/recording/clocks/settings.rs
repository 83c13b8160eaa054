//! A session in one TOML: its files, their clocks, and the rule of each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::rule::{Rule, Times};
use super::signal::{Signal, Track};
use super::{Grid, Parts, Signals, grid, session};
use crate::columns::{self, Columns};
use crate::disk;
use crate::error::{Error, Result};
use crate::hash::Digest;
use crate::recording::files::{MEMBER_LIMIT, stamped};
use crate::recording::samples::Samples;
use crate::recording::store::{classes_of, neurons_of};
use crate::recording::{Neurons, Session, Stream, Trial, npy};

/// A commented file with every key.
pub const EXAMPLE: &str = include_str!("example.toml");
/// Id of the format.
const FORMAT: &str = "toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    id: String,
    rate_hz: Option<f64>,
    trials: TableSettings,
    neurons: Option<TableSettings>,
    images: Option<SignalSettings>,
    responses: SignalSettings,
    #[serde(default)]
    behavior: Vec<SignalSettings>,
    pupil_center: Option<SignalSettings>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableSettings {
    file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignalSettings {
    name: Option<String>,
    file: Option<PathBuf>,
    events: Option<PathBuf>,
    units: Option<PathBuf>,
    times: Option<PathBuf>,
    rate_hz: Option<f64>,
    #[serde(default)]
    start_s: f64,
    #[serde(default)]
    offset_s: f64,
    rule: Rule,
    column: Option<usize>,
}

/// Whether `path` names such a file.
pub(in crate::recording) fn is_settings(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml")) && !path.is_dir()
}

/// The session that the file at `path` tells of.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) for a key that is wrong; [`Kind::Data`](crate::error::Kind::Data) when a file is
/// missing, damaged, or does not fit the others.
pub(in crate::recording) fn open(path: &Path) -> Result<Session> {
    let text = disk::read_text(path, disk::TEXT)?;
    let wrong = |e: toml::de::Error| {
        let message = e.to_string();
        Error::config(message.trim_end()).hint("`striate convert --example` prints a file with every key")
    };
    let settings: Settings = toml::from_str(&text).map_err(|e| wrong(e).file(path))?;
    let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
    let files = Files { folder, read: BTreeSet::new(), text, warnings: Vec::new() };
    settings.session(path, files).map_err(|error| error.file(path))
}

/// The files of a session, and which of them were read.
struct Files {
    folder: PathBuf,
    read: BTreeSet<PathBuf>,
    text: String,
    warnings: Vec<String>,
}

impl Files {
    fn path(&mut self, name: &Path) -> PathBuf {
        let path = self.folder.join(name);
        self.read.insert(path.clone());
        path
    }

    fn table(&mut self, table: &TableSettings) -> Result<(PathBuf, Columns)> {
        let path = self.path(&table.file);
        let columns = columns::open(&path)?;
        Ok((path, columns))
    }

    fn array(&mut self, name: &Path) -> Result<npy::Array> {
        let path = self.path(name);
        disk::read(&path, MEMBER_LIMIT).and_then(npy::parse).map_err(|error| error.file(path))
    }

    fn numbers(&mut self, name: &Path) -> Result<Vec<f64>> {
        let place = self.folder.join(name);
        self.array(name)?.to_f64().map_err(|error| error.file(place))
    }

    fn stamp(&self) -> Option<String> {
        let mut known = self.read.iter().map(|path| std::fs::metadata(path).ok());
        let digest =
            known.try_fold(Digest::default().bytes(&self.text), |digest, file| Some(stamped(digest, &file?)));
        digest.map(Digest::finish)
    }
}

impl Settings {
    fn session(self, path: &Path, mut files: Files) -> Result<Session> {
        if let Some(rate) = self.rate_hz {
            positive("rate_hz", rate)?;
        }
        let neurons = self.neurons.as_ref().map(|table| {
            let (place, columns) = files.table(table)?;
            neurons_of(&columns).map_err(|error| error.file(place))
        });
        let neurons = neurons.transpose()?;
        let (responses, neurons) = self.responses.of_neurons(&mut files, neurons)?;
        let mut signals = BTreeMap::from([(Stream::Responses, Signals::Beside(vec![responses]))]);
        let mut variables = BTreeMap::new();
        if let Some(images) = &self.images {
            signals.insert(Stream::Images, Signals::Beside(vec![images.signal(&mut files, "images")?]));
        }
        let behavior: Vec<(Signal, Vec<String>)> =
            self.behavior.iter().map(|signal| signal.named(&mut files)).collect::<Result<_>>()?;
        if !behavior.is_empty() {
            let (behavior, names): (Vec<Signal>, Vec<_>) = behavior.into_iter().unzip();
            signals.insert(Stream::Behavior, Signals::Beside(behavior));
            let names = names.concat();
            refuse_twins(&names)?;
            variables.insert(Stream::Behavior, names);
        }
        if let Some(pupil) = &self.pupil_center {
            let signal = pupil.signal(&mut files, "pupil_center")?;
            if signal.width() != 2 {
                let message = format!("has {} values, the centre of a pupil has 2", signal.width());
                return Err(Error::data(message).file(signal.place()).key("pupil_center"));
            }
            signals.insert(Stream::PupilCenter, Signals::Beside(vec![signal]));
            variables.insert(Stream::PupilCenter, vec!["horizontal".to_owned(), "vertical".to_owned()]);
        }
        let (table, columns) = files.table(&self.trials)?;
        let has_images = self.images.is_some();
        let (trials, grids) =
            trials(&columns, self.rate_hz, has_images).map_err(|error| error.file(&table))?;
        session(Parts {
            id: self.id,
            format: FORMAT,
            path: path.to_path_buf(),
            rate_hz: self.rate_hz,
            neurons,
            trials,
            grids,
            signals,
            variables,
            table,
            classes: classes_of(&columns),
            stamp: files.stamp(),
            warnings: files.warnings,
        })
    }
}

impl SignalSettings {
    fn signal(&self, files: &mut Files, key: &str) -> Result<Signal> {
        let refused = |name: &str, what: &str| Error::config(what).key(format!("{key}.{name}"));
        let Some(file) = &self.file else {
            return Err(refused("file", "is missing: the array with the values"));
        };
        if self.rule == Rule::Count {
            return Err(refused("rule", "counts events, and `file` has values; take mean, hold or linear"));
        }
        let samples = Samples::at(&files.path(file)).map_err(|error| error.key(key))?;
        let times = self.times(files, key, &samples)?;
        let columns: usize = samples.shape().iter().product();
        if self.column.is_some_and(|column| column >= columns) {
            let message = format!("there are {columns} columns, counted from 0");
            return Err(refused("column", &message).file(samples.place()));
        }
        Ok(Signal::Track(Track { samples, times: Arc::new(times), rule: self.rule, column: self.column }))
    }

    /// The times of the values in a file.
    fn times(&self, files: &mut Files, key: &str, samples: &Samples) -> Result<Times> {
        let key = |name: &str| format!("{key}.{name}");
        match (&self.times, self.rate_hz) {
            (Some(times), None) => {
                let place = files.folder.join(times);
                let stamps = files.numbers(times)?;
                if stamps.len() != samples.len() {
                    let message = format!(
                        "has {} times, {} {} values",
                        stamps.len(),
                        samples.place().display(),
                        samples.len()
                    );
                    let error = Error::data(message).file(place).key(key("times"));
                    let is_last = samples.shape().contains(&stamps.len());
                    let hint = "time comes first: `numpy.save(file, numpy.ascontiguousarray(array.T))`";
                    return Err(if is_last { error.hint(hint) } else { error });
                }
                Times::stamps(stamps, self.offset_s).map_err(|error| error.file(place))
            }
            (None, Some(rate_hz)) => {
                positive(&key("rate_hz"), rate_hz)?;
                let start_s = self.start_s + self.offset_s;
                Ok(Times::Regular { start_s, rate_hz, count: samples.len() })
            }
            _ => Err(Error::config("give either `times` or `rate_hz`").key(key("times"))),
        }
    }

    /// A signal of behaviour, and the names of its variables.
    fn named(&self, files: &mut Files) -> Result<(Signal, Vec<String>)> {
        let Some(name) = self.name.as_ref().filter(|name| !name.trim().is_empty()) else {
            return Err(Error::config("is missing: what the signal is called").key("behavior.name"));
        };
        let signal = match self.events {
            // Without `units` there is a variable, even where nothing happened.
            Some(_) => {
                let only = self.units.is_none().then_some(&[0][..]);
                self.events(files, &format!("behavior.{name}"), only)?.0
            }
            None => self.signal(files, &format!("behavior.{name}"))?,
        };
        let names = match signal.width() {
            1 => vec![name.clone()],
            several => (0..several).map(|column| format!("{name}_{column}")).collect(),
        };
        Ok((signal, names))
    }

    /// Responses, and the neurons they are of.
    fn of_neurons(&self, files: &mut Files, neurons: Option<Neurons>) -> Result<(Signal, Neurons)> {
        let (signal, ids) = match self.events {
            Some(_) => self.events(files, "responses", neurons.as_ref().map(|neurons| &neurons.ids[..]))?,
            None => {
                let signal = self.signal(files, "responses")?;
                let ids = (0..signal.width() as i64).collect();
                (signal, ids)
            }
        };
        let neurons = neurons.unwrap_or_else(|| Neurons { ids, ..Neurons::default() });
        if signal.width() != neurons.len() {
            let message = format!(
                "has {} values for each time, and the table of neurons {} rows",
                signal.width(),
                neurons.len()
            );
            return Err(Error::data(message).file(signal.place()).key("responses"));
        }
        Ok((signal, neurons))
    }

    /// Events of the units `ids`; of all that there are, where none are told. They are counted in the order of the ids.
    fn events(&self, files: &mut Files, key: &str, ids: Option<&[i64]>) -> Result<(Signal, Vec<i64>)> {
        let Some(events) = &self.events else { return Err(Error::config("is missing").key(key)) };
        let wrong =
            self.file.is_some() || self.times.is_some() || self.rate_hz.is_some() || self.column.is_some();
        if self.rule != Rule::Count || wrong {
            return Err(Error::config(
                "events are times already: they take `rule = \"count\"`, `units` and `offset_s`",
            )
            .key(format!("{key}.events")));
        }
        let place = files.folder.join(events);
        let times = files.numbers(events)?;
        let units = match &self.units {
            Some(units) => {
                let place = files.folder.join(units);
                files.array(units)?.to_i64().map_err(|error| error.file(place))?
            }
            None => vec![0; times.len()],
        };
        if units.len() != times.len() {
            let message = format!("has {} times, `units` {} values", times.len(), units.len());
            return Err(Error::data(message).file(place).key(format!("{key}.units")));
        }
        let found: BTreeSet<i64> = units.iter().copied().collect();
        let ids = ids.map_or_else(|| found.iter().copied().collect::<Vec<_>>(), <[i64]>::to_vec);
        let at: BTreeMap<i64, u32> = ids.iter().copied().zip(0..).collect();
        let all = times.len();
        let known = times.into_iter().zip(units).filter_map(|(time, unit)| Some((time, *at.get(&unit)?)));
        let mut known: Vec<(f64, u32)> = known.collect();
        let strange = found.iter().find(|unit| !at.contains_key(unit)).filter(|_| known.len() < all);
        if let Some(unit) = strange {
            let message = format!(
                "{} of {all} events are of units that no neuron is called by, e.g. {unit}",
                all - known.len()
            );
            if known.is_empty() {
                let hint = "`units` are the unit_id of the table of neurons";
                return Err(Error::data(message).file(place).key(format!("{key}.units")).hint(hint));
            }
            files.warnings.push(format!("{}: {message}: they are left out", place.display()));
        }
        known.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (times, units): (Vec<f64>, Vec<u32>) = known.into_iter().unzip();
        let times = Times::stamps(times, self.offset_s).map_err(|error| error.file(&place))?;
        let count = ids.len();
        Ok((Signal::Events { place, times: Arc::new(times), units: Arc::new(units), count }, ids))
    }
}

/// Variables are chosen, told and held against each other by name.
fn refuse_twins(names: &[String]) -> Result<()> {
    match (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
        Some(at) => {
            let message = format!("two variables of behaviour are called `{}`", names[at].escape_debug());
            Err(Error::config(message).key("behavior.name"))
        }
        None => Ok(()),
    }
}

fn positive(key: &str, rate: f64) -> Result<()> {
    if rate.is_finite() && rate > 0.0 {
        return Ok(());
    }
    Err(Error::config(format!("is {rate}, values per second must be more than 0")).key(key))
}

fn trials(columns: &Columns, rate_hz: Option<f64>, has_stimulus: bool) -> Result<(Vec<Trial>, Vec<Grid>)> {
    let seconds = |name: &str| columns.require(name)?.numbers().map_err(|error| error.key(name));
    let words = |name: &str| {
        let texts = columns.require(name)?.texts().into_iter().enumerate();
        let word = |(row, text): (usize, Option<String>)| {
            text.ok_or_else(|| Error::data("is missing").trial(row).key(name))
        };
        texts.map(word).collect::<Result<Vec<String>>>()
    };
    let (starts, ends) = (seconds("start_s")?, seconds("end_s")?);
    let (tiers, stimuli) = (words("tier")?, words("stimulus_id")?);
    let ids = match columns.get("id") {
        Some(_) => words("id")?,
        None => (0..columns.rows).map(|row| row.to_string()).collect(),
    };
    let trial = |row: usize| {
        let (grid, samples) = grid(starts[row], ends[row], rate_hz).map_err(|error| error.trial(row))?;
        let (id, tier, stimulus_id) = (ids[row].clone(), tiers[row].as_str().into(), stimuli[row].clone());
        Ok((Trial { id, tier, stimulus_id, has_stimulus, samples }, grid))
    };
    let trials: Vec<(Trial, Grid)> = (0..columns.rows).map(trial).collect::<Result<_>>()?;
    if trials.is_empty() { Err(Error::data("lists no trials")) } else { Ok(trials.into_iter().unzip()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_read() {
        let settings: Settings = toml::from_str(EXAMPLE).unwrap();
        assert_eq!((settings.rate_hz, settings.behavior.len()), (Some(30.0), 2));
        assert_eq!(settings.responses.offset_s, -0.05);
    }
}
