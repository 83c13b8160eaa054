//! `metrics.csv`: one row per validation check, appended while fitting.
//!
//! Columns are found by their names, wherever they stand; those of others are kept as they are.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::{Error, Result};

/// First line of a new file.
pub const HEADER: &str = "step,epoch,learning_rate,train_loss,penalty,val_loss,val_correlation,seconds";

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
    columns: Columns,
}

/// Names of the columns of a file, in its order.
#[derive(Debug, Clone, PartialEq)]
struct Columns(Vec<String>);

/// What a file holds: its columns, and its lines with what is known of each.
struct Table {
    columns: Columns,
    rows: Vec<(String, Row)>,
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
        let columns = if path.exists() {
            cut(path, step).map_err(|e| e.hint("move it away: the fit goes on, with a curve from here on"))?
        } else {
            let columns = Columns::named_by(HEADER);
            disk::write_bytes(path, columns.header().as_bytes())?;
            columns
        };
        Ok(Self { path: path.to_path_buf(), file: disk::append(path)?, columns })
    }

    /// Appends one row with a single write.
    ///
    /// # Errors
    /// When the disk is full or the file cannot be written.
    pub fn append(&mut self, row: &Row) -> Result<()> {
        let written = self.file.write_all(self.columns.line(row).as_bytes()).and_then(|()| self.file.flush());
        written.map_err(|e| Error::io("cannot append to", &self.path, e))
    }
}

/// Drops rows later than `step` and a last line that was cut off; gives the columns of the file.
fn cut(path: &Path, step: u64) -> Result<Columns> {
    let Table { columns, rows } = read_table(path)?;
    let kept = rows.iter().filter(|(_, row)| row.step <= step);
    let kept: String = kept.map(|(line, _)| format!("{line}\n")).collect();
    disk::write_bytes(path, (columns.header() + &kept).as_bytes())?;
    Ok(columns)
}

/// All complete rows of the file at `path`.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) naming the line, when it is no metrics file.
pub fn read(path: &Path) -> Result<Vec<Row>> {
    Ok(read_table(path)?.rows.into_iter().map(|(_, row)| row).collect())
}

fn read_table(path: &Path) -> Result<Table> {
    let bytes = disk::read(path, disk::TABLE)?;
    parse(&String::from_utf8_lossy(&bytes)).map_err(|error| error.file(path))
}

fn parse(text: &str) -> Result<Table> {
    // What follows the last line break was cut off: even if it parses, a digit may be missing.
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut lines = complete.lines();
    let columns = Columns::named_by(lines.next().unwrap_or(HEADER));
    if ["step", "epoch"].iter().any(|name| columns.place(name).is_none()) {
        let hint = format!("its first line names columns, `step` and `epoch` among them, as in `{HEADER}`");
        return Err(Error::data("is not a metrics file").hint(hint));
    }
    let row = |(index, line): (usize, &str)| {
        let row = columns.row(line).map_err(|what| Error::data(format!("line {}: {what}", index + 2)))?;
        Ok((line.to_owned(), row))
    };
    let rows = lines.enumerate().map(row).collect::<Result<_>>()?;
    Ok(Table { columns, rows })
}

impl Columns {
    fn named_by(header: &str) -> Self {
        Self(header.split(',').map(|name| name.trim().to_owned()).collect())
    }

    fn header(&self) -> String {
        self.0.join(",") + "\n"
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|known| known == name)
    }

    /// The row that a line says, or what is wrong with it.
    fn row(&self, line: &str) -> Result<Row, String> {
        let cells: Vec<&str> = line.split(',').collect();
        if cells.len() != self.0.len() {
            return Err(format!("{} cells instead of {}", cells.len(), self.0.len()));
        }
        let cell = |name| self.place(name).map_or("", |place| cells[place].trim());
        let value = |name| match cell(name) {
            "" => Ok(None),
            cell => cell.parse().map(Some).map_err(|_| format!("`{cell}` is not a number")),
        };
        Ok(Row {
            step: cell("step").parse().map_err(|_| format!("`{}` is not a step", cell("step")))?,
            epoch: value("epoch")?.ok_or("no epoch")?,
            learning_rate: value("learning_rate")?,
            train_loss: value("train_loss")?,
            penalty: value("penalty")?,
            val_loss: value("val_loss")?,
            val_correlation: value("val_correlation")?,
            seconds: value("seconds")?,
        })
    }

    fn line(&self, row: &Row) -> String {
        let cell = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
        let named = |name: &String| match name.as_str() {
            "step" => row.step.to_string(),
            "epoch" => row.epoch.to_string(),
            "learning_rate" => cell(row.learning_rate),
            "train_loss" => cell(row.train_loss),
            "penalty" => cell(row.penalty),
            "val_loss" => cell(row.val_loss),
            "val_correlation" => cell(row.val_correlation),
            "seconds" => cell(row.seconds),
            _ => String::new(),
        };
        self.0.iter().map(named).collect::<Vec<_>>().join(",") + "\n"
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

    fn line(row: &Row) -> String {
        Columns::named_by(HEADER).line(row)
    }

    fn rows(text: &str) -> Result<Vec<Row>> {
        Ok(parse(text)?.rows.into_iter().map(|(_, row)| row).collect())
    }

    #[test]
    fn unknown_values_are_empty_cells() {
        assert_eq!(line(&row(6)), "6,1.5,0.002,,,0.5,,\n");
    }

    /// As another version may write it, or a person with a spreadsheet.
    #[test]
    fn columns_are_found_by_name_and_those_of_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.csv");
        fs::write(&path, "note, val_loss,step,epoch\ngood,0.5,1,0.25\n,0.5,2,0.5\n,0.5,3,0.75\n").unwrap();
        let known = |step| Row { learning_rate: None, ..row(step) };
        assert_eq!(read(&path).unwrap(), [known(1), known(2), known(3)]);
        MetricsLog::resume(&path, 2).unwrap().append(&row(4)).unwrap();
        let text = "note,val_loss,step,epoch\ngood,0.5,1,0.25\n,0.5,2,0.5\n,0.5,4,1\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(rows("step,loss\n1,2\n").unwrap_err().message(), "is not a metrics file");
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
        fs::write(&path, format!("{HEADER}\n{}2,0.5,0.00", line(&row(1)))).unwrap();
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
        let error = rows(&format!("{HEADER}\n{}1,2,x,,,,,\n", line(&row(1)))).unwrap_err();
        assert_eq!(error.message(), "line 3: `x` is not a number");
        let error = rows("time,value\n").unwrap_err();
        assert_eq!(error.message(), "is not a metrics file");
    }

    proptest! {
        #[test]
        fn any_row_is_read_as_written(step: u64, epoch in -1e9..1e9_f64, loss: Option<f64>) {
            let loss = loss.filter(|v| !v.is_nan());
            let row = Row { step, epoch, val_loss: loss, ..Row::default() };
            prop_assert_eq!(rows(&format!("{HEADER}\n{}", line(&row))).unwrap(), vec![row]);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = parse(&format!("{HEADER}\n{text}\n"));
            let _ = parse(&text);
        }
    }
}
