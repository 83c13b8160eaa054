//! One table of all that a run knows of its neurons.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::disk;
use crate::error::{Error, Result};
use crate::hash::Digest;
use crate::recording::{Neurons, Session};
use crate::run::RunFolder;
use crate::run::bond::is_of;
use crate::score::{Column, parquet};
use crate::twin::Ensemble;

/// Columns that only the recording tells.
const RECORDED: [&str; 6] = ["session", "x_um", "y_um", "z_um", "area", "layer"];

/// Columns by name, in order.
type Columns = Vec<(String, Column)>;

/// Writes `neurons.parquet` and `neurons.csv` of a run, one row per neuron of its twin: who it is, where it lies in cortex and
/// looks on the recorded image, and what the run's scores and cell types of this model say of it. Without a `session` what an
/// earlier table knew of the recording is kept.
///
/// # Errors
/// [`Kind::Io`](crate::error::Kind::Io) when they cannot be written.
pub fn write_neurons(twin: &Ensemble, run: &RunFolder, session: Option<&Session>) -> Result<()> {
    let ids = twin.unit_ids();
    let neuron: Vec<i64> = twin.neurons().iter().map(|&neuron| neuron as i64).collect();
    let mut columns: Columns =
        vec![("unit_id".into(), Column::Integers(ids.to_vec())), ("neuron".into(), Column::Integers(neuron))];
    columns.extend(match session {
        Some(session) => recorded(session, twin.neurons()),
        None => readable(kept(&run.neurons_csv(), ids)).unwrap_or_default(),
    });
    columns.extend(fields(twin));
    let model = twin.digest();
    columns.extend(scores(run, ids, &model));
    columns.extend(readable(types(&run.explain("barcode"), ids, &model)).unwrap_or_default());
    let bytes = parquet(&columns).map_err(|e| e.file(run.neurons()))?;
    disk::write_bytes(&run.neurons(), &bytes)?;
    disk::write_bytes(&run.neurons_csv(), &as_csv(&columns, ids.len())?)
}

/// What a table says that was derived and can be again: one that is damaged is left out with a warning.
fn readable<T>(found: Result<T>) -> Option<T> {
    found.map_err(|error| tracing::warn!("{error}: left out of the table of neurons; ask for it again")).ok()
}

/// What the recording says of its `neurons`.
fn recorded(session: &Session, neurons: &[usize]) -> Columns {
    let Neurons { position_um, area, layer, .. } = &session.neurons;
    let mut columns = vec![(RECORDED[0].to_owned(), texts(neurons.iter().map(|_| session.id.clone())))];
    if let Some(position) = position_um {
        for (axis, name) in RECORDED[1..4].iter().enumerate() {
            let places = neurons.iter().map(|&n| position.get(n).map_or(f64::NAN, |at| at[axis]));
            columns.push(((*name).to_owned(), Column::Numbers(places.collect())));
        }
    }
    for (name, words) in RECORDED[4..].iter().zip([area, layer]) {
        if let Some(words) = words {
            let words = neurons.iter().map(|&n| words.get(n).cloned().unwrap_or_default());
            columns.push(((*name).to_owned(), texts(words)));
        }
    }
    columns
}

fn texts(words: impl Iterator<Item = String>) -> Column {
    Column::Texts(words.map(|word| (!word.is_empty()).then_some(word)).collect())
}

/// Columns of the recording in an earlier table.
fn kept(path: &Path, ids: &[i64]) -> Result<Columns> {
    let Some(known) = read_csv(path)? else { return Ok(Vec::new()) };
    let of = |name: &&str| {
        let cells = column(&known, name, ids)?;
        let numbers = name.ends_with("_um");
        let number = |cell: &str| cell.parse().unwrap_or(f64::NAN);
        let values = match numbers {
            true => Column::Numbers(cells.into_iter().map(number).collect()),
            false => texts(cells.into_iter().map(str::to_owned)),
        };
        Some(((*name).to_owned(), values))
    };
    Ok(RECORDED.iter().filter_map(of).collect())
}

/// Where each neuron looks.
fn fields(twin: &Ensemble) -> Columns {
    let fields = twin.receptive_fields();
    let of = |name: &str, value: &dyn Fn(usize) -> f64| {
        (name.to_owned(), Column::Numbers((0..fields.len()).map(value).collect()))
    };
    vec![
        of("rf_x_px", &|n| fields[n].x_px),
        of("rf_y_px", &|n| fields[n].y_px),
        of("rf_size_px", &|n| fields[n].size_px),
    ]
}

/// As in `scores/TIER.per_neuron.json`.
#[derive(Deserialize)]
struct Scores {
    /// Of the summary it belongs to.
    #[serde(default)]
    scores: String,
    unit_id: Vec<i64>,
    metrics: BTreeMap<String, Vec<Option<f64>>>,
}

/// As in the summaries of scores and types.
#[derive(Deserialize)]
struct Summary {
    #[serde(default)]
    model: String,
}

/// The scores of each tier, `METRIC_TIER`; and `oracle`, of the test tier where it has one.
fn scores(run: &RunFolder, ids: &[i64], model: &str) -> Columns {
    let mut tiers = run.scored_tiers();
    tiers.sort_by_key(|tier| tier != "test");
    let mut columns: Columns = Vec::new();
    for tier in tiers {
        let of_tier = readable(of_tier(run, &tier, model)).flatten();
        let Some(scores) = of_tier.filter(|scores| scores.unit_id == ids) else { continue };
        for (metric, values) in scores.metrics {
            let value = |at| values.get(at).copied().flatten().filter(|value: &f64| value.is_finite());
            let column = Column::Numbers((0..ids.len()).map(|at| value(at).unwrap_or(f64::NAN)).collect());
            let has_oracle = columns.iter().any(|(name, _)| name == "oracle");
            if metric == "oracle_jackknife" && !has_oracle {
                columns.insert(0, ("oracle".into(), column.clone()));
            }
            columns.push((format!("{metric}_{}", ascii(&tier)), column));
        }
    }
    columns
}

/// The scores of one tier, where they are of `model` and of one scoring.
fn of_tier(run: &RunFolder, tier: &str, model: &str) -> Result<Option<Scores>> {
    let (summary, path) = (run.scores(tier), run.per_neuron(tier));
    if !path.is_file() || !is_of_model(&summary, model)? {
        return Ok(None);
    }
    let scores: Scores = read_json(&path)?;
    let whole = Digest::default().bytes(disk::read(&summary, disk::TABLE)?).finish();
    Ok(is_of(&scores.scores, &whole).then_some(scores))
}

/// Whether the summary at `path` was made from `model`.
fn is_of_model(path: &Path, model: &str) -> Result<bool> {
    let summary: Summary = read_json(path)?;
    Ok(is_of(&summary.model, model))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = disk::read(path, disk::TABLE)?;
    serde_json::from_slice(&bytes).map_err(|e| Error::data(format!("is damaged: {e}")).file(path))
}

/// A tier as a part of a column's name.
fn ascii(tier: &str) -> String {
    tier.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Cell types that `striate explain RUN barcode` found in `model`.
fn types(folder: &Path, ids: &[i64], model: &str) -> Result<Columns> {
    let (summary, table) = (folder.join("barcode.json"), folder.join("types.csv"));
    if summary.is_file() && !is_of_model(&summary, model)? {
        return Ok(Vec::new());
    }
    let Some(known) = read_csv(&table)? else { return Ok(Vec::new()) };
    let cells = |name| column(&known, name, ids).map(Vec::into_iter);
    let kinds = cells("type").map(|cells| texts(cells.map(str::to_owned)));
    let number = |cell: &str| cell.parse().unwrap_or(f64::NAN);
    let agreement = cells("agreement").map(|cells| Column::Numbers(cells.map(number).collect()));
    let named = [("type", kinds), ("type_agreement", agreement)];
    Ok(named.into_iter().filter_map(|(name, values)| Some((name.to_owned(), values?))).collect())
}

/// Rows of a CSV file that striate wrote, the header first; none where there is no file.
fn read_csv(path: &Path) -> Result<Option<Vec<csv::StringRecord>>> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = disk::read_text(path, disk::TABLE)?;
    let mut rows = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let damaged = |e: csv::Error| Error::data(format!("cannot be read as a table: {e}")).file(path);
    rows.records().collect::<Result<_, _>>().map(Some).map_err(damaged)
}

/// The cells of the column `name` of a table of the neurons `ids`; none where it is one of others.
fn column<'a>(rows: &'a [csv::StringRecord], name: &str, ids: &[i64]) -> Option<Vec<&'a str>> {
    let (header, rows) = rows.split_first()?;
    let cells = |name: &str| -> Option<Vec<&'a str>> {
        let at = header.iter().position(|known| known == name)?;
        rows.iter().map(|row| row.get(at)).collect()
    };
    let same = cells("unit_id")?.iter().map(|id| id.parse().ok()).eq(ids.iter().map(|id| Some(*id)));
    cells(name).filter(|_| same)
}

/// The same columns as text.
fn as_csv(columns: &Columns, rows: usize) -> Result<Vec<u8>> {
    let mut text = csv::Writer::from_writer(Vec::new());
    let write = |text: &mut csv::Writer<Vec<u8>>| -> csv::Result<()> {
        text.write_record(columns.iter().map(|(name, _)| name))?;
        (0..rows).try_for_each(|row| text.write_record(columns.iter().map(|(_, column)| column.cell(row))))
    };
    let failed = |e: &dyn std::fmt::Display| Error::data(format!("cannot be written as a table: {e}"));
    write(&mut text).map_err(|e| failed(&e))?;
    text.into_inner().map_err(|e| failed(&e))
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    use super::*;

    /// Of a continuum no neuron has a type.
    #[test]
    fn a_table_whose_types_are_all_empty_is_written_and_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        std::fs::write(path("types.csv"), "unit_id,type,agreement,weight_0\n9,,,1\n7,,,0.5\n").unwrap();
        let mut columns: Columns = vec![("unit_id".into(), Column::Integers(vec![9, 7]))];
        columns.extend(types(dir.path(), &[9, 7], "now").unwrap());
        std::fs::write(path("neurons.parquet"), parquet(&columns).unwrap()).unwrap();
        let file = std::fs::File::open(path("neurons.parquet")).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        for (row, id) in rows.iter().zip([9, 7]) {
            let cells: Vec<(&str, &Field)> =
                row.get_column_iter().map(|(name, cell)| (name.as_str(), cell)).collect();
            let expected =
                [("unit_id", &Field::Long(id)), ("type", &Field::Null), ("type_agreement", &Field::Null)];
            assert_eq!(cells, expected);
        }
        let text = as_csv(&columns, 2).unwrap();
        assert_eq!(String::from_utf8(text.clone()).unwrap(), "unit_id,type,type_agreement\n9,,\n7,,\n");
        std::fs::write(path("types.csv"), text).unwrap();
        assert_eq!(types(dir.path(), &[9, 7], "now").unwrap()[0].1, Column::Texts(vec![None, None]));
        for (model, known) in [("now", 1), ("earlier", 0)] {
            std::fs::write(path("barcode.json"), format!(r#"{{"model": "{model}"}}"#)).unwrap();
            assert_eq!(types(dir.path(), &[9, 7], "now").unwrap().len(), known, "{model}");
        }
    }

    #[test]
    fn a_table_written_by_us_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("neurons.csv");
        let columns: Columns = vec![
            ("unit_id".into(), Column::Integers(vec![7, 7])),
            ("session".into(), Column::Texts(vec![Some("a, \"b\"".into()), None])),
            ("x_um".into(), Column::Numbers(vec![1.5, f64::NAN])),
        ];
        std::fs::write(&path, as_csv(&columns, 2).unwrap()).unwrap();
        let found = kept(&path, &[7, 7]).unwrap();
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["session", "x_um"]);
        assert_eq!(found[0].1, Column::Texts(vec![Some("a, \"b\"".into()), None]));
        let Column::Numbers(x) = &found[1].1 else { panic!("{found:?}") };
        assert!(x[0] == 1.5 && x[1].is_nan(), "each has its own, whatever it is called");
        assert_eq!(kept(&path, &[7, 9]).unwrap(), [], "a table of other neurons");
        assert_eq!(kept(&dir.path().join("none.csv"), &[7]).unwrap(), []);
    }
}
