//! The tables of trials and neurons, as Parquet; written by hand they may be CSV.

use std::path::PathBuf;

use super::card::Card;
use crate::columns::{Column, Columns, read_csv, read_parquet};
use crate::disk;
use crate::error::{Error, Result};
use crate::recording::root::Root;
use crate::recording::{Neurons, Trial};

pub(super) const TRIALS: &str = "trials.parquet";
pub(super) const NEURONS: &str = "neurons.parquet";
const AXES: [&str; 3] = ["x_um", "y_um", "z_um"];

/// A table that is there, in one of two formats.
pub(super) struct Table {
    pub name: String,
}

impl Table {
    /// The table `name`, or its `.csv`.
    pub fn find(root: &Root, name: &str) -> Option<Self> {
        let csv = name.replace(".parquet", ".csv");
        [name.to_owned(), csv].into_iter().find(|name| root.has(name)).map(|name| Self { name })
    }

    fn read(&self, root: &Root, card: &Card) -> Result<Columns> {
        let bytes = root.read(&self.name, disk::TABLE)?;
        card.check(&self.name, &bytes)?;
        if self.name.ends_with(".csv") { read_csv(&bytes) } else { read_parquet(bytes) }
    }
}

/// Where the table `name` is, or its `.csv`.
pub(super) fn place(root: &Root, name: &str) -> PathBuf {
    Table::find(root, name).map_or_else(|| root.place(name), |table| root.place(&table.name))
}

/// What the table of trials tells.
pub(super) struct Trials {
    pub trials: Vec<Trial>,
    /// The sample at which each begins.
    pub starts: Vec<usize>,
    /// Class of each stimulus, where it is known.
    pub classes: Option<Vec<String>>,
}

/// The trials of a session.
pub(super) fn trials(root: &Root, card: &Card) -> Result<Trials> {
    let Some(table) = Table::find(root, TRIALS) else {
        return Err(Error::data("is missing").file(root.place(TRIALS)).hint(
            "a row per trial: tier, stimulus_id, and start and samples of videos; trials.csv will do",
        ));
    };
    let read = || {
        let columns = table.read(root, card)?;
        if columns.rows == 0 {
            return Err(Error::data("lists no trials"));
        }
        let lengths = lengths(&columns, card)?;
        let starts = starts(&columns, &lengths)?;
        let [tiers, stimuli] = [words(&columns, "tier")?, words(&columns, "stimulus_id")?];
        let ids = match columns.get("id") {
            Some(_) => words(&columns, "id")?,
            None => (0..columns.rows).map(|row| row.to_string()).collect(),
        };
        let shown = shown(&columns)?;
        let rows = ids.into_iter().zip(tiers).zip(stimuli).zip(lengths).zip(shown);
        let trials = rows.map(|((((id, tier), stimulus_id), samples), has_stimulus)| Trial {
            id,
            tier: tier.into(),
            stimulus_id,
            has_stimulus,
            samples,
        });
        Ok(Trials { trials: trials.collect(), starts, classes: classes_of(&columns) })
    };
    read().map_err(|error: Error| error.file(root.place(&table.name)))
}

/// The column `class`, empty where a trial has none.
pub(in crate::recording) fn classes_of(columns: &Columns) -> Option<Vec<String>> {
    Some(columns.get("class")?.texts().into_iter().map(Option::unwrap_or_default).collect())
}

fn lengths(columns: &Columns, card: &Card) -> Result<Vec<usize>> {
    let Some(column) = columns.get("samples") else {
        let images = card.rate_hz.is_none();
        let missing =
            || columns.require("samples").map_err(|e| e.hint("videos need it: how long each trial is"));
        return if images { Ok(vec![1; columns.rows]) } else { missing().map(|_| Vec::new()) };
    };
    let lengths = whole(column, "samples", 1)?;
    if card.rate_hz.is_none() && lengths.iter().any(|&samples| samples > 1) {
        return Err(Error::data("has trials of several samples, but no `rate_hz` is told: images have one")
            .key("samples"));
    }
    Ok(lengths)
}

/// As told, else one trial after another.
fn starts(columns: &Columns, lengths: &[usize]) -> Result<Vec<usize>> {
    if let Some(column) = columns.get("start") {
        return whole(column, "start", 0);
    }
    let next = |at: &mut usize, samples: &usize| {
        let start = *at;
        *at = at.checked_add(*samples)?;
        Some(start)
    };
    let starts: Vec<usize> = lengths.iter().scan(0, next).collect();
    if starts.len() == lengths.len() { Ok(starts) } else { Err(Error::data("is too long").key("samples")) }
}

fn whole(column: &Column, name: &str, least: i64) -> Result<Vec<usize>> {
    let values = column.integers().map_err(|error| error.key(name))?;
    match values.iter().position(|&value| value < least) {
        Some(row) => {
            Err(Error::data(format!("is {}, expected at least {least}", values[row])).trial(row).key(name))
        }
        None => Ok(values.into_iter().map(|value| value as usize).collect()),
    }
}

fn words(columns: &Columns, name: &str) -> Result<Vec<String>> {
    let texts = columns.require(name)?.texts().into_iter().enumerate();
    let given = |(row, text): (usize, Option<String>)| {
        text.ok_or_else(|| Error::data("is missing").trial(row).key(name))
    };
    texts.map(given).collect()
}

/// Whether the stimulus was recorded: yes, where it is not told.
fn shown(columns: &Columns) -> Result<Vec<bool>> {
    let Some(column) = columns.get("has_stimulus") else { return Ok(vec![true; columns.rows]) };
    let read = |(row, text): (usize, Option<String>)| match text.as_deref() {
        Some("1" | "true" | "True") => Ok(true),
        Some("0" | "false" | "False") => Ok(false),
        other => {
            let told = other.map_or("missing".to_owned(), |text| format!("`{}`", text.escape_debug()));
            Err(Error::data(format!("is {told}, expected true or false")).trial(row).key("has_stimulus"))
        }
    };
    column.texts().into_iter().enumerate().map(read).collect()
}

/// The neurons of the responses, numbered from 0 where there is no table.
pub(super) fn neurons(root: &Root, card: &Card, count: usize, warnings: &mut Vec<String>) -> Result<Neurons> {
    let Some(table) = Table::find(root, NEURONS) else {
        warnings.push(format!("{NEURONS} is missing: neurons are numbered from 0"));
        return Ok(Neurons { ids: (0..count as i64).collect(), ..Neurons::default() });
    };
    let read = || {
        let columns = table.read(root, card)?;
        if columns.rows != count {
            return Err(Error::data(format!("lists {} neurons, the responses have {count}", columns.rows)));
        }
        neurons_of(&columns)
    };
    read().map_err(|error: Error| error.file(root.place(&table.name)))
}

/// The neurons of a table with `unit_id`, and if known `x_um`, `y_um`, `z_um`, `area` and `layer`.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) naming the column and row that cannot be used.
pub(in crate::recording) fn neurons_of(columns: &Columns) -> Result<Neurons> {
    let ids = columns.require("unit_id")?.integers().map_err(|error| error.key("unit_id"))?;
    let label = |name: &str| columns.get(name).map(|_| words(columns, name)).transpose();
    Ok(Neurons { ids, position_um: positions(columns)?, area: label("area")?, layer: label("layer")? })
}

fn positions(columns: &Columns) -> Result<Option<Vec<[f64; 3]>>> {
    if AXES.iter().all(|axis| columns.get(axis).is_none()) {
        return Ok(None);
    }
    let axis = |name: &&str| columns.require(name)?.numbers().map_err(|error| error.key(*name));
    let [x, y, z]: [Vec<f64>; 3] = match AXES.iter().map(axis).collect::<Result<Vec<_>>>()?.try_into() {
        Ok(axes) => axes,
        Err(_) => return Ok(None),
    };
    Ok(Some((0..columns.rows).map(|row| [x[row], y[row], z[row]]).collect()))
}

/// The table of trials, of which each begins where the one before ends.
pub(super) fn of_trials(trials: &[Trial], classes: Option<Vec<String>>) -> Vec<(String, Column)> {
    let words =
        |of: fn(&Trial) -> String| Column::Texts(trials.iter().map(|trial| Some(of(trial))).collect());
    let samples: Vec<i64> = trials.iter().map(|trial| trial.samples as i64).collect();
    let next = |at: &mut i64, samples: &i64| Some(std::mem::replace(at, *at + samples));
    let starts = samples.iter().scan(0, next).collect();
    let shown = trials.iter().map(|trial| i64::from(trial.has_stimulus)).collect();
    let mut columns = named([
        ("id", words(|trial| trial.id.clone())),
        ("tier", words(|trial| trial.tier.to_string())),
        ("stimulus_id", words(|trial| trial.stimulus_id.clone())),
        ("start", Column::Integers(starts)),
        ("samples", Column::Integers(samples)),
        ("has_stimulus", Column::Integers(shown)),
    ]);
    let class = |class: String| (!class.is_empty()).then_some(class);
    let classes = classes.map(|classes| Column::Texts(classes.into_iter().map(class).collect()));
    columns.extend(classes.map(|classes| ("class".to_owned(), classes)));
    columns
}

/// The table of neurons.
pub(super) fn of_neurons(neurons: &Neurons) -> Vec<(String, Column)> {
    let mut columns = named([("unit_id", Column::Integers(neurons.ids.clone()))]);
    if let Some(positions) = &neurons.position_um {
        let axis = |axis: usize| Column::Numbers(positions.iter().map(|at| at[axis]).collect());
        columns.extend(AXES.iter().enumerate().map(|(at, name)| ((*name).to_owned(), axis(at))));
    }
    for (name, labels) in [("area", &neurons.area), ("layer", &neurons.layer)] {
        let texts = |labels: &Vec<String>| Column::Texts(labels.iter().cloned().map(Some).collect());
        columns.extend(labels.as_ref().map(|labels| (name.to_owned(), texts(labels))));
    }
    columns
}

fn named<const N: usize>(columns: [(&str, Column); N]) -> Vec<(String, Column)> {
    columns.map(|(name, column)| (name.to_owned(), column)).into()
}
