//! `metrics.csv`: one row per validation check, appended while fitting.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::{Error, Result};

/// First line of the file.
pub const HEADER: &str = "step,epoch,learning_rate,train_loss,penalty,val_loss,val_correlation,seconds";
const COLUMNS: usize = 8;

/// One check. Values that were not measured are `None`, an empty cell in the file.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Row {
    /// Optimiser steps done.
    pub step: u64,
    /// Epochs done; a fraction when checks fall inside an epoch.
    pub epoch: f64,
    /// Learning rate of the last step.
    pub learning_rate: Option<f64>,
    /// Mean training loss since the last check, without penalty.
    pub train_loss: Option<f64>,
    /// Mean penalty since the last check.
    pub penalty: Option<f64>,
    /// Validation loss.
    pub val_loss: Option<f64>,
    /// Single-trial correlation on the validation tier, mean over neurons.
    pub val_correlation: Option<f64>,
    /// Time spent fitting in s.
    pub seconds: Option<f64>,
}

/// The file, open for appending.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Opens `path` for appending; makes it with its header when there is none.
    ///
    /// A last line that was cut off by a crash is dropped.
    ///
    /// # Errors
    /// When the file cannot be written, or is no metrics file.
    pub fn open(path: &Path) -> Result<Self> {
        Self::resume(path, u64::MAX)
    }

    /// As [`MetricsLog::open`], after dropping the rows later than `step`, the step of the checkpoint.
    ///
    /// # Errors
    /// When the file cannot be written, or is no metrics file.
    pub fn resume(path: &Path, step: u64) -> Result<Self> {
        if path.exists() {
            truncate_after(path, step)
                .map_err(|e| e.hint("move it away: the fit goes on, with a curve from here on"))?;
        } else {
            disk::write_bytes(path, format!("{HEADER}\n").as_bytes())?;
        }
        Ok(Self { path: path.to_path_buf(), file: disk::append(path)? })
    }

    /// Appends one row with a single write.
    ///
    /// # Errors
    /// When the disk is full or the file cannot be written.
    pub fn append(&mut self, row: &Row) -> Result<()> {
        let written = self.file.write_all(row.line().as_bytes()).and_then(|()| self.file.flush());
        written.map_err(|e| Error::io("cannot append to", &self.path, e))
    }
}

/// Drops rows later than `step` and a last line that was cut off.
///
/// # Errors
/// When the file cannot be read or written, or is no metrics file.
pub fn truncate_after(path: &Path, step: u64) -> Result<()> {
    let rows = read(path)?;
    let kept: String = rows.iter().filter(|row| row.step <= step).map(Row::line).collect();
    disk::write_bytes(path, format!("{HEADER}\n{kept}").as_bytes())
}

/// All complete rows of the file at `path`.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) naming the line, when it is no metrics file.
pub fn read(path: &Path) -> Result<Vec<Row>> {
    let bytes = disk::read(path, disk::TABLE)?;
    parse(&String::from_utf8_lossy(&bytes)).map_err(|error| error.file(path))
}

fn parse(text: &str) -> Result<Vec<Row>> {
    // What follows the last line break was cut off: even if it parses, a digit may be missing.
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut lines = complete.lines();
    match lines.next() {
        None => Ok(Vec::new()),
        Some(HEADER) => lines.enumerate().map(|(i, line)| parse_row(line, i + 2)).collect(),
        Some(_) => {
            Err(Error::data("is not a metrics file").hint(format!("its first line should be `{HEADER}`")))
        }
    }
}

fn parse_row(line: &str, number: usize) -> Result<Row> {
    let bad = |what: String| Error::data(format!("line {number}: {what}"));
    let cells: Vec<&str> = line.split(',').collect();
    let cells: [&str; COLUMNS] =
        cells.try_into().map_err(|c: Vec<_>| bad(format!("{} cells instead of {COLUMNS}", c.len())))?;
    let value = |i: usize| match cells[i] {
        "" => Ok(None),
        cell => cell.parse().map(Some).map_err(|_| bad(format!("`{cell}` is not a number"))),
    };
    Ok(Row {
        step: cells[0].parse().map_err(|_| bad(format!("`{}` is not a step", cells[0])))?,
        epoch: value(1)?.ok_or_else(|| bad("no epoch".into()))?,
        learning_rate: value(2)?,
        train_loss: value(3)?,
        penalty: value(4)?,
        val_loss: value(5)?,
        val_correlation: value(6)?,
        seconds: value(7)?,
    })
}

impl Row {
    fn line(&self) -> String {
        let cell = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
        let optional = [
            self.learning_rate,
            self.train_loss,
            self.penalty,
            self.val_loss,
            self.val_correlation,
            self.seconds,
        ];
        format!("{},{},{}\n", self.step, self.epoch, optional.map(cell).join(","))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use proptest::prelude::*;

    fn row(step: u64) -> Row {
        Row {
            step,
            epoch: step as f64 / 4.0,
            learning_rate: Some(2e-3),
            val_loss: Some(0.5),
            ..Row::default()
        }
    }

    #[test]
    fn unknown_values_are_empty_cells() {
        assert_eq!(row(6).line(), "6,1.5,0.002,,,0.5,,\n");
    }

    #[test]
    fn resuming_drops_what_came_after_the_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.csv");
        let mut log = MetricsLog::open(&path).unwrap();
        (1..=4).for_each(|step| log.append(&row(step)).unwrap());
        let mut log = MetricsLog::resume(&path, 2).unwrap();
        log.append(&row(3)).unwrap();
        assert_eq!(read(&path).unwrap(), [row(1), row(2), row(3)]);
    }

    #[test]
    fn a_line_cut_off_by_a_crash_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.csv");
        fs::write(&path, format!("{HEADER}\n{}2,0.5,0.00", row(1).line())).unwrap();
        assert_eq!(read(&path).unwrap(), [row(1)]);
        MetricsLog::open(&path).unwrap().append(&row(2)).unwrap();
        assert_eq!(read(&path).unwrap(), [row(1), row(2)]);
    }

    #[test]
    fn a_file_cut_off_in_its_header_starts_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.csv");
        fs::write(&path, "step,epo").unwrap();
        MetricsLog::open(&path).unwrap().append(&row(1)).unwrap();
        assert_eq!(read(&path).unwrap(), [row(1)]);
    }

    #[test]
    fn damage_is_named_with_its_line() {
        let error = parse(&format!("{HEADER}\n{}1,2,x,,,,,\n", row(1).line())).unwrap_err();
        assert_eq!(error.message(), "line 3: `x` is not a number");
        let error = parse("time,value\n").unwrap_err();
        assert_eq!(error.message(), "is not a metrics file");
    }

    proptest! {
        #[test]
        fn any_row_is_read_as_written(step: u64, epoch in -1e9..1e9_f64, loss: Option<f64>) {
            let loss = loss.filter(|v| !v.is_nan());
            let row = Row { step, epoch, val_loss: loss, ..Row::default() };
            prop_assert_eq!(parse(&format!("{HEADER}\n{}", row.line())).unwrap(), vec![row]);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = parse(&format!("{HEADER}\n{text}\n"));
            let _ = parse(&text);
        }
    }
}
