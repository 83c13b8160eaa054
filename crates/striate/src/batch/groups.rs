//! Which neurons are of one kind, from a table beside the recording.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::disk;
use crate::error::{Error, Result};

/// One line of the table; further columns are for others.
#[derive(Debug, Deserialize)]
struct Line {
    unit_id: i64,
    r#type: Option<String>,
}

/// Group of each neuron, numbered in the order of `unit_ids`, from a CSV with the columns `unit_id` and `type`: those of
/// one type are one group, those without a type are on their own. `striate explain RUN barcode` writes such a table;
/// identifiers of neurons matched between recordings are types, too.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when the table cannot be read or lacks a neuron.
pub fn groups(table: &Path, unit_ids: &[i64]) -> Result<Vec<usize>> {
    let damaged = |e: csv::Error| Error::data(format!("cannot be read as a table: {e}")).file(table);
    let mut types = BTreeMap::new();
    let mut reader = csv::Reader::from_reader(disk::open(table, disk::TABLE)?);
    let columns = reader.headers().map_err(damaged)?.clone();
    for column in ["unit_id", "type"] {
        if !columns.iter().any(|name| name == column) {
            return Err(Error::data(format!("has no column `{column}`")).file(table).key("data.types"));
        }
    }
    for line in reader.deserialize::<Line>() {
        let line = line.map_err(damaged)?;
        let unit = line.unit_id;
        if types.insert(unit, line.r#type.filter(|name| !name.is_empty())).is_some() {
            let message = format!("has two lines for the neuron with unit_id {unit}");
            return Err(Error::data(message).file(table).key("data.types"));
        }
    }
    let mut numbers = BTreeMap::new();
    let group = |unit: &i64| {
        let Some(name) = types.get(unit) else {
            let message = format!("has no line for the neuron with unit_id {unit}");
            return Err(Error::data(message).file(table).key("data.types"));
        };
        // A neuron without a type has a key that no other has.
        let key = name.clone().ok_or(*unit);
        let next = numbers.len();
        Ok(*numbers.entry(key).or_insert(next))
    };
    unit_ids.iter().map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn read(text: &str, unit_ids: &[i64]) -> Result<Vec<usize>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("types.csv");
        std::fs::write(&path, text).unwrap();
        groups(&path, unit_ids)
    }

    #[test]
    fn neurons_of_one_type_are_one_group_and_others_stand_alone() {
        let table = "unit_id,type,agreement\n7,b,1\n3,a,1\n9,,\n8,b,0.5\n1,,\n";
        assert_eq!(read(table, &[3, 7, 8, 9, 1]).unwrap(), [0, 1, 1, 2, 3]);
        assert_eq!(read(table, &[8, 7]).unwrap(), [0, 0]);
    }

    #[test]
    fn missing_neurons_and_columns_are_named() {
        let error = read("unit_id,type\n7,b\n", &[7, 5]).unwrap_err();
        assert_eq!((error.kind(), error.place().key.as_deref()), (Kind::Data, Some("data.types")));
        assert!(error.to_string().contains("unit_id 5"), "{error}");
        for (text, word) in [
            ("unit,type\n7,b\n", "`unit_id`"),
            ("unit_id,kind\n7,b\n", "`type`"),
            ("unit_id,type\n7,b\n7,c\n", "two"),
        ] {
            let error = read(text, &[7]).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
        assert!(groups(Path::new("none.csv"), &[1]).unwrap_err().to_string().contains("none.csv"));
    }
}
