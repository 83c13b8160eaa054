//! Scores with one row per neuron, as Parquet and as JSON.

use std::path::Path;

use serde::Serialize;
use serde::ser::Serializer;

use super::Scored;
use crate::columns::{Column, parquet};
use crate::disk;
use crate::error::{Error, Result};

/// Per-neuron scores: the index and unit id of each neuron, a column for each metric, and why values are missing.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    neuron: &'a [usize],
    unit_id: &'a [i64],
    columns: &'a [(&'static str, Vec<f64>)],
    reasons: &'a [(&'static str, Vec<Option<&'static str>>)],
}

impl<'a> Table<'a> {
    /// The per-neuron metrics of `scored`, for those with the indices `neuron` in the recording, called `unit_id`.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the number of indices or ids is not the number of neurons.
    pub fn new(neuron: &'a [usize], unit_id: &'a [i64], scored: &'a Scored) -> Result<Self> {
        let wrong = |count: usize| count != unit_id.len() || count != neuron.len();
        match scored.per_neuron.iter().find(|(_, values)| wrong(values.len())) {
            None => Ok(Self { neuron, unit_id, columns: &scored.per_neuron, reasons: &scored.reasons }),
            Some((id, values)) => {
                let message = format!("{} ids for {} neurons scored by `{id}`", unit_id.len(), values.len());
                Err(Error::data(message).key("unit_ids"))
            }
        }
    }

    /// Writes `neuron`, `unit_id`, one column per metric and `reason`; an undefined score is null, and the reason says
    /// why: `feve: its explainable variance is below the threshold`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_parquet(&self, path: &Path) -> Result<()> {
        let neuron = Column::Integers(self.neuron.iter().map(|&neuron| neuron as i64).collect());
        let unit_id = Column::Integers(self.unit_id.to_vec());
        let mut columns = vec![("neuron".to_owned(), neuron), ("unit_id".to_owned(), unit_id)];
        let score = |(id, values): &(&str, Vec<f64>)| ((*id).to_owned(), Column::Numbers(values.clone()));
        columns.extend(self.columns.iter().map(score));
        columns.push(("reason".to_owned(), Column::Texts(self.reason())));
        disk::write_bytes(path, &parquet(&columns).map_err(|e| e.file(path))?)
    }

    /// Writes `{"scores": …, "neuron": […], "unit_id": […], "metrics": {ID: [number or null, …]}, "reason": [text or null, …]}`,
    /// `scores` being the SHA-256 of the summary that the table belongs to, `neuron` the index in the recording.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_json(&self, path: &Path, scores: &str) -> Result<()> {
        let metrics = Columns(self.columns);
        let table =
            Json { scores, neuron: self.neuron, unit_id: self.unit_id, metrics, reason: self.reason() };
        disk::write_atomic(path, |out| serde_json::to_writer(out, &table).map_err(Into::into))
    }

    /// Why each neuron lacks scores: `METRIC: reason`, those with one reason together.
    fn reason(&self) -> Vec<Option<String>> {
        let of = |neuron: usize| {
            let missing = self.reasons.iter().filter_map(|(id, why)| Some((*id, (*why.get(neuron)?)?)));
            let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
            for (id, why) in missing {
                match by_reason.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, ids)) => ids.push(id),
                    None => by_reason.push((why, vec![id])),
                }
            }
            let texts = by_reason.iter().map(|(why, ids)| format!("{}: {why}", ids.join(", ")));
            (!by_reason.is_empty()).then(|| texts.collect::<Vec<_>>().join("; "))
        };
        (0..self.unit_id.len()).map(of).collect()
    }
}

#[derive(Serialize)]
struct Json<'a> {
    scores: &'a str,
    neuron: &'a [usize],
    unit_id: &'a [i64],
    metrics: Columns<'a>,
    reason: Vec<Option<String>>,
}

struct Columns<'a>(&'a [(&'static str, Vec<f64>)]);

impl Serialize for Columns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(id, values)| (id, values)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::{Field, RowAccessor};

    use super::*;

    fn scored() -> Scored {
        let per_neuron = vec![("mse", vec![0.25, 1.5]), ("feve", vec![f64::NAN, 0.5])];
        let reasons = vec![("mse", vec![None, None]), ("feve", vec![Some("it is silent"), None])];
        Scored { per_neuron, reasons, ..Scored::default() }
    }

    #[test]
    fn parquet_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.parquet");
        Table::new(&[0, 5], &[11, 42], &scored()).unwrap().write_parquet(&path).unwrap();
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        let names: Vec<&String> = rows[0].get_column_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["neuron", "unit_id", "mse", "feve", "reason"]);
        assert_eq!((rows[1].get_long(0).unwrap(), rows[1].get_long(1).unwrap()), (5, 42));
        assert_eq!((rows[1].get_double(2).unwrap(), rows[1].get_double(3).unwrap()), (1.5, 0.5));
        assert_eq!(rows[0].get_column_iter().nth(3).unwrap().1, &Field::Null);
        assert_eq!(rows[0].get_string(4).unwrap(), "feve: it is silent");
        assert_eq!(rows[1].get_column_iter().nth(4).unwrap().1, &Field::Null);
    }

    #[test]
    fn json_writes_null_for_undefined() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.per_neuron.json");
        Table::new(&[0, 5], &[11, 42], &scored()).unwrap().write_json(&path, "c0ffee").unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let expected = r#"{"scores":"c0ffee","neuron":[0,5],"unit_id":[11,42],"metrics":{"mse":[0.25,1.5],"feve":[null,0.5]},"reason":["feve: it is silent",null]}"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn ids_must_match_the_neurons() {
        assert!(Table::new(&[0, 5], &[11], &scored()).is_err());
        assert!(Table::new(&[0], &[11, 42], &scored()).is_err());
    }
}
