//! The rows of a submission of videos, whoever wrote it: one at a time, so that memory holds one trial.

use std::fs::File;
use std::path::Path;

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::videos::VIDEO_COLUMNS;
use crate::columns::{self, CONTRADICTS, lies_within};
use crate::disk;
use crate::error::{Error, Result};

/// What the cells of each column are.
const CELLS: [&str; 4] =
    ["texts", "whole numbers or texts", "lists of lists of numbers", "lists of whole numbers"];
/// How deep their lists are.
const DEPTHS: [i16; 4] = [0, 0, 2, 1];

/// A submission, open for reading.
pub(super) struct Rows {
    file: SerializedFileReader<File>,
    /// Names of its columns.
    pub columns: Vec<String>,
    /// Where each of [`VIDEO_COLUMNS`] stands, or what is wrong with it.
    pub places: [Result<usize, Wrong>; 4],
}

/// What is wrong with a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    Missing,
    /// Its cells are not such things.
    Not(&'static str),
}

/// One row.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Row {
    pub mouse: String,
    pub trial: String,
    pub neurons: Vec<f64>,
    /// Values, list after list, and how many each has.
    pub prediction: Vec<f64>,
    pub lengths: Vec<usize>,
}

impl Rows {
    pub fn open(path: &Path) -> Result<Self> {
        let unreadable =
            |why: &dyn std::fmt::Display| Error::data(format!("cannot be read as Parquet: {why}")).file(path);
        let file = disk::open(path, disk::ARRAYS)?;
        let size = file.metadata().map_err(|e| Error::io("cannot read", path, e))?.len();
        let file = unasserted(|| SerializedFileReader::new(file)).map_err(|e| unreadable(&e))?;
        if !lies_within(file.metadata(), size) {
            return Err(unreadable(&"a column lies outside the file"));
        }
        let schema = file.metadata().file_metadata().schema_descr();
        let columns = schema.root_schema().get_fields().iter().map(|field| field.name().to_owned()).collect();
        let place = |at: usize| {
            let is_named = |leaf: &usize| schema.column(*leaf).path().parts()[0] == VIDEO_COLUMNS[at];
            let leaves: Vec<usize> = (0..schema.num_columns()).filter(is_named).collect();
            match leaves[..] {
                [] => Err(Wrong::Missing),
                [leaf] if suits(&schema.column(leaf), at) => Ok(leaf),
                _ => Err(Wrong::Not(CELLS[at])),
            }
        };
        let places = [0, 1, 2, 3].map(place);
        Ok(Self { file, columns, places })
    }

    /// Hands each row to `take`, with its number from 1 on, until that says no.
    pub fn each(&self, path: &Path, mut take: impl FnMut(usize, Row) -> bool) -> Result<()> {
        let [Ok(mouse), Ok(trial), Ok(prediction), Ok(neurons)] = self.places else { return Ok(()) };
        let leaves = [mouse, trial, prediction, neurons];
        let mut number = 0;
        for group in 0..self.file.num_row_groups() {
            let unreadable = |e| Error::data(format!("row {}: cannot be read: {e}", number + 1)).file(path);
            let mut cells = unasserted(|| self.cells(group, leaves)).map_err(unreadable)?;
            for _ in 0..self.file.metadata().row_group(group).num_rows() {
                number += 1;
                let unreadable = |e| Error::data(format!("row {number}: cannot be read: {e}")).file(path);
                let row = unasserted(|| Row::next(&mut cells)).map_err(unreadable)?;
                if !take(number, row) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn cells(&self, group: usize, leaves: [usize; 4]) -> ParquetResult<[Cells; 4]> {
        let group = self.file.get_row_group(group)?;
        let cells = |leaf: usize| -> ParquetResult<Cells> {
            let of = group.metadata().column(leaf).column_descr_ptr();
            Ok(Cells { column: group.get_column_reader(leaf)?, of })
        };
        let [mouse, trial, prediction, neurons] = leaves.map(cells);
        Ok([mouse?, trial?, prediction?, neurons?])
    }
}

impl Row {
    fn next([mouse, trial, prediction, neurons]: &mut [Cells; 4]) -> ParquetResult<Self> {
        let (prediction, lengths) = prediction.numbers()?;
        let neurons = neurons.numbers()?.0;
        Ok(Self { mouse: mouse.text()?, trial: trial.text()?, neurons, prediction, lengths })
    }
}

/// What `read` gives, or that a file contradicts itself.
fn unasserted<T>(read: impl FnOnce() -> ParquetResult<T>) -> ParquetResult<T> {
    columns::unasserted(read).unwrap_or_else(|| Err(ParquetError::General(CONTRADICTS.into())))
}

fn suits(column: &ColumnDescriptor, at: usize) -> bool {
    let kinds: &[Type] = match at {
        0 => &[Type::BYTE_ARRAY],
        1 => &[Type::BYTE_ARRAY, Type::INT64, Type::INT32],
        2 => &[Type::DOUBLE, Type::FLOAT],
        _ => &[Type::INT64, Type::INT32],
    };
    column.max_rep_level() == DEPTHS[at] && kinds.contains(&column.physical_type())
}

/// The cells of one column in a row group, one after another.
struct Cells {
    column: ColumnReader,
    of: std::sync::Arc<ColumnDescriptor>,
}

impl Cells {
    /// The next cell as text; empty where it is missing.
    fn text(&mut self) -> ParquetResult<String> {
        Ok(match &mut self.column {
            ColumnReader::ByteArrayColumnReader(column) => {
                let values = next::<ByteArrayType>(column)?.0;
                values
                    .first()
                    .map(|text| String::from_utf8_lossy(text.data()).into_owned())
                    .unwrap_or_default()
            }
            ColumnReader::Int64ColumnReader(column) => first(next::<Int64Type>(column)?.0),
            ColumnReader::Int32ColumnReader(column) => first(next::<Int32Type>(column)?.0),
            _ => String::new(),
        })
    }

    /// The numbers of the next cell, and how many each of its innermost lists has; NaN where one is missing.
    fn numbers(&mut self) -> ParquetResult<(Vec<f64>, Vec<usize>)> {
        let of = self.of.clone();
        Ok(match &mut self.column {
            ColumnReader::DoubleColumnReader(column) => {
                lists(next::<DoubleType>(column)?, &of, |value| value)
            }
            ColumnReader::FloatColumnReader(column) => lists(next::<FloatType>(column)?, &of, f64::from),
            ColumnReader::Int64ColumnReader(column) => {
                lists(next::<Int64Type>(column)?, &of, |value| value as f64)
            }
            ColumnReader::Int32ColumnReader(column) => lists(next::<Int32Type>(column)?, &of, f64::from),
            _ => Default::default(),
        })
    }
}

fn first(values: Vec<impl ToString>) -> String {
    values.first().map(ToString::to_string).unwrap_or_default()
}

/// Values, definition levels and repetition levels of the next record.
type Record<T> = (Vec<T>, Vec<i16>, Vec<i16>);

fn next<T: DataType>(column: &mut ColumnReaderImpl<T>) -> ParquetResult<Record<T::T>> {
    let (mut values, mut defined, mut begins) = (Vec::new(), Vec::new(), Vec::new());
    let (records, ..) = column.read_records(1, Some(&mut defined), Some(&mut begins), &mut values)?;
    if records == 0 {
        return Err(ParquetError::General("there are fewer rows than it says".into()));
    }
    Ok((values, defined, begins))
}

fn lists<T: Copy>(
    (values, defined, begins): Record<T>,
    column: &ColumnDescriptor,
    number: impl Fn(T) -> f64,
) -> (Vec<f64>, Vec<usize>) {
    let (whole, deepest) = (column.max_def_level(), column.max_rep_level());
    let is_optional = column.self_type().is_optional();
    let (mut values, mut numbers, mut lengths) = (values.into_iter(), Vec::new(), Vec::new());
    for (at, &level) in defined.iter().enumerate() {
        if begins.get(at).is_none_or(|&begin| begin < deepest) {
            lengths.push(0);
        }
        let value = match level {
            level if level == whole => values.next().map_or(f64::NAN, &number),
            level if is_optional && level + 1 == whole => f64::NAN,
            _ => continue,
        };
        numbers.push(value);
        if let Some(length) = lengths.last_mut() {
            *length += 1;
        }
    }
    (numbers, lengths)
}
